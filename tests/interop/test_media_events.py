"""What a caller's packets tell beside audio: keys, media lost and back, how good they were."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from mixminus.control.service.service import CallService
from tests.service_kit import (
    BAD_SDP,
    GOOD_SDP,
    NOTHING_MEASURED,
    RESTART_SDP,
    FakeMedia,
    GraphHttp,
    Phone,
    Receiver,
    call_body,
    phone_of,
    running_service,
)
from tests.support import eventually

SERVICE_HOSTED = {"@odata.type": "#microsoft.graph.serviceHostedMediaConfig"}
CALLS = "/v1.0/communications/calls"


class World(NamedTuple):
    """A service, and John's device in a call that a bot's words and ears are hosted for."""

    service: CallService
    media: FakeMedia
    graph: GraphHttp
    receiver: Receiver
    john: Phone
    call_id: str

    def told(self, member: str) -> list[Any]:
        """What the bot was told of one member of its call, in order."""
        found = [data.get(member) for data in self.receiver.of(self.call_id)]
        return [value for value in found if value is not None]

    def audio(self) -> list[str]:
        return [state["audio"] for state in self.told("mediaState")]

    def tones(self) -> list[str]:
        return [info["tone"] for info in self.told("toneInfo")]

    async def record(self) -> dict[str, Any]:
        """Hang up; return the streams of the call's record by the direction of each."""
        resource = (await self.graph.http.get(f"{CALLS}/{self.call_id}")).json()
        await self.john.send(type="hangup", callId=self.call_id)
        await self.john.expect("ended")
        await eventually(lambda: self.receiver.states(self.call_id)[-1:] == ["terminated"])
        url = f"/v1.0/communications/callRecords/{resource['callChainId']}"

        expand = {"$expand": "sessions($expand=segments)"}

        async def is_there() -> bool:
            return (await self.graph.http.get(url)).status_code == 200

        await eventually(is_there, 5.0, "the record")
        record = (await self.graph.http.get(url, params=expand)).json()
        (media,) = record["sessions"][0]["segments"][0]["media"]
        return {stream["streamDirection"]: stream for stream in media["streams"]}


@asynccontextmanager
async def world(state_dir: Path, **settings: Any) -> AsyncIterator[World]:
    media = FakeMedia(packets=True)
    async with (
        running_service(state_dir, media, **settings) as service,
        Receiver(state_dir) as receiver,
        GraphHttp(service.dev_file) as graph,
        phone_of(service.dev_file) as john,
    ):
        body = call_body(receiver.url, mediaConfig=SERVICE_HOSTED)
        call_id = await graph.created(body)
        await john.expect("ring")
        await john.send(type="answer", callId=call_id, sdp=GOOD_SDP)
        await john.expect("answered")
        w = World(service, media, graph, receiver, john, call_id)
        await eventually(lambda: w.audio() == ["active"], 10.0, "audio")
        yield w


@pytest.fixture
async def w(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path) as made:
        yield made


async def subscribed(w: World) -> World:
    reply = await w.graph.http.post(f"{CALLS}/{w.call_id}/subscribeToTone", json={})
    assert reply.status_code == 200, reply.text
    return w


async def test_keys_in_packets_reach_who_subscribed_to_tones(w: World) -> None:
    await subscribed(w)
    for key in "5*D":
        w.media.packets().on_tone(key)
    await eventually(lambda: len(w.tones()) == 3)
    assert w.tones() == ["tone5", "star", "d"]
    assert [info["sequenceId"] for info in w.told("toneInfo")] == [1, 2, 3]


async def test_a_press_that_comes_by_two_paths_is_told_once(w: World) -> None:
    await subscribed(w)
    w.media.packets().on_tone("5")
    await w.john.send(type="tone", callId=w.call_id, tone="5")
    await w.john.send(type="tone", callId=w.call_id, tone="6")
    await eventually(lambda: "tone6" in w.tones())
    w.media.packets().on_tone("6")
    w.media.packets().on_tone("7")
    await eventually(lambda: "tone7" in w.tones())
    assert w.tones() == ["tone5", "tone6", "tone7"]


async def test_what_is_no_key_presses_none(w: World) -> None:
    await subscribed(w)
    for key in ("!", "", "55"):
        w.media.packets().on_tone(key)
    w.media.packets().on_tone("1")
    await eventually(w.tones)
    assert w.tones() == ["tone1"]


async def test_lost_media_are_told_and_the_call_goes_on_when_they_are_back(w: World) -> None:
    w.media.packets().on_media(False)
    assert await w.john.expect("media") == {
        "type": "media",
        "callId": w.call_id,
        "flows": False,
    }
    await eventually(lambda: w.audio() == ["active", "inactive"])
    resource = (await w.graph.http.get(f"{CALLS}/{w.call_id}")).json()
    assert resource["state"] == "established"
    assert resource["mediaState"]["audio"] == "inactive"
    w.media.packets().on_media(True)
    assert (await w.john.expect("media"))["flows"] is True
    await eventually(lambda: w.audio() == ["active", "inactive", "active"])
    assert set(w.receiver.states(w.call_id)) == {"establishing", "established"}


async def test_media_that_stay_lost_end_the_call_after_the_grace(tmp_path: Path) -> None:
    async with world(tmp_path, caller_grace_s=0.05) as w:
        w.media.packets().on_media(False)
        await w.john.expect("media")
        ended = await w.john.expect("ended")
        assert (ended["code"], ended["subcode"]) == (200, 4521)


async def test_media_that_came_back_end_nothing(tmp_path: Path) -> None:
    async with world(tmp_path, caller_grace_s=0.05) as w:
        w.media.packets().on_media(False)
        w.media.packets().on_media(True)
        assert (await w.john.expect("media"))["flows"] is False
        assert (await w.john.expect("media"))["flows"] is True
        [party] = list(w.service.book._services.callers._parties.values())
        assert (party._grace, party.is_over) == (None, False)


async def test_held_media_are_no_loss(tmp_path: Path) -> None:
    async with world(tmp_path, caller_grace_s=0.05) as w:
        packets = w.media.packets()
        expected = [packets.expects_media]
        packets.on_media(False)
        await w.john.send(type="hold", callId=w.call_id)
        assert (await w.john.expect("media"))["flows"] is False
        assert (await w.john.expect("media"))["flows"] is True
        await w.john.expect("held")
        expected.append(packets.expects_media)
        await w.john.send(type="resume", callId=w.call_id)
        await w.john.expect("held")
        expected.append(packets.expects_media)
        assert expected == [True, False, True]


async def test_a_reoffer_goes_on_with_the_same_connection(w: World) -> None:
    packets = w.media.packets()
    packets.on_media(False)
    await w.john.expect("media")
    await w.john.send(type="reoffer", callId=w.call_id, sdp=RESTART_SDP)
    assert (await w.john.expect("reanswered"))["sdp"] == f"answer to {RESTART_SDP}"
    packets.on_media(True)
    assert (await w.john.expect("media"))["flows"] is True
    assert (packets.restarts, len(w.media.callers)) == (1, 1)
    assert not packets.closed.done()


async def test_a_reoffer_of_another_connection_makes_a_fresh_one(w: World) -> None:
    first = w.media.packets()
    first.on_media(False)
    await w.john.expect("media")
    await w.john.send(type="reoffer", callId=w.call_id, sdp=GOOD_SDP)
    await w.john.expect("reanswered")
    assert (await w.john.expect("media"))["flows"] is True
    await eventually(first.closed.done)
    assert first.restarts == 0
    # The old one is heard no more; the new one is.
    first.on_media(False)
    w.media.packets().on_media(False)
    assert (await w.john.expect("media"))["flows"] is False


async def test_a_reoffer_that_fails_leaves_the_grace_running(tmp_path: Path) -> None:
    async with world(tmp_path, caller_grace_s=0.2) as w:
        w.media.packets().on_media(False)
        await w.john.expect("media")
        await w.john.send(type="reoffer", callId=w.call_id, sdp=BAD_SDP)
        assert (await w.john.expect("error"))["code"] == "badSdp"
        await w.john.expect("ended")


async def test_others_are_told_whose_media_were_lost(w: World) -> None:
    meeting = w.service.dev_file.meetings[0]
    dev = w.service.dev_file
    async with phone_of(dev, "Alice") as alice, phone_of(dev, "Bob") as bob:
        joined = []
        for phone in (alice, bob):
            await phone.send(
                type="join",
                joinMeetingId=meeting.join_meeting_id,
                passcode=meeting.passcode,
                sdp=GOOD_SDP,
            )
            joined.append(await phone.expect("joined"))
            await phone.expect("answered")
        w.media.packets().on_media(False)
        await bob.expect("media")
        assert await alice.expect("partyMedia") == {
            "type": "partyMedia",
            "callId": joined[0]["callId"],
            "participantId": joined[1]["participantId"],
            "flows": False,
        }


async def test_the_record_says_how_good_the_packets_were(w: World) -> None:
    packets = w.media.packets()
    packets.measured = replace(
        NOTHING_MEASURED,
        received_packets=95,
        lost_packets=5,
        sent_packets=100,
        voice_ticks=90,
        concealed_ticks=10,
        jitter_ms=4.0,
        round_trip_ms=20.0,
        codec="pcmu",
    )
    streams = await w.record()
    stream = streams["calleeToCaller"]
    assert stream["audioCodec"] == "pcmu"
    assert stream["packetUtilization"] == 95
    assert (stream["averagePacketLossRate"], stream["maxPacketLossRate"]) == (0.05, 0.05)
    assert stream["averageRatioOfConcealedSamples"] == 0.1
    assert (stream["averageJitter"], stream["maxRoundTripTime"]) == ("PT0.004S", "PT0.02S")
    # The bot's audio was made here: nothing of it was measured.
    assert streams["callerToCallee"]["averageJitter"] is None
