"""The store in one SQLite file: for one host."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self, TypeVar

from .base import AppRow, CallRow, NotificationCounts, OutboxRow, StoreError, UserRow

T = TypeVar("T")

# Each entry takes a database from its index to the next version; none is ever edited.
MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE secrets (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
    CREATE TABLE apps (
        app_id TEXT PRIMARY KEY,
        tenant_id TEXT NOT NULL,
        display_name TEXT NOT NULL,
        secret TEXT NOT NULL,
        roles TEXT NOT NULL
    ) STRICT;
    CREATE TABLE users (
        position INTEGER PRIMARY KEY AUTOINCREMENT,
        user_id TEXT NOT NULL UNIQUE,
        display_name TEXT NOT NULL,
        token TEXT NOT NULL UNIQUE
    ) STRICT;
    CREATE TABLE calls (
        position INTEGER PRIMARY KEY AUTOINCREMENT,
        call_id TEXT NOT NULL UNIQUE,
        app_id TEXT NOT NULL,
        tenant_id TEXT NOT NULL,
        callback_uri TEXT NOT NULL,
        state TEXT NOT NULL,
        is_over INTEGER NOT NULL,
        resource TEXT NOT NULL
    ) STRICT;
    CREATE INDEX calls_living ON calls (is_over, position);
    CREATE TABLE outbox (
        sequence INTEGER PRIMARY KEY AUTOINCREMENT,
        message_id TEXT NOT NULL UNIQUE,
        call_id TEXT NOT NULL REFERENCES calls (call_id) ON DELETE CASCADE,
        status TEXT NOT NULL CHECK (status IN ('pending', 'sent', 'failed')),
        body TEXT NOT NULL
    ) STRICT;
    CREATE INDEX outbox_call ON outbox (call_id, status, sequence);
    CREATE INDEX outbox_pending ON outbox (status, sequence);
    """,
)


class SqliteStore:
    """A :class:`~.base.Store` in an SQLite file (WAL, every commit on the disk).

    One thread of its own does all the work, so the loop never waits for the disk.
    """

    def __init__(self, connection: sqlite3.Connection, thread: ThreadPoolExecutor) -> None:
        self._connection = connection
        self._thread = thread
        self._closed = False

    @classmethod
    async def open(cls, path: Path) -> Self:
        """Open or make the file, mode 0600, and bring it to the present version.

        Raises: StoreError when it is no database, or of a later version.
        """
        thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="mixminus-store")
        try:
            connection = await asyncio.get_running_loop().run_in_executor(thread, _connect, path)
        except (sqlite3.Error, OSError) as error:
            thread.shutdown(wait=False)
            raise StoreError(f"cannot open the store {path}: {error}") from error
        except BaseException:
            thread.shutdown(wait=False)
            raise
        return cls(connection, thread)

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
                "INSERT INTO apps VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (app.app_id, app.tenant_id, app.display_name, app.secret, json.dumps(app.roles)),
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
                " ON CONFLICT (call_id) DO UPDATE SET state = excluded.state,"
                " is_over = excluded.is_over, resource = excluded.resource",
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

    async def close(self) -> None:
        """Finish what runs and let go of the files. Again is no error."""
        if self._closed:
            return
        self._closed = True
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, self._connection.close)
        self._thread.shutdown(wait=False)

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do *work* in the store's thread as one transaction."""
        if self._closed:
            raise StoreError("the store is closed")
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._transact, work)

    def _transact(self, work: Callable[[sqlite3.Connection], T]) -> T:
        db = self._connection
        try:
            # IMMEDIATE: a transaction that reads first would fail on its first write, not wait.
            db.execute("BEGIN IMMEDIATE")
            try:
                result = work(db)
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise StoreError(f"the store failed: {error}") from error
        return result


_CALLS = "SELECT call_id, app_id, tenant_id, callback_uri, state, is_over, resource FROM calls"


def _call(row: tuple[str, str, str, str, str, int, str]) -> CallRow:
    call_id, app_id, tenant_id, callback_uri, state, is_over, resource = row
    return CallRow(
        call_id, app_id, tenant_id, callback_uri, state, bool(is_over), json.loads(resource)
    )


def _app(db: sqlite3.Connection, app_id: str) -> AppRow | None:
    row = db.execute(
        "SELECT app_id, tenant_id, display_name, secret, roles FROM apps WHERE app_id = ?",
        (app_id,),
    ).fetchone()
    if row is None:
        return None
    found_id, tenant_id, display_name, secret, roles = row
    return AppRow(found_id, tenant_id, display_name, secret, tuple(json.loads(roles)))


def _connect(path: Path) -> sqlite3.Connection:
    """Open the database and migrate it."""
    # The secrets in it are this user's alone; SQLite gives its journal files the same mode.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5.0)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        # FULL: an acknowledged call survives a power cut. NORMAL may lose the last commits in WAL.
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA foreign_keys = ON")
        _migrate(db, path)
    except BaseException:
        db.close()
        raise
    return db


def _migrate(db: sqlite3.Connection, path: Path) -> None:
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    if version > len(MIGRATIONS):
        raise StoreError(
            f"{path} is of version {version}, this program knows up to {len(MIGRATIONS)}"
        )
    for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
        db.executescript(f"BEGIN IMMEDIATE; {script} PRAGMA user_version = {number}; COMMIT;")
