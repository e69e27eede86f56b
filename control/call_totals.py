"""What became of all calls of a role together: begun, established, over and why."""

from __future__ import annotations

from collections import Counter

from .call_state import ResultInfo
from .graph.enums import CallState
from .histogram import CALL_BOUNDS_S, SETUP_BOUNDS_S, TimeHistogram


class CallTotals:
    """Counts of calls, those that are over included. Thread: the loop's."""

    def __init__(self) -> None:
        self.begun: Counter[str] = Counter({"incoming": 0, "outgoing": 0})
        """By direction, as the application sees it."""
        self.ended: Counter[str] = Counter({"200": 0})
        """By the result's code, as 200 or 487; ``none`` without a result."""
        self.failed_bots = 0
        """Calls whose bot raised what it did not catch."""
        self.setup = TimeHistogram(SETUP_BOUNDS_S)
        """From the creation until a call was established."""
        self.length = TimeHistogram(CALL_BOUNDS_S)
        """From the creation to the end."""

    def begin(self, *, is_incoming: bool) -> None:
        """Count a call that begins."""
        self.begun["incoming" if is_incoming else "outgoing"] += 1

    def enter(self, state: CallState, age_s: float) -> None:
        """Hear that a call came into *state*, so long after its creation."""
        if state is CallState.ESTABLISHED:
            self.setup.observe(age_s)

    def end(self, result: ResultInfo | None, age_s: float, *, bot_failed: bool = False) -> None:
        """Count a call that is over."""
        self.ended["none" if result is None else str(result.code)] += 1
        self.failed_bots += bot_failed
        self.length.observe(age_s)
