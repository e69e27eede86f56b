"""Pcm16K: the one audio format inside mixminus, its constants and its frame."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE_HZ: Final = 16_000
FRAME_MS: Final = 20
FRAME_SAMPLES: Final = SAMPLE_RATE_HZ * FRAME_MS // 1000
FRAME_BYTES: Final = FRAME_SAMPLES * 2
FRAME_NS: Final = FRAME_MS * 1_000_000
FRAME_TICKS: Final = FRAME_MS * 10_000
"""One frame in the 100 ns ticks that timestamps are counted in."""

# Frame flags, as native/frame.h has them.
FLAG_SILENCE: Final = 1
FLAG_CONCEALED: Final = 2
FLAG_SKIPPED: Final = 4
FLAG_FEC: Final = 8
FLAG_COMFORT: Final = 16
KNOWN_FLAGS: Final = FLAG_SILENCE | FLAG_CONCEALED | FLAG_SKIPPED | FLAG_FEC | FLAG_COMFORT

FULL_SCALE: Final = 32768.0
SILENCE_DBOV: Final = -127.0
"""What digital silence is reported as: the lowest level RFC 6464 can carry."""

Pcm: TypeAlias = NDArray[np.int16]


class AudioFrame(np.ndarray[tuple[int], np.dtype[np.int16]]):
    """One 20 ms frame: 320 int16 samples that the receiver owns, with what is known about them.

    Shape:  (320,) int16, C-contiguous.
    Units:  ``timestamp`` in 100 ns ticks of the engine's timeline.
    """

    timestamp: int = 0
    frame_flags: int = 0
    """The description as the FLAG_ numbers that rings and the media link carry."""
    active_speakers: tuple[int, ...] = ()
    unmixed: Mapping[int, AudioFrame] = MappingProxyType({})
    """Of a mix, each speaker's frame of the same tick by source id, where that was asked for."""

    def __array_finalize__(self, parent: NDArray[Any] | None) -> None:
        """Carry the description over to views and results of arithmetic."""
        if isinstance(parent, AudioFrame):
            self.timestamp = parent.timestamp
            self.frame_flags = parent.frame_flags
            self.active_speakers = parent.active_speakers

    @classmethod
    def of(
        cls,
        pcm: bytes | bytearray | Pcm,
        timestamp: int = 0,
        flags: int = 0,
        active_speakers: tuple[int, ...] = (),
    ) -> AudioFrame:
        """Describe *pcm* without copying it.

        Shape:  pcm (320,) int16 or 640 bytes.
        Raises: ValueError on another shape, dtype or length.
        """
        array = np.frombuffer(pcm, np.int16) if isinstance(pcm, bytes | bytearray) else pcm
        frame = check_frame(array).view(cls)
        frame.timestamp = timestamp
        frame.frame_flags = flags & KNOWN_FLAGS
        frame.active_speakers = active_speakers
        return frame

    @property
    def is_silence(self) -> bool:
        """Nobody is heard."""
        return bool(self.frame_flags & FLAG_SILENCE)

    @property
    def is_concealed(self) -> bool:
        """Made up for audio that did not come."""
        return bool(self.frame_flags & FLAG_CONCEALED)

    @property
    def is_skipped(self) -> bool:
        """Stands for a tick that was left out."""
        return bool(self.frame_flags & FLAG_SKIPPED)

    @property
    def is_fec(self) -> bool:
        """What was said, from the packet after it, as its own was lost: voice, a little coarser."""
        return bool(self.frame_flags & FLAG_FEC)

    @property
    def is_comfort(self) -> bool:
        """The noise of a source that said it pauses."""
        return bool(self.frame_flags & FLAG_COMFORT)


def check_frame(pcm: Pcm) -> Pcm:
    """Return *pcm* if it is one Pcm16K frame.

    Raises: ValueError naming the expected and the given shape and dtype.
    """
    if not isinstance(pcm, np.ndarray) or pcm.shape != (FRAME_SAMPLES,) or pcm.dtype != np.int16:
        came = (
            f"{pcm.dtype} of shape {pcm.shape}"
            if isinstance(pcm, np.ndarray)
            else type(pcm).__name__
        )
        raise ValueError(f"expected one frame, int16 of shape ({FRAME_SAMPLES},), got {came}")
    return np.ascontiguousarray(pcm)


def level_dbov(pcm: Pcm) -> float:
    """Return the RMS level of *pcm* in dBov (0 is a full-scale square wave), at least -127."""
    if pcm.size == 0:
        return SILENCE_DBOV
    mean_square = float(np.mean(np.square(pcm, dtype=np.float64)))
    if mean_square == 0.0:
        return SILENCE_DBOV
    return max(SILENCE_DBOV, 10.0 * float(np.log10(mean_square / FULL_SCALE**2)))
