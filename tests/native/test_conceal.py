"""Pitch-repeat concealment: bit for bit a model that remembers everything, and its sound."""

from __future__ import annotations

import ctypes
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.native.clib import library
from tests.native.codecs import FRAME, Pcm, memory, pointer, speech

HISTORY, SILENT = 1040, 960


@cache
def lib() -> ctypes.CDLL:
    return library("conceal.c")


class Concealer:
    def __init__(self) -> None:
        self.state = memory(2 * 2 * HISTORY + 64)

    def heard(self, pcm: Pcm) -> Pcm:
        out = pcm.copy()
        lib().mm_concealer_heard(pointer(self.state), pointer(out), ctypes.c_size_t(len(out)))
        return out

    def lost(self, samples: int = FRAME) -> Pcm:
        out = np.full(samples, 77, np.int16)
        lib().mm_concealer_lost(pointer(self.state), pointer(out), ctypes.c_size_t(samples))
        return out


def over(value: int, by: int) -> int:
    """As C divides."""
    return abs(value) // by * (1 if value >= 0 else -1)


class Model:
    def __init__(self) -> None:
        self.past = [0] * HISTORY  # up to the loss
        self.made: list[int] = []
        self.pitch = self.jump = 0

    def find_pitch(self) -> int:
        line = self.past[-HISTORY:]
        shift = 0
        while max(abs(x) for x in line) >> shift > 2047:
            shift += 1
        line = [x >> shift for x in line]

        def likeness(lag: int, stride: int) -> float:
            now, before = line[-320::stride], line[-320 - lag : -lag : stride]
            product = sum(a * b for a, b in zip(now, before, strict=True))
            return product * product / sum(b * b for b in before) if product > 0 else 0.0

        near = max(range(40, 241, 2), key=lambda lag: likeness(lag, 2))
        return max(
            range(max(near - 1, 40), min(near + 1, 240) + 1), key=lambda lag: likeness(lag, 1)
        )

    def repeated(self, periods: int, t: int) -> int:
        length, blended = periods * self.pitch, self.pitch // 4
        at = t % length
        value = self.past[len(self.past) - length + at]
        into = at - length + blended + 1
        if into <= 0:
            return value
        before = self.past[len(self.past) - 2 * length + at]
        return value + over((before - value) * into, blended + 1)

    def sample(self, t: int) -> int:
        if t >= SILENT:
            return 0
        periods = min(t // 160, 2) + 1
        value = self.repeated(periods, t)
        since = t - (periods - 1) * 160
        if periods > 1 and since < self.pitch // 4:
            old = self.repeated(periods - 1, t)
            value = old + over((value - old) * (since + 1), self.pitch // 4 + 1)
        if t < 40:
            value += over(self.jump * (40 - t), 40)
        if t >= 160:
            value = over(value * (SILENT - t), SILENT - 160)
        return max(-32768, min(32767, value))

    def lost(self, samples: int = FRAME) -> Pcm:
        if not self.made:
            self.pitch = self.find_pitch()
            self.jump = self.past[-1] - self.past[-1 - self.pitch]
        more = [self.sample(len(self.made) + i) for i in range(samples)]
        self.made += more
        return np.array(more, np.int16)

    def heard(self, pcm: Pcm) -> Pcm:
        x = [int(v) for v in pcm]
        if self.made:
            lost = min(len(self.made), SILENT)
            slow = (lost - 160) // 160 * 64 if lost > 160 else 0
            fade = min(self.pitch // 4 + slow, 160, len(x))
            for i in range(fade):
                old = self.sample(lost + i)
                x[i] = old + over((x[i] - old) * (i + 1), fade + 1)
            self.past += self.made[-lost:]
            self.made = []
        self.past += x
        return np.array(x, np.int16)


@given(
    runs=st.lists(
        st.tuples(st.booleans(), st.sampled_from([40, 160, 320, 960, 1920])), max_size=10
    ),
    hz=st.floats(60, 3000),
    amplitude=st.sampled_from([0, 3, 900, 32_767, 200_000]),
    seed=st.integers(0, 2**32 - 1),
)
def test_concealer_equals_its_model(
    runs: list[tuple[bool, int]], hz: float, amplitude: int, seed: int
) -> None:
    ours, model, rng, at = Concealer(), Model(), np.random.default_rng(seed), 0
    for lost, samples in runs:
        time = (at + np.arange(samples)) / 16_000
        wave = amplitude * np.sin(2 * np.pi * hz * time) + rng.normal(0, amplitude / 20, samples)
        at += samples
        if lost:
            assert np.array_equal(ours.lost(samples), model.lost(samples))
        else:
            pcm = np.clip(wave, -32768, 32767).astype(np.int16)
            assert np.array_equal(ours.heard(pcm), model.heard(pcm))


def buzz(hz: float, samples: int) -> Pcm:
    """A voice-like wave: many harmonics, one period after the other."""
    time = np.arange(samples) / 16_000
    wave = sum(np.cos(2 * np.pi * hz * n * time + n * n) / n for n in range(1, 12))
    return np.round(6000 * np.asarray(wave)).astype(np.int16)


@pytest.mark.parametrize("hz", [80, 110, 160, 220, 320])
def test_a_voice_goes_on_in_its_pitch(hz: float) -> None:
    pcm = buzz(hz, 16_000)
    concealer = Concealer()
    concealer.heard(pcm[:8000])
    made = concealer.lost(160).astype(float)  # 10 ms at full strength
    want = pcm[8000:8160].astype(float)
    assert np.mean((made - want) ** 2) < 0.03 * np.mean(want**2)


def test_a_loss_fades_to_silence_in_60_ms_and_stays_there() -> None:
    concealer = Concealer()
    concealer.heard(buzz(110, 8000))
    made = concealer.lost(3200).astype(float)
    power = np.square(made[: 6 * 160]).reshape(6, 160).mean(axis=1)
    assert (np.diff(power[1:]) < 0).all()
    assert not made[960:].any()


@pytest.mark.parametrize("lost", [160, 320, 640, 960, 4800])
def test_neither_edge_of_a_loss_clicks(lost: int) -> None:
    pcm = buzz(110, 32_000)
    steepest = np.abs(np.diff(pcm.astype(int))).max()
    for start in range(8000, 9000, 37):
        concealer = Concealer()
        before = concealer.heard(pcm[:start])
        made = concealer.lost(lost)
        after = concealer.heard(pcm[start + lost : start + lost + FRAME])
        whole = np.concatenate([before[-10:], made, after]).astype(int)
        assert np.abs(np.diff(whole)).max() <= 1.3 * steepest


def test_with_nothing_lost_nothing_changes() -> None:
    pcm, concealer = speech(), Concealer()
    for at in range(0, len(pcm) - FRAME, FRAME):
        frame = pcm[at : at + FRAME]
        assert np.array_equal(concealer.heard(frame), frame)


def test_a_fresh_one_makes_silence() -> None:
    assert not Concealer().lost(960).any()
