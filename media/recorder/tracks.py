"""One track of a recording as a file: WAV, FLAC or Ogg Opus, growing safely."""

from __future__ import annotations

import os
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO, Final, Literal, Protocol, TypeAlias, get_args

import av
import numpy as np
from av.error import FFmpegError

from ..pcm import FRAME_SAMPLES, SAMPLE_RATE_HZ, Pcm
from ..pipeline import WavWriter

Format: TypeAlias = Literal["wav", "flac", "opus"]
FORMATS: Final[tuple[Format, ...]] = get_args(Format)
Packet: TypeAlias = "av.Packet[av.AudioStream]"
FILE_MODE: Final = 0o600
PART: Final = ".part"
"""What the name of a file ends with until it is complete."""

OPUS_BIT_RATE: Final = 32_000
"""Wideband speech that nobody tells from the original (RFC 6716 section 2.1.1: 16 to 20 kb/s for
wideband speech, 28 to 40 for fullband)."""
PAGE_US: Final = 100_000
"""An Ogg page each 100 ms: what a crash can hold back of an Opus file. FFmpeg's 1 s would be more
than a recording may lose."""
TIME_BASE: Final = Fraction(1, SAMPLE_RATE_HZ)
OPUS_DELAY_SAMPLES: Final = 104
"""By how much libopus's output is behind its input at 16 kHz: 6.5 ms, the file's pre-skip."""
PIECE_SAMPLES: Final = 10 * SAMPLE_RATE_HZ
"""Silence is encoded in pieces of ten seconds."""


class TrackFile(Protocol):
    """A file that Pcm16K samples are appended to. Thread: one at a time, never the loop's."""

    @property
    def samples(self) -> int:
        """Samples written so far."""

    @property
    def size_bytes(self) -> int:
        """How long the file is by now."""

    def write(self, pcm: Pcm) -> None:
        """Append samples. Shape: (n,) int16. Raises: OSError."""

    def write_silence(self, samples: int) -> None:
        """Append so many zeros. Raises: OSError."""

    def sync(self) -> None:
        """Put what was written on the disk. Raises: OSError."""

    def close(self) -> None:
        """Complete the file. Again is no error. Raises: OSError."""

    def abandon(self) -> None:
        """Close the file as it is, after an error. Again is no error."""


def open_track(path: Path, file_format: Format) -> TrackFile:
    """Make a file for one track, that nobody else can read.

    Raises: OSError, FileExistsError when there is one of that name.
    """
    file = make_private(path)
    if file_format == "wav":
        return WavWriter(path, file=file)
    if file_format == "flac":
        return FlacTrack(file)
    return OpusTrack(file)


def make_private(path: Path) -> BinaryIO:
    """Make a file of mode 0600 that was not there, and open it for writing.

    Raises: OSError, FileExistsError.
    """
    flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.fdopen(os.open(path, flags, FILE_MODE), "w+b")


class EncodedTrack:
    """A track that PyAV encodes into an open file; each packet goes there when it is complete."""

    def __init__(
        self,
        file: BinaryIO,
        container_format: str,
        codec: str,
        codec_options: dict[str, str],
        container_options: dict[str, str],
    ) -> None:
        self._file = file
        self._samples = 0
        self._container = av.open(
            file, "w", format=container_format, options={"flush_packets": "1", **container_options}
        )
        stream = self._container.add_stream(
            codec, rate=SAMPLE_RATE_HZ, layout="mono", options=codec_options
        )
        assert isinstance(stream, av.AudioStream)
        stream.codec_context.format = av.AudioFormat("s16")
        self._stream = stream
        self._encoded_samples = 0
        self._is_closed = False

    @property
    def samples(self) -> int:
        """Samples written so far."""
        return self._samples

    @property
    def size_bytes(self) -> int:
        """How long the file is by now."""
        return self._file.tell()

    def write(self, pcm: Pcm) -> None:
        """Append samples. Shape: (n,) int16. Raises: OSError, ValueError on another shape."""
        if pcm.ndim != 1 or pcm.dtype != np.int16:
            raise ValueError(f"expected int16 of shape (n,), got {pcm.dtype} of {pcm.shape}")
        for packet in self._encode(pcm):
            self._mux(packet)
        self._samples += pcm.size

    def write_silence(self, samples: int) -> None:
        """Append so many zeros. Raises: OSError."""
        while samples > 0:
            piece = min(samples, PIECE_SAMPLES)
            self.write(np.zeros(piece, np.int16))
            samples -= piece

    def sync(self) -> None:
        """Put what was written on the disk, but for what the encoder still holds."""
        self._file.flush()
        os.fdatasync(self._file.fileno())

    def close(self) -> None:
        """Complete the file. Again is no error. Raises: OSError."""
        if self._is_closed:
            return
        self._is_closed = True
        try:
            for packet in self._stream.encode(None):
                self._mux(packet)
            self._container.close()
        finally:
            self._file.close()

    def abandon(self) -> None:
        """Close the file as it is, after an error. Again is no error."""
        # What could not be written cannot be now: who abandons a file has been told so.
        with suppress(OSError, FFmpegError):
            self._container.close()
        self._is_closed = True
        try:
            self._file.close()
        except OSError:
            assert self._file.closed

    def _encode(self, pcm: Pcm) -> list[Packet]:
        if not pcm.size:
            return []
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(pcm).reshape(1, -1), format="s16", layout="mono"
        )
        frame.sample_rate = SAMPLE_RATE_HZ
        frame.pts = self._encoded_samples
        self._encoded_samples += pcm.size
        return self._stream.encode(frame)

    def _mux(self, packet: Packet) -> None:
        self._container.mux(packet)


class FlacTrack(EncodedTrack):
    """FLAC. Source: RFC 9639. A frame is 72 ms: what a crash can hold back of it."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file, "flac", "flac", {}, {})


class OpusTrack(EncodedTrack):
    """Ogg Opus. Source: RFC 7845. As long as what was written, to the sample.

    A long silence is coded once and its packet repeated: an hour of it, before somebody who joins
    late, takes a second and not half a minute.
    """

    _SETTLED_FRAMES: Final = 50
    """After a second of zeros each packet of the encoder is the same."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(
            file,
            "ogg",
            "libopus",
            {"b": str(OPUS_BIT_RATE), "application": "voip", "frame_duration": "20"},
            {"page_duration": str(PAGE_US)},
        )
        self._inserted_samples = 0
        """How much the file has that did not go through the encoder."""
        self._last = (b"", 0)

    def write_silence(self, samples: int) -> None:
        """Append so many zeros. Raises: OSError."""
        settled = self._SETTLED_FRAMES * FRAME_SAMPLES
        if samples <= 2 * settled:
            super().write_silence(samples)
            return
        # To where a packet ends, then the second after which they repeat.
        head = settled + -(self._samples + settled) % FRAME_SAMPLES
        super().write_silence(head)
        data, pts = self._last
        frames = (samples - head) // FRAME_SAMPLES
        for number in range(1, frames + 1):
            self._insert(data, pts + number * FRAME_SAMPLES)
        super().write_silence(samples - head - frames * FRAME_SAMPLES)

    def append_packet(self, data: bytes) -> None:
        """Append one packet of another encoder, as it is: 20 ms. Raises: OSError."""
        self._insert(data, self._samples - OPUS_DELAY_SAMPLES)

    def _insert(self, data: bytes, pts: int) -> None:
        packet = av.Packet(data)
        packet.stream = self._stream
        packet.time_base = TIME_BASE
        packet.pts = packet.dts = pts
        packet.duration = FRAME_SAMPLES
        self._container.mux(packet)
        self._inserted_samples += FRAME_SAMPLES
        self._samples += FRAME_SAMPLES

    def _mux(self, packet: Packet) -> None:
        assert packet.pts is not None
        packet.pts = packet.dts = packet.pts + self._inserted_samples
        self._last = (bytes(packet), packet.pts)
        super()._mux(packet)
