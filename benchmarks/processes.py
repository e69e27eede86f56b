"""Processes of a benchmark: pinned to a core, asked by lines of JSON, their CPU time and memory."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

STOP_S = 10.0
ANSWER_S = 120.0
CLOCK_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
CPU_FIELDS = slice(11, 13)
"""utime and stime, counted behind the command's closing bracket (proc_pid_stat(5))."""


class BenchmarkError(RuntimeError):
    """A benchmark cannot measure what it should; the message is one line for a person."""


# ---- cores ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Cores:
    """Which core runs what. With two, the far side of an echo shares the load generator's."""

    measured: int
    second: int
    load: int


def plan_cores(available: Collection[int]) -> Cores:
    """Give what is measured a core of its own, and the load another.

    Raises: BenchmarkError on one core: each figure would be of both together.
    """
    cores = sorted(available)
    if len(cores) < 2:
        raise BenchmarkError(f"expected two cores or more, got {len(cores)}")
    return Cores(measured=cores[0], second=cores[1], load=cores[-1])


def available_cores() -> list[int]:
    return sorted(os.sched_getaffinity(0))


@contextmanager
def pinned(cores: Collection[int]) -> Iterator[None]:
    """Start processes in here that may use *cores* alone: a child inherits it."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


# ---- CPU time and memory -------------------------------------------------------------------------


def parse_cpu_ticks(stat: str) -> int:
    """Return utime + stime of a /proc/PID/stat line; the command in it may hold brackets."""
    fields = stat.rpartition(")")[2].split()
    user, system = fields[CPU_FIELDS]
    return int(user) + int(system)


def cpu_seconds(pid: int) -> float:
    """CPU time of all threads of *pid* so far.

    Raises: BenchmarkError when there is no such process.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        raise BenchmarkError(f"process {pid} has ended while it was measured") from None
    return parse_cpu_ticks(stat) / CLOCK_TICKS_A_SECOND


def thread_seconds(pid: int) -> dict[str, float]:
    """CPU time of the threads of *pid* so far, by their names: where a process's time goes."""
    seconds: dict[str, float] = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            stat = (task / "stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended between the two looks
        name = stat[stat.index("(") + 1 : stat.rindex(")")]
        seconds[name] = seconds.get(name, 0.0) + parse_cpu_ticks(stat) / CLOCK_TICKS_A_SECOND
    return seconds


def resident_bytes(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


class CpuMeter:
    """CPU time that each of some processes took since this was made."""

    def __init__(self, pids: Sequence[int]) -> None:
        self._pids = tuple(pids)
        self._begin_s = time.monotonic()
        self._begin = {pid: cpu_seconds(pid) for pid in self._pids}
        self._threads = {pid: thread_seconds(pid) for pid in self._pids}

    def cores(self) -> dict[int, float]:
        """Return cores in use on average, by process: 0.25 is a quarter of one."""
        spent_s = time.monotonic() - self._begin_s
        return {pid: (cpu_seconds(pid) - self._begin[pid]) / spent_s for pid in self._pids}

    def threads(self, pid: int) -> dict[str, float]:
        """Return the same of *pid*'s threads, by their names."""
        spent_s = time.monotonic() - self._begin_s
        before = self._threads[pid]
        return {
            name: (seconds - before.get(name, 0.0)) / spent_s
            for name, seconds in thread_seconds(pid).items()
        }


# ---- children that answer ------------------------------------------------------------------------


class Child:
    """A Python module in its own process: a question is a line of JSON, its answer another.

    Use it as a context manager: it ends with it.
    """

    def __init__(self, module: str, *arguments: str, cores: Collection[int]) -> None:
        self.module = module
        with pinned(cores):
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        end_process(self._process)

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, what: str, **fields: Any) -> Any:
        """Ask, and wait for the answer.

        Raises: BenchmarkError with the child's own word when it cannot, or has ended.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps({"ask": what, **fields}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise BenchmarkError(f"{self.module} has ended before {what}") from None
        line = self._process.stdout.readline()
        if not line:
            code = self._process.wait(STOP_S)
            raise BenchmarkError(f"{self.module} ended with exit code {code} at {what}")
        answer = json.loads(line)
        if "error" in answer:
            raise BenchmarkError(f"{self.module}, {what}: {answer['error']}")
        return answer["answer"]


def end_process(process: subprocess.Popen[Any]) -> None:
    """Ask a process to end, and make it when it does not."""
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(BrokenPipeError):
                pipe.close()
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


Answer = Callable[..., Awaitable[Any]]


async def answer_questions(answers: dict[str, Answer]) -> None:
    """In a child: answer each question until the asker closes the pipe.

    A library's own prints must not come between: what is printed goes to stderr from here on.
    """
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    with out:
        while line := await asyncio.to_thread(sys.stdin.readline):
            question = json.loads(line)
            try:
                answer = {"answer": await answers[question.pop("ask")](**question)}
            except Exception as exc:  # told to the asker, who ends the run
                answer = {"error": f"{type(exc).__name__}: {exc}"}
            out.write(json.dumps(answer) + "\n")


def run_child(main: Callable[[], Awaitable[None]]) -> None:
    """Run a child's *main*; the signal that ends it is no failure, and Ctrl-C is the asker's."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))

    async def run() -> None:
        await main()

    asyncio.run(run())
