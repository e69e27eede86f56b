"""Opus by libopus through PyAV, independent of the engine that is measured."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from benchmarks.load.sounds import FRAME, RATE_HZ, VOICES, Pcm, dbov

DECODE_HZ = 48_000


@dataclass(frozen=True, slots=True)
class Loop:
    """Packets of 20 ms that may be sent round and round, and the level of each for RFC 6464.

    Shape: payloads (n, widest) uint8, sizes (n,), levels (n,) uint8 in -dBov.
    """

    payloads: NDArray[np.uint8]
    sizes: NDArray[np.int64]
    levels: NDArray[np.uint8]


def encode(pcm: Pcm, bit_rate: int, complexity: int = 5) -> list[bytes]:
    """Return one packet for each 20 ms of *pcm*, 16 kHz mono."""
    codec: Any = av.CodecContext.create("libopus", "w")
    codec.sample_rate, codec.layout, codec.format = RATE_HZ, "mono", "s16"
    codec.bit_rate = bit_rate
    codec.time_base = Fraction(1, RATE_HZ)
    codec.options = {"application": "voip", "compression_level": str(complexity)}
    packets: list[bytes] = []
    for at in range(0, len(pcm) // FRAME * FRAME, FRAME):
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(pcm[at : at + FRAME]).reshape(1, -1), format="s16", layout="mono"
        )
        frame.sample_rate, frame.pts = RATE_HZ, at
        packets += [bytes(packet) for packet in codec.encode(frame)]
    return packets


def encode_loop(voice: str, bit_rate: int) -> Loop:
    """Encode a voice twice over and keep the second time, which goes on from the first.

    Raises: ValueError when there is no such voice.
    """
    if voice not in VOICES:
        raise ValueError(f"expected one of {', '.join(VOICES)}, got {voice!r}")
    pcm = VOICES[voice]()
    frames = pcm[: len(pcm) // FRAME * FRAME].reshape(-1, FRAME)
    packets = encode(np.concatenate((pcm, pcm)), bit_rate)[len(frames) : 2 * len(frames)]
    sizes = np.array([len(packet) for packet in packets], np.int64)
    payloads = np.zeros((len(packets), int(sizes.max())), np.uint8)
    for row, packet in zip(payloads, packets, strict=True):
        row[: len(packet)] = np.frombuffer(packet, np.uint8)
    levels = np.array([min(127, round(-dbov(frame))) for frame in frames], np.uint8)
    return Loop(payloads, sizes, levels)


def decode(payloads: Iterable[bytes]) -> Iterator[Pcm]:
    """Yield what each payload in turn decodes to: (n,) int16 at 48 kHz, mono."""
    codec: Any = av.CodecContext.create("libopus", "r")
    codec.sample_rate, codec.layout, codec.format = DECODE_HZ, "mono", "s16"
    for payload in payloads:
        decoded = [frame.to_ndarray() for frame in codec.decode(av.Packet(payload))]
        if not decoded:
            yield np.zeros(0, np.int16)
            continue
        pcm = np.concatenate(decoded, axis=-1).astype(np.int16)
        channels = pcm.size // max(1, pcm.shape[-1])
        yield pcm.reshape(channels, -1)[0] if channels > 1 else pcm.reshape(-1)
