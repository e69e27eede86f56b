"""Calls that come in, and calls that a host did not make but is told of."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from mixminus.control.client.models import Identity
from mixminus.control.client.requests import GraphConnectionError, GraphRequestError
from mixminus.control.graph.enums import CallState, RejectReason
from mixminus.control.graph.notifications import parse_envelope
from mixminus.control.host.call import HostedCall
from mixminus.control.host.calls import Delivery
from mixminus.control.host.errors import CallEndedError
from mixminus.control.host.strangers import plain_id
from tests.host_kit import JOHN, TENANT, World, states, world_of
from tests.session_kit import FakeTransport
from tests.support import eventually


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with world_of() as world:
        world.service.during_act = lambda call_id, action: (
            world.say(call_id, "terminated") and None if action in ("reject", "redirect") else None
        )
        yield world


def the_call(world: World) -> HostedCall:
    (call,) = world.calls
    return call


async def test_an_incoming_call_is_answered_with_media_here(world: World) -> None:
    heard: list[int] = []

    @world.bot.on_incoming_call
    async def take(call: HostedCall) -> None:
        assert call.state is CallState.INCOMING
        assert call.info.source == Identity("user", JOHN, "John", TENANT)
        assert 14 < call.seconds_to_answer <= 15
        await call.answer()

    @world.bot.on_call
    async def listen(call: HostedCall) -> None:
        async for frame in call.audio:
            heard.append(frame.size)

    assert world.ring() is Delivery.TAKEN
    call = the_call(world)
    await eventually(lambda: world.service.acted)
    ((action, body),) = world.service.acted
    assert action == "answer"
    assert body["callbackUri"] == "https://localhost:1/api/calls"
    assert body["acceptedModalities"] == ["audio"]
    assert call.session is not None
    assert body["mediaConfig"]["blob"] == call.session.media_configuration()
    assert world.session_of(call) is call.session
    call.session.attach(FakeTransport())
    # Disorder, as documented.
    world.say(call.id, "established")
    world.say(call.id, "establishing")
    await eventually(lambda: world.ticked() and len(heard) >= 2)
    assert states(call) == ["incoming", "established"]
    assert call.peer.display_name == "John"
    assert call.seconds_to_answer == 0
    world.say(call.id, "terminated")
    await asyncio.wait_for(call.wait_closed(), 5)
    assert call.bot_error is None


async def test_a_service_hosted_answer_opens_no_session(world: World) -> None:
    @world.bot.on_incoming_call
    async def take(call: HostedCall) -> None:
        await call.answer(media="service")

    world.ring()
    await eventually(lambda: world.service.acted)
    assert "blob" not in world.service.acted[0][1]["mediaConfig"]
    assert the_call(world).session is None
    assert not world.calls._sessions


async def test_a_handler_that_does_nothing_lets_it_ring_out(world: World) -> None:
    @world.bot.on_incoming_call
    async def ignore(call: HostedCall) -> None:
        assert call.info.incoming is not None

    world.ring(incomingContext={"observedParticipantId": "ann"})
    call = the_call(world)
    assert call.seconds_to_answer <= 5
    result = {"code": 408, "subcode": 8587, "message": "not answered in time"}
    world.say(call.id, "terminated", resultInfo=result)
    await asyncio.wait_for(call.wait_closed(), 5)
    assert not world.service.acted
    assert call.result is not None
    assert call.result.subcode == 8587


async def test_a_bot_without_a_handler_lets_it_ring_out(world: World) -> None:
    assert world.ring() is Delivery.TAKEN
    assert the_call(world).state is CallState.INCOMING
    assert not world.service.acted


async def test_a_handler_that_fails_turns_the_call_away(world: World) -> None:
    @world.bot.on_incoming_call
    async def fail(call: HostedCall) -> None:
        raise ZeroDivisionError("the bot's own bug")

    world.ring()
    call = the_call(world)
    await asyncio.wait_for(call.wait_closed(), 5)
    assert [action for action, _ in world.service.acted] == ["reject"]
    assert call.bot_error == "ZeroDivisionError: the bot's own bug"


async def test_a_call_is_rejected_or_redirected(world: World) -> None:
    @world.bot.on_incoming_call
    async def send_on(call: HostedCall) -> None:
        if call.id.endswith("1"):
            await call.reject(RejectReason.BUSY)
        else:
            await call.redirect(Identity.user(JOHN), timeout_s=30)

    for call_id in ("0000-9001", "0000-9002"):
        world.ring(call_id)
        call = world.calls.get(call_id)
        assert call is not None
        await asyncio.wait_for(call.wait_closed(), 5)
    (reject, redirect) = world.service.acted
    assert reject[1]["reason"] == "busy"
    assert redirect[1]["timeout"] == 30
    assert redirect[1]["targets"][0]["identity"]["user"]["id"] == JOHN


async def test_an_answer_that_is_refused_leaves_no_session(world: World) -> None:
    refusals: list[int] = []

    @world.bot.on_incoming_call
    async def take(call: HostedCall) -> None:
        world.service.fail = GraphRequestError(400, "8585", "not in this state")
        try:
            await call.answer()
        except GraphRequestError as exc:
            refusals.append(exc.status)
        world.service.fail = None
        await call.answer()
        with pytest.raises(RuntimeError, match="answered already"):
            await call.answer()

    world.ring()
    await eventually(lambda: world.service.acted)
    call = the_call(world)
    assert refusals == [400]
    assert len(world.calls._sessions) == 1
    assert call.bot_error is None


async def test_a_caller_who_gives_up_ends_the_waiting(world: World) -> None:
    ended: list[str] = []

    @world.bot.on_incoming_call
    async def take(call: HostedCall) -> None:
        await call.answer(media="service")
        try:
            await call.wait_established()
        except CallEndedError as exc:
            ended.append(str(exc))

    world.ring()
    await eventually(lambda: world.service.acted)
    world.say("0000-9001", "terminated", resultInfo={"code": 487, "subcode": 0})
    await eventually(lambda: ended)
    assert "487/0" in ended[0]


async def test_an_incoming_call_that_comes_twice_is_one(world: World) -> None:
    world.ring()
    assert world.ring() is Delivery.TAKEN
    assert len(world.calls) == 1
    foreign = "11111111-1111-1111-1111-111111111111"
    assert world.ring("0000-9002", tenantId=foreign) is Delivery.FOREIGN
    assert len(world.calls) == 1


async def test_incoming_calls_are_turned_away_at_the_end_of_the_host(world: World) -> None:
    world.ring()
    await asyncio.wait_for(world.calls.close(), 5)
    assert [action for action, _ in world.service.acted] == ["reject"]
    assert world.ring("0000-9002") is Delivery.UNKNOWN


# Calls that the host was only told of.


async def test_an_unknown_call_is_fetched_and_followed(world: World) -> None:
    began: list[str] = []

    @world.bot.on_call
    async def begin(call: HostedCall) -> None:
        began.append(call.id)
        await call.wait_ended()

    world.service.known["0000-7777"] = {
        "id": "0000-7777",
        "state": "established",
        "tenantId": TENANT,
        "mediaConfig": {"@odata.type": "#microsoft.graph.serviceHostedMediaConfig"},
        "targets": [{"identity": {"user": {"id": JOHN, "displayName": "John"}}}],
    }
    for state in ("established", "hold"):
        assert world.say("0000-7777", state) is Delivery.TAKEN
    await eventually(lambda: began == ["0000-7777"])
    call = the_call(world)
    assert call.is_owned
    assert call.peer.display_name == "John"
    await eventually(lambda: "hold" in states(call))
    assert call.describe()["notifications"]["received"] == 2


async def test_media_of_another_process_are_left_alone(world: World) -> None:
    @world.bot.on_call
    async def never(call: HostedCall) -> None:
        raise AssertionError("its audio is not here")

    world.service.known["0000-7777"] = {
        "id": "0000-7777",
        "state": "established",
        "mediaConfig": {"@odata.type": "#microsoft.graph.appHostedMediaConfig", "blob": "{}"},
    }
    world.say("0000-7777", "established")
    await eventually(lambda: len(world.calls) == 1)
    call = the_call(world)
    assert not call.is_owned
    await asyncio.wait_for(world.calls.close(), 5)
    assert world.service.deleted == []
    assert call.bot_error is None


async def test_a_service_that_cannot_be_asked_is_asked_again_by_the_next_word(
    world: World,
) -> None:
    world.service.fail = GraphConnectionError("unreachable")
    assert world.say("0000-7777", "established") is Delivery.TAKEN
    await eventually(lambda: world.service.asked)
    world.service.fail = None
    world.service.known["0000-7777"] = {"id": "0000-7777", "state": "established"}
    await eventually(lambda: not world.calls._strangers._waiting)
    world.say("0000-7777", "established")
    await eventually(lambda: len(world.calls) == 1)


async def test_a_flood_of_unknown_ids_is_bounded(world: World) -> None:
    answers = {world.say(f"0000-{number}", "established") for number in range(8000, 8100)}
    assert answers == {Delivery.TAKEN, Delivery.FULL}
    await eventually(lambda: world.calls.unknown == 64)


@pytest.mark.parametrize(
    ("url_id", "data", "expected"),
    [
        ("ABCD", {"id": "ab-cd"}, "ab-cd"),
        ("ABCD", {"id": "other"}, "ABCD"),
        ("00112233445566778899AABBCCDDEEFF", [], "00112233-4455-6677-8899-aabbccddeeff"),
        ("xx1f", [], "xx1f"),
    ],
)
def test_ids_are_asked_for_as_the_service_writes_them(
    url_id: str, data: object, expected: str
) -> None:
    entry = {
        "changeType": "updated",
        "resourceUrl": f"/communications/calls/{url_id}",
        "resourceData": data,
    }
    assert plain_id(parse_envelope({"value": [entry]})[0]) == expected
