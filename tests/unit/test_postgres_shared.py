"""PostgreSQL shared by hosts: names, conflicts, what they tell each other, and a late server."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from mixminus.control.store.base import CallRow, StoreAwayError, StoreError
from mixminus.control.store.engine import Transaction
from mixminus.control.store.host_base import InstanceInUseError
from mixminus.control.store.opening import open_store
from mixminus.control.store.postgres import holding, line
from mixminus.control.store.postgres.store import PostgresDatabase
from tests.postgres_kit import PASSWORD, PostgresServer
from tests.postgres_proxy import Proxy
from tests.store_kit import PostgresPlace
from tests.support import eventually

pytestmark = pytest.mark.slow

NOWHERE = Path("no file")
CALL = CallRow("call-1", "app", "tenant", "https://bot/", "establishing", False, {"id": "call-1"})


@pytest.fixture
def place(postgres: PostgresServer) -> PostgresPlace:
    return PostgresPlace(postgres)


@pytest.fixture
async def hosts(place: PostgresPlace) -> AsyncIterator[list[PostgresDatabase]]:
    """Two hosts on one database."""
    opened = [await PostgresDatabase.open(place.url, instance=name) for name in ("a", "b")]
    for host in opened:
        assert host._listener is not None
        await host._listener.is_listening.wait()
    yield opened
    for host in opened:
        await host.close()


def put(name: str, value: int) -> str:
    return (
        f"INSERT INTO secrets VALUES ('{name}', '{value}')"
        f" ON CONFLICT (name) DO UPDATE SET value = '{value}'"
    )


def putting(name: str) -> Callable[[Transaction], str]:
    def work(db: Transaction) -> str:
        db.execute(put(name, 1))
        return name

    return work


def count_up(db: Transaction) -> int:
    """Read, then write: two at once would lose one, did nobody look."""
    row = db.execute("SELECT value FROM secrets WHERE name = 'count'").fetchone()
    number = 1 + (0 if row is None else int(row[0]))
    db.execute(put("count", number))
    return number


async def test_two_who_count_at_once_lose_nothing(hosts: list[PostgresDatabase]) -> None:
    async def count(host: PostgresDatabase) -> int:
        return await host._run(count_up)

    async def one_after_another(host: PostgresDatabase) -> list[int]:
        return [await count(host) for _ in range(30)]

    found = await asyncio.gather(*(one_after_another(host) for host in hosts))
    assert sorted(itertools.chain(*found)) == list(range(1, 61))


async def test_a_batch_that_others_got_in_the_way_of_is_done_again(
    hosts: list[PostgresDatabase],
) -> None:
    async def count(host: PostgresDatabase) -> list[int]:
        return await asyncio.gather(*(host._run(count_up) for _ in range(20)))

    found = await asyncio.gather(*(count(host) for host in hosts))
    assert sorted(itertools.chain(*found)) == list(range(1, 41))
    assert all(host.stats.largest > 1 for host in hosts)


async def test_a_name_in_use_is_refused_and_free_afterwards(
    place: PostgresPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holding, "HOLD_S", 0.2)
    service = await place.open()  # A call service and hosts share a database.
    first = await PostgresDatabase.open(place.url, instance="host-1")
    with pytest.raises(
        InstanceInUseError, match=r"'host-1' .* in use by 'mixminus \S+:\d+"
    ) as told:
        await PostgresDatabase.open(place.url, instance="host-1")
    assert "give each host a name of its own" in str(told.value)
    assert PASSWORD not in str(told.value)
    other = await PostgresDatabase.open(place.url, instance="host-2")
    await first.close()
    again = await PostgresDatabase.open(place.url, instance="host-1")
    await service.save_call(CALL, [])
    for store in (again, other, service):
        await store.close()


async def test_a_host_hears_what_is_told_to_it_or_to_all(hosts: list[PostgresDatabase]) -> None:
    a, b = hosts
    heard: list[str] = []
    a.on_wake(lambda: heard.append("a"))
    b.on_wake(lambda: heard.append("b"))

    def tell(instance: str | None, fails: bool = False) -> Callable[[Transaction], None]:
        def work(db: Transaction) -> None:
            a._tell(db, instance)
            if fails:
                raise LookupError(instance)

        return work

    with pytest.raises(LookupError):
        await a._run(tell("b", fails=True))
    await a._run(tell("b"))
    await eventually(lambda: heard == ["b"])
    await a._run(tell(None))
    await eventually(lambda: sorted(heard) == ["a", "b", "b"])


async def test_it_listens_again_and_asks_what_it_missed(
    place: PostgresPlace, hosts: list[PostgresDatabase]
) -> None:
    a, b = hosts
    heard: list[str] = []
    b.on_wake(lambda: heard.append("b"))
    with place.server.connect(place.url) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name LIKE '% listens'"
        )
    await eventually(lambda: heard == ["b"], 15.0)
    heard.clear()

    def tell(db: Transaction) -> None:
        a._tell(db, "b")

    await a._run(tell)
    await eventually(lambda: heard == ["b"])


@pytest.mark.parametrize("lost", ["before", "after"])
async def test_a_commit_without_an_answer_is_asked_for_and_done_once(
    lost: str, place: PostgresPlace
) -> None:
    """With others that go on meanwhile: what is asked for is this one transaction."""
    other = await PostgresDatabase.open(place.url, instance="other")
    with Proxy(place.server.port) as proxy:
        url = place.url.replace(f":{place.server.port}/", f":{proxy.port}/")
        host = await PostgresDatabase.open(url, instance="host")
        await host._run(count_up)
        proxy.lose_commit = lost
        assert sorted(await asyncio.gather(host._run(count_up), host._run(count_up))) == [2, 3]
        assert proxy.lost == 1
        assert await other._run(count_up) == 4
        assert host.stats.away_count == 0
        await host.close()
    await other.close()


async def test_a_row_that_somebody_holds_fails_those_who_want_it_alone(
    place: PostgresPlace, hosts: list[PostgresDatabase]
) -> None:
    host = hosts[0]
    await host._run(putting("held"))
    with place.server.connect(place.url) as other:
        other.execute("BEGIN")
        other.execute("UPDATE mixminus.secrets SET value = 'by hand' WHERE name = 'held'")
        names = ("one", "held", "held", "two")
        found = await asyncio.gather(
            *(host._run(putting(name)) for name in names), return_exceptions=True
        )
        assert [found[0], found[3]] == ["one", "two"]
        assert all(isinstance(one, StoreAwayError) for one in found[1:3]), found
        assert host.away is None
        other.execute("ROLLBACK")
    await host._run(putting("held"))


async def test_a_server_that_comes_late_is_waited_for(
    place: PostgresPlace, caplog: pytest.LogCaptureFixture
) -> None:
    place.server.stop()
    opening = asyncio.create_task(open_store(place.url, NOWHERE, wait_s=60))
    try:
        await eventually(lambda: "waiting up to 60 s" in caplog.text, 15.0)
        assert not opening.done()
    finally:
        await asyncio.to_thread(place.server.start)
    store = await opening
    assert await store.users() == ()
    await store.close()
    assert caplog.text.count("waiting up to") == 1
    assert PASSWORD not in caplog.text


async def test_a_server_that_does_not_come_is_given_up_and_a_refusal_is_not_waited_for(
    place: PostgresPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line, "PING_S", 1)
    with pytest.raises(StoreError, match="cannot open the store") as caught:
        await open_store("postgresql://mixminus@127.0.0.1:1/x", NOWHERE, wait_s=0.1)
    assert not isinstance(caught.value, StoreAwayError)
    async with asyncio.timeout(10):
        with pytest.raises(StoreError, match="password authentication failed"):
            wrong = place.server.url("test0", password="wrong")
            await open_store(wrong, NOWHERE, wait_s=600)
