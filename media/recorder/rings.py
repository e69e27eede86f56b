"""Rings of a bridge to WAV files at paths of the caller's: a softphone's ears, a test's.

Sample 0 of each file is the same tick. For the calls of a bot there is :class:`Recording`.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from ..pcm import FRAME_SAMPLES, FRAME_TICKS, AudioFrame
from ..pipeline import WavWriter
from ..platform import MediaPlatform
from ..ring import FrameRing


@dataclass(frozen=True, slots=True)
class RingTrack:
    """What is recorded, and where; None only keeps the ring empty."""

    ring: FrameRing
    path: Path | None


class RingRecorder:
    """Record the rings of legs of one bridge, from now until :meth:`close`.

    A frame's timestamp says where it belongs: a tick that was not read leaves silence, so the files
    never shift against each other.
    Raises: OSError when a file cannot be made.
    Thread: the platform's loop.
    """

    def __init__(self, platform: MediaPlatform, tracks: Sequence[RingTrack]) -> None:
        self._tracks: list[tuple[FrameRing, WavWriter | None]] = []
        self._origin: int | None = None
        self._unsubscribe = platform.on_tick(self._take)
        try:
            for track in tracks:
                track.ring.clear()
                writer = None if track.path is None else WavWriter(track.path)
                self._tracks.append((track.ring, writer))
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        """Write what waits, and the files' final headers. Again is no error."""
        self._unsubscribe()
        with ExitStack() as files:
            for _, writer in self._tracks:
                if writer is not None:
                    files.callback(writer.close)
            self._take()
            self._tracks.clear()

    def _take(self) -> None:
        frames = [_read_all(ring) for ring, _ in self._tracks]
        if self._origin is None:
            starts = [waiting[0].timestamp for waiting in frames if waiting]
            if not starts:
                return
            self._origin = min(starts)
        for (_, writer), waiting in zip(self._tracks, frames, strict=True):
            if writer is not None:
                for frame in waiting:
                    _write_at(writer, frame, self._origin)


def _read_all(ring: FrameRing) -> list[AudioFrame]:
    frames = []
    while (frame := ring.read()) is not None:
        frames.append(frame)
    return frames


def _write_at(writer: WavWriter, frame: AudioFrame, origin: int) -> None:
    due = (frame.timestamp - origin) // FRAME_TICKS * FRAME_SAMPLES
    if due < writer.samples:
        return
    writer.write_silence(due - writer.samples)
    writer.write(frame)
