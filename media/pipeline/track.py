"""Samples given out in order: once, several times or for ever."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..pcm import FRAME_SAMPLES, Pcm


class Track:
    """All of *pcms*, each right after the one before: *loop* times in all, True is for ever.

    Shape:  each (n,) int16; those without a sample are left out.
    Raises: ValueError when there is no sample at all, or on a *loop* under 1.
    Thread: one at a time.
    """

    def __init__(self, pcms: Sequence[Pcm], *, loop: bool | int = 1) -> None:
        self._pcms = [pcm for pcm in pcms if pcm.size]
        if not self._pcms:
            raise ValueError("expected samples, got none")
        self._loops = check_loop(loop)
        self._once_samples = sum(pcm.size for pcm in self._pcms)
        self._index = self._at = 0
        self.taken_samples = 0

    @property
    def left_samples(self) -> int | None:
        """Samples that are still to come; None when it goes on for ever."""
        if self._loops is None:
            return None
        return self._loops * self._once_samples - self.taken_samples

    @property
    def buffered_samples(self) -> int | None:
        """The same: all of a track is here."""
        return self.left_samples

    @property
    def loops(self) -> int:
        """How often the end was passed so far."""
        return self.taken_samples // self._once_samples

    @property
    def is_over(self) -> bool:
        """Whether the last sample was given out."""
        return self.left_samples == 0

    def take(self, samples: int) -> Pcm:
        """Return the next *samples*, fewer only where the track ends; the caller's own."""
        left = self.left_samples
        wanted = samples if left is None else min(samples, left)
        taken = np.empty(wanted, np.int16)
        filled = 0
        while filled < wanted:
            piece = self._pcms[self._index][self._at : self._at + wanted - filled]
            taken[filled : filled + piece.size] = piece
            filled += piece.size
            self._at += piece.size
            if self._at == self._pcms[self._index].size:
                self._index, self._at = (self._index + 1) % len(self._pcms), 0
        self.taken_samples += wanted
        return taken

    def next_frame(self) -> Pcm:
        """Return the next 320 samples, filled up with silence after the last; the caller's own."""
        taken = self.take(FRAME_SAMPLES)
        if taken.size == FRAME_SAMPLES:
            return taken
        frame = np.zeros(FRAME_SAMPLES, np.int16)
        frame[: taken.size] = taken
        return frame


def check_loop(loop: bool | int) -> int | None:
    """Return how often to play, None for ever.

    Raises: ValueError on a number under 1.
    """
    if loop is True:
        return None
    times = 1 if loop is False else loop
    if not isinstance(times, int) or times < 1:
        raise ValueError(f"loop: expected True or a number of times from 1 on, got {loop!r}")
    return times
