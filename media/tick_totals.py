"""How late ticks began and how long they took, since the start: counts by limits, for operators."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

LATENESS_BOUNDS_S: Final = (
    *(0.000_05, 0.000_1, 0.000_25, 0.000_5),
    *(0.001, 0.002_5, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25),
)
"""20 ms is among them: what is beyond is a late tick."""
DURATION_BOUNDS_S: Final = (
    *(0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002, 0.004),
    *(0.006, 0.008, 0.01, 0.015, 0.02, 0.05),
)
"""20 ms is the whole period."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """How many values are at most each of ``bounds``, and beyond the last; and their sum.

    Units:  bounds and sum in seconds. ``counts`` has one more than ``bounds``; each stands alone.
    """

    bounds_s: tuple[float, ...]
    counts: tuple[int, ...]
    sum_s: float


class TickTotals:
    """Adds up the engine's logs of ticks when it is asked; each tick is looked at once.

    *read* is ``_native.Engine.lateness_ns`` or ``tick_times_ns``. The logs go 65,536 ticks back,
    22 minutes: who asks less often misses what was before that.
    Thread: one at a time.
    """

    def __init__(
        self,
        read: Callable[[int, int], bytes],
        *,
        tick_threads: int,
        bounds_s: tuple[float, ...],
        remembered: int = 65_536,
    ) -> None:
        self._read = read
        self._bounds_s = bounds_s
        self._edges_ns = np.array([round(bound * 1e9) for bound in bounds_s], np.uint32)
        self._next = [0] * tick_threads
        self._remembered = remembered
        self._counts = np.zeros(len(bounds_s) + 1, np.int64)
        self._sum_ns = 0

    def take(self) -> Distribution:
        """Look at the ticks since the last call; return what there is of all so far."""
        for thread, since in enumerate(self._next):
            values = self._log(since, thread)
            # Of the last tick the log may not be complete yet: it is the next call's.
            self._add(values[:-1])
            self._next[thread] = since + max(0, values.size - 1)
            if values.size == self._remembered:
                self._next[thread] = self._last(since, thread)
        return Distribution(
            self._bounds_s, tuple(int(count) for count in self._counts), self._sum_ns / 1e9
        )

    def _log(self, since: int, thread: int) -> NDArray[np.uint32]:
        return np.frombuffer(self._read(since, thread), np.uint32)

    def _last(self, since: int, thread: int) -> int:
        """Return the number of the last tick, where more may have been than the log remembers."""
        while (size := self._log(since, thread).size) == self._remembered:
            since += self._remembered
        return since + size - 1

    def _add(self, values_ns: NDArray[np.uint32]) -> None:
        if values_ns.size:
            places = np.searchsorted(self._edges_ns, values_ns, side="left")
            self._counts += np.bincount(places, minlength=self._counts.size)
            self._sum_ns += int(values_ns.sum(dtype=np.uint64))
