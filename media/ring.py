"""The frame ring: one writer, one reader, neither ever waits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from . import _native
from .pcm import FRAME_BYTES, FRAME_SAMPLES, AudioFrame, Pcm


@dataclass(frozen=True, slots=True)
class RingCounters:
    """Frames written, read, and lapped: overwritten before the reader came."""

    written: int
    read: int
    skipped: int


class FrameRing:
    """A lock-free ring of Pcm16K frames between two threads.

    Thread: one writing and one reading thread at a time, any two.
    Source: native/ring.h.
    """

    def __init__(self, slots: int = 16) -> None:
        self._ring = _native.Ring(slots)
        self.dropped_frames = 0
        """Frames that the reader dropped by :meth:`skip_to` or :meth:`clear`."""

    @classmethod
    def _over(cls, ring: _native.Ring) -> FrameRing:
        """Wrap a ring that belongs to a leg."""
        self = cls.__new__(cls)
        self._ring = ring
        self.dropped_frames = 0
        return self

    @property
    def slots(self) -> int:
        """Capacity in frames."""
        return self._ring.slots

    @property
    def depth_frames(self) -> int:
        """Frames waiting; more than ``slots`` when the reader has been lapped."""
        return self._ring.depth

    def write(
        self,
        pcm: Pcm | bytes | bytearray | memoryview,
        timestamp: int = 0,
        flags: int = 0,
        speakers: Sequence[int] = (),
    ) -> None:
        """Write one frame, over the oldest when the reader has fallen behind.

        Shape:  pcm (320,) int16, C-contiguous, or 640 bytes. At most 8 speakers are kept.
        Units:  timestamp in 100 ns ticks.
        Raises: ValueError on another length.
        Thread: writer's. Never waits.
        """
        self._ring.write(pcm, timestamp, flags, speakers)

    def read(self) -> AudioFrame | None:
        """Return the oldest frame as a copy that the caller owns, or None when none waits.

        Thread: reader's. Never waits.
        """
        pcm = np.empty(FRAME_SAMPLES, np.int16)
        described = self._ring.read_into(pcm)
        if described is None:
            return None
        timestamp, flags, speakers, _ = described
        return AudioFrame.of(pcm, timestamp, flags, speakers)

    def read_record(self) -> tuple[int, int, tuple[int, ...], bytes] | None:
        """Return the oldest frame as timestamp, flags, speakers and 640 bytes, or None.

        Thread: reader's. For who passes frames on: a third of what :meth:`read` costs.
        """
        pcm = bytearray(FRAME_BYTES)
        described = self._ring.read_into(pcm)
        if described is None:
            return None
        timestamp, flags, speakers, _ = described
        return timestamp, flags, speakers, bytes(pcm)

    def skip_to(self, depth_frames: int) -> int:
        """Drop the oldest until *depth_frames* wait; return how many went. Thread: reader's."""
        dropped = self._ring.skip_to(depth_frames)
        self.dropped_frames += dropped
        return dropped

    def clear(self) -> int:
        """Drop all that waits; return how many frames. Thread: reader's."""
        return self.skip_to(0)

    def counters(self) -> RingCounters:
        """Return the counts so far. Thread: any; a moment old."""
        ring = self._ring
        return RingCounters(ring.written, ring.read_count, ring.skipped)
