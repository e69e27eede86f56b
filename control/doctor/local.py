"""What runs on this machine already: the call service and the bot host of the state directory."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Final

from ..devfile import DEV_FILE_NAME, DevFile, DevFileError
from ..host.hostfile import HOST_FILE_NAME, HostFile, HostFileError
from ..state_dir import SERVICE_LOCK
from .findings import Finding, Level
from .graph import check_token, fetch_token
from .network import Answer, ask, in_own_thread
from .situation import Situation

SERVICE: Final = "call service"
HOST: Final = "bot host"
LOCAL_S: Final = 5.0


async def check_local(situation: Situation, answers: list[Answer]) -> list[Finding]:
    """Look at what runs here (that nothing runs is no fault); *answers* gets the service's."""
    findings: list[Finding] = []
    for check, work in ((SERVICE, _service), (HOST, _host)):
        try:
            findings += await in_own_thread(partial(work, situation, answers), LOCAL_S)
        except TimeoutError:
            found = f"it listens, and does not answer in {LOCAL_S:g} s"
            findings.append(
                Finding(check, Level.ERROR, found, "Look at its log, and start it anew.")
            )
    return findings


def own_pids(situation: Situation) -> set[int]:
    """Return the processes that work in the state directories."""
    pids = set(lock_holders(situation.service.state_dir / SERVICE_LOCK))
    if (situation.host.state_dir / HOST_FILE_NAME).exists():
        try:
            pids.add(HostFile.load(situation.host.state_dir).pid)
        except HostFileError:
            return pids
    return pids


def lock_holders(path: Path, locks: Path = Path("/proc/locks")) -> list[int]:
    """Return the processes that hold *path* by flock. Source: proc_locks(5)."""
    try:
        inode = path.stat().st_ino
        lines = locks.read_text().splitlines()
    except OSError:
        return []
    return [
        int(words[4])
        for words in (line.split() for line in lines)
        if words[1] == "FLOCK" and words[5].rpartition(":")[2] == str(inode)
    ]


def _service(situation: Situation, answers: list[Answer]) -> list[Finding]:
    state_dir = situation.service.state_dir
    try:
        dev = DevFile.load(state_dir / DEV_FILE_NAME)
    except DevFileError as error:
        if not (state_dir / DEV_FILE_NAME).exists():
            return [Finding(SERVICE, Level.OK, f"none has run in {state_dir}")]
        return [Finding(SERVICE, Level.ERROR, str(error), "Start the call service anew.")]
    answer = ask(f"{dev.graph_base_url}/healthz", dev.ca_file)
    if not answer.came:
        return [_not_running(SERVICE, state_dir, dev.graph_base_url, answer)]
    answers.append(answer)
    got = fetch_token(dev.authority, dev.app_id, dev.client_secret, dev.ca_file)
    return [
        check_health(SERVICE, dev.graph_base_url, answer),
        check_token(got, dev.authority),
    ]


def _host(situation: Situation, _: list[Answer]) -> list[Finding]:
    state_dir = situation.host.state_dir
    try:
        file = HostFile.load(state_dir)
    except HostFileError as error:
        if not (state_dir / HOST_FILE_NAME).exists():
            return [Finding(HOST, Level.OK, f"none runs in {state_dir}")]
        return [Finding(HOST, Level.ERROR, str(error), "Start the bot host anew.")]
    answer = ask(f"{file.url}/healthz", file.ca_file)
    if not answer.came:
        return [_not_running(HOST, state_dir, file.url, answer)]
    return [check_health(HOST, file.url, answer)]


def check_health(check: str, url: str, answer: Answer) -> Finding:
    """Judge what /healthz said."""
    details = {"url": url, "status": answer.status}
    if answer.status == 200:
        return Finding(check, Level.OK, f"runs at {url}", details=details)
    try:
        said = json.dumps(json.loads(answer.body))[:200]
    except (ValueError, RecursionError):
        said = "no JSON"
    found = f"{url}/healthz answered {answer.status}: {said}"
    return Finding(check, Level.ERROR, found, "Look at its log, and start it anew.", details)


def _not_running(check: str, state_dir: Path, url: str, answer: Answer) -> Finding:
    if "certificate" in answer.problem:
        # Somebody listens there, and not with a certificate of this state directory.
        return Finding(
            check,
            Level.ERROR,
            f"{url}: {answer.problem}",
            f"Another process has that port, or {state_dir} is of an older one: start anew.",
        )
    found = f"not running ({url}: {answer.problem})"
    return Finding(check, Level.OK, found, details={"url": url})
