"""A WAV file that can be read while it is being written."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import BinaryIO, Final, Self

import numpy as np

from ..pcm import SAMPLE_RATE_HZ, Pcm

HEADER: Final = struct.Struct("<4sI4s4sIHHIIHH4sI")
MAX_DATA_BYTES: Final = 2**32 - 1 - HEADER.size
"""RIFF counts bytes in 32 bits: 37 hours of Pcm16K."""

SYNC_SAMPLES: Final = SAMPLE_RATE_HZ
"""The header follows the data once a second, so a killed process loses at most that."""


class WavWriter:
    """Write Pcm16K samples to a WAV file whose header is valid at every moment.

    *file* is an open, seekable, empty file to write to instead of making one at *path*; it is
    closed with the writer.
    Shape:  16 kHz mono int16.
    Raises: OSError as the file system does.
    Thread: one at a time; buffered, so a frame is a copy and once a second a write.
    Source: RFC 2361; Multimedia Programming Interface and Data Specifications 1.0 (RIFF WAVE).
    """

    def __init__(self, path: str | os.PathLike[str], *, file: BinaryIO | None = None) -> None:
        self.path = Path(path)
        self._samples = 0
        self._synced_samples = 0
        self._file: BinaryIO = self.path.open("wb") if file is None else file
        self._file.write(wav_header(0))
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

    @property
    def size_bytes(self) -> int:
        """How long the file is, or will be once what is buffered is written."""
        return HEADER.size + self._samples * 2

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
            self._write_header()

    def write_silence(self, samples: int) -> None:
        """Append *samples* zeros, in pieces so that a long gap costs no memory."""
        while samples > 0:
            piece = min(samples, SYNC_SAMPLES)
            self.write(np.zeros(piece, np.int16))
            samples -= piece

    def sync(self) -> None:
        """Put what was written, and the header that says so, on the disk: a crash keeps it."""
        self._write_header()
        self._file.flush()
        os.fdatasync(self._file.fileno())

    def close(self) -> None:
        """Write what is buffered and the final header. Again is no error."""
        if self._file.closed:
            return
        try:
            self._write_header()
        finally:
            self._file.close()

    def abandon(self) -> None:
        """Close a file that cannot be written any more, as it is. Again is no error."""
        try:
            self._file.close()
        except OSError:
            # Closing writes what is buffered, and that is what could not be written: who abandons
            # a file has been told so. The file is closed all the same.
            assert self._file.closed

    def _write_header(self) -> None:
        # The data first: a header never promises more than the file holds.
        self._file.flush()
        self._file.seek(0)
        self._file.write(wav_header(self._samples * 2))
        self._file.seek(0, os.SEEK_END)
        self._synced_samples = self._samples


def wav_header(data_bytes: int) -> bytes:
    """Return the header of a file of 16 kHz, mono, 16 bit with so many bytes of samples."""
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
