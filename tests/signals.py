"""Test signals, and how far what came out is from what went in."""

from __future__ import annotations

import numpy as np

from mixminus.media.pcm import Pcm


def sine(hz: float, rate_hz: int, seconds: float, amplitude: float = 16_000.0) -> Pcm:
    time_s = np.arange(int(rate_hz * seconds)) / rate_hz
    return np.round(amplitude * np.sin(2 * np.pi * hz * time_s)).astype(np.int16)


def sine_snr_db(pcm: Pcm, hz: float, rate_hz: int) -> float:
    """Power of the sine that fits best over the power of all else."""
    time_s = np.arange(pcm.size) / rate_hz
    basis = np.stack([np.sin(2 * np.pi * hz * time_s), np.cos(2 * np.pi * hz * time_s)], axis=1)
    signal = pcm.astype(np.float64)
    fit = basis @ np.linalg.lstsq(basis, signal, rcond=None)[0]
    noise = np.mean(np.square(signal - fit))
    return float(10 * np.log10(np.mean(np.square(fit)) / noise)) if noise > 0 else np.inf


def best_lag(source: Pcm, late: Pcm, most: int = 1000) -> int:
    """By how many samples *late* follows *source*, 0 to *most*, by cross-correlation."""
    given, came = source.astype(np.float64), late.astype(np.float64)
    size = min(given.size, came.size - most)
    return int(np.argmax([came[lag : lag + size] @ given[:size] for lag in range(most)]))
