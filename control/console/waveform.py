"""Waveforms of audio files: decoded once in a worker thread, kept, and cut into any number of bins.

A frame of 20 ms becomes its lowest and highest sample: four bytes, so that four hours are 3 MB.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mixminus.media.pcm import FRAME_SAMPLES, Pcm
from mixminus.media.pipeline import AudioFileError, open_audio

MAX_SECONDS: Final = 24 * 3600.0
"""What is decoded of a file at most: more than a recording may last."""
MAX_KEPT_BYTES: Final = 32 * 2**20
"""Of all waveforms together: some forty hours; those that were not asked for longest go."""

Extremes: TypeAlias = NDArray[np.int16]
"""Shape (frames, 2): lowest and highest sample of each."""
Stamp: TypeAlias = tuple[int, int]
"""Size and time of change: a file with another is another."""


class Waveforms:
    """The waveforms of files that somebody looked at, one decoded at a time.

    Thread: the loop's; the work is done in others.
    """

    def __init__(self, max_kept_bytes: int = MAX_KEPT_BYTES) -> None:
        self._max_kept_bytes = max_kept_bytes
        self._kept: OrderedDict[Path, tuple[Stamp, Extremes]] = OrderedDict()
        self._turn = asyncio.Lock()

    async def peaks(self, path: Path, bins: int) -> list[tuple[int, int]]:
        """Return the lowest and highest sample of each of *bins* equal parts of a file.

        Shape:  (bins,) pairs of int16; fewer when the file has fewer frames of 20 ms.
        Raises: AudioFileError when it is no audio; OSError when it is gone.
        """
        async with self._turn:
            stat = await asyncio.to_thread(path.stat)
            stamp = stat.st_size, stat.st_mtime_ns
            kept = self._kept.get(path)
            if kept is None or kept[0] != stamp:
                kept = stamp, await asyncio.to_thread(extremes_of, path)
                self._keep(path, kept)
            else:
                self._kept.move_to_end(path)
        return binned(kept[1], bins)

    def _keep(self, path: Path, kept: tuple[Stamp, Extremes]) -> None:
        self._kept[path] = kept
        self._kept.move_to_end(path)
        while len(self._kept) > 1 and self._kept_bytes() > self._max_kept_bytes:
            self._kept.popitem(last=False)

    def _kept_bytes(self) -> int:
        return sum(extremes.nbytes for _, extremes in self._kept.values())


def extremes_of(path: Path) -> Extremes:
    """Decode a file and return the extremes of each of its frames.

    Raises: AudioFileError. Thread: any but the loop's.
    """
    found: list[Extremes] = []
    left: Pcm = np.empty(0, np.int16)
    with open_audio(path, max_seconds=MAX_SECONDS) as decoder:
        for chunk in decoder.chunks():
            pcm = np.concatenate((left, chunk)) if left.size else chunk
            whole = pcm.size // FRAME_SAMPLES * FRAME_SAMPLES
            if whole:
                found.append(_extremes(pcm[:whole].reshape(-1, FRAME_SAMPLES)))
            left = pcm[whole:]
    if left.size:
        found.append(_extremes(left.reshape(1, -1)))
    if not found:
        raise AudioFileError(f"{path.name}: expected audio, got none")
    return np.concatenate(found)


def binned(extremes: Extremes, bins: int) -> list[tuple[int, int]]:
    """Return the extremes of *bins* parts that differ in length by a frame at most.

    Raises: ValueError below one bin.
    """
    if bins < 1:
        raise ValueError(f"bins: expected 1 or more, got {bins}")
    bins = min(bins, len(extremes))
    starts = np.arange(bins) * len(extremes) // bins
    lowest = np.minimum.reduceat(extremes[:, 0], starts)
    highest = np.maximum.reduceat(extremes[:, 1], starts)
    return list(zip(lowest.tolist(), highest.tolist(), strict=True))


def _extremes(frames: NDArray[np.int16]) -> Extremes:
    return np.stack((frames.min(axis=1), frames.max(axis=1)), axis=1)
