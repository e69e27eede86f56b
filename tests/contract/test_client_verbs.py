"""The bot's client against the documentation: each verb's method, path and body, and its answers.

Nothing here is our service: what is sent must suit graph.microsoft.com.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx2
import pytest

from mixminus.control.client import models
from mixminus.control.client.bodies import ServiceHosted
from mixminus.control.client.calls import CallsClient
from mixminus.control.client.models import Identity
from mixminus.control.graph.enums import OperationStatus, RoutingMode
from tests.contract.client_kit import (
    BEEP,
    CALL,
    CALLBACK,
    JOHN,
    OPERATION,
    PARTICIPANT,
    Documented,
    documented_calls,
)
from tests.contract.client_verbs import QUALITY, VERBS, invitation, operation
from tests.contract.seeds import load


@pytest.fixture
async def world() -> AsyncIterator[tuple[CallsClient, Documented]]:
    async with documented_calls() as world:
        yield world


@pytest.fixture
def calls(world: tuple[CallsClient, Documented]) -> CallsClient:
    return world[0]


@pytest.fixture
def graph(world: tuple[CallsClient, Documented]) -> Documented:
    return world[1]


@pytest.mark.parametrize("name", VERBS)
async def test_a_verb_is_sent_as_documented(
    calls: CallsClient, graph: Documented, name: str
) -> None:
    verb = VERBS[name]
    has_body = verb.answer is not None
    graph.answer = (
        httpx2.Response(verb.status, json=verb.answer) if has_body else httpx2.Response(verb.status)
    )
    result = await verb.ask(calls)
    assert graph.asked == (verb.method, f"/calls/{CALL}{verb.path}", verb.body)
    if isinstance(result, models.Operation):
        assert result.raw == verb.answer
        assert result.id == OPERATION
        assert result.status is OperationStatus.parse(verb.answer["status"])
        assert f"#microsoft.graph.{result.type}" == verb.answer["@odata.type"]
    elif isinstance(result, tuple):
        assert [item.raw for item in result] == verb.answer["value"]
    elif has_body:
        assert result.raw == verb.answer
    else:
        assert result is None or result is True


async def test_device_quality_is_reported_as_documented(
    calls: CallsClient, graph: Documented
) -> None:
    await calls.log_teleconference_device_quality(QUALITY)
    path = "/calls/logTeleconferenceDeviceQuality"
    assert graph.asked == ("POST", path, {"quality": QUALITY})
    assert graph.requests[0].headers["User-Agent"] == "mixminus"


async def test_results_have_their_own_members(calls: CallsClient, graph: Documented) -> None:
    record = operation(
        "recordOperation",
        "completed",
        recordingLocation="https://file.location/1",
        recordingAccessToken="t",
        completionReason="stopToneDetected",
        resultInfo={"code": "200", "subCode": 0, "message": "Action completed successfully."},
    )
    invite = operation(
        "inviteParticipantsOperation",
        "completed",
        participants=[invitation("user", id=JOHN.id, displayName="John")],
    )
    mute = operation("muteParticipantsOperation", "completed", participants=[PARTICIPANT])
    graph.answer = httpx2.Response(200, json={"value": [record, invite, mute]})
    first, second, third = await calls.operations(CALL)
    assert isinstance(first, models.RecordOperation)
    assert first.recording_location == "https://file.location/1"
    assert first.result is not None
    assert first.result.code == 200
    assert isinstance(second, models.InviteParticipantsOperation)
    assert second.participants == (JOHN,)
    assert isinstance(third, models.MuteParticipantsOperation)
    assert third.participants == (PARTICIPANT,)


async def test_bad_arguments_are_refused_before_anything_is_sent(
    calls: CallsClient, graph: Documented
) -> None:
    for ask in (
        calls.play_prompt(CALL),
        calls.play_prompt(CALL, *[BEEP] * 21),
        calls.send_dtmf_tones(CALL),
        calls.send_dtmf_tones(CALL, "tone99"),
        calls.invite(CALL),
        calls.create(callback_uri=CALLBACK, media=ServiceHosted()),
    ):
        with pytest.raises(ValueError, match=r"expected|valid"):
            await ask
    assert not graph.requests


def test_what_graph_adds_later_is_kept_as_text() -> None:
    info = models.CallInfo.read({"id": "1", "state": "levitating", "direction": 7})
    assert (info.state, info.direction) == ("levitating", None)
    person = models.Participant.read(
        {
            "id": "p",
            "info": {"identity": {"@odata.type": "x", "spaceStation": {"id": "iss"}}},
            "mediaStreams": [{"mediaType": "smell", "sourceId": 7, "direction": "sideways"}],
        }
    )
    assert person.identity == Identity("spaceStation", "iss")
    (stream,) = person.streams
    assert (stream.media_type, stream.direction, stream.source_id) == ("smell", "sideways", "7")
    group = models.AudioRoutingGroup.read({"id": "g", "routingMode": "multicast"})
    assert group.routing_mode is RoutingMode.MULTICAST


def test_the_documented_rosters_are_read() -> None:
    people = [
        participant
        for name in ("05_meeting_service_hosted", "10_channel_meeting_as_guest")
        for notification in load(f"create_call/{name}")["notifications"]
        for item in notification.get("value", [notification])
        if isinstance(item["resourceData"], list)
        for participant in item["resourceData"]
    ]
    assert people
    for raw in people:
        person = models.Participant.read(raw)
        assert person.id == raw["id"]
        assert person.identity is not None
        assert len(person.streams) == len(raw["mediaStreams"])
        assert all(stream.source_id for stream in person.streams)
