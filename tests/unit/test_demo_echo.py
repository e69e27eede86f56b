"""The echo's proof: it holds for an echo, and for nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from mixminus.control.demo.echo import EchoReport, compare
from mixminus.media.pcm import SAMPLE_RATE_HZ, Pcm


def speech_like(seconds: float, seed: int = 1) -> Pcm:
    """Noise bursts with a pitch and pauses: active and silent stretches, no repetition."""
    rng = np.random.default_rng(seed)
    n = int(seconds * SAMPLE_RATE_HZ)
    t = np.arange(n) / SAMPLE_RATE_HZ
    envelope = np.clip(np.sin(2 * np.pi * 0.9 * t) + 0.6, 0, 1)
    voice = rng.standard_normal(n) * 0.5 + np.sin(2 * np.pi * (140 + 20 * np.sin(t)) * t)
    return (voice * envelope * 6000).astype(np.int16)


def echo_of(pcm: Pcm, delay_ms: float, gain: float = -0.5) -> Pcm:
    shift = int(delay_ms * SAMPLE_RATE_HZ / 1000)
    late = np.concatenate([np.zeros(shift), pcm[: pcm.size - shift] * gain])
    return late.astype(np.int16)


@pytest.fixture(scope="module")
def played() -> Pcm:
    return speech_like(12)


def failures(report: EchoReport) -> str:
    return "; ".join(report.failures)


@pytest.mark.parametrize("delay_ms", [0, 40, 187.5, 299])
def test_an_echo_is_proven_with_its_delay(played: Pcm, delay_ms: float) -> None:
    report = compare(played, echo_of(played, delay_ms))
    assert report.failures == ()
    assert report.round_trip_p50_ms == pytest.approx(delay_ms, abs=0.1)
    assert report.gain == pytest.approx(-0.5, abs=0.01)
    assert report.median_correlation < -0.99


def test_the_input_itself_is_not_an_echo(played: Pcm) -> None:
    assert "correlation" in failures(compare(played, echo_of(played, 100, gain=0.5)))


def test_silence_is_not_an_echo(played: Pcm) -> None:
    report = compare(played, np.zeros_like(played))
    assert report.failures == ("no echo",)
    assert compare(played, np.zeros(0, np.int16)).failures == ("no echo",)


def test_other_speech_is_not_an_echo(played: Pcm) -> None:
    assert "correlation" in failures(compare(played, speech_like(12, seed=2)))


def test_a_wrong_gain_is_told(played: Pcm) -> None:
    assert "gain" in failures(compare(played, echo_of(played, 100, gain=-0.4)))


def test_too_long_a_way_is_an_echo_that_missed_its_goal(played: Pcm) -> None:
    report = compare(played, echo_of(played, 400))
    assert report.failures == ()
    assert report.missed == ("round trip 400 ms, goal 300 ms",)


def test_an_echo_that_is_mostly_not_there_is_none(played: Pcm) -> None:
    heard = echo_of(played, 100)
    heard[heard.size // 3 :] = 0
    assert "of the active windows came back" in failures(compare(played, heard))


@pytest.mark.parametrize(("hole_ms", "told"), [(15, False), (40, True), (100, True)])
def test_a_hole_is_told(played: Pcm, hole_ms: int, told: bool) -> None:
    heard = echo_of(played, 100)
    loud = int(4.70 * SAMPLE_RATE_HZ)  # inside a burst
    heard[loud : loud + hole_ms * SAMPLE_RATE_HZ // 1000] = 0
    report = compare(played, heard)
    assert report.failures == ()
    assert bool(report.missed) is told
    if told:
        assert report.longest_hole_ms == pytest.approx(hole_ms, abs=5)


def test_a_hole_in_the_first_second_is_settling(played: Pcm) -> None:
    heard = echo_of(played, 100)
    heard[: int(0.6 * SAMPLE_RATE_HZ)] = 0
    report = compare(played, heard)
    assert (report.failures, report.missed) == ((), ())


def test_delay_that_grows_is_followed(played: Pcm) -> None:
    long = np.concatenate([played, speech_like(12, seed=3)])
    first, second = echo_of(long, 100), echo_of(long, 180)
    half = long.size // 2
    report = compare(long, np.concatenate([first[:half], second[half:]]).astype(np.int16))
    delays = {round(w.delay_ms) for w in report.windows}
    assert {100, 180} <= delays
    assert report.round_trip_max_ms == pytest.approx(180, abs=1)


def test_silent_input_proves_nothing() -> None:
    silent = np.zeros(5 * SAMPLE_RATE_HZ, np.int16)
    assert compare(silent, silent).failures == ("the input has no active 200 ms",)
