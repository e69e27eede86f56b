"""Acceptance check 4: listeners that nobody reads cost no memory, and drops are counted."""

from __future__ import annotations

import asyncio
import gc
import os
from pathlib import Path

import numpy as np
import pytest

from mixminus.media.pcm import FRAME_SAMPLES
from mixminus.media.session import MediaSession
from tests.manual import ManualPlatform
from tests.session_kit import MP_URI, FakeTransport, settle

TICKS_A_MINUTE = 60 * 50
ALICE, BOB = 101, 102
GROWTH_BYTES = 2**20
"""A frame is 1 kB with its description: an hour of what one listener was given is 500 MB."""


def resident_bytes() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("minutes", [1, pytest.param(60, marks=pytest.mark.slow)])
async def test_04_subscribers_that_nobody_reads_cost_no_memory(minutes: int) -> None:
    """Acceptance check 4: RSS grows by less than 1 MB in an hour, and every drop is counted."""
    platform = ManualPlatform()
    session = MediaSession(platform, mp_uri=MP_URI)
    session.attach(FakeTransport())
    session.audio.unmixed = True
    unread = [session.listen(), session.listen(slots=3), session.listen(speakers=False)]
    reading = asyncio.create_task(anext(session.audio))
    await settle()
    speakers = [session.open_speaker(ALICE), session.open_speaker(BOB)]
    tap = speakers[0].tap()
    noise = np.random.default_rng(1).integers(-5000, 5000, (50, FRAME_SAMPLES)).astype(np.int16)

    def run(ticks: int) -> None:
        for tick in range(ticks):
            for speaker in speakers:
                speaker.source.write(noise[tick % 50])
            platform.tick()

    run(TICKS_A_MINUTE // 4)
    assert (await reading).unmixed.keys() == {ALICE, BOB}, "read once, and never again"
    before_bytes, dropped = resident_bytes(), [listener.dropped for listener in unread]
    run(minutes * TICKS_A_MINUTE)
    grown_bytes = resident_bytes() - before_bytes
    assert grown_bytes < GROWTH_BYTES, f"{grown_bytes} bytes in {minutes} minutes"
    for listener, then in zip(unread, dropped, strict=True):
        assert listener.dropped - then == minutes * TICKS_A_MINUTE
    assert session.audio.counters().unread >= minutes * TICKS_A_MINUTE
    assert tap.ring.depth_frames > tap.ring.slots, "lapped, and nobody's loss"
    assert [listener.waiting for listener in unread] == [64, 3, 64]
    await session.close()
