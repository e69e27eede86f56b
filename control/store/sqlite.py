"""The store in one SQLite file: for one host."""

from __future__ import annotations

import json
import sqlite3
import uuid
from collections.abc import Callable, Sequence

from .base import AppRow, CallRow, NotificationCounts, OutboxRow, StoreError, UserRow
from .sqlite_meetings import MeetingTables
from .sqlite_records import RecordTables
from .sqlite_subscriptions import SubscriptionTables


class SqliteStore(MeetingTables, RecordTables, SubscriptionTables):
    """A :class:`~.base.Store` in an SQLite file.

    Calls, notifications, applications and users are here; the rest is inherited, table by table.
    """

    async def secret(self, name: str, make: Callable[[], str]) -> str:
        """Return the text kept under *name*; the first time, what *make* returns."""

        def work(db: sqlite3.Connection) -> str:
            row = db.execute("SELECT value FROM secrets WHERE name = ?", (name,)).fetchone()
            if row is None:
                row = (make(),)
                db.execute("INSERT INTO secrets VALUES (?, ?)", (name, row[0]))
            return str(row[0])

        return await self._run(work)

    async def add_app(self, app: AppRow) -> AppRow:
        """Register *app* unless its id is there; return what is there now."""

        def work(db: sqlite3.Connection) -> AppRow:
            db.execute(
                "INSERT INTO apps (app_id, tenant_id, display_name, secret, roles, webhook)"
                " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (
                    app.app_id,
                    app.tenant_id,
                    app.display_name,
                    app.secret,
                    json.dumps(app.roles),
                    app.webhook,
                ),
            )
            found = _app(db, app.app_id)
            assert found is not None
            return found

        return await self._run(work)

    async def set_roles(self, app_id: str, roles: Sequence[str]) -> None:
        """Give an application exactly these permissions, from its next token on."""

        def work(db: sqlite3.Connection) -> None:
            values = (json.dumps(list(roles)), app_id)
            if not db.execute("UPDATE apps SET roles = ? WHERE app_id = ?", values).rowcount:
                raise StoreError(f"no application {app_id}")

        await self._run(work)

    async def set_webhook(self, app_id: str, uri: str | None) -> None:
        """Say where an application is told of incoming calls; None: nowhere."""

        def work(db: sqlite3.Connection) -> None:
            values = (uri, app_id)
            if not db.execute("UPDATE apps SET webhook = ? WHERE app_id = ?", values).rowcount:
                raise StoreError(f"no application {app_id}")

        await self._run(work)

    async def app(self, app_id: str) -> AppRow | None:
        """Return the application of that id."""
        return await self._run(lambda db: _app(db, app_id))

    async def add_user(self, user: UserRow) -> UserRow:
        """Add *user* unless the id is there; return what is there now."""

        def work(db: sqlite3.Connection) -> UserRow:
            db.execute(
                "INSERT INTO users (user_id, display_name, token) VALUES (?, ?, ?)"
                " ON CONFLICT (user_id) DO NOTHING",
                (user.user_id, user.display_name, user.token),
            )
            row = db.execute(
                "SELECT user_id, display_name, token FROM users WHERE user_id = ?", (user.user_id,)
            ).fetchone()
            return UserRow(*row)

        return await self._run(work)

    async def users(self) -> tuple[UserRow, ...]:
        """Return the directory, in the order in which users were added."""

        def work(db: sqlite3.Connection) -> tuple[UserRow, ...]:
            rows = db.execute("SELECT user_id, display_name, token FROM users ORDER BY position")
            return tuple(UserRow(*row) for row in rows)

        return await self._run(work)

    async def save_call(self, call: CallRow, notifications: Sequence[str]) -> None:
        """Write *call* and, in the same transaction, the bodies of its *notifications*."""

        def work(db: sqlite3.Connection) -> None:
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
                "INSERT INTO outbox (message_id, call_id, status, body)"
                " VALUES (?, ?, 'pending', ?)",
                [(str(uuid.uuid4()), call.call_id, body) for body in notifications],
            )

        await self._run(work)

    async def call(self, call_id: str) -> CallRow | None:
        """Return the call of that id, also one that is over and not yet forgotten."""

        def work(db: sqlite3.Connection) -> CallRow | None:
            rows = db.execute(f"{_CALLS} WHERE call_id = ?", (call_id,))
            return next((_call(row) for row in rows), None)

        return await self._run(work)

    async def living_calls(self) -> tuple[CallRow, ...]:
        """Return all calls that are not over."""

        def work(db: sqlite3.Connection) -> tuple[CallRow, ...]:
            rows = db.execute(f"{_CALLS} WHERE is_over = 0 ORDER BY position")
            return tuple(_call(row) for row in rows)

        return await self._run(work)

    async def calls_with_notifications(self) -> tuple[str, ...]:
        """Return the ids of the calls whose notifications wait, the longest waiting first."""

        def work(db: sqlite3.Connection) -> tuple[str, ...]:
            rows = db.execute(
                "SELECT call_id FROM outbox WHERE status = 'pending'"
                " GROUP BY call_id ORDER BY min(sequence)"
            )
            return tuple(row[0] for row in rows)

        return await self._run(work)

    async def next_notification(self, call_id: str) -> OutboxRow | None:
        """Return the oldest notification of a call that waits."""

        def work(db: sqlite3.Connection) -> OutboxRow | None:
            row = db.execute(
                "SELECT sequence, message_id, call_id, app_id, tenant_id, callback_uri,"
                " coalesce(json_extract(resource, '$.callChainId'), call_id), body"
                " FROM outbox JOIN calls USING (call_id)"
                " WHERE call_id = ? AND status = 'pending' ORDER BY sequence LIMIT 1",
                (call_id,),
            ).fetchone()
            return None if row is None else OutboxRow(*row)

        return await self._run(work)

    async def finish_notification(self, sequence: int, *, delivered: bool) -> None:
        """Say that a notification was delivered, or given up."""

        def work(db: sqlite3.Connection) -> None:
            db.execute(
                "UPDATE outbox SET status = ? WHERE sequence = ? AND status = 'pending'",
                ("sent" if delivered else "failed", sequence),
            )

        await self._run(work)

    async def notification_counts(self, call_id: str | None = None) -> NotificationCounts:
        """Count the notifications of one call, or of all that are remembered."""

        def work(db: sqlite3.Connection) -> NotificationCounts:
            rows = db.execute(
                "SELECT status, count(*) FROM outbox WHERE ?1 IS NULL OR call_id = ?1"
                " GROUP BY status",
                (call_id,),
            )
            counts: dict[str, int] = dict(rows.fetchall())
            return NotificationCounts(
                counts.get("sent", 0), counts.get("failed", 0), counts.get("pending", 0)
            )

        return await self._run(work)

    async def forget_calls(self, keep: int) -> int:
        """Remove calls that are over and have nothing waiting, but the last *keep*."""

        def work(db: sqlite3.Connection) -> int:
            return db.execute(
                "DELETE FROM calls WHERE is_over = 1"
                " AND position NOT IN (SELECT position FROM calls WHERE is_over = 1"
                " ORDER BY position DESC LIMIT ?)"
                " AND call_id NOT IN (SELECT call_id FROM outbox WHERE status = 'pending')",
                (keep,),
            ).rowcount

        return await self._run(work)


_CALLS = "SELECT call_id, app_id, tenant_id, callback_uri, state, is_over, resource FROM calls"


def _call(row: tuple[str, str, str, str, str, int, str]) -> CallRow:
    call_id, app_id, tenant_id, callback_uri, state, is_over, resource = row
    return CallRow(
        call_id, app_id, tenant_id, callback_uri, state, bool(is_over), json.loads(resource)
    )


def _app(db: sqlite3.Connection, app_id: str) -> AppRow | None:
    row = db.execute(
        "SELECT app_id, tenant_id, display_name, secret, roles, webhook FROM apps WHERE app_id = ?",
        (app_id,),
    ).fetchone()
    if row is None:
        return None
    found_id, tenant_id, display_name, secret, roles, webhook = row
    return AppRow(found_id, tenant_id, display_name, secret, tuple(json.loads(roles)), webhook)
