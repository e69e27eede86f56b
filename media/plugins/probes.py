"""Sounds that a plugin is tried with: like speech, as loud as can be, and silence."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Final

import numpy as np

from ..pcm import (
    FLAG_CONCEALED,
    FLAG_SILENCE,
    FLAG_SKIPPED,
    FRAME_SAMPLES,
    FRAME_TICKS,
    SAMPLE_RATE_HZ,
    AudioFrame,
    Pcm,
)

LOUDEST: Final = 32767
LOUD_HZ: Final = 50.0
"""A period is one frame: neighbouring samples of a full-scale sine differ by 2 % of full scale."""


@lru_cache(maxsize=8)
def speech_like(seconds: float, seed: int = 1) -> Pcm:
    """Return syllables with pauses between words: pitch that moves, formants, some hiss.

    Shape:  (n,) int16 at 16 kHz, peaks at -6 dBFS; read-only, as all who ask get the same.
    """
    rng = np.random.default_rng(seed)
    samples = round(seconds * SAMPLE_RATE_HZ)
    time_s = np.arange(samples) / SAMPLE_RATE_HZ
    pitch_hz = (
        120.0 + 25.0 * np.sin(2 * np.pi * 0.7 * time_s) + 10.0 * np.sin(2 * np.pi * 2.3 * time_s)
    )
    phase = 2 * np.pi * np.cumsum(pitch_hz) / SAMPLE_RATE_HZ
    formant_hz = 600.0 + 250.0 * np.sin(2 * np.pi * 1.7 * time_s)
    voice = np.zeros(samples)
    for harmonic in range(1, 30):
        distance = (harmonic * pitch_hz - formant_hz) / 400.0
        voice += np.sin(harmonic * phase) * (np.exp(-distance * distance) + 0.3 / harmonic)
    voice += rng.normal(0.0, 0.3, samples)
    syllables = np.maximum(0.0, np.sin(2 * np.pi * 2.1 * time_s)) ** 0.5
    words = np.minimum(1.0, np.maximum(0.0, 4.0 * np.sin(2 * np.pi * 0.45 * time_s + 0.5) + 2.0))
    wave = voice * syllables * words
    pcm: Pcm = np.round(wave * (LOUDEST / 2 / np.abs(wave).max())).astype(np.int16)
    pcm.flags.writeable = False
    return pcm


def silence(frames: int) -> Pcm:
    """Return digital silence. Shape: (frames * 320,) int16."""
    return np.zeros(frames * FRAME_SAMPLES, np.int16)


def loud_sine(frames: int) -> Pcm:
    """Return a slow sine at full scale. Shape: (frames * 320,) int16."""
    time_s = np.arange(frames * FRAME_SAMPLES) / SAMPLE_RATE_HZ
    pcm: Pcm = np.round(LOUDEST * np.sin(2 * np.pi * LOUD_HZ * time_s)).astype(np.int16)
    return pcm


def extremes(seed: int = 2) -> Pcm:
    """Return what trips arithmetic up: silence, one sample, both ends of the scale, noise.

    Shape:  (n,) int16, whole frames.
    """
    rng = np.random.default_rng(seed)
    click = silence(2)
    click[FRAME_SAMPLES] = -32768
    square = np.tile(np.repeat(np.array([-32768, LOUDEST], np.int16), 8), 2 * FRAME_SAMPLES // 16)
    constant = np.full(2 * FRAME_SAMPLES, -32768, np.int16)
    noise = rng.integers(-32768, LOUDEST, 10 * FRAME_SAMPLES, np.int16, endpoint=True)
    faint = rng.integers(-1, 1, 10 * FRAME_SAMPLES, np.int16, endpoint=True)
    return np.concatenate(
        (silence(20), click, silence(5), square, constant, noise, silence(5), faint)
    )


def frames_of(pcm: Pcm, *, first_timestamp: int = 0, flags: int = 0) -> Iterator[AudioFrame]:
    """Cut *pcm* into frames as a call has them; what the last one lacks is silence."""
    for index, start in enumerate(range(0, pcm.size, FRAME_SAMPLES)):
        frame = np.zeros(FRAME_SAMPLES, np.int16)
        rest = pcm[start : start + FRAME_SAMPLES]
        frame[: rest.size] = rest
        silent = 0 if frame.any() else FLAG_SILENCE
        yield AudioFrame.of(frame, first_timestamp + index * FRAME_TICKS, flags | silent)


def odd_frames() -> Iterator[AudioFrame]:
    """Return frames of each kind that a call has beside voice: concealed, skipped, silent."""
    voice = speech_like(0.2)
    yield from frames_of(voice)
    yield from frames_of(voice, flags=FLAG_CONCEALED)
    yield from frames_of(silence(5), flags=FLAG_SKIPPED)
    yield from frames_of(silence(5))
