"""The store in PostgreSQL: what breaks, who may have it, and that nothing is lost or doubled."""

from __future__ import annotations

import asyncio
import random
import re
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mixminus.control.store.base import CallRow, NotificationCounts, Store, StoreError
from mixminus.control.store.migrations import MIGRATIONS as SQLITE_MIGRATIONS
from mixminus.control.store.opening import open_store
from mixminus.control.store.postgres import holding
from mixminus.control.store.postgres import store as postgres_store
from mixminus.control.store.postgres.migrations import MIGRATIONS
from tests.postgres_kit import PASSWORD, PASSWORD_IN_URL, PostgresServer
from tests.postgres_proxy import Proxy
from tests.store_kit import PostgresPlace
from tests.support import eventually

pytestmark = pytest.mark.slow

CALL = CallRow("call-1", "app", "tenant", "https://bot/", "establishing", False, {"id": "call-1"})
NOWHERE = Path("no file")


@pytest.fixture
def database(postgres: PostgresServer) -> PostgresPlace:
    return PostgresPlace(postgres)


@pytest.fixture
async def store(database: PostgresPlace) -> AsyncIterator[Store]:
    opened = await database.open()
    yield opened
    await opened.close()


@pytest.fixture
def proxy(postgres: PostgresServer) -> Iterator[Proxy]:
    with Proxy(postgres.port) as proxy:
        yield proxy


async def through(proxy: Proxy, place: PostgresPlace) -> Store:
    url = place.url.replace(f":{place.server.port}/", f":{proxy.port}/")
    return await open_store(f"{url}?connect_timeout=2", NOWHERE, wait_s=0)


async def answers(store: Store) -> bool:
    try:
        await store.users()
    except StoreError:
        return False
    return True


async def refusal(url: str) -> str:
    """Why a store cannot be opened: one line, and no secret in it."""
    with pytest.raises(StoreError) as caught:
        await open_store(url, NOWHERE, wait_s=0)
    message = str(caught.value)
    assert "\n" not in message
    assert PASSWORD not in message
    assert PASSWORD_IN_URL not in message
    return message


async def test_a_server_that_was_away_is_found_again(
    database: PostgresPlace, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    await store.save_call(CALL, ["one"])
    database.server.stop()
    try:
        for _ in range(20):
            began_s = time.monotonic()
            with pytest.raises(StoreError, match=r"is away: .*refused"):
                await store.save_call(CALL, ["lost"])
            assert time.monotonic() - began_s < 1.0
    finally:
        database.server.start()
    await eventually(lambda: answers(store), 15.0)
    assert await store.notification_counts() == NotificationCounts(0, 0, 1)
    await store.save_call(CALL, ["two"])
    assert await store.notification_counts() == NotificationCounts(0, 0, 2)
    told = [record.getMessage() for record in caplog.records if record.levelname != "DEBUG"]
    assert sum("is away" in line for line in told) == 1
    assert PASSWORD not in caplog.text
    assert PASSWORD_IN_URL not in caplog.text


async def test_what_idled_over_a_restart_does_not_notice(
    database: PostgresPlace, store: Store
) -> None:
    await store.save_call(CALL, ["one"])
    for mode in ("fast", "immediate"):
        database.server.stop(mode)
        database.server.start()
        assert await store.call("call-1") == CALL
    await store.save_call(CALL, ["two"])
    assert await store.notification_counts() == NotificationCounts(0, 0, 2)


@pytest.mark.parametrize("lost", ["before", "after"])
async def test_a_commit_without_an_answer_is_what_the_store_says(
    lost: str, database: PostgresPlace, proxy: Proxy
) -> None:
    store = await through(proxy, database)
    await store.save_call(CALL, ["one"])
    proxy.lose_commit = lost
    proxy.refuse.set()
    later = replace(CALL, state="established")
    saving = asyncio.create_task(store.save_call(later, ["two"]))
    await eventually(lambda: proxy.lost == 1)
    # Whether it is written nobody knows: others are refused, and this one waits.
    await eventually(lambda: refused(store))
    assert not saving.done()
    proxy.refuse.clear()
    if lost == "after":
        await saving
    else:
        with pytest.raises(StoreError):
            await saving
    written = lost == "after"
    assert await store.call("call-1") == (later if written else CALL)
    assert (await store.notification_counts()).pending == 1 + written
    await store.close()


async def refused(store: Store) -> bool:
    return not await answers(store)


async def test_what_is_acknowledged_is_written_once_whatever_the_server_does(
    database: PostgresPlace, store: Store
) -> None:
    """Eight write all the time while the server stops, crashes and cuts them off."""
    chance = random.Random(7)
    acknowledged: list[str] = []
    stopped = asyncio.Event()

    async def write(name: str) -> None:
        number = 0
        while not stopped.is_set():
            number += 1
            body = f"{name}-{number}"
            try:
                await store.save_call(replace(CALL, call_id=name), [body])
            except StoreError:
                await asyncio.sleep(0.01)
            else:
                acknowledged.append(body)

    async def wait_for_more() -> None:
        wanted = len(acknowledged) + chance.randrange(1, 60)
        await eventually(lambda: len(acknowledged) >= wanted, 30.0)

    writers = [asyncio.create_task(write(f"call-{number}")) for number in range(8)]
    for fault in ("cut", "fast", "cut", "immediate", "cut", "fast"):
        await wait_for_more()
        if fault == "cut":
            await asyncio.to_thread(cut_off, database)
        else:
            await asyncio.to_thread(database.server.stop, fault)
            await asyncio.to_thread(database.server.start)
    await wait_for_more()
    stopped.set()
    await asyncio.gather(*writers)
    with database.server.connect(database.url) as connection:
        rows = connection.execute("SELECT body FROM mixminus.outbox ORDER BY sequence")
        written = [body for (body,) in rows]
    assert sorted(written) == sorted(acknowledged)
    for number in range(len(writers)):
        of_one = [body for body in written if body.startswith(f"call-{number}-")]
        assert of_one == [body for body in acknowledged if body.startswith(f"call-{number}-")]


def cut_off(database: PostgresPlace) -> None:
    """End the store's session on the server."""
    with database.server.connect(database.url) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name LIKE 'mixminus %' AND datname = current_database()"
        )


async def test_closing_ends_what_waits_to_be_known(database: PostgresPlace, proxy: Proxy) -> None:
    store = await through(proxy, database)
    proxy.lose_commit = "before"
    proxy.refuse.set()
    saving = asyncio.create_task(store.save_call(CALL, ["one"]))
    await eventually(lambda: proxy.lost == 1)
    await eventually(lambda: refused(store))
    await store.close()
    with pytest.raises(StoreError, match="closed before it was known"):
        await saving


async def test_a_server_that_hangs_is_given_up(
    database: PostgresPlace, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_store, "STUCK_S", 0.3)
    store = await through(proxy, database)
    proxy.mute.set()
    async with asyncio.timeout(30):
        with pytest.raises(StoreError):
            await store.users()
    proxy.mute.clear()
    await eventually(lambda: answers(store), 15.0)
    await store.close()


@pytest.mark.parametrize("text", ["a\0b", "\ud800"])
async def test_a_resource_with_what_postgres_has_no_text_for_comes_back(
    text: str, store: Store
) -> None:
    odd = replace(CALL, resource={"callChainId": "chain", "subject": text})
    await store.save_call(odd, ["one"])
    assert await store.call("call-1") == odd
    row = await store.next_notification("call-1")
    assert row is not None
    assert (row.body, row.chain_id) == ("one", "call-1")
    await store.save_call(CALL, [text.encode("unicode-escape").decode()])
    with pytest.raises((StoreError, UnicodeEncodeError)):
        await store.save_call(CALL, [text])
    assert (await store.notification_counts()).pending == 2


async def test_others_who_write_are_waited_for(database: PostgresPlace, store: Store) -> None:
    await store.save_call(CALL, [])
    with database.server.connect(database.url) as other:
        other.execute("BEGIN")
        other.execute("UPDATE mixminus.calls SET state = 'by hand'")
        saving = asyncio.create_task(store.save_call(CALL, ["one"]))
        await asyncio.to_thread(wait_for_lock, database)
        other.execute("COMMIT")
        await saving
    assert await store.call("call-1") == CALL
    assert (await store.notification_counts()).pending == 1


def wait_for_lock(database: PostgresPlace) -> None:
    with database.server.connect(database.url) as looking:
        for _ in range(1000):
            found = looking.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchone()
            if found is not None:
                return
            time.sleep(0.005)
    raise AssertionError("expected the store to wait for a lock")


async def test_a_second_service_is_refused_until_the_first_has_ended(
    database: PostgresPlace, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.save_call(CALL, [])
    monkeypatch.setattr(holding, "HOLD_S", 0.2)
    message = await refusal(database.url)
    assert re.search(r"in use by 'mixminus \S+:\d+ \w{8}' at 127\.0\.0\.1 since 20\S+Z", message)
    await store.close()
    second = await database.open()
    assert await second.call("call-1") == CALL
    await second.close()


async def test_a_service_whose_database_was_taken_writes_nothing_more(
    database: PostgresPlace, store: Store
) -> None:
    await store.save_call(CALL, [])
    database.run("UPDATE holder SET instance = 'another'")
    cut_off(database)
    for _ in range(2):
        with pytest.raises(StoreError, match="another call service has worked with"):
            await store.save_call(replace(CALL, state="stale"), ["stale"])
    await store.close()
    again = await database.open()
    assert await again.call("call-1") == CALL
    assert (await again.notification_counts()).pending == 0
    await again.close()


async def test_taken_while_the_connection_was_away(
    database: PostgresPlace, store: Store, proxy: Proxy
) -> None:
    await store.close()
    first = await through(proxy, database)
    await first.save_call(CALL, [])
    proxy.lose_commit = "before"
    proxy.refuse.set()
    saving = asyncio.create_task(first.save_call(replace(CALL, state="stale"), []))
    await eventually(lambda: proxy.lost == 1)
    await eventually(lambda: refused(first))
    second = await database.open()
    await second.close()
    proxy.refuse.clear()
    with pytest.raises(StoreError, match="another call service has worked with"):
        await saving
    with pytest.raises(StoreError, match="another call service has worked with"):
        await first.users()
    await first.close()


async def test_database_of_a_later_version_is_refused_and_untouched(
    database: PostgresPlace,
) -> None:
    await (await database.open()).close()
    database.run(f"UPDATE version SET version = {len(MIGRATIONS) + 1}; DROP TABLE changes")
    before = tables(database)
    message = await refusal(database.url)
    assert f"is of version {len(MIGRATIONS) + 1}, this program knows up to" in message
    assert tables(database) == before


def tables(database: PostgresPlace) -> set[tuple[str, str]]:
    with database.server.connect(database.url) as connection:
        rows = connection.execute(
            "SELECT table_name, column_name FROM information_schema.columns"
            " WHERE table_schema = 'mixminus'"
        )
        return {(table, column) for table, column in rows}


async def test_both_engines_have_the_same_tables(database: PostgresPlace) -> None:
    await (await database.open()).close()
    db = sqlite3.connect(":memory:")
    db.executescript("".join(SQLITE_MIGRATIONS))
    named = db.execute(
        "SELECT m.name, c.name FROM sqlite_schema m, pragma_table_info(m.name) c"
        " WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite%'"
    )
    own = {table for table in tables(database) if table[0] in ("version", "holder")}
    assert len(own) == 3
    assert tables(database) - own == set(named)
    db.close()


async def test_wrong_addresses_are_told_in_one_line(database: PostgresPlace) -> None:
    server = database.server
    wrong = server.url("test0", password="not+the%3Aone")
    assert 'password authentication failed for user "mixminus"' in await refusal(wrong)
    assert "not+the" not in await refusal(wrong)
    assert "does not exist" in await refusal(server.url("nowhere"))
    assert "failed" in await refusal(f"postgresql://mixminus:{PASSWORD_IN_URL}@127.0.0.1:1/x")
    nobody = f"postgresql://mixminus:{PASSWORD_IN_URL}@nobody.invalid/x"
    assert "nobody.invalid" in await refusal(nobody)


async def test_a_user_without_rights_is_told_what_is_missing(database: PostgresPlace) -> None:
    database.run("CREATE ROLE guest LOGIN PASSWORD 'guest-password'")
    name = database.url.rpartition("/")[2]
    url = database.server.url(name, user="guest", password="guest-password")
    message = await refusal(url)
    assert "permission denied for database" in message
    assert "GRANT CREATE ON DATABASE" in message
    assert "guest-password" not in message
    assert tables(database) == set()
    # A schema of its own is enough.
    database.run("CREATE SCHEMA mixminus AUTHORIZATION guest")
    store = await open_store(url, NOWHERE)
    await store.save_call(CALL, ["one"])
    await store.close()
