"""Keys: every one heard once as the standards ask, and none heard in speech or noise."""

from __future__ import annotations

import wave

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixminus.media.dtmf import HOP_SAMPLES, KEYS, ToneDetector, tone_pcm
from mixminus.media.pcm import FRAME_SAMPLES, FULL_SCALE, Pcm, level_dbov
from tests.signals import sine
from tests.support import ROOT


def silence(milliseconds: float) -> Pcm:
    return np.zeros(round(milliseconds * 16), np.int16)


def heard(pcm: Pcm, chunk: int = FRAME_SAMPLES) -> str:
    detector = ToneDetector()
    keys = ""
    for start in range(0, pcm.size, chunk):
        keys += "".join(found.key for found in detector.push(pcm[start : start + chunk]))
    return keys


def speech() -> Pcm:
    with wave.open(str(ROOT / "tests/data/speech.wav")) as file:
        return np.frombuffer(file.readframes(file.getnframes()), np.int16)


def with_noise(pcm: Pcm, snr_db: float, seed: int) -> Pcm:
    rms = FULL_SCALE * 10 ** ((level_dbov(tone_pcm("5", 100)) - snr_db) / 20)
    noisy = pcm + np.random.default_rng(seed).normal(0, rms, pcm.size)
    return np.clip(np.round(noisy), -32768, 32767).astype(np.int16)


@given(
    key=st.sampled_from(KEYS),
    offset=st.integers(0, FRAME_SAMPLES - 1),
    on_ms=st.floats(40, 120),
    pause_ms=st.floats(40, 120),
    twist_db=st.floats(-8, 4),
    frequency_error=st.floats(-0.015, 0.015),
    level_dbov_each=st.floats(-31, -7),
)
def test_every_press_that_must_be_accepted_is_heard_once(
    key: str,
    offset: int,
    on_ms: float,
    pause_ms: float,
    twist_db: float,
    frequency_error: float,
    level_dbov_each: float,
) -> None:
    tone = tone_pcm(
        key,
        on_ms,
        level_dbov=level_dbov_each,
        twist_db=twist_db,
        frequency_error=frequency_error,
    )
    pcm = np.concatenate([np.zeros(offset, np.int16), tone, silence(pause_ms), tone, silence(60)])
    assert heard(pcm) == key * 2


@given(st.text(KEYS, min_size=1, max_size=12), st.integers(1, 2000))
def test_a_row_of_keys_is_heard_in_its_order_however_it_is_cut(keys: str, chunk: int) -> None:
    row = [part for key in keys for part in (tone_pcm(key, 60), silence(50))]
    assert heard(np.concatenate(row), chunk) == keys


def test_a_long_press_is_one_key_and_begins_where_it_begins() -> None:
    start = 1234
    detector = ToneDetector()
    pcm = np.concatenate([np.zeros(start, np.int16), tone_pcm("#", 3000), silence(100)])
    (found,) = detector.push(pcm)
    assert found.key == "#"
    assert abs(found.start_samples - start) <= HOP_SAMPLES


@pytest.mark.parametrize("snr_db", [12, 15, 20])
def test_keys_are_heard_above_noise(snr_db: int) -> None:
    row = [part for key in KEYS for part in (tone_pcm(key, 60), silence(60))]
    assert heard(with_noise(np.concatenate(row), snr_db, seed=snr_db)) == KEYS


def test_a_dropout_of_10_ms_does_not_make_a_press_two() -> None:
    pcm = np.concatenate([tone_pcm("7", 200), silence(60)])
    for start in range(800, 2000, 77):
        broken = pcm.copy()
        broken[start : start + 160] = 0
        assert heard(broken) == "7"


@pytest.mark.parametrize("gain", [0.25, 1.0, 1.9])
def test_speech_is_no_key_at_any_pitch(gain: float) -> None:
    pcm = speech()
    for rate in np.linspace(0.7, 1.4, 15):
        voice = np.interp(np.arange(0, pcm.size - 1, rate), np.arange(pcm.size), pcm) * gain
        assert heard(np.clip(voice, -32768, 32767).astype(np.int16), 16_000) == ""


@pytest.mark.parametrize("deviation", [300, 3000, 9000])
def test_noise_is_no_key(deviation: float) -> None:
    noise = np.random.default_rng(7).normal(0, deviation, 30 * 16_000)
    assert heard(np.clip(noise, -32768, 32767).astype(np.int16), 16_000) == ""


@pytest.mark.parametrize("key", KEYS)
def test_what_must_be_rejected_is_no_key(key: str) -> None:
    assert heard(np.concatenate([tone_pcm(key, 15), silence(100)])) == ""
    for error in (-0.035, 0.035):
        assert heard(np.concatenate([tone_pcm(key, 200, frequency_error=error), silence(60)])) == ""
    for twist_db in (-14, 10):
        assert heard(np.concatenate([tone_pcm(key, 200, twist_db=twist_db), silence(60)])) == ""
    assert heard(np.concatenate([tone_pcm(key, 200, level_dbov=-50), silence(60)])) == ""


def test_one_sine_or_three_are_no_key() -> None:
    for hz in (440.0, 697.0, 1000.0, 1209.0, 1633.0):
        assert heard(sine(hz, 16_000, 0.5)) == ""
    chord = sum(sine(hz, 16_000, 0.5, 6000).astype(int) for hz in (770.0, 1336.0, 1060.0))
    assert heard(np.asarray(chord, np.int16)) == ""
    harmonics = sum(sine(hz, 16_000, 0.5, 6000).astype(int) for hz in (770.0, 1540.0, 1336.0))
    assert heard(np.asarray(harmonics, np.int16)) == ""


def test_a_tone_has_soft_edges_and_the_level_that_was_asked_for() -> None:
    tone = tone_pcm("D", 100, level_dbov=-20.0)
    assert tone.size == 1600
    assert abs(int(tone[0])) < 10
    assert abs(int(tone[-1])) < 10
    assert level_dbov(tone[200:-200]) == pytest.approx(-17.0, abs=0.2)


@pytest.mark.parametrize("key", ["", "E", "12", "flash"])
def test_what_no_telephone_has_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match="expected one of"):
        tone_pcm(key, 100)


def test_no_duration_is_refused() -> None:
    with pytest.raises(ValueError, match="duration"):
        tone_pcm("1", 0)
