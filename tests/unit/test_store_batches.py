"""Works that wait for the store: one transaction for many, each on its own; refused while away."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from mixminus.control.operation.metrics import Families, collect_store
from mixminus.control.store import batches, database
from mixminus.control.store.base import CallRow, NotificationCounts, StoreAwayError, StoreError
from mixminus.control.store.batches import Work
from mixminus.control.store.engine import Engine, Transaction
from mixminus.control.store.sqlite import SqliteStore
from tests.store_kit import Place
from tests.support import eventually

CALL = CallRow("call-1", "app", "tenant", "https://bot/", "establishing", False, {"id": "call-1"})


@pytest.fixture
async def store(place: Place) -> AsyncIterator[Any]:
    """A store on each engine: the works of tests go to its ``_run``."""
    opened = await place.open()
    yield opened
    await opened.close()


@pytest.fixture
async def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SqliteStore]:
    """A file whose other users are not waited for."""
    monkeypatch.setattr(database, "PATIENCE_MS", 0)
    opened = await SqliteStore.open(tmp_path / "test.db")
    yield opened
    await opened.close()


def add(name: str, value: str = "x") -> Callable[[Transaction], str]:
    """A work that adds a secret, and fails when there is one of that name."""

    def work(db: Transaction) -> str:
        db.execute("INSERT INTO secrets VALUES (?, ?)", (name, value))
        return name

    return work


def names(db: Transaction) -> list[str]:
    return [name for (name,) in db.execute("SELECT name FROM secrets ORDER BY name")]


async def test_works_that_wait_share_a_transaction(store: Any) -> None:
    before = store.stats.transactions
    wanted = [f"n{number:02}" for number in range(50)]
    assert await asyncio.gather(*(store._run(add(name)) for name in wanted)) == wanted
    assert await store._run(names) == wanted
    assert store.stats.transactions - before < 10
    assert store.stats.largest > 10
    assert sum(store.stats.taken.distribution().counts) == store.stats.transactions


async def test_works_are_done_in_their_order(store: Any) -> None:
    seen: list[int] = []

    async def one(number: int) -> None:
        await store._run(lambda db: db.execute("SELECT 1").fetchone())
        seen.append(number)

    await asyncio.gather(*(one(number) for number in range(200)))
    assert seen == list(range(200))


async def test_a_work_that_fails_is_undone_alone(store: Any) -> None:
    def bad(db: Transaction) -> None:
        add("half")(db)
        raise LookupError("its own")

    def twice(db: Transaction) -> None:
        add("other half")(db)
        add("first")(db)

    found = await asyncio.gather(
        *(store._run(work) for work in (add("first"), bad, add("second"), twice, add("third"))),
        return_exceptions=True,
    )
    assert [found[0], found[2], found[4]] == ["first", "second", "third"]
    assert isinstance(found[1], LookupError)
    assert isinstance(found[3], StoreError)
    assert not isinstance(found[3], StoreAwayError)
    assert "unique" in str(found[3]).lower()
    assert await store._run(names) == ["first", "second", "third"]
    assert store.away is None


async def test_a_work_alone_that_fails_is_undone(store: Any) -> None:
    def bad(db: Transaction) -> None:
        add("half")(db)
        raise LookupError("its own")

    with pytest.raises(LookupError, match="its own"):
        await store._run(bad)
    assert await store._run(names) == []


async def test_who_no_longer_waits_has_nothing_written(store: Any) -> None:
    running, go = threading.Event(), threading.Event()

    def slow(db: Transaction) -> None:
        running.set()
        assert go.wait(30)

    first = asyncio.create_task(store._run(slow))
    await asyncio.to_thread(running.wait, 30)
    second = asyncio.create_task(store._run(add("never")))
    third = asyncio.create_task(store._run(add("written")))
    await eventually(lambda: store.stats.waiting == 2)
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)
    go.set()
    await asyncio.gather(first, third)
    assert await store._run(names) == ["written"]


async def test_what_waits_is_done_before_it_closes(place: Place) -> None:
    store: Any = await place.open()
    adding = [asyncio.create_task(store._run(add(f"n{number}"))) for number in range(5)]
    await asyncio.sleep(0)
    await store.close()
    await asyncio.gather(*adding)
    again: Any = await place.open()
    assert len(await again._run(names)) == 5
    await again.close()


async def test_a_file_that_another_program_holds_is_refused_at_once_and_found_again(
    file: SqliteStore, caplog: pytest.LogCaptureFixture
) -> None:
    await file.save_call(CALL, ["one"])
    other = sqlite3.connect(file._database.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    for _ in range(3):
        with pytest.raises(StoreAwayError, match="is away: database is locked") as caught:
            await file.save_call(replace(CALL, state="lost"), ["lost"])
        assert caught.value.retry_after_s > 0
    assert file.away is not None
    assert file.stats.is_away
    waiting = asyncio.create_task(file.until_back())
    await asyncio.sleep(0)
    assert not waiting.done()
    other.execute("COMMIT")
    other.close()
    await waiting
    await file.save_call(CALL, ["two"])
    assert await file.call("call-1") == CALL
    assert await file.notification_counts() == NotificationCounts(0, 0, 2)
    assert file.stats.away_count == 1
    assert file.stats.refused == 3
    told = [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]
    assert len([line for line in told if "is away" in line]) == 1


async def test_a_full_disk_loses_nothing_that_was_acknowledged(file: SqliteStore) -> None:
    acknowledged = 0
    db = file._database.connection
    pages = db.execute("PRAGMA page_count").fetchone()[0]
    db.execute(f"PRAGMA max_page_count = {pages + 8}")
    refused = 0
    for number in range(40):
        await file.until_back()
        works = [file._run(add(f"{number}-{one}", "x" * 3000)) for one in range(3)]
        for found in await asyncio.gather(*works, return_exceptions=True):
            if isinstance(found, StoreAwayError):
                assert "full" in str(found)
                refused += 1
            else:
                acknowledged += 1
        if refused > 6:
            break
    assert refused > 6
    await file.until_back()
    db.execute("PRAGMA max_page_count = 1000000")
    await file._run(add("room again"))
    assert len(await file._run(names)) == acknowledged + 1
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


async def test_a_disk_that_says_nothing_holds_up_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "STUCK_S", 0.05)
    store = await SqliteStore.open(tmp_path / "test.db")
    running, go = threading.Event(), threading.Event()

    def hangs(db: Transaction) -> str:
        running.set()
        assert go.wait(30)
        return "done after all"

    slow = asyncio.create_task(store._run(hangs))
    await asyncio.to_thread(running.wait, 30)
    behind = asyncio.create_task(store._run(names))
    with pytest.raises(StoreAwayError, match="has not answered for"):
        await behind
    with pytest.raises(StoreAwayError):
        await store._run(names)
    go.set()
    assert await slow == "done after all"
    await store.until_back()
    assert await store._run(names) == []
    await store.close()


async def test_closing_while_away_ends_who_waits_for_its_return(file: SqliteStore) -> None:
    other = sqlite3.connect(file._database.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreAwayError):
        await file.save_call(CALL, [])
    waiting = asyncio.create_task(file.until_back())
    await asyncio.sleep(0)
    await file.close()
    await waiting
    with pytest.raises(StoreError, match="closed"):
        await file.save_call(CALL, [])
    other.close()


async def test_a_host_is_woken_by_what_is_committed_for_it(tmp_path: Path) -> None:
    store: Engine = await SqliteStore.open(tmp_path / "test.db", instance="a")
    woken: list[str] = []
    off = store.on_wake(lambda: woken.append("woken"))

    def tell(to: str | None, fails: bool = False) -> Callable[[Transaction], None]:
        def work(db: Transaction) -> None:
            store._tell(db, to)
            assert not woken
            if fails:
                raise LookupError(to)

        return work

    await store._run(tell("b"))
    with pytest.raises(LookupError):
        await store._run(tell("a", fails=True))
    await store._run(names)
    assert woken == []
    for to in ("a", None):
        await store._run(tell(to))
        await eventually(lambda: woken == ["woken"])
        woken.clear()
    off()
    off()
    await store._run(tell("a"))
    await store._run(names)
    assert woken == []
    await store.close()


async def test_metrics_tell_what_was_done_and_refused(file: SqliteStore) -> None:
    def value(name: str, **labels: str) -> float:
        families = Families()
        collect_store(families, "service", file.stats)
        registry = CollectorRegistry()
        registry.register(families)
        found = registry.get_sample_value(name, {"role": "service", **labels})
        assert found is not None
        return found

    await asyncio.gather(*(file._run(add(f"n{number}")) for number in range(4)))
    with pytest.raises(StoreError):
        await file._run(add("n1"))
    works = "mixminus_store_works_total"
    assert value(works, outcome="done") == 4
    assert value(works, outcome="failed") == 1
    count = value("mixminus_store_transaction_seconds_count")
    assert count == file.stats.transactions
    assert value("mixminus_store_transaction_works_max") == 4
    assert value("mixminus_store_away") == 0
    other = sqlite3.connect(file._database.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreAwayError):
        await file._run(names)
    assert value("mixminus_store_away") == 1
    assert value(works, outcome="refused") == 1
    other.close()
    await file.until_back()
    assert value("mixminus_store_away") == 0
    assert value("mixminus_store_outages_total") == 1


class Away:
    """A database that is away until it was looked at *looks* times; then it has nothing to say."""

    def __init__(self, looks: int, for_ever: bool = False) -> None:
        self.looks, self.for_ever = looks, for_ever
        self.is_away = True
        self.tried = self.looking = self.most_looking = 0

    def commit(self, works: Sequence[Work]) -> None:
        self.tried += len(works)
        if self.is_away:
            raise StoreAwayError("nobody is there")
        for work in works:
            work.run(NOTHING)

    def probe(self) -> None:
        self.looking += 1
        self.most_looking = max(self.most_looking, self.looking)
        self.looks -= 1
        self.looking -= 1
        if self.looks == 0 and self.for_ever:
            raise StoreError("taken over")
        if self.looks > 0:
            raise StoreAwayError("still nobody")
        self.is_away = False

    def close(self) -> None:
        self.is_away = True

    def break_off(self) -> None:
        raise AssertionError("expected nothing that hangs")


class Bare(Engine):
    """An engine without tables."""

    def _tell(self, db: Transaction, instance: str | None) -> None:
        raise AssertionError("expected nothing to be told")


NOTHING: Any = None


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "FIRST_PROBE_S", 0.001)
    monkeypatch.setattr(batches, "LONGEST_PROBE_S", 0.002)


def bare(database: Away) -> Bare:
    return Bare(database, ThreadPoolExecutor(max_workers=1), stuck_s=60)


@pytest.mark.usefixtures("soon")
async def test_while_it_is_away_nothing_is_tried_but_one_look_at_a_time() -> None:
    gone = Away(looks=5)
    store = bare(gone)
    with pytest.raises(StoreAwayError, match="nobody is there"):
        await store._run(lambda db: "lost")
    for _ in range(20):
        with pytest.raises(StoreAwayError):
            await store._run(lambda db: "refused")
    assert gone.tried == 1
    await store.until_back()
    assert (gone.looks, gone.most_looking) == (0, 1)
    assert await store._run(lambda db: "done") == "done"
    assert (store.stats.refused, store.stats.works) == (21, 1)
    await store.close()


@pytest.mark.usefixtures("soon")
async def test_what_is_lost_for_ever_says_why_and_is_not_looked_at_again() -> None:
    taken = Away(looks=2, for_ever=True)
    store = bare(taken)
    with pytest.raises(StoreAwayError):
        await store._run(lambda db: "lost")
    await eventually(lambda: store.away is not None and str(store.away) == "taken over")
    with pytest.raises(StoreError, match="taken over") as caught:
        await store._run(lambda db: "refused")
    assert not isinstance(caught.value, StoreAwayError)
    assert (taken.tried, taken.looks) == (1, 0)
    await store.close()


async def test_groups_have_at_least_one_work(file: SqliteStore) -> None:
    with pytest.raises(ValueError, match="most_works: expected 1 or more, got 0"):
        file.group(0)
    file.group(1)
    await asyncio.gather(*(file._run(add(f"n{number}")) for number in range(5)))
    assert file.stats.largest == 1
    assert file.stats.transactions == 5
