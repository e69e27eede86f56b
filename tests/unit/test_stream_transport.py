"""A session's transport over telephony streams, in virtual time."""

from __future__ import annotations

import asyncio
import json
import logging
from itertools import pairwise

import numpy as np
import pytest

from mixminus.media.pcm import FRAME_BYTES, FRAME_SAMPLES
from mixminus.media.transports.stream import (
    AcsDialect,
    AcsService,
    Audio,
    StreamError,
    TwilioService,
    open_stream,
    speakers,
)
from mixminus.media.transports.stream.speakers import FIRST_SPEAKER_ID, MAX_SPEAKERS, OPENED_A_TICK
from mixminus.media.transports.stream.transport import MAX_CHANGES, MAX_MARKS
from tests.streamfar import FakeSocket, Far, constant
from tests.support import eventually

ANNA, BEN = "8:orgid:anna", "4:+15555550100"


async def test_the_mix_reaches_the_bot_sample_by_sample() -> None:
    far = await Far.open(AcsService())
    for value in range(1, 51):
        await far.say(constant(100 * value))
        await far.tick()
    values = [int(frame[160]) for frame in far.heard if frame[160]]
    # In order, each once: none is lost, and none made up.
    assert values == [100 * value for value in range(1, len(values) + 1)]
    assert len(values) >= 47
    assert far.transport.counters()["frames_in"] == 50
    await far.close()


async def test_what_the_bot_says_goes_out_paced_with_a_small_lead() -> None:
    far = await Far.open(AcsService())
    await far.tick(5)
    for value in range(1, 21):
        assert far.session.audio.send_nowait(constant(100 * value))
        await far.tick()
    await far.tick(5)
    pcm = far.sent_pcm().reshape(-1, FRAME_SAMPLES)[:, 160]
    loud = pcm[pcm != 0]
    # What follows is the engine's concealment, faded.
    assert loud[:20].tolist() == [100 * value for value in range(1, 21)]
    # One a tick, and two of silence ahead.
    assert far.transport.counters()["frames_out"] == pytest.approx(32, abs=1)
    assert far.transport.counters()["lead_frames"] == 2
    await far.close()


async def test_speakers_come_apart_and_their_sum_is_the_mix() -> None:
    far = await Far.open(AcsService())
    far.session.audio.unmixed = True
    for _ in range(20):
        await far.say(constant(1000), speaker=ANNA)
        await far.say(constant(-300), speaker=BEN)
        await far.tick()
    anna, ben = FIRST_SPEAKER_ID, FIRST_SPEAKER_ID + 1
    assert far.transport.speaker_ids() == {ANNA: anna, BEN: ben}
    assert dict(far.session.audio.speaker_names) == {anna: ANNA, ben: BEN}
    frame = far.heard[-1]
    assert int(frame[160]) == 700
    assert {key: int(pcm[160]) for key, pcm in frame.unmixed.items()} == {anna: 1000, ben: -300}
    assert far.transport.quality().received_packets == 40
    await far.close()


async def test_a_speaker_who_paused_comes_back_without_delay() -> None:
    far = await Far.open(AcsService())

    async def talk(frames: int) -> None:
        for _ in range(frames):
            await far.say(constant(1000), speaker=ANNA)
            await far.tick()

    await talk(50)
    await far.tick(500)
    before = len(far.heard)
    await talk(50)
    back = [int(frame[160]) for frame in far.heard[before:]]
    # Ten seconds of pause are no ten seconds of delay.
    assert back.index(1000) <= 3
    assert far.transport.counters()["paused_frames"] == 500
    assert far.transport.quality().lost_packets == 0
    await far.close()


async def test_no_more_than_so_many_speakers_have_a_leg() -> None:
    far = await Far.open(AcsService())
    names = [f"8:acs:{number}" for number in range(MAX_SPEAKERS + 2)]
    for name in names:
        await far.say(constant(10), speaker=name)
        await far.tick()
    assert len(far.session.legs.speakers) == MAX_SPEAKERS
    assert far.transport.counters()["displaced_speakers"] == 2
    # The first two were quiet for longest; who comes back keeps their id.
    await far.say(constant(10), speaker=names[0])
    assert FIRST_SPEAKER_ID in far.session.legs.speakers
    assert FIRST_SPEAKER_ID + 2 not in far.session.legs.speakers
    await far.close()


async def test_speakers_who_are_invented_one_after_the_other_have_an_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(speakers, "MAX_NAMES", 3)
    far = await Far.open(AcsService())
    for number in range(5):
        await far.say(constant(10), speaker=f"8:acs:{number}")
        await far.tick()
    assert len(far.transport.speaker_ids()) == len(far.session.legs.speakers) == 3
    assert far.transport.counters()["refused_speakers"] == 2
    before = far.transport.counters()["frames_in"]
    await far.say(constant(10), speaker="8:acs:0")
    assert far.transport.counters()["frames_in"] == before + 1
    await far.close()


async def test_speakers_who_come_all_at_once_are_let_in_one_tick_after_the_other() -> None:
    far = await Far.open(AcsService())
    await far.tick()
    messages = [
        far.service.write_audio(constant(10).tobytes(), time_ms=far.time_ms, speaker=f"8:acs:{n}")
        for n in range(20)
    ]
    assert isinstance(far.service, AcsService)
    for count in (OPENED_A_TICK, 2 * OPENED_A_TICK, 20):
        await far.tell(*messages)
        assert len(far.session.legs.speakers) == count
        await far.tick()
    await far.close()


async def test_a_format_that_never_stands_ends_the_stream() -> None:
    far = await Far.open(AcsService())
    (slow,), (fast,) = AcsService(16_000).write_start(), AcsService(24_000).write_start()
    await far.tell(*([slow] * 100))
    assert not far.transport.closed.done(), "what is said again is no change"
    await far.tell(*([fast, slow] * (MAX_CHANGES // 2 + 1)))
    assert far.transport.closed.result() == (
        f"the far end changed its format more than {MAX_CHANGES} times"
    )
    await far.close()


async def test_24_khz_and_other_sizes_are_framed_and_counted() -> None:
    far = await Far.open(AcsService(24_000))
    payload = constant(1000, 720).tobytes()
    for _ in range(20):
        await far.say(payload)
        await far.tick()
        await far.tick()
    # 20 messages of 30 ms are 30 frames.
    assert far.transport.counters()["frames_in"] == 30
    assert far.transport.counters()["reframed"] == 20
    sizes = {len(said.payload) for said in far.sent() if isinstance(said, Audio)}
    assert sizes == {960}
    await far.close()


async def test_nonsense_is_counted_said_once_and_the_call_lives(
    caplog: pytest.LogCaptureFixture,
) -> None:
    far = await Far.open(AcsService())
    odd = {"kind": "audioDATA", "AudioData": {"data": "AAA"}}
    with caplog.at_level(logging.WARNING):
        await far.tell("{", json.dumps(odd), "[]", json.dumps({"kind": "New"}))
    await far.say(constant(500)[:-1].tobytes())
    await far.say(constant(500))
    await far.tick(4)
    counts = far.transport.counters()
    assert (counts["malformed"], counts["ignored"], counts["reframed"]) == (3, 1, 1)
    assert [record.message for record in caplog.records] == [
        "acs stream: expected JSON, got '{'",
    ]
    assert not far.transport.closed.done()
    assert 500 in {int(frame[100]) for frame in far.heard}
    await far.close()


async def test_keys_are_told_once() -> None:
    far = await Far.open(AcsService())
    await far.tell(far.service.write_key("1"), far.service.write_key("#"))
    assert far.keys == ["1", "#"]
    await far.close()


# ---- barge-in, marks


async def test_a_clear_comes_before_what_is_said_after_it() -> None:
    far = await Far.open(AcsService())
    await far.tick(3)
    for _ in range(4):
        far.session.audio.send_nowait(constant(1000))
        await far.tick()
    far.session.audio.flush()
    await far.tick(3)
    for _ in range(3):
        far.session.audio.send_nowait(constant(-2000))
        await far.tick()
    await far.tick(3)
    said = far.sent()
    at = said.index("clear")
    peaks = [
        int(np.abs(np.frombuffer(item.payload, np.int16).astype(int)).max())
        for item in said[at + 1 :]
        if isinstance(item, Audio)
    ]
    assert 2000 in peaks
    # After the clear no whole frame of before it: at most the end of its fade.
    loud = [
        np.frombuffer(item.payload, np.int16)
        for item in said[at + 1 :]
        if isinstance(item, Audio) and np.frombuffer(item.payload, np.int16).max() > 0
    ]
    assert sum(int((pcm > 0).sum()) for pcm in loud) <= 80
    await far.close()


async def test_marks_of_acs_are_reckoned_by_the_pace() -> None:
    far = await Far.open(AcsService())
    await far.tick(3)
    for _ in range(3):
        far.session.audio.send_nowait(constant(1000), mark=None)
    far.session.audio.send_nowait(constant(1000), mark="end")
    played_at = None
    for tick in range(12):
        await far.tick()
        if far.marks and played_at is None:
            played_at = tick
    assert far.marks == [("end", True)]
    # Four frames and the lead: not before they can have been heard.
    assert played_at is not None
    assert 4 <= played_at <= 9
    await far.close()


async def test_marks_that_a_clear_overtook_were_not_played() -> None:
    far = await Far.open(AcsService())
    await far.tick(3)
    for n in range(4):
        far.session.audio.send_nowait(constant(1000), mark=f"m{n}")
    await far.tick(2)
    far.session.audio.flush()
    await far.tick(4)
    assert [played for _, played in far.marks].count(False) >= 2
    assert sorted(name for name, _ in far.marks) == ["m0", "m1", "m2", "m3"]
    await far.close()


async def test_twilio_answers_marks_itself() -> None:
    service = TwilioService()
    far = await Far.open(service)
    await far.tick(3)
    far.session.audio.send_nowait(constant(1000), mark="end")
    await far.tick(6)
    assert far.sent().count("end") == 1
    assert far.marks == []
    await far.tell(service.write_mark("end"), service.write_mark("end"))
    assert far.marks == [("end", True)]
    assert far.transport.counters()["ignored"] == 1
    await far.close()


@pytest.mark.slow
async def test_a_far_end_that_answers_no_mark_does_not_stop_its_bot() -> None:
    far = await Far.open(TwilioService())
    await far.tick(3)
    for number in range(MAX_MARKS + 20):
        await far.say(constant(10))
        assert far.session.audio.send_nowait(constant(1000), mark=f"m{number}")
        await far.tick()
    assert len(far.heard) > MAX_MARKS
    assert far.marks
    assert not any(played for _, played in far.marks), "nobody said that they were heard"
    await far.close()
    assert len(far.marks) == MAX_MARKS + 20


async def test_nothing_is_sent_to_a_stream_that_only_talks() -> None:
    far = await Far.open(TwilioService(parameters={"mixminus": "listen"}))
    far.session.audio.send_nowait(constant(1000), mark="m")
    await far.tick(5)
    far.session.audio.flush()
    await far.tick(5)
    assert far.socket.sent == []
    assert far.marks == [("m", False)]
    assert far.transport.counters()["unsent"] >= 9
    await far.close()


async def test_twilio_speaks_mulaw_both_ways() -> None:
    far = await Far.open(TwilioService())
    for _ in range(20):
        await far.say(b"\x00" * 160)
        far.session.audio.send_nowait(constant(4000))
        await far.tick()
    assert int(np.median([frame.mean() for frame in far.heard[-5:]])) < -30_000
    payloads = [said.payload for said in far.sent() if isinstance(said, Audio)]
    assert {len(payload) for payload in payloads} == {160}
    await far.close()


async def test_silence_is_left_out_when_the_session_says_so() -> None:
    far = await Far.open(AcsService())
    await far.tick(5)
    far.session.audio.silence_suppression = True
    before = len(far.socket.sent)
    await far.tick(20)
    assert len(far.socket.sent) - before <= 1
    for _ in range(5):
        far.session.audio.send_nowait(constant(3000))
        await far.tick()
    # The first word has its lead before it.
    first = far.socket.sent[before + 1 :]
    assert len(first) >= 5
    assert far.transport.counters()["lead_frames"] == 4
    await far.close()


# ---- sockets


async def test_a_socket_that_takes_nothing_costs_old_audio_and_nothing_else() -> None:
    far = await Far.open(AcsService())
    await far.tick(3)
    far.socket.open.clear()
    for _ in range(40):
        far.session.audio.send_nowait(constant(1000))
        await far.tick()
    far.session.audio.flush()
    far.socket.open.set()
    await far.tick(2)
    counts = far.transport.counters()
    assert counts["dropped_stale"] > 25
    assert "clear" in far.sent()
    await far.close()


async def test_a_lost_socket_is_waited_for_and_the_timeline_goes_on() -> None:
    far = await Far.open(AcsService())
    for _ in range(10):
        await far.say(constant(1000))
        await far.tick()
    far.socket.break_off()
    await eventually(lambda: not far.transport.is_connected)
    assert far.media == [False]
    assert not far.session.audio.active
    await far.tick(50)
    second = FakeSocket()
    service = AcsService(24_000)
    for message in service.write_start():
        second.inbox.put_nowait(message)
    far.transport.resume(await open_stream(second, AcsDialect()))
    far.socket, far.service = second, service
    assert far.media == [False, True]
    for _ in range(10):
        await far.say(constant(-1000, 480))
        far.session.audio.send_nowait(constant(7))
        await far.tick()
    assert far.transport.counters()["reconnects"] == 1
    assert int(far.heard[-1][160]) == pytest.approx(-1000, abs=2)
    stamps = [frame.timestamp for frame in far.heard]
    assert {b - a for a, b in pairwise(stamps)} == {200_000}
    assert any(isinstance(said, Audio) and any(said.payload) for said in far.sent())
    await far.close()
    assert second.closed_with == (1000, "")


async def test_a_socket_that_does_not_come_back_ends_the_stream() -> None:
    far = await Far.open(AcsService(), resume_s=0.01)
    far.socket.break_off(1006)
    reason = await asyncio.wait_for(far.session.transport_lost, 5)
    assert "did not come back" in reason
    await far.close()


async def test_a_clean_end_is_one_also_when_sending_finds_it_first() -> None:
    far = await Far.open(AcsService())
    far.socket.is_shut = True
    far.session.audio.send_nowait(constant(7))
    # Sending has failed for some ticks before the close frame is read.
    await far.tick(5)
    assert far.media == []
    far.socket.break_off(1000)
    reason = await asyncio.wait_for(far.session.transport_lost, 5)
    assert reason.startswith("the acs stream ended")
    await far.close()


async def test_a_socket_that_takes_nothing_and_says_nothing_is_lost() -> None:
    far = await Far.open(AcsService())
    far.socket.is_shut = True
    await far.tick(5)
    await eventually(lambda: not far.transport.is_connected)
    assert far.media == [False]
    await far.close()


@pytest.mark.parametrize("code", [1000, 1006])
async def test_twilio_does_not_come_back(code: int) -> None:
    far = await Far.open(TwilioService())
    far.socket.break_off(code)
    reason = await asyncio.wait_for(far.session.transport_lost, 5)
    assert reason.startswith("the twilio stream ended")
    await far.close()


async def test_a_stop_ends_the_stream() -> None:
    service = TwilioService()
    far = await Far.open(service)
    far.socket.inbox.put_nowait(service.write_stop())
    assert await asyncio.wait_for(far.session.transport_lost, 5) == "Twilio stopped the stream"
    await far.close()
    assert far.socket.closed_with == (1000, "")


async def test_media_that_stop_coming_are_told_and_the_call_lives() -> None:
    far = await Far.open(AcsService())
    await far.say(constant(1))
    await far.tick(101)
    assert far.media == [False]
    await far.say(constant(1))
    assert far.media == [False, True]
    assert not far.transport.closed.done()
    await far.close()


async def test_nothing_is_left_running() -> None:
    before = asyncio.all_tasks()
    far = await Far.open(AcsService())
    far.socket.break_off()
    await eventually(lambda: not far.transport.is_connected)
    await far.close()
    assert asyncio.all_tasks() == before


# ---- the beginning


async def refused(*messages: str | bytes, timeout_s: float = 5.0) -> tuple[StreamError, FakeSocket]:
    socket = FakeSocket()
    for message in messages:
        socket.inbox.put_nowait(message)
    with pytest.raises(StreamError) as caught:
        await open_stream(socket, AcsDialect(), timeout_s=timeout_s)
    return caught.value, socket


async def test_a_stream_that_never_begins_is_closed_with_one_clear_error() -> None:
    audio = AcsService().write_audio(bytes(FRAME_BYTES), time_ms=0.0)
    error, socket = await refused(audio, audio, timeout_s=0.01)
    assert "first word within 0.01 s, 2 other messages came" in str(error)
    assert socket.closed_with == (1008, "no start")


async def test_a_rate_that_nobody_carries_is_refused() -> None:
    metadata = {"kind": "AudioMetadata", "audioMetadata": {"sampleRate": 44_100}}
    error, socket = await refused(json.dumps(metadata))
    assert "expected a rate of" in str(error)
    assert socket.closed_with == (1003, "unsupported")


async def test_audio_before_the_metadata_is_left_out_and_counted() -> None:
    socket, service = FakeSocket(), AcsService()
    early = service.write_audio(bytes(FRAME_BYTES), time_ms=0.0)
    for message in (early, *service.write_start()):
        socket.inbox.put_nowait(message)
    assert (await open_stream(socket, AcsDialect())).early == 1


async def test_audio_before_twilios_start_is_left_out() -> None:
    far = await Far.open(TwilioService())
    assert far.transport.counters()["early"] == 1  # "connected"
    with pytest.raises(RuntimeError, match="sent as audio"):
        far.transport.send_tone("1", 100)
    await far.close()
