"""Streaming sample-rate conversion that adds one millisecond and loses no sample."""

from __future__ import annotations

import math
from typing import Final

import av
import numpy as np

from ..pcm import FRAME_SAMPLES, Pcm

MIN_RATE_HZ: Final = 4_000
MAX_RATE_HZ: Final = 192_000
PRIME_SAMPLES: Final = 400
"""swresample holds back its first 32 taps to mirror them; past that it holds a constant amount."""


class Resampler:
    """Convert int16 PCM between rates and between mono and stereo, chunk by chunk.

    Shape:  mono is (n,), stereo (n, 2); a chunk may have any length, also 0.
    Units:  after n samples in, n * out_rate / in_rate have come out, rounded down or up where that
            is not whole. ``delay_samples`` at the output's rate: 16 (1 ms) from 48 kHz to 16 kHz.
    Raises: ValueError on rates or channel counts out of range, and on a chunk of another shape.
    Thread: one at a time.
    Source: FFmpeg's swresample, a 32-tap windowed sinc polyphase filter at the lower rate.

    swresample alone returns 304 samples for the first 960 at 48 kHz and 320 from then on, so a
    consumer of whole frames would wait 20 ms. Here it is fed silence first and the result dropped:
    what it holds back from then on is silence already paid for.
    """

    def __init__(
        self, in_rate_hz: int, in_channels: int, out_rate_hz: int, out_channels: int
    ) -> None:
        for rate_hz in (in_rate_hz, out_rate_hz):
            if not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
                raise ValueError(
                    f"expected a rate of {MIN_RATE_HZ} to {MAX_RATE_HZ} Hz, got {rate_hz}"
                )
        for channels in (in_channels, out_channels):
            if channels not in (1, 2):
                raise ValueError(f"expected 1 or 2 channels, got {channels}")
        self._in_rate_hz = in_rate_hz
        self._in_channels = in_channels
        self._out_rate_hz = out_rate_hz
        self._out_channels = out_channels
        # Samples are widened to stereo outside: swresample turns mono to stereo with -3 dB.
        self._swr_channels = min(in_channels, out_channels)
        self.delay_samples = 0
        self._prime()

    def push(self, pcm: Pcm) -> Pcm:
        """Return what *pcm* and the past give at the output's rate.

        Shape:  pcm (n,) or (n, 2) int16; the result is the caller's.
        Raises: ValueError on another shape or dtype.
        """
        wanted_ndim = 1 if self._in_channels == 1 else 2
        if (
            pcm.dtype != np.int16
            or pcm.ndim != wanted_ndim
            or (wanted_ndim == 2 and pcm.shape[1] != 2)
        ):
            shape = "(n,)" if wanted_ndim == 1 else "(n, 2)"
            raise ValueError(f"expected int16 of shape {shape}, got {pcm.dtype} of {pcm.shape}")
        if pcm.shape[0] == 0:
            return self._shaped([])
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(pcm).reshape(1, -1),
            format="s16",
            layout="mono" if self._in_channels == 1 else "stereo",
        )
        frame.sample_rate = self._in_rate_hz
        return self._shaped(self._swr.resample(frame))

    def flush(self) -> Pcm:
        """Return the tail that is still held back, and start anew for another stream."""
        tail = self._shaped(self._swr.resample(None))
        self._prime()
        return tail

    def _prime(self) -> None:
        self._swr = av.AudioResampler(
            format="s16",
            layout="mono" if self._swr_channels == 1 else "stereo",
            rate=self._out_rate_hz,
        )
        # A whole number of samples on both sides, so that counting starts at phase 0.
        divisor = math.gcd(self._in_rate_hz, self._out_rate_hz)
        step_in, step_out = self._in_rate_hz // divisor, self._out_rate_hz // divisor
        steps = math.ceil(PRIME_SAMPLES / min(step_in, step_out))
        shape = (steps * step_in,) if self._in_channels == 1 else (steps * step_in, 2)
        self.delay_samples = steps * step_out - len(self.push(np.zeros(shape, np.int16)))

    def _shaped(self, frames: list[av.AudioFrame]) -> Pcm:
        flat = np.concatenate(
            [frame.to_ndarray().reshape(-1) for frame in frames] or [np.empty(0, np.int16)]
        )
        if self._out_channels == 1:
            return flat
        if self._swr_channels == 1:
            return np.repeat(flat, 2).reshape(-1, 2)
        return flat.reshape(-1, 2)


class FrameCutter:
    """Cut a stream of mono samples into Pcm16K frames; what is left over waits for the next."""

    def __init__(self) -> None:
        self._rest: Pcm = np.empty(0, np.int16)

    def push(self, pcm: Pcm) -> list[Pcm]:
        """Return the whole frames that are complete now.

        Shape:  pcm (n,) int16; each frame (320,), a view into memory that nothing else writes.
        """
        whole = np.concatenate((self._rest, pcm)) if self._rest.size else pcm
        count = whole.size // FRAME_SAMPLES
        self._rest = whole[count * FRAME_SAMPLES :].copy()
        return [whole[i * FRAME_SAMPLES : (i + 1) * FRAME_SAMPLES] for i in range(count)]

    def flush(self) -> Pcm | None:
        """Return the last frame, filled up with silence, or None when nothing is left over."""
        if not self._rest.size:
            return None
        frame = np.zeros(FRAME_SAMPLES, np.int16)
        frame[: self._rest.size] = self._rest
        self._rest = np.empty(0, np.int16)
        return frame
