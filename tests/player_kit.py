"""A player in a session whose ticks the test makes; what the far end hears is kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import numpy as np

from mixminus.media.pcm import AudioFrame, Pcm
from mixminus.media.player import Player
from mixminus.media.session import MediaSession
from tests.manual import ManualPlatform
from tests.session_kit import MP_URI, FakeTransport, settle


class Stage:
    """``player`` plays; ``heard`` is what leaves for the far end, a frame a tick."""

    def __init__(self, transport: FakeTransport | None = None) -> None:
        self.platform = ManualPlatform()
        self.session = MediaSession(self.platform, mp_uri=MP_URI)
        self.transport = transport or FakeTransport()
        self.player = Player(self.session.audio)
        self.heard: list[AudioFrame] = []
        self._before = asyncio.all_tasks()

    def connect(self) -> None:
        """Bring the transport: from now on the socket is active."""
        self.session.attach(self.transport)

    async def tick(self, count: int = 1) -> None:
        """Let everybody run, then make a tick; so many times."""
        for _ in range(count):
            await settle()
            self.platform.tick()
            while (frame := self.session.legs.link.render.read()) is not None:
                self.heard.append(frame)
        await settle()

    async def until(self, done: Callable[[], object], at_most: int = 2000) -> int:
        """Tick until *done*; return how often. What threads do gets time of the clock, too."""
        for count in range(at_most):
            if done():
                return count
            await self.tick()
            await asyncio.sleep(0.0005)
        raise AssertionError(f"not within {at_most} ticks")

    @property
    def pcm(self) -> Pcm:
        """All that was heard."""
        return np.concatenate([np.asarray(frame) for frame in self.heard])

    @property
    def said(self) -> Pcm:
        """From the first sample that is not zero to the last."""
        loud = np.flatnonzero(self.pcm)
        return self.pcm[loud[0] : loud[-1] + 1] if loud.size else self.pcm[:0]

    @property
    def concealed(self) -> int:
        """Ticks at which the bot's leg had nothing to play in the middle of something."""
        return self.session.counters().application.concealed

    async def close(self) -> None:
        """End it all, and prove that nothing of it is left."""
        await self.player.close()
        await self.session.close()
        await settle()
        left = asyncio.all_tasks() - self._before
        assert not left, f"left running: {left}"


@asynccontextmanager
async def stage(transport: FakeTransport | None = None) -> AsyncIterator[Stage]:
    """A stage whose socket is active."""
    made = Stage(transport)
    made.connect()
    try:
        yield made
    finally:
        await made.close()


def ramp(samples: int) -> Pcm:
    """Samples each of which says where it stands, none of them zero."""
    return (np.arange(samples) % 20_000 + 1).astype(np.int16)
