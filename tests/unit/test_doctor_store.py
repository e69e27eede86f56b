"""The doctor's judgements of stores: nothing is changed, and each complaint has a way out."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
from pathlib import Path

import pytest

from mixminus.control.doctor.findings import Finding, Level
from mixminus.control.doctor.store import check_file, check_server
from mixminus.control.store.migrations import MIGRATIONS
from mixminus.control.store.opening import open_store
from mixminus.control.store.postgres.migrations import MIGRATIONS as POSTGRES_MIGRATIONS
from tests.postgres_kit import PASSWORD, PASSWORD_IN_URL, PostgresServer
from tests.store_kit import PostgresPlace


def make(path: Path) -> Path:
    async def work() -> None:
        await (await open_store(None, path)).close()

    asyncio.run(work())
    return path


def files(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(directory.iterdir())}


def judged(path: Path) -> Finding:
    """Judge a file; the judge leaves all as it was."""
    before = files(path.parent)
    found = check_file("store", path)
    after = files(path.parent)
    assert {name: after[name] for name in before} == before
    return found


def test_a_good_file_is_told_with_its_version(tmp_path: Path) -> None:
    found = judged(make(tmp_path / "test.db"))
    assert found.level is Level.OK
    assert f"version {len(MIGRATIONS)}" in found.found
    assert found.details["version"] == len(MIGRATIONS)


def test_a_file_that_is_not_there_is_to_be_made(tmp_path: Path) -> None:
    found = judged(tmp_path / "test.db")
    assert found.level is Level.OK
    assert "is to be made" in found.found
    assert not list(tmp_path.iterdir())


def test_a_newer_file_is_told(tmp_path: Path) -> None:
    db = sqlite3.connect(make(tmp_path / "test.db"))
    db.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    db.close()
    found = judged(tmp_path / "test.db")
    assert found.level is Level.ERROR
    assert (
        f"is of version {len(MIGRATIONS) + 1}, this program knows {len(MIGRATIONS)}" in found.found
    )
    assert "newer" in found.remedy


@pytest.mark.parametrize("how", ["truncated", "overwritten", "emptied", "no database"])
def test_a_damaged_file_is_told(how: str, tmp_path: Path) -> None:
    path = make(tmp_path / "test.db")
    if how == "truncated":
        os.truncate(path, path.stat().st_size // 2)
    elif how == "overwritten":
        data = bytearray(path.read_bytes())
        data[4096 : 4096 * 6] = os.urandom(4096 * 5)
        path.write_bytes(data)
    elif how == "emptied":
        path.write_bytes(b"")
        (tmp_path / "test.db-wal").write_bytes(b"a log")
    else:
        path.write_text("not a database, but long enough to be read as one" * 20)
    found = judged(path)
    assert found.level is Level.ERROR
    assert "backup" in found.remedy


def test_a_file_that_is_held_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mixminus.control.doctor.store.PATIENCE_S", 0.0)
    other = sqlite3.connect(make(tmp_path / "test.db"), isolation_level=None)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    found = check_file("store", tmp_path / "test.db")
    other.close()
    assert found.level is Level.WARNING
    assert "locked" in found.found


def test_without_psycopg_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mixminus.control.store.postgres.looking", None)
    found = check_server("store", "postgresql://localhost/x")
    assert found.level is Level.ERROR
    assert 'pip install "mixminus[postgres]"' in found.remedy


def test_a_url_that_cannot_be_read_is_not_repeated() -> None:
    found = check_server("store", "mysql://bob:geheim@db/calls")
    assert found.level is Level.ERROR
    assert "expected postgresql://" in found.found
    assert "geheim" not in str(found)


@pytest.mark.slow
def test_a_server_is_told_with_what_is_wrong(postgres: PostgresServer) -> None:
    place = PostgresPlace(postgres)

    def look(url: str = place.url) -> Finding:
        found = check_server("store", url)
        assert PASSWORD not in str(found)
        assert PASSWORD_IN_URL not in str(found)
        return found

    # The tests' server does not sync: it works, but is not for production.
    empty = look()
    assert empty.level is Level.WARNING
    assert "fsync is off" in empty.found
    assert empty.details["version"] == 0

    async def while_held() -> Finding:
        store = await place.open()
        found = await asyncio.to_thread(look)
        await store.close()
        return found

    held = asyncio.run(while_held())
    assert "mixminus" in held.details["heldBy"]
    assert held.details["version"] == len(POSTGRES_MIGRATIONS)
    place.run("UPDATE version SET version = version + 1")
    newer = look()
    assert newer.level is Level.ERROR
    assert f"this program knows up to {len(POSTGRES_MIGRATIONS)}" in newer.found
    wrong = look(postgres.url("postgres", password="wrong"))
    assert "password authentication failed" in wrong.found
    assert "mend user, password" in wrong.remedy
    away = look("postgresql://mixminus@127.0.0.1:1/x")
    assert "refused" in away.found
    assert "Start the server" in away.remedy
    with postgres.connect(place.url) as connection:
        connection.execute("CREATE ROLE looker LOGIN PASSWORD 'looks'")
    fresh = PostgresPlace(postgres)
    name = fresh.url.rpartition("/")[2]
    poor = look(postgres.url(name, user="looker", password="looks"))
    assert "may not make the tables" in poor.found
    assert "GRANT CREATE" in poor.remedy
