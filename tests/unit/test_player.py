"""The player: every sample in its place, interrupted in time, and the truth of what was heard."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest

from mixminus.media.pcm import FRAME_SAMPLES, Pcm
from mixminus.media.player import Clip, Player
from mixminus.media.session import SessionClosedError
from tests.player_kit import Stage, ramp, stage
from tests.session_kit import FakeTransport
from tests.signals import sine


async def test_clips_follow_each_other_without_a_gap_or_a_lost_sample() -> None:
    async with stage() as it:
        first, second = ramp(1000), ramp(777)[::-1].copy()
        clips = [it.player.enqueue(first), it.player.enqueue(second.tobytes())]
        assert it.player.is_playing
        await it.until(lambda: clips[1].done.done())
        assert [await clip.done for clip in clips] == ["played", "played"]
        np.testing.assert_array_equal(it.said, np.concatenate((first, second)))
        assert [clip.position_samples for clip in clips] == [1000, 777]
        assert it.player.position_samples == 1777
        await it.tick(20)
        assert not it.player.is_playing


async def test_one_short_frame_is_played_though_the_playout_wants_more_to_wait() -> None:
    async with stage() as it:
        # A stall teaches the playout to wait for more.
        for _ in range(8):
            it.session.audio.send_nowait(ramp(FRAME_SAMPLES))
            await it.tick(3)
        await it.tick(30)
        it.heard.clear()
        outcome = asyncio.create_task(it.player.play(ramp(100)))
        await it.until(outcome.done, at_most=20)
        assert await outcome == "played"
        np.testing.assert_array_equal(it.said, ramp(100))


async def test_play_returns_when_it_was_heard_and_loops_as_often_as_asked() -> None:
    async with stage() as it:
        playing = asyncio.create_task(it.player.play(ramp(500), loop=3))
        await it.until(playing.done)
        assert await playing == "played"
        np.testing.assert_array_equal(it.said, np.tile(ramp(500), 3))


async def test_an_endless_loop_ends_by_clear_and_its_position_counts_every_round() -> None:
    async with stage() as it:
        clip = it.player.enqueue(ramp(500), loop=True)
        await it.tick(100)
        assert it.player.remaining_ms == float("inf")
        it.player.clear()
        await it.tick(2)
        assert await clip.done == "cleared"
        assert clip.position_samples > 40 * 500


async def test_clear_is_heard_within_40_ms_and_the_position_is_exact_to_a_frame() -> None:
    """Acceptance check 5."""
    async with stage() as it:
        said = ramp(16_000)
        clip = it.player.enqueue(said)
        waiting = it.player.enqueue(said)
        await it.tick(20)
        at_clear = len(it.heard)
        it.player.clear()
        await it.tick(10)
        last = np.flatnonzero(it.pcm)[-1]
        assert (last + 1 - at_clear * FRAME_SAMPLES) / 16 <= 40
        assert await clip.done == "cleared"
        assert await waiting.done == "cleared"
        assert waiting.position_samples == 0
        # What was heard as it is, up to the fade of 5 ms, is what the clip says was played.
        start = np.flatnonzero(it.pcm)[0]
        heard = it.pcm[start:]
        same = int(np.argmax(heard[:16_000] != said[: heard.size]))
        assert 0 <= clip.position_samples - same <= FRAME_SAMPLES
        assert it.transport.clears == 1, "the far end drops what it has, too"
        assert it.session.audio.waiting_frames == 0
        assert not it.player.is_playing


@pytest.mark.parametrize("ticks", range(8))
async def test_the_position_is_that_of_the_wire_whenever_it_is_cleared(ticks: int) -> None:
    async with stage() as it:
        clip = it.player.enqueue(ramp(16_000))
        await it.tick(ticks)
        heard = [frame for frame in it.heard if frame.any()]
        it.player.clear()
        await it.tick(3)
        frames = clip.position_samples / FRAME_SAMPLES
        assert frames - len(heard) in (0, 1), "one more, if the fade was made of it"
        assert await clip.done == "cleared"


async def test_what_is_said_after_clear_is_whole_though_it_comes_at_once() -> None:
    async with stage() as it:
        it.player.enqueue(ramp(16_000))
        await it.tick(10)
        it.player.clear()
        answer = it.player.enqueue(sine(440, 16_000, 0.2))
        before = len(it.heard)
        await it.until(answer.done.done)
        assert await answer.done == "played"
        after = np.concatenate([np.asarray(frame) for frame in it.heard[before + 1 :]])
        loud = np.flatnonzero(after)
        # A sine begins at zero.
        np.testing.assert_array_equal(
            after[loud[0] - 1 : loud[0] - 1 + 3200], sine(440, 16_000, 0.2)
        )


async def test_a_cancelled_play_is_cleared_and_the_next_clip_is_heard_whole() -> None:
    async with stage() as it:
        playing = asyncio.create_task(it.player.play(ramp(16_000)))
        await it.tick(10)
        following = it.player.enqueue(ramp(800), mark="end")
        playing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await playing
        before = len(it.heard)
        await it.until(following.done.done)
        rest = np.concatenate([np.asarray(frame) for frame in it.heard[before + 1 :]])
        assert rest[np.flatnonzero(rest)[0] :][:800].tolist() == ramp(800).tolist()


async def test_clearing_one_of_two_clips_in_flight_sends_the_other_again_with_its_mark() -> None:
    async with stage(FakeTransport(("clear",))) as it:
        marks: list[tuple[str, bool]] = []
        it.player.on_mark(lambda name, played: marks.append((name, played)))
        playing = asyncio.create_task(it.player.play(ramp(400), mark="first"))
        await asyncio.sleep(0)
        second = it.player.enqueue(ramp(400), mark="second")
        playing.cancel()
        await it.until(second.done.done)
        assert await second.done == "played"
        assert sorted(marks) == [("first", False), ("second", True)]
        assert second.position_samples == 400


async def test_pause_loses_and_repeats_no_sample_that_counts() -> None:
    async with stage() as it:
        said = sine(440, 16_000, 1.0)
        clip = it.player.enqueue(said)
        await it.tick(10)
        it.player.pause()
        assert it.player.is_paused
        await it.tick(30)
        assert not it.heard[-1].any()
        held = clip.position_samples
        await it.tick(30)
        assert clip.position_samples == held
        before = len(it.heard)
        it.player.resume()
        await it.until(clip.done.done)
        assert clip.position_samples == said.size
        rest = np.concatenate([np.asarray(frame) for frame in it.heard[before:]])
        at = int(np.flatnonzero(rest)[0])
        # After 5 ms of fade-in it is the very rest.
        size = said.size - held - 80
        start = at // FRAME_SAMPLES * FRAME_SAMPLES + 80
        np.testing.assert_array_equal(rest[start : start + size], said[held + 80 :])
        assert not rest[start + size :].any()


async def test_pause_with_nothing_played_holds_what_comes() -> None:
    async with stage() as it:
        it.player.pause()
        clip = it.player.enqueue(ramp(700))
        await it.tick(10)
        assert not it.pcm.any()
        it.player.resume()
        it.player.resume()
        await it.until(clip.done.done)
        np.testing.assert_array_equal(it.said, ramp(700))


async def test_a_loop_that_stands_still_for_150_ms_leaves_no_hole() -> None:
    async with stage() as it:
        said = sine(440, 16_000, 2.0)
        clip = it.player.enqueue(said)
        for _ in range(5):
            await it.tick(5)
            it.platform._engine.run_ticks(7)  # Nobody on the loop hears of these.
        await it.until(clip.done.done)
        np.testing.assert_array_equal(it.said, said[1:])
        assert it.session.audio.counters().no_room == 0


async def test_gain_saturates_and_fades_are_straight_lines() -> None:
    async with stage() as it:
        flat = np.full(16_000, 20_000, np.int16)
        clip = it.player.enqueue(flat, gain_db=-6.0206, fade_in_ms=100, fade_out_ms=200)
        await it.until(clip.done.done)
        heard = it.said.astype(float)
        middle = heard[1700:12_000]
        np.testing.assert_allclose(middle, 10_000, atol=1)
        np.testing.assert_allclose(heard[:1600], np.arange(1, 1601) * 10_000 / 1600, atol=8)
        np.testing.assert_allclose(heard[-3200:], np.arange(3200, 0, -1) * 10_000 / 3200, atol=8)
        it.heard.clear()
        loud = it.player.enqueue(flat, gain_db=20)
        await it.until(loud.done.done)
        assert (it.said == 32_767).all()


async def test_low_on_frames_is_told_once_for_each_time_it_runs_low() -> None:
    async with stage() as it:
        told: list[float] = []
        stop = it.player.on_low_on_frames(told.append, threshold_ms=200)
        it.player.enqueue(ramp(16_000))
        await it.tick(30)
        assert not told
        await it.tick(15)
        assert len(told) == 1
        assert 160 < told[0] < 200
        it.player.enqueue(ramp(8_000))
        await it.tick(40)
        assert len(told) == 2
        stop()
        stop()

        def fails(_: float) -> None:
            raise OSError("the bot author's")

        it.player.on_low_on_frames(fails)
        it.player.enqueue(ramp(320))
        await it.tick(10)
        assert len(told) == 2
        with pytest.raises(ValueError, match="threshold_ms"):
            it.player.on_low_on_frames(told.append, threshold_ms=0)


async def test_marks_are_told_when_the_far_end_says_so() -> None:
    async with stage() as it:
        marks: list[tuple[str, bool]] = []
        it.player.on_mark(lambda name, played: marks.append((name, played)))
        clip = it.player.enqueue(ramp(1000), mark="hello")
        never = it.player.enqueue(ramp(16_000), mark="never")
        await it.until(clip.done.done)
        assert it.transport.marks == ["hello"]
        assert not marks, "handed on, and not heard yet"
        assert it.transport.on_mark is not None
        it.transport.on_mark("hello", True)
        it.player.clear()
        await it.tick(2)
        assert await never.done == "cleared"
        assert marks == [("hello", True), ("never", False)]


async def test_two_marks_in_one_frame_are_both_told() -> None:
    async with stage(FakeTransport(())) as it:
        marks: list[tuple[str, bool]] = []
        it.player.on_mark(lambda name, played: marks.append((name, played)))
        for name in ("a", "b", "c"):
            it.player.enqueue(ramp(50), mark=name)
        await it.tick(10)
        assert sorted(marks) == [("a", True), ("b", True), ("c", True)]


async def test_nothing_is_lost_before_the_call_has_audio_or_while_it_is_gone() -> None:
    it = Stage()
    clip = it.player.enqueue(ramp(8_000))
    await it.tick(10)
    assert it.session.audio.counters().refused == 0
    it.connect()
    await it.tick(10)
    assert it.transport.on_media is not None
    it.transport.on_media(False)
    await it.tick(50)
    it.transport.on_media(True)
    await it.until(clip.done.done)
    assert await clip.done == "played"
    assert clip.position_samples == 8_000
    assert it.session.audio.counters().refused == 0
    await it.close()


async def test_the_end_of_the_call_ends_every_clip() -> None:
    it = Stage()
    it.connect()
    clip = it.player.enqueue(ramp(16_000), loop=True)

    async def for_ever() -> AsyncIterator[bytes]:
        await asyncio.Event().wait()
        yield b""

    feed = it.player.feed(for_ever())
    await it.tick(5)
    await it.session.close()
    assert await clip.done == "cleared"
    assert await feed.done == "cleared"
    with pytest.raises(SessionClosedError):
        it.player.enqueue(ramp(100))
    await it.close()
    await it.player.close()


async def test_a_flush_by_the_bot_itself_leaves_no_clip_waiting() -> None:
    async with stage() as it:
        clip = it.player.enqueue(ramp(1200))
        await it.tick(1)
        it.session.audio.flush()
        await it.tick(3)
        assert await clip.done == "cleared"
        assert clip.position_samples <= 2 * FRAME_SAMPLES
        again = it.player.enqueue(ramp(900))
        await it.until(again.done.done)
        assert again.position_samples == 900


@pytest.mark.parametrize("seed", range(12))
async def test_whatever_happens_every_clip_ends_and_says_what_was_heard_of_it(seed: int) -> None:
    chance = random.Random(seed)
    async with stage(FakeTransport(chance.choice([("clear", "marks"), ()]))) as it:
        clips: list[Clip] = []
        plays: list[asyncio.Task[str]] = []
        disturbed = 0
        for _ in range(60):
            match chance.choice("eeeeefpcxdttttt"):
                case "e":
                    value = np.int16(1000 + len(clips))
                    clips.append(it.player.enqueue(np.full(chance.randint(1, 3000), value)))
                case "f":
                    value = np.int16(1000 + len(clips))
                    clips.append(it.player.feed(_chunks(value, chance), rate_hz=16_000))
                case "p":
                    it.player.resume() if it.player.is_paused else it.player.pause()
                    disturbed += 1
                case "c":
                    it.player.clear()
                    disturbed += 1
                case "x":
                    plays.append(asyncio.create_task(it.player.play(ramp(700) * 0 + 900)))
                case "d" if plays:
                    chance.choice(plays).cancel()
                    disturbed += 1
                case _:
                    await it.tick(chance.randint(1, 5))
        it.player.resume()
        await it.until(lambda: not it.player.is_playing)
        await it.tick(5)
        await asyncio.gather(*plays, return_exceptions=True)
        pcm = it.pcm
        for number, clip in enumerate(clips):
            heard = int(np.count_nonzero(pcm == 1000 + number))
            if await clip.done == "played" and not disturbed:
                assert heard == clip.position_samples
            # A fade changes up to a frame of it: 5 ms at a pause, a frame where it was cleared; and
            # each fade of another clip's may pass by this one's value.
            lost = clip.position_samples - heard
            assert -2 * disturbed <= lost <= FRAME_SAMPLES + 80 * disturbed
        assert it.player.position_samples >= sum(clip.position_samples for clip in clips)
        assert it.session.audio.waiting_frames == 0


async def _chunks(value: np.int16, chance: random.Random) -> AsyncIterator[bytes]:
    for _ in range(chance.randint(0, 5)):
        await asyncio.sleep(0)
        yield np.full(chance.randint(0, 700), value).tobytes()


@pytest.mark.parametrize(
    ("source", "options", "what"),
    [
        (np.zeros(0, np.int16), {}, "shape"),
        (np.zeros(10, np.float32), {}, "int16"),
        (np.zeros((10, 2), np.int16), {}, "shape"),
        (b"", {}, "0 bytes"),
        (b"abc", {}, "3 bytes"),
        (ramp(10), {"loop": 0}, "loop"),
        (ramp(10), {"gain_db": float("nan")}, "gain_db"),
        (ramp(10), {"gain_db": 61}, "gain_db"),
        (ramp(10), {"fade_in_ms": -1}, "fade_in_ms"),
        (ramp(10), {"fade_out_ms": 60_001}, "fade_out_ms"),
        (ramp(10), {"rate_hz": 1}, "rate"),
        (ramp(10), {"mark": ""}, "mark"),
        (ramp(10), {"mark": "x" * 129}, "mark"),
    ],
)
async def test_what_cannot_be_played_is_refused_at_once(
    source: Pcm | bytes, options: dict[str, Any], what: str
) -> None:
    async with stage() as it:
        with pytest.raises(ValueError, match=what):
            it.player.enqueue(source, **options)
        with pytest.raises(TypeError, match="got int"):
            it.player.enqueue(7)  # type: ignore[arg-type]
        assert not it.player.is_playing
        assert await _is_heard(it.player, it)


async def _is_heard(player: Player, it: Stage) -> bool:
    """Whether the call lives: what is played now is heard."""
    it.heard.clear()
    clip = player.enqueue(ramp(400))
    await it.until(clip.done.done)
    return bool(np.array_equal(it.said, ramp(400)))
