"""A media session whose transport is the test: its legs are written and read by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

import numpy as np

from mixminus.media.pcm import FRAME_SAMPLES, Pcm
from mixminus.media.quality import StreamQuality
from mixminus.media.transports.base import CAPABILITIES

MP_URI = "wss://localhost:9441/media"


class FakeTransport:
    """A transport that carries nothing by itself, and remembers what it was asked for."""

    def __init__(self, capabilities: Iterable[str] = CAPABILITIES) -> None:
        self._closed: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.capabilities = frozenset(capabilities)
        self.sends_silence = True
        self.on_tone: Callable[[str], None] | None = None
        self.on_media: Callable[[bool], None] | None = None
        self.on_mark: Callable[[str, bool], None] | None = None
        self.wanted: list[bool] = []
        self.tones: list[tuple[str, int]] = []
        self.marks: list[str] = []
        self.clears = 0

    @property
    def closed(self) -> asyncio.Future[str]:
        return self._closed

    def counters(self) -> dict[str, int]:
        return {"frames_in": 3}

    async def close(self) -> None:
        if not self._closed.done():
            self._closed.set_result("closed here")

    def want_speakers(self, wanted: bool) -> None:
        self.wanted.append(wanted)

    def send_tone(self, key: str, duration_ms: int) -> None:
        self.tones.append((key, duration_ms))

    def send_mark(self, name: str) -> None:
        self.marks.append(name)

    def clear(self) -> None:
        self.clears += 1

    def quality(self) -> StreamQuality:
        return StreamQuality(
            codec="pcm16k",
            received_packets=3,
            lost_packets=0,
            discarded_packets=0,
            jitter_ms=0.5,
            round_trip_ms=None,
            far_loss_ratio=None,
            far_jitter_ms=None,
            sent_packets=0,
            sent_octets=0,
            ticks=3,
            voice_ticks=3,
            fec_ticks=0,
            concealed_ticks=0,
            comfort_ticks=0,
            silence_ticks=0,
            skipped_ticks=0,
            delay_ms=20.0,
            target_ms=20.0,
            drift_ppm=None,
        )


def constant(value: int) -> Pcm:
    return np.full(FRAME_SAMPLES, value, np.int16)


async def settle() -> None:
    """Let the tasks that can run do so."""
    for _ in range(5):
        await asyncio.sleep(0)
