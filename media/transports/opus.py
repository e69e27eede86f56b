"""Pcm16K to Opus packets, at 16 kHz and on the caller's thread."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Final

import av
import numpy as np

from ..pcm import FRAME_SAMPLES, FRAME_TICKS, SAMPLE_RATE_HZ, Pcm

BIT_RATE: Final = 32_000
APPLICATION: Final = "lowdelay"
"""CELT alone, 2.5 ms of look-ahead and not 6.5. Speech coded twice at 32 kb/s (measured) keeps a
correlation of 0.994 with its source, as with "audio", and of 0.88 with "voip", whose high-pass
turns the phase of low voices; at 54 us a frame and not 128. What is given up is SILK's in-band
FEC: where aiortc carries a caller, the far end conceals what is lost."""
COMPLEXITY: Final = "5"
"""Of 10; what more would win is not heard at this rate."""

RTP_CLOCK_HZ: Final = 48_000
"""Opus counts RTP time at 48 kHz whatever it codes (RFC 7587 section 4.1)."""

RTP_TIME_BASE: Final = Fraction(1, RTP_CLOCK_HZ)
RTP_PER_FRAME: Final = RTP_CLOCK_HZ * FRAME_SAMPLES // SAMPLE_RATE_HZ


class OpusEncoder:
    """Encode 20 ms frames for a voice call.

    Thread: one at a time. 0.05 ms a frame.
    Source: RFC 6716, RFC 7587; libopus through PyAV.
    """

    def __init__(self) -> None:
        self._codec = av.AudioCodecContext.create("libopus", "w")
        self._codec.sample_rate = SAMPLE_RATE_HZ
        self._codec.layout = "mono"
        self._codec.format = "s16"
        self._codec.bit_rate = BIT_RATE
        self._codec.time_base = Fraction(1, SAMPLE_RATE_HZ)
        self._codec.options = {
            "application": APPLICATION,
            "compression_level": COMPLEXITY,
            "frame_duration": "20",
        }
        self._frames = 0
        self._first_timestamp: int | None = None

    def encode(self, frame: Pcm, timestamp: int) -> list[av.Packet[Any]]:
        """Return the packet of *frame*, with its time on the RTP clock as pts.

        Shape:  frame (320,) int16.
        Units:  timestamp in 100 ns ticks; frames left out show as a gap in pts.
        """
        source = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(frame).view(np.ndarray).reshape(1, -1),
            format="s16",
            layout="mono",
        )
        source.sample_rate = SAMPLE_RATE_HZ
        source.pts = self._frames * FRAME_SAMPLES
        source.time_base = Fraction(1, SAMPLE_RATE_HZ)
        self._frames += 1
        if self._first_timestamp is None:
            self._first_timestamp = timestamp
        frames_passed = round((timestamp - self._first_timestamp) / FRAME_TICKS)
        packets = self._codec.encode(source)
        for packet in packets:
            packet.pts = frames_passed * RTP_PER_FRAME
            packet.time_base = RTP_TIME_BASE
        return packets
