"""A WAV file that can be read while it is being written."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Final, Self

import numpy as np

from ..pcm import SAMPLE_RATE_HZ, Pcm

HEADER: Final = struct.Struct("<4sI4s4sIHHIIHH4sI")
MAX_DATA_BYTES: Final = 2**32 - 1 - HEADER.size
"""RIFF counts bytes in 32 bits: 37 hours of Pcm16K."""

SYNC_SAMPLES: Final = SAMPLE_RATE_HZ
"""The header follows the data once a second, so a killed process loses at most that."""


class WavWriter:
    """Write Pcm16K samples to a WAV file whose header is valid at every moment.

    Shape:  16 kHz mono int16.
    Raises: OSError as the file system does.
    Thread: one at a time; buffered, so a frame is a copy and once a second a write.
    Source: RFC 2361; Multimedia Programming Interface and Data Specifications 1.0 (RIFF WAVE).
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._samples = 0
        self._synced_samples = 0
        self._file = self.path.open("wb")
        self._file.write(_header(0))
        self._file.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Close the file."""
        self.close()

    @property
    def samples(self) -> int:
        """Samples written so far."""
        return self._samples

    def write(self, pcm: Pcm) -> None:
        """Append *pcm*.

        Shape:  (n,) int16.
        Raises: ValueError on another shape or dtype, or past the length that RIFF can say.
        """
        if pcm.ndim != 1 or pcm.dtype != np.int16:
            raise ValueError(f"expected int16 of shape (n,), got {pcm.dtype} of {pcm.shape}")
        if (self._samples + pcm.size) * 2 > MAX_DATA_BYTES:
            raise ValueError(f"expected at most {MAX_DATA_BYTES} bytes in {self.path}")
        self._file.write(pcm.astype("<i2", copy=False).tobytes())
        self._samples += pcm.size
        if self._samples - self._synced_samples >= SYNC_SAMPLES:
            self._sync()

    def write_silence(self, samples: int) -> None:
        """Append *samples* zeros, in pieces so that a long gap costs no memory."""
        while samples > 0:
            piece = min(samples, SYNC_SAMPLES)
            self.write(np.zeros(piece, np.int16))
            samples -= piece

    def close(self) -> None:
        """Write what is buffered and the final header. Again is no error."""
        if self._file.closed:
            return
        try:
            self._sync()
        finally:
            self._file.close()

    def _sync(self) -> None:
        # The data first: a header never promises more than the file holds.
        self._file.flush()
        self._file.seek(0)
        self._file.write(_header(self._samples * 2))
        self._file.seek(0, os.SEEK_END)
        self._synced_samples = self._samples


def _header(data_bytes: int) -> bytes:
    return HEADER.pack(
        b"RIFF",
        data_bytes + HEADER.size - 8,
        b"WAVE",
        b"fmt ",
        16,
        1,
        1,
        SAMPLE_RATE_HZ,
        SAMPLE_RATE_HZ * 2,
        2,
        16,
        b"data",
        data_bytes,
    )
