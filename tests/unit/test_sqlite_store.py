"""The store in an SQLite file: the file itself, and files of earlier versions."""

from __future__ import annotations

import json
import os
import sqlite3
from pathlib import Path

import pytest

from mixminus.control.graph.enums import ALL_ROLES
from mixminus.control.store.base import AppRow, CallRow, StoreError
from mixminus.control.store.migrations import MIGRATIONS
from mixminus.control.store.sqlite import SqliteStore

CALL = CallRow("call-1", "app", "tenant", "https://bot/", "establishing", False, {"id": "call-1"})


async def test_commits_are_on_the_disk_and_the_file_is_private(
    tmp_path: Path,
) -> None:
    store = await SqliteStore.open(tmp_path / "test.db")
    db = store._connection
    assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert db.execute("PRAGMA synchronous").fetchone() == (2,)
    await store.save_call(CALL, [])
    for name in ("test.db", "test.db-wal", "test.db-shm"):
        assert os.stat(tmp_path / name).st_mode & 0o077 == 0, name
    await store.close()


async def test_file_of_a_later_version_is_refused(tmp_path: Path) -> None:
    later = sqlite3.connect(tmp_path / "test.db")
    later.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    later.close()
    with pytest.raises(StoreError, match="version"):
        await SqliteStore.open(tmp_path / "test.db")


async def test_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "test.db").write_text("not a database, but long enough to be read as one" * 20)
    with pytest.raises(StoreError, match="cannot open"):
        await SqliteStore.open(tmp_path / "test.db")


def make_first_version(path: Path, roles: list[str]) -> None:
    db = sqlite3.connect(path)
    db.executescript(MIGRATIONS[0] + "PRAGMA user_version = 1;")
    values = ("app", "tenant", "Bot", "secret", json.dumps(roles))
    db.execute("INSERT INTO apps VALUES (?, ?, ?, ?, ?)", values)
    db.execute(
        "INSERT INTO calls (call_id, app_id, tenant_id, callback_uri, state, is_over, resource)"
        " VALUES ('call-1', 'app', 'tenant', 'https://bot/', 'established', 0, '{}')"
    )
    db.execute(
        "INSERT INTO outbox (message_id, call_id, status, body)"
        " VALUES ('message', 'call-1', 'pending', 'body')"
    )
    db.commit()
    db.close()


async def test_database_of_the_first_version_keeps_what_it_holds(tmp_path: Path) -> None:
    make_first_version(tmp_path / "test.db", ["Calls.Initiate.All"])
    store = await SqliteStore.open(tmp_path / "test.db")
    assert await store.app("app") == AppRow(
        "app", "tenant", "Bot", "secret", ("Calls.Initiate.All",), None
    )
    assert [call.call_id for call in await store.living_calls()] == ["call-1"]
    waiting = await store.next_notification("call-1")
    assert waiting is not None
    assert waiting.body == "body"
    assert await store.meetings() == ()
    await store.close()
    again = await SqliteStore.open(tmp_path / "test.db")
    assert [call.call_id for call in await again.living_calls()] == ["call-1"]
    await again.close()


async def test_app_that_had_every_permission_gets_the_new_ones(tmp_path: Path) -> None:
    first = [role.value for role in ALL_ROLES if role.value.startswith("Calls.")]
    assert len(first) == 5
    make_first_version(tmp_path / "test.db", first)
    store = await SqliteStore.open(tmp_path / "test.db")
    app = await store.app("app")
    assert app is not None
    assert set(app.roles) == {role.value for role in ALL_ROLES}
    await store.close()
