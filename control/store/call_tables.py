"""Calls, and the notifications about them that wait to be delivered."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Sequence

from .base import CallRow, NotificationCounts, OutboxBacklog, OutboxRow
from .conversation_base import NOTHING, Beside
from .conversation_tables import write_conversation
from .engine import Engine, Transaction
from .operation_tables import write_operations
from .rows import document, readable


class CallTables(Engine):
    """The part of a :class:`~.base.Store` that keeps calls and their outbox."""

    async def save_call(
        self, call: CallRow, notifications: Sequence[str], beside: Beside = NOTHING
    ) -> None:
        """Write *call* and, in one transaction, its *notifications*' bodies and *beside*."""
        now_us = time.time_ns() // 1000

        def work(db: Transaction) -> None:
            db.execute(
                "INSERT INTO calls (call_id, app_id, tenant_id, callback_uri, state, is_over,"
                " resource) VALUES (?, ?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (call_id) DO UPDATE SET callback_uri = excluded.callback_uri,"
                " state = excluded.state, is_over = excluded.is_over,"
                " resource = excluded.resource",
                (
                    call.call_id,
                    call.app_id,
                    call.tenant_id,
                    call.callback_uri,
                    call.state,
                    call.is_over,
                    json.dumps(call.resource),
                ),
            )
            db.executemany(
                "INSERT INTO outbox (message_id, call_id, status, body, created_us)"
                " VALUES (?, ?, 'pending', ?, ?)",
                [(str(uuid.uuid4()), call.call_id, body, now_us) for body in notifications],
            )
            write_operations(db, beside.begun, beside.ended)
            if beside.conversation is not None:
                write_conversation(db, beside.conversation)

        await self._run(work)

    async def call(self, call_id: str) -> CallRow | None:
        """Return the call of that id, also one that is over and not yet forgotten."""

        def work(db: Transaction) -> CallRow | None:
            rows = db.execute(f"{_CALLS} WHERE call_id = ?", (call_id,))
            return next((_call(row) for row in rows), None)

        return await self._run(work)

    async def living_calls(self) -> tuple[CallRow, ...]:
        """Return all calls that are not over."""

        def work(db: Transaction) -> tuple[CallRow, ...]:
            rows = db.execute(f"{_CALLS} WHERE is_over = 0 ORDER BY position")
            return tuple(readable(rows, _call))

        return await self._run(work)

    async def calls_with_notifications(self) -> tuple[str, ...]:
        """Return the ids of the calls whose notifications wait, the longest waiting first."""

        def work(db: Transaction) -> tuple[str, ...]:
            rows = db.execute(
                "SELECT call_id FROM outbox WHERE status = 'pending'"
                " GROUP BY call_id ORDER BY min(sequence)"
            )
            return tuple(row[0] for row in rows)

        return await self._run(work)

    async def next_notification(self, call_id: str) -> OutboxRow | None:
        """Return the oldest notification of a call that waits."""

        def work(db: Transaction) -> OutboxRow | None:
            return _next_notification(db, call_id)

        return await self._run(work)

    async def finish_notification(self, sequence: int, *, delivered: bool) -> OutboxRow | None:
        """Say that a notification was delivered, or given up; return its call's next one."""

        def work(db: Transaction) -> OutboxRow | None:
            found = db.execute(
                "SELECT call_id FROM outbox WHERE sequence = ?", (sequence,)
            ).fetchone()
            if found is None:
                return None
            db.execute(
                "UPDATE outbox SET status = ? WHERE sequence = ? AND status = 'pending'",
                ("sent" if delivered else "failed", sequence),
            )
            return _next_notification(db, found[0])

        return await self._run(work)

    async def outbox_backlog(self) -> OutboxBacklog:
        """Return what waits in the outbox."""

        def work(db: Transaction) -> OutboxBacklog:
            row = db.execute(
                "SELECT count(*), min(created_us) FROM outbox WHERE status = 'pending'"
            ).fetchone()
            return OutboxBacklog(*row)

        return await self._run(work)

    async def notification_counts(self, call_id: str | None = None) -> NotificationCounts:
        """Count the notifications of one call, or of all that are remembered."""

        def work(db: Transaction) -> NotificationCounts:
            if call_id is None:
                rows = db.execute("SELECT status, count(*) FROM outbox GROUP BY status")
            else:
                rows = db.execute(
                    "SELECT status, count(*) FROM outbox WHERE call_id = ? GROUP BY status",
                    (call_id,),
                )
            counts: dict[str, int] = dict(rows.fetchall())
            return NotificationCounts(
                counts.get("sent", 0), counts.get("failed", 0), counts.get("pending", 0)
            )

        return await self._run(work)

    async def forget_calls(self, keep: int) -> int:
        """Remove calls that are over and have nothing waiting, but the last *keep*."""

        def work(db: Transaction) -> int:
            return db.execute(
                "DELETE FROM calls WHERE is_over = 1"
                " AND position NOT IN (SELECT position FROM calls WHERE is_over = 1"
                " ORDER BY position DESC LIMIT ?)"
                " AND call_id NOT IN (SELECT call_id FROM outbox WHERE status = 'pending')",
                (keep,),
            ).rowcount

        return await self._run(work)


_CALLS = "SELECT call_id, app_id, tenant_id, callback_uri, state, is_over, resource FROM calls"


def _next_notification(db: Transaction, call_id: str) -> OutboxRow | None:
    row = db.execute(
        "SELECT sequence, message_id, call_id, app_id, tenant_id, callback_uri,"
        " coalesce(json_extract(resource, '$.callChainId'), call_id), body, created_us"
        " FROM outbox JOIN calls USING (call_id)"
        " WHERE call_id = ? AND status = 'pending' ORDER BY sequence LIMIT 1",
        (call_id,),
    ).fetchone()
    return None if row is None else OutboxRow(*row)


def _call(row: tuple[str, str, str, str, str, int, str]) -> CallRow:
    call_id, app_id, tenant_id, callback_uri, state, is_over, resource = row
    found = document("calls", f"call_id {call_id!r}", resource, dict)
    return CallRow(call_id, app_id, tenant_id, callback_uri, state, bool(is_over), found)
