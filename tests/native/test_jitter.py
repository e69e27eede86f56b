"""The packet buffer against a model of sets: what is stored, late, double, in which order."""

from __future__ import annotations

import ctypes
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.native.clib import library
from tests.sim.receiver import COUNTERS

STATE_BYTES = 64 * 1472 + 128 * 64 + 4096
KINDS = ("late", "duplicate", "source", "overflow", "buffered", "restarts", "payload")


class Rtp(ctypes.Structure):
    _fields_ = (
        ("payload_type", ctypes.c_uint8), ("marker", ctypes.c_uint8), ("sequence", ctypes.c_uint16),
        ("timestamp", ctypes.c_uint32), ("ssrc", ctypes.c_uint32), ("payload", ctypes.c_char_p),
        ("payload_size", ctypes.c_uint32), ("level_dbov", ctypes.c_int8), ("voice", ctypes.c_uint8),
    )  # fmt: skip


class Note(ctypes.Structure):
    _fields_ = (
        ("clock_hz", ctypes.c_uint32), ("samples", ctypes.c_uint32), ("kind", ctypes.c_uint8),
        ("codec", ctypes.c_uint8), ("silent", ctypes.c_uint8),
    )  # fmt: skip


class Packet(ctypes.Structure):
    _fields_ = (
        ("sequence", ctypes.c_int64), ("media_samples", ctypes.c_int64),
        ("arrival_ns", ctypes.c_int64),
        ("samples", ctypes.c_uint32), ("size", ctypes.c_uint16), ("kind", ctypes.c_uint8),
        ("codec", ctypes.c_uint8), ("stream", ctypes.c_uint8), ("silent", ctypes.c_uint8),
        ("block", ctypes.c_uint8),
    )  # fmt: skip


class Jitter:
    def __init__(self, first: int = 65_500) -> None:
        self.lib = library("jitter.c")
        self.lib.mm_jitter_first.restype = ctypes.c_void_p
        self.lib.mm_jitter_take.restype = Packet
        self.lib.mm_jitter_payload.restype = ctypes.c_void_p
        self.ledger = (ctypes.c_uint64 * len(COUNTERS))()
        self.state = ctypes.create_string_buffer(STATE_BYTES)
        self.lib.mm_jitter_init(self.state, self.ledger)
        self.first = first

    def put(
        self, n: int, ssrc: int = 1, timestamp: int | None = None, clock_hz: int = 8000
    ) -> bool:
        """Put packet *n* of a stream of 20 ms packets, on time."""
        payload = n.to_bytes(8, "little", signed=True)
        units = clock_hz // 50
        at = (n * units if timestamp is None else timestamp) & 0xFFFFFFFF
        rtp = Rtp(0, 0, (self.first + n) & 0xFFFF, at, ssrc, payload, len(payload), 1, 0)
        note = Note(clock_hz, 320, 0, 1, 0)
        offset = ctypes.c_int64()
        arrival = ctypes.c_int64((n + 1000) * 20_000_000)
        return bool(
            self.lib.mm_jitter_put(
                self.state, ctypes.byref(rtp), ctypes.byref(note), arrival, ctypes.byref(offset)
            )
        )

    def take(self) -> tuple[int, Packet] | None:
        if not self.lib.mm_jitter_first(self.state):
            return None
        packet = self.lib.mm_jitter_take(self.state)
        at = self.lib.mm_jitter_payload(self.state, ctypes.byref(packet))
        content = int.from_bytes(ctypes.string_at(at, packet.size), "little", signed=True)
        self.lib.mm_jitter_release(self.state, ctypes.byref(packet))
        return content, packet

    def count(self, name: str) -> int:
        return int(self.ledger[COUNTERS.index(name)])


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.integers(10, 400), st.integers(0, 65_535))
def test_order_duplicates_and_late_ones_are_those_of_the_model(
    seed: int, moves: int, first: int
) -> None:
    rng = random.Random(seed)
    j = Jitter(first)
    j.put(0)
    waiting, seen, following = {0}, {0}, -16
    late = duplicate = top = 0
    for _ in range(moves):
        if rng.random() < 0.6:
            n = top + rng.choice([1, 1, 1, 1, 2, 3, 0, -1, -2, -5, -15])
            new = j.put(n)
            if n < following:
                again = n in seen and following - 1 - n < 64
                late, duplicate = late + (not again), duplicate + again
                assert new == (not again)
            elif n in waiting:
                duplicate += 1
                assert not new
            else:
                assert new
                waiting.add(n)
            seen.add(n)
            top = max(top, n)
        else:
            taken = j.take()
            if not waiting:
                assert taken is None
                continue
            assert taken is not None
            want = min(waiting)
            assert taken[0] == want
            assert taken[1].media_samples == want * 320
            waiting.remove(want)
            following = want + 1
        if len(waiting) > 60:
            break
        assert j.count("buffered") == len(waiting)
    assert (j.count("late"), j.count("duplicate")) == (late, duplicate)
    assert j.count("overflow") == j.count("restarts") == j.count("source") == 0


def test_more_than_there_is_room_for_drops_the_oldest() -> None:
    j = Jitter()
    for n in range(200):
        j.put(n)
    assert j.count("overflow") == 200 - 64
    assert j.count("buffered") == 64
    assert [j.take()[0] for _ in range(64)] == list(range(136, 200))  # type: ignore[index]


def test_a_long_loss_is_no_restart_and_a_longer_one_needs_two_packets() -> None:
    j = Jitter()
    j.put(0)
    j.put(2500)
    assert j.count("source") == 0
    assert j.take()[0] == 2500  # type: ignore[index]
    j.put(9000)
    assert j.take() is None
    j.put(9001)
    assert j.take()[0] == 9000  # type: ignore[index]
    assert j.count("restarts") == 1


def test_a_new_source_follows_on_the_same_timeline() -> None:
    j = Jitter()
    for n in range(10):
        j.put(n)
    for n in range(10, 20):
        j.put(n, ssrc=2, timestamp=(n * 160 + 123_456_789) % 2**32)
    taken = [j.take() for _ in range(20)]
    assert [t[1].media_samples for t in taken if t] == [n * 320 for n in range(20)]
    assert len({t[1].stream for t in taken if t}) == 2
    assert j.count("source") == 0


def test_clocks_of_48_and_8_khz_and_timestamps_that_wrap() -> None:
    j = Jitter()
    for n in range(30):
        j.put(n, timestamp=2**32 - 5 * 960 + n * 960, clock_hz=48_000)
    for n in range(30, 60):
        j.put(n, timestamp=77 + n * 160)
    taken = [j.take() for _ in range(60)]
    assert [t[1].media_samples for t in taken if t] == [n * 320 for n in range(60)]


def test_a_stranger_between_two_packets_is_never_followed() -> None:
    j = Jitter()
    for n in range(50):
        j.put(n)
        j.put(n, ssrc=5)
    assert j.count("source") + j.count("buffered") - 50 == 50
    assert [j.take()[0] for _ in range(50)] == list(range(50))  # type: ignore[index]
