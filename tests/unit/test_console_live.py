"""The live feed over real sockets: what it tells, to whom, and that nothing queues."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from mixminus.control.console import live as live_module
from mixminus.control.console.journals import Journals
from mixminus.control.console.live import Live
from mixminus.control.console.merge import Sources, merge_rows
from mixminus.control.console.sign_in import SignedIn, SignIns
from mixminus.control.console.watcher import MOST_EVENTS, Watch, Watcher
from mixminus.control.journal import Journal
from tests.console_kit import FakeSource, LiveLine, Served, row, served

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    async with served(tmp_path_factory.mktemp("console")) as console:
        yield console


@pytest.fixture
def console(running: Served) -> Served:
    return running.afresh(FakeSource())


async def closed(line: LiveLine) -> tuple[int, str]:
    """Read on until the connection is closed; return how."""
    with pytest.raises(ConnectionClosed) as over:
        async with asyncio.timeout(10):
            while True:
                await line.socket.recv()
    assert over.value.rcvd is not None
    return over.value.rcvd.code, over.value.rcvd.reason


async def test_a_page_is_told_all_and_then_what_changes(console: Served) -> None:
    console.journal.record("state", "call-1", "established")
    async with console.live() as line:
        ready = await line.next("ready")
        assert (ready["sides"], ready["name"]) == (["service"], None)
        snapshot = await line.next("snapshot")
        assert [each["id"] for each in snapshot["calls"]] == ["call-1"]
        assert [each["title"] for each in snapshot["events"]] == ["established"]
        assert snapshot["seq"] == snapshot["events"][0]["seq"]
        assert snapshot["engine"]["ticksPerS"] == 50.0

        console.source.calls[:] = [row(state="onHold"), row("call-2")]
        console.journal.record("state", "call-1", "onHold")
        told = await line.next("calls")
        assert {each["id"]: each["state"] for each in told["changed"]} == {
            "call-1": "onHold",
            "call-2": "established",
        }
        events = await line.next("events")
        assert [each["title"] for each in events["events"]] == ["onHold"]
        assert events["missed"] == 0

        console.source.calls[:] = [row(state="onHold")]
        assert await line.next("calls") == {"type": "calls", "changed": [], "gone": ["call-2"]}
        assert (await line.next("engine"))["engine"]["isa"] == "scalar"
    engine = (await console.get("/console/api/engine")).json()
    assert engine["now"]["calls"] == 1
    assert engine["history"]


async def test_levels_come_only_of_what_is_watched(console: Served) -> None:
    console.source.calls.append(row("call-2"))
    console.source.levels["s:call-2"] = (-30, -31)
    async with console.live() as line:
        await line.next("snapshot")
        await line.say(type="watch", calls="all")
        everything = await line.next("meters")
        assert everything["legs"] == {"s:call-1": [-20, -127], "s:call-2": [-30, -31]}
        assert abs(everything["at"] - time.time() * 1000) < 10_000

        await line.say(type="watch", calls=["call-2-graph", "unknown"], detail="call-2")
        # By whichever of its ids it is watched; what was on its way may still come.
        while (await line.next("meters"))["legs"] != {"s:call-2": [-30, -31]}:
            pass
        detail = await line.next("detail")
        assert (detail["id"], detail["call"]["row"]["id"]) == ("call-2", "call-2")

        await line.say(type="watch", detail="unknown")
        assert await line.next("detail") == {"type": "detail", "id": "unknown", "call": None}


async def test_two_pages_are_told_the_same_and_nobody_costs_nothing(console: Served) -> None:
    async with console.live() as first, console.live() as second:
        for line in (first, second):
            await line.next("snapshot")
            await line.say(type="watch", calls="all")
        assert (await first.next("meters"))["legs"] == (await second.next("meters"))["legs"]
        assert console.console.watchers == 2
    async with asyncio.timeout(10):
        while console.console.watchers:  # noqa: ASYNC110 - it has nothing that says so
            await asyncio.sleep(0.01)
    looks = console.source.looks
    samples = len((await console.get("/console/api/engine")).json()["history"])
    async with asyncio.timeout(10):
        while len((await console.get("/console/api/engine")).json()["history"]) == samples:
            pass
    assert console.source.looks == looks


async def test_who_does_not_say_hello_properly_is_sent_away(console: Served) -> None:
    cases: list[tuple[dict[str, Any], int, str]] = [
        ({"type": "hello", "token": "wrong"}, 4401, "token"),
        ({"type": "hello"}, 4401, "sign-in"),
        ({"type": "watch", "calls": "all"}, 4400, "hello first"),
        ({"type": "hello", "token": 1}, 4400, "token"),
        ({"type": "hello", "canary": 1}, 4400, "canary"),
        ({"type": "bye"}, 4400, "expected hello or watch"),
        ({"no": "type"}, 4400, "type"),
    ]
    for hello, code, why in cases:
        async with console.live(hello) as line:
            got, reason = await closed(line)
        assert got == code, hello
        assert why in reason, hello
    assert console.console.watchers == 0


async def test_bad_messages_end_the_connection_with_a_word(console: Served) -> None:
    url = console.origin.replace("http", "ws", 1) + "/console/api/live"
    messages: list[str | bytes] = [
        "{",
        b"\x00\x01",
        json.dumps({"type": "hello", "token": "x"}),
        json.dumps({"type": "watch", "calls": "some"}),
        json.dumps({"type": "watch", "calls": ["x" * 300]}),
        json.dumps({"type": "watch", "calls": ["x"] * 1001}),
    ]
    for message in messages:
        async with console.live() as line:
            await line.next("snapshot")
            await line.socket.send(message)
            error = await line.next("error")
            assert error["error"]["code"] == "invalid"
            assert (await closed(line))[0] == 4400
    async with connect(url, proxy=None) as socket:  # A program: it has no page, and no cookie.
        await socket.send(json.dumps({"type": "hello", "token": "wrong"}))
        assert (await closed(LiveLine(socket)))[0] == 4401
    assert console.console.watchers == 0


async def test_who_says_nothing_is_sent_away(
    console: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_module, "HELLO_S", 0.05)
    url = console.origin.replace("http", "ws", 1) + "/console/api/live"
    async with connect(url, proxy=None) as socket:
        assert (await closed(LiveLine(socket)))[0] == 4408


async def test_so_many_pages_and_no_more(console: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_module, "MOST_WATCHERS", 1)
    async with console.live() as first:
        await first.next("snapshot")
        async with console.live() as second:
            assert (await closed(second))[0] == 4503


async def test_a_sign_in_that_ends_ends_its_feed(console: Served) -> None:
    signs = console.console._parts.sign_ins
    session = signs.open_session("Adele Vance")
    assert session.session_id is not None
    url = console.origin.replace("http", "ws", 1) + "/console/api/live"
    cookie = {"Cookie": f"__Host-mixminus-console={session.session_id}"}
    async with connect(
        url,
        origin=console.origin,  # type: ignore[arg-type]
        additional_headers=cookie,
        proxy=None,
    ) as socket:
        await socket.send(json.dumps({"type": "hello"}))
        line = LiveLine(socket)
        assert (await line.next("ready"))["name"] == "Adele Vance"
        signs.close_session(session.session_id)
        assert (await closed(line))[0] == 4401


async def test_a_source_that_fails_ends_the_feeds_and_is_logged(
    console: Served, caplog: pytest.LogCaptureFixture
) -> None:
    async with console.live() as line:
        await line.next("snapshot")
        console.source.broken = RuntimeError("the source's own words")
        console.journal.record("state", None, "something")
        code, reason = await closed(line)
    assert code == 1011
    assert "own words" not in reason
    assert "the source's own words" in caplog.text
    caplog.set_level(logging.CRITICAL, "mixminus.control.console")
    console.source.broken = None
    async with console.live() as line:
        await line.next("engine")


async def test_the_end_of_the_server_ends_its_feeds(tmp_path: Path) -> None:
    async with served(tmp_path) as running, running.live() as line:
        await line.next("snapshot")
        await running.console.__aexit__()
        assert (await closed(line))[0] == 1012


# ---- newest wins: without sockets ------------------------------------------------------------


def watcher(journals: Journals | None = None) -> Watcher:
    found = Watcher(SignedIn("token"), journals or Journals())
    found.watch(Watch(type="watch", calls="all", detail="call-1"))
    return found


def taken(of: Watcher) -> list[Any]:
    messages = []
    while (text := of.take()) is not None:
        messages.append(json.loads(text))
    return messages


async def test_who_reads_slowly_gets_the_newest_and_each_once() -> None:
    slow = watcher()
    slow.begin('{"snapshot":1}', ["old-1", "call-1"], 0)
    for number in range(1000):
        slow.meters(json.dumps({"meters": number}))
        slow.engine(json.dumps({"engine": number}))
        slow.detail(json.dumps({"detail": number}))
        slow.rows({"call-1": json.dumps(number), f"old-{number}": "0"}, {f"old-{number - 1}"})

    snapshot, told, *others = taken(slow)
    assert snapshot == {"snapshot": 1}
    assert told["changed"] == [999, 0]
    assert told["gone"] == ["old-1"]  # Of the others it never heard.
    assert others == [{"detail": 999}, {"meters": 999}, {"engine": 999}]
    assert taken(slow) == []


async def test_a_call_that_did_not_change_is_told_once() -> None:
    one = watcher()
    for _ in range(3):
        one.detail('{"detail":1}')
        taken(one)
    assert taken(one) == []
    one.detail('{"detail":2}')
    assert taken(one) == [{"detail": 2}]


async def test_who_is_far_behind_in_the_journal_is_told_that_more_happened() -> None:
    journals, journal = Journals(), Journal("service")
    journals.add(journal)
    slow = watcher(journals)
    for number in range(MOST_EVENTS + 5):
        journal.record("state", None, str(number))
    (told,) = taken(slow)
    assert len(told["events"]) == MOST_EVENTS
    assert told["events"][-1]["title"] == str(MOST_EVENTS + 4)
    assert told["missed"] == 5
    assert taken(slow) == []


async def test_the_feed_stops_and_leaves_nothing_running() -> None:
    sources = Sources()
    sources.add(FakeSource())
    feed = Live(sources, Journals(), SignIns("token", 60))
    before = asyncio.all_tasks()
    feed.start()
    feed.start()
    assert len(asyncio.all_tasks() - before) == 1
    await asyncio.sleep(0)
    await feed.stop()
    await feed.stop()
    assert asyncio.all_tasks() == before


# ---- two sides -------------------------------------------------------------------------------


async def test_what_two_sides_tell_of_one_call_is_one_row() -> None:
    service = [row("room-1", call_ids=("a", "b"), people=3, flags=("lobby",))]
    host = [
        row("b", call_ids=(), sides=("host",), bot="echo", legs=("h:b",), flags=("recording",)),
        row("c", call_ids=(), sides=("host",), started_at="2026-11-21T21:00:00.000Z"),
    ]
    other, merged = merge_rows([service, host])
    assert (other.id, other.sides) == ("c", ("host",))
    assert (merged.id, merged.sides, merged.bot) == ("room-1", ("service", "host"), "echo")
    assert merged.call_ids == ("a", "b")
    assert merged.legs == ("s:room-1", "h:b")
    assert merged.flags == ("lobby", "recording")
