"""The receiver's parts, each beside a model of a few lines: delay, drift, stretch, redundancy."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.native.clib import library

MS = 1_000_000
Pcm = NDArray[np.int16]


@pytest.fixture(scope="module")
def parts() -> ctypes.CDLL:
    lib = library("delay.c", "drift.c", "stretch.c", "redundancy.c", "pace.c")
    lib.mm_delay_needed.restype = ctypes.c_int64
    lib.mm_delay_needed.argtypes = [ctypes.c_void_p, *[ctypes.c_int64] * 3]
    lib.mm_delay_put.argtypes = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64]
    lib.mm_drift_put.argtypes = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64]
    lib.mm_drift_ppb.argtypes = [ctypes.c_void_p]
    lib.mm_stretch_period.restype = ctypes.c_size_t
    lib.mm_stretch_period.argtypes = [
        ctypes.c_void_p,
        ctypes.c_size_t,
        ctypes.c_size_t,
        ctypes.c_int,
    ]
    for name in ("mm_stretch_shorten", "mm_stretch_lengthen"):
        getattr(lib, name).argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t]
        getattr(lib, name).restype = None
    lib.mm_redundancy_in.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t]
    return lib


# ---- delay


def needed_model(puts: list[tuple[int, int]], start_ms: int) -> int:
    """The second largest of 20 ms slots of the last 5 s and 2 ms; at first start_ms at least."""
    slots: list[list[int]] = []  # begin, largest, least
    for offset, arrival in puts:
        slots = [slot for slot in slots if arrival - slot[0] <= 5000 * MS]
        if not slots or arrival - slots[-1][0] >= 20 * MS:
            slots.append([arrival, offset, offset])
        slots[-1][1:] = [max(slots[-1][1], offset), min(slots[-1][2], offset)]
    largest = sorted((slot[1] for slot in slots), reverse=True)
    least = min(slot[2] for slot in slots)
    over = largest[min(1, len(largest) - 1)] - least + 2 * MS
    if slots[-1][0] - puts[0][1] < 2000 * MS:
        over = max(over, start_ms * MS)
    return least + min(over, 480 * MS)


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(
    st.integers(0, 2**32),
    st.integers(1, 600),
    st.sampled_from([5, 20, 60, 400, 3000]),
    st.sampled_from([0, 40]),
)
def test_delay_is_what_the_model_says(seed: int, count: int, step_ms: int, start_ms: int) -> None:
    lib = library("delay.c", "drift.c", "stretch.c", "redundancy.c", "pace.c")
    state = ctypes.create_string_buffer(8192)
    rng = np.random.default_rng(seed)
    arrivals = np.cumsum(rng.integers(0, 2 * step_ms * MS, count))
    offsets = rng.integers(0, 50, count) * MS + (rng.random(count) < 0.02) * 300 * MS
    puts = [(int(o), int(a)) for o, a in zip(offsets, arrivals, strict=True)]
    for n, (offset, arrival) in enumerate(puts):
        lib.mm_delay_put(state, ctypes.c_int64(offset), ctypes.c_int64(arrival))
        if n % 37 == 0 or n == count - 1:
            said = lib.mm_delay_needed(state, *map(ctypes.c_int64, (start_ms * MS, 0, 480 * MS)))
            assert said == needed_model(puts[: n + 1], start_ms)


def test_one_spike_in_five_seconds_moves_nothing_and_two_do(parts: ctypes.CDLL) -> None:
    state = ctypes.create_string_buffer(8192)
    for n in range(500):
        parts.mm_delay_put(state, 200 * MS if n == 400 else 0, n * 20 * MS)
    assert parts.mm_delay_needed(state, 40 * MS, 0, 480 * MS) == 2 * MS
    parts.mm_delay_put(state, 200 * MS, 500 * 20 * MS)
    assert parts.mm_delay_needed(state, 40 * MS, 0, 480 * MS) == 202 * MS


# ---- drift


@pytest.mark.parametrize("ppm", [-200, -50, 0, 50, 200])
@pytest.mark.parametrize(("jitter_ms", "within_ppm"), [(0, 0.1), (5, 20)])
def test_drift_is_found(parts: ctypes.CDLL, ppm: int, jitter_ms: float, within_ppm: float) -> None:
    state = ctypes.create_string_buffer(4096)
    rng = np.random.default_rng(1)
    for n in range(50 * 70):
        media_ns = n * 20 * MS
        arrival = round(media_ns / (1 + ppm * 1e-6)) + int(rng.exponential(jitter_ms or 1e-9) * MS)
        parts.mm_drift_put(state, arrival - media_ns, arrival)
    assert abs(parts.mm_drift_ppb(state) / 1000 - ppm) <= within_ppm


def test_a_step_of_the_path_is_not_drift(parts: ctypes.CDLL) -> None:
    state = ctypes.create_string_buffer(4096)
    for n in range(50 * 60):
        offset = 100 * MS if 1600 < n < 1800 else 0
        parts.mm_drift_put(state, offset, n * 20 * MS + offset)
    assert parts.mm_drift_ppb(state) == 0


# ---- stretch


def voiced(pitch_hz: float, samples: int) -> Pcm:
    t = np.arange(samples) / 16000
    tone = sum(np.sin(2 * np.pi * pitch_hz * k * t + k * k) / k for k in range(1, 12))
    return (np.asarray(tone) * 6000).astype(np.int16)


def period_of(lib: ctypes.CDLL, pcm: Pcm, most: int = 240, likeness: int = 900) -> int:
    return int(lib.mm_stretch_period(pcm.ctypes.data, len(pcm), most, likeness))


def shorten_model(pcm: Pcm, period: int) -> Pcm:
    i, x = np.arange(period), pcm.astype(np.int64)
    mixed = x[:period] * (period - i) + x[period : 2 * period] * i
    # C divides towards zero.
    faded = np.sign(mixed) * (np.abs(mixed) // period)
    return np.concatenate([faded, x[2 * period :]]).astype(np.int16)


def lengthen_model(pcm: Pcm, period: int) -> Pcm:
    i, x = np.arange(period), pcm.astype(np.int64)
    mixed = x[period : 2 * period] * (period - i) + x[:period] * i
    faded = np.sign(mixed) * (np.abs(mixed) // period)
    return np.concatenate([x[:period], faded, x[period:]]).astype(np.int16)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32), st.integers(80, 700), st.integers(40, 240))
def test_both_are_what_the_models_say(seed: int, samples: int, period: int) -> None:
    lib = library("delay.c", "drift.c", "stretch.c", "redundancy.c", "pace.c")
    period = min(period, samples // 2)
    pcm = np.random.default_rng(seed).integers(-32768, 32768, samples).astype(np.int16)
    models: list[tuple[str, Callable[[Pcm, int], Pcm]]] = [
        ("mm_stretch_shorten", shorten_model), ("mm_stretch_lengthen", lengthen_model),
    ]  # fmt: skip
    for name, model in models:
        room = np.concatenate([pcm, np.zeros(period, np.int16)])
        getattr(lib, name)(
            ctypes.c_void_p(room.ctypes.data), ctypes.c_size_t(samples), ctypes.c_size_t(period)
        )
        want = model(pcm, period)
        assert (room[: len(want)] == want).all()


@pytest.mark.parametrize("pitch_hz", [80, 100, 125, 200, 310, 390])
def test_a_voice_is_cut_at_its_pitch(parts: ctypes.CDLL, pitch_hz: float) -> None:
    pcm = voiced(pitch_hz, 640)
    period = period_of(parts, pcm)
    pitch = 16000 / pitch_hz
    assert min(abs(period - k * pitch) for k in range(1, 7)) <= 1
    cut, more = shorten_model(pcm, period), lengthen_model(pcm, period)
    # No step at the seams that the voice itself does not have.
    most = np.abs(np.diff(pcm.astype(int))).max()
    assert np.abs(np.diff(cut.astype(int))).max() <= 1.1 * most
    assert np.abs(np.diff(more.astype(int))).max() <= 1.1 * most
    # And it goes on as the same voice: compared with the voice itself, moved by whole periods.
    error = cut[period:].astype(float) - pcm[2 * period :]
    assert not error.any()
    seam = cut[:period].astype(float) - pcm[:period]
    assert np.sqrt(np.mean(seam**2)) < 0.1 * pcm.astype(float).std()


def test_noise_is_left_alone_unless_it_is_quiet_or_all_else_failed(parts: ctypes.CDLL) -> None:
    noise = np.random.default_rng(1).normal(0, 3000, 640).astype(np.int16)
    assert period_of(parts, noise) == 0
    assert 40 <= period_of(parts, noise, likeness=0) <= 240
    assert 40 <= period_of(parts, (noise // 60).astype(np.int16)) <= 240
    assert period_of(parts, np.zeros(320, np.int16)) >= 40


@pytest.mark.parametrize("most", [0, 39, 40, 80, 239, 240, 1000])
def test_a_period_is_never_more_than_asked(parts: ctypes.CDLL, most: int) -> None:
    for samples in (0, 79, 80, 320, 640):
        period = period_of(parts, voiced(150, 700)[:samples].copy(), most, 0)
        assert period == 0 or 40 <= period <= min(most, 240, samples // 2)


# ---- redundancy


def test_redundancy_is_read_from_the_first_bits() -> None:
    lib = library("redundancy.c")
    cases = {
        (0b00001000, 0b01000000): 1,  # SILK narrowband 20 ms, mono
        (0b00001000, 0b10000000): 0,  # its voice flag alone
        (0b01000000, 0b01000000): 1,  # wideband 10 ms
        (0b01010000, 0b00100000): 1,  # wideband 40 ms: two voice flags before it
        (0b01011000, 0b00010000): 1,  # 60 ms: three
        (0b01101000, 0b01000000): 1,  # hybrid
        (0b10001000, 0b01000000): 0,  # CELT
        (0b00001001, 0b01000000): 0,  # two frames
    }
    for head, want in cases.items():
        payload = bytes([*head, 0, 0])
        assert lib.mm_redundancy_in(0, payload, ctypes.c_size_t(len(payload))) == want
    assert lib.mm_redundancy_in(0, b"\x08\x40", ctypes.c_size_t(2)) == 0
    assert lib.mm_redundancy_in(1, b"\x08\x40\x00\x00", ctypes.c_size_t(4)) == 0
