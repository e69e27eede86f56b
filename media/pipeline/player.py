"""Plays samples into a ring ahead of the tick thread."""

from __future__ import annotations

import asyncio
from typing import Final

from ..pcm import Pcm
from ..platform import MediaPlatform
from ..ring import FrameRing
from .track import Track

DEPTH_FRAMES: Final = 25
"""Half a second: more than the loop was seen to stand still (190 ms beside four busy threads)."""


class FilePlayer:
    """Keep a ring filled with *pcm*, from its first sample to its last, once or again and again.

    For a leg's own ring, where nobody interrupts; a bot's speech is ``media.player``'s.

    Shape:  pcm (n,) int16 at 16 kHz, n at least 1. What the last frame lacks is silence; when
            looping, the start follows the end without a gap.
    Units:  depth_frames are kept waiting in the ring, at most three quarters of its slots.
    Raises: ValueError when there is no sample or the ring is smaller than two frames.
    Thread: the platform's loop. The ring must have no other writer; a leg's must be ``paced``.

    ``done`` is set once the last frame was taken from the ring, or the player was closed.
    """

    def __init__(
        self,
        platform: MediaPlatform,
        ring: FrameRing,
        pcm: Pcm,
        *,
        loop: bool = False,
        depth_frames: int = DEPTH_FRAMES,
    ) -> None:
        if pcm.ndim != 1 or pcm.size == 0:
            raise ValueError(f"expected samples of shape (n,), got {pcm.shape}")
        self._ring = ring
        self._track = Track([pcm], loop=loop)
        # The writer must never lap the reader here: a full ring is for those who may drop.
        self._depth_frames = min(depth_frames, ring.slots * 3 // 4)
        if self._depth_frames < 1:
            raise ValueError(f"expected depth_frames of at least 1, got {depth_frames}")
        self._frames = 0
        self._closed = False
        self.done = asyncio.Event()
        self._unsubscribe = platform.on_tick(self._fill)
        self._fill()

    @property
    def written_frames(self) -> int:
        """Frames put into the ring so far."""
        return self._frames

    @property
    def loops(self) -> int:
        """How often the end was passed so far."""
        return 0 if self._track.is_over else self._track.loops

    def close(self) -> None:
        """Write no more; what waits in the ring is still played. Again is no error."""
        self._unsubscribe()
        self._closed = True
        self.done.set()

    def _fill(self) -> None:
        ring, track = self._ring, self._track
        while not (self._closed or track.is_over) and ring.depth_frames < self._depth_frames:
            ring.write(track.next_frame())
            self._frames += 1
        if track.is_over and ring.depth_frames == 0:
            self.close()
