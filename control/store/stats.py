"""What a store has done: counted by its engine, read by metrics."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from ..histogram import TimeHistogram

COMMIT_BOUNDS_S: Final = (0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
"""Of transactions: a disk's sync, or a server's."""


@dataclass(slots=True)
class StoreStats:
    """Counts of one store. Thread: the loop's.

    ``works`` were asked for and done, ``failed`` of them with an error of their own, in
    ``transactions``; ``refused`` were not tried, or not written, because the store was away.
    """

    works: int = 0
    failed: int = 0
    refused: int = 0
    transactions: int = 0
    largest: int = 0
    """The most works that one transaction had."""
    away_count: int = 0
    """How often the store went away."""
    stale: int = 0
    """Writes of calls that were refused: another owner, or a later epoch, has the call."""
    is_away: bool = False
    waiting: int = 0
    """Works that wait for their turn now."""
    taken: TimeHistogram = field(default_factory=lambda: TimeHistogram(COMMIT_BOUNDS_S))
    """How long a transaction took, from its first statement until it was committed."""
