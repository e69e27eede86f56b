"""Loss and jitter of one source: against RFC 3550's appendices A.1, A.3 and A.8 in Python."""

from __future__ import annotations

import ctypes as c
import random
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.native.clib import library
from tests.native.packet_types import Block, Rtcp, Rtp

LIB = library("reception.c", "rtcp.c")
ROOM = 512  # of mm_reception, and more
LIB.mm_reception_put.argtypes = [c.c_void_p, c.POINTER(Rtp), c.c_uint32, c.c_int64]
LIB.mm_reception_report.argtypes = [c.c_void_p, c.c_int64, c.POINTER(Block)]
LIB.mm_reception_sender_report.argtypes = [c.c_void_p, c.POINTER(Rtcp), c.c_int64]
LIB.mm_reception_jitter_ns.argtypes = [c.c_void_p]
LIB.mm_reception_jitter_ns.restype = c.c_int64
LIB.mm_reception_totals.argtypes = [c.c_void_p, *[c.POINTER(c.c_uint64)] * 3]
MS = 1_000_000


class Reception:
    def __init__(self) -> None:
        self.memory = c.create_string_buffer(b"\xee" * ROOM, ROOM)
        LIB.mm_reception_init(self.memory)

    def put(
        self, sequence: int, timestamp: int, now_ns: int, hz: int = 16000, ssrc: int = 1
    ) -> int:
        packet = Rtp(sequence=sequence & 0xFFFF, timestamp=timestamp & 0xFFFFFFFF, ssrc=ssrc)
        return int(LIB.mm_reception_put(self.memory, packet, hz, now_ns))

    def report(self, now_ns: int = 0) -> Block | None:
        block = Block()
        return block if LIB.mm_reception_report(self.memory, now_ns, block) else None

    def totals(self) -> tuple[int, int, int]:
        out = [c.c_uint64() for _ in range(3)]
        LIB.mm_reception_totals(self.memory, *out)
        return out[0].value, out[1].value, out[2].value

    def jitter_ms(self) -> float:
        return float(LIB.mm_reception_jitter_ns(self.memory)) / MS


@dataclass
class Model:
    """The appendices in numbers that never wrap: the caller gives the extended sequence."""

    hz: int
    base: int | None = None
    highest: int = 0
    received: int = 0
    expected_before: int = 0
    received_before: int = 0
    transit: int | None = None
    timestamp: int = -1
    jitter_q4: int = 0

    def put(self, extended: int, timestamp: int, now_ns: int) -> None:
        """A duplicate has the timestamp of the last packet, and tells nothing about jitter."""
        if self.base is None:
            self.base = self.highest = extended
        self.highest = max(self.highest, extended)
        self.received += 1
        if timestamp == self.timestamp:
            return
        self.timestamp = timestamp
        transit = now_ns * self.hz // 10**9 - timestamp
        if self.transit is not None:
            step = abs(transit - self.transit)
            self.jitter_q4 += step - ((self.jitter_q4 + 8) >> 4)
        self.transit = transit

    def report(self) -> tuple[int, int, int, int]:
        assert self.base is not None
        expected = self.highest - self.base + 1
        lost = max(-(2**23), min(2**23 - 1, expected - self.received))
        due, got = expected - self.expected_before, self.received - self.received_before
        self.expected_before, self.received_before = expected, self.received
        fraction = ((due - got) << 8) // due if due and due > got else 0
        highest = self.highest - (self.base - self.base % 65536)
        return fraction, lost, highest & 0xFFFFFFFF, self.jitter_q4 >> 4


@given(
    seed=st.integers(0, 2**32),
    first=st.integers(0, 0xFFFF),
    hz=st.sampled_from([8000, 16000, 48000]),
    loss=st.floats(0, 0.6),
    spread_ms=st.integers(0, 300),
    duplicates=st.floats(0, 0.2),
)
@settings(max_examples=60)
def test_any_network_is_measured_as_the_appendices_do(
    seed: int, first: int, hz: int, loss: float, spread_ms: int, duplicates: float
) -> None:
    rng = random.Random(seed)
    arrivals = []
    for n in range(800):
        for _ in range(1 + (rng.random() < duplicates)):
            if n == 0 or rng.random() >= loss:
                arrivals.append((n * 20 * MS + rng.randrange(spread_ms * MS + 1), n))
    ours, model = Reception(), Model(hz)
    start = 2**32 - 100 * hz // 50  # the timestamp wraps on the way, and so may the sequence
    for count, (now_ns, n) in enumerate(sorted(arrivals)):
        if count == 0 and n:
            first += 65536  # what comes before the first heard is behind it
        timestamp = start + n * hz // 50
        assert ours.put(first + n, timestamp, now_ns, hz)
        model.put(first + n, timestamp, now_ns)
        if count % 97 == 96:
            block = ours.report(now_ns)
            assert block is not None
            want = model.report()
            got = (block.fraction_lost, block.lost, block.highest, block.jitter)
            assert got[:2] == want[:2]
            assert got[2] & 0xFFFF == want[2] & 0xFFFF
            assert got[3] == want[3]
    assert model.base is not None
    expected = model.highest - model.base + 1
    assert ours.totals()[:2] == (expected, model.received)


def test_loss_of_an_interval_and_of_the_call_are_apart() -> None:
    ours = Reception()
    assert ours.report() is None
    for n in range(100):
        if n < 50 or n % 2:
            ours.put(n, n * 320, n * 20 * MS)
        if n == 49:
            first = ours.report()
    second = ours.report()
    assert first is not None
    assert second is not None
    assert (first.fraction_lost, first.lost) == (0, 0)
    assert (second.fraction_lost, second.lost, second.highest) == (128, 25, 99)
    assert ours.totals() == (100, 75, 25)


def test_sequence_wraps_are_cycles() -> None:
    ours = Reception()
    for n in range(65530, 65536 * 2 + 6):
        ours.put(n, n * 320, n * 20 * MS)
    block = ours.report()
    assert block is not None
    assert (block.highest, block.lost) == (2 << 16 | 5, 0)


def test_even_arrival_has_no_jitter_and_uneven_has_its_mean() -> None:
    even, uneven = Reception(), Reception()
    for n in range(2000):
        even.put(n, n * 320, n * 20 * MS)
        uneven.put(n, n * 320, n * 20 * MS + (n % 2) * 10 * MS)
    assert even.jitter_ms() == 0
    assert uneven.jitter_ms() == pytest.approx(10, abs=0.7)


def test_a_timestamp_that_stands_still_is_no_jitter() -> None:
    """Packets of a telephone event keep the time of its beginning."""
    ours = Reception()
    for n in range(50):
        ours.put(n, n * 320, n * 20 * MS)
    for n in range(50, 60):
        ours.put(n, 50 * 320, n * 20 * MS)
    for n in range(60, 80):
        ours.put(n, n * 320, n * 20 * MS)
    assert ours.jitter_ms() == 0


def test_a_clock_set_anew_is_no_jitter_and_one_of_another_rate_keeps_it() -> None:
    ours = Reception()
    for n in range(200):
        ours.put(n, n * 320, n * 20 * MS + (n % 2) * 10 * MS)
    before = ours.jitter_ms()
    ours.put(200, 3_000_000_000, 200 * 20 * MS)
    assert ours.jitter_ms() == before
    ours.put(201, 77, 201 * 20 * MS, hz=8000)
    assert ours.jitter_ms() == pytest.approx(before, abs=0.2)


def test_one_stray_sequence_is_left_out_and_two_begin_anew() -> None:
    ours = Reception()
    for n in range(100):
        ours.put(n, n * 320, n * 20 * MS)
    assert ours.put(40_000, 0, 2000 * MS) == 0
    assert ours.put(100, 100 * 320, 2000 * MS) == 1
    assert ours.totals() == (101, 101, 0)
    assert ours.put(50_000, 0, 2020 * MS) == 0
    assert ours.put(50_001, 320, 2040 * MS) == 1
    block = ours.report()
    assert block is not None
    assert (block.lost, block.highest) == (0, 50_001)
    assert ours.totals() == (102, 102, 0)


def test_two_strays_that_are_not_in_a_row_begin_nothing() -> None:
    ours = Reception()
    ours.put(0, 0, 0)
    assert [ours.put(n, n, n) for n in (40_000, 1, 40_001, 2)] == [0, 1, 0, 1]
    assert ours.totals() == (3, 3, 0)


def test_another_source_begins_anew_and_the_call_keeps_its_totals() -> None:
    ours = Reception()
    for n in (0, 1, 5):
        ours.put(n, n * 320, n * 20 * MS)
    for n in (9, 10):
        ours.put(n, n * 320, n * 20 * MS, ssrc=2)
    block = ours.report()
    assert block is not None
    assert (block.ssrc, block.lost, block.highest) == (2, 0, 10)
    assert ours.totals() == (8, 5, 3)


def test_delay_since_the_last_sender_report_is_told() -> None:
    ours = Reception()
    ours.put(1, 0, 0)
    LIB.mm_reception_sender_report(
        ours.memory, Rtcp(ssrc=2, is_sender=1, ntp=0xAAAABBBBCCCCDDDD), 0
    )
    block = ours.report(1000 * MS)
    assert block is not None
    assert (block.last_report, block.delay) == (0, 0)  # another source's
    LIB.mm_reception_sender_report(
        ours.memory, Rtcp(ssrc=1, is_sender=1, ntp=0xAAAABBBBCCCCDDDD), 1000 * MS
    )
    block = ours.report(3500 * MS)
    assert block is not None
    assert (block.last_report, block.delay) == (0xBBBBCCCC, 5 * 65536 // 2)
