"""Which host a call goes to: the one that has least to do."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from ...store.host_base import InstanceRow

FULL: Final = 1.0
"""A load from which on an instance is given nothing new."""


def takes_calls(row: InstanceRow) -> bool:
    """Say whether *row* is an instance that may be given a call."""
    return not row.is_draining and row.load < FULL and row.calls < row.capacity


class Placement:
    """Chooses among instances, and remembers what it gave to whom since they were last counted.

    Thread: any one.
    """

    def __init__(self) -> None:
        self._rows: tuple[InstanceRow, ...] = ()
        self._given: Counter[str] = Counter()

    def update(self, living: Iterable[InstanceRow]) -> None:
        """Take in the instances that live, with the calls that each has now."""
        rows = tuple(living)
        before = {row.instance: row.beat for row in self._rows}
        for row in rows:
            # Its count says what it was given until its beat, not what was given since.
            if before.get(row.instance) != row.beat:
                self._given.pop(row.instance, None)
        self._rows = rows

    def choose(self, own: str) -> str:
        """Return who is to have one call more: the fewest calls for its size, then the least load.

        *own* when nobody takes calls, and when it is as free as any other.
        """
        fit = [row for row in self._rows if takes_calls(row) and self._room(row) > 0]
        if not fit:
            return own
        best = min(fit, key=lambda row: (self._share(row), row.load, row.instance != own))
        # A call on the spot needs nobody to be woken: equal is not better.
        for row in fit:
            if row.instance == own and self._share(row) <= self._share(best):
                best = row
        self._given[best.instance] += 1
        return best.instance

    def takers(self, own: str) -> tuple[str, ...]:
        """Return the others that may be given a call."""
        return tuple(row.instance for row in self._rows if row.instance != own and takes_calls(row))

    def _room(self, row: InstanceRow) -> int:
        return row.capacity - row.calls - self._given[row.instance]

    def _share(self, row: InstanceRow) -> float:
        return (row.calls + self._given[row.instance]) / row.capacity


def preferred(lineage: str, instances: Sequence[str]) -> str | None:
    """Return which of *instances* takes over the call of *lineage*, as each of them works it out.

    The highest hash of the two wins (rendezvous hashing), so that many calls are spread evenly
    and nobody has to be asked. None without instances.
    """

    def rank(instance: str) -> bytes:
        return hashlib.blake2b(f"{lineage}\0{instance}".encode(), digest_size=8).digest()

    return max(instances, key=rank, default=None)
