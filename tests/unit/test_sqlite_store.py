"""The store in an SQLite file: the file itself, and files of earlier versions."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from mixminus.control.graph.enums import ALL_ROLES
from mixminus.control.store import database
from mixminus.control.store.base import (
    AppRow,
    CallRow,
    RecordQuery,
    RecordRow,
    StoreAwayError,
    StoreError,
)
from mixminus.control.store.migrations import MIGRATIONS
from mixminus.control.store.opening import open_store
from mixminus.control.store.rows import CorruptRowError
from mixminus.control.store.sqlite import SqliteStore
from tests.store_kit import Place
from tests.support import eventually

CALL = CallRow("call-1", "app", "tenant", "https://bot/", "establishing", False, {"id": "call-1"})


async def test_commits_are_on_the_disk_and_the_file_is_private(
    tmp_path: Path,
) -> None:
    store = await SqliteStore.open(tmp_path / "test.db")
    db = store._database.connection
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


def copy_as_crashed(path: Path) -> None:
    """Copy the store at *path* with its log, as a crash leaves them."""
    for end in ("", "-wal"):
        shutil.copy(f"{path}{end}", f"{path}.crashed{end}")


async def test_a_log_that_ends_in_half_a_commit_is_recovered(tmp_path: Path) -> None:
    """What was committed before stays, what was being written is not there; all lengths."""
    path = tmp_path / "test.db"
    store = await SqliteStore.open(path)
    await store.save_call(CALL, ["one"])
    wal = tmp_path / "test.db-wal"
    whole = wal.stat().st_size
    await store.save_call(replace(CALL, state="established"), ["two"])
    longer = wal.stat().st_size
    assert longer > whole
    crashed = tmp_path / "test.db.crashed"
    for cut in (whole, whole + 1, (whole + longer) // 2, longer - 1, longer):
        copy_as_crashed(path)
        os.truncate(f"{crashed}-wal", cut)
        again = await SqliteStore.open(crashed)
        is_there = cut == longer
        found = await again.call("call-1")
        assert found is not None
        assert found.state == ("established" if is_there else "establishing")
        assert (await again.notification_counts()).pending == 1 + is_there
        await again.save_call(replace(CALL, call_id="call-2"), [])
        await again.close()
        for end in ("", "-wal", "-shm"):
            (tmp_path / f"test.db.crashed{end}").unlink(missing_ok=True)
    await store.close()


@pytest.mark.parametrize("size", [None, 0, 100, 5000])
async def test_a_destroyed_file_is_told_and_left_as_it_is(size: int | None, tmp_path: Path) -> None:
    path = tmp_path / "test.db"
    store = await SqliteStore.open(path)
    for number in range(50):
        await store.save_call(replace(CALL, call_id=f"call-{number}"), ["x" * 1000])
    store._database.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    await store.save_call(CALL, ["in the log alone"])
    copy_as_crashed(path)
    await store.close()
    crashed = tmp_path / "test.db.crashed"
    if size is None:
        crashed.unlink()
    else:
        os.truncate(crashed, size)
    wal = tmp_path / "test.db.crashed-wal"
    log = wal.read_bytes()
    with pytest.raises(StoreError, match="cannot open the store") as caught:
        await SqliteStore.open(crashed)
    assert "backup" in str(caught.value)
    assert not isinstance(caught.value, StoreAwayError)
    assert wal.read_bytes() == log
    assert (crashed.stat().st_size if crashed.exists() else None) == size


async def test_a_row_that_cannot_be_read_is_told_and_the_others_go_on(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    store = await place.open()
    for number in range(3):
        await store.save_call(replace(CALL, call_id=f"call-{number}"), ["body"])
    await store.add_app(AppRow("app", "tenant", "Bot", "secret", ()))
    place.run("UPDATE calls SET resource = '{\"id\": ' WHERE call_id = 'call-1'")
    place.run("UPDATE apps SET roles = '{}'")
    with pytest.raises(CorruptRowError, match=r"table calls .* call_id 'call-1': expected JSON"):
        await store.call("call-1")
    with pytest.raises(CorruptRowError, match=r"table apps .* 'app': expected a JSON array, got d"):
        await store.app("app")
    assert [call.call_id for call in await store.living_calls()] == ["call-0", "call-2"]
    assert "table calls has a row that cannot be read, call_id 'call-1'" in caplog.text
    # Written anew it is whole again; nothing else of it was touched.
    assert (await store.notification_counts("call-1")).pending == 1
    await store.save_call(replace(CALL, call_id="call-1"), [])
    assert len(await store.living_calls()) == 3
    await store.close()


async def test_bytes_that_are_no_text_spoil_one_row(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "test.db")
    for number in range(3):
        await store.save_call(replace(CALL, call_id=f"call-{number}"), [])
    damage = sqlite3.connect(tmp_path / "test.db")
    damage.execute(
        "UPDATE calls SET resource = CAST(x'7b2269ff643a2030227d' AS TEXT) WHERE call_id = 'call-1'"
    )
    damage.commit()
    damage.close()
    assert [call.call_id for call in await store.living_calls()] == ["call-0", "call-2"]
    await store.close()


async def test_records_that_can_be_read_fill_their_pages(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    store = await place.open()
    for number in range(6):
        await store.save_record(
            RecordRow(f"r{number}", "tenant", ("app",), 1, 2, {"id": number}, (), (), ()), [], 0
        )
    place.run("UPDATE records SET resource = '[]' WHERE record_id IN ('r0', 'r2', 'r3')")
    query = RecordQuery("tenant", "app", 0)
    found = await store.records(query, 2)
    assert [resource["id"] for _, resource in found] == [1, 4]
    assert len(await store.records(query, 10)) == 3
    with pytest.raises(CorruptRowError, match=r"table records .* record_id 'r2'"):
        await store.record("r2")
    await store.close()


async def test_a_file_that_is_held_at_the_start_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(database, "PATIENCE_MS", 0)
    path = tmp_path / "test.db"
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StoreError, match="another program holds it"):
        await open_store(None, path, wait_s=0)
    opening = asyncio.create_task(open_store(None, path, wait_s=60))
    await eventually(lambda: "waiting up to 60 s" in caplog.text)
    other.execute("ROLLBACK")
    other.close()
    await (await opening).close()
