"""What callers say: speech without pauses, quiet noise, tone bursts; and how loud a sound is."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Pcm = NDArray[np.int16]

RATE_HZ = 16_000
FRAME = 320
FULL_SCALE = 32768.0
SPEECH_FILE = Path(__file__).resolve().parents[2] / "tests" / "data" / "speech.wav"

SPEECH_DBOV = -26.0
"""The active speech level of ITU-T P.56 test material."""
PAUSE_DBOV = -45.0
"""A frame below is a pause: all-speaking legs have none, so no gate shuts on them."""
NOISE_DBOV = -65.0
NOISE_FRAMES = 250

BURST_HZ = 400.0
BURST_DBOV = -12.0
BURST_FRAMES = 10
CYCLE_FRAMES = 45
"""A burst of 200 ms, then quiet for 700 ms: longer than a mixer's hangover, so it opens anew."""


def dbov(pcm: NDArray[np.int16] | NDArray[np.float64]) -> float:
    """Return the level of *pcm*, 0 dBov being a full-scale square wave; -127 for silence."""
    if not len(pcm):
        return -127.0
    power = float(np.mean(np.square(pcm.astype(np.float64) / FULL_SCALE)))
    return max(10.0 * np.log10(power), -127.0) if power > 0 else -127.0


def scaled(pcm: NDArray[np.float64], level_dbov: float) -> Pcm:
    """Return *pcm* at *level_dbov*, clipped where it must be."""
    wanted = pcm * float(10.0 ** ((level_dbov - dbov(pcm)) / 20.0))
    return np.clip(np.rint(wanted), -32768, 32767).astype(np.int16)


def read_speech(path: Path = SPEECH_FILE) -> Pcm:
    with wave.open(str(path)) as file:
        if (file.getframerate(), file.getnchannels()) != (RATE_HZ, 1):
            raise ValueError(f"expected 16 kHz mono, got {file.getparams()}")
        return np.frombuffer(file.readframes(file.getnframes()), np.int16)


def without_pauses(pcm: Pcm) -> Pcm:
    """Return *pcm* without its quiet frames: someone who never stops talking."""
    frames = pcm[: len(pcm) // FRAME * FRAME].reshape(-1, FRAME)
    loud = [frame for frame in frames if dbov(frame) > PAUSE_DBOV]
    if not loud:
        raise ValueError("expected speech, got only pauses")
    return np.concatenate(loud)


def speech() -> Pcm:
    """One loop of continuous speech at -26 dBov."""
    return scaled(without_pauses(read_speech()).astype(np.float64), SPEECH_DBOV)


def noise(frames: int = NOISE_FRAMES, level_dbov: float = NOISE_DBOV, seed: int = 1) -> Pcm:
    """White noise of a quiet room."""
    return scaled(np.random.default_rng(seed).standard_normal(frames * FRAME), level_dbov)


def bursts() -> Pcm:
    """One cycle of a tone burst that begins with the first sample, then the quiet room."""
    cycle = noise(CYCLE_FRAMES).astype(np.float64)
    time_s = np.arange(BURST_FRAMES * FRAME) / RATE_HZ
    tone = scaled(np.sin(2 * np.pi * BURST_HZ * time_s), BURST_DBOV)
    cycle[: len(tone)] += tone
    return np.clip(cycle, -32768, 32767).astype(np.int16)


VOICES = {"speech": speech, "noise": noise, "bursts": bursts}
