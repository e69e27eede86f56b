"""Who is known to the service: applications, users, and its own secrets."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from .base import AppRow, StoreError, UserRow
from .engine import Engine, Transaction
from .rows import document, readable, sound


class DirectoryTables(Engine):
    """The part of a :class:`~.base.Store` that keeps applications, users and secrets."""

    async def secret(self, name: str, make: Callable[[], str]) -> str:
        """Return the text kept under *name*; the first time, what *make* returns."""

        def work(db: Transaction) -> str:
            row = db.execute("SELECT value FROM secrets WHERE name = ?", (name,)).fetchone()
            if row is None:
                row = (make(),)
                db.execute("INSERT INTO secrets VALUES (?, ?)", (name, row[0]))
            return str(row[0])

        return await self._run(work)

    async def add_app(self, app: AppRow) -> AppRow:
        """Register *app* unless its id is there; return what is there now."""

        def work(db: Transaction) -> AppRow:
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

        def work(db: Transaction) -> None:
            values = (json.dumps(list(roles)), app_id)
            if not db.execute("UPDATE apps SET roles = ? WHERE app_id = ?", values).rowcount:
                raise StoreError(f"no application {app_id}")

        await self._run(work)

    async def set_webhook(self, app_id: str, uri: str | None) -> None:
        """Say where an application is told of incoming calls; None: nowhere."""

        def work(db: Transaction) -> None:
            values = (uri, app_id)
            if not db.execute("UPDATE apps SET webhook = ? WHERE app_id = ?", values).rowcount:
                raise StoreError(f"no application {app_id}")

        await self._run(work)

    async def app(self, app_id: str) -> AppRow | None:
        """Return the application of that id."""
        return await self._run(lambda db: _app(db, app_id))

    async def add_user(self, user: UserRow) -> UserRow:
        """Add *user* unless the id is there; return what is there now."""

        def work(db: Transaction) -> UserRow:
            db.execute(
                "INSERT INTO users (user_id, display_name, token) VALUES (?, ?, ?)"
                " ON CONFLICT (user_id) DO NOTHING",
                (user.user_id, user.display_name, user.token),
            )
            row = db.execute(
                "SELECT user_id, display_name, token FROM users WHERE user_id = ?", (user.user_id,)
            ).fetchone()
            return _user(row)

        return await self._run(work)

    async def users(self) -> tuple[UserRow, ...]:
        """Return the directory, in the order in which users were added."""

        def work(db: Transaction) -> tuple[UserRow, ...]:
            rows = db.execute("SELECT user_id, display_name, token FROM users ORDER BY position")
            return tuple(readable(rows, _user))

        return await self._run(work)


def _user(row: tuple[str, str, str]) -> UserRow:
    """Raises: CorruptRowError."""
    user_id, display_name, token = row
    sound("users", f"user_id {user_id!r}", *row)
    return UserRow(user_id, display_name, token)


def _app(db: Transaction, app_id: str) -> AppRow | None:
    row = db.execute(
        "SELECT app_id, tenant_id, display_name, secret, roles, webhook FROM apps WHERE app_id = ?",
        (app_id,),
    ).fetchone()
    if row is None:
        return None
    found_id, tenant_id, display_name, secret, roles, webhook = row
    sound("apps", f"app_id {found_id!r}", tenant_id, display_name, secret, webhook)
    found = document("apps", f"app_id {found_id!r}", roles, list)
    return AppRow(found_id, tenant_id, display_name, secret, tuple(found), webhook)
