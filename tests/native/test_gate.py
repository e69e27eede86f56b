"""The gate of a leg: a model, and what listeners hear of it."""

from __future__ import annotations

import ctypes
from functools import cache

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.native.clib import library
from tests.native.codecs import FRAME, Pcm, pointer, speech

FADE, HANGOVER = 80, 20


@cache
def lib() -> ctypes.CDLL:
    return library("gate.c")


class Gate:
    def __init__(self) -> None:
        self.state = ctypes.c_uint32(0)

    def run(self, pcm: Pcm) -> tuple[bool, Pcm]:
        frame = pcm.copy()
        return bool(lib().mm_gate_frame(ctypes.byref(self.state), pointer(frame))), frame


class Model:
    def __init__(self) -> None:
        self.left = 0

    def run(self, pcm: Pcm) -> tuple[bool, Pcm]:
        x = [int(v) for v in pcm]
        weights = [2 * i + 1 for i in range(FADE)]

        def faded(part: list[int]) -> list[int]:
            pairs = zip(part, weights, strict=True)
            return [abs(v) * w // (2 * FADE) * (1 if v > 0 else -1) for v, w in pairs]

        power = sum(v * v for v in x) * FRAME - sum(x) ** 2
        if power > 10737 * FRAME * FRAME:
            if not self.left:
                x[:FADE] = faded(x[:FADE])
            self.left = HANGOVER
            return True, np.array(x, np.int16)
        if not self.left:
            return False, np.zeros(FRAME, np.int16)
        self.left -= 1
        if not self.left:
            x[-FADE:] = faded(x[: -FADE - 1 : -1])[::-1]
        return True, np.array(x, np.int16)


def noise(dbov: float, seed: int, frames: int = 1) -> Pcm:
    rms = 32_768 * 10 ** (dbov / 20)
    wave = np.random.default_rng(seed).normal(0, rms, frames * FRAME)
    return np.clip(np.round(wave), -32768, 32767).astype(np.int16)


@given(
    st.lists(
        st.tuples(st.sampled_from([-90, -65, -51, -49, -20, 0]), st.integers(1, 25)), max_size=8
    )
)
@settings(max_examples=100, deadline=None)
def test_gate_equals_its_model(stretches: list[tuple[int, int]]) -> None:
    gate, model = Gate(), Model()
    for dbov, frames in stretches:
        for n in range(frames):
            pcm = noise(dbov, n)
            ours, theirs = gate.run(pcm), model.run(pcm)
            assert ours[0] == theirs[0]
            assert np.array_equal(ours[1], theirs[1])


def test_extremes_neither_overflow_nor_stay_shut() -> None:
    assert Gate().run(np.tile([-32768, 32767], 160).astype(np.int16))[0]
    assert not Gate().run(np.full(FRAME, -32768, np.int16))[0]  # an offset alone is no speech


def test_room_noise_adds_exact_zeros() -> None:
    gate = Gate()
    for frame in noise(-65, 1, 50).reshape(-1, FRAME):
        is_open, pcm = gate.run(frame)
        assert not is_open
        assert not pcm.any()


def test_first_loud_frame_is_heard_and_the_gate_stays_open_for_400_ms() -> None:
    gate = Gate()
    is_open, pcm = gate.run(noise(-20, 2))
    assert is_open
    assert np.array_equal(pcm[FADE:], noise(-20, 2)[FADE:])
    opened = [gate.run(noise(-70, n))[0] for n in range(30)]
    assert opened == [True] * HANGOVER + [False] * (30 - HANGOVER)


def test_onsets_of_noise_lose_less_than_1_db_in_their_first_20_ms() -> None:
    worst = 0.0
    for seed in range(1000):
        given_ = noise(-30, seed)
        heard = Gate().run(given_)[1].astype(float)
        worst = min(worst, 10 * np.log10(np.mean(heard**2) / np.mean(given_.astype(float) ** 2)))
    assert worst > -1.4  # of a thousand; the fade takes 0.8 dB of sound that is as loud all along
    mean = [
        np.mean(Gate().run(noise(-30, s))[1].astype(float) ** 2)
        / np.mean(noise(-30, s).astype(float) ** 2)
        for s in range(1000)
    ]
    assert 10 * np.log10(np.mean(mean)) > -1


def test_speech_loses_nothing_but_fades() -> None:
    pcm = speech()
    pcm = pcm[: len(pcm) // FRAME * FRAME]
    gate = Gate()
    out = np.concatenate([gate.run(frame)[1] for frame in pcm.reshape(-1, FRAME)])
    error = (out.astype(float) - pcm) ** 2
    assert error.sum() < 1e-4 * (pcm.astype(float) ** 2).sum()
    assert np.abs(np.diff(out.astype(int))).max() <= np.abs(np.diff(pcm.astype(int))).max()
