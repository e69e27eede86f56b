"""A call of two in a bridge whose ticks the test makes: one hosted by the service, one a caller."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import numpy as np

from mixminus.control.graph.requests_common import MediaInfo
from mixminus.control.service.ivr.media import ServiceHostedMedia
from mixminus.control.service.ivr.prompts import PromptLibrary
from mixminus.control.service.outbound import OutboundError
from mixminus.media.bridge import Bridge
from mixminus.media.pcm import FRAME_SAMPLES, Pcm
from tests.manual import ManualPlatform

SILENT = np.zeros(FRAME_SAMPLES, np.int16)


class Files:
    """What a library fetches from, with a count; ``gate`` holds fetches back while cleared."""

    def __init__(self, **files: bytes) -> None:
        self.files = files
        self.fetched: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def fetch(self, url: str, limit_bytes: int, timeout_s: float) -> bytes:
        self.fetched.append(url)
        await self.gate.wait()
        try:
            return self.files[url]
        except KeyError:
            raise OutboundError("status 404") from None


class HostedCall:
    """``media`` is under test; the caller says what ``say`` is given, and hears into ``heard``."""

    def __init__(self, files: Files | None = None) -> None:
        self.platform = ManualPlatform()
        self.bridge: Bridge = self.platform.create_bridge()
        self.caller = self.bridge.add_leg(1, source_slots=16, paced=True)
        self.leg = self.bridge.add_leg(2, source_slots=64, render_slots=64, paced=True)
        self.library = PromptLibrary(files or Files())
        self.tones: list[str] = []
        self.media = ServiceHostedMedia(
            self.platform,
            self.leg,
            self.library.of("app"),
            on_tone=self.tones.append,
            received_frames=lambda: self.caller.source.counters().written,
        )
        self.heard: list[Pcm] = []

    async def tick(self, frame: Pcm | None = SILENT) -> None:
        """One tick, for which the caller says *frame*, or nothing at all."""
        if frame is not None:
            self.caller.source.write(frame, self.platform.now())
        self.platform.tick()
        while (heard := self.caller.render.read()) is not None:
            self.heard.append(np.asarray(heard))
        for _ in range(5):
            await asyncio.sleep(0)

    async def run(self, frames: int, pcm: Pcm | None = None) -> None:
        """So many ticks, in which the caller says *pcm* and then is silent."""
        said = np.zeros(frames * FRAME_SAMPLES, np.int16)
        if pcm is not None:
            said[: min(pcm.size, said.size)] = pcm[: said.size]
        for start in range(0, said.size, FRAME_SAMPLES):
            await self.tick(said[start : start + FRAME_SAMPLES])

    async def until(self, done: Callable[[], object], at_most: int = 20_000) -> int:
        """Tick with a silent caller until *done*; return how often."""
        for count in range(at_most):
            if done():
                return count
            await self.tick()
        raise AssertionError(f"not within {at_most} ticks")

    async def close(self) -> None:
        await self.media.close()
        await self.library.close()
        self.bridge.close()

    @property
    def heard_pcm(self) -> Pcm:
        return np.concatenate(self.heard) if self.heard else np.zeros(0, np.int16)


def infos(*names: str, cached: bool = True) -> Sequence[MediaInfo]:
    return [MediaInfo(name, name if cached else None) for name in names]


def without_silence(pcm: Pcm) -> Pcm:
    """*pcm* from its first sample that is not zero to its last."""
    loud = np.flatnonzero(pcm)
    return pcm[loud[0] : loud[-1] + 1] if loud.size else pcm[:0]
