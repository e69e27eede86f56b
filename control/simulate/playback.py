"""What the far end of a stream plays: a queue of frames, one each 20 ms. Pure."""

from __future__ import annotations

from collections import deque
from typing import Final

import numpy as np

from mixminus.media.pcm import FRAME_MS, FRAME_SAMPLES, Pcm

SILENCE: Final[Pcm] = np.zeros(FRAME_SAMPLES, np.int16)


class Playback:
    """The queue of a telephony service, its gaps counted.

    A tick for which nothing has come is a gap once the bot has begun, unless it was cleared; what
    never came again after it was no gap but the end. Marks wait in the queue, as the service's do.
    """

    def __init__(self) -> None:
        self._queue: deque[Pcm | str] = deque()
        self._frames = 0
        self._begun = False
        self._empty = 0
        self.gaps = 0
        self.gap_frames = 0
        self.longest_gap_frames = 0
        self.most_waiting_frames = 0
        self.played_frames = 0
        self.cleared_frames = 0

    def push(self, frame: Pcm) -> None:
        """Take a frame. Shape: (320,) int16."""
        if self._empty and self._begun:
            self.gaps += 1
            self.gap_frames += self._empty
            self.longest_gap_frames = max(self.longest_gap_frames, self._empty)
        self._empty = 0
        self._begun = True
        self._frames += 1
        self._queue.append(frame)
        self.most_waiting_frames = max(self.most_waiting_frames, self._frames)

    def mark(self, name: str) -> None:
        """Take a mark: it is reached when all before it was played."""
        self._queue.append(name)

    def clear(self) -> list[str]:
        """Drop all that waits; return the marks that were dropped with it."""
        self.cleared_frames += self._frames
        marks = [item for item in self._queue if isinstance(item, str)]
        self._queue.clear()
        self._frames = 0
        self._begun = False
        return marks

    def tick(self) -> tuple[Pcm, list[str]]:
        """Play 20 ms; return them, and the marks that were reached before."""
        marks = []
        while self._queue:
            item = self._queue.popleft()
            if not isinstance(item, str):
                self._frames -= 1
                self.played_frames += 1
                while self._queue and isinstance(self._queue[0], str):
                    marks.append(str(self._queue.popleft()))
                return item, marks
            marks.append(item)
        if self._begun:
            self._empty += 1
        return SILENCE, marks

    @property
    def longest_gap_ms(self) -> int:
        """The longest gap so far."""
        return self.longest_gap_frames * FRAME_MS
