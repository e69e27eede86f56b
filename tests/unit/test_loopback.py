"""The loopback pair: two bridges as one call, without sockets."""

from __future__ import annotations

import asyncio

import numpy as np

from mixminus.media.pcm import FRAME_SAMPLES
from mixminus.media.platform import MediaPlatform
from mixminus.media.transports.loopback import loopback_pair
from tests.manual import ManualPlatform
from tests.support import eventually


async def test_each_side_hears_the_other_and_never_itself() -> None:
    platform = ManualPlatform()
    here, there = platform.create_bridge(), platform.create_bridge()
    john, bot = here.add_leg(1), there.add_leg(2)
    near, far = loopback_pair(here.add_leg(11), there.add_leg(12), platform)
    heard_by_john: list[int] = []
    heard_by_bot: list[int] = []
    for _ in range(20):
        john.source.write(np.full(FRAME_SAMPLES, 100, np.int16))
        bot.source.write(np.full(FRAME_SAMPLES, -7, np.int16))
        platform.tick()
        while (frame := john.render.read()) is not None:
            heard_by_john.append(int(frame[0]))
        while (frame := bot.render.read()) is not None:
            heard_by_bot.append(int(frame[0]))
    assert set(heard_by_john) == {0, -7}
    assert set(heard_by_bot) == {0, 100}
    # One tick into the bridge, one out of the other: 40 ms, and not a frame lost.
    assert heard_by_bot.index(100) == 1
    assert far.counters() == {"frames_in": 20, "frames_out": 20}
    await near.close()
    await near.close()
    assert far.closed.result() == "the far end closed the connection"
    assert near.closed.result() == "closed here"
    platform.tick(3)
    assert far.counters()["frames_in"] == 20


async def test_a_running_platform_carries_the_frames() -> None:
    async with MediaPlatform() as platform:
        a, b = platform.create_bridge(), platform.create_bridge()
        near, far = loopback_pair(a.add_leg(1), b.add_leg(2), platform)
        await eventually(lambda: far.counters()["frames_in"] > 5)
        await far.close()
        assert await asyncio.wait_for(near.closed, 5) == "the far end closed the connection"
