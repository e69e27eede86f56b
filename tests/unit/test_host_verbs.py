"""Operations awaited to their end, keys, rosters, and what a host does when it is not sure."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from mixminus.control.client.models import Identity, Operation, RecordOperation, ToneInfo
from mixminus.control.client.requests import GraphRequestError
from mixminus.control.graph.enums import CallState, Tone
from mixminus.control.host import operations as operations_module
from mixminus.control.host import runner as runner_module
from mixminus.control.host.call import HostedCall
from mixminus.control.host.calls import Delivery
from mixminus.control.host.errors import CallEndedError, NoAudioError, OperationFailedError
from tests.host_kit import JOHN, TENANT, World, states, world_of
from tests.support import eventually

OP = "11111111-2222-3333-4444-555555555555"


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with world_of() as world:
        yield world


def running(kind: str, **members: Any) -> dict[str, Any]:
    data = {"@odata.type": f"#microsoft.graph.{kind}", "id": OP, "status": "running"}
    return {**data, **members}


async def service_call(world: World) -> HostedCall:
    """An established call whose media the service hosts."""
    call = await world.calls.create(user="John", media="service")
    world.say(call.id, "established", mediaState={"audio": "active"})
    await eventually(lambda: call.has_audio)
    return call


def finish(world: World, call: HostedCall, **members: Any) -> Delivery:
    path = f"operations/{OP.upper().replace('-', '')}"
    return world.tell(call.id, path, {"status": "completed", **members}, "deleted")


async def test_a_prompt_is_awaited_to_its_end(world: World) -> None:
    call = await service_call(world)
    world.service.answers["playPrompt"] = running("playPromptOperation", clientContext="c")
    playing = asyncio.create_task(call.play_prompt("https://x/a.wav", client_context="c"))
    await eventually(lambda: world.service.acted)
    assert not playing.done()
    finish(world, call, completionReason="completedSuccessfully")
    operation = await asyncio.wait_for(playing, 5)
    assert operation.type == "playPromptOperation"
    assert (operation.id, operation.status, operation.client_context) == (OP, "completed", "c")
    assert operation.completion_reason == "completedSuccessfully"


async def test_a_notification_may_come_before_the_answer(world: World) -> None:
    call = await service_call(world)
    world.service.answers["playPrompt"] = running("playPromptOperation")
    world.service.during_act = lambda call_id, action: finish(world, call) and None
    operation = await asyncio.wait_for(call.play_prompt("https://x/a.wav"), 5)
    assert operation.is_final


async def test_a_failed_operation_says_why(world: World) -> None:
    call = await service_call(world)
    world.service.answers["recordResponse"] = running("recordOperation")
    result = {"code": 400, "subcode": 8510, "message": "Initial silence"}
    world.service.during_act = lambda call_id, action: (
        finish(
            world,
            call,
            status="failed",
            completionReason="initialSilenceTimeout",
            resultInfo=result,
        )
        and None
    )
    with pytest.raises(OperationFailedError, match="400/8510 Initial silence") as caught:
        await call.record_response(stop_tones=["#"])
    assert caught.value.operation.completion_reason == "initialSilenceTimeout"
    assert world.service.acted[0][1]["stopTones"] == ["#"]


async def test_a_recording_has_its_location(world: World) -> None:
    call = await service_call(world)
    world.service.answers["recordResponse"] = running("recordOperation", recordingLocation=None)
    where = {"recordingLocation": "https://file.location/1", "recordingAccessToken": "t"}
    world.service.during_act = lambda call_id, action: finish(world, call, **where) and None
    operation = await call.record_response(prompt="https://x/a.wav")
    assert isinstance(operation, RecordOperation)
    assert operation.recording_location == "https://file.location/1"
    assert operation.recording_access_token == "t"


async def test_an_operation_that_is_done_at_once_is_not_waited_for(world: World) -> None:
    call = await service_call(world)
    for action, verb in (("mute", call.mute), ("subscribeToTone", call.subscribe_to_tone)):
        world.service.answers[action] = {"id": action, "status": "Completed"}
        assert (await verb()).is_final


async def test_a_call_that_ends_ends_what_waits_for_it(world: World) -> None:
    call = await service_call(world)
    world.service.answers["playPrompt"] = running("playPromptOperation")
    playing = asyncio.create_task(call.play_prompt("https://x/a.wav"))
    await eventually(lambda: world.service.acted)
    result = {"code": 200, "subcode": 4521, "message": "left"}
    world.say(call.id, "terminated", resultInfo=result)
    with pytest.raises(CallEndedError, match="200/4521 left") as caught:
        await asyncio.wait_for(playing, 5)
    assert caught.value.result is not None
    await call.wait_closed()
    with pytest.raises(CallEndedError, match="nothing can be asked"):
        await call.mute()
    assert world.service.acted[-1][0] == "playPrompt", "nothing was asked of a call that is over"


async def test_a_handler_of_updates_may_wait_for_an_operation(world: World) -> None:
    done: list[Operation] = []
    world.service.answers["playPrompt"] = running("playPromptOperation")

    @world.bot.on_update
    async def play(call: HostedCall) -> None:
        if call.state is CallState.ESTABLISHED and not done:
            done.append(await call.play_prompt("https://x/a.wav"))

    call = await world.calls.create(user="John", media="service")
    world.say(call.id, "established")
    await eventually(lambda: world.service.acted)
    finish(world, call)
    await eventually(lambda: done)
    assert call.bot_error is None


async def test_the_end_reaches_a_handler_that_holds_the_queue_up(world: World) -> None:
    world.service.answers["playPrompt"] = running("playPromptOperation")

    @world.bot.on_update
    async def play(call: HostedCall) -> None:
        if call.state is CallState.ESTABLISHED:
            await call.play_prompt("https://x/a.wav")

    call = await world.calls.create(user="John", media="service")
    world.say(call.id, "established")
    await eventually(lambda: world.service.acted)
    world.say(call.id, "terminated", resultInfo={"code": 200, "subcode": 4521})
    await asyncio.wait_for(call.wait_closed(), 5)
    assert call.bot_error is None
    assert call.end_reason == "ended by the service"


async def test_a_lost_notification_of_an_operation_is_made_good_by_a_get(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operations_module, "CHECK_EVERY_S", 0.001)
    call = await service_call(world)
    world.service.answers["playPrompt"] = running("playPromptOperation")
    world.service.operations_now[OP] = running("playPromptOperation", status="completed")
    assert (await asyncio.wait_for(call.play_prompt("https://x/a.wav"), 5)).is_final


async def test_a_looped_prompt_is_not_waited_for(world: World) -> None:
    call = await service_call(world)
    world.service.answers["playPrompt"] = running("playPromptOperation")
    operation = await call.play_prompt("https://x/a.wav", loop=True)
    assert operation.status == "running"
    assert world.service.acted[0][1]["loop"] is True


async def test_a_prompt_waits_for_the_calls_audio(world: World) -> None:
    call = await world.calls.create(user="John", media="service")
    world.service.answers["playPrompt"] = running("playPromptOperation", status="completed")
    playing = asyncio.create_task(call.play_prompt("https://x/a.wav"))
    world.say(call.id, "established")
    await eventually(lambda: call.state is CallState.ESTABLISHED)
    assert not world.service.acted
    world.say(call.id, "established", mediaState={"audio": "active"})
    assert (await asyncio.wait_for(playing, 5)).is_final


async def test_service_hosted_calls_have_no_audio_here(world: World) -> None:
    call = await service_call(world)
    with pytest.raises(NoAudioError, match="play_prompt"):
        _ = call.audio
    assert call.describe()["media"] == "service"
    assert call.session is None
    (body,) = world.service.created
    assert body["mediaConfig"]["@odata.type"] == "#microsoft.graph.serviceHostedMediaConfig"


async def test_keys_are_read_once_each_and_end_with_the_call(world: World) -> None:
    told: list[str | None] = []

    @world.bot.on_tone
    async def note(call: HostedCall, tone: ToneInfo) -> None:
        told.append(tone.key)

    call = await service_call(world)
    tones = call.tones()
    for number, tone in ((1, "tone1"), (2, "pound"), (2, "pound"), (1, "tone1"), (3, "soon")):
        info = {"sequenceId": number, "tone": tone}
        world.say(call.id, "established", toneInfo=info)
    first = await tones.next(timeout_s=5)
    assert first == ToneInfo(Tone.TONE1, 1)
    assert (await anext(tones)).key == "#"
    world.say(call.id, "terminated")
    assert [tone.tone async for tone in tones] == ["soon"]
    await call.wait_closed()
    assert await call.tones().next() is None
    assert told == ["1", "#", None]
    assert call.describe()["notifications"]["duplicate"] == 2


def person(name: str, number: int, **members: Any) -> dict[str, Any]:
    identity = {"user": {"id": name, "displayName": name.title()}}
    streams = [{"mediaType": "audio", "sourceId": str(200 + number), "serverMuted": False}]
    return {
        "id": name,
        "info": {"identity": identity},
        "mediaStreams": streams,
        "rosterSequenceNumber": number,
        **members,
    }


def delta(number: int, *people: dict[str, Any]) -> list[dict[str, Any]]:
    kind = "#microsoft.graph.deltaParticipants"
    return [{"@odata.type": kind, "sequenceNumber": number, "participants": list(people)}]


async def test_the_roster_is_found_by_participant_and_by_source(world: World) -> None:
    rosters: list[list[str]] = []

    @world.bot.on_participants
    async def note(call: HostedCall) -> None:
        rosters.append(sorted(call.participants))

    call = await world.calls.join(join_meeting_id="123 456 789", passcode="x")
    world.say(call.id, "established", myParticipantId="bot")
    world.tell(call.id, "participants", delta(1, person("bot", 1), person("ann", 1)))
    world.tell(call.id, "participants", delta(2, person("joe", 2, isMuted=True)))
    gone = person("ann", 3, removedState={"reason": "Removed from roster"})
    world.tell(call.id, "participants", delta(3, gone))
    await eventually(lambda: len(rosters) == 3)
    assert rosters == [["ann", "bot"], ["ann", "bot", "joe"], ["bot", "joe"]]
    joe = call.speaker(202)
    assert joe is not None
    assert (joe.display_name, joe.is_muted, joe.source_ids) == ("Joe", True, ("202",))
    assert call.participant("JOE") is joe
    assert call.me is not None
    assert call.speaker("7") is None
    assert not world.service.asked
    (body,) = world.service.created
    assert body["callOptions"]["isDeltaRosterEnabled"] is True
    assert body["meetingInfo"]["joinMeetingId"] == "123456789"


async def test_a_hole_in_the_roster_is_filled_by_a_get(world: World) -> None:
    call = await world.calls.join(join_meeting_id="123456789")
    world.service.known[call.id] = {"id": call.id, "state": "established"}
    world.service.people = [person("bot", 1), person("joe", 3)]
    world.tell(call.id, "participants", delta(1, person("bot", 1), person("ann", 1)))
    world.tell(call.id, "participants", delta(3, person("joe", 3)))
    await eventually(lambda: sorted(call.participants) == ["bot", "joe"])
    assert world.service.asked == [call.id]
    assert call.state is CallState.ESTABLISHED, "the call was fetched with it"


async def test_contradicting_words_make_the_host_ask(world: World) -> None:
    call = await world.established()
    world.service.known[call.id] = {"id": call.id, "state": "established"}
    world.say(call.id, "hold")
    await eventually(lambda: world.service.asked)
    await eventually(lambda: states(call)[-2:] == ["hold", "established"])


async def test_a_call_that_a_get_does_not_know_is_cleaned_up(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mixminus.control.host.call_truth.GONE_GRACE_S", 0.01)
    call = await service_call(world)
    world.service.fail = GraphRequestError(404, "8522", "Call not found.")
    with pytest.raises(GraphRequestError):
        await call.mute()
    world.service.fail = None
    await asyncio.wait_for(call.wait_closed(), 5)
    assert call.end_reason == "the service no longer knows the call"
    assert runner_module.BOT_GRACE_S + runner_module.GONE_GRACE_S < 5, "cleaned up within 5 s"


async def test_who_shares_a_screen_is_an_update(world: World) -> None:
    seen: list[int] = []

    @world.bot.on_update
    async def note(call: HostedCall) -> None:
        seen.append(len(call.sharing))

    call = await world.calls.create(user="John", media="service")
    session = [{"id": "F7D9", "presenterParticipantId": "ann"}]
    for change in ("created", "updated", "deleted"):
        world.tell(call.id, "contentsharingsessions", session, change)
    await eventually(lambda: seen == [1, 0])


async def test_waiting_for_a_state_ends_with_the_call(world: World) -> None:
    call = await world.calls.create(user="John", media="service")
    waiting = asyncio.create_task(call.wait_established())
    world.say(call.id, "established")
    await asyncio.wait_for(waiting, 5)
    with pytest.raises(TimeoutError):
        await call.wait_media(timeout_s=0.001)
    waiting = asyncio.create_task(call.wait_media())
    await asyncio.sleep(0)
    world.say(call.id, "terminated")
    with pytest.raises(CallEndedError):
        await asyncio.wait_for(waiting, 5)


async def test_telephones_are_called_from_an_application_instance(world: World) -> None:
    with pytest.raises(ValueError, match="APPLICATION_INSTANCE_ID"):
        await world.calls.create(phone="+14255550123", media="service")
    instance = Identity.application_instance("3d913abb", "Front desk")
    call = await world.calls.create(phone="+14255550123", media="service", source=instance)
    assert call.peer.id == "+14255550123"
    (body,) = world.service.created
    assert body["source"]["identity"]["applicationInstance"]["id"] == "3d913abb"
    assert body["targets"][0]["identity"]["phone"]["id"] == "+14255550123"
    for number in ("14255550123", "+1 425", "John"):
        with pytest.raises(ValueError, match=r"expected a number like \+14255550123"):
            await world.calls.create(phone=number)
    with pytest.raises(ValueError, match="expected somebody to call"):
        await world.calls.create()


async def test_several_users_are_a_group_call(world: World) -> None:
    other = "11111111-1111-1111-1111-111111111111"
    call = await world.calls.create(users=["John", other], media="service", subject="Budget")
    (body,) = world.service.created
    assert [t["identity"]["user"]["id"] for t in body["targets"]] == [JOHN, other]
    assert body["subject"] == "Budget"
    assert body["callOptions"]["isDeltaRosterEnabled"] is True
    assert call.tenant_id == TENANT
