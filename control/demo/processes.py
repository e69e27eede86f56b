"""The demo's three processes: started, watched, and always ended."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from .report import Memory

START_S = 30.0
STOP_S = 10.0
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class DemoError(RuntimeError):
    """The demo could not be carried out; the message is one line for a person."""


@dataclass
class Process:
    """One ``mixminus`` command running beside this one, its output in a log file."""

    name: str
    arguments: tuple[str, ...]
    log_file: Path
    _process: asyncio.subprocess.Process | None = None
    _pump: asyncio.Task[None] | None = None
    _lines: asyncio.Queue[str | None] = field(default_factory=lambda: asyncio.Queue(1000))
    _memory: list[tuple[float, int]] = field(default_factory=list)

    async def __aenter__(self) -> Self:
        """Start it."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "mixminus.control",
            *self.arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,  # a Ctrl-C ends this process, which then ends that one in order
        )
        self._pump = asyncio.create_task(self._read_output())
        return self

    async def __aexit__(self, *error: object) -> None:
        """Ask it to end, and make it when it does not."""
        process, pump = self._process, self._pump
        assert process is not None
        assert pump is not None
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(process.wait(), STOP_S)
            except TimeoutError:
                process.kill()
                await process.wait()
        await pump

    @property
    def exit_code(self) -> int | None:
        """Its exit code, None while it runs."""
        return self._process.returncode if self._process else None

    @property
    def memory(self) -> Memory:
        """Its resident memory over time."""
        return Memory(tuple(self._memory))

    async def ended(self) -> None:
        """Wait for its end."""
        assert self._process is not None
        await self._process.wait()

    def sample_memory(self, at_s: float) -> None:
        """Note its resident memory now."""
        if self._process is None or self._process.returncode is not None:
            return
        try:
            pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        except (FileNotFoundError, ProcessLookupError, IndexError):
            return  # it ended between the two looks
        self._memory.append((round(at_s, 1), pages * PAGE_BYTES))

    async def lines(self) -> AsyncIterator[str]:
        """Yield its output, line by line, until it ends."""
        while (line := await self._lines.get()) is not None:
            yield line

    async def events(self) -> AsyncIterator[dict[str, Any]]:
        """Yield the JSON lines of its output; other lines are for the log only."""
        async for line in self.lines():
            if line.startswith("{"):
                yield json.loads(line)

    async def wait_for(self, ready: Callable[[], bool], what: str) -> None:
        """Wait until *ready*.

        Raises: DemoError with the last line of its log when it ends first or takes over 30 s.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + START_S
        while not ready():
            if self.exit_code is not None:
                raise self.ended_early(what)
            if loop.time() > deadline:
                raise DemoError(f"the {self.name}: waited {START_S:.0f} s for {what}")
            await asyncio.sleep(0.02)

    def ended_early(self, what: str) -> DemoError:
        """Say in one line that it ended before *what*, with its own last word."""
        said = self.log_file.read_text(errors="replace").strip().splitlines()
        last = said[-1] if said else "it said nothing"
        return DemoError(
            f"the {self.name} ended (exit code {self.exit_code}) before {what}: {last}"
        )

    async def _read_output(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        with self.log_file.open("w", encoding="utf-8") as log:
            async for raw in self._process.stdout:
                line = raw.decode(errors="replace").rstrip("\n")
                print(line, file=log, flush=True)
                if not self._lines.full():  # nobody reads those of service and host
                    self._lines.put_nowait(line)
        await self._process.wait()
        if self._lines.full():
            self._lines.get_nowait()
        self._lines.put_nowait(None)
