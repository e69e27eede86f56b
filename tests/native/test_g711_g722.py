"""G.711 and G.722 against FFmpeg's, and the half-band filter against a model."""

from __future__ import annotations

import ctypes
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.native.clib import library
from tests.native.codecs import (
    G722,
    PCMA,
    PCMU,
    Pcm,
    ffmpeg_decode,
    ffmpeg_encode,
    memory,
    pointer,
    speech,
)

Bytes = NDArray[np.uint8]
Wide = NDArray[np.int64]

EVERY_CODE = bytes(range(256))
EVERY_SAMPLE = np.arange(-32768, 32768).astype(np.int16)
SIGNALS = ("speech", "noise", "full scale square", "silence", "jumps")


@cache
def lib() -> ctypes.CDLL:
    return library("g711.c", "g722.c", "halfband.c")


def signal(name: str, samples: int = 16_000) -> Pcm:
    rng = np.random.default_rng(5)
    if name == "speech":
        return speech()[: samples * 3]
    if name == "noise":
        return rng.integers(-32768, 32768, samples).astype(np.int16)
    if name == "full scale square":
        return np.where(np.arange(samples) // 37 % 2, 32767, -32768).astype(np.int16)
    if name == "jumps":
        return np.repeat(rng.integers(-32768, 32768, samples // 100), 100).astype(np.int16)
    return np.zeros(samples, np.int16)


# ---- G.711


def call(codec: int, way: str, out: Pcm | Bytes, given_: Pcm | Bytes) -> None:
    function = getattr(lib(), f"mm_{'pcmu' if codec == PCMU else 'pcma'}_{way}")
    function(pointer(out), pointer(given_), ctypes.c_size_t(len(out)))


def expand(codec: int, payload: bytes) -> Wide:
    pcm = np.zeros(len(payload), np.int16)
    call(codec, "decode", pcm, np.frombuffer(payload, np.uint8))
    return pcm.astype(np.int64)


def compress(codec: int, pcm: Pcm | Wide) -> Bytes:
    codes = np.zeros(len(pcm), np.uint8)
    call(codec, "encode", codes, pcm.astype(np.int16))
    return codes


@pytest.mark.parametrize("codec", [PCMU, PCMA])
def test_every_g711_code_decodes_as_ffmpegs(codec: int) -> None:
    ours = expand(codec, EVERY_CODE)
    assert np.array_equal(ours, ffmpeg_decode(codec, EVERY_CODE, 8000))


def decisions(codec: int) -> list[int]:
    """Where G.711's tables 1a and 2a put the borders between positive values, in 16 bits."""
    if codec == PCMU:
        return [4 * (((33 + 2 * i) << segment) - 33) for segment in range(8) for i in range(16)]
    first = [16 * i for i in range(32)]
    return first + [(256 + 16 * i) << segment for segment in range(1, 7) for i in range(16)]


@pytest.mark.parametrize("codec", [PCMU, PCMA])
def test_every_sample_gets_the_code_of_its_interval(codec: int) -> None:
    values = expand(codec, EVERY_CODE)
    borders = np.array(decisions(codec))
    magnitude = EVERY_SAMPLE.astype(np.int64)
    # mu-law's borders lie half a step above what its codes mean; A-law's -1 is the first below 0
    if codec == PCMU:
        borders = np.array([0, *(borders[:-1] + 4 * (2 ** (np.arange(127) // 16)))])
        magnitude = np.abs(magnitude)
    else:
        magnitude = np.where(magnitude < 0, ~magnitude, magnitude)
    interval = np.searchsorted(borders, magnitude, side="right") - 1
    codes = compress(codec, EVERY_SAMPLE)
    heights = np.sort(np.abs(values[values >= 0]) if codec == PCMU else values[values > 0])
    assert np.array_equal(np.abs(values[codes]), np.unique(heights)[interval])
    assert (values[codes][EVERY_SAMPLE > 8] > 0).all()
    assert (values[codes][EVERY_SAMPLE < -8] < 0).all()


@pytest.mark.parametrize("codec", [PCMU, PCMA])
def test_a_g711_code_decodes_to_itself(codec: int) -> None:
    again = compress(codec, expand(codec, EVERY_CODE))
    differs = [code for code in range(256) if again[code] != code]
    assert differs == ([0x7F] if codec == PCMU else [])  # mu-law's negative zero


@pytest.mark.parametrize("codec", [PCMU, PCMA])
def test_ffmpegs_g711_is_never_more_than_a_code_away(codec: int) -> None:
    # It splits the space between two values in half, even where two segments meet.
    values = expand(codec, EVERY_CODE)
    ours = compress(codec, EVERY_SAMPLE)
    theirs = np.frombuffer(ffmpeg_encode(codec, EVERY_SAMPLE, 8000), np.uint8)
    order = np.argsort(values, kind="stable")
    rank = np.empty(256, np.int64)
    rank[order] = np.arange(256)
    assert np.abs(rank[ours] - rank[theirs]).max() <= 2  # two zeros in mu-law
    assert (ours != theirs).mean() < 0.05


# ---- G.722


class OurG722:
    def __init__(self) -> None:
        self.state = memory(256)
        lib().mm_g722_init(pointer(self.state))

    def encode(self, pcm: Pcm) -> bytes:
        out = np.zeros(len(pcm) // 2, np.uint8)
        size = ctypes.c_size_t(len(pcm))
        lib().mm_g722_encode(pointer(self.state), pointer(out), pointer(pcm), size)
        return out.tobytes()

    def decode(self, payload: bytes) -> Pcm:
        source = np.frombuffer(payload, np.uint8)
        out = np.zeros(2 * len(payload), np.int16)
        size = ctypes.c_size_t(len(payload))
        lib().mm_g722_decode(pointer(self.state), pointer(out), pointer(source), size)
        return out


@pytest.mark.parametrize("name", SIGNALS)
def test_g722_encodes_bit_for_bit_as_ffmpeg(name: str) -> None:
    pcm = signal(name)
    assert OurG722().encode(pcm) == ffmpeg_encode(G722, pcm, 16_000)


@pytest.mark.parametrize("name", SIGNALS)
def test_g722_decodes_bit_for_bit_as_ffmpeg(name: str) -> None:
    payload = ffmpeg_encode(G722, signal(name), 16_000)
    assert np.array_equal(OurG722().decode(payload), ffmpeg_decode(G722, payload, 16_000))


@given(st.binary(min_size=1, max_size=700))
@settings(max_examples=200, deadline=None)
def test_any_bytes_decode_as_g722_bit_for_bit_as_ffmpeg(payload: bytes) -> None:
    assert np.array_equal(OurG722().decode(payload), ffmpeg_decode(G722, payload, 16_000))


@given(st.lists(st.integers(-32768, 32767), min_size=2, max_size=700))
@settings(max_examples=200, deadline=None)
def test_any_samples_encode_as_g722_bit_for_bit_as_ffmpeg(samples: list[int]) -> None:
    pcm = np.array(samples[: len(samples) // 2 * 2], np.int16)
    assert OurG722().encode(pcm) == ffmpeg_encode(G722, pcm, 16_000)


def test_g722_in_pieces_is_g722_as_a_whole() -> None:
    pcm, rng = signal("speech"), np.random.default_rng(7)
    cuts = [0, *np.sort(rng.choice(len(pcm) // 2, 40, replace=False)) * 2, len(pcm) // 2 * 2]
    coder = OurG722()
    pieces = b"".join(coder.encode(pcm[a:b]) for a, b in pairwise(cuts))
    assert pieces == OurG722().encode(pcm)


# ---- the half-band filter


def taps() -> Wide:
    """Twice the odd taps of a windowed half-band sinc, Q14, as designed."""
    n = np.arange(47) - 23
    odd = (np.sinc(n / 2) * np.kaiser(47, 5.0))[0::2]
    q14 = np.round(odd / odd.sum() * 16384).astype(np.int64)
    q14[11:13] += (16384 - q14.sum()) // 2
    return np.asarray(q14, np.int64)


def rounded(value: Wide, shift: int) -> Pcm:
    out: Pcm = np.clip((value + (1 << (shift - 1))) >> shift, -32768, 32767).astype(np.int16)
    return out


def upsample_model(pcm: Pcm) -> Pcm:
    out = np.zeros(2 * len(pcm), np.int16)
    wide = pcm.astype(np.int64)
    out[0::2] = rounded(np.convolve(wide, taps())[: len(pcm)], 14)
    out[1::2] = np.concatenate([np.zeros(11, np.int16), pcm])[: len(pcm)]
    return out


def downsample_model(pcm: Pcm) -> Pcm:
    even, odd = pcm[0::2].astype(np.int64), pcm[1::2].astype(np.int64)
    late = np.concatenate([np.zeros(11, np.int64), even])[: len(even)]
    return rounded(np.convolve(odd, taps())[: len(odd)] + late * 16384, 15)


def upsample(pieces: list[Pcm]) -> Pcm:
    state, out = memory(64), []
    for pcm in pieces:
        wide = np.zeros(2 * len(pcm), np.int16)
        lib().mm_upsample(pointer(state), pointer(wide), pointer(pcm), ctypes.c_size_t(len(pcm)))
        out.append(wide)
    return np.concatenate(out)


def downsample(pieces: list[Pcm]) -> Pcm:
    state, out = memory(128), []
    for pcm in pieces:
        size = ctypes.c_size_t(len(pcm) // 2)
        half = np.zeros(len(pcm) // 2, np.int16)
        lib().mm_downsample(pointer(state), pointer(half), pointer(pcm), size)
        out.append(half)
    return np.concatenate(out)


@given(st.lists(st.integers(1, 500), min_size=1, max_size=6), st.integers(0, 2**32 - 1))
@settings(max_examples=100, deadline=None)
def test_half_band_equals_its_model_in_any_pieces(sizes: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    extremes = np.array([-32768, 32767, 0, 1, -1])
    noise = rng.integers(-32768, 32768, sum(sizes))
    low = (rng.choice(extremes, sum(sizes)) if seed % 2 else noise).astype(np.int16)
    cuts = np.cumsum(sizes)[:-1]
    assert np.array_equal(upsample(np.split(low, cuts)), upsample_model(low))
    high = np.repeat(low, 2)[: 2 * sum(sizes)]
    assert np.array_equal(downsample(np.split(high, 2 * cuts)), downsample_model(high))


def response_db(hz: float) -> float:
    full = np.zeros(47)
    full[0::2], full[23] = taps() / 32768, 0.5
    turns = np.exp(-2j * np.pi * hz / 16_000 * np.arange(47))
    return float(20 * np.log10(abs(full @ turns)))


def test_half_band_is_flat_where_telephony_is_and_shut_where_it_folds() -> None:
    assert all(abs(response_db(hz)) < 0.03 for hz in range(0, 3401, 100))
    assert all(response_db(hz) < -50 for hz in range(4600, 8001, 100))
