"""Meetings."""

from __future__ import annotations

from dataclasses import astuple, fields
from typing import Any

from .base import MeetingRow
from .engine import Engine, Transaction

# Both name the members of MeetingRow in their order.
_MEETINGS = (
    "SELECT thread_id, message_id, tenant_id, organizer_id, organizer_name, subject,"
    " join_meeting_id, passcode, join_url, lobby, allow_without_host, is_ad_hoc, created_at"
    " FROM meetings"
)
_INSERT = (
    "INSERT INTO meetings (thread_id, message_id, tenant_id, organizer_id, organizer_name,"
    " subject, join_meeting_id, passcode, join_url, lobby, allow_without_host, is_ad_hoc,"
    " created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_MEMBERS = tuple(field.name for field in fields(MeetingRow))
_NAMED = "thread_id = ? AND message_id = ?"


class MeetingTables(Engine):
    """The part of a :class:`~.base.Store` that keeps meetings."""

    async def add_meeting(self, meeting: MeetingRow) -> MeetingRow:
        """Add *meeting* unless thread and message are there; return what is there now."""
        name = (meeting.thread_id, meeting.message_id)

        def work(db: Transaction) -> MeetingRow:
            if (found := _find(db, _NAMED, name)) is None:
                db.execute(_INSERT, astuple(meeting))
                found = meeting
            return found

        return await self._run(work)

    async def meeting(self, thread_id: str, message_id: str) -> MeetingRow | None:
        """Return the meeting of that thread and message."""
        name = (thread_id, message_id)
        return await self._run(lambda db: _find(db, _NAMED, name))

    async def meeting_of_join_id(self, join_meeting_id: str) -> MeetingRow | None:
        """Return the meeting of that id (digits alone)."""
        return await self._run(lambda db: _find(db, "join_meeting_id = ?", (join_meeting_id,)))

    async def meetings(self) -> tuple[MeetingRow, ...]:
        """Return all meetings, in the order in which they were added."""

        def work(db: Transaction) -> tuple[MeetingRow, ...]:
            rows = db.execute(f"{_MEETINGS} ORDER BY position")
            return tuple(_meeting(row) for row in rows)

        return await self._run(work)


def _find(db: Transaction, where: str, values: tuple[str, ...]) -> MeetingRow | None:
    rows = db.execute(f"{_MEETINGS} WHERE {where}", values)
    return next((_meeting(row) for row in rows), None)


def _meeting(row: tuple[Any, ...]) -> MeetingRow:
    named = dict(zip(_MEMBERS, row, strict=True))
    for flag in ("lobby", "allow_without_host", "is_ad_hoc"):
        named[flag] = bool(named[flag])
    return MeetingRow(**named)
