"""The real thing: `mixminus service`, `mixminus serve examples/echo_bot.py`, and who calls it."""

from __future__ import annotations

import asyncio
import os
import secrets
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from benchmarks.peers.base import Setting
from benchmarks.processes import BenchmarkError, Child, end_process, pinned
from mixminus.control.store.base import UserRow
from mixminus.control.store.opening import SERVICE_FILE
from mixminus.control.store.sqlite import SqliteStore

BOT_FILE = Path(__file__).resolve().parents[2] / "examples" / "echo_bot.py"
CALLED_AT_START = "John"
START_S = 30.0
POLL_S = 0.02


class EchoBot:
    """A call service and a bot host, each in a process. See `base.WebRtcMeasured`.

    Each leg is a call of its own: a user whom the bot calls.
    """

    def __init__(
        self,
        setting: Setting,
        calls: int,
        *,
        service_cores: Collection[int],
        host_cores: Collection[int],
        load_cores: Collection[int],
    ) -> None:
        self.name = f"mixminus, echo bot, {calls} call{'s' if calls > 1 else ''}"
        if setting != Setting():
            self.name += f", c{setting.complexity}"
        self.setting, self.complexity = str(setting), setting.complexity
        self._setting, self._calls = setting, calls
        self._cores = (service_cores, host_cores, load_cores)
        self._stack = ExitStack()
        self._lines: Child
        self._service: subprocess.Popen[bytes]
        self._host: subprocess.Popen[bytes]
        self._called = 0

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            folder = tempfile.TemporaryDirectory(prefix="mixminus-echo-")
            state = Path(stack.enter_context(folder))
            self._start(stack, state)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    @property
    def pids(self) -> tuple[int, ...]:
        """Service and host, in this order."""
        return self._service.pid, self._host.pid

    def facts(self) -> dict[str, Any]:
        facts: dict[str, Any] = self._lines.ask("facts")
        return facts

    def add_webrtc_legs(self, offers: Sequence[str], room: int = 0) -> list[str]:
        users = [_user(number) for number in range(self._called, self._called + len(offers))]
        self._called += len(offers)
        answers: list[str] = self._lines.ask("call", users=users, offers=list(offers))
        return answers

    # ---- inside ----------------------------------------------------------------------------------

    def _start(self, stack: ExitStack, state: Path) -> None:
        service_cores, host_cores, load_cores = self._cores
        service_state, host_state = state / "service", state / "host"
        service_state.mkdir()
        asyncio.run(_add_users(service_state, [_user(n) for n in range(self._calls)]))
        self._service = self._run(
            stack,
            state / "service.log",
            service_cores,
            ("service", "--state", str(service_state), "--port", "0", "--quiet"),
            {
                "MIXMINUS_SERVICE_MEDIA_OPUS_COMPLEXITY": str(self._setting.complexity),
                "MIXMINUS_SERVICE_MEDIA_OPUS_BIT_RATE": str(self._setting.bit_rate),
                "MIXMINUS_SERVICE_TICK_THREADS": "1",
            },
        )
        dev_file = service_state / "dev.json"
        self._wait(self._service, state / "service.log", dev_file.exists)
        self._host = self._run(
            stack,
            state / "host.log",
            host_cores,
            ("serve", "--dev-file", str(dev_file), "--state", str(host_state))
            + ("--bot", str(BOT_FILE), "--port", "0"),
            {},
        )
        self._wait(self._host, state / "host.log", (host_state / "host.json").exists)
        self._lines = stack.enter_context(
            Child("benchmarks.peers.echo_lines", str(state), cores=load_cores)
        )
        self._lines.ask("decline", user=CALLED_AT_START)

    def _run(
        self,
        stack: ExitStack,
        log: Path,
        cores: Collection[int],
        arguments: tuple[str, ...],
        settings: dict[str, str],
    ) -> subprocess.Popen[bytes]:
        with pinned(cores), log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "mixminus.control", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env={**os.environ, **settings},
            )
        stack.callback(end_process, process)
        return process

    def _wait(
        self, process: subprocess.Popen[bytes], log: Path, is_ready: Callable[[], bool]
    ) -> None:
        deadline = time.monotonic() + START_S
        while not is_ready():
            said = log.read_text(errors="replace").strip().splitlines() or ["it said nothing"]
            if process.poll() is not None:
                raise BenchmarkError(f"mixminus ended with {process.returncode}: {said[-1]}")
            if time.monotonic() > deadline:
                raise BenchmarkError(f"mixminus did not start in {START_S:g} s: {said[-1]}")
            time.sleep(POLL_S)


def _user(number: int) -> str:
    return f"Caller {number}"


async def _add_users(state_dir: Path, names: Sequence[str]) -> None:
    store = await SqliteStore.open(state_dir / SERVICE_FILE)
    try:
        for name in names:
            await store.add_user(UserRow(str(uuid.uuid4()), name, secrets.token_urlsafe(32)))
    finally:
        await store.close()
