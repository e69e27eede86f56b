"""Every kernel on every instruction set, bit for bit: against the scalar one and a numpy model."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mixminus.media import _native

Pcm = NDArray[np.int16]
ISAS = ("scalar", "avx2", "avx512")
LENGTHS = [*range(68), 320, 353, 640]
LEGS = (0, 1, 2, 3, 4, 5, 7, 64, 65)


@pytest.fixture(params=ISAS)
def isa(request: pytest.FixtureRequest) -> str:
    name = str(request.param)
    if name not in _native.isas():
        pytest.skip(f"this machine runs up to {_native.isas()[-1]}")
    return name


def model(block: Pcm, masks: NDArray[np.bool_] | None = None) -> Pcm:
    """The definition in numpy: one wide sum, own leg out, one saturation."""
    wide = block.astype(np.int64)
    all_but_self = ~np.eye(len(block), dtype=np.bool_)
    mixed = (all_but_self if masks is None else masks).astype(np.int64) @ wide
    clipped: Pcm = np.clip(mixed, -32768, 32767).astype(np.int16)
    return clipped


def packed(masks: NDArray[np.bool_]) -> NDArray[np.uint64]:
    legs = masks.shape[0]
    words = np.zeros((legs, (legs + 63) // 64), np.uint64)
    for listener, source in zip(*np.nonzero(masks), strict=True):
        words[listener, source // 64] |= np.uint64(1) << np.uint64(source % 64)
    return words


def mix(
    block: Pcm, isa: str, masks: NDArray[np.bool_] | None = None
) -> tuple[Pcm, NDArray[np.uint64]]:
    out = np.full_like(block, 12345)
    energy = np.full(block.shape[0], 99, np.uint64)
    words = None if masks is None else packed(masks)
    legs, samples = block.shape
    _native.mix_minus(out, block, legs, samples, energy, words, isa)
    return out, energy


def blocks(legs: int, samples: int) -> dict[str, Pcm]:
    """Noise at full scale and what saturates, at both ends and across a sign change."""
    rng = np.random.default_rng(legs * 1000 + samples)
    noise = rng.integers(-32768, 32768, (legs, samples)).astype(np.int16)
    low = np.full((legs, samples), -32768, np.int16)
    high = np.full((legs, samples), 32767, np.int16)
    alternating = np.where((np.arange(samples) + np.arange(legs)[:, None]) % 2, low, high)
    quiet = rng.integers(-300, 300, (legs, samples)).astype(np.int16)
    return {"noise": noise, "low": low, "high": high, "alternating": alternating, "quiet": quiet}


@pytest.mark.parametrize("legs", LEGS)
def test_every_length_matches_scalar_and_numpy(isa: str, legs: int) -> None:
    for samples in LENGTHS:
        for name, block in blocks(legs, samples).items():
            out, energy = mix(block, isa)
            where = f"{name}, {legs} legs of {samples}"
            np.testing.assert_array_equal(out, model(block), where)
            np.testing.assert_array_equal(out, mix(block, "scalar")[0], where)
            squares = np.square(block.astype(np.int64)).sum(axis=1)
            np.testing.assert_array_equal(energy, squares, where)


@pytest.mark.parametrize(
    "legs", [1, 2, 3, 65, *(pytest.param(legs, marks=pytest.mark.slow) for legs in (64, 130))]
)
def test_source_masks_choose_who_is_heard(isa: str, legs: int) -> None:
    rng = np.random.default_rng(legs)
    for density in (0.0, 0.1, 0.5, 0.9, 1.0):
        masks = rng.random((legs, legs)) < density
        for samples in (0, 1, 17, 33, 67, 320):
            for name, block in blocks(legs, samples).items():
                out, _ = mix(block, isa, masks)
                np.testing.assert_array_equal(out, model(block, masks), f"{name}, {samples}")


def test_sixteen_bit_subtraction_is_exact_for_every_total(isa: str) -> None:
    """The vector kernels subtract in 16 bits with a remainder: try totals around every bend."""
    bends = [0, 1, 2, 32766, 32767, 32768, 32769, 65533, 65534, 65535, 65536, 65537, 98301, 131072]
    owns = np.array([-32768, -32767, -1, 0, 1, 32766, 32767], np.int16)
    for total in sorted({s * b for b in bends for s in (1, -1)}):
        # The first leg is the listener with its own sample; the others make up the total.
        for own in owns:
            rest = int(total) - int(own)
            others = []
            while rest:
                step = max(-32768, min(32767, rest))
                others.append(step)
                rest -= step
            column = np.array([own, *others, 0], np.int16)
            block = np.repeat(column[:, None], 64, axis=1)
            np.testing.assert_array_equal(mix(block, isa)[0], model(block), f"{total} {own}")


@given(
    legs=st.integers(0, 12),
    samples=st.integers(0, 80),
    seed=st.integers(0, 2**32 - 1),
    scale=st.sampled_from([1, 100, 10_000, 32_768]),
)
@settings(max_examples=200)
def test_any_block_is_mixed_alike_by_all(legs: int, samples: int, seed: int, scale: int) -> None:
    rng = np.random.default_rng(seed)
    block = rng.integers(-scale, scale, (legs, samples)).astype(np.int16)
    want = model(block)
    for isa in _native.isas():
        np.testing.assert_array_equal(mix(block, isa)[0], want)


def test_one_leg_hears_silence(isa: str) -> None:
    block = np.full((1, 320), 1000, np.int16)
    assert not mix(block, isa)[0].any()


def test_a_listener_never_hears_itself(isa: str) -> None:
    block = np.zeros((8, 320), np.int16)
    block[3] = np.random.default_rng(3).integers(-32768, 32768, 320)
    out, _ = mix(block, isa)
    assert not out[3].any()
    np.testing.assert_array_equal(out[0], block[3])


def test_bad_shapes_are_named() -> None:
    block = np.zeros((2, 320), np.int16)
    with pytest.raises(ValueError, match="out: expected 1280 bytes, got 640"):
        _native.mix_minus(np.zeros(320, np.int16), block, 2, 320)
    with pytest.raises(ValueError, match="energy: expected 16 bytes, got 8"):
        _native.mix_minus(np.zeros_like(block), block, 2, 320, np.zeros(1, np.uint64))
    with pytest.raises(ValueError, match="may not overlap"):
        _native.mix_minus(block, block, 2, 320)
    with pytest.raises(ValueError, match="isa: this machine runs up to"):
        _native.mix_minus(np.zeros_like(block), block, 2, 320, isa="mmx")


@pytest.mark.parametrize(
    ("wanted", "chosen"), [("scalar", "scalar"), ("avx512", _native.isas()[-1])]
)
def test_environment_lowers_the_choice_and_never_raises_it(wanted: str, chosen: str) -> None:
    seen = subprocess.run(
        [sys.executable, "-c", "from mixminus.media import _native; print(_native.isa())"],
        env={**os.environ, "MIXMINUS_ISA": wanted},
        capture_output=True,
        text=True,
        check=True,
    )
    assert seen.stdout.strip() == chosen


def test_unknown_isa_in_environment_is_one_clear_error() -> None:
    seen = subprocess.run(
        [sys.executable, "-c", "from mixminus.media import _native"],
        env={**os.environ, "MIXMINUS_ISA": "neon"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert seen.returncode == 1
    assert "MIXMINUS_ISA: expected scalar, avx2 or avx512, got 'neon'" in seen.stderr
