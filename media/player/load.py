"""What can be played, as samples: a file's name, a file's content, raw samples, an array."""

from __future__ import annotations

import os
from typing import TypeAlias

import numpy as np

from ..pcm import SAMPLE_RATE_HZ, Pcm
from ..pipeline import AudioFileError, Resampler, open_audio, sniff

PlayerSource: TypeAlias = "str | os.PathLike[str] | bytes | bytearray | memoryview | Pcm"
"""A file's name; the content of an audio file; int16 samples, as bytes or as an array."""


def is_ready(source: PlayerSource, rate_hz: int) -> bool:
    """Say whether *source* becomes samples without reading, decoding or converting anything."""
    if isinstance(source, str | os.PathLike):
        return False
    if isinstance(source, np.ndarray):
        return rate_hz == SAMPLE_RATE_HZ
    return rate_hz == SAMPLE_RATE_HZ and _format_of(bytes(source[:64])) is None


def name_of(source: PlayerSource) -> str:
    """Return what *source* is called in messages."""
    if isinstance(source, str | os.PathLike):
        return os.fspath(source)
    return f"{len(source)} {'samples' if isinstance(source, np.ndarray) else 'bytes'}"


def check_source(source: object, rate_hz: int) -> None:
    """Refuse what nobody can play, before it is put into a queue.

    Raises: TypeError, ValueError naming what was expected and what came.
    """
    if isinstance(source, str | os.PathLike):
        return
    if isinstance(source, np.ndarray):
        if source.dtype != np.int16 or source.ndim != 1 or not source.size:
            raise ValueError(
                f"expected int16 samples of shape (n,), got {source.dtype} of {source.shape}"
            )
    elif isinstance(source, bytes | bytearray | memoryview):
        if _format_of(bytes(source[:64])) is None and (len(source) % 2 or not len(source)):
            raise ValueError(f"expected int16 samples, 2 bytes each, got {len(source)} bytes")
    else:
        raise TypeError(
            "expected a file's name, an audio file's bytes, or int16 samples as bytes or array,"
            f" got {type(source).__name__}"
        )
    Resampler(rate_hz, 1, SAMPLE_RATE_HZ, 1)


def read_samples(source: PlayerSource, rate_hz: int, max_seconds: float) -> Pcm:
    """Return all of *source* as Pcm16K samples.

    Shape:  (n,) int16, n at least 1, that nobody else writes to.
    Units:  rate_hz is that of raw samples; a file says its own.
    Raises: AudioFileError when a file is missing, none, without audio, broken, or longer than
            max_seconds when it is decoded, however small it is.
    Thread: any but the event loop's, unless :func:`is_ready`.
    """
    if isinstance(source, np.ndarray):
        return _at_our_rate(np.array(source), rate_hz)
    if not isinstance(source, str | os.PathLike):
        source = bytes(source)
        if _format_of(source[:64]) is None:
            return _at_our_rate(np.frombuffer(source, "<i2").astype(np.int16), rate_hz)
    with open_audio(source, max_seconds=max_seconds) as decoder:
        pcm = np.concatenate(list(decoder.chunks()))
        if decoder.truncated:
            raise AudioFileError(
                f"{decoder.name}: expected at most {max_seconds:g} s of audio, got more"
            )
        return pcm


def _at_our_rate(pcm: Pcm, rate_hz: int) -> Pcm:
    if rate_hz == SAMPLE_RATE_HZ:
        return pcm
    resampler = Resampler(rate_hz, 1, SAMPLE_RATE_HZ, 1)
    delay = resampler.delay_samples
    whole = np.concatenate((resampler.push(pcm), resampler.flush()))
    return whole[delay:] if whole.size > delay else whole


def _format_of(head: bytes) -> str | None:
    """Return the format of an audio file that begins so; raw samples are none.

    Two bytes that could begin MPEG audio could as well be a sample.
    """
    name = sniff(head)
    return None if name == "mp3" and not head.startswith(b"ID3") else name
