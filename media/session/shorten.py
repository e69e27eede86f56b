"""Delay out of sound that has no pause: whole periods of it, joined where it repeats itself. Pure.

Source: WSOLA, W. Verhelst, M. Roelands (ICASSP 1993); native/stretch.c does the same to packets.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from ..pcm import FRAME_SAMPLES, Pcm

JOIN_SAMPLES: Final = 96
"""6 ms are faded from what was into what comes a lag later."""
MIN_LAG_SAMPLES: Final = 40
"""400 Hz: what is higher repeats itself within the lags above as well."""
LIKENESS: Final = 0.9
"""Of the two pieces that are joined, as a correlation: voices have it in their vowels."""
EVERY_FRAMES: Final = 3
"""14 ms of 60 at most, in a low voice 8: a little faster for a second or two."""


class Shortener:
    """Passes frames on, fewer than it is given.

    Thread: one at a time.
    """

    def __init__(self) -> None:
        self._rest: Pcm = np.zeros(0, np.int16)
        self._frames = 0

    @property
    def is_even(self) -> bool:
        """Whether nothing is left over: it may be left out, without a sound being lost."""
        return self._rest.size == 0

    def push(self, frame: Pcm, *, shorten: bool) -> Pcm | None:
        """Return the next frame, or None: what is left of *frame* waits for the next one.

        Shape:  (320,) int16. *shorten*: whether a period may be taken out.
        """
        whole = np.concatenate((self._rest, frame))
        self._frames += 1
        if shorten and self._frames % EVERY_FRAMES == 0:
            lag = find_lag(whole[:FRAME_SAMPLES])
            if lag:
                whole = join(whole, lag)
        if whole.size < FRAME_SAMPLES:
            self._rest = whole
            return None
        self._rest = whole[FRAME_SAMPLES:].copy()
        return whole[:FRAME_SAMPLES]


def find_lag(pcm: Pcm) -> int:
    """Return the longest lag after which *pcm* goes on as it begins; 0 when there is none."""
    wide = pcm.astype(np.float64)
    start = wide[:JOIN_SAMPLES]
    energy = float(start @ start)
    if not energy:
        return 0
    products = np.correlate(wide, start, "valid")[MIN_LAG_SAMPLES:]
    squares = np.concatenate(([0.0], np.cumsum(wide * wide)))
    energies = (squares[JOIN_SAMPLES:] - squares[:-JOIN_SAMPLES])[MIN_LAG_SAMPLES:]
    likeness = products / np.sqrt(np.maximum(energies * energy, 1.0))
    # As loud, too: a word that begins is not what went before it.
    similar = (energies < 2 * energy) & (energies > energy / 2)
    best = float(np.where(similar, likeness, 0.0).max(initial=0.0))
    if best < LIKENESS:
        return 0
    good = np.flatnonzero(similar & (likeness >= max(LIKENESS, best - 0.005)))
    return int(good[-1]) + MIN_LAG_SAMPLES


def join(pcm: Pcm, lag: int) -> Pcm:
    """Return *pcm* without *lag* samples: its beginning fades into what comes so much later."""
    gains = (np.arange(JOIN_SAMPLES) + 0.5) / JOIN_SAMPLES
    faded = pcm[:JOIN_SAMPLES] * (1.0 - gains) + pcm[lag : lag + JOIN_SAMPLES] * gains
    joined: Pcm = np.round(faded).astype(np.int16)
    return np.concatenate((joined, pcm[lag + JOIN_SAMPLES :]))
