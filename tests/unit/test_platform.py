"""The platform: a running tick thread, the loop's wake-up, and its end."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import numpy as np
import pytest

from mixminus.media.pcm import FRAME_SAMPLES
from mixminus.media.platform import MediaPlatform
from tests.support import eventually


def tick_threads() -> int:
    tasks = Path("/proc/self/task").glob("*/comm")
    return sum(task.read_text().strip() == "mixminus-tick" for task in tasks)


async def test_ticks_wake_the_loop_and_carry_audio() -> None:
    async with MediaPlatform() as platform:
        bridge = platform.create_bridge()
        a, b = bridge.add_leg(1), bridge.add_leg(2, render_slots=64)
        heard: list[int] = []

        def on_tick() -> None:
            a.source.write(np.full(FRAME_SAMPLES, 77, np.int16))
            while (frame := b.render.read()) is not None:
                heard.append(int(frame[0]))

        unsubscribe = platform.on_tick(on_tick)
        await eventually(lambda: heard.count(77) >= 5, what="five frames through the mixer")
        unsubscribe()
        unsubscribe()
        assert platform.scheduling in ("fifo", "nice", "normal")
        stats = platform.stats()
        assert stats.ticks >= 5
        assert platform.lateness_us().size >= stats.ticks
        bridge.close()


async def test_a_failing_callback_does_not_silence_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with MediaPlatform() as platform:
        ticked = asyncio.Event()

        def broken() -> None:
            raise RuntimeError("a consumer's bug")

        platform.on_tick(broken)
        platform.on_tick(ticked.set)
        await asyncio.wait_for(ticked.wait(), 5)
        await eventually(lambda: "a consumer's bug" in caplog.text)


@pytest.mark.parametrize("tick_threads", [-1, 0, 33])
def test_a_number_of_tick_threads_that_cannot_be_is_refused(tick_threads: int) -> None:
    with pytest.raises(ValueError, match=f"tick_threads: expected 1 to 32, got {tick_threads}$"):
        MediaPlatform(tick_threads)


async def test_leaving_stops_the_tick_thread() -> None:
    before, threads = tick_threads(), threading.active_count()
    async with MediaPlatform() as platform:
        await eventually(lambda: tick_threads() == before + 1)
        with pytest.raises(RuntimeError, match="already runs"):
            await platform.__aenter__()
    await eventually(lambda: tick_threads() == before)
    assert threading.active_count() <= threads + 1  # the loop's default executor may stay


async def test_clock_is_monotonic_and_in_100_ns_ticks() -> None:
    loop = asyncio.get_running_loop()
    async with MediaPlatform() as platform:
        assert abs(platform.now() / 1e7 - loop.time()) < 1.0
        assert platform.now() <= platform.now()
