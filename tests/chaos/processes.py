"""The processes under test: commands as an operator runs them, killed and frozen by their id."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

START_S: Final = 60.0
STOP_S: Final = 60.0
LOOK_S: Final = 0.02


class StageError(Exception):
    """The stage of a scenario does not stand: the message says what was waited for."""


def clean_environment(more: Mapping[str, str]) -> dict[str, str]:
    """Return our environment without settings of mixminus's, and with *more*."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("MIXMINUS_")}
    return {
        **kept,
        "MIXMINUS_OPERATION_ADMISSION": "false",
        "MIXMINUS_CONSOLE_ENABLED": "false",
        **more,
    }


def free_port() -> int:
    """Return a port that is free now: a server that starts again keeps its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Process:
    """One ``mixminus`` command in *directory*: its output is there, each start in files of its own.

    Thread: the loop's.
    """

    def __init__(self, name: str, directory: Path, environment: Mapping[str, str]) -> None:
        self.name, self.directory = name, directory
        self.environment = dict(environment)
        self.prefix: tuple[str, ...] = ()
        self.port = free_port()
        self.starts = 0
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        """The id of the process that runs now.

        Raises: StageError when none does.
        """
        if self._process is None:
            raise StageError(f"{self.name} does not run")
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.returncode is None

    def arguments(self) -> list[str]:
        """Return the command line behind ``mixminus``."""
        raise NotImplementedError

    async def launch(self) -> None:
        """Start the process, without waiting until it serves."""
        if self.is_running:
            raise StageError(f"{self.name} runs already")
        self.starts += 1
        self.directory.mkdir(parents=True, exist_ok=True)
        command = [*self.prefix, sys.executable, "-m", "mixminus.control", *self.arguments()]
        with self.output("out").open("wb") as out, self.output("err").open("wb") as err:
            self._process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=clean_environment(self.environment),
            )

    async def start(self, timeout_s: float = START_S) -> None:
        """Start it, and wait until it says that it serves.

        Raises: StageError with its last words.
        """
        await self.launch()
        await self.wait_started(timeout_s)

    async def wait_started(self, timeout_s: float = START_S) -> None:
        """Wait until it says that it serves.

        Raises: StageError with its last words.
        """
        deadline = time.monotonic() + timeout_s
        while not _says_started(self.output("out")):
            if not self.is_running:
                raise StageError(f"{self.name} ended at its start: {self.last_words()}")
            if time.monotonic() > deadline:
                raise StageError(
                    f"{self.name} does not serve after {timeout_s} s: {self.last_words()}"
                )
            await asyncio.sleep(LOOK_S)

    async def kill(self) -> float:
        """Kill it as a crash does; return when, on the monotonic clock."""
        assert self._process is not None
        at_s = time.monotonic()
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        return at_s

    async def stop(self, timeout_s: float = STOP_S) -> int:
        """Ask it to end, as a supervisor does; return its exit code.

        Raises: StageError when it does not: it is killed then.
        """
        process = self._process
        if process is None:
            return 0
        if process.returncode is None:
            process.send_signal(signal.SIGCONT)
            process.terminate()
        try:
            async with asyncio.timeout(timeout_s):
                return await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
            raise StageError(f"{self.name} did not end within {timeout_s} s of SIGTERM") from None

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal: SIGSTOP and SIGCONT, SIGTERM without waiting."""
        assert self._process is not None
        self._process.send_signal(number)

    async def wait(self) -> int:
        """Wait until it has ended; return its exit code."""
        assert self._process is not None
        return await self._process.wait()

    def output(self, stream: str) -> Path:
        """Return the file of the present start's *stream*, "out" or "err"."""
        return self.directory / f"{self.name}-{self.starts}.{stream}"

    def last_words(self) -> str:
        """Return the end of what it wrote."""
        texts = [self.output(stream) for stream in ("out", "err")]
        return " ".join(text.read_text()[-800:] for text in texts if text.exists()).strip()

    def logged(self, *words: str) -> list[str]:
        """Return the lines of all its starts on stderr that have one of *words*."""
        found = []
        for path in sorted(self.directory.glob(f"{self.name}-*.err")):
            lines = path.read_text(errors="replace").splitlines()
            found += [line for line in lines if any(word in line for word in words)]
        return found


class ServiceProcess(Process):
    """The call service."""

    def __init__(self, directory: Path, states: Path, environment: Mapping[str, str]) -> None:
        super().__init__("service", directory, environment)
        self.state_dir = states / "service"

    def arguments(self) -> list[str]:
        """Return the command line behind ``mixminus``."""
        state = str(self.state_dir)
        return ["service", "--state", state, "--port", str(self.port), "--json"]


class HostProcess(Process):
    """A bot host with the bot of the fault runs."""

    def __init__(
        self,
        name: str,
        directory: Path,
        states: Path,
        dev_file: Path,
        environment: Mapping[str, str],
    ) -> None:
        journal = directory / f"{name}.jsonl"
        super().__init__(name, directory, {"CHAOS_JOURNAL": str(journal), **environment})
        self.journal_path = journal
        self.state_dir = states / name
        self.dev_file = dev_file

    def arguments(self) -> list[str]:
        """Return the command line behind ``mixminus``."""
        bot = Path(__file__).with_name("bot.py")
        return [
            *("serve", "--bot", str(bot), "--dev-file", str(self.dev_file)),
            *("--state", str(self.state_dir), "--port", str(self.port), "--json"),
        ]


def _says_started(output: Path) -> bool:
    for line in output.read_bytes().splitlines(keepends=True):
        if (
            line.endswith(b"\n")
            and line.startswith(b"{")
            and "started" in json.loads(line).values()
        ):
            return True
    return False
