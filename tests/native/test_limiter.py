"""The limiter: bit for bit a model, and what it is for."""

from __future__ import annotations

import ctypes
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.native.clib import library
from tests.native.codecs import FRAME, Pcm, pointer

Wide = NDArray[np.int32]

UNITY, BLOCK, HOLD, RISE = 1 << 30, 40, 56, 20


class State(ctypes.Structure):
    _fields_ = [
        ("gain_q30", ctypes.c_int32),
        ("rise_q30", ctypes.c_int32),
        ("hold_blocks", ctypes.c_uint32),
        ("limited_samples", ctypes.c_uint64),
    ]


@cache
def lib() -> ctypes.CDLL:
    return library("limiter.c")


class Limiter:
    def __init__(self) -> None:
        self.state = State()
        lib().mm_limiter_init(ctypes.byref(self.state))

    def run(self, wide: Wide, samples: int = FRAME) -> Pcm:
        out = np.zeros(len(wide), np.int16)
        for at in range(0, len(wide), samples):
            source, into = wide[at : at + samples], out[at : at + samples]
            size = ctypes.c_size_t(len(source))
            lib().mm_limit(ctypes.byref(self.state), pointer(into), pointer(source), size)
        return out

    @property
    def idle(self) -> bool:
        return bool(lib().mm_limiter_idle(ctypes.byref(self.state)))


def most_gain(block: list[int]) -> int:
    peak = max(x if x >= 0 else ~x for x in block)
    return UNITY if peak <= 32767 else (32767 << 30) // peak


def toward_zero(value: int, by: int) -> int:
    return abs(value) // by * (1 if value >= 0 else -1)


class Model:
    """One block at a time, in whole numbers of any size."""

    def __init__(self) -> None:
        self.gain, self.rise, self.hold = UNITY, 0, 0

    def next_gain(self, most: int) -> int:
        if most < self.gain:
            self.hold, self.rise = HOLD, -((most - UNITY) // RISE)
            return most
        higher = min(self.gain + self.rise, UNITY) if self.gain < UNITY else UNITY
        if higher > most:
            self.hold = HOLD
            return self.gain
        if self.hold:
            self.hold -= 1
            return self.gain
        return higher

    def run(self, wide: Wide) -> list[int]:
        blocks = [[int(x) for x in wide[at : at + BLOCK]] for at in range(0, len(wide), BLOCK)]
        out: list[int] = []
        for n, block in enumerate(blocks):
            own = most_gain(block)
            following = most_gain(blocks[n + 1]) if n + 1 < len(blocks) else UNITY
            start, end = self.gain, self.next_gain(min(own, following))
            ramp = BLOCK
            if own < start:
                over = [
                    i for i, x in enumerate(block) if (x if x >= 0 else ~x) * start >> 30 > 32767
                ]
                ramp = max(8, min([*over, BLOCK - 1]))
            for i, x in enumerate(block):
                gain = end
                if i < ramp:
                    gain = start + toward_zero((end - start) * (i + 1), ramp)
                scaled = (x * gain + UNITY // 2) >> 30
                out.append(max(-32768, min(32767, scaled)))
            self.gain = end
        return out


@given(
    st.lists(st.tuples(st.integers(0, 31), st.integers(0, 2**32 - 1)), min_size=1, max_size=12),
)
@settings(max_examples=60, deadline=None)
def test_limiter_equals_its_model(frames: list[tuple[int, int]]) -> None:
    limiter, model = Limiter(), Model()
    for bits, seed in frames:
        rng = np.random.default_rng(seed)
        wide = rng.integers(-(2**bits), 2**bits, FRAME).astype(np.int32)
        wide[rng.integers(0, FRAME, 250)] //= 256  # peaks here and there
        assert limiter.run(wide).tolist() == model.run(wide)
        assert limiter.state.gain_q30 == model.gain


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=100, deadline=None)
def test_sums_within_16_bits_pass_bit_for_bit(seed: int) -> None:
    wide = np.random.default_rng(seed).integers(-32768, 32768, 3 * FRAME).astype(np.int32)
    wide[:4] = -32768, 32767, 0, -1
    limiter = Limiter()
    assert np.array_equal(limiter.run(wide), wide.astype(np.int16))
    assert limiter.idle
    assert limiter.state.limited_samples == 0


def tone(hz: float, seconds: float, amplitude: float) -> NDArray[np.float64]:
    return amplitude * np.sin(2 * np.pi * hz * np.arange(round(seconds * 16_000)) / 16_000)


def thd_n(pcm: Pcm, hz: float) -> float:
    """All that is not the tone, over the tone."""
    time = np.arange(len(pcm)) / 16_000
    basis = np.stack([np.sin(2 * np.pi * hz * time), np.cos(2 * np.pi * hz * time)], axis=1)
    signal = pcm.astype(np.float64)
    fit = basis @ np.linalg.lstsq(basis, signal, rcond=None)[0]
    return float(np.sqrt(np.mean((signal - fit) ** 2) / np.mean(fit**2)))


@pytest.mark.parametrize("hz", [50, 100, 199.7, 440, 997, 1000, 3130, 7001])
def test_six_legs_at_minus_3_dbfs_have_at_most_one_percent_of_distortion(hz: float) -> None:
    legs = 6 * np.round(tone(hz, 2, 32_768 * 10 ** (-3 / 20)))
    out = Limiter().run(legs.astype(np.int32))
    assert thd_n(out[3200:], hz) <= 0.01
    assert np.abs(out[3200:].astype(int)).max() > 32_000  # and no quieter than need be


@pytest.mark.parametrize(
    "tones",
    [
        (311, 457, 613, 859, 1201, 1697),
        (200, 300, 400, 500, 600, 700),
        (150, 1700, 2900, 440, 523, 3500),
    ],
)
def test_six_legs_of_six_tones_have_no_more(tones: tuple[float, ...]) -> None:
    legs = sum(np.round(tone(hz, 3, 32_768 * 10 ** (-3 / 20))) for hz in tones)
    out = Limiter().run(np.asarray(legs, np.int32))[3200:].astype(np.float64)
    time = np.arange(len(out)) / 16_000
    basis = np.stack([w(2 * np.pi * hz * time) for hz in tones for w in (np.sin, np.cos)], axis=1)
    fit = basis @ np.linalg.lstsq(basis, out, rcond=None)[0]
    assert np.sqrt(np.mean((out - fit) ** 2) / np.mean(fit**2)) <= 0.01  # clipped: 0.37 and more


@pytest.mark.parametrize("legs", [2, 6, 100, 60_000])
def test_full_gain_is_back_200_ms_after_the_last_peak(legs: int) -> None:
    loud = legs * np.round(tone(440, 1.003125, 23_198))
    quiet = np.round(tone(440, 1, 20_000))
    wide = np.concatenate([loud, quiet]).astype(np.int32)
    wide = wide[: len(wide) // FRAME * FRAME]
    out = Limiter().run(wide)
    after = len(loud) + 3200
    assert np.array_equal(out[after:], wide[after:].astype(np.int16))


def test_nothing_clips_but_in_the_first_half_millisecond_of_a_frame() -> None:
    rng = np.random.default_rng(3)
    for _ in range(200):
        wide = rng.integers(-8000, 8000, 4 * FRAME).astype(np.int32)
        at = int(rng.integers(FRAME, 2 * FRAME))
        wide[at:] *= int(rng.integers(5, 2000))
        out = Limiter().run(wide)
        clipped = np.nonzero((out == 32767) | (out == -32768))[0]
        exact = np.abs(wide) == np.abs(wide).max()
        late = [n for n in clipped if n % FRAME >= 8 and not exact[n]]
        # What is scaled to the last bit of full scale is not clipped.
        peaks = np.abs(wide.reshape(-1, BLOCK)).max(axis=1)
        assert all(np.abs(int(wide[n])) > peaks[n // BLOCK] * 0.99 for n in late)


def test_gain_moves_without_steps() -> None:
    # Constant in, so that out is the gain.
    parts = ((740, 20_000), (960, 90_000), (6300, 20_000))
    wide = np.concatenate([np.full(n, v) for n, v in parts]).astype(np.int32)
    steps = np.diff(Limiter().run(wide).astype(float) / wide)
    assert steps.min() >= -(1 - 0.36) / BLOCK - 1e-3
    assert steps.max() <= (1 - 0.36) / (RISE * BLOCK) + 1e-3


def test_blocks_of_a_frame_may_come_in_one_call_or_in_many_frames() -> None:
    wide = np.round(6 * tone(440, 0.5, 23_198)).astype(np.int32)
    long = Limiter().run(wide, samples=len(wide))
    assert thd_n(long[1600:], 440) <= 0.01
