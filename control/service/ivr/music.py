"""The music that a participant on hold hears: made here, so it belongs to nobody."""

from __future__ import annotations

import functools
from typing import Final

import numpy as np

from mixminus.media.pcm import FULL_SCALE, SAMPLE_RATE_HZ, Pcm

LOOP_S: Final = 16
NOTE_S: Final = 0.5
RING_S: Final = 2.5
"""How long a note rings on: those of the loop's end ring into its beginning."""

LEVEL: Final = 0.16
"""Peak of full scale: some -25 dBov of level, behind any voice."""

CHORDS_HZ: Final = (
    (261.6256, 329.6276, 391.9954, 493.8833),
    (220.0, 261.6256, 329.6276, 391.9954),
    (174.6141, 261.6256, 349.2282, 440.0),
    (195.9977, 246.9417, 293.6648, 391.9954),
)
"""C major 7, A minor 7, F major, G major, in equal temperament."""

PATTERN: Final = (0, 2, 1, 3, 2, 1, 3, 2)
"""Which note of its chord is struck at each of the eight half seconds."""


@functools.cache
def hold_music() -> Pcm:
    """Return 16 s of quiet arpeggios whose end goes over into their beginning.

    Shape:  (n,) int16 at 16 kHz, read-only and always the same.
    """
    samples = LOOP_S * SAMPLE_RATE_HZ
    music = np.zeros(samples)
    for step in range(round(LOOP_S / NOTE_S)):
        chord = CHORDS_HZ[step // len(PATTERN)]
        note = _note(chord[PATTERN[step % len(PATTERN)]])
        start = round(step * NOTE_S * SAMPLE_RATE_HZ)
        places = np.arange(start, start + note.size) % samples
        music[places] += note
    music *= LEVEL * (FULL_SCALE - 1) / np.abs(music).max()
    pcm = np.round(music).astype(np.int16)
    pcm.setflags(write=False)
    return pcm


def _note(frequency_hz: float) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return a struck note: a sine and two overtones that die sooner, from zero and back to it."""
    time_s = np.arange(round(RING_S * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    wave = np.zeros(time_s.size)
    for overtone, (share, decay) in enumerate(((1.0, 2.2), (0.35, 3.5), (0.12, 5.0)), start=1):
        wave += (
            share * np.exp(-decay * time_s) * np.sin(2 * np.pi * overtone * frequency_hz * time_s)
        )
    attack = np.minimum(1.0, time_s / 0.012)
    release = np.minimum(1.0, (RING_S - time_s) / 0.3)
    return wave * attack * release
