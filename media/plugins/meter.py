"""How long a plugin took by itself: without garbage collection, and without waiting for others.

What runs in a Python process waits for more than its own work: for the GIL, for a core, for a
collection that another's garbage set off. None of that is a plugin's fault. Its own time is the CPU
time of its thread, less what the collector took of it, plus what it waited for by its own choice
(a sleep, a file, a socket): the part of the wait that nothing else explains.

Thread: a meter belongs to one thread.
Source: proc(5) (schedstat: the second number is the time waited for a core, in ns); ceval_gil.h (a
thread that wants the GIL wakes every switch interval, so a wait for it shows as so many voluntary
context switches; a sleep of any length is one).
"""

from __future__ import annotations

import gc
import os
import resource
import sys
import threading
import time
from dataclasses import dataclass
from typing import Any, Final

BASELINE_NS: Final = 1_000_000
"""How old the numbers may be that a wait is explained by: less than a plugin's share of a frame."""
RUN_DELAY_NS: Final = 40_000_000
"""How old the time waited for a core may be: reading it gives up the GIL, so it is read at rest."""
WAIT_NS: Final = 300_000
"""A wait shorter than this is not looked into."""
GIL_SLACK: Final = 1.3
"""A wait of one switch interval takes longer by the timer's slack and the way back to a core."""

HELD_WHILE_WAITING: Final = 10
"""On a machine that is busy with other things, who holds the GIL waits for a core most of the time:
it held it for at most so many times its CPU time."""


class _Collections:
    """What the garbage collector took, of each thread and all together. One a process."""

    def __init__(self) -> None:
        self.wall_ns = 0
        self.of_thread: dict[int, list[int]] = {}
        self._began: dict[int, tuple[int, int]] = {}
        gc.callbacks.append(self._note)

    def of_this_thread(self) -> list[int]:
        """Return [CPU, wall] in ns of this thread's collections: a list that goes on changing."""
        return self.of_thread.setdefault(threading.get_ident(), [0, 0])

    def _note(self, phase: str, _: dict[str, Any]) -> None:
        thread = threading.get_ident()
        if phase == "start":
            self._began[thread] = (time.thread_time_ns(), time.perf_counter_ns())
            return
        began = self._began.pop(thread, None)
        if began is None:
            return
        cpu_ns, wall_ns = time.thread_time_ns() - began[0], time.perf_counter_ns() - began[1]
        self.wall_ns += wall_ns
        own = self.of_thread.get(thread)
        if own is not None:
            own[0] += cpu_ns
            own[1] += wall_ns


_collections: _Collections | None = None


def _the_collections() -> _Collections:
    global _collections  # The interpreter has one collector.
    if _collections is None:
        _collections = _Collections()
    return _collections


@dataclass(slots=True)
class _Baseline:
    """What a wait may be explained by, as it was at ``at_ns``."""

    at_ns: int
    others_cpu_ns: int
    run_delay_ns: int
    switches: int
    others_gc_ns: int


class OwnTimeMeter:
    """Tells a plugin's own time from what happened to it. Made in the thread that it measures."""

    _of_threads = threading.local()

    def __init__(self) -> None:
        self.thread = threading.get_ident()
        self._gc = _the_collections()
        self._own_gc = self._gc.of_this_thread()
        try:
            self._schedstat = os.open("/proc/thread-self/schedstat", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._schedstat = -1  # A kernel without it: a wait for a core is then not explained.
        self._run_delay_ns = self._run_delay_at_ns = 0
        self._baseline = self._look(time.perf_counter_ns())
        self._wall_ns = self._cpu_ns = self._gc_cpu_ns = 0

    @classmethod
    def of_this_thread(cls) -> OwnTimeMeter:
        """Return the one meter of the running thread; it goes when the thread does."""
        meter: OwnTimeMeter | None = getattr(cls._of_threads, "meter", None)
        if meter is None:
            meter = cls._of_threads.meter = cls()
        return meter

    def begin(self) -> None:
        """Begin to measure."""
        now_ns = time.perf_counter_ns()
        if now_ns - self._baseline.at_ns > BASELINE_NS:
            self._baseline = self._look(now_ns)
            now_ns = time.perf_counter_ns()
        self._wall_ns = now_ns
        self._gc_cpu_ns = self._own_gc[0]
        self._cpu_ns = time.thread_time_ns()

    def end(self) -> tuple[int, int]:
        """Return the own time and the whole time since :meth:`begin`, in ns."""
        cpu_ns = time.thread_time_ns() - self._cpu_ns
        wall_ns = time.perf_counter_ns() - self._wall_ns
        own_ns = cpu_ns - (self._own_gc[0] - self._gc_cpu_ns)
        wait_ns = wall_ns - cpu_ns
        if wait_ns > WAIT_NS:
            own_ns += max(0, wait_ns - self._explained_ns())
        return max(0, own_ns), wall_ns

    def rest(self) -> None:
        """Do what would cost time later. Call it before the thread waits for work."""
        self._read_run_delay(time.perf_counter_ns())

    def __del__(self) -> None:
        """Let go of what it reads."""
        if self._schedstat >= 0:
            os.close(self._schedstat)

    def _explained_ns(self) -> int:
        now_ns = time.perf_counter_ns()
        self._read_run_delay(now_ns)
        before, now = self._baseline, self._look(now_ns)
        self._baseline = now
        # Others that ran may have held the GIL, but no longer than it was asked for; one of the
        # switches is the sleep that it may as well be.
        switch_ns = int(sys.getswitchinterval() * 1e9 * GIL_SLACK)
        gil_ns = min(
            HELD_WHILE_WAITING * (now.others_cpu_ns - before.others_cpu_ns),
            max(0, now.switches - before.switches - 1) * switch_ns,
        )
        collected_ns = now.others_gc_ns - before.others_gc_ns
        return max(gil_ns, collected_ns) + now.run_delay_ns - before.run_delay_ns

    def _read_run_delay(self, now_ns: int) -> None:
        self._run_delay_at_ns = now_ns
        if self._schedstat >= 0:
            self._run_delay_ns = int(os.pread(self._schedstat, 96, 0).split()[1])

    def _look(self, now_ns: int) -> _Baseline:
        if now_ns - self._run_delay_at_ns > RUN_DELAY_NS:
            self._read_run_delay(now_ns)
        return _Baseline(
            at_ns=now_ns,
            others_cpu_ns=time.process_time_ns() - time.thread_time_ns(),
            run_delay_ns=self._run_delay_ns,
            switches=resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw,
            others_gc_ns=self._gc.wall_ns - self._own_gc[1],
        )
