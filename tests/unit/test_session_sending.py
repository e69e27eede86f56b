"""What a bot sends: marks, the position really played, barge-in, keys, silence left out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import numpy as np
import pytest

from mixminus.media.dtmf import ToneDetector
from mixminus.media.pcm import FRAME_SAMPLES, AudioFrame, Pcm
from mixminus.media.session import (
    ROOM_FRAMES,
    AudioSocket,
    MediaSession,
    SessionClosedError,
)
from mixminus.media.transports.base import CLEAR, MARKS
from tests.manual import ManualPlatform
from tests.session_kit import MP_URI, FakeTransport, constant, settle
from tests.signals import sine


class Line:
    """A session whose far end hears into ``heard``."""

    def __init__(self, *capabilities: str) -> None:
        self.platform = ManualPlatform()
        self.session = MediaSession(self.platform, mp_uri=MP_URI)
        self.transport = FakeTransport(capabilities)
        self.session.attach(self.transport)
        self.heard: list[AudioFrame] = []
        self.marks: list[tuple[str, bool]] = []
        self.audio.on_mark(lambda name, played: self.marks.append((name, played)))

    @property
    def audio(self) -> AudioSocket:
        return self.session.audio

    def tick(self, count: int = 1) -> None:
        for _ in range(count):
            self.platform.tick()
            while (frame := self.session.legs.link.render.read()) is not None:
                self.heard.append(frame)

    @property
    def heard_pcm(self) -> Pcm:
        return np.concatenate([np.asarray(frame) for frame in self.heard])


@pytest.fixture
async def line() -> AsyncIterator[Line]:
    line = Line()
    yield line
    await line.session.close()


@pytest.fixture
async def far() -> AsyncIterator[Line]:
    """A far end that tells what it has played."""
    line = Line(MARKS, CLEAR)
    yield line
    await line.session.close()


# ---- position and marks --------------------------------------------------------------------------


async def test_the_position_is_what_has_left_and_not_what_waits(line: Line) -> None:
    for _ in range(4):
        await line.audio.send(constant(9))
    assert (line.audio.position_frames, line.audio.waiting_frames) == (0, 4)
    assert line.audio.room_frames == ROOM_FRAMES - 4
    line.tick(3)
    assert (line.audio.position_frames, line.audio.waiting_frames) == (3, 1)
    line.tick(10)
    assert (line.audio.position_frames, line.audio.waiting_frames) == (4, 0)


async def test_a_mark_is_told_in_the_tick_that_took_its_frame(line: Line) -> None:
    for name in ("a", None, "b"):
        await line.audio.send(constant(9), mark=name)
    told = []
    for _ in range(4):
        line.tick()
        told.append(list(line.marks))
    a, b = ("a", True), ("b", True)
    assert told == [[a], [a], [a, b], [a, b]]


async def test_where_the_far_end_can_tell_a_mark_is_its_to_answer(far: Line) -> None:
    await far.audio.send(constant(9), mark="greeting")
    assert far.transport.marks == []
    far.tick()
    assert far.transport.marks == ["greeting"], "sent once its audio is on its way"
    assert far.marks == []
    assert far.transport.on_mark is not None
    far.transport.on_mark("greeting", True)
    far.transport.on_mark("greeting", True)
    far.transport.on_mark("never set", True)
    assert far.marks == [("greeting", True)]


async def test_every_mark_is_answered_once_also_by_the_end(far: Line) -> None:
    await far.audio.send(constant(9), mark="sent")
    far.tick()
    await far.audio.send(constant(9), mark="waiting")
    await far.session.close()
    assert far.marks == [("sent", False), ("waiting", False)]


async def test_a_mark_of_a_refused_frame_is_not_played() -> None:
    platform = ManualPlatform()
    session = MediaSession(platform, mp_uri=MP_URI)
    marks: list[tuple[str, bool]] = []
    session.audio.on_mark(lambda name, played: marks.append((name, played)))
    assert not session.audio.send_nowait(constant(1), mark="early")
    assert marks == [("early", False)]
    assert session.audio.room_frames == 0
    await session.close()


async def test_a_mark_has_a_name(line: Line) -> None:
    for name in ("", "x" * 129):
        with pytest.raises(ValueError, match="mark: expected 1 to 128 bytes of UTF-8, got"):
            await line.audio.send(constant(1), mark=name)
        with pytest.raises(ValueError, match="mark: expected"):
            line.audio.send_nowait(constant(1), mark=name)


# ---- barge-in ------------------------------------------------------------------------------------


async def test_a_flush_is_heard_within_a_tick_and_without_a_click(line: Line) -> None:
    tone = sine(300, 16_000, 2.0, amplitude=12_000).reshape(-1, FRAME_SAMPLES)
    for frame in tone[:4]:
        await line.audio.send(frame)
    line.tick(1)
    line.audio.flush()
    line.tick(4)
    pcm = line.heard_pcm
    last = int(np.flatnonzero(pcm)[-1])
    assert FRAME_SAMPLES <= last < 2 * FRAME_SAMPLES, "faded out in the very next frame"
    steepest = int(np.abs(np.diff(tone[0].astype(np.int32))).max())
    assert int(np.abs(np.diff(pcm.astype(np.int32))).max()) <= 1.5 * steepest, "no step"
    assert line.session.legs.application.counters().concealed == 0
    counters = line.audio.counters()
    assert counters.sent == 4
    assert line.audio.position_frames + counters.cleared == 4
    assert counters.cleared == 2, "the one then due was faded, two went"


async def test_what_is_sent_after_a_flush_is_played_whole(line: Line) -> None:
    for _ in range(3):
        await line.audio.send(constant(900))
    line.tick(1)
    line.audio.flush()
    await line.audio.send(constant(-500))
    line.tick(6)
    assert any((frame == -500).all() for frame in line.heard)
    assert line.audio.waiting_frames == 0


async def test_a_flush_answers_the_marks_truly(line: Line) -> None:
    for index in range(6):
        await line.audio.send(constant(900), mark=str(index))
        if index > 2:
            line.tick()
    line.audio.flush()
    await line.audio.send(constant(1), mark="after")
    line.tick(5)
    answers = dict(line.marks)
    assert len(line.marks) == len(answers) == 7
    assert answers["0"]
    assert answers["2"]
    assert not answers["4"]
    assert not answers["5"]
    assert answers["after"]
    played = sum(answers[str(index)] for index in range(6))
    assert played + line.audio.counters().cleared == 6


async def test_two_flushes_before_a_tick_are_one(line: Line) -> None:
    for _ in range(3):
        await line.audio.send(constant(900), mark="first")
    line.audio.flush()
    await line.audio.send(constant(900), mark="second")
    line.audio.flush()
    line.tick(3)
    assert line.audio.waiting_frames == 0
    assert line.audio.position_frames + line.audio.counters().cleared == 4
    assert len(line.marks) == 4
    assert line.marks[-1] == ("second", False)


async def test_a_flush_reaches_the_far_end(far: Line) -> None:
    far.audio.flush()
    assert far.transport.clears == 1
    await far.session.close()
    far.audio.flush()
    assert far.transport.clears == 1, "nothing of a closed session is asked for"


async def test_a_flush_of_nothing_is_no_sound(line: Line) -> None:
    line.audio.flush()
    line.tick(3)
    assert not line.heard_pcm.any()


# ---- keys out ------------------------------------------------------------------------------------


async def test_keys_go_by_the_transport_where_it_can() -> None:
    line = Line("send_tones")
    await line.audio.send_tones("1a#", duration_ms=80)
    assert line.transport.tones == [("1", 80), ("A", 80), ("#", 80)]
    line.tick(3)
    assert not line.heard_pcm.any()
    await line.session.close()


async def test_keys_go_as_audio_where_it_cannot(line: Line) -> None:
    sending = asyncio.create_task(line.audio.send_tones("12#", duration_ms=100, pause_ms=60))
    for _ in range(30):
        await settle()
        line.tick()
    await sending
    heard = ToneDetector().push(line.heard_pcm)
    assert [key.key for key in heard] == ["1", "2", "#"]
    assert line.session.legs.application.counters().underruns <= 1, "only where the last one ends"


async def test_keys_are_heard_instead_of_what_the_bot_says(line: Line) -> None:
    speech = np.random.default_rng(3).integers(-8000, 8000, FRAME_SAMPLES).astype(np.int16)
    sending = asyncio.create_task(line.audio.send_tone("5", 100))
    for _ in range(20):
        await settle()
        assert line.audio.send_nowait(speech)
        line.tick()
    await sending
    assert [key.key for key in ToneDetector().push(line.heard_pcm)] == ["5"]
    assert (line.heard[-1] == speech).all()


async def test_a_flush_ends_the_keys(line: Line) -> None:
    sending = asyncio.create_task(line.audio.send_tones("1234567890"))
    await settle()
    line.tick(3)
    line.audio.flush()
    line.tick(2)
    await asyncio.wait_for(sending, 5)
    assert not line.heard[-1].any()


async def test_keys_must_be_keys(line: Line) -> None:
    for keys in ("", "E", "1 2", "x"):
        with pytest.raises(ValueError, match="expected keys of 0123456789"):
            await line.audio.send_tones(keys)
    for duration_ms in (0, 39, 10_001):
        with pytest.raises(ValueError, match="duration_ms: expected 40 to 10000"):
            await line.audio.send_tone("1", duration_ms)
    sending = asyncio.create_task(line.audio.send_tone("1"))
    await settle()
    await line.session.close()
    with pytest.raises(SessionClosedError):
        await sending
    with pytest.raises(SessionClosedError):
        await line.audio.send_tone("1")


# ---- silence -------------------------------------------------------------------------------------


def murmur(rng: np.random.Generator, amplitude: int) -> Pcm:
    return rng.integers(-amplitude, amplitude + 1, FRAME_SAMPLES).astype(np.int16)


async def test_suppressed_silence_is_exact_and_flagged_and_speech_is_untouched(line: Line) -> None:
    rng = np.random.default_rng(4)
    line.audio.silence_suppression = True
    sends_silence = [line.transport.sends_silence]
    sent = []
    for index in range(200):
        frame = murmur(rng, 6000 if 50 <= index < 80 else 40)
        sent.append(frame)
        assert line.audio.send_nowait(frame)
        line.tick()
    assert all(
        (heard == said).all() for heard, said in zip(line.heard[50:80], sent[50:80], strict=True)
    )
    for quiet in (*line.heard[:50], *line.heard[125:]):
        assert not quiet.any()
        assert quiet.is_silence
        assert not quiet.active_speakers, "in its pauses the bot is nobody's active speaker"
    hangover = sum(frame.any() for frame in line.heard[80:])
    assert hangover == 20, "400 ms: the end of a word is not cut"
    line.audio.silence_suppression = False
    sends_silence.append(line.transport.sends_silence)
    assert sends_silence == [False, True]
    line.audio.send_nowait(sent[0])
    line.tick()
    assert (line.heard[-1] == sent[0]).all()


# ---- status, quality -----------------------------------------------------------------------------


async def test_status_and_loss_are_told(line: Line) -> None:
    status: list[bool] = []
    media: list[bool] = []
    line.audio.on_send_status(status.append)
    stop = line.audio.on_media(media.append)
    lost = line.transport.on_media
    assert lost is not None
    sent = []
    for is_back in (False, False, True):
        lost(is_back)
        sent.append(line.audio.send_nowait(constant(1)))
    assert sent == [False, False, True]
    stop()
    lost(False)
    await line.session.close()
    assert media == [False, True]
    assert status == [False, True, False]


async def test_status_is_told_when_the_transport_comes_and_when_all_ends() -> None:
    session = MediaSession(ManualPlatform(), mp_uri=MP_URI)
    status: list[bool] = []
    session.audio.on_send_status(status.append)
    assert session.audio.quality() is None
    session.attach(FakeTransport())
    quality = session.audio.quality()
    assert quality is not None
    assert quality.received_packets == 3
    await session.close()
    assert status == [True, False]


async def test_a_far_end_that_answers_no_mark_does_not_make_us_remember_for_ever(
    far: Line,
) -> None:
    for index in range(300):
        await far.audio.send(constant(9), mark=str(index))
        far.tick()
    assert len(far.transport.marks) == 300
    assert far.marks == [(str(index), False) for index in range(300 - 256)]
