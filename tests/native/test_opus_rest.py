"""An Opus encoder that hears nothing rests: the same packet again, an onset as any other."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from tests.native.codecs import FRAME, OPUS, Codecs, Pcm, frames, speech

EMPTY_FRAMES = 100
REST_AFTER = 25
DELAY = 104  # samples that Opus takes, coding and decoding
SEEDS = range(40)


@cache
def codecs() -> Codecs:
    return Codecs()


def level_db(pcm: Pcm) -> float:
    return float(10 * np.log10(np.mean(pcm.astype(float) ** 2) + 1e-9))


def spurts(seed: int) -> tuple[Pcm, Pcm]:
    """Speech, a pause, and speech from an onset on; once with a pause of nothing at all, once
    with a trace in every frame, which no encoder takes for that."""
    voice = speech()
    rng = np.random.default_rng(seed)
    loud = [
        at
        for at in range(0, len(voice) - 60 * FRAME, FRAME)
        if level_db(voice[at : at + FRAME]) > 55
    ]
    first, second = (int(rng.choice(loud)) for _ in range(2))
    pause = np.zeros(EMPTY_FRAMES * FRAME, np.int16)
    trace = pause.copy()
    trace[:: FRAME // 2] = 1
    before, after = voice[first : first + 40 * FRAME], voice[second : second + 40 * FRAME]
    return (np.concatenate((before, pause, after)), np.concatenate((before, trace, after)))


def distance_db(decoded: Pcm, said: Pcm, start: int) -> float:
    """Signal to error from *start* on, with Opus's own delay taken out."""
    heard = decoded[start + DELAY : start + 40 * FRAME].astype(float)
    error = heard - said[start : start + len(heard)]
    return level_db(heard) - float(10 * np.log10(np.mean(error**2) + 1e-9))


def through(pcm: Pcm, settings: tuple[int, ...]) -> tuple[list[bytes], Pcm]:
    encoder, decoder = codecs().encoder(OPUS, settings), codecs().decoder(OPUS)
    packets = encoder.frames(pcm)
    decoded = []
    for packet in packets:
        heard = decoder.decode(packet)
        assert heard is not None
        decoded.append(heard)
    return packets, np.concatenate(decoded)


@pytest.mark.slow
@pytest.mark.parametrize("settings", [(32_000, 5, 0, 0, 0), (32_000, 5, 1, 10, 0)])
def test_a_rest_is_silent_and_its_end_is_not_heard(settings: tuple[int, ...]) -> None:
    losses, onsets = [], []
    start = (40 + EMPTY_FRAMES) * FRAME
    for seed in SEEDS:
        empty, traced = spurts(seed)
        packets, rested = through(empty, settings)
        resting = packets[40 + REST_AFTER : 40 + EMPTY_FRAMES]
        assert len(set(resting)) == 1, "the same packet again"
        assert np.abs(rested[(40 + REST_AFTER) * FRAME : start]).max() < 8
        never, awake = through(traced, settings)
        assert len(set(never[40 + REST_AFTER : 40 + EMPTY_FRAMES])) > 1, "the other never rests"
        first = slice(start, start + FRAME)
        onsets.append(abs(level_db(rested[first]) - level_db(awake[first])))
        # Two encodings of the same speech differ; neither may be further from it than the other.
        losses.append(distance_db(awake, empty, start) - distance_db(rested, empty, start))
    assert np.max(onsets) < 1.0
    assert np.percentile(losses, 95) <= 1.0
    assert np.median(losses) <= 0.2


@pytest.mark.slow
def test_a_rest_begins_after_half_a_second_and_not_with_dtx() -> None:
    nothing = np.zeros(60 * FRAME, np.int16)
    packets = codecs().encoder(OPUS).frames(nothing)
    assert len(set(packets[REST_AFTER:])) == 1
    sending = codecs().encoder(OPUS, (32_000, 5, 0, 0, 1))
    sizes = [len(sending.encode(frame) or b"") for frame in frames(nothing)]
    assert 0 in sizes, "DTX sends nothing, which is less than the same again"


def test_frames_of_another_length_are_not_answered_with_a_rest() -> None:
    encoder = codecs().encoder(OPUS)
    encoder.frames(np.zeros(40 * FRAME, np.int16))
    other = encoder.encode(np.zeros(2 * FRAME, np.int16))
    assert other is not None
    assert codecs().packet_samples(OPUS, other) == 2 * FRAME
