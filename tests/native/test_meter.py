"""The meter of a leg: its level against a numpy model, its window and its rest against another."""

from __future__ import annotations

import ctypes
from collections import deque
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixminus.media.pcm import level_dbov
from tests.native.clib import library
from tests.native.codecs import FRAME, Pcm, pointer

SILENT, WINDOW, WATCHED = -127, 8, 100


class MeterState(ctypes.Structure):
    _fields_ = (
        ("watched_ticks", ctypes.c_uint32),
        ("inbound", ctypes.c_uint64),
        ("outbound", ctypes.c_uint64),
    )


@cache
def lib() -> ctypes.CDLL:
    meter = library("meter.c")
    meter.mm_level_dbov.restype = ctypes.c_int8
    meter.mm_meter_note.argtypes = [ctypes.c_void_p, ctypes.c_int8]
    return meter


class Meter:
    def __init__(self) -> None:
        self.state = MeterState()

    def read(self) -> tuple[int, int]:
        says, hears = ctypes.c_int8(), ctypes.c_int8()
        lib().mm_meter_read(ctypes.byref(self.state), ctypes.byref(says), ctypes.byref(hears))
        return says.value, hears.value

    def tick(self, says: int, hears: int) -> None:
        """What a bridge does in a tick."""
        if self.state.watched_ticks == 0:
            return
        address = ctypes.addressof(self.state)
        lib().mm_meter_note(address + MeterState.inbound.offset, says)
        lib().mm_meter_note(address + MeterState.outbound.offset, hears)
        lib().mm_meter_age(ctypes.byref(self.state))


class Model:
    def __init__(self) -> None:
        self.left = 0
        self.says: deque[int] = deque(maxlen=WINDOW)
        self.hears: deque[int] = deque(maxlen=WINDOW)

    def read(self) -> tuple[int, int]:
        self.left = WATCHED
        return max(self.says, default=SILENT), max(self.hears, default=SILENT)

    def tick(self, says: int, hears: int) -> None:
        if self.left == 0:
            return
        self.says.append(says)
        self.hears.append(hears)
        self.left -= 1
        if self.left == 0:
            self.says.clear()
            self.hears.clear()


def level(pcm: Pcm) -> int:
    return int(lib().mm_level_dbov(pointer(pcm)))


def model_level(pcm: Pcm) -> int:
    return max(SILENT, round(level_dbov(pcm)))


EXTREMES = (
    np.zeros(FRAME, np.int16),
    np.full(FRAME, -32_768, np.int16),
    np.full(FRAME, 32_767, np.int16),
    np.eye(1, FRAME, 7, dtype=np.int16)[0],
    np.tile(np.array([32_767, -32_768], np.int16), FRAME // 2),
)


@pytest.mark.parametrize("pcm", EXTREMES, ids=("silence", "least", "most", "one", "square"))
def test_the_level_of_extremes_is_numpys(pcm: Pcm) -> None:
    assert level(pcm) == model_level(pcm)


def test_the_level_is_numpys_at_all_loudnesses() -> None:
    noise = np.random.default_rng(1).normal(0, 1, (600, FRAME))
    frames = np.clip(noise * np.geomspace(0.2, 32_768, 600)[:, None], -32_768, 32_767)
    for pcm in frames.astype(np.int16):
        # Ours is a float's logarithm: the same, but for what lies between two whole numbers.
        exact = level_dbov(pcm)
        assert abs(level(pcm) - max(exact, SILENT)) <= 0.5 + 1e-4


LEVELS = st.integers(SILENT, 0)


@given(
    st.lists(
        st.one_of(st.just("read"), st.tuples(LEVELS, LEVELS), st.integers(1, 2 * WATCHED)),
        max_size=60,
    )
)
def test_the_window_is_the_models(steps: list[str | tuple[int, int] | int]) -> None:
    meter, model = Meter(), Model()
    for step in steps:
        if isinstance(step, str):
            assert meter.read() == model.read()
        elif isinstance(step, int):
            for n in range(step):
                meter.tick(-n % 128 - 127, -20)
                model.tick(-n % 128 - 127, -20)
        else:
            meter.tick(*step)
            model.tick(*step)
    assert meter.read() == model.read()


def test_a_meter_that_nobody_reads_rests_and_then_forgets() -> None:
    meter = Meter()
    meter.tick(-3, -3)
    assert meter.read() == (SILENT, SILENT)
    for _ in range(WATCHED - 1):
        meter.tick(-10, -20)
    assert meter.state.watched_ticks == 1
    meter.tick(-10, -20)
    assert meter.state.watched_ticks == 0
    assert meter.read() == (SILENT, SILENT)


def test_readers_take_nothing_from_each_other() -> None:
    meter = Meter()
    meter.read()
    meter.tick(-10, -40)
    assert meter.read() == meter.read() == (-10, -40)
    for _ in range(WINDOW - 1):
        meter.tick(-60, SILENT)
    assert meter.read() == (-10, -40)
    meter.tick(-60, SILENT)
    assert meter.read() == (-60, SILENT)
