"""How long things took, counted by limits: for what happens per call or per request."""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

from mixminus.media.tick_totals import Distribution

REQUEST_BOUNDS_S: Final = (0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Of what goes over the network and back."""
LAG_BOUNDS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0)
"""Of what should be at once, and may have to be tried again for minutes."""
SETUP_BOUNDS_S: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 40.0, 60.0, 120.0)
"""From a call's creation until it is established: somebody may have to pick up."""
CALL_BOUNDS_S: Final = (1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 14_400.0)
"""Of calls."""
LOOP_BOUNDS_S: Final = (0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0, 5.0)
"""Of what the event loop is late for; a tick is 20 ms."""


class TimeHistogram:
    """Counts durations by the least of *bounds_s* that they do not exceed, and adds them up.

    Half a microsecond each. Thread: one at a time.
    Raises: ValueError unless the bounds grow.
    """

    def __init__(self, bounds_s: tuple[float, ...]) -> None:
        if list(bounds_s) != sorted(set(bounds_s)):
            raise ValueError(f"bounds_s: expected numbers that grow, got {bounds_s}")
        self._bounds_s = bounds_s
        self._counts = [0] * (len(bounds_s) + 1)
        self._sum_s = 0.0

    def observe(self, seconds: float) -> None:
        """Count one."""
        self._counts[bisect_left(self._bounds_s, seconds)] += 1
        self._sum_s += seconds

    def distribution(self) -> Distribution:
        """Return what was counted so far."""
        return Distribution(self._bounds_s, tuple(self._counts), self._sum_s)
