"""What one participant sees of the roster: numbered changes, in full and as deltas. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from ..graph.enums import ChangeType
from ..graph.participants import RosterChange, removed

Json = dict[str, Any]


class RosterView:
    """One participant's view of the roster.

    Views differ: in the lobby a participant sees itself alone. So each view counts its own changes,
    without a gap, and an entry's ``rosterSequenceNumber`` is the change in which this view last saw
    it differ.
    """

    def __init__(self) -> None:
        self._sequence_number = 0
        self._seen: dict[str, Json] = {}
        self._numbers: dict[str, int] = {}

    @property
    def participants(self) -> tuple[Json, ...]:
        """All entries that are in view, numbered, in the order in which they came."""
        return tuple(self._numbered(entry_id) for entry_id in self._seen)

    def forget(self) -> None:
        """Let the next change carry everyone again; the numbers go on."""
        self._seen.clear()
        self._numbers.clear()

    def update(self, entries: Mapping[str, Json]) -> RosterChange | None:
        """See *entries*, by participant id, from now on; None when nothing differs.

        The first change carries everyone.
        """
        changed = [
            entry_id
            for entry_id, entry in entries.items()
            if (seen := self._seen.get(entry_id)) is not entry and seen != entry
        ]
        gone = [entry_id for entry_id in self._seen if entry_id not in entries]
        if not changed and not gone:
            return None
        self._sequence_number += 1
        number = self._sequence_number
        leavers = [
            {**removed(self._seen[entry_id]), "rosterSequenceNumber": number} for entry_id in gone
        ]
        for entry_id in gone:
            del self._seen[entry_id], self._numbers[entry_id]
        for entry_id in changed:
            self._seen[entry_id] = entries[entry_id]
            self._numbers[entry_id] = number
        return RosterChange(
            number,
            self.participants,
            (*(self._numbered(entry_id) for entry_id in changed), *leavers),
        )

    def _numbered(self, entry_id: str) -> Json:
        return {**self._seen[entry_id], "rosterSequenceNumber": self._numbers[entry_id]}


class RosterListener(Protocol):
    """Who is told of changes, as far as its member may see them. Must not wait."""

    def roster_changed(self, change: RosterChange) -> None:
        """Hear what became of the roster. Never called in a peer-to-peer call."""

    def sharing_changed(self, change: ChangeType, session_id: str) -> None:
        """Hear that a content sharing session began, changed or ended."""


class Watch:
    """A listener and what it has been told: it is told what differs from that."""

    def __init__(self, listener: RosterListener, view: RosterView) -> None:
        self._listener, self._view = listener, view
        self._session_id: str | None = None
        # The first change that a listener gets carries everyone.
        view.forget()

    def see_roster(self, entries: Mapping[str, Json]) -> None:
        """Tell of the roster as it is now."""
        change = self._view.update(entries)
        if change is not None:
            self._listener.roster_changed(change)

    def see_sharing(self, session_id: str | None) -> None:
        """Tell of the content sharing session that is on now."""
        before, self._session_id = self._session_id, session_id
        if before == session_id:
            return
        if before is not None:
            self._listener.sharing_changed(ChangeType.DELETED, before)
        if session_id is not None:
            self._listener.sharing_changed(ChangeType.CREATED, session_id)

    def see_sharing_updated(self) -> None:
        """Tell of a change within the session, if there is one to be seen."""
        if self._session_id is not None:
            self._listener.sharing_changed(ChangeType.UPDATED, self._session_id)
