"""Telephone events: what is pressed at one end is told at the other, once, whatever is lost."""

from __future__ import annotations

import ctypes as c
import random
import struct
from dataclasses import dataclass

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.native.clib import library
from tests.native.packet_types import Rtp, Tone

LIB = library("telephone.c")
LIB.mm_telephone_in_put.argtypes = [c.c_void_p, c.POINTER(Rtp), c.c_int64, c.POINTER(Tone)]
LIB.mm_telephone_in_expire.argtypes = [c.c_void_p, c.c_int64, c.POINTER(Tone)]
LIB.mm_telephone_out_init.argtypes = [c.c_void_p, c.c_uint32]
LIB.mm_telephone_out_queue.argtypes = [c.c_void_p, *[c.c_uint] * 4]
LIB.mm_telephone_out_next.argtypes = [c.c_void_p, c.c_uint32, c.POINTER(Rtp)]
NOTHING, INSTEAD, BESIDE = range(3)
MS = 1_000_000
TONES = 17  # MM_TELEPHONE_TONES
Told = tuple[int, bool, int]  # event, ended, duration


@dataclass(frozen=True)
class Packet:
    due: int
    marker: int
    timestamp: int
    payload: bytes

    @property
    def fields(self) -> tuple[int, bool, int, int]:
        event, flags, duration = struct.unpack("!BBH", self.payload)
        return event, bool(flags & 0x80), flags & 0x3F, duration


class Sender:
    def __init__(self, hz: int = 8000, timestamp: int = 0) -> None:
        self.memory, self.hz, self.timestamp = c.create_string_buffer(1024), hz, timestamp
        LIB.mm_telephone_out_init(self.memory, hz)

    def press(self, event: int, ms: int = 100, pause_ms: int = 60, volume: int = 10) -> int:
        return int(LIB.mm_telephone_out_queue(self.memory, event, volume, ms, pause_ms))

    def tick(self) -> Packet | None:
        out = Rtp()
        due = LIB.mm_telephone_out_next(self.memory, self.timestamp, out)
        self.timestamp = (self.timestamp + self.hz // 50) & 0xFFFFFFFF
        if due == NOTHING:
            return None
        return Packet(due, out.marker, out.timestamp, out.payload_bytes())

    def ticks(self, count: int) -> list[Packet | None]:
        return [self.tick() for _ in range(count)]


class Receiver:
    def __init__(self) -> None:
        self.memory = c.create_string_buffer(256)
        LIB.mm_telephone_in_init(self.memory)

    def put(self, packet: Packet, now_ns: int = 0, ssrc: int = 1) -> list[Told] | None:
        tones, buffer = (
            (Tone * TONES)(),
            c.create_string_buffer(packet.payload, len(packet.payload)),
        )
        header = Rtp(
            marker=packet.marker,
            timestamp=packet.timestamp,
            ssrc=ssrc,
            payload=c.addressof(buffer),
            payload_size=len(packet.payload),
        )
        told = LIB.mm_telephone_in_put(self.memory, header, now_ns, tones)
        if told < 0:
            return None
        return [(tones[i].event, bool(tones[i].ended), tones[i].duration) for i in range(told)]

    def expire(self, now_ns: int) -> list[Told]:
        tone = Tone()
        if not LIB.mm_telephone_in_expire(self.memory, now_ns, tone):
            return []
        return [(tone.event, bool(tone.ended), tone.duration)]


def block(event: int, duration: int, end: bool = False, volume: int = 10) -> bytes:
    return struct.pack("!BBH", event, 0x80 * end | volume, duration)


def packet(payload: bytes, timestamp: int = 0, marker: int = 0) -> Packet:
    return Packet(INSTEAD, marker, timestamp, payload)


def test_a_tone_goes_out_as_rfc_4733_has_it() -> None:
    sender = Sender(8000, timestamp=1000)
    assert sender.press(5, ms=100, volume=12) == 0
    sent = [p for p in sender.ticks(20) if p]
    assert [p.fields for p in sent] == [
        (5, False, 12, 160),
        (5, False, 12, 320),
        (5, False, 12, 480),
        (5, False, 12, 640),
        *[(5, True, 12, 800)] * 3,
    ]
    assert [p.marker for p in sent] == [1, 0, 0, 0, 0, 0, 0]
    assert {p.timestamp for p in sent} == {1000}
    assert [p.due for p in sent] == [INSTEAD] * 5 + [BESIDE] * 2


def test_tones_follow_each_other_after_their_pause() -> None:
    sender = Sender(48000)
    for event in (1, 2):
        assert sender.press(event, ms=60, pause_ms=100) == 0
    sent = sender.ticks(20)
    kinds = [p.fields[0] if p else None for p in sent]
    assert kinds == [1] * 5 + [None] * 3 + [2] * 5 + [None] * 7
    assert sender.press(3, pause_ms=0) == 0


def test_a_long_tone_goes_on_in_segments() -> None:
    sender, receiver = Sender(48000, timestamp=2**32 - 5000), Receiver()
    sender.press(11, ms=3000)
    told: list[Told] = []
    segments = set()
    for sent in sender.ticks(200):
        if sent:
            segments.add(sent.timestamp)
            told += receiver.put(sent) or []
    assert len(segments) == 3
    assert told == [(11, False, 960), (11, True, 144_000)]


def test_ticks_left_out_make_no_tone_longer() -> None:
    sender = Sender(8000)
    sender.press(1, ms=200)
    sender.ticks(2)
    sender.timestamp += 160 * 6
    assert [p.fields[3] for p in sender.ticks(4) if p] == [1440, 1600, 1600, 1600]


@pytest.mark.parametrize(
    ("event", "volume", "ms", "pause_ms"),
    [(17, 10, 100, 0), (1, 64, 100, 0), (1, 10, 19, 0), (1, 10, 60_001, 0), (1, 10, 100, 60_001)],
)
def test_values_out_of_range_are_refused(event: int, volume: int, ms: int, pause_ms: int) -> None:
    sender = Sender()
    assert sender.press(event, ms, pause_ms, volume) == -1
    assert sender.tick() is None


def test_a_full_queue_refuses() -> None:
    sender = Sender()
    assert [sender.press(n % 16) for n in range(33)] == [0] * 32 + [-1]


@given(
    keys=st.lists(st.integers(0, 16), min_size=1, max_size=16),
    hz=st.sampled_from([8000, 16000, 48000]),
    ms=st.integers(60, 1600),
    start=st.integers(0, 2**32 - 1),
    seed=st.integers(0, 2**32),
    loss=st.floats(0, 0.5),
)
@settings(max_examples=120)
def test_every_key_of_which_a_packet_comes_is_told_once_and_in_order(
    keys: list[int], hz: int, ms: int, start: int, seed: int, loss: float
) -> None:
    rng, sender, receiver = random.Random(seed), Sender(hz, start), Receiver()
    for key in keys:
        assert sender.press(key, ms) == 0
    told: list[Told] = []
    heard: list[int] = []
    missing = 0  # ticks of a tone in a row: a gap of 200 ms ends it, and that is right
    for tick in range(len(keys) * (ms // 20 + 12) + 20):
        sent, now_ns = sender.tick(), tick * 20 * MS
        if sent and sent.marker:
            heard.append(-1)
        if sent and rng.random() >= loss:
            missing = 0
            heard[-1] = sent.fields[0]
            told += receiver.put(sent, now_ns) or []
        elif sent:
            missing += 1
            assume(missing < 9)
        told += receiver.expire(now_ns)
    told += receiver.expire(10**15)
    keys_heard = [key for key in heard if key >= 0]
    assert [event for event, ended, _ in told if not ended] == keys_heard
    assert [event for event, ended, _ in told if ended] == keys_heard
    assert [ended for _, ended, _ in told] == [False, True] * len(keys_heard)
    if loss == 0:
        assert {duration for _, ended, duration in told if ended} == {ms * hz // 1000}


@given(seed=st.integers(0, 2**32), keys=st.lists(st.integers(0, 15), min_size=1, max_size=8))
def test_reordering_and_duplicates_tell_nothing_twice(seed: int, keys: list[int]) -> None:
    rng, sender, receiver = random.Random(seed), Sender(), Receiver()
    for key in keys:
        sender.press(key, ms=100, pause_ms=100)
    arrivals = []
    for tick, sent in enumerate(sender.ticks(20 * len(keys))):
        for _ in range(rng.choice([1, 1, 2, 3])):
            if sent:
                arrivals.append((tick + rng.randrange(4), rng.random(), sent))
    told: list[Told] = []
    for _, _, sent in sorted(arrivals, key=lambda a: a[:2]):
        told += receiver.put(sent) or []
    assert [event for event, ended, _ in told if not ended] == keys
    assert [event for event, ended, _ in told if ended] == keys


def test_a_lost_end_is_told_when_the_next_tone_begins() -> None:
    receiver = Receiver()
    assert receiver.put(packet(block(5, 160), 0, 1)) == [(5, False, 160)]
    assert receiver.put(packet(block(5, 480), 0)) == []
    assert receiver.put(packet(block(6, 160), 5000, 1)) == [(5, True, 480), (6, False, 160)]


def test_a_lost_end_is_told_after_200_ms_and_what_comes_late_is_not_new() -> None:
    receiver = Receiver()
    receiver.put(packet(block(5, 160), 0, 1), 0)
    assert receiver.expire(199 * MS) == []
    assert receiver.expire(200 * MS) == [(5, True, 160)]
    assert receiver.expire(400 * MS) == []
    assert receiver.put(packet(block(5, 320, end=True), 0), 250 * MS) == []


def test_two_tones_cannot_begin_at_one_time() -> None:
    receiver = Receiver()
    receiver.put(packet(block(5, 160), 0, 1))
    assert receiver.put(packet(block(6, 480, end=True), 0, 1)) == []
    assert receiver.expire(1000 * MS) == [(5, True, 160)]


def test_the_same_key_again_is_another_tone() -> None:
    receiver = Receiver()
    receiver.put(packet(block(5, 800, end=True), 0, 1))
    again = receiver.put(packet(block(5, 800, end=True), 1600, 0))
    assert again == [(5, False, 800), (5, True, 800)]


def test_hours_later_a_wrapped_timestamp_is_not_late() -> None:
    receiver = Receiver()
    receiver.put(packet(block(5, 800, end=True), 3_000_000_000, 1), 0)
    half_a_day = 13 * 3600 * 1000 * MS
    assert receiver.put(packet(block(6, 800), 3_000_000_000 - 2**30, 1), 10 * MS) == []
    assert receiver.put(packet(block(6, 800), 3_000_000_000 - 2**30, 1), half_a_day) == [
        (6, False, 800)
    ]


def test_contiguous_tones_in_one_packet_are_told_in_order() -> None:
    receiver = Receiver()
    payload = block(1, 400, end=True) + block(2, 400, end=True) + block(3, 80)
    assert receiver.put(packet(payload, 100, 1)) == [
        (1, False, 400),
        (1, True, 400),
        (2, False, 400),
        (2, True, 400),
        (3, False, 80),
    ]
    assert receiver.put(packet(block(3, 400, end=True), 900)) == [(3, True, 400)]


def test_a_full_packet_after_a_tone_without_end_fits() -> None:
    receiver = Receiver()
    receiver.put(packet(block(9, 160), 0, 1))
    payload = b"".join(block(n, 160, end=True) for n in range(8))
    told = receiver.put(packet(payload, 8000, 1))
    assert told is not None
    assert len(told) == TONES


def test_a_late_packet_makes_no_tone_shorter() -> None:
    receiver = Receiver()
    for duration in (160, 480, 320):
        receiver.put(packet(block(5, duration)))
    assert receiver.expire(1000 * MS) == [(5, True, 480)]


@pytest.mark.parametrize(("event", "marker", "new"), [(5, 0, False), (5, 1, True), (6, 0, True)])
def test_a_segment_goes_on_without_marker_and_with_the_same_event(
    event: int, marker: int, new: bool
) -> None:
    receiver = Receiver()
    receiver.put(packet(block(5, 0xFFFF), 100, 1))
    told = receiver.put(packet(block(event, 160), 100 + 0xFFFF, marker))
    assert told == ([(5, True, 0xFFFF), (event, False, 160)] if new else [])


def test_another_source_is_another_tone() -> None:
    receiver = Receiver()
    receiver.put(packet(block(5, 160), 9000, 1), ssrc=1)
    told = receiver.put(packet(block(5, 160), 70, 1), ssrc=2)
    assert told == [(5, True, 160), (5, False, 160)]


@pytest.mark.parametrize("size", [0, 1, 3, 5, 7, 36, 40])
def test_payloads_that_are_no_list_of_events_are_refused(size: int) -> None:
    assert Receiver().put(packet(bytes(size))) is None
