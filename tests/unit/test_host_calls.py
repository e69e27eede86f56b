"""A host's calls against a service that the test plays: order, ends, and what is left (nothing)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import numpy as np
import pytest

from mixminus.control.client.requests import GraphConnectionError, GraphRequestError
from mixminus.control.graph.enums import CallState
from mixminus.control.graph.notifications import parse_envelope
from mixminus.control.host import call as call_module
from mixminus.control.host import runner as runner_module
from mixminus.control.host.call import HostedCall
from mixminus.control.host.calls import Delivery
from mixminus.control.host.errors import UnknownUserError
from mixminus.media.pcm import FRAME_SAMPLES
from tests.host_kit import JOHN, TENANT, World, notification, states, world_of
from tests.session_kit import FakeTransport
from tests.support import eventually


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with world_of() as world:
        yield world


async def test_a_call_from_its_creation_to_the_other_ends_hang_up(world: World) -> None:
    heard: list[int] = []
    ended = asyncio.Event()

    @world.bot.on_call
    async def listen(call: HostedCall) -> None:
        async for frame in call.audio:
            heard.append(frame.size)
        ended.set()

    call = await world.established()
    await eventually(lambda: world.ticked() and len(heard) >= 3)
    world.say(call.id, "terminating")
    result = {"code": 200, "subcode": 4521, "message": "left"}
    world.say(call.id, "terminated", resultInfo=result)
    await asyncio.wait_for(call.wait_closed(), 5)
    assert ended.is_set(), "the audio ended, so the handler did"
    assert states(call) == ["establishing", "established", "terminating", "terminated"]
    assert world.service.deleted == []
    assert world.session_of(call) is None
    report = world.calls.report(call.id)
    assert report is not None
    assert report.description["resultInfo"]["subcode"] == 4521
    assert report.description["error"] is None
    assert report.description["notifications"] == {"received": 3, "duplicate": 0}
    at_ms = [entry["atMs"] for entry in report.description["states"]]
    assert at_ms == sorted(at_ms)
    assert at_ms[0] >= 0


async def test_the_blob_goes_out_and_its_secret_stays_out_of_reports(world: World) -> None:
    call = await world.established()
    (body,) = world.service.created
    blob = body["mediaConfig"]["blob"]
    assert call.session is not None
    assert blob == call.session.media_configuration()
    assert body["callbackUri"] == "https://localhost:1/api/calls"
    assert body["targets"][0]["identity"]["user"]["id"] == JOHN
    secret = call.session.descriptor.to_blob().split('"secret":"')[1].split('"')[0]
    assert secret not in str(call.describe())


async def test_notifications_that_overtake_the_answer_are_kept(world: World) -> None:
    def overtake(call_id: str) -> None:
        assert world.say(call_id, "established") is Delivery.TAKEN

    world.service.during_create = overtake
    call = await world.calls.create(user="John")
    await eventually(lambda: call.state is CallState.ESTABLISHED)


async def test_states_never_go_back_and_duplicates_count(world: World) -> None:
    updates: list[str] = []

    @world.bot.on_update
    async def note(call: HostedCall) -> None:
        updates.append(call.state.value)

    call = await world.established()
    for state in ("establishing", "established", "established"):
        world.say(call.id, state)
    world.say(call.id, "established", mediaState={"audio": "active"})
    world.say(call.id, "terminating")
    await eventually(lambda: "terminating" in updates)
    assert updates == ["established", "established", "terminating"]
    assert states(call) == ["establishing", "established", "terminating"]
    assert call.describe()["notifications"] == {"received": 6, "duplicate": 3}


async def test_updates_are_handled_one_at_a_time_and_in_order(world: World) -> None:
    log: list[str] = []

    @world.bot.on_update
    async def slow(call: HostedCall) -> None:
        log.append(f"begin {call.state.value}")
        await asyncio.sleep(0)
        log.append(f"end {call.state.value}")

    call = await world.calls.create(user=JOHN)
    for state in ("ringing", "established", "terminating"):
        world.say(call.id, state)
    await eventually(lambda: len(log) == 6)
    assert log == [
        f"{edge} {state}"
        for state in ("ringing", "established", "terminating")
        for edge in ("begin", "end")
    ]


async def test_hanging_up_here_waits_for_the_services_word(world: World) -> None:
    call = await world.established()
    await call.hang_up()
    assert call.is_over
    assert world.service.deleted == [call.id]
    assert call.end_reason == "ended by the service"
    await call.hang_up()
    assert world.service.deleted == [call.id]


async def test_a_hang_up_that_nobody_confirms_ends_all_the_same(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(call_module, "HANG_UP_GRACE_S", 0.01)
    world.service.on_delete = lambda call_id: None
    call = await world.established()
    await call.hang_up()
    await call.wait_closed()
    assert call.end_reason == "hung up by the bot host"
    assert call.state is CallState.TERMINATED


async def test_a_failing_bot_ends_its_call_and_no_other(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    @world.bot.on_call
    async def fail_in_the_first(call: HostedCall) -> None:
        async for _ in call.audio:
            if call.id.endswith("1"):
                raise ZeroDivisionError("the bot's own bug")

    first, second = await world.established(), await world.established()
    await eventually(lambda: world.ticked() and first.is_over)
    await first.wait_closed()
    assert first.bot_error == "ZeroDivisionError: the bot's own bug"
    assert world.service.deleted == [first.id]
    assert not second.is_over
    assert "Traceback" in caplog.text
    assert f"call {first.id}: the bot failed: ZeroDivisionError" in caplog.text


async def test_a_failing_update_handler_ends_its_call(world: World) -> None:
    @world.bot.on_update
    async def fail(call: HostedCall) -> None:
        if call.state is CallState.ESTABLISHED:
            raise KeyError("x")

    call = await world.calls.create(user="John")
    world.say(call.id, "established")
    await asyncio.wait_for(call.wait_closed(), 5)
    assert call.bot_error == "KeyError: 'x'"
    assert world.service.deleted == [call.id]


async def test_a_call_that_is_never_established_starts_no_bot(world: World) -> None:
    started: list[str] = []
    seen: list[str] = []

    @world.bot.on_call
    async def start(call: HostedCall) -> None:
        started.append(call.id)

    @world.bot.on_update
    async def note(call: HostedCall) -> None:
        seen.append(call.state.value)
        await asyncio.sleep(0)  # A bot that was started wrongly would run here.

    call = await world.calls.create(user="John")
    world.say(call.id, "terminating")
    await eventually(lambda: seen == ["terminating"])
    world.say(call.id, "terminated", resultInfo={"code": 603, "subcode": 0})
    await asyncio.wait_for(call.wait_closed(), 5)
    assert started == []
    assert states(call) == ["establishing", "terminating", "terminated"]


async def test_a_bot_that_is_done_hangs_up(world: World) -> None:
    @world.bot.on_call
    async def say_one_frame(call: HostedCall) -> None:
        await call.audio.send(np.ones(FRAME_SAMPLES, np.int16))

    call = await world.established()
    await asyncio.wait_for(call.wait_closed(), 5)
    assert world.service.deleted == [call.id]
    assert call.bot_error is None


async def test_a_bot_that_cancels_itself_hangs_up(world: World) -> None:
    @world.bot.on_call
    async def cancel_itself(_: HostedCall) -> None:
        raise asyncio.CancelledError

    call = await world.established()
    await asyncio.wait_for(call.wait_closed(), 5)
    assert world.service.deleted == [call.id]


async def test_sending_into_an_ended_call_is_no_error_of_the_bot(world: World) -> None:
    @world.bot.on_call
    async def talk(call: HostedCall) -> None:
        while True:
            await call.audio.send(np.ones(FRAME_SAMPLES, np.int16))

    call = await world.established()
    world.say(call.id, "terminated")
    await asyncio.wait_for(call.wait_closed(), 5)
    assert call.bot_error is None


async def test_a_bot_that_ignores_the_end_is_cancelled(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner_module, "BOT_GRACE_S", 0.01)
    cancelled = asyncio.Event()

    @world.bot.on_call
    async def never_done(_: HostedCall) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    call = await world.established()
    world.say(call.id, "terminated")
    await asyncio.wait_for(call.wait_closed(), 5)
    assert cancelled.is_set()


async def test_a_call_that_the_service_forgot_is_cleaned_up(world: World) -> None:
    call = await world.established()
    world.service.gone.set()
    await asyncio.wait_for(call.wait_closed(), 5)
    assert call.end_reason == "the service no longer knows the call"
    assert states(call)[-1] == "terminated"


async def test_a_lost_media_link_hangs_up_when_nothing_explains_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(call_module, "LINK_LOSS_GRACE_S", 0.01)
    call = await world.calls.create(user="John")
    transport = FakeTransport()
    assert call.session is not None
    call.session.attach(transport)
    world.say(call.id, "established")
    transport.closed.set_result("nothing came for 5 s")
    await asyncio.wait_for(call.wait_closed(), 5)
    assert world.service.deleted == [call.id]


@pytest.mark.parametrize(
    "failure", [GraphRequestError(404, "itemNotFound", "no such user"), GraphConnectionError("x")]
)
async def test_a_creation_that_fails_leaves_no_session(world: World, failure: Exception) -> None:
    world.service.fail = failure
    with pytest.raises(type(failure)):
        await world.calls.create(user="John")
    assert len(world.calls) == 0
    assert not world.calls._sessions


async def test_a_call_that_is_made_while_the_host_stops_is_hung_up(world: World) -> None:
    closing: list[asyncio.Task[None]] = []
    world.service.during_create = lambda _: closing.append(asyncio.create_task(world.calls.close()))
    call = await asyncio.wait_for(world.calls.create(user="John"), 5)
    await closing[0]
    assert world.service.deleted == [call.id]
    assert call.is_over
    with pytest.raises(GraphConnectionError, match="the host is stopping"):
        await world.calls.create(user="John")


async def test_users_are_found_by_name_and_by_id(world: World) -> None:
    assert world.calls.find_user("john").id == JOHN
    assert world.calls.find_user(JOHN.upper()).display_name == "John"
    other = "11111111-1111-1111-1111-111111111111"
    assert world.calls.find_user(other).id == other
    with pytest.raises(UnknownUserError, match="no user 'Nobody': known are John"):
        await world.calls.create(user="Nobody")


async def test_another_tenants_token_does_not_touch_a_call(world: World) -> None:
    call = await world.established()
    foreign = world.calls.deliver(notification(call.id, state="terminated"), "another tenant")
    assert foreign is Delivery.FOREIGN
    assert not call.is_over
    assert world.say(call.id, "hold") is Delivery.TAKEN


async def test_unknown_calls_are_told_from_ended_ones(world: World) -> None:
    assert world.say("0000-0009", "established") is Delivery.TAKEN
    await eventually(lambda: world.calls.unknown == 1)
    assert world.say("0000-0009", "established") is Delivery.UNKNOWN
    assert len(world.service.asked) == 1, "an answer is remembered"
    call = await world.established()
    world.say(call.id, "terminated")
    await call.wait_closed()
    assert world.say(call.id, "terminated") is Delivery.TAKEN


async def test_what_another_tenant_asks_of_a_call_does_not_silence_it(world: World) -> None:
    told = notification("0000-0009", state="established")
    assert world.calls.deliver(told, "another tenant") is Delivery.TAKEN
    await eventually(lambda: world.calls.unknown == 1)
    assert world.say("0000-0009", "established") is Delivery.TAKEN, "asked for its own tenant"
    await eventually(lambda: world.calls.unknown == 2)
    assert world.service.asked == ["0000-0009", "0000-0009"]


async def test_a_bot_that_does_not_keep_up_makes_the_service_wait(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(call_module, "QUEUE_NOTIFICATIONS", 2)
    stuck, go_on = asyncio.Event(), asyncio.Event()

    @world.bot.on_update
    async def block(_: HostedCall) -> None:
        stuck.set()
        await go_on.wait()

    call = await world.calls.create(user="John")
    world.say(call.id, "ringing")
    await stuck.wait()
    taken = [world.say(call.id, "established") for _ in range(3)]
    assert taken == [Delivery.TAKEN, Delivery.TAKEN, Delivery.FULL]
    go_on.set()


async def test_participants_are_no_state(world: World) -> None:
    call = await world.established()
    roster = {
        "changeType": "updated",
        "resourceUrl": f"/communications/calls/{call.id}/participants",
        "resourceData": [{"id": "p1", "state": "terminated"}],
    }
    world.calls.deliver(parse_envelope({"value": [roster]})[0], TENANT)
    world.say(call.id, "hold")
    await eventually(lambda: call.state is CallState.HOLD)
