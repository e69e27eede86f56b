"""A host's inbox: what was acknowledged is applied once, whatever comes between."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import pytest

from mixminus.control.client.requests import GraphConnectionError
from mixminus.control.graph.enums import CallState
from mixminus.control.graph.notifications import Notification
from mixminus.control.host import call as call_module
from mixminus.control.host import inbox as inbox_module
from mixminus.control.host.call import HostedCall
from mixminus.control.host.calls import Delivery
from mixminus.control.store.base import StoreAwayError
from mixminus.control.store.host_base import Inbound, InboxRow
from tests.host_kit import JOHN, TENANT, notification
from tests.kept_kit import OTHER, OWN, KeptWorld, kept_world_of
from tests.support import eventually


@pytest.fixture
async def world() -> AsyncIterator[KeptWorld]:
    async with kept_world_of() as world:
        yield world


def ringing_in(call_id: str) -> Notification:
    john = {"user": {"id": JOHN, "displayName": "John", "tenantId": TENANT}}
    told = notification(
        call_id, state="incoming", direction="incoming", tenantId=TENANT, source={"identity": john}
    )
    return Notification("created", (call_id,), told.resource_data)


async def test_what_comes_twice_is_applied_once(world: KeptWorld) -> None:
    call = await world.calls.create(user="John")
    for message_id in ("m1", "m1", "m2", "m1"):
        await world.post(notification(call.id, state="ringing"), message_id=message_id)
    await eventually(lambda: world.store.done == [1, 2])
    assert world.counters.repeated == 2
    assert call.describe()["notifications"]["received"] == 2


async def test_posts_without_an_id_are_all_new(world: KeptWorld) -> None:
    call = await world.calls.create(user="John")
    for _ in range(2):
        await world.post(notification(call.id, state="ringing"))
    await eventually(lambda: world.store.done == [1, 2])


async def test_a_post_has_an_id_for_each_of_its_notifications(world: KeptWorld) -> None:
    call = await world.calls.create(user="John")
    told = [notification(call.id, state=state) for state in ("ringing", "established")]
    await world.post(*told, message_id="m")
    await eventually(lambda: call.state is CallState.ESTABLISHED)
    assert [row.message_id for row, _ in world.store.inbox.values()] == ["m/0", "m/1"]


async def test_what_the_store_did_not_take_was_never_there(world: KeptWorld) -> None:
    call = await world.calls.create(user="John")
    world.store.away = StoreAwayError("full")
    with pytest.raises(StoreAwayError):
        await world.post(notification(call.id, state="established"), message_id="m")
    assert call.state is CallState.ESTABLISHING
    world.store.away = None
    await world.post(notification(call.id, state="established"), message_id="m")
    await eventually(lambda: call.state is CallState.ESTABLISHED)


async def test_what_was_acknowledged_before_a_crash_is_applied_after_it(world: KeptWorld) -> None:
    call = await world.calls.create(user="John", media="service")
    await world.crash()
    told = notification(call.id, state="established", subject="told while nobody was here")
    body = {
        "changeType": "updated",
        "resourceUrl": f"/communications/calls/{call.id}",
        "resourceData": told.resource_data,
    }
    await world.store.receive([Inbound("m/0", call.id, TENANT, body)], OWN)
    row = await world.store.claim(call.lineage, 1, OWN)
    world.service.known[call.id] = {"id": call.id, "state": "establishing"}
    info = await world.service.get(call.id)
    assert row is not None
    assert info is not None
    again = await world.calls.resume(row, info)
    await world.inbox.sweep()
    await eventually(lambda: world.store.done == [1])
    assert again.info.raw["subject"] == "told while nobody was here"
    await world.inbox.sweep()
    assert again.describe()["notifications"]["received"] == 1


async def test_a_look_at_the_store_takes_nothing_that_is_on_its_way(world: KeptWorld) -> None:
    call = await world.calls.create(user="John")
    stale: list[Sequence[InboxRow]] = []
    waiting = world.store.waiting

    async def late(instance: str) -> Sequence[InboxRow]:
        stale.append(await waiting(instance))
        await eventually(lambda: world.store.done == [1])
        return stale[0]

    world.store.waiting = late
    await world.post(notification(call.id, state="ringing"))
    await world.inbox.sweep()
    assert len(stale[0]) == 1
    assert call.describe()["notifications"]["received"] == 1


async def test_a_call_that_comes_in_is_kept_before_its_bot_sees_it(world: KeptWorld) -> None:
    seen: list[tuple[str, list[int]]] = []

    @world.bot.on_incoming_call
    async def look(call: HostedCall) -> None:
        seen.append((world.store.row(call.id).state, [*world.store.done]))
        await call.answer()

    await world.post(ringing_in("0000-9001"), message_id="m")
    await eventually(lambda: len(world.service.acted) == 1)
    assert seen == [("incoming", [1])]
    call = world.calls.get("0000-9001")
    assert call is not None
    row = world.store.row(call.id)
    assert row.media == "app"
    assert row.peer == {"id": JOHN, "displayName": "John"}
    assert row.joining["body"]["callOptions"]["isDeltaRosterEnabled"] is True
    (_, body) = world.service.acted[0]
    assert f'"callId":"{call.lineage}"' in body["mediaConfig"]["blob"]
    world.say(call.id, "terminated")


async def test_an_incoming_call_that_came_back_is_no_new_one(world: KeptWorld) -> None:
    rung: list[str] = []

    @world.bot.on_incoming_call
    async def look(call: HostedCall) -> None:
        rung.append(call.id)

    told = ringing_in("0000-9001")
    await world.post(told, message_id="m")
    await eventually(lambda: world.store.done == [1])
    lineage = world.store.row("0000-9001").lineage
    await world.crash()
    # As after a crash between the two writes: the call is there, its notification not yet applied.
    world.store.done.clear()
    world.inbox._done.clear()
    await world.inbox.sweep()
    assert len(world.calls) == 0
    row = await world.store.claim(lineage, 1, OWN)
    assert row is not None
    world.service.known["0000-9001"] = dict(told.resource_data)
    found = await world.service.get("0000-9001")
    assert found is not None
    world.calls.ring_again(row, found)
    await world.inbox.sweep()
    await eventually(lambda: world.store.done == [1])
    await eventually(lambda: rung == ["0000-9001", "0000-9001"])
    assert len(world.store.calls) == 1
    world.say("0000-9001", "terminated")


async def test_a_call_that_comes_in_may_be_for_another_host(world: KeptWorld) -> None:
    world.inbox.place = lambda: OTHER
    await world.post(ringing_in("0000-9001"), message_id="m")
    assert len(world.calls) == 0
    assert world.counters.handed_on == 1
    ((row, addressee),) = world.store.inbox.values()
    assert (row.call_id, addressee) == ("0000-9001", OTHER)


async def test_word_that_overtakes_the_answer_is_for_who_asked_for_the_call(
    world: KeptWorld,
) -> None:
    told = notification("0000-0001", state="ringing")
    await world.inbox.take([told], TENANT, "m", instance=OTHER)
    ((_, addressee),) = world.store.inbox.values()
    assert addressee == OTHER
    assert world.service.asked == []


async def test_what_is_about_nobodys_call_is_done_with(world: KeptWorld) -> None:
    for message_id in ("1", "2"):
        await world.post(notification("gone", state="established"), message_id=message_id)
    await eventually(lambda: sorted(world.store.done) == [1, 2])
    assert world.service.asked == ["gone"]


async def test_what_nobody_can_tell_whose_it_is_waits(world: KeptWorld) -> None:
    world.service.fail = GraphConnectionError("away")
    await world.post(notification("c1", state="established"), message_id="m")
    await eventually(lambda: world.service.asked == ["c1"])
    assert world.store.done == []
    world.service.fail = None
    world.service.known["c1"] = {"id": "c1", "state": "established"}
    await eventually(lambda: not world.inbox._taken)
    await world.inbox.sweep()
    await eventually(lambda: world.store.done == [1])
    assert world.calls.get("c1") is not None
    await eventually(lambda: world.store.row("c1").joining["kind"] == "adopted")


async def test_word_of_a_call_of_ours_that_is_not_here_waits_until_it_is(world: KeptWorld) -> None:
    found: list[str | None] = []
    world.calls.on_found = lambda row, info: found.append(row.call_id)
    call = await world.calls.create(user="John", media="service")
    await world.crash()
    world.calls._ended.clear()
    world.service.known[call.id] = {"id": call.id, "state": "established"}
    await world.post(notification(call.id, state="established"), message_id="m")
    await eventually(lambda: found == [call.id])
    assert world.store.done == []
    assert len(world.calls) == 0


async def test_word_of_a_call_that_another_host_has_is_done_with(world: KeptWorld) -> None:
    call = await world.calls.create(user="John", media="service")
    await world.crash()
    world.calls._ended.clear()
    world.service.known[call.id] = {"id": call.id, "state": "established"}
    # It was addressed to this host before the other took the call.
    await world.store.receive(
        [Inbound("m/0", call.id, TENANT, body_of(notification(call.id, state="established")))], OWN
    )
    world.store.take(call.id)
    await world.inbox.sweep()
    await eventually(lambda: world.store.done == [1])
    assert len(world.calls) == 0


def body_of(told: Notification) -> dict[str, object]:
    return {
        "changeType": str(told.change_type),
        "resourceUrl": "/communications/calls/" + "/".join(told.resource_path),
        "resourceData": told.resource_data,
    }


async def test_what_another_host_put_there_is_found_without_its_word(
    world: KeptWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox_module, "SWEEP_EVERY_S", 0.001)
    call = await world.calls.create(user="John")
    told = notification(call.id, state="established")
    # Another host put it there, and its word that it did was lost.
    await world.store.receive([Inbound("m/0", call.id, TENANT, body_of(told))], OWN)
    world.inbox.start()
    await eventually(lambda: world.store.done == [1])
    assert call.state is CallState.ESTABLISHED


async def test_another_tenants_word_changes_nothing(world: KeptWorld) -> None:
    call = await world.calls.create(user="John")
    await world.inbox.take([notification(call.id, state="established")], "other-tenant", "m")
    await eventually(lambda: world.store.done == [1])
    assert call.state is CallState.ESTABLISHING
    assert world.counters.foreign == 1


async def test_a_row_that_is_no_notification_is_done_with(world: KeptWorld) -> None:
    await world.store.receive([Inbound("m/0", "c1", TENANT, {"no": "notification"})], OWN)
    await world.inbox.sweep()
    await eventually(lambda: world.store.done == [1])


async def test_a_bot_that_is_behind_makes_new_posts_wait_and_loses_no_taken_one(
    world: KeptWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(call_module, "QUEUE_NOTIFICATIONS", 1)
    call = await world.calls.create(user="John")
    told = [notification(call.id, state="ringing", number=number) for number in range(5)]
    assert world.calls.judge(told[0], TENANT) is Delivery.TAKEN
    await world.inbox.take(told, TENANT, "m")
    assert world.calls.judge(told[0], TENANT) is Delivery.FULL
    await eventually(lambda: world.store.done == [1, 2, 3, 4, 5])
    assert world.calls.judge(told[0], TENANT) is Delivery.TAKEN
