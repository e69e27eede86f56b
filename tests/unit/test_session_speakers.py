"""Speakers of a session beside its mix: one timeline, one tick, the sum is the mix."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise

import numpy as np
import pytest

from mixminus.media.pcm import FLAG_SILENCE, FRAME_SAMPLES, FRAME_TICKS, AudioFrame, Pcm
from mixminus.media.session import (
    Listener,
    MediaSession,
    SessionClosedError,
    SessionFrame,
)
from mixminus.media.session.hub import TAP_SLOTS
from mixminus.media.session.speakers import MAX_SPEAKERS
from mixminus.media.transports.base import TONES
from tests.manual import ManualPlatform
from tests.session_kit import MP_URI, FakeTransport, constant, settle

ALICE, BOB, CAROL = 101, 102, 4_000_000_003


class Room:
    """A session, its transport, and the people whom the transport brings."""

    def __init__(self) -> None:
        self.platform = ManualPlatform()
        self.session = MediaSession(self.platform, mp_uri=MP_URI)
        self.transport = FakeTransport()
        self.session.attach(self.transport)
        self.rng = np.random.default_rng(5)

    def come(self, *source_ids: int) -> None:
        for source_id in source_ids:
            self.session.open_speaker(source_id)

    def noise(self) -> Pcm:
        return self.rng.integers(-6000, 6000, FRAME_SAMPLES).astype(np.int16)

    def tick(self, *silent: int) -> dict[int, Pcm]:
        """One tick in which everybody but *silent* says something; return what."""
        said = {}
        for source_id, leg in self.session.legs.speakers.items():
            if source_id not in silent:
                said[source_id] = self.noise()
                leg.source.write(said[source_id])
        self.platform.tick()
        return said


@pytest.fixture
async def room() -> AsyncIterator[Room]:
    room = Room()
    yield room
    await room.session.close()


def drain(listener: Listener) -> list[SessionFrame]:
    frames = []
    while (frame := listener.read_nowait()) is not None:
        frames.append(frame)
    return frames


async def test_the_sum_of_the_speakers_is_the_mix_in_every_tick(room: Room) -> None:
    listener = room.session.listen()
    room.come(ALICE, BOB, CAROL)
    said = [room.tick() for _ in range(20)]
    frames = drain(listener)
    assert len(frames) == 20
    for frame, words in zip(frames, said, strict=True):
        assert frame.speakers.keys() == {ALICE, BOB, CAROL}
        for source_id, pcm in words.items():
            assert np.array_equal(frame.speakers[source_id], pcm), "untouched, in its own tick"
        assert np.array_equal(frame.mixed, sum(frame.speakers.values()))
        stamps = {frame.mixed.timestamp, *(one.timestamp for one in frame.speakers.values())}
        assert stamps == {frame.timestamp}


async def test_there_is_no_limit_of_four(room: Room) -> None:
    listener = room.session.listen()
    people = range(200, 240)
    room.come(*people)
    room.tick()
    assert drain(listener)[0].speakers.keys() == set(people)


async def test_a_bot_reads_the_mix_with_its_speakers(room: Room) -> None:
    room.session.audio.unmixed = True
    room.come(ALICE, BOB)
    reading = asyncio.create_task(anext(room.session.audio))
    await settle()
    said = room.tick()
    frame = await reading
    assert frame.active_speakers == (ALICE, BOB)
    assert frame.unmixed.keys() == {ALICE, BOB}
    for source_id, one in frame.unmixed.items():
        assert np.array_equal(one, said[source_id])
        assert one.active_speakers == (source_id,)
        one[:] = 0  # The bot's own: it may write to it.
    frame[:] = 0
    room.session.audio.unmixed = False
    assert room.transport.wanted == [True, False]


async def test_what_a_bot_writes_into_a_frame_reaches_no_listener(room: Room) -> None:
    listener = room.session.listen()
    room.session.audio.unmixed = True
    room.come(ALICE)
    reading = asyncio.create_task(anext(room.session.audio))
    await settle()
    said = room.tick()
    frame = await reading
    frame[:] = 0
    frame.unmixed[ALICE][:] = 0
    heard = drain(listener)[0]
    assert np.array_equal(heard.mixed, said[ALICE])
    assert np.array_equal(heard.speakers[ALICE], said[ALICE])


async def test_what_listeners_share_none_of_them_can_change(room: Room) -> None:
    """One of them may be a recording."""
    bot, recorder = room.session.listen(), room.session.listen()
    room.come(ALICE)
    await settle()
    said = room.tick()
    frame = drain(bot)[0]
    for shared in (frame.mixed, frame.own, frame.speakers[ALICE]):
        with pytest.raises(ValueError, match="read-only"):
            shared[:] = 0
    frame.mixed.copy()[:] = 0
    assert np.array_equal(drain(recorder)[0].mixed, said[ALICE])


async def test_unmixed_is_empty_unless_asked_for(room: Room) -> None:
    room.come(ALICE)
    reading = asyncio.create_task(anext(room.session.audio))
    await settle()
    room.tick()
    assert not (await reading).unmixed
    assert room.transport.wanted == []


async def test_without_speakers_the_bot_hears_the_far_ends_own_mix(room: Room) -> None:
    listener = room.session.listen()
    room.session.legs.link.source.write(constant(700), speakers=(7, 9))
    room.platform.tick()
    frame = drain(listener)[0]
    assert (frame.mixed == 700).all()
    assert frame.mixed.active_speakers == (7, 9)
    assert not frame.speakers


async def test_with_speakers_the_far_ends_mix_is_not_heard_twice(room: Room) -> None:
    listener = room.session.listen()
    room.come(ALICE)
    room.session.legs.link.source.write(constant(700), speakers=(ALICE,))
    said = room.tick()
    assert np.array_equal(drain(listener)[0].mixed, said[ALICE])
    room.session.close_speaker(ALICE)
    room.platform.tick(5)
    room.session.legs.link.source.write(constant(300))
    room.platform.tick()
    assert (drain(listener)[-1].mixed == 300).all(), "nobody is left: the far end's own mix again"


async def test_speakers_are_not_told_to_each_other_nor_back(room: Room) -> None:
    room.come(ALICE, BOB)
    await room.session.audio.send(constant(50))
    room.tick()
    link = room.session.legs.link.render.read()
    assert link is not None
    assert (link == 50).all(), "the far end hears the bot and nobody else"
    for leg in room.session.legs.speakers.values():
        heard = leg.render.read()
        assert heard is not None
        assert not heard.any()


async def test_the_bots_own_frames_are_on_the_same_timeline(room: Room) -> None:
    listener = room.session.listen()
    for value in (11, 22):
        await room.session.audio.send(constant(value))
        room.tick()
    assert [int(frame.own[0]) for frame in drain(listener)] == [11, 22]


async def test_who_comes_and_goes_is_there_for_their_ticks_only(room: Room) -> None:
    listener = room.session.listen()
    room.come(ALICE)
    room.tick()
    room.come(BOB)
    last = room.tick()
    room.session.close_speaker(ALICE)
    room.tick()
    room.come(ALICE)
    room.tick()
    frames = drain(listener)
    assert [set(frame.speakers) for frame in frames] == [
        {ALICE},
        {ALICE, BOB},
        {BOB},
        {ALICE, BOB},
    ]
    assert np.array_equal(frames[1].speakers[ALICE], last[ALICE])


async def test_what_was_said_before_a_leave_is_read_after_it(room: Room) -> None:
    listener = room.session.listen()
    room.come(ALICE)
    said = []
    for _ in range(3):  # The loop stands still: the ticks happen, nobody reads.
        said.append(room.noise())
        room.session.legs.speakers[ALICE].source.write(said[-1])
        room.platform._engine.run_ticks(1)
    room.session.close_speaker(ALICE)
    room.platform.tick()
    frames = drain(listener)
    assert len(frames) == 4
    for frame, pcm in zip(frames[:3], said, strict=True):
        assert np.array_equal(frame.speakers[ALICE], pcm)
    assert not frames[3].speakers


async def test_the_timeline_has_no_gap_when_the_loop_was_too_late(room: Room) -> None:
    listener = room.session.listen(slots=512)
    room.come(ALICE)
    room.tick()
    room.platform._engine.run_ticks(3 * TAP_SLOTS)
    room.tick()
    frames = drain(listener)
    assert len(frames) == 3 * TAP_SLOTS + 2
    steps = {b.timestamp - a.timestamp for a, b in pairwise(frames)}
    assert steps == {FRAME_TICKS}
    skipped = [frame for frame in frames if frame.mixed.is_skipped]
    assert TAP_SLOTS < len(skipped) < 3 * TAP_SLOTS, "the rings were lapped"
    for frame in skipped:
        assert frame.speakers[ALICE].is_skipped
        assert frame.own.is_skipped
    assert frames[-1].speakers[ALICE].any()


async def test_each_listener_has_its_own_queue_and_counter(room: Room) -> None:
    slow, quick = room.session.listen(slots=4), room.session.listen(slots=64)
    for _ in range(10):
        room.tick()
    assert (slow.waiting, slow.dropped) == (4, 6)
    assert (quick.waiting, quick.dropped) == (10, 0)
    newest = drain(quick)[-4:]
    assert [f.timestamp for f in drain(slow)] == [f.timestamp for f in newest]


async def test_a_listener_is_iterated_until_the_session_closes(room: Room) -> None:
    listener = room.session.listen()

    async def read_all() -> list[SessionFrame]:
        return [frame async for frame in listener]

    reading = asyncio.create_task(read_all())
    await settle()
    room.tick()
    await settle()
    room.platform._engine.run_ticks(1)  # Nobody has read that when the session closes.
    await room.session.close()
    assert len(await asyncio.wait_for(reading, 5)) == 2
    with pytest.raises(SessionClosedError):
        room.session.listen()


async def test_a_closed_listener_takes_no_more_and_gives_up_its_wish(room: Room) -> None:
    first, second = room.session.listen(), room.session.listen()
    room.tick()
    first.close()
    first.close()
    room.tick()
    assert len(drain(first)) == 1
    assert len(drain(second)) == 2
    assert room.transport.wanted == [True]
    second.close()
    assert room.transport.wanted == [True, False]


async def test_a_listener_of_the_mix_asks_for_no_speakers(room: Room) -> None:
    listener = room.session.listen(speakers=False)
    room.tick()
    assert len(drain(listener)) == 1
    assert room.transport.wanted == []
    with pytest.raises(ValueError, match="slots: expected at least 1, got 0"):
        room.session.listen(slots=0)


async def test_a_wish_from_before_the_transport_is_told_to_it() -> None:
    platform = ManualPlatform()
    session = MediaSession(platform, mp_uri=MP_URI)
    session.audio.unmixed = True
    transport = FakeTransport()
    session.attach(transport)
    assert transport.wanted == [True]
    await session.close()


async def test_a_transport_without_speakers_is_not_asked() -> None:
    session = MediaSession(ManualPlatform(), mp_uri=MP_URI)
    transport = FakeTransport({TONES})
    session.attach(transport)
    session.audio.unmixed = True
    assert transport.wanted == []
    await session.close()


async def test_speakers_are_opened_once_and_named(room: Room) -> None:
    leg = room.session.open_speaker(ALICE, "Alice")
    assert room.session.open_speaker(ALICE) is leg
    room.session.open_speaker(BOB)
    assert room.session.audio.speaker_names == {ALICE: "Alice"}
    room.session.close_speaker(BOB)
    room.session.close_speaker(BOB)
    assert room.session.legs.speakers.keys() == {ALICE}
    assert room.session.audio.speaker_quality(BOB) is None
    for wrong in (0, -1, 2**32):
        with pytest.raises(ValueError, match="source_id: expected 1 to"):
            room.session.open_speaker(wrong)
    await room.session.close()
    with pytest.raises(RuntimeError, match="closed"):
        room.session.open_speaker(CAROL)


async def test_a_far_end_cannot_open_speakers_for_ever(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mixminus.media.session.speakers.MAX_SPEAKERS", 3)
    for source_id in (1, 2, 3):
        room.session.open_speaker(source_id, f"speaker {source_id}")
    with pytest.raises(RuntimeError, match="at most 3 speakers"):
        room.session.open_speaker(4, "one too many")
    room.session.close_speaker(1)
    room.session.open_speaker(4, "in the place of the first")
    assert room.session.audio.speaker_names.keys() == {2, 3, 4}
    assert MAX_SPEAKERS >= 500


async def test_who_comes_and_goes_while_nobody_reads_leaves_nothing_behind(room: Room) -> None:
    """So it is where speakers have plugins, and the bot only talks."""
    room.session.want_speakers()
    for source_id in range(100, 120):
        room.session.open_speaker(source_id)
        room.tick()
        room.session.close_speaker(source_id)
    assert room.session._hub._ending == []
    listener = room.session.listen()
    room.session.open_speaker(ALICE)
    room.tick()
    room.session.close_speaker(ALICE)
    assert len(room.session._hub._ending) == 1, "what it said is still to be read"
    listener.close()
    assert room.session._hub._ending == []


async def test_plugins_are_told_of_speakers_that_come_and_go(room: Room) -> None:
    told: list[tuple[int, int, bool]] = []
    stop = room.session.on_speaker(
        lambda source_id, leg, is_open: told.append((source_id, leg.source_id, is_open))
    )
    room.come(ALICE)
    room.session.close_speaker(ALICE)
    stop()
    room.come(BOB)
    assert told == [(ALICE, ALICE, True), (ALICE, ALICE, False)]


async def test_a_callback_that_fails_costs_the_others_nothing(
    room: Room, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[int] = []

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    room.session.on_speaker(broken)
    room.session.on_speaker(lambda source_id, *_: told.append(source_id))
    room.come(ALICE)
    assert told == [ALICE]
    assert "a callback for speakers failed" in caplog.text


async def test_a_frame_of_the_mix_keeps_no_other_frames_alive(room: Room) -> None:
    room.session.audio.unmixed = True
    room.come(ALICE)
    reading = asyncio.create_task(anext(room.session.audio))
    await settle()
    room.tick()
    louder = (await reading) * 2
    assert isinstance(louder, AudioFrame)
    assert louder.active_speakers == (ALICE,)
    assert not louder.unmixed


async def test_where_only_the_mix_comes_its_names_say_who_leads(room: Room) -> None:
    leaders: list[int | None] = []
    stop = room.session.audio.on_dominant_speaker(leaders.append)
    for tick in range(400):
        speakers = (7,) if tick < 100 else (9,) if 100 <= tick < 200 else ()
        pcm = room.noise() if speakers else np.zeros(FRAME_SAMPLES, np.int16)
        flags = 0 if speakers else FLAG_SILENCE
        room.session.legs.link.source.write(pcm, speakers=speakers, flags=flags)
        room.platform.tick()
    assert leaders == [7, 9, None]
    assert room.session.audio.dominant_speaker is None
    stop()
