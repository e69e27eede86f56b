"""Samples that come while they are played: chunks of any size in, and how long to wait for them."""

from __future__ import annotations

from collections import deque
from typing import Final

import numpy as np

from ..pcm import FRAME_SAMPLES, SAMPLE_RATE_HZ, Pcm
from ..pipeline import Resampler
from .clip import ramped

FIRST_PREROLL_FRAMES: Final = 3
"""60 ms: with it a producer that is up to 15 ms early or late leaves no hole from the first frame
on (30 ms between its extremes, and up to 20 ms until a frame is whole and its tick has come)."""
MIN_PREROLL_FRAMES: Final = 2
MAX_PREROLL_FRAMES: Final = 25
PAUSE_FRAMES: Final = 25
"""Half a second without a sample is a pause of the speaker's, and no reason to wait longer."""
CALM_FRAMES: Final = 500
"""10 s in which more was waiting than needed give one frame back."""


class Preroll:
    """How many frames must wait before a feed begins, or goes on after a hole: holes teach it.

    One for all feeds of a player: the second sentence of a synthesiser starts with what the first
    one taught. Source: design of jitter buffers (RFC 3551 section 4.1, RFC 5481), in whole frames.
    """

    def __init__(self, first_frames: int = FIRST_PREROLL_FRAMES) -> None:
        self.frames = first_frames
        self._calm_frames = 0
        self._least_frames = MAX_PREROLL_FRAMES

    def hole(self, frames: int) -> None:
        """Learn that a feed had nothing for so many frames."""
        self._open_window()
        if frames < PAUSE_FRAMES:
            self.frames = min(self.frames + frames, MAX_PREROLL_FRAMES)

    def played(self, waiting_frames: int) -> None:
        """Learn that after a frame was played so many were waiting still."""
        self._least_frames = min(self._least_frames, waiting_frames)
        self._calm_frames += 1
        if self._calm_frames == CALM_FRAMES:
            if self._least_frames > 1:
                self.frames = max(self.frames - 1, MIN_PREROLL_FRAMES)
            self._open_window()

    def _open_window(self) -> None:
        self._calm_frames, self._least_frames = 0, MAX_PREROLL_FRAMES


class ChunkReader:
    """Turn chunks, bytes of int16 or arrays, of any rate into Pcm16K samples.

    Shape:  bytes of any length, also odd: half a sample waits for its other half. Arrays (n,)
            int16, or (n, 2) of two channels; bytes of two channels are interleaved.
    Units:  rate_hz 4,000 to 192,000. Little-endian.
    Raises: ValueError on other arrays, rates or channels; TypeError on what is neither.
    """

    def __init__(self, rate_hz: int, channels: int) -> None:
        is_ours = rate_hz == SAMPLE_RATE_HZ and channels == 1
        self._resampler = None if is_ours else Resampler(rate_hz, channels, SAMPLE_RATE_HZ, 1)
        self._channels = channels
        self._rest = b""

    def push(self, chunk: object) -> Pcm:
        """Return the samples that *chunk* completes; the caller's own."""
        pcm = self._samples(chunk)
        return pcm.copy() if self._resampler is None else self._resampler.push(pcm)

    def flush(self) -> Pcm:
        """Return the resampler's tail. Half a sample that is left over is none."""
        self._rest = b""
        return np.empty(0, np.int16) if self._resampler is None else self._resampler.flush()

    def _samples(self, chunk: object) -> Pcm:
        if isinstance(chunk, bytes | bytearray | memoryview):
            data = self._rest + bytes(chunk)
            whole_bytes = len(data) - len(data) % (2 * self._channels)
            self._rest = data[whole_bytes:]
            pcm = np.frombuffer(data, "<i2", whole_bytes // 2).astype(np.int16, copy=False)
            return pcm if self._channels == 1 else pcm.reshape(-1, self._channels)
        if not isinstance(chunk, np.ndarray):
            raise TypeError(f"expected chunks of bytes or int16 arrays, got {type(chunk).__name__}")
        is_shaped = chunk.ndim == 1 if self._channels == 1 else chunk.shape[1:] == (2,)
        if chunk.dtype != np.int16 or not is_shaped:
            shape = "(n,)" if self._channels == 1 else "(n, 2)"
            raise ValueError(f"expected int16 of shape {shape}, got {chunk.dtype} {chunk.shape}")
        return chunk


class FeedSource:
    """What a producer has given and the player has not taken: a track that grows until it ends.

    Nothing is given out until the pre-roll waits, or all has come; again after each hole.
    Thread: one at a time.
    """

    def __init__(self, preroll: Preroll) -> None:
        self.preroll = preroll
        self._chunks: deque[Pcm] = deque()
        self._buffered_samples = 0
        self._is_flowing = self._has_flowed = self._is_ended = False
        self._missed_frames = 0

    @property
    def left_samples(self) -> int | None:
        """Samples that are still to come; None while nobody knows."""
        return self._buffered_samples if self._is_ended else None

    @property
    def buffered_samples(self) -> int:
        """Samples that came and were not taken."""
        return self._buffered_samples

    @property
    def is_over(self) -> bool:
        """Whether the last sample was given out."""
        return self._is_ended and not self._buffered_samples

    @property
    def is_live(self) -> bool:
        """Whether more may come."""
        return not self._is_ended

    def push(self, pcm: Pcm) -> None:
        """Take what came. Shape: (n,) int16 at 16 kHz, from now on ours."""
        if pcm.size:
            self._chunks.append(pcm)
            self._buffered_samples += pcm.size

    def end(self) -> None:
        """Say that no more comes."""
        self._is_ended = True

    def miss(self, frames: int) -> None:
        """Learn that so many frames in a row were due by now, and not here: a hole."""
        if frames and self._has_flowed and not self._is_ended:
            self._missed_frames = frames
            self._is_flowing = False

    def take(self, samples: int) -> Pcm:
        """Return the next *samples*, nothing when they are not here, fewer only at the end."""
        if not self._is_ended:
            wanted = samples if self._is_flowing else self.preroll.frames * FRAME_SAMPLES
            if self._buffered_samples < max(samples, wanted):
                return np.empty(0, np.int16)
            self._is_flowing = self._has_flowed = True
        taken = self._cut(samples)
        if self._missed_frames and taken.size:
            self.preroll.hole(self._missed_frames)
            self._missed_frames = 0
            return ramped(taken)
        return taken

    def _cut(self, samples: int) -> Pcm:
        taken = np.empty(min(samples, self._buffered_samples), np.int16)
        filled = 0
        while filled < taken.size:
            chunk = self._chunks[0]
            piece = chunk[: taken.size - filled]
            taken[filled : filled + piece.size] = piece
            filled += piece.size
            if piece.size == chunk.size:
                self._chunks.popleft()
            else:
                self._chunks[0] = chunk[piece.size :]
        self._buffered_samples -= filled
        return taken
