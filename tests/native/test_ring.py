"""The frame ring: what is written is read once, in order and whole, or counted as skipped."""

from __future__ import annotations

from collections import deque

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixminus.media.pcm import FLAG_SILENCE, FRAME_SAMPLES
from mixminus.media.ring import FrameRing


def frame(number: int) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    """A frame in which every sample tells its number, so that a torn one shows."""
    return np.full(FRAME_SAMPLES, number & 0x7FFF, np.int16)


@given(
    slots=st.sampled_from([2, 4, 8, 16]),
    steps=st.lists(st.tuples(st.sampled_from("wrc"), st.integers(1, 40)), max_size=40),
)
@settings(max_examples=300)
def test_ring_behaves_as_a_bounded_deque(slots: int, steps: list[tuple[str, int]]) -> None:
    ring, model, written, skipped = FrameRing(slots), deque[int](), 0, 0
    for verb, count in steps:
        for _ in range(count):
            if verb == "w":
                ring.write(frame(written), timestamp=written)
                model.append(written)
                written += 1
            elif verb == "r":
                if len(model) > slots:  # lapped: the reader goes to half a ring behind the writer
                    while len(model) > slots // 2:
                        model.popleft()
                        skipped += 1
                got = ring.read()
                if model:
                    assert got is not None
                    want = model.popleft()
                    assert got.timestamp == want
                    assert (got == want & 0x7FFF).all()
                else:
                    assert got is None
        if verb == "c":
            skipped += ring.clear()
            model.clear()
    counters = ring.counters()
    assert (counters.written, counters.skipped) == (written, skipped)
    assert counters.written == counters.read + counters.skipped + ring.depth_frames


def test_description_travels_with_the_frame() -> None:
    ring = FrameRing()
    ring.write(frame(7), timestamp=123, flags=FLAG_SILENCE, speakers=(5, 4_000_000_000))
    got = ring.read()
    assert got is not None
    assert (got.timestamp, got.is_silence, got.is_concealed) == (123, True, False)
    assert got.active_speakers == (5, 4_000_000_000)


def test_at_most_eight_speakers_are_kept() -> None:
    ring = FrameRing()
    ring.write(frame(0), speakers=tuple(range(20)))
    got = ring.read()
    assert got is not None
    assert got.active_speakers == tuple(range(8))


@pytest.mark.parametrize("slots", [0, 1, 3, 17, 8192])
def test_slots_are_a_power_of_two(slots: int) -> None:
    with pytest.raises(ValueError, match=f"expected a power of two from 2 to 4096, got {slots}"):
        FrameRing(slots)


def test_wrong_length_is_named() -> None:
    with pytest.raises(ValueError, match="expected one frame of 640 bytes, got 638"):
        FrameRing().write(b"\0" * 638)
