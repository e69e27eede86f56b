"""What a host keeps of its calls, and what it does with them while its store is away."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from mixminus.control.client.requests import GraphConnectionError
from mixminus.control.graph.enums import CallState
from mixminus.control.host import call_truth, durable
from mixminus.control.host.call import HostedCall
from mixminus.control.host.errors import CallEndedError, StoreBusyError
from mixminus.control.store.base import StoreAwayError
from tests.host_kit import notification
from tests.kept_kit import OTHER, OWN, KeptWorld, MemoryStore, kept_world_of
from tests.support import eventually

AWAY = StoreAwayError("the store is locked", retry_after_s=0.01)
LINK = "https://teams.microsoft.com/l/meetup-join/19%3ameeting_x%40thread.v2/0?context=" + (
    "%7b%22Tid%22%3a%22aa67bd4c-8475-432d-bd41-39f255720e0a%22%2c"
    "%22Oid%22%3a%22112f7296-5fa4-42ca-bae8-6a692b15d4b8%22%7d"
)


@pytest.fixture
async def world() -> AsyncIterator[KeptWorld]:
    async with kept_world_of() as world:
        yield world


def blob_of(body: dict[str, Any]) -> dict[str, Any]:
    blob: dict[str, Any] = json.loads(body["mediaConfig"]["blob"])
    return blob


async def test_a_call_is_in_the_store_before_it_is_asked_for(world: KeptWorld) -> None:
    asked_with: list[str | None] = []

    def look(call_id: str) -> None:
        (row,) = world.store.calls.values()
        asked_with.append(row.call_id)

    world.service.during_create = look
    call = await world.established()
    assert asked_with == [None]
    await eventually(lambda: world.store.row(call.id).state == "established")
    row = world.store.row(call.id)
    assert (row.lineage, row.epoch, row.owner) == (call.lineage, 1, OWN)
    assert blob_of(world.service.created[0])["callId"] == call.lineage
    assert row.media == "app"
    assert row.peer["displayName"] == "John"
    assert "mediaConfig" not in row.resource
    assert "blob" not in json.dumps([row.resource, row.joining])


async def test_the_end_is_kept_with_its_reason(world: KeptWorld) -> None:
    call = await world.established()
    world.say(call.id, "terminated", resultInfo={"code": 200, "subcode": 1, "message": "left"})
    await call.wait_closed()
    await eventually(lambda: world.store.row(call.id).is_over)
    row = world.store.row(call.id)
    assert (row.state, row.reason) == ("terminated", "ended by the service")
    assert row.resource["resultInfo"]["message"] == "left"


async def test_no_call_is_made_while_the_store_is_away(world: KeptWorld) -> None:
    world.store.away = AWAY
    with pytest.raises(StoreBusyError) as refused:
        await world.calls.create(user="John")
    assert refused.value.retry_after_s > 0
    assert world.service.created == []
    assert world.calls._sessions == {}
    world.store.away = None
    await world.calls.create(user="John")
    assert len(world.store.calls) == 1


async def test_a_live_call_goes_on_without_its_store_and_is_written_once_it_is_back(
    world: KeptWorld,
) -> None:
    updates: list[str] = []

    @world.bot.on_update
    async def note(call: HostedCall) -> None:
        updates.append(call.state.value)

    call = await world.calls.create(user="John")
    await world.post(notification(call.id, state="ringing"), message_id="1")
    await eventually(lambda: world.store.done == [1])
    world.store.away = AWAY
    world.say(call.id, "established")
    await eventually(lambda: updates == ["ringing", "established"])
    assert world.store.row(call.id).state == "ringing"
    world.store.away = None
    await eventually(lambda: world.store.row(call.id).state == "established")


async def test_what_was_applied_while_the_store_was_away_is_marked_in_order(
    world: KeptWorld,
) -> None:
    call = await world.calls.create(user="John")
    states: list[str] = []

    @world.bot.on_update
    async def note(call: HostedCall) -> None:
        states.append(call.state.value)

    # Taken while it is there, applied while it is not: between the two it goes away.
    world.store.after_receive = lambda: setattr(world.store, "away", AWAY)
    told = [notification(call.id, state=state) for state in ("ringing", "established")]
    await world.post(*told, message_id="m")
    await eventually(lambda: states == ["ringing", "established"])
    assert world.store.done == []
    world.store.away = None
    await eventually(lambda: world.store.done == [1, 2])
    assert world.store.row(call.id).state == "established"


async def test_a_store_that_hangs_holds_up_no_handler(
    world: KeptWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durable, "SETTLE_S", 0.01)
    updates: list[str] = []

    @world.bot.on_update
    async def note(call: HostedCall) -> None:
        updates.append(call.state.value)

    call = await world.calls.create(user="John")
    world.store.gate.clear()
    world.say(call.id, "ringing")
    world.say(call.id, "established")
    await eventually(lambda: updates == ["ringing", "established"])
    world.store.gate.set()
    await eventually(lambda: world.store.row(call.id).state == "established")


async def test_a_call_that_another_host_has_is_let_go_without_a_word(world: KeptWorld) -> None:
    call = await world.established()
    assert call.session is not None
    await eventually(lambda: call.keep is not None and call.keep.is_written)
    world.store.take(call.id)
    world.say(call.id, "established", mediaState={"audio": "active"})
    await asyncio.wait_for(call.wait_closed(), 5)
    assert call.end_reason == f"moved to {OTHER}"
    assert world.service.deleted == []
    row = world.store.row(call.id)
    assert (row.owner, row.epoch, row.is_over) == (OTHER, 2, False)


async def test_an_offered_call_is_left_alone_and_can_be_taken_back(world: KeptWorld) -> None:
    left, kept = await world.established(), await world.established()
    for call in (left, kept):
        assert call.keep is not None
        assert await call.keep.offer()
        assert world.store.row(call.id).owner is None
        world.say(call.id, "established", mediaState={"audio": "active"})
    await eventually(lambda: kept.has_audio)
    assert "mediaState" not in world.store.row(kept.id).resource
    assert kept.keep is not None
    assert await kept.keep.take_back()
    await eventually(lambda: "mediaState" in world.store.row(kept.id).resource)
    assert (kept.epoch, world.store.row(kept.id).owner) == (2, OWN)
    await left.leave()
    await left.wait_closed()
    assert world.service.deleted == []
    row = world.store.row(left.id)
    assert (row.owner, row.is_over) == (None, False)


async def test_an_offered_call_that_another_took_is_not_taken_back(world: KeptWorld) -> None:
    call = await world.established()
    assert call.keep is not None
    assert await call.keep.offer()
    world.store.take(call.id)
    assert not await call.keep.take_back()
    await asyncio.wait_for(call.wait_closed(), 5)
    assert call.end_reason == f"moved to {OTHER}"


async def test_a_state_saved_while_the_call_is_offered_waits_for_what_comes_of_it(
    world: KeptWorld,
) -> None:
    kept, moved, ended = [await world.established() for _ in range(3)]
    saving = {}
    for call in (kept, moved, ended):
        assert call.keep is not None
        await call.save_state("before")
        assert await call.keep.offer()
        saving[call.id] = asyncio.create_task(call.save_state("meanwhile"))
    await asyncio.sleep(0)
    assert not any(task.done() for task in saving.values())
    assert kept.keep is not None
    assert await kept.keep.take_back()
    await saving[kept.id]
    assert world.store.row(kept.id).saved_state == "meanwhile"
    world.store.take(moved.id)
    assert moved.keep is not None
    assert not await moved.keep.take_back()
    world.say(ended.id, "terminated")
    for call in (moved, ended):
        with pytest.raises(CallEndedError, match="its state is not saved"):
            await saving[call.id]
        assert world.store.row(call.id).saved_state == "before"


async def test_a_bot_that_saves_its_state_as_its_call_moves_has_not_failed(
    world: KeptWorld, caplog: pytest.LogCaptureFixture
) -> None:
    saving = asyncio.Event()

    @world.bot.on_call
    async def talk(call: HostedCall) -> None:
        await saving.wait()
        await call.save_state("too late")

    call = await world.established()
    assert call.keep is not None
    assert await call.keep.offer()
    saving.set()
    world.store.take(call.id)
    world.say(call.id, "terminated")
    await asyncio.wait_for(call.wait_closed(), 5)
    assert call.bot_error is None
    assert [line for line in caplog.records if line.levelname in ("WARNING", "ERROR")] == []


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (object(), "expected JSON"),
        ({1, 2}, "expected JSON"),
        (float("nan"), "expected JSON"),
        ("\ud800", "expected JSON"),
        ("x" * 65_535, "at most 65536 bytes of JSON to be saved, got 65537"),
    ],
)
async def test_what_cannot_be_saved_is_refused(world: KeptWorld, value: object, says: str) -> None:
    call = await world.established()
    with pytest.raises(ValueError, match=says):
        await call.save_state(value)
    assert call.saved_state is None


async def test_a_bots_state_is_a_copy_and_waits_for_its_store(world: KeptWorld) -> None:
    call = await world.established()
    state = {"turn": 1, "said": ["hello"]}
    await call.save_state(state)
    state["turn"] = 2
    assert world.store.row(call.id).saved_state == {"turn": 1, "said": ["hello"]}
    call.saved_state["said"].clear()
    assert call.saved_state == {"turn": 1, "said": ["hello"]}
    assert await call.save_state("x" * 65_534)
    world.store.away = AWAY
    assert not await call.save_state("later")
    world.store.away = None
    await eventually(lambda: world.store.row(call.id).saved_state == "later")


async def test_a_meeting_is_joined_again_with_new_media_in_its_next_epoch(
    world: KeptWorld,
) -> None:
    ran: list[tuple[str, bool, object]] = []

    @world.bot.on_call
    async def first(call: HostedCall) -> None:
        await call.save_state({"turn": 7})
        ran.append(("call", call.is_rejoined, call.saved_state))
        await call.wait_ended()

    @world.bot.on_rejoined
    async def again(call: HostedCall) -> None:
        ran.append(("rejoined", call.is_rejoined, call.saved_state))
        await call.wait_ended()

    old = await world.calls.join(join_url=LINK, in_default_mix=False)
    world.say(old.id, "established")
    await eventually(lambda: ran == [("call", False, {"turn": 7})])
    await world.crash()
    row = await world.store.claim(old.lineage, 1, OWN)
    assert row is not None
    assert world.calls.can_join_again(row)
    new = await world.calls.join_again(row)
    assert (new.lineage, new.epoch, new.is_rejoined) == (old.lineage, 2, True)
    first_body, second_body = world.service.created
    for name in ("chatInfo", "meetingInfo", "source", "tenantId", "callOptions", "callbackUri"):
        assert second_body[name] == first_body[name]
    assert second_body["mediaConfig"]["removeFromDefaultAudioGroup"] is True
    before, after = blob_of(first_body), blob_of(second_body)
    assert (before["mixminus"]["epoch"], after["mixminus"]["epoch"]) == (1, 2)
    assert before["callId"] == after["callId"] == old.lineage
    assert before["mpMediaSessionId"] != after["mpMediaSessionId"]
    assert before["mixminus"]["secret"] != after["mixminus"]["secret"]
    world.say(new.id, "established")
    await eventually(lambda: ran[1:] == [("rejoined", True, {"turn": 7})])
    await eventually(lambda: world.store.row(new.id).state == "established")
    assert world.store.row(new.id).epoch == 2


async def test_word_of_the_leg_that_was_replaced_is_done_with_and_asked_about_nowhere(
    world: KeptWorld,
) -> None:
    old = await world.calls.join(join_url=LINK)
    await world.crash()
    world.calls._ended.clear()  # Another process knows of none.
    row = await world.store.claim(old.lineage, 1, OWN)
    assert row is not None

    def end_old(call_id: str) -> None:
        world.say(old.id, "terminated")

    world.service.during_create = end_old
    new = await world.calls.join_again(row)
    await world.post(notification(old.id, state="terminated"), message_id="late")
    await eventually(lambda: world.store.done == [1])
    assert old.id not in world.service.asked
    assert world.calls.unknown == 0
    assert [call.id for call in world.calls] == [new.id]


async def test_without_a_handler_of_its_own_a_rejoined_call_is_the_calls(
    world: KeptWorld,
) -> None:
    ran: list[bool] = []

    @world.bot.on_call
    async def listen(call: HostedCall) -> None:
        ran.append(call.is_rejoined)
        await call.wait_ended()

    old = await world.calls.join(join_url=LINK)
    await world.crash()
    row = await world.store.claim(old.lineage, 1, OWN)
    assert row is not None
    new = await world.calls.join_again(row)
    world.say(new.id, "established")
    await eventually(lambda: ran == [True])


async def test_a_call_of_two_has_nowhere_to_be_joined_again(world: KeptWorld) -> None:
    call = await world.established()
    row = world.store.row(call.id)
    assert not world.calls.can_join_again(row)
    with pytest.raises(ValueError, match="no meeting to join again"):
        await world.calls.join_again(row)
    assert len(world.service.created) == 1


async def test_a_join_that_fails_leaves_the_row_for_the_next_try(world: KeptWorld) -> None:
    old = await world.calls.join(join_url=LINK)
    await world.crash()
    row = await world.store.claim(old.lineage, 1, OWN)
    assert row is not None
    world.service.fail = GraphConnectionError("away")
    with pytest.raises(GraphConnectionError):
        await world.calls.join_again(row)
    assert world.store.calls[row.lineage] == row
    assert world.calls._sessions == {}


async def test_service_hosted_media_go_on_under_the_same_id(world: KeptWorld) -> None:
    old = await world.calls.create(user="John", media="service")
    world.say(old.id, "established")
    await eventually(lambda: world.store.row(old.id).state == "established")
    await world.crash()
    row = await world.store.claim(old.lineage, 1, OWN)
    assert row is not None
    world.service.known[old.id] = {"id": old.id, "state": "established", "subject": "told since"}
    info = await world.service.get(old.id)
    assert info is not None
    call = await world.calls.resume(row, info, [{"id": "p1", "info": {"identity": {}}}])
    assert (call.id, call.epoch, call.is_rejoined) == (old.id, 2, True)
    assert call.state is CallState.ESTABLISHED
    await eventually(lambda: "p1" in call.participants)
    assert world.store.row(old.id).resource["subject"] == "told since"
    assert world.service.created == world.service.created[:1]


async def test_a_creation_that_failed_and_took_place_all_the_same_is_hung_up(
    world: KeptWorld,
) -> None:
    world.service.fail = GraphConnectionError("no answer")
    with pytest.raises(GraphConnectionError):
        await world.calls.create(user="John")
    world.service.fail = None
    (row,) = world.store.calls.values()
    await eventually(lambda: next(iter(world.store.calls.values())).is_over)
    blob = json.dumps({"callId": row.lineage, "mixminus": {"version": 1, "epoch": 1}})
    media = {"@odata.type": "#microsoft.graph.appHostedMediaConfig", "blob": blob}
    world.service.known["g1"] = {"id": "g1", "state": "established", "mediaConfig": media}
    world.service.on_delete = lambda call_id: None
    await world.post(notification("g1", state="established"))
    await eventually(lambda: world.service.deleted == ["g1"])
    assert len(world.calls) == 0
    await eventually(lambda: world.store.done == [1])


async def test_how_a_call_stands_is_asked_where_nothing_comes_of_a_passing_state(
    world: KeptWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(call_truth, "SILENCE_S", 0.01)
    world.service.known["0000-0001"] = {"id": "0000-0001", "state": "established"}
    call = await world.calls.create(user="John")
    await eventually(lambda: call.state is CallState.ESTABLISHED)
    assert world.service.asked == [call.id]


async def test_how_a_call_stands_is_asked_each_minute(
    world: KeptWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(call_truth, "SILENCE_S", 0.001)
    monkeypatch.setattr(call_truth, "LOOK_EVERY_S", 0.01)
    world.service.known["0000-0001"] = {"id": "0000-0001", "state": "established"}
    call = await world.established()
    await eventually(lambda: len(world.service.asked) >= 2)
    world.service.known[call.id] = {"id": call.id, "state": "terminated"}
    await asyncio.wait_for(call.wait_closed(), 10)
    assert call.end_reason == "ended by the service"


async def test_a_host_that_stops_waits_for_what_is_not_written_yet() -> None:
    store = MemoryStore()
    async with kept_world_of(store) as world:
        call = await world.established()
        store.away = AWAY
        call_id = call.id
        asyncio.get_running_loop().call_later(0.1, setattr, store, "away", None)
    assert store.row(call_id).is_over
