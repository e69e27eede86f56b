"""Which of the hosts beside this one are alive, by their beats alone: no clock of theirs is read.

An instance adds 1 to its beat every 3 s. Whoever sees a beat stand still for 10 s of its own time
holds that instance for dead. Wall clocks, also the database's, decide nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ...store.host_base import InstanceRow

BEAT_S: Final = 3.0
"""How often an instance says that it lives."""
DEAD_AFTER_S: Final = 10.0
"""Three beats, and what a busy store may hold one up."""
LOOK_S: Final = 1.0
"""How often the others are looked at."""
LONGEST_GAP_S: Final = 2.0
"""What one look adds at most to the time that a beat stood still. Who was frozen, or had no store,
for longer has seen nothing meanwhile: the others get their time all the same."""


class BeatWatch:
    """The beats of all instances as one of them sees them. *own* is never dead. Thread: any one."""

    def __init__(
        self,
        own: str,
        *,
        dead_after_s: float = DEAD_AFTER_S,
        longest_gap_s: float = LONGEST_GAP_S,
    ) -> None:
        self._own = own
        self._dead_after_s, self._longest_gap_s = dead_after_s, longest_gap_s
        self._seen: dict[str, tuple[tuple[str, int], float]] = {}
        self._looked_s: float | None = None
        self.rows: tuple[InstanceRow, ...] = ()
        """The instances, as they were last seen."""

    def observe(self, rows: Iterable[InstanceRow], now_s: float) -> None:
        """Take in what the store says at *now_s* of a clock that only goes forward."""
        gap_s = 0.0 if self._looked_s is None else now_s - self._looked_s
        gap_s = min(max(gap_s, 0.0), self._longest_gap_s)
        self._looked_s = now_s
        self.rows = tuple(rows)
        seen = {}
        for row in self.rows:
            mark = (row.incarnation, row.beat)
            old, still_s = self._seen.get(row.instance, (mark, 0.0))
            seen[row.instance] = (mark, still_s + gap_s if old == mark else 0.0)
        self._seen = seen

    def still_s(self, instance: str) -> float:
        """Return for how long, in seconds, the beat of *instance* stood still; 0 if unknown."""
        return self._seen[instance][1] if instance in self._seen else 0.0

    def is_dead(self, instance: str) -> bool:
        """Say whether *instance* has not beaten for too long. One that is not known is not."""
        return instance != self._own and self.still_s(instance) >= self._dead_after_s

    @property
    def dead(self) -> frozenset[str]:
        """The names of the instances that are held for dead."""
        return frozenset(row.instance for row in self.rows if self.is_dead(row.instance))

    @property
    def living(self) -> tuple[InstanceRow, ...]:
        """The instances that are not held for dead."""
        return tuple(row for row in self.rows if not self.is_dead(row.instance))
