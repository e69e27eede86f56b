"""G.711 mu-law by table, for stream dialects; legs that RTP reaches use native/g711.c.

Source: ITU-T G.711.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from ...pcm import Pcm

BIAS: Final = 132
CLIP: Final = 32_635


def decode(payload: bytes) -> Pcm:
    """Return the samples of *payload*. Shape: (n,) int16 at 8 kHz."""
    return _DECODED[np.frombuffer(payload, np.uint8)]


def encode(pcm: Pcm) -> bytes:
    """Return *pcm* as mu-law. Shape: pcm (n,) int16 at 8 kHz."""
    return _ENCODED[pcm.view(np.uint16)].tobytes()


def _decode_table() -> Pcm:
    code = ~np.arange(256, dtype=np.int32) & 0xFF
    magnitude = (((code & 0x0F) << 3) + BIAS << ((code & 0x70) >> 4)) - BIAS
    return np.where(code & 0x80, -magnitude, magnitude).astype(np.int16)


def _encode_table() -> NDArray[np.uint8]:
    sample = np.arange(65_536, dtype=np.uint16).view(np.int16).astype(np.int32)
    biased = np.minimum(np.abs(sample), CLIP) + BIAS
    # The segment is the place of the highest bit, counted from bit 7.
    segment = np.floor(np.log2(biased)).astype(np.int32) - 7
    mantissa = (biased >> (segment + 3)) & 0x0F
    code = np.where(sample < 0, 0x80, 0) | (segment << 4) | mantissa
    table: NDArray[np.uint8] = (~code & 0xFF).astype(np.uint8)
    return table


_DECODED: Final = _decode_table()
_ENCODED: Final = _encode_table()
