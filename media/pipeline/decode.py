"""Audio files to Pcm16K: the format told by magic bytes and forced, so nothing else is opened."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Self, TypeAlias

import av
import numpy as np
from av.error import FFmpegError

from ..pcm import SAMPLE_RATE_HZ, Pcm
from .resample import FrameCutter

MAX_SECONDS: Final = 600.0
"""A 2 MB FLAC can hold three hours of silence: the decoded length is what has to be capped."""

SNIFF_BYTES: Final = 64
SILENT_PEAK: Final = 32
"""-60 dBFS: below the noise of any microphone, above the dither of a silent file."""

SAID: Final = {"mov": "m4a", "matroska": "webm"}
"""How a format is called in messages, where FFmpeg's name is another."""

EXPECTED: Final = "expected wav, flac, ogg, mp3, m4a or webm audio"

MIN_FILE_RATE_HZ: Final = 4_000
MAX_FILE_RATE_HZ: Final = 384_000
MAX_FILE_CHANNELS: Final = 8
"""A header may say 1 Hz, of which each sample would become 16,000, or 65,535 channels."""

Source: TypeAlias = "str | os.PathLike[str] | bytes"
"""An audio file: its name, or all of its content."""


class AudioFileError(ValueError):
    """A file that is no usable audio; the message says which, what was expected and what came."""


class FileDecoder:
    """An audio file as Pcm16K frames, decoded while iterating. Made by :func:`open_audio`.

    Shape:  iterating gives (320,) int16 frames that the receiver owns, the last filled up with
            silence.
    Units:  16 kHz mono, sample 0 is the file's sample 0: the resampler's delay is taken off.
            ``truncated`` becomes true when the file went on past ``max_seconds``.
    Raises: AudioFileError while iterating, when the content is broken from the start or empty.
    Thread: one at a time; blocks on the file and the codec, so not the event loop's.
    """

    def __init__(self, source: Path | bytes, format_name: str, max_seconds: float) -> None:
        self.name = _name(source)
        self.format_name = format_name
        self.truncated = False
        self._said = SAID.get(format_name, format_name)
        self._max_samples = int(max_seconds * SAMPLE_RATE_HZ)
        is_content = isinstance(source, bytes)
        try:
            self._container = av.open(
                io.BytesIO(source) if isinstance(source, bytes) else os.fspath(source),
                "r",
                format=format_name,
                # FFmpeg would follow concat:, subfile: and http: references, also within files.
                options={"protocol_whitelist": "none" if is_content else "file"},
                metadata_errors="replace",
            )
        except (FFmpegError, ValueError) as exc:
            raise self._error("a broken {} file") from exc
        try:
            self._check_stream()
        except AudioFileError:
            self._container.close()
            raise

    def _check_stream(self) -> None:
        if not self._container.streams.audio:
            raise self._error("a {} file without audio")
        codec: av.AudioCodecContext | None = self._container.streams.audio[0].codec_context
        if codec is None:
            # A header that names no codec FFmpeg knows.
            raise self._error("a broken {} file")
        is_sound = MIN_FILE_RATE_HZ <= codec.sample_rate <= MAX_FILE_RATE_HZ
        if not is_sound or not 1 <= codec.channels <= MAX_FILE_CHANNELS:
            came = f"{codec.channels} channels at {codec.sample_rate} Hz"
            raise self._error("a {} file of " + came)

    def _error(self, came: str) -> AudioFileError:
        return AudioFileError(f"{self.name}: {EXPECTED}, got {came.format(self._said)}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Close the file."""
        self.close()

    def close(self) -> None:
        """Close the file. Again is no error."""
        self._container.close()

    def __iter__(self) -> Iterator[Pcm]:
        """Decode from where the file stands, once."""
        cutter = FrameCutter()
        for chunk in self.chunks():
            yield from (frame.copy() for frame in cutter.push(chunk))
        last = cutter.flush()
        if last is not None:
            yield last

    def chunks(self) -> Iterator[Pcm]:
        """Decode to chunks of any length, exactly as many samples as the file has."""
        left = self._max_samples
        decoded = 0
        for frame in self._resampled():
            chunk = frame.to_ndarray().reshape(-1).astype(np.int16, copy=False)
            if chunk.size > left:
                self.truncated = True
                chunk = chunk[:left]
            left -= chunk.size
            decoded += chunk.size
            if chunk.size:
                yield chunk
            if self.truncated:
                return
        if not decoded:
            raise self._error("a {} file without a sample")

    def _resampled(self) -> Iterator[av.AudioFrame]:
        stream = self._container.streams.audio[0]
        resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE_HZ)
        decoded = False
        try:
            for frame in self._container.decode(stream):
                decoded = True
                # Time stamps of a file are no reason to move samples about.
                frame.pts = None
                yield from resampler.resample(frame)
        except (FFmpegError, ValueError) as exc:
            # ValueError: the resampler refuses a stream that changes its rate or layout midway.
            # What came before a broken end is still audio; a file broken from the start is not.
            if not decoded:
                raise self._error("a broken {} file") from exc
        if decoded:
            yield from resampler.resample(None)


def open_audio(source: Source, *, max_seconds: float = MAX_SECONDS) -> FileDecoder:
    """Open an audio file of a format that its first bytes name.

    *source* is its name, or its content as bytes.
    Units:  max_seconds of decoded audio; what follows is left out and ``truncated`` says so.
    Raises: AudioFileError when it is missing, empty, no regular file or not audio.
    Thread: any but the event loop's (reads the file).
    """
    place = source if isinstance(source, bytes) else Path(source)
    head = place[:SNIFF_BYTES] if isinstance(place, bytes) else _read_head(place)
    if not head:
        raise AudioFileError(f"{_name(place)}: {EXPECTED}, got an empty file")
    format_name = sniff(head)
    if format_name is None:
        raise AudioFileError(f"{_name(place)}: {EXPECTED}, got {_describe(head)}")
    return FileDecoder(
        place if isinstance(place, bytes) else place.absolute(), format_name, max_seconds
    )


def _read_head(path: Path) -> bytes:
    try:
        if not path.is_file():
            came = "a directory" if path.is_dir() else "no file of that name"
            raise AudioFileError(f"{path}: {EXPECTED}, got {came}")
        with path.open("rb") as file:
            return file.read(SNIFF_BYTES)
    except (OSError, ValueError) as exc:
        if isinstance(exc, AudioFileError):
            raise
        # ValueError: a name with a null byte in it.
        came = str(getattr(exc, "strerror", None) or exc)
        raise AudioFileError(f"{str(path)!r}: {EXPECTED}, got {came}") from exc


def _name(source: Path | bytes) -> str:
    return f"{len(source)} bytes" if isinstance(source, bytes) else str(source)


def load_audio(source: Source, *, max_seconds: float = MAX_SECONDS) -> Pcm:
    """Return a whole audio file as Pcm16K samples. *source* is its name, or its content as bytes.

    Shape:  (n,) int16, n at least 1. A silent file is valid: ask :func:`is_silent`.
    Raises: AudioFileError as :func:`open_audio` and iterating do.
    Thread: any but the event loop's.
    """
    with open_audio(source, max_seconds=max_seconds) as decoder:
        return np.concatenate(list(decoder.chunks()))


def is_silent(pcm: Pcm) -> bool:
    """Say whether no sample of *pcm* is louder than -60 dBFS."""
    return pcm.size == 0 or max(int(pcm.max()), -int(pcm.min())) <= SILENT_PEAK


def sniff(head: bytes) -> str | None:
    """Return FFmpeg's name of the format that *head* begins, or None.

    Source: RFC 2361 (RIFF), RFC 9639 (fLaC), RFC 3533 (OggS), ISO 14496-12 (ftyp), RFC 8794 (EBML),
            ISO 11172-3 (MPEG audio), id3.org.
    """
    if head[:4] in (b"RIFF", b"RF64") and head[8:12] == b"WAVE":
        return "wav"
    for magic, name in ((b"fLaC", "flac"), (b"OggS", "ogg"), (b"\x1a\x45\xdf\xa3", "matroska")):
        if head.startswith(magic):
            return name
    if head[4:8] == b"ftyp":
        return "mov"
    if head.startswith(b"ID3") or _is_mpeg_layer3(head):
        return "mp3"
    return None


def _is_mpeg_layer3(head: bytes) -> bool:
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return False
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    bit_rate, sample_rate = head[2] >> 4, head[2] >> 2 & 3
    return version != 1 and layer == 1 and bit_rate not in (0, 15) and sample_rate != 3


def _describe(head: bytes) -> str:
    if all(32 <= byte < 127 or byte in b"\t\r\n" for byte in head):
        return "text"
    return f"a file that begins with {head[:4].hex(' ')}"
