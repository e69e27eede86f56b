"""The ring of datagrams: each is read once, whole and in order, or counted as lapped."""

from __future__ import annotations

import ctypes as c
import shutil
import subprocess
from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.native.clib import HERE, SANITIZE, library, program

LIB = library("packet_ring.c", "memory.c")
LIB.mm_packet_ring_create.restype = c.c_void_p
LIB.mm_packet_ring_destroy.argtypes = [c.c_void_p]
LIB.mm_packet_ring_write.argtypes = [c.c_void_p, c.c_char_p, c.c_size_t, c.c_int64]
LIB.mm_packet_ring_read.argtypes = [
    c.c_void_p,
    c.c_char_p,
    c.POINTER(c.c_size_t),
    c.POINTER(c.c_int64),
]
COUNTERS = ("depth", "written", "read_count", "lapped", "oversize")
for name in COUNTERS:
    getattr(LIB, f"mm_packet_ring_{name}").argtypes = [c.c_void_p]
    getattr(LIB, f"mm_packet_ring_{name}").restype = c.c_uint64


class Ring:
    def __init__(self, slots: int = 8, room: int = 1504) -> None:
        self.at, self.room = LIB.mm_packet_ring_create(slots, room), room
        assert self.at

    def __del__(self) -> None:
        LIB.mm_packet_ring_destroy(self.at)

    def write(self, data: bytes, arrival_ns: int = 0) -> bool:
        return bool(LIB.mm_packet_ring_write(self.at, data, len(data), arrival_ns))

    def read(self) -> tuple[bytes, int] | None:
        out = c.create_string_buffer(b"\xee" * (self.room + 8), self.room + 8)
        size, arrival = c.c_size_t(), c.c_int64()
        if not LIB.mm_packet_ring_read(self.at, out, size, arrival):
            return None
        assert out.raw[size.value :] == b"\xee" * (self.room + 8 - size.value)
        return out.raw[: size.value], arrival.value

    def count(self, name: str) -> int:
        return int(getattr(LIB, f"mm_packet_ring_{name}")(self.at))


@given(
    slots=st.sampled_from([4, 8, 16]),
    steps=st.lists(st.tuples(st.booleans(), st.integers(1, 40)), max_size=30),
)
@settings(max_examples=200)
def test_ring_behaves_as_a_bounded_deque(slots: int, steps: list[tuple[bool, int]]) -> None:
    ring, model, written, lapped = Ring(slots, 64), deque[tuple[bytes, int]](), 0, 0
    for writing, count in steps:
        for _ in range(count):
            if writing:
                data = bytes([written % 256]) * (written % 65)
                assert ring.write(data, written)
                model.append((data, written))
                written += 1
                continue
            if len(model) > slots:  # lapped: the reader goes to a quarter of a ring from the oldest
                while len(model) > slots * 3 // 4:
                    model.popleft()
                    lapped += 1
            assert ring.read() == (model.popleft() if model else None)
    assert (ring.count("written"), ring.count("lapped")) == (written, lapped)
    assert written == ring.count("read_count") + ring.count("lapped") + ring.count("depth")


@given(st.binary(max_size=1504), st.integers(-(2**63), 2**63 - 1))
def test_any_datagram_comes_out_as_it_went_in(data: bytes, arrival_ns: int) -> None:
    ring = Ring()
    assert ring.write(data, arrival_ns)
    assert ring.read() == (data, arrival_ns)
    assert ring.read() is None


def test_a_datagram_beyond_the_room_is_refused_and_counted() -> None:
    ring = Ring(4, 64)
    assert ring.write(bytes(64))
    assert not ring.write(bytes(65))
    assert (ring.count("written"), ring.count("oversize"), ring.count("depth")) == (1, 1, 1)


@pytest.mark.parametrize(
    ("slots", "room"), [(0, 64), (2, 64), (5, 64), (8192, 64), (8, 56), (8, 70), (8, 70000), (8, 0)]
)
def test_bad_sizes_are_refused(slots: int, room: int) -> None:
    assert LIB.mm_packet_ring_create(slots, room) is None


@pytest.mark.slow
@pytest.mark.parametrize("build", ["plain", "asan", "tsan"])
def test_lapped_reader_never_gets_a_torn_or_reordered_datagram(build: str) -> None:
    flags = {
        "plain": ("-O2",),
        "asan": SANITIZE,
        "tsan": ("-O1", "-g", "-fsanitize=thread"),
    }[build]
    target = program("packet_ring.c", "memory.c", HERE / "packet_stress.c", flags=flags)
    count = {"plain": 3_000_000, "asan": 300_000, "tsan": 100_000}[build]
    command = [str(target), str(count)]
    if build == "tsan" and shutil.which("setarch"):
        command = ["setarch", "-R", *command]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    if "unexpected memory mapping" in done.stderr:
        pytest.skip("ThreadSanitizer does not start here: unexpected memory mapping")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("read whole and in order") == 2
