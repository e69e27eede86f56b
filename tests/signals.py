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


def tone_dbov(pcm: Pcm, hz: float, rate_hz: int = 16_000) -> float:
    """Level of the sine of *hz* in *pcm*, in dB over the RMS of full scale; -127 for none.

    Looks through a Hann window: another sine 50 Hz off or more adds -90 dB and less in 0.5 s.
    """
    window = np.hanning(pcm.size)
    turns = np.exp(-2j * np.pi * hz * np.arange(pcm.size) / rate_hz)
    amplitude = 2 * abs(np.sum(pcm * window * turns)) / np.sum(window)
    return float(20 * np.log10(max(amplitude / np.sqrt(2) / 32_768, 10 ** (-127 / 20))))


def best_lag(source: Pcm, late: Pcm, most: int = 1000) -> int:
    """By how many samples *late* follows *source*, 0 to *most*, by cross-correlation."""
    given, came = source.astype(np.float64), late.astype(np.float64)
    size = min(given.size, came.size - most)
    return int(np.argmax([came[lag : lag + size] @ given[:size] for lag in range(most)]))
