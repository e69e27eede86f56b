"""Four voices for benchmarks of what speech suffers: espeak-ng's, or made here where it is missing.

Both are synthetic, so figures compare ways and settings with each other; they are no opinion
scores of people.
"""

from __future__ import annotations

import io
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache

import av
import numpy as np
from numpy.typing import NDArray

from mixminus.media.pcm import FRAME_SAMPLES, SAMPLE_RATE_HZ

Pcm = NDArray[np.int16]

ACTIVE_LEVEL_DBFS = -26.0  # ITU-T P.56's level, at which PESQ is calibrated
ROOM_NOISE_RMS = 3.0  # -81 dBFS: digital silence between sentences is no call's
PAUSE_S = 0.5

# Sentences of 7 to 10 s; languages and variants, so that pitch and formants differ.
ESPEAK = {
    "en-us+m3": "The birch canoe slid on the smooth planks. Glue the sheet to the dark blue "
    "background. It is easy to tell the depth of a well.",
    "en-gb+f2": "Rice is often served in round bowls. The juice of lemons makes fine punch. "
    "The box was thrown beside the parked truck.",
    "de+m7": "Am blauen Himmel ziehen die Wolken. Die Sonne scheint warm auf das Dach. "
    "Heute ist schönes Frühlingswetter.",
    "fr-fr+f4": "Il fait beau ce matin au bord de la mer. La voiture s'est arrêtée au feu rouge. "
    "Elle attend le train de huit heures.",
}
# Pitch and a factor for the formants of a long, a shorter, a short vocal tract and a child's.
MADE = {"low": (95.0, 0.95), "middle": (130.0, 1.0), "high": (200.0, 1.12), "child": (260.0, 1.25)}
VOWELS = (
    (730, 1090, 2440),
    (270, 2290, 3010),
    (300, 870, 2240),
    (530, 1840, 2480),
    (570, 840, 2410),
)


@dataclass(frozen=True)
class Voice:
    name: str
    pcm: Pcm
    """(samples,) at 16 kHz, whole frames, half a second of room noise at either end."""


def voices(*, synthesise: bool = False) -> tuple[list[Voice], str]:
    """Return the four voices and how they were made."""
    if synthesise or not shutil.which("espeak-ng"):
        made = [Voice(name, made_voice(*settings, seed)) for seed, (name, settings) in
                enumerate(MADE.items(), 1)]  # fmt: skip
        return made, "a seeded synthesiser of vowels and hisses (espeak-ng is not installed)"
    said = subprocess.run(["espeak-ng", "--version"], capture_output=True, text=True, check=True)
    version = said.stdout.split("Data at")[0].split(":")[-1].strip()
    return [Voice(name, espeak(name)) for name in ESPEAK], f"espeak-ng {version}"


@cache
def espeak(name: str) -> Pcm:
    command = ["espeak-ng", "-v", name, "-s", "150", "--stdout", ESPEAK[name]]
    spoken = subprocess.run(command, capture_output=True, check=True).stdout
    resampler = av.AudioResampler("s16", "mono", SAMPLE_RATE_HZ)
    with av.open(io.BytesIO(spoken), "r", format="wav") as file:
        parts = [part for frame in file.decode(audio=0) for part in resampler.resample(frame)]
    parts += resampler.resample(None)
    return finish(np.concatenate([part.to_ndarray().reshape(-1) for part in parts]).astype(float))


def made_voice(pitch_hz: float, tract: float, seed: int) -> Pcm:
    """Syllables of a gliding pitch through three formants, hisses between, a pause after six."""
    rng = np.random.default_rng(seed)
    parts: list[NDArray[np.float64]] = []
    for syllable in range(1, 37):
        length = int(rng.uniform(0.11, 0.22) * SAMPLE_RATE_HZ)
        begin_hz, end_hz = (float(x) for x in pitch_hz * rng.uniform(0.85, 1.2, 2))
        glide = np.linspace(begin_hz, end_hz, length)
        pulses = np.diff(np.floor(np.cumsum(glide) / SAMPLE_RATE_HZ), prepend=0.0)
        vowel = [tract * formant for formant in VOWELS[rng.integers(len(VOWELS))]]
        voiced = formants(pulses, vowel) * np.hanning(length) ** 0.5
        parts.append(voiced / np.abs(voiced).max())
        if rng.random() < 0.5:
            hiss = np.diff(rng.normal(0, 0.08, int(rng.uniform(0.04, 0.09) * SAMPLE_RATE_HZ)))
            parts.append(hiss * np.hanning(len(hiss)))
        if syllable % 6 == 0:
            parts.append(np.zeros(int(0.4 * SAMPLE_RATE_HZ)))
    return finish(np.concatenate(parts))


def formants(source: NDArray[np.float64], at_hz: list[float]) -> NDArray[np.float64]:
    """Shape *source* by resonances 80 Hz wide, as a spectrum: numpy has no recursive filter."""
    room = 1 << (2 * len(source)).bit_length()
    z = np.exp(-2j * np.pi * np.fft.rfftfreq(room))
    spectrum = np.fft.rfft(source, room)
    radius = np.exp(-np.pi * 80 / SAMPLE_RATE_HZ)
    for frequency in at_hz:
        turn = 2 * np.cos(2 * np.pi * frequency / SAMPLE_RATE_HZ)
        spectrum = spectrum / (1 - radius * turn * z + radius**2 * z**2)
    return np.fft.irfft(spectrum, room)[: len(source)]


def finish(spoken: NDArray[np.float64]) -> Pcm:
    """Bring the parts that are speech to the level, and add what a room adds."""
    active = spoken[np.abs(spoken) > 0.01 * np.abs(spoken).max()]
    gain = 32768 * 10 ** (ACTIVE_LEVEL_DBFS / 20) / np.sqrt(np.mean(active**2))
    pause = np.zeros(int(PAUSE_S * SAMPLE_RATE_HZ))
    whole = np.concatenate([pause, spoken * gain, pause])
    whole = whole[: len(whole) // FRAME_SAMPLES * FRAME_SAMPLES]
    whole += np.random.default_rng(1).normal(0, ROOM_NOISE_RMS, len(whole))
    return np.asarray(np.clip(whole, -32768, 32767), np.int16)
