"""livekit's rtc.AudioMixer (PyPI's livekit): asyncio and numpy, one output for all it hears."""

from __future__ import annotations

import asyncio
import importlib
import importlib.metadata
import importlib.util
import time
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixminus.media.pcm import FRAME_SAMPLES, SAMPLE_RATE_HZ

NAME = "livekit AudioMixer, 1 output"
WARM_UP_TICKS = 20
TIMEOUT_S = 60.0


def absence() -> str | None:
    """Why it cannot be measured here, or None."""
    if importlib.util.find_spec("livekit") is None:
        return "livekit's AudioMixer: pip install livekit"
    return None


def version() -> str:
    return importlib.metadata.version("livekit")


async def _mix(block: NDArray[np.int16], ticks: int) -> NDArray[np.float64]:
    rtc: Any = importlib.import_module("livekit.rtc")
    # One mixed frame waits at most: the next tick is worked out while this one is taken.
    mixer = rtc.AudioMixer(SAMPLE_RATE_HZ, 1, blocksize=FRAME_SAMPLES, capacity=1)

    async def source(row: NDArray[np.int16]) -> AsyncIterator[Any]:
        frame = rtc.AudioFrame(row.tobytes(), SAMPLE_RATE_HZ, 1, FRAME_SAMPLES)
        while True:
            yield frame

    sources = [source(row) for row in block]
    for one in sources:
        mixer.add_stream(one)
    times = np.empty(ticks + WARM_UP_TICKS)
    try:
        async with asyncio.timeout(TIMEOUT_S):
            for n in range(len(times)):
                begin = time.process_time_ns()
                await anext(mixer)
                times[n] = time.process_time_ns() - begin
    finally:
        await mixer.aclose()
        for one in sources:
            await one.aclose()  # type: ignore[attr-defined]
    return times[WARM_UP_TICKS:]


def sample(block: NDArray[np.int16], ticks: int) -> NDArray[np.float64]:
    """Mix *block* (legs, 320) *ticks* times. Units: ns of CPU a tick."""
    return asyncio.run(_mix(block, ticks))
