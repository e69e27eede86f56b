"""DTMF: the keys of a telephone as pairs of tones, heard and made.

Source: ITU-T Q.23 (the frequencies), Q.24 (what receivers accept), ETSI ES 201 235-3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from .pcm import FRAME_SAMPLES, FULL_SCALE, SAMPLE_RATE_HZ, Pcm

LOW_HZ: Final = (697.0, 770.0, 852.0, 941.0)
HIGH_HZ: Final = (1209.0, 1336.0, 1477.0, 1633.0)
KEYPAD: Final = ("123A", "456B", "789C", "*0#D")
KEYS: Final = "0123456789*#ABCD"

WINDOW_SAMPLES: Final = FRAME_SAMPLES
"""20 ms: rows are 73 Hz apart and more, so 50 Hz of resolution tells them."""
HOP_SAMPLES: Final = FRAME_SAMPLES // 2

HITS: Final = 2
"""Windows that agree before a key counts: together 30 ms, and a tone of 40 ms holds two wherever
it begins. Speech that looks like a key for one window rarely does for the next."""
MISSES: Final = 3
"""Windows without the key before it counts as released: a pause of 40 ms holds three, and a dropout
of 10 ms, which is no pause, two."""

MIN_LEVEL_DBOV: Final = -42.0
"""Of the weaker tone. Q.24 asks for -25 dBm at most networks, some 31 dB below full scale."""
MAX_TWIST_DB: Final = 6.0
"""By how much the high tone may be the stronger: Q.24 asks for 4 dB."""
MAX_REVERSE_TWIST_DB: Final = 10.0
"""By how much the low tone may be: long lines damp the high one, Q.24 asks for 8 dB."""
MIN_SHARE: Final = 0.72
"""What part of a window's energy the two tones must have. Noise 12 dB below leaves 0.94."""
MIN_MARGIN_DB: Final = 6.0
"""By how much each tone must exceed the others of its group; a window's own side lobes are 9 dB
lower at the next row when the frequency is 1.5 % off."""
MAX_HARMONIC_DB: Final = -14.0
"""The second harmonic against its tone: a voice has it nearly as strong, a telephone does not."""

SPREAD: Final = (-0.018, -0.009, 0.0, 0.009, 0.018)
"""Where a tone is looked for about its place: Q.24 accepts 1.5 % off and rejects 3.5 %."""
EDGE_MS: Final = 3.0


@dataclass(frozen=True, slots=True)
class HeardKey:
    """A key that was pressed, and at which sample of the stream its tone began, within 10 ms."""

    key: str
    start_samples: int


class ToneDetector:
    """Tells which keys are pressed in a stream of 16 kHz samples, each press once.

    A press is heard when it lasts 40 ms or longer and 40 ms of pause lie before the next. Level,
    twist, the pair's share of all energy and the second harmonics keep voices from being keys.
    Thread: one at a time.
    """

    def __init__(self) -> None:
        self._tail: Pcm = np.zeros(0, np.int16)
        self._tail_start = 0
        self._last = ""
        self._first_start = 0
        self._hits = 0
        self._misses = 0
        self._pressed = ""

    def push(self, pcm: Pcm) -> tuple[HeardKey, ...]:
        """Listen to *pcm*, which follows what came before; return the keys that became certain.

        Shape:  (n,) int16 at 16 kHz, any n.
        """
        whole = np.concatenate((self._tail, pcm)) if self._tail.size else pcm
        count = max(0, (whole.size - WINDOW_SAMPLES) // HOP_SAMPLES + 1)
        heard: list[HeardKey] = []
        if count:
            windows = np.lib.stride_tricks.sliding_window_view(whole, WINDOW_SAMPLES)
            keys = keys_of_windows(windows[: count * HOP_SAMPLES : HOP_SAMPLES])
            for index, key in enumerate(keys):
                found = self._take(key, self._tail_start + index * HOP_SAMPLES)
                if found is not None:
                    heard.append(found)
        self._tail = whole[count * HOP_SAMPLES :].copy()
        self._tail_start += count * HOP_SAMPLES
        return tuple(heard)

    def _take(self, key: str, start_samples: int) -> HeardKey | None:
        if key and key == self._last:
            self._hits += 1
        else:
            self._last, self._hits, self._first_start = key, 1, start_samples
        if self._pressed:
            self._misses = 0 if key == self._pressed else self._misses + 1
            if self._misses >= MISSES:
                self._pressed, self._misses = "", 0
        if not key or self._pressed or self._hits < HITS:
            return None
        self._pressed = key
        return HeardKey(key, self._first_start)


def tone_pcm(
    key: str,
    milliseconds: float,
    *,
    level_dbov: float = -13.0,
    twist_db: float = 0.0,
    frequency_error: float = 0.0,
) -> Pcm:
    """Return the tone of *key*, faded in and out over 3 ms so that it does not click.

    Shape:  (n,) int16 at 16 kHz.
    Units:  level_dbov of each of the two sines; twist_db makes the high one stronger and the low
            one weaker by half of it each; frequency_error is relative.
    Raises: ValueError on a key that telephones do not have, and on no duration.
    """
    row = next((row for row, keys in enumerate(KEYPAD) if key and key in keys), None)
    if row is None or len(key) != 1:
        raise ValueError(f"expected one of {KEYS}, got {key!r}")
    samples = round(milliseconds * SAMPLE_RATE_HZ / 1000)
    if samples < 1:
        raise ValueError(f"expected a duration above 0 ms, got {milliseconds}")
    column = KEYPAD[row].index(key)
    time_s = np.arange(samples) / SAMPLE_RATE_HZ * (1.0 + frequency_error)
    # A sine's RMS is 3 dB below its peak, and 0 dBov is a square wave's.
    peak = FULL_SCALE * np.sqrt(2.0) * 10.0 ** (level_dbov / 20.0)
    skew = 10.0 ** (twist_db / 40.0)
    wave = np.sin(2 * np.pi * LOW_HZ[row] * time_s) / skew
    wave += np.sin(2 * np.pi * HIGH_HZ[column] * time_s) * skew
    wave *= peak * edges(samples)
    pcm: Pcm = np.clip(np.round(wave), -32768, 32767).astype(np.int16)
    return pcm


def edges(samples: int, edge_ms: float = EDGE_MS) -> NDArray[np.float64]:
    """Return the gains that fade a sound of *samples* in and out, at most half of it each."""
    gains = np.ones(samples)
    length = min(round(edge_ms * SAMPLE_RATE_HZ / 1000), samples // 2)
    if length:
        ramp = 0.5 - 0.5 * np.cos(np.pi * (np.arange(length) + 0.5) / length)
        gains[:length] = ramp
        gains[-length:] = ramp[::-1]
    return gains


def keys_of_windows(windows: NDArray[np.int16]) -> list[str]:
    """Return which key each window of 20 ms holds, "" for none.

    Shape:  (windows, 320) int16.
    """
    samples = windows.astype(np.float64) / FULL_SCALE
    energy = np.mean(samples * samples, axis=1)
    floor = 10.0 ** (MIN_LEVEL_DBOV / 10.0)
    keys = [""] * len(samples)
    for index in np.flatnonzero(energy >= floor):
        keys[index] = _key_of(samples[index], float(energy[index]))
    return keys


def _probes(frequencies_hz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rows that make the Goertzel sums of a window one product: cosines, then sines.

    A sine of peak 1 at the frequency gives the power 1/2, its mean square.
    """
    phase = 2 * np.pi / SAMPLE_RATE_HZ * np.outer(frequencies_hz, np.arange(WINDOW_SAMPLES))
    rows: NDArray[np.float64] = np.concatenate((np.cos(phase), np.sin(phase)))
    rows *= np.sqrt(2.0) / WINDOW_SAMPLES
    return rows


def _powers(probes: NDArray[np.float64], samples: NDArray[np.float64]) -> NDArray[np.float64]:
    # Not the matrix product: beside other busy threads BLAS waits for its own, 5 ms where this
    # takes 20 us (measured).
    parts = np.einsum("ij,j->i", probes, samples).reshape(2, -1)
    powers: NDArray[np.float64] = (parts * parts).sum(axis=0)
    return powers


_FREQUENCIES_HZ: Final = np.array(LOW_HZ + HIGH_HZ)
_GRID_HZ: Final = np.outer(_FREQUENCIES_HZ, 1.0 + np.array(SPREAD)).ravel()
_GRID: Final = _probes(_GRID_HZ)
_HARMONICS: Final = _probes(2.0 * _GRID_HZ)


def _key_of(samples: NDArray[np.float64], energy: float) -> str:
    groups = _powers(_GRID, samples).reshape(2, 4, len(SPREAD))
    best = groups.max(axis=2)
    row, column = int(best[0].argmax()), int(best[1].argmax())
    low, high = float(best[0, row]), float(best[1, column])
    if min(low, high) < 10.0 ** (MIN_LEVEL_DBOV / 10.0) or low + high < MIN_SHARE * energy:
        return ""
    twist_db = 10.0 * np.log10(high / low)
    if not -MAX_REVERSE_TWIST_DB <= twist_db <= MAX_TWIST_DB:
        return ""
    margin = 10.0 ** (MIN_MARGIN_DB / 10.0)
    for group, place in ((best[0], row), (best[1], column)):
        others = np.delete(group, place)
        if float(others.max()) * margin > group[place]:
            return ""
    places = (
        row * len(SPREAD) + int(groups[0, row].argmax()),
        (4 + column) * len(SPREAD) + int(groups[1, column].argmax()),
    )
    if not _is_free_of_harmonics(samples, places, (low, high)):
        return ""
    return KEYPAD[row][column]


def _is_free_of_harmonics(
    samples: NDArray[np.float64], places: tuple[int, int], powers: tuple[float, float]
) -> bool:
    """Say whether little is left at twice the frequencies once the tones themselves are gone.

    Twice a low tone lies as near to a high one as the rows lie to each other, so that the high
    tone's side lobes would be taken for it. *places* are those of the two tones in the grid.
    """
    rows = [*places, *(place + _GRID_HZ.size for place in places)]
    basis = _GRID[rows]
    squares = np.einsum("ik,jk->ij", basis, basis)
    fit = np.linalg.solve(squares, np.einsum("ij,j->i", basis, samples))
    rest = samples - (basis * fit[:, np.newaxis]).sum(axis=0)
    harmonics = _powers(_HARMONICS[rows], rest)
    return bool(np.all(harmonics <= 10.0 ** (MAX_HARMONIC_DB / 10.0) * np.array(powers)))
