"""The tables of bot hosts, two hosts on each engine: calls, inbox, instances, requests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from mixminus.control.store.base import StoreError
from mixminus.control.store.host_base import (
    HostCallRow,
    HostStore,
    Inbound,
    InstanceInUseError,
    InstanceRow,
    RequestRow,
    StaleOwnerError,
)
from mixminus.control.store.rows import CorruptRowError
from tests.store_kit import Place
from tests.support import eventually

CALL = HostCallRow(
    lineage="line-1",
    epoch=1,
    owner="a",
    app_id="app",
    tenant_id="tenant",
    call_id="call-1",
    media="app",
    state="establishing",
    is_over=False,
    resource={"id": "call-1", "ü": ["\0"]},
    peer={"id": "anna", "displayName": "Anna"},
    joining={"kind": "join", "body": {}, "inDefaultMix": True},
)
INSTANCE = InstanceRow("a", "first", "https://a:1", 20, 0.25, 3, False, 0)


@pytest.fixture
async def a(place: Place) -> AsyncIterator[HostStore]:
    opened = await place.open_host("a")
    yield opened
    await opened.close()


@pytest.fixture
async def b(place: Place, a: HostStore) -> AsyncIterator[HostStore]:
    opened = await place.open_host("b")
    yield opened
    await opened.close()


def told(message_id: str, call_id: str = "call-1", to: str | None = None) -> Inbound:
    return Inbound(message_id, call_id, "tenant", {"changeType": message_id, "ü": ["\0"]}, to)


async def ids(store: HostStore, instance: str) -> list[str]:
    return [row.message_id for row in await store.waiting(instance)]


async def test_a_call_comes_back_as_it_was_written(a: HostStore, b: HostStore) -> None:
    new = replace(CALL, call_id=None)
    await a.add_call(new)
    assert await b.lineage("line-1") == new
    assert await b.call_of("call-1") is None
    states: tuple[object, ...] = ({"step": [1, None]}, [], "", 0, None)
    for saved_state in states:
        changed = replace(
            CALL, state="established", saved_state=saved_state, reason="why", media="service"
        )
        await a.save_call(changed)
        assert await b.call_of("call-1") == changed
    assert await b.lineage("line-2") is None


async def test_a_call_is_added_once_however_often_that_is_said(a: HostStore) -> None:
    await a.add_call(CALL)
    again = replace(CALL, state="established")
    await a.add_call(again)
    assert await a.living() == (again,)
    with pytest.raises(StaleOwnerError, match="expected it to be b's in epoch 1, but it is a's"):
        await a.add_call(replace(CALL, owner="b"))
    with pytest.raises(ValueError, match="line-1: expected the owner who writes it, got None"):
        await a.save_call(replace(CALL, owner=None))
    assert await a.living() == (again,)


async def test_a_stale_owner_writes_nothing(a: HostStore, b: HostStore) -> None:
    await a.add_call(CALL)
    (row,) = (await a.receive([told("m/0")], "a")).local
    taken = await b.claim("line-1", 1, "b")
    assert taken == replace(CALL, owner="b", epoch=2)
    with pytest.raises(
        StaleOwnerError,
        match="line-1: expected it to be a's in epoch 1, but it is b's in epoch 2: nothing was",
    ):
        await a.save_call(replace(CALL, state="terminated", is_over=True), [row.sequence])
    assert await a.lineage("line-1") == taken
    # What it would have applied with that is the new owner's to apply.
    assert await ids(b, "b") == ["m/0"]
    assert await ids(a, "a") == []
    # Its own name in an older epoch, as a process that was frozen while another one started.
    back = await a.claim("line-1", 2, "a")
    assert back is not None
    with pytest.raises(StaleOwnerError, match="in epoch 1, but it is a's in epoch 3"):
        await a.save_call(CALL)
    await a.save_call(replace(back, state="established"))
    with pytest.raises(StaleOwnerError, match="is not in the store"):
        await a.save_call(replace(CALL, lineage="line-2"))


async def test_one_of_many_who_claim_at_once_gets_the_call(a: HostStore, b: HostStore) -> None:
    await a.add_call(CALL)
    stores = [a, b] * 5
    found = await asyncio.gather(
        *(store.claim("line-1", 1, f"host-{n}") for n, store in enumerate(stores))
    )
    (winner,) = [row for row in found if row is not None]
    assert winner.epoch == 2
    assert await a.lineage("line-1") == winner


async def test_a_call_that_is_over_is_nobodys_to_claim_or_offer(a: HostStore) -> None:
    await a.add_call(replace(CALL, is_over=True, state="terminated"))
    assert await a.claim("line-1", 1, "b") is None
    assert not await a.offer("line-1", "a", 1)
    assert await a.claim("line-2", 1, "b") is None
    assert await a.living() == ()


async def test_an_offered_call_is_nobodys_until_it_is_claimed(a: HostStore, b: HostStore) -> None:
    await a.add_call(CALL)
    await a.add_call(replace(CALL, lineage="line-2", call_id="call-2"))
    assert not await a.offer("line-1", "b", 1)
    assert not await a.offer("line-1", "a", 2)
    assert await a.offer("line-1", "a", 1)
    offered = replace(CALL, owner=None)
    assert await b.living(None) == (offered,)
    assert [row.lineage for row in await b.living("a")] == ["line-2"]
    assert [row.lineage for row in await b.living()] == ["line-1", "line-2"]
    with pytest.raises(StaleOwnerError, match="but it is nobody's in epoch 1"):
        await a.save_call(CALL)
    receipt = await a.receive([told("m/0")], "a")
    assert (receipt.local, receipt.handed_on) == ((), 1)
    assert await ids(a, "a") == await ids(b, "b") == []
    taken = await b.claim("line-1", 1, "b")
    assert taken == replace(CALL, owner="b", epoch=2)
    assert await ids(b, "b") == ["m/0"]
    assert await b.living(None) == ()


async def test_the_call_of_an_id_is_the_living_one_or_the_newest(a: HostStore) -> None:
    over = replace(CALL, is_over=True)
    await a.add_call(over)
    assert await a.call_of("call-1") == over
    living = replace(CALL, lineage="line-2")
    await a.add_call(living)
    assert await a.call_of("call-1") == living
    later = replace(CALL, lineage="line-3", is_over=True)
    await a.add_call(later)
    assert await a.call_of("call-1") == living
    await a.save_call(replace(living, is_over=True))
    assert await a.call_of("call-1") == later


async def test_a_notification_is_taken_once_and_in_order(a: HostStore, b: HostStore) -> None:
    await a.add_call(CALL)
    first = await a.receive([told("m/0"), told("m/1"), told("m/0")], "a")
    assert [row.message_id for row in first.local] == ["m/0", "m/1"]
    assert (first.handed_on, first.duplicates) == (0, 1)
    assert first.local[0].lineage == "line-1"
    assert first.local == await a.waiting("a")
    # By way of another host it is the same.
    again = await b.receive([told("m/1"), told("m/2")], "b")
    assert (again.local, again.handed_on, again.duplicates) == ((), 1, 1)
    assert await ids(a, "a") == ["m/0", "m/1", "m/2"]
    assert await ids(b, "b") == []
    await a.save_call(replace(CALL, state="established"), [first.local[0].sequence])
    assert await ids(a, "a") == ["m/1", "m/2"]
    await a.applied(first.local[1].sequence)
    assert await ids(a, "a") == ["m/2"]
    third = await a.receive([told("m/0")], "a")
    assert (third.local, third.duplicates) == ((), 1)
    assert await ids(a, "a") == ["m/2"]


async def test_one_post_that_two_hosts_get_at_once_is_taken_once(
    a: HostStore, b: HostStore
) -> None:
    await a.add_call(CALL)
    post = [told(f"m/{n}") for n in range(5)]
    receipts = await asyncio.gather(
        *(store.receive(post, name) for store, name in [(a, "a"), (b, "b")] * 4)
    )
    assert sum(len(one.local) + one.handed_on for one in receipts) == 5
    assert sum(one.duplicates for one in receipts) == 35
    assert await ids(a, "a") == [f"m/{n}" for n in range(5)]


async def test_what_is_about_no_call_is_for_whom_it_is_addressed_to(
    a: HostStore, b: HostStore
) -> None:
    await b.register(replace(INSTANCE, instance="b"))
    receipt = await a.receive(
        [told("1", "new-1", "b"), told("2", "new-2", "gone"), told("3", "new-3")], "a"
    )
    # An instance that nobody knows would never look.
    assert [row.message_id for row in receipt.local] == ["2", "3"]
    assert receipt.handed_on == 1
    assert await ids(b, "b") == ["1"]
    # The call is there: what was told of it before is its owner's, whoever that is.
    await a.add_call(replace(CALL, call_id="new-1"))
    assert await ids(b, "b") == []
    (row,) = [row for row in await a.waiting("a") if row.message_id == "1"]
    assert row.lineage == "line-1"


async def test_what_names_its_lineage_finds_a_call_without_an_id(
    a: HostStore, b: HostStore
) -> None:
    await a.add_call(replace(CALL, call_id=None))
    receipt = await b.receive([replace(told("1"), lineage="line-1")], "b")
    assert receipt.handed_on == 1
    assert await ids(a, "a") == ["1"]
    stranger = await b.receive([replace(told("2", "call-2"), lineage="line-9")], "b")
    assert stranger.local[0].lineage is None


async def test_a_lineage_finds_no_call_of_another_tenant_or_application(
    a: HostStore, b: HostStore
) -> None:
    await a.add_call(replace(CALL, call_id=None))
    named = replace(told("1"), lineage="line-1", app_id=CALL.app_id)
    foreign = [replace(named, tenant_id="x"), replace(named, message_id="2", app_id="x")]
    receipt = await b.receive(foreign, "b")
    assert [row.lineage for row in receipt.local] == [None, None]
    ours = replace(named, message_id="3", tenant_id=CALL.tenant_id.upper())
    assert (await b.receive([ours], "b")).handed_on == 1


async def test_what_was_told_of_an_earlier_leg_stays_with_its_lineage(
    a: HostStore, b: HostStore
) -> None:
    await a.add_call(CALL)
    await a.receive([told("old")], "a")
    taken = await b.claim("line-1", 1, "b")
    assert taken is not None
    await b.save_call(replace(taken, call_id="call-2"))
    assert await ids(b, "b") == ["old"]


async def test_what_a_dead_host_did_not_see_is_handed_over(a: HostStore, b: HostStore) -> None:
    await b.register(replace(INSTANCE, instance="b"))
    await b.add_call(replace(CALL, owner="b"))
    await a.receive([told("1", "new", "b"), told("2"), told("3", "done", "b")], "a")
    (done,) = [row for row in await b.waiting("b") if row.message_id == "3"]
    await b.applied(done.sequence)
    assert await a.readdress("b", "a") == 1
    assert await ids(a, "a") == ["1"]
    assert await ids(b, "b") == ["2"]
    assert await a.readdress("b", "a") == 0


async def test_instances_show_how_they_stand_and_one_incarnation_beats(
    a: HostStore, b: HostStore
) -> None:
    await a.register(INSTANCE)
    await b.register(replace(INSTANCE, instance="b", is_draining=True))
    await a.beat("a", "first", load=0.5, calls=7, is_draining=True)
    assert await b.instances() == (
        replace(INSTANCE, load=0.5, calls=7, is_draining=True, beat=1),
        replace(INSTANCE, instance="b", is_draining=True),
    )
    await a.register(replace(INSTANCE, incarnation="second"))
    (row, _) = await a.instances()
    assert (row.incarnation, row.beat) == ("second", 2)
    with pytest.raises(StaleOwnerError, match="'a' is not this process's any more"):
        await a.beat("a", "first", load=0, calls=0, is_draining=False)
    await a.leave("a", "first")
    assert len(await a.instances()) == 2
    await a.leave("a", "second")
    with pytest.raises(StaleOwnerError, match="'a'"):
        await a.beat("a", "second", load=0, calls=0, is_draining=False)
    assert [row.instance for row in await a.instances()] == ["b"]


async def test_a_request_is_taken_once_and_answered(a: HostStore, b: HostStore) -> None:
    request = RequestRow("r-1", "b", "a", {"make": "call"})
    await a.ask(request)
    await a.ask(replace(request, request_id="r-2"))
    assert [row.request_id for row in await b.asked("b")] == ["r-1", "r-2"]
    assert (await b.asked("b"))[0] == request
    assert await a.asked("a") == ()
    assert not await a.take_request("r-1", "a")
    taken = await asyncio.gather(*(b.take_request("r-1", "b") for _ in range(3)))
    assert sorted(taken) == [False, False, True]
    assert await a.answered("r-1") is None
    # What is being made cannot be taken back, nor what was: it would be made twice.
    assert not await a.withdraw("r-1")
    await b.answer("r-1", {"id": "call-1"})
    assert not await a.withdraw("r-1")
    assert await a.answered("r-1") == {"id": "call-1"}
    assert await a.withdraw("r-2")
    assert not await b.take_request("r-2", "b")
    assert await b.asked("b") == ()
    await b.answer("r-2", {})  # Whoever asked has gone.
    assert await a.answered("r-2") is None


async def test_old_rows_are_forgotten_and_living_calls_keep_theirs(
    a: HostStore, place: Place
) -> None:
    over = replace(CALL, lineage="line-2", call_id="call-2", is_over=True)
    await a.add_call(CALL)
    await a.add_call(over)
    messages = [told("kept"), told("applied"), told("of an over call", "call-2"), told("x", "?")]
    receipt = await a.receive(messages, "a")
    await a.applied(receipt.local[1].sequence)
    await a.ask(RequestRow("r-1", "b", "a", {}))
    assert await a.forget() == 0
    for table, column in (
        ("host_inbox", "received_us"),
        ("host_calls", "changed_us"),
        ("host_requests", "asked_us"),
    ):
        place.run(f"UPDATE {table} SET {column} = {column} - 86401000000")
    assert await a.forget(after_s=2 * 86_400) == 0
    assert await a.forget() == 5
    assert await ids(a, "a") == ["kept"]
    assert await a.living() == (CALL,)
    assert await a.lineage("line-2") is None
    assert await a.asked("b") == ()


async def test_a_row_that_cannot_be_read_is_told_and_the_rest_goes_on(
    a: HostStore, place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    for number in (1, 2):
        row = replace(CALL, lineage=f"line-{number}", call_id=f"call-{number}")
        await a.add_call(row)
        await a.receive([told(f"m/{number}", row.call_id or "")], "a")
        await a.ask(RequestRow(f"r-{number}", "a", "b", {}))
    place.run("UPDATE host_calls SET peer = '[' WHERE lineage = 'line-1'")
    place.run("UPDATE host_inbox SET body = '[]' WHERE message_id = 'm/1'")
    place.run("UPDATE host_requests SET body = '' WHERE request_id = 'r-1'")
    assert [row.lineage for row in await a.living()] == ["line-2"]
    assert await ids(a, "a") == ["m/2"]
    assert [row.request_id for row in await a.asked("a")] == ["r-2"]
    for words in ("host_calls", "'line-1'", "host_inbox", "host_requests", "'r-1'"):
        assert words in caplog.text
    with pytest.raises(CorruptRowError, match=r"host_calls.*'line-1'"):
        await a.claim("line-1", 1, "b")
    place.run("UPDATE host_calls SET peer = '{}' WHERE lineage = 'line-1'")
    mended = await a.lineage("line-1")
    assert mended is not None
    assert (mended.owner, mended.epoch) == ("a", 1)
    place.run("UPDATE host_calls SET saved_state = '{\"v\": 1}' WHERE lineage = 'line-1'")
    with pytest.raises(CorruptRowError, match="expected a saved_state with a value, got v"):
        await a.lineage("line-1")


async def test_everything_stays_over_a_restart(place: Place) -> None:
    first = await place.open_host("a")
    await first.register(INSTANCE)
    await first.add_call(CALL)
    await first.receive([told("m/0")], "a")
    await first.close()
    second = await place.open_host("a")
    assert await second.instances() == (INSTANCE,)
    assert await second.living("a") == (CALL,)
    assert await ids(second, "a") == ["m/0"]
    receipt = await second.receive([told("m/0"), told("m/1")], "a")
    assert (len(receipt.local), receipt.duplicates) == (1, 1)
    await second.close()
    await second.close()
    with pytest.raises(StoreError, match="closed"):
        await second.living()


async def test_a_name_belongs_to_one_living_host(
    place: Place, a: HostStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mixminus.control.store.postgres.holding.HOLD_S", 0.0)
    with pytest.raises(InstanceInUseError, match=r"the instance 'a' of .* is in use by"):
        await place.open_host("a")
    # The one that has it goes on, and its name is free when it ends.
    await a.register(INSTANCE)
    await a.close()
    again = await place.open_host("a")
    assert await again.instances() == (INSTANCE,)
    await again.close()


async def test_a_host_is_woken_by_what_is_there_for_it(a: HostStore) -> None:
    """On each engine what this process tells itself; others are woken in PostgreSQL alone."""
    heard: list[str] = []
    off = a.on_wake(lambda: heard.append("woken"))
    await a.add_call(CALL)
    await a.offer("line-1", "a", 1)
    await eventually(lambda: heard != [])
    heard.clear()
    await a.ask(RequestRow("r-1", "a", "a", {}))
    await eventually(lambda: heard != [])
    off()
