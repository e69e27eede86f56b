"""A bot's audio: what is sent, refused, awaited and read, tick by tick."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import numpy as np
import pytest

from mixminus.media.pcm import FLAG_SILENCE, FRAME_SAMPLES, AudioFrame, Pcm
from mixminus.media.platform import MediaPlatform
from mixminus.media.session import (
    BEHIND_READS,
    RESERVE_SENDS,
    ROOM_FRAMES,
    AudioSocket,
    MediaSession,
    SessionClosedError,
)
from mixminus.media.session import audio_socket as socket_module
from tests.manual import ManualPlatform
from tests.session_kit import FakeTransport
from tests.support import eventually

MP_URI = "wss://localhost:9441/media"


def tone(value: int) -> Pcm:
    return np.full(FRAME_SAMPLES, value, np.int16)


@pytest.fixture
def platform() -> ManualPlatform:
    return ManualPlatform()


@pytest.fixture
async def session(platform: ManualPlatform) -> AsyncIterator[MediaSession]:
    session = MediaSession(platform, mp_uri=MP_URI)
    yield session
    await session.close()


@pytest.fixture
async def audio(session: MediaSession) -> AudioSocket:
    session.attach(FakeTransport())
    return session.audio


async def settle() -> None:
    """Let the tasks that can run do so."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_before_the_link_stands_frames_are_refused_and_counted(
    session: MediaSession, platform: ManualPlatform
) -> None:
    assert not session.audio.active
    assert not session.audio.send_nowait(tone(1))
    sending = asyncio.create_task(session.audio.send(tone(1)))
    await settle()
    assert not sending.done(), "a refused send lasts a tick, so that a loop of them is paced"
    platform.tick()
    await sending
    counters = session.audio.counters()
    assert (counters.sent, counters.refused) == (0, 2)
    assert session.counters().application.source_written == 0


async def test_what_the_bot_sends_is_heard_at_the_link_and_not_by_the_bot(
    session: MediaSession, platform: ManualPlatform, audio: AudioSocket
) -> None:
    reading = asyncio.create_task(anext(audio))
    await audio.send(tone(500))
    await settle()
    platform.tick()
    heard_by_bot = await reading
    assert not heard_by_bot.any(), "a bot never hears itself"
    heard_at_link = session._link_leg.render.read()
    assert heard_at_link is not None
    assert (heard_at_link == 500).all()


async def test_frames_of_the_call_come_with_their_speakers(
    session: MediaSession, platform: ManualPlatform, audio: AudioSocket
) -> None:
    reading = asyncio.create_task(anext(audio))
    await settle()
    session._link_leg.source.write(tone(800), speakers=(7, 9))
    platform.tick()
    frame = await reading
    assert isinstance(frame, AudioFrame)
    assert (frame == 800).all()
    assert frame.active_speakers == (7, 9)
    assert not frame.is_silence
    frame[:] = 0  # The bot's own: it may write to it.


async def test_send_awaits_room(audio: AudioSocket, platform: ManualPlatform) -> None:
    for _ in range(ROOM_FRAMES):
        await asyncio.wait_for(audio.send(tone(1)), 5)
    assert not audio.send_nowait(tone(1))
    waiting = asyncio.create_task(audio.send(tone(1)))
    await settle()
    assert not waiting.done()
    platform.tick()
    await waiting
    counters = audio.counters()
    assert (counters.sent, counters.no_room) == (ROOM_FRAMES + 1, 1)


async def test_send_gives_up_at_its_deadline(
    audio: AudioSocket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket_module, "SEND_DEADLINE_S", 0.02)
    for _ in range(ROOM_FRAMES):
        await audio.send(tone(1))
    with pytest.raises(TimeoutError, match="no room for a frame within"):
        await audio.send(tone(1))
    assert audio.counters().no_room == 1
    assert audio.counters().sent == ROOM_FRAMES


async def test_a_loop_that_stood_still_finds_its_room(
    audio: AudioSocket, platform: ManualPlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(ROOM_FRAMES):
        await audio.send(tone(1))
    monkeypatch.setattr(socket_module, "SEND_DEADLINE_S", -1.0)  # Over before the loop looks.
    platform._engine.run_ticks(1)
    monkeypatch.setattr(audio._sender, "try_write", _once_refused(audio._sender.try_write))
    await audio.send(tone(1))
    assert (audio.counters().sent, audio.counters().no_room) == (ROOM_FRAMES + 1, 0)


def _once_refused(write: Callable[..., bool]) -> Callable[..., bool]:
    answers = iter([False])
    return lambda frame, mark=None, **how: next(answers, True) and write(frame, mark, **how)


async def test_what_a_stall_left_on_the_way_out_goes_in_silence(
    session: MediaSession, platform: ManualPlatform, audio: AudioSocket
) -> None:
    waiting = session._application_leg.source
    rng = np.random.default_rng(7)

    def hiss() -> Pcm:
        return rng.integers(-9000, 9000, FRAME_SAMPLES).astype(np.int16)

    for _ in range(ROOM_FRAMES):  # A stalled echo bot sends all at once, then one frame a tick.
        await audio.send(hiss())
    for _ in range(4 * RESERVE_SENDS):
        platform.tick()
        await audio.send(hiss())
    assert waiting.depth_frames == ROOM_FRAMES, "speech is never cut"
    for _ in range(10):
        platform.tick()
        await audio.send(tone(0))
    assert waiting.depth_frames == 1
    assert audio.counters().silence_unsent == ROOM_FRAMES - 1


async def test_a_bot_ahead_of_the_call_loses_no_silence(
    session: MediaSession, platform: ManualPlatform, audio: AudioSocket
) -> None:
    for _ in range(2 * RESERVE_SENDS):
        while audio.send_nowait(tone(0)):
            pass
        platform.tick()
    assert audio.counters().silence_unsent == 0
    assert session._application_leg.counters().trimmed == 0


async def test_closing_ends_the_iteration_and_a_waiting_send(
    session: MediaSession, audio: AudioSocket
) -> None:
    for _ in range(ROOM_FRAMES):
        await audio.send(tone(1))

    async def read_all() -> list[AudioFrame]:
        return [frame async for frame in audio]

    reading = asyncio.create_task(read_all())
    sending = asyncio.create_task(audio.send(tone(1)))
    await settle()
    await session.close()
    assert await asyncio.wait_for(reading, 5) == []
    with pytest.raises(SessionClosedError):
        await sending
    with pytest.raises(SessionClosedError):
        await audio.send(tone(1))
    with pytest.raises(SessionClosedError):
        audio.send_nowait(tone(1))
    assert [frame async for frame in audio] == []


async def test_only_one_task_reads(audio: AudioSocket, platform: ManualPlatform) -> None:
    first = asyncio.create_task(anext(audio))
    await settle()
    with pytest.raises(RuntimeError, match="another task"):
        await anext(audio)
    platform.tick()
    await first


async def test_a_reader_hears_from_when_it_starts_to_listen(
    session: MediaSession, platform: ManualPlatform, audio: AudioSocket
) -> None:
    session._link_leg.source.write(tone(111))
    platform.tick(5)
    reading = asyncio.create_task(anext(audio))
    await settle()
    session._link_leg.source.write(tone(222))
    platform.tick()
    assert (await reading)[0] == 222


async def test_a_frame_must_be_a_frame(audio: AudioSocket) -> None:
    wrong = (np.zeros(160, np.int16), np.zeros(FRAME_SAMPLES, np.float32))
    for frame in wrong:
        with pytest.raises(ValueError, match="expected one frame"):
            await audio.send(frame)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="expected one frame"):
            audio.send_nowait(frame)  # type: ignore[arg-type]
    strided = np.zeros(2 * FRAME_SAMPLES, np.int16)[::2]
    await audio.send(strided)


async def test_a_late_reader_gets_every_frame_of_speech(
    session: MediaSession, platform: ManualPlatform, audio: AudioSocket
) -> None:
    first = asyncio.create_task(anext(audio))
    await settle()
    for value in range(1, 11):
        session._link_leg.source.write(tone(1000 + value))
        platform.tick()
    assert (await first)[0] == 1001
    values = [int((await anext(audio))[0]) for _ in range(9)]
    assert values == list(range(1002, 1011))
    assert audio.counters().silence_skipped == 0


async def test_a_reader_that_stays_behind_catches_up_in_silence(
    session: MediaSession, platform: ManualPlatform, audio: AudioSocket
) -> None:
    def say(value: int) -> None:
        session._link_leg.source.write(tone(value), flags=0 if value else FLAG_SILENCE)
        platform.tick()

    first = asyncio.create_task(anext(audio))
    await settle()
    for _ in range(6):  # A stall of 120 ms, then one frame read a tick: five frames behind.
        say(900)
    await first
    for _ in range(BEHIND_READS):
        say(900)
        assert (await anext(audio))[0] == 900
    assert audio.unread_frames == 5
    for _ in range(6):
        say(0)
        await anext(audio)
    assert audio.unread_frames == 0
    assert audio.counters().silence_skipped == 5


async def test_grant_is_for_one_session_and_a_minute(session: MediaSession) -> None:
    grant = session.grant()
    assert grant is not None
    assert grant is session.grant(), "what one link has taken is taken for all"
    assert grant.secret == session.descriptor.link_secret
    assert 0 < grant.expires_ns - time.monotonic_ns() <= 60_000_000_000
    await session.close()
    assert session.grant() is None


async def test_a_session_takes_one_link(session: MediaSession) -> None:
    session.attach(FakeTransport())
    with pytest.raises(RuntimeError, match="has its link already"):
        session.attach(FakeTransport())


async def test_a_lost_link_is_told_and_stops_the_sending(
    session: MediaSession, platform: ManualPlatform
) -> None:
    transport = FakeTransport()
    session.attach(transport)
    transport.closed.set_result("nothing came for 5 s")
    assert await session.transport_lost == "nothing came for 5 s"
    assert not session.audio.active
    assert not session.audio.send_nowait(tone(1))


async def test_closing_closes_the_link_and_tells_no_loss(session: MediaSession) -> None:
    transport = FakeTransport()
    session.attach(transport)
    await session.close()
    await session.close()
    assert transport.closed.result() == "closed here"
    await settle()
    assert session.transport_lost.cancelled()
    assert session.counters().transport == {"frames_in": 3}


async def test_waiting_for_the_link(session: MediaSession, platform: ManualPlatform) -> None:
    waiting = asyncio.create_task(session.audio.wait_active(5))
    await settle()
    session.attach(FakeTransport())
    platform.tick()
    await waiting
    await session.close()
    with pytest.raises(SessionClosedError):
        await session.audio.wait_active(5)


async def test_a_real_engine_paces_an_echo_both_ways() -> None:
    async with MediaPlatform() as platform:
        session = MediaSession(platform, mp_uri=MP_URI)
        session.attach(FakeTransport())
        heard: list[int] = []

        async def echo() -> None:
            async for frame in session.audio:
                await session.audio.send((frame * -0.5).astype(np.int16))

        def far_end() -> None:
            session._link_leg.source.write(tone(1000))
            while (frame := session._link_leg.render.read()) is not None:
                heard.append(int(frame[0]))

        unsubscribe = platform.on_tick(far_end)
        bot = asyncio.create_task(echo())
        await eventually(lambda: heard.count(-500) >= 10, what="ten frames of echo")
        unsubscribe()
        await session.close()
        await asyncio.wait_for(bot, 5)
        assert session.audio.counters().refused == 0
        assert session.lateness_us().size >= 10


async def test_a_second_wake_in_one_tick_is_none(
    session: MediaSession, platform: ManualPlatform, audio: AudioSocket
) -> None:
    """Where plugins sit, the engine wakes the loop at more than one edge of a tick."""
    ticks: list[int] = []
    audio.on_tick(lambda: ticks.append(1))
    for _ in range(3):
        platform.tick()
        audio._ticked()
    assert len(ticks) == 3


async def test_a_bot_that_answers_is_behind_and_not_ahead(
    session: MediaSession, platform: ManualPlatform, audio: AudioSocket
) -> None:
    """It waits for room in each send, as one that is ahead does; but it has read in between."""

    async def echo() -> None:
        async for _ in audio:
            await audio.send(tone(0))

    bot = asyncio.create_task(echo())
    await settle()
    platform._engine.run_ticks(10)  # Its loop stands still.
    for _ in range(4 * RESERVE_SENDS):
        platform.tick()
        await settle()
    assert audio.counters().silence_unsent >= ROOM_FRAMES - 1
    assert audio.waiting_frames <= 1
    await session.close()
    with suppress(SessionClosedError):
        await bot
