"""The journals of one process read as one, by the row of numbers that they share."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from ..journal import Journal, JournalEntry, Kind
from .models import Side

SIDES: Final[tuple[Side, ...]] = ("service", "host")


class Journals:
    """The journal of each side. Thread: the loop's."""

    def __init__(self) -> None:
        self._journals: dict[Side, Journal] = {}
        self._ends: dict[Side, Callable[[], None]] = {}
        self._listener: Callable[[], None] = lambda: None

    def listen(self, listener: Callable[[], None]) -> None:
        """Call *listener* after each entry of any journal, also of those that come later."""
        self._listener = listener

    def add(self, journal: Journal) -> None:
        """Take in the journal of one side."""
        self._journals[journal.side] = journal
        self._ends[journal.side] = journal.subscribe(lambda: self._listener())

    def remove(self, side: Side) -> None:
        """Take one out. One that is not there is no error."""
        if self._journals.pop(side, None) is not None:
            self._ends.pop(side)()

    def record(
        self, kind: Kind, call_id: str | None, title: str, body: Mapping[str, Any] | None = None
    ) -> None:
        """Write down what was done in the console: with the service's entries, else the host's."""
        for side in SIDES:
            if side in self._journals:
                self._journals[side].record(kind, call_id, title, body or None)
                return

    @property
    def seq(self) -> int:
        """The number of the newest entry."""
        return max((journal.seq for journal in self._journals.values()), default=0)

    def since(
        self, seq: int, call_ids: Collection[str] | None = None
    ) -> tuple[list[JournalEntry], bool]:
        """Return the entries after *seq*, of those calls only; and whether some are forgotten."""
        parts = [journal.since(seq, call_ids) for journal in self._journals.values()]
        entries = heapq.merge(*(found for found, _ in parts), key=lambda entry: entry.seq)
        return list(entries), any(has_forgotten for _, has_forgotten in parts)
