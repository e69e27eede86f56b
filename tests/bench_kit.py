"""A bridge in virtual time whose legs are fed and heard frame by frame."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mixminus.media import _native
from mixminus.media.bridge import Bridge, Leg
from mixminus.media.pcm import FRAME_SAMPLES, AudioFrame, Pcm
from mixminus.media.ring import FrameRing

TICK = 200_000
"""100 ns ticks in a frame."""


class Bench:
    """An engine without a thread: ticks when told to."""

    def __init__(self) -> None:
        self.engine = _native.Engine()
        self.bridge = Bridge(self.engine.add_bridge())

    def tick(self, count: int = 1, between: Callable[[], object] | None = None) -> None:
        self.engine.run_ticks(count, between)

    def feed(self, leg: Leg, frames: int, value: int) -> None:
        """A far end in step with the ticks: one frame before each."""
        for _ in range(frames):
            leg.source.write(constant(value))
            self.tick()


def constant(value: int) -> Pcm:
    return np.full(FRAME_SAMPLES, value, np.int16)


def read_all(ring: FrameRing) -> list[AudioFrame]:
    frames = []
    while (frame := ring.read()) is not None:
        frames.append(frame)
    return frames


def ledger_holds(leg: Leg) -> bool:
    """Whether nothing is lost between what was written, played, dropped and waits."""
    c = leg.counters()
    played = leg.source.counters().read - c.trimmed
    dropped = c.late + c.trimmed + c.flushed + c.source_lapped
    return (
        c.ticks == c.voice + c.silence + c.concealed + c.skipped
        and c.source_written == played + dropped + leg.source.depth_frames
        and c.render_written == c.ticks
    )
