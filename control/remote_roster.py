"""Who is in a call, as a bot host knows it from full rosters, numbered deltas and a GET.

Pure: values in, values out. A delta says how new it is, so deltas may come twice and in any order;
a hole in their numbers asks for a GET. A full roster does not: the last one holds, and one that
changes what is known asks for a GET too.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from .graph.notifications import normal_id

DELTA_TYPE: Final = "#microsoft.graph.deltaParticipants"
Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RosterEntry:
    """One participant: how new what is known is, and whether it has left."""

    number: int
    has_left: bool
    data: Json

    @property
    def age_key(self) -> tuple[int, bool, str]:
        """What entries of one participant are compared by: the greater one holds."""
        return self.number, self.has_left, json.dumps(self.data, sort_keys=True, default=str)


@dataclass(frozen=True, slots=True)
class RemoteRoster:
    """The participants of one call.

    ``entries`` has those that left as well, for as long as word of them may still come late.
    ``numbers`` are those of the deltas since the last GET, ``covered`` the highest before it.
    """

    entries: Mapping[str, RosterEntry] = field(default_factory=dict)
    numbers: frozenset[int] = frozenset()
    covered: int = -1
    is_known: bool = False
    is_contradicted: bool = False

    @property
    def participants(self) -> dict[str, Json]:
        """Those who are in the call, by id, in the order in which they became known."""
        present = (entry.data for entry in self.entries.values() if not entry.has_left)
        return {str(data["id"]): data for data in present}

    @property
    def needs_get(self) -> bool:
        """Whether something was lost, or contradicted: only the service knows who is there."""
        return self.is_contradicted or self._has_gap()

    def by_source(self, source_id: str | int) -> Json | None:
        """Return the participant who has the media stream of that id."""
        wanted = str(source_id)
        return next(
            (data for data in self.participants.values() if wanted in source_ids(data)), None
        )

    def merge_notification(self, data: object) -> RemoteRoster:
        """Return the roster after a notification's *data*, full or delta; malformed parts pass by.

        Source: Graph, "receive incremental roster updates": the first element's type tells.
        """
        if not isinstance(data, list):
            return self
        first = data[0] if data and isinstance(data[0], Mapping) else {}
        if "participants" not in first and first.get("@odata.type") != DELTA_TYPE:
            return self._merge_full(data)
        roster = self
        for delta in data:
            if isinstance(delta, Mapping):
                roster = roster._merge_delta(delta)
        return roster

    def merge_get(self, participants: Iterable[object], *, is_latest: bool) -> RemoteRoster:
        """Return the roster after the service listed all *participants*.

        *is_latest* says that no notification came since the request went out: then whoever is not
        listed has left. Else only what is listed counts, and the question stays open.
        """
        listed: dict[str, RosterEntry] = {}
        for key, data in _elements(participants):
            known = self.entries.get(key)
            # The latest word is at least as new as all that is known; one that raced may not be.
            floor = known.number if is_latest and known is not None else 0
            number = max(_number(data, 0), floor)
            listed[key] = RosterEntry(number, _has_left(data), data)
        if not is_latest:
            newer = {
                key: entry
                for key, entry in listed.items()
                if key not in self.entries or entry.age_key > self.entries[key].age_key
            }
            return replace(self, entries={**self.entries, **newer}, is_known=True)
        gone = {
            key: replace(entry, has_left=True)
            for key, entry in self.entries.items()
            if key not in listed
        }
        covered = max((self.covered, *self.numbers))
        return RemoteRoster({**gone, **listed}, frozenset(), covered, is_known=True)

    def _merge_full(self, data: list[Any]) -> RemoteRoster:
        listed = dict(_elements(data))
        if listed == {key: e.data for key, e in self.entries.items() if not e.has_left}:
            return replace(self, is_known=True)
        # An id that was known keeps its place and its number: deltas may follow.
        entries = {
            key: RosterEntry(entry.number, key not in listed, listed.get(key, entry.data))
            for key, entry in self.entries.items()
        }
        for key, element in listed.items():
            entries.setdefault(key, RosterEntry(_number(element, 0), False, element))
        return replace(self, entries=entries, is_known=True, is_contradicted=self.is_known)

    def _merge_delta(self, delta: Json) -> RemoteRoster:
        number = delta.get("sequenceNumber")
        if isinstance(number, bool) or not isinstance(number, int):
            number = None
        elif number <= self.covered:
            return self
        elements = delta.get("participants")
        entries = dict(self.entries)
        for key, data in _elements(elements if isinstance(elements, list) else ()):
            entry = RosterEntry(_number(data, number or 0), _has_left(data), data)
            if key not in entries or entry.age_key > entries[key].age_key:
                entries[key] = entry
        if number is None:
            changed = entries != self.entries
            return replace(
                self,
                entries=entries,
                is_known=True,
                is_contradicted=self.is_contradicted or (changed and self.is_known),
            )
        return replace(self, entries=entries, numbers=self.numbers | {number}, is_known=True)

    def _has_gap(self) -> bool:
        if not self.numbers:
            return False
        # The first delta of a call is number 0 or 1; after a GET, the one after what it covered.
        first = self.covered + 1 if self.covered >= 0 else min(1, min(self.numbers))
        return len(self.numbers) != max(self.numbers) - first + 1


def _elements(items: Iterable[object]) -> Iterable[tuple[str, Json]]:
    for item in items:
        if isinstance(item, Mapping):
            identifier = item.get("id")
            if isinstance(identifier, str) and identifier:
                yield normal_id(identifier), item


def _number(data: Json, otherwise: int) -> int:
    number = data.get("rosterSequenceNumber")
    if isinstance(number, bool) or not isinstance(number, int):
        return otherwise
    return number


def _has_left(data: Json) -> bool:
    return isinstance(data.get("removedState"), Mapping)


def source_ids(person: Json) -> tuple[str, ...]:
    """Return the ids of a participant's media streams."""
    streams = person.get("mediaStreams")
    return tuple(
        str(stream["sourceId"])
        for stream in (streams if isinstance(streams, list) else ())
        if isinstance(stream, Mapping) and stream.get("sourceId") is not None
    )
