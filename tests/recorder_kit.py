"""Made-up ticks of a call, and what reads a recording's files back."""

from __future__ import annotations

import json
import wave
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mixminus.media.pcm import FLAG_SILENCE, FRAME_SAMPLES, FRAME_TICKS, AudioFrame, Pcm
from mixminus.media.pipeline import load_audio
from mixminus.media.recorder import RecordingStore, StoreLimits

SILENCE = np.zeros(FRAME_SAMPLES, np.int16)


@dataclass(frozen=True, slots=True)
class Tick:
    """As ``media.session.SessionFrame``."""

    timestamp: int
    mixed: AudioFrame
    speakers: Mapping[int, AudioFrame]
    own: AudioFrame


def frame_of(pcm: Pcm, timestamp: int) -> AudioFrame:
    return AudioFrame.of(pcm, timestamp, 0 if pcm.any() else FLAG_SILENCE)


def tick(
    number: int, speakers: Mapping[int, Pcm] | None = None, own: Pcm = SILENCE, origin: int = 777
) -> Tick:
    """Tick *number* of a call whose mix is the sum of its speakers."""
    speakers = speakers or {}
    total = np.zeros(FRAME_SAMPLES, np.int32)
    for pcm in speakers.values():
        total += pcm
    timestamp = origin + number * FRAME_TICKS
    mixed = np.clip(total, -32768, 32767).astype(np.int16)
    return Tick(
        timestamp,
        frame_of(mixed, timestamp),
        {source_id: frame_of(pcm, timestamp) for source_id, pcm in speakers.items()},
        frame_of(own, timestamp),
    )


def tone(number: int, hz: float, peak: int = 6000) -> Pcm:
    """Frame *number* of a continuous sine."""
    at = np.arange(number * FRAME_SAMPLES, (number + 1) * FRAME_SAMPLES)
    return np.round(peak * np.sin(2 * np.pi * hz * at / 16_000)).astype(np.int16)


def talk(frames: int, hz: float = 300.0) -> Iterator[Tick]:
    """One speaker, 7, who talks without a pause."""
    return (tick(number, {7: tone(number, hz)}) for number in range(frames))


def store_at(path: Path, **limits: Any) -> RecordingStore:
    return RecordingStore(path / "recordings", StoreLimits(**limits))


def read(path: Path) -> Pcm:
    if path.suffix == ".wav":
        with wave.open(str(path)) as file:
            assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16_000, 1, 2)
            return np.frombuffer(file.readframes(file.getnframes()), np.int16)
    return load_audio(path, max_seconds=10_000)


def segments(directory: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (directory / "segments.jsonl").read_text().splitlines()]


def names(paths: Sequence[Path]) -> set[str]:
    return {path.name for path in paths}
