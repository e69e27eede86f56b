"""Live feeds: chunks of any size at any time become speech without a hole."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import numpy as np
import pytest

from mixminus.media.pcm import FRAME_SAMPLES, Pcm
from mixminus.media.player.feed import (
    CALM_FRAMES,
    FIRST_PREROLL_FRAMES,
    MAX_PREROLL_FRAMES,
    ChunkReader,
    FeedSource,
    Preroll,
)
from mixminus.media.player.player import FEED_AHEAD_SAMPLES
from tests.player_kit import Stage, ramp, stage
from tests.signals import sine, sine_snr_db


class Producer:
    """An async iterator of what the test puts in; ``None`` ends it."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[object] = asyncio.Queue()
        self.is_closed = False

    def put(self, chunk: object) -> None:
        self._queue.put_nowait(chunk)

    def __aiter__(self) -> AsyncIterator[object]:
        return self

    async def __anext__(self) -> object:
        chunk = await self._queue.get()
        if chunk is None:
            raise StopAsyncIteration
        if isinstance(chunk, Exception):
            raise chunk
        return chunk

    async def aclose(self) -> None:
        self.is_closed = True


async def test_a_synthesiser_that_gives_all_at_once_is_paced_and_every_sample_heard() -> None:
    async with stage() as it:
        said = ramp(24_000)
        producer = Producer()
        clip = it.player.feed(producer, rate_hz=16_000, mark="said")
        data = said.tobytes()
        at = 0
        for size in (1, 3, 7, 641, 5, 20_001, 27_342):
            producer.put(data[at : at + size])
            at += size
        assert at == len(data)
        producer.put(None)
        await it.until(clip.done.done)
        assert await clip.done == "played"
        np.testing.assert_array_equal(it.said, said)
        assert clip.position_samples == said.size
        assert producer.is_closed


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate_hz", [8_000, 22_050, 24_000, 44_100, 48_000])
async def test_any_rate_is_resampled_without_an_edge_at_chunk_joints(
    rate_hz: int, channels: int
) -> None:
    async with stage() as it:
        mono = sine(440, rate_hz, 1.0)
        whole = mono if channels == 1 else np.repeat(mono, 2).reshape(-1, 2)
        producer = Producer()
        clip = it.player.feed(producer, rate_hz=rate_hz, channels=channels)
        chance = random.Random(rate_hz)
        at = 0
        while at < len(whole):
            size = chance.randint(0, 1500)
            chunk = whole[at : at + size]
            producer.put(chunk if chance.random() < 0.5 else chunk.tobytes())
            at += size
        producer.put(None)
        await it.until(clip.done.done)
        assert abs(clip.position_samples - 16_000) <= 33, "the tail of the resampler is 2 ms"
        assert sine_snr_db(it.said[500:15_000], 440, 16_000) >= 60


async def test_a_hole_is_told_apart_and_teaches_to_wait_longer() -> None:
    async with stage() as it:
        producer = Producer()
        it.player.feed(producer, rate_hz=16_000)
        preroll = it.player._pacer.preroll
        for _ in range(10):
            producer.put(ramp(FRAME_SAMPLES))
            await it.tick()
        await it.tick(10)  # A stall of 200 ms.
        for _ in range(20):
            producer.put(ramp(FRAME_SAMPLES))
            await it.tick()
        learnt = preroll.frames
        assert FIRST_PREROLL_FRAMES < learnt <= FIRST_PREROLL_FRAMES + 10
        # The same stall again finds enough waiting, once there was time to wait longer.
        it.player.clear()
        await it.tick(3)
        again = Producer()
        it.player.feed(again, rate_hz=16_000)
        for _ in range(30):
            again.put(ramp(FRAME_SAMPLES))
            await it.tick()
        before = it.session.counters().application.concealed
        await it.tick(learnt - 2)
        for _ in range(learnt):
            again.put(ramp(FRAME_SAMPLES))
        await it.tick(learnt - 2)
        assert it.session.counters().application.concealed == before


async def test_what_follows_a_hole_begins_without_a_click_and_loses_no_sample() -> None:
    async with stage() as it:
        producer = Producer()
        clip = it.player.feed(producer, rate_hz=16_000)
        flat = np.full(5 * FRAME_SAMPLES, 10_000, np.int16)
        producer.put(flat)
        await it.tick(30)
        before = len(it.heard)
        producer.put(flat)
        producer.put(None)
        await it.until(clip.done.done)
        assert clip.position_samples == 10 * FRAME_SAMPLES
        rest = np.concatenate([np.asarray(frame) for frame in it.heard[before:]])
        loud = np.flatnonzero(rest)
        assert loud[-1] - loud[0] + 1 == 5 * FRAME_SAMPLES
        assert np.abs(np.diff(rest[: loud[-1]].astype(int))).max() <= 126


async def test_a_pause_of_the_speaker_teaches_nothing() -> None:
    async with stage() as it:
        producer = Producer()
        it.player.feed(producer, rate_hz=16_000)
        for _ in range(3):
            producer.put(ramp(5 * FRAME_SAMPLES))
            await it.tick(60)
        assert it.player._pacer.preroll.frames == FIRST_PREROLL_FRAMES


def test_calm_gives_the_delay_back() -> None:
    preroll = Preroll()
    preroll.hole(10)
    assert preroll.frames == FIRST_PREROLL_FRAMES + 10
    for _ in range(4 * CALM_FRAMES):
        preroll.played(waiting_frames=9)
    assert preroll.frames == FIRST_PREROLL_FRAMES + 6
    for _ in range(CALM_FRAMES):
        preroll.played(waiting_frames=1)
    assert preroll.frames == FIRST_PREROLL_FRAMES + 6, "it was needed"
    for _ in range(10):
        preroll.hole(20)
    assert preroll.frames == MAX_PREROLL_FRAMES


async def test_what_a_producer_raises_comes_after_what_it_gave() -> None:
    async with stage() as it:
        producer = Producer()
        clip = it.player.feed(producer, rate_hz=16_000)
        following = it.player.enqueue(ramp(500)[::-1].copy())
        producer.put(ramp(1000))
        producer.put(OSError("the synthesiser hung up"))
        await it.until(following.done.done)
        with pytest.raises(OSError, match="hung up"):
            await clip.done
        assert clip.position_samples == 1000
        np.testing.assert_array_equal(it.said, np.concatenate((ramp(1000), ramp(500)[::-1])))
        assert producer.is_closed


@pytest.mark.parametrize(
    ("chunk", "error", "what"),
    [
        ("text", TypeError, "got str"),
        (np.zeros(10, np.float32), ValueError, "float32"),
        (np.zeros((10, 2), np.int16), ValueError, "shape"),
        (None, None, ""),
    ],
)
async def test_a_chunk_that_is_none_ends_its_feed_and_nothing_else(
    chunk: object, error: type[Exception] | None, what: str
) -> None:
    async with stage() as it:
        producer = Producer()
        clip = it.player.feed(producer, rate_hz=16_000)
        producer.put(chunk)
        await it.until(clip.done.done)
        if error is None:
            assert await clip.done == "played", "a feed without a sample is over"
        else:
            with pytest.raises(error, match=what):
                await clip.done
        assert await _is_heard(it)


async def test_rates_and_channels_out_of_range_are_refused_at_once() -> None:
    async with stage() as it:
        with pytest.raises(ValueError, match="rate"):
            it.player.feed(Producer(), rate_hz=1)
        with pytest.raises(ValueError, match="channels"):
            it.player.feed(Producer(), channels=3)
        assert not it.player.is_playing


async def test_clear_closes_the_producer() -> None:
    async with stage() as it:
        producer = Producer()
        clip = it.player.feed(producer, rate_hz=16_000)
        producer.put(ramp(3000))
        await it.tick(5)
        it.player.clear()
        await it.tick(2)
        assert await clip.done == "cleared"
        assert producer.is_closed
        assert 0 < clip.position_samples < 3000


async def test_a_producer_far_ahead_waits_and_one_that_never_waits_holds_nobody_up() -> None:
    async with stage() as it:
        given = 0

        async def greedy() -> AsyncIterator[Pcm]:
            nonlocal given
            while True:
                given += FRAME_SAMPLES
                yield ramp(FRAME_SAMPLES)

        clip = it.player.feed(greedy(), rate_hz=16_000)
        await it.tick(60)
        assert given <= FEED_AHEAD_SAMPLES + 70 * FRAME_SAMPLES
        at_60 = given
        await it.tick(50)
        assert 0 < given - at_60 <= 60 * FRAME_SAMPLES
        it.player.clear()
        await it.tick(2)
        assert await clip.done == "cleared"


def test_half_samples_wait_for_their_other_half() -> None:
    reader = ChunkReader(16_000, 2)
    stereo = np.repeat(ramp(50), 2)
    data = stereo.tobytes()
    out = [reader.push(data[at : at + 3]) for at in range(0, len(data), 3)]
    np.testing.assert_array_equal(np.concatenate(out), ramp(50))
    mono = ChunkReader(16_000, 1)
    assert mono.push(b"\x01").size == 0
    assert mono.push(bytearray(b"\x00\x02")).tolist() == [1]
    assert mono.flush().size == 0, "half a sample at the end is none"


def test_a_feed_gives_out_nothing_until_its_preroll_waits_or_it_ended() -> None:
    source = FeedSource(Preroll(2))
    source.push(ramp(FRAME_SAMPLES))
    assert source.take(FRAME_SAMPLES).size == 0
    source.push(ramp(FRAME_SAMPLES))
    assert source.take(FRAME_SAMPLES).size == FRAME_SAMPLES
    assert source.take(100).size == 100
    assert source.take(FRAME_SAMPLES).size == 0, "less than asked for is nothing, until the end"
    assert source.is_live
    source.end()
    assert source.left_samples == 220
    assert source.take(FRAME_SAMPLES).size == 220
    assert source.is_over


async def _is_heard(it: Stage) -> bool:
    it.heard.clear()
    clip = it.player.enqueue(ramp(400))
    await it.until(clip.done.done)
    return bool(np.array_equal(it.said, ramp(400)))
