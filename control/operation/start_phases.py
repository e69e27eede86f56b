"""Where the time of a process's start goes: a host that comes back has calls that wait."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

PROCESS: Final = Path("/proc/self/stat")
START_TIME: Final = 19
"""Which field behind the name of the process it is, in clock ticks since the machine's start.

Source: proc(5), starttime.
"""


class StartPhases:
    """The phases of a start, in their order: how long each took, and how much of a core.

    *began_s* is when the process began. Thread: the loop's.
    """

    def __init__(
        self,
        began_s: float | None = None,
        *,
        clock_s: Callable[[], float] = lambda: time.clock_gettime(time.CLOCK_BOOTTIME),
        cpu_s: Callable[[], float] = time.process_time,
    ) -> None:
        self._clock_s, self._cpu_s = clock_s, cpu_s
        self._at_s, self._cpu_at_s = process_began_s() if began_s is None else began_s, 0.0
        self._phases: dict[str, tuple[float, float]] = {}

    def end(self, name: str) -> None:
        """Say that what went on since the last such word, or the process's begin, was *name*."""
        now_s, cpu_s = self._clock_s(), self._cpu_s()
        self._phases[name] = now_s - self._at_s, cpu_s - self._cpu_at_s
        self._at_s, self._cpu_at_s = now_s, cpu_s

    def described(self) -> dict[str, dict[str, int]]:
        """Return the phases by name: passed time and CPU time, in milliseconds."""
        return {
            name: {"ms": round(passed_s * 1000), "cpuMs": round(cpu_s * 1000)}
            for name, (passed_s, cpu_s) in self._phases.items()
        }


def process_began_s() -> float:
    """Return when this process began, in seconds since the machine's start, to 10 ms."""
    # The name is in brackets, and may have any character in it.
    fields = PROCESS.read_text().rpartition(")")[2].split()
    return int(fields[START_TIME]) / os.sysconf("SC_CLK_TCK")
