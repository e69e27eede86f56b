"""``mixminus dev`` as a process: what a newcomer types, and what may be in their way."""

from __future__ import annotations

import json
import os
import pty
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from mixminus.control.cli.errors import FAILED, INTERRUPTED, OK
from tests import cli_page
from tests.support import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.alone]

START_S = 60.0
COMMAND = (sys.executable, "-m", "mixminus.control")


def wait_for(what: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + START_S
    while not what():
        assert process.poll() is None, "the process ended"
        assert time.monotonic() < deadline
        time.sleep(0.02)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, *arguments]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=START_S, check=False
    )


@contextmanager
def dev(state: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run dev until the block is left; nothing of it is there afterwards."""
    process = subprocess.Popen(
        [*COMMAND, "dev", "--state", str(state), *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        try:
            process.communicate(timeout=START_S)
        finally:
            process.kill()
    left = [each for each in psutil.process_iter(["cmdline"]) if str(state) in str(each.info)]
    assert left == []
    assert not (state / "console.json").exists()
    assert not (state / "host.json").exists()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def test_dev_serves_console_phone_page_and_bot_and_leaves_nothing(tmp_path: Path) -> None:
    port = free_port()
    with dev(tmp_path, "--port", str(port), "--json") as process:
        assert process.stdout is not None
        started = json.loads(process.stdout.readline())
        assert set(started) == cli_page.json_members("dev")
        assert started["console"] == f"http://127.0.0.1:{port}/console"
        for path in ("/console", "/phone"):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}") as page:
                assert b"<!doctype html>" in page.read(200).lower()
        found = json.loads((tmp_path / "console.json").read_text())
        assert found["token"] not in json.dumps(started)
        state = ("--state", str(tmp_path))

        # The bot answers, and what it says back is heard.
        report = tmp_path / "report.json"
        speech = str(ROOT / "tests/data/speech.wav")
        talk = ("--call-bot", "default", "--play", speech, "--duration", "3")
        talked = run("join", "--user", "John", *talk, *state, "--report", str(report), "--json")
        assert talked.returncode == OK, talked.stderr
        ended = json.loads(talked.stdout.splitlines()[-1])
        assert set(ended) == cli_page.json_members("join")
        assert json.loads(report.read_text())["legs"]["network"]["voice"] > 100

        # It can be placed in a meeting, and is shown there.
        made = run("call", "create", "--meeting", "Weekly sync", *state, "--json")
        assert made.returncode == OK, made.stderr
        assert set(json.loads(made.stdout)) == cli_page.json_members("call create")
        shown = run("top", "--once", *state, "--json")
        assert shown.returncode == OK, shown.stderr
        board = json.loads(shown.stdout)
        assert set(board) == cli_page.json_members("top")
        assert [row["bot"] for row in board["calls"]] == ["Echo bot"]
        plain = run("top", *state).stdout
        assert "Echo bot" in plain
        assert "\x1b" not in plain
        listed = json.loads(run("call", "list", *state, "--json").stdout)
        assert len(listed["value"]) == 2
        gone = run("call", "hangup", listed["value"][-1]["callId"], *state, "--json")
        assert json.loads(gone.stdout)["state"] == "terminated"

        # Others that would be in its way are told so, in one line.
        for arguments, says in (
            (("--port", str(port)), f"the console of {tmp_path} is there"),
            (("--port", "0"), "another call service works in"),
        ):
            second = run("dev", *state, *arguments)
            assert second.returncode == FAILED
            assert second.stdout == ""
            assert says in second.stderr.splitlines()[-1]
        other = run("dev", "--state", str(tmp_path / "other"), "--port", str(port))
        assert other.returncode == FAILED
        assert "choose another one with --port" in other.stderr.splitlines()[-1]
        process.send_signal(signal.SIGTERM)
        assert process.wait(START_S) == OK


@pytest.mark.parametrize("moment_s", [0.3, 0.9, 1.5])
def test_ctrl_c_while_dev_starts_leaves_nothing(tmp_path: Path, moment_s: float) -> None:
    with dev(tmp_path, "--port", "0") as process:
        time.sleep(moment_s)  # Whatever it is at then: any moment is one to test.
        process.send_signal(signal.SIGINT)
        # The last one: Python itself was still starting.
        assert process.wait(START_S) in (OK, INTERRUPTED, -signal.SIGINT)


def test_top_on_a_terminal_is_ended_by_q_and_gives_the_screen_back(tmp_path: Path) -> None:
    with dev(tmp_path, "--port", "0") as process:
        wait_for((tmp_path / "console.json").exists, process)
        mine, theirs = pty.openpty()
        with os.fdopen(mine, "r+b", buffering=0) as screen:
            top = subprocess.Popen(
                [*COMMAND, "top", "--state", str(tmp_path)],
                cwd=ROOT,
                stdin=theirs,
                stdout=theirs,
                stderr=theirs,
                env={**os.environ, "TERM": "xterm", "COLUMNS": "120", "LINES": "30"},
            )
            os.close(theirs)
            shown = b""
            while b"ticks/s" not in shown:
                shown += screen.read(4096)
            screen.write(b"q")
            try:
                while chunk := screen.read(4096):
                    shown += chunk
            except OSError:
                pass  # Linux: the other end of the terminal is closed.
            assert top.wait(START_S) == OK
        assert b"service and host: 0 calls" in shown
        # In and out of the alternate screen (xterm, 1049).
        assert shown.count(b"\x1b[?1049h") == shown.count(b"\x1b[?1049l") == 1


def test_bash_completes_commands_options_names_and_plugins(tmp_path: Path) -> None:
    (tmp_path / "mixminus").write_text(f'#!/bin/sh\nexec {" ".join(COMMAND)} "$@"\n')
    (tmp_path / "mixminus").chmod(0o755)
    users = [{"displayName": "John"}, {"displayName": "Alice"}]
    meetings = [{"joinMeetingId": "381654751359", "subject": "Weekly sync"}]
    (tmp_path / "dev.json").write_text(json.dumps({"users": users, "meetings": meetings}))
    script = """
        eval "$(mixminus --show-completion)"
        try() {
            COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
            _mixminus_completion mixminus
            echo "${COMPREPLY[*]}"
        }
        try mixminus pl
        try mixminus plugin ru
        try mixminus serve --public
        try mixminus plugin show gai
        try mixminus join --state "$STATE" --user Jo
        try mixminus join --state "$STATE" --meeting ""
        try mixminus join --state /nowhere --user ""
    """
    path = f"{tmp_path}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "STATE": str(tmp_path), "PYTHONPATH": str(ROOT)}
    # As a script: what an interactive shell's own files say is none of this test's business.
    (tmp_path / "script").write_text(script)
    done = subprocess.run(
        ["bash", "--norc", "--noprofile", str(tmp_path / "script")],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=START_S,
        check=True,
    )
    assert done.stderr == ""
    assert done.stdout.split("\n") == [
        "plugin",
        "run",
        "--public-url",
        "gain",
        "John",
        "381654751359",
        "",
        "",
    ]
