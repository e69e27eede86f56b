"""``mixminus store``: a store looked through, and copied from SQLite to PostgreSQL."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from mixminus.control.cli.app import build
from mixminus.control.cli.errors import CliError
from mixminus.control.store.base import AppRow, CallRow, UserRow
from mixminus.control.store.checking import DOCUMENTS, check_file
from mixminus.control.store.conversation_base import (
    Beside,
    ConversationRow,
    OperationRow,
    ParticipantRow,
)
from mixminus.control.store.host_base import HostCallRow, Inbound, InstanceRow, RequestRow
from mixminus.control.store.migrations import MIGRATIONS
from mixminus.control.store.opening import open_host_store, open_store
from tests.postgres_kit import PASSWORD, PostgresServer
from tests.store_kit import PostgresPlace

NOWHERE = Path("no file")
CALL = CallRow("call-1", "app", "tenant", "https://bot/", "established", False, {"id": "call-1"})
HOSTED = HostCallRow(
    *("line-1", 3, None, "app", "tenant", "call-1", "app", "established", False),
    *({"id": "call-1"}, {"id": "anna"}, {"kind": "join"}),
    saved_state={"ü": ["\0"]},
)


async def run(*arguments: str) -> Result:
    """Run a command, which has an event loop of its own."""
    return await asyncio.to_thread(CliRunner().invoke, build(), ["store", *arguments])


async def fill(path: Path) -> None:
    """Write something into most tables."""
    store = await open_store(None, path)
    await store.secret("key", lambda: "sécret\\\t\n")
    await store.add_app(AppRow("app", "tenant", "Bot", "hush", ("Calls.Initiate.All",)))
    for number in range(3):
        await store.add_user(UserRow(f"user-{number}", "Anna", f"token-{number}"))
    operation = OperationRow("op-1", "call-1", "play", None, "running", 1, {"a": 1})
    stay = ParticipantRow(1, {"id": "anna"})
    conversation = ConversationRow("talk", "group", "tenant", None, None, ("app",), 5, (stay,))
    beside = Beside(begun=(operation,), conversation=conversation)
    await store.save_call(CALL, ["one", "two"], beside)
    await store.save_call(replace(CALL, call_id="call-2", is_over=True), [])
    await store.forget_calls(0)
    await store.close()
    host = await open_host_store(None, path, "a")
    await host.register(InstanceRow("a", "x", "https://a", 20, 0.25, 3, False, 9))
    await host.add_call(replace(HOSTED, owner="a"))
    await host.offer("line-1", "a", 3)
    await host.receive([Inbound("m/0", "call-1", "tenant", {"x": None})], "a")
    await host.ask(RequestRow("r", "b", "a", {}))
    await host.close()


def content(path: Path) -> dict[str, list[tuple[object, ...]]]:
    db = sqlite3.connect(path)
    found = {
        table: db.execute(f"SELECT * FROM {table}").fetchall() for table in check_file(path).rows
    }
    db.close()
    return found


async def test_a_sound_store_is_counted_also_while_it_is_used(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    await fill(path)
    store = await open_store(None, path)
    result = await run("check", str(path), "--json")
    await store.close()
    assert result.exit_code == 0, result.output
    told = json.loads(result.output)
    assert told["version"] == told["knownVersion"] == len(MIGRATIONS)
    assert told["problems"] == []
    assert (told["rows"]["users"], told["rows"]["outbox"], told["rows"]["host_inbox"]) == (3, 2, 1)
    assert "no problems" in (await run("check", str(path))).output


async def test_every_row_that_cannot_be_read_is_told_by_table_and_key(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    await fill(path)
    db = sqlite3.connect(path)
    wanted = []
    for table, columns in DOCUMENTS.items():
        for column in columns:
            changed = db.execute(f"UPDATE {table} SET {column} = '7'").rowcount
            wanted += [table] * changed
    db.execute("PRAGMA foreign_keys = OFF")
    db.execute("UPDATE outbox SET call_id = 'gone' WHERE sequence = 1")
    db.commit()
    db.close()
    before = content(path)
    result = await run("check", str(path))
    assert result.exit_code == 1
    problems = check_file(path).problems
    assert len(problems) == len(wanted) + 1
    for problem, table in zip(sorted(problems[1:]), sorted(wanted), strict=True):
        assert problem.startswith(f"the store's table {table} has a row that cannot be read, ")
        assert problem in result.output
    assert "outbox has a row, rowid 1, whose calls is gone" in problems[0]
    assert content(path) == before


async def refusal(*arguments: str) -> str:
    """Return what a command that fails says."""
    result = await run(*arguments)
    assert isinstance(result.exception, CliError), result.output
    return str(result.exception)


async def test_what_is_no_store_of_ours_is_refused_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    assert await refusal("check", str(path)) == f"there is no store {path}"
    assert await refusal("copy", str(path), "postgresql://h/d") == f"there is no store {path}"
    path.write_bytes(b"no database" * 100)
    assert "damaged or no database" in await refusal("check", str(path))
    assert "damaged or no database" in await refusal("copy", str(path), "postgresql://h/d")
    assert path.read_bytes() == b"no database" * 100
    path.unlink()
    sqlite3.connect(path).execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    for words in (("check", str(path)), ("copy", str(path), "postgresql://h/d")):
        assert f"is of version {len(MIGRATIONS) + 1}" in await refusal(*words)
    path.unlink()
    sqlite3.connect(path).execute("CREATE TABLE other (x)")
    for words in (("check", str(path)), ("copy", str(path), "postgresql://h/d")):
        assert "no store of ours" in await refusal(*words)


async def test_a_store_in_use_is_not_copied(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    store = await open_store(None, path)
    assert "is in use by another program: stop that first" in await refusal(
        "copy", str(path), "postgresql://h/d"
    )
    assert await store.users() == ()
    await store.close()


@pytest.mark.slow
async def test_all_tables_are_copied_and_both_go_on(
    tmp_path: Path, postgres: PostgresServer
) -> None:
    path, place = tmp_path / "x.db", PostgresPlace(postgres)
    await fill(path)
    before = content(path)
    result = await run("copy", str(path), place.url, "--json")
    assert result.exit_code == 0, result.exception
    counts = {table: len(rows) for table, rows in before.items()}
    assert json.loads(result.output)["rows"] == counts
    assert content(path) == before
    assert not [table for table, rows in counts.items() if not rows and "host" in table]
    checked = json.loads((await run("check", place.url, "--json")).output)
    assert checked["rows"] == counts
    assert checked["problems"] == []

    old, new = await open_store(None, path), await place.open()
    assert await new.users() == await old.users()
    assert await new.secret("key", lambda: "another") == "sécret\\\t\n"
    assert await new.conversations() == await old.conversations()
    assert await new.running_operations("call-1") == await old.running_operations("call-1")
    # Numbers go on: one of a call that is forgotten does not come again.
    await new.save_call(replace(CALL, call_id="call-3"), ["three"])
    with postgres.connect(place.url) as connection:
        row = connection.execute(b"SELECT max(position) FROM mixminus.calls").fetchone()
    assert row == (3,)
    await old.close()
    await new.close()
    host = await place.open_host("a")
    assert await host.living() == (HOSTED,)
    assert [row.beat for row in await host.instances()] == [9]
    await host.close()


@pytest.mark.slow
async def test_a_target_with_rows_or_a_row_that_it_cannot_keep_changes_nothing(
    tmp_path: Path, postgres: PostgresServer
) -> None:
    path, place = tmp_path / "x.db", PostgresPlace(postgres)
    await fill(path)
    store = await place.open()
    await store.save_call(CALL, [])
    await store.close()
    told = await refusal("copy", str(path), place.url)
    assert "the table calls there has 1 rows already: nothing was copied" in told
    assert sum(json.loads((await run("check", place.url, "--json")).output)["rows"].values()) == 1

    empty = PostgresPlace(postgres)
    db = sqlite3.connect(path)
    db.execute("UPDATE users SET display_name = ? WHERE user_id = 'user-1'", ("a\0b",))
    db.commit()
    db.close()
    told = await refusal("copy", str(path), empty.url)
    assert "the table users has a row, position 2, whose display_name is no text" in told
    assert not any(json.loads((await run("check", empty.url, "--json")).output)["rows"].values())
    wrong = empty.url.replace("p%40ss", "nope")
    told = await refusal("check", wrong)
    assert "password authentication failed" in told
    assert PASSWORD not in told


@pytest.mark.slow
async def test_a_file_of_an_earlier_version_is_copied_and_stays(
    tmp_path: Path, postgres: PostgresServer
) -> None:
    path, place = tmp_path / "x.db", PostgresPlace(postgres)
    db = sqlite3.connect(path)
    db.executescript(MIGRATIONS[0])
    db.execute("INSERT INTO users (user_id, display_name, token) VALUES ('anna', 'Anna', 't')")
    db.execute("PRAGMA user_version = 1")
    db.commit()
    db.close()
    result = await run("copy", str(path), place.url)
    assert "1 rows copied" in result.output
    checked = check_file(path)
    assert (checked.version, checked.rows["users"]) == (1, 1)


async def test_the_files_of_service_and_host_go_into_one_database(
    tmp_path: Path, postgres: PostgresServer
) -> None:
    service, host = tmp_path / "service.db", tmp_path / "host.db"
    of_service = await open_store(None, service)
    await of_service.add_user(UserRow("user-1", "Anna", "token-1"))
    await of_service.close()
    of_host = await open_host_store(None, host, "a")
    await of_host.add_call(replace(HOSTED, owner="a"))
    await of_host.close()
    url = postgres.new_database()
    for file in (host, service):
        copied = await run("copy", str(file), url)
        assert copied.exit_code == 0, copied.output
    checked = json.loads((await run("check", url, "--json")).output)
    assert (checked["rows"]["users"], checked["rows"]["host_calls"]) == (1, 1)
