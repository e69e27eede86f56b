"""A long recording of people who come, go, pause and get lost on the way: nothing ever shifts."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mixminus.media.pcm import FLAG_CONCEALED, FLAG_SILENCE, FRAME_SAMPLES, AudioFrame, Pcm
from mixminus.media.recorder import Recording, RecordingOptions, Speaker
from tests.recorder_kit import SILENCE, Tick, read, store_at, tick

FRAMES_A_MINUTE = 3000
PEOPLE = 5


@dataclass(slots=True)
class Person:
    """Somebody who joins, speaks in turns, loses packets, and leaves."""

    source_id: int
    joins: int
    leaves: int
    voice: Pcm

    def says(self, number: int, chance: random.Random) -> AudioFrame | None:
        if not self.joins <= number < self.leaves:
            return None
        # Turns of 7 s, pauses of 3 to 9 s, each person their own.
        if (number // 50 + 3 * self.source_id) % (10 + self.source_id) >= 7:
            return AudioFrame.of(SILENCE, flags=FLAG_SILENCE)
        at = (number * 97 + self.source_id) % (len(self.voice) - 1)
        pcm = self.voice[at]
        if chance.random() < 0.02:
            return AudioFrame.of((pcm // 2).astype(np.int16), flags=FLAG_CONCEALED)
        return AudioFrame.of(pcm)


def call(minutes: int, seed: int) -> Iterator[Tick]:
    """The ticks of a call of so many minutes; now and then some never come."""
    frames = minutes * FRAMES_A_MINUTE
    chance = random.Random(seed)
    voices = np.random.default_rng(seed).integers(-5000, 5000, (PEOPLE, 400, FRAME_SAMPLES))
    people = [
        Person(
            source_id=index + 1,
            # One is there from the start, the last one only in the middle.
            joins=index * frames // 8,
            leaves=frames - (PEOPLE - 1 - index) * frames // 10,
            voice=voices[index].astype(np.int16),
        )
        for index in range(PEOPLE)
    ]
    missing_until = 0
    for number in range(frames):
        if chance.random() < 0.0005:
            missing_until = number + chance.randint(1, 200)
        if number < missing_until and 0 < number < frames - 1:
            continue
        said = {person.source_id: person.says(number, chance) for person in people}
        there = {source_id: pcm for source_id, pcm in said.items() if pcm is not None}
        made = tick(number, {source_id: np.asarray(pcm) for source_id, pcm in there.items()})
        yield replace(made, speakers=there)


def lag_samples(a: NDArray[Any], b: NDArray[Any]) -> int:
    """By how many samples *b* is behind *a* where they are most alike, within a second."""
    size = 1 << (a.size + 16_000).bit_length()
    spectrum = np.conj(np.fft.rfft(a.astype(np.float32), size)) * np.fft.rfft(
        b.astype(np.float32), size
    )
    likeness = np.fft.irfft(spectrum, size)
    best = int(np.argmax(np.concatenate([likeness[-16_000:], likeness[:16_000]])))
    return best - 16_000


@pytest.mark.slow
@pytest.mark.parametrize(
    ("minutes", "formats"),
    [
        (2, ("wav",)),
        pytest.param(60, ("wav",), marks=pytest.mark.soak),
        pytest.param(10, ("wav", "flac", "opus"), marks=pytest.mark.soak),
    ],
)
def test_all_files_are_equally_long_and_the_mix_is_the_sum_of_the_speakers(
    tmp_path: Path, minutes: int, formats: tuple[str, ...]
) -> None:
    options = RecordingOptions(formats=formats, own=True)  # type: ignore[arg-type]
    recording = Recording(store_at(tmp_path).create(), options)
    for source_id in range(1, PEOPLE + 1):
        recording.name_speaker(Speaker(source_id, f"p{source_id}", f"Person {source_id}"))
    for each in call(minutes, seed=minutes):
        recording.write(each)
    report = recording.close()
    assert report.error is None
    assert report.duration_s == minutes * 60
    sounds = [path for path in report.files if path.suffix[1:] in formats]
    assert len(sounds) == (2 + PEOPLE) * len(formats)
    samples = {path.name: read(path).size for path in sounds}
    expected = minutes * FRAMES_A_MINUTE * FRAME_SAMPLES
    assert all(abs(size - expected) <= FRAME_SAMPLES for size in samples.values()), samples
    for file_format in formats:
        total = np.zeros(expected, np.int32)
        for source_id in range(1, PEOPLE + 1):
            total += read(report.directory / f"speaker-{source_id}.{file_format}")[:expected]
        mixed = read(report.directory / f"mixed.{file_format}")
        if file_format != "opus":
            np.testing.assert_array_equal(mixed, total)
        # By parts of half a minute, so that a drift could not hide behind a good beginning.
        step = 30 * 16_000
        for start in range(0, expected, max(step, expected // 20)):
            part = slice(start, start + step)
            assert lag_samples(mixed[part], total[part]) == 0, (file_format, start)
    lines = (report.directory / "segments.jsonl").read_text().splitlines()
    assert {json.loads(line)["name"] for line in lines} == {f"Person {n}" for n in range(1, 6)}
    assert all(0 <= json.loads(line)["start_s"] < json.loads(line)["end_s"] for line in lines)
