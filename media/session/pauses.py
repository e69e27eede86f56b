"""Which frames can go without being missed, so that delay is given back and no speech. Pure."""

from __future__ import annotations

from collections import deque
from typing import Final

from ..pcm import Pcm, level_dbov

QUIET_PEAK: Final = 328
"""-40 dBFS, as in native/playout.c: nobody misses that."""
NOISE_DBOV: Final = -36.0
"""What is louder is nobody's background: a tone, music, a word that has no end."""
OVER_FLOOR_DB: Final = 4.0
"""Noise wavers by so much from one frame to the next; syllables exceed it by 15 dB and more."""
FLOOR_FRAMES: Final = 100
"""2 s: a speaker in a noisy room has paused by then, so that the least of it is the noise."""
LEARN_FRAMES: Final = 25


class PauseFinder:
    """Tells the pauses in a stream of frames, also those that are full of noise.

    Thread: one at a time.
    """

    def __init__(self) -> None:
        self._levels_dbov: deque[float] = deque(maxlen=FLOOR_FRAMES)

    def is_pause(self, frame: Pcm) -> bool:
        """Say whether *frame*, the next one, can go.

        Shape:  (320,) int16.
        """
        level = level_dbov(frame)
        self._levels_dbov.append(level)
        if is_quiet(frame):
            return True
        if level > NOISE_DBOV or len(self._levels_dbov) < LEARN_FRAMES:
            return False
        return level <= min(self._levels_dbov) + OVER_FLOOR_DB


def is_quiet(frame: Pcm) -> bool:
    """Say whether *frame* is as good as silent."""
    return int(frame.min()) >= -QUIET_PEAK and int(frame.max()) <= QUIET_PEAK
