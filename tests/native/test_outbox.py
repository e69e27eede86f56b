"""The outbox: what was added leaves in order, once, or is counted as dropped."""

from __future__ import annotations

import ctypes as c
import socket
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.native.address_types import udp
from tests.native.clib import HERE, library

SLOTS, ROOM = 64, 1536
LIB = library("outbox.c", "memory.c", HERE / "outbox_kit.c")
LIB.outbox_create.restype = LIB.mm_outbox_room.restype = c.c_void_p
LIB.mm_outbox_datagram.restype = c.c_void_p
LIB.mm_outbox_datagram.argtypes = [c.c_void_p, c.c_size_t, c.c_void_p, c.c_void_p]
LIB.mm_outbox_add.argtypes = [c.c_void_p, c.c_void_p, c.c_size_t]
for name in ("room", "flush", "waiting", "sent", "dropped"):
    getattr(LIB, f"mm_outbox_{name}").argtypes = [c.c_void_p]
for name in ("waiting", "sent", "dropped"):
    getattr(LIB, f"mm_outbox_{name}").restype = c.c_uint64
LIB.mm_pages_free.argtypes = [c.c_void_p]


class Destination(c.Structure):
    fd: int
    _fields_ = (("fd", c.c_int), ("to", c.c_uint64 * 16), ("to_bytes", c.c_uint))


def destination(made: socket.socket | None, to: tuple[str, int] | None = None) -> Destination:
    """From that socket, to that address; without one, as it is connected."""
    out = Destination(fd=made.fileno() if made else -1)
    if to:
        raw = socket.AF_INET.to_bytes(2, "little") + to[1].to_bytes(2, "big")
        raw += socket.inet_aton(to[0]) + bytes(8)
        c.memmove(c.addressof(out) + Destination.to.offset, raw, len(raw))
        out.to_bytes = len(raw)
    return out


class Outbox:
    def __init__(self) -> None:
        self.at = LIB.outbox_create()
        assert self.at

    def __del__(self) -> None:
        LIB.mm_pages_free(self.at)

    def write(self, data: bytes) -> None:
        room = LIB.mm_outbox_room(self.at)
        assert room % 8 == 0
        c.memmove(room, data, len(data))

    def add(self, to: Destination, data: bytes) -> None:
        self.write(data)
        LIB.mm_outbox_add(self.at, c.byref(to), len(data))

    def flush(self) -> None:
        LIB.mm_outbox_flush(self.at)

    def waiting(self) -> list[bytes]:
        out = []
        size, to = c.c_size_t(), c.c_void_p()
        for i in range(LIB.mm_outbox_waiting(self.at)):
            at = LIB.mm_outbox_datagram(self.at, i, c.byref(size), c.byref(to))
            assert to.value
            out.append(c.string_at(at, size.value))
        return out

    def counts(self) -> tuple[int, int]:
        return LIB.mm_outbox_sent(self.at), LIB.mm_outbox_dropped(self.at)


def drain(made: socket.socket) -> list[bytes]:
    made.setblocking(False)
    out = []
    while True:
        try:
            out.append(made.recv(2048))
        except BlockingIOError:
            return out


@pytest.fixture
def sockets() -> Iterator[list[socket.socket]]:
    made = [udp() for _ in range(4)]
    yield made
    for one in made:
        one.close()


def test_what_was_added_arrives_in_order(sockets: list[socket.socket]) -> None:
    sender, receiver, *_ = sockets
    box, to = Outbox(), destination(sender, receiver.getsockname())
    sent = [bytes([i]) * (i * 7 % 300 + 1) for i in range(200)]  # fits a socket's queue
    for data in sent:
        box.add(to, data)
    assert len(box.waiting()) == 200 % SLOTS
    box.flush()
    assert box.waiting() == []
    assert drain(receiver) == sent
    assert box.counts() == (200, 0)


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1), st.integers(1, 60)), max_size=200))
def test_each_socket_sends_its_own_whatever_the_order(moves: list[tuple[int, int, int]]) -> None:
    """A datagram for another socket makes the waiting ones leave, and is not lost by that."""
    senders, receivers = [udp(), udp()], [udp(), udp()]
    box = Outbox()
    expected: list[list[bytes]] = [[], []]
    for n, (which, target, size) in enumerate(moves):
        data = bytes([which, n]) * size
        box.write(bytes(ROOM))  # written over: only what is added counts
        box.add(destination(senders[which], receivers[target].getsockname()), data)
        assert box.waiting()[-1] == data
        expected[target].append(data)
    box.flush()
    got = [drain(receiver) for receiver in receivers]
    for one in [*senders, *receivers]:
        one.close()
    assert got == expected
    assert box.counts() == (len(moves), 0)


def test_a_full_box_leaves_when_room_is_asked_for(sockets: list[socket.socket]) -> None:
    sender, receiver, *_ = sockets
    box, to = Outbox(), destination(sender, receiver.getsockname())
    for i in range(SLOTS):
        box.add(to, bytes([i]))
    assert len(box.waiting()) == SLOTS
    assert box.counts() == (0, 0)
    LIB.mm_outbox_room(box.at)
    assert box.counts() == (SLOTS, 0)
    assert drain(receiver) == [bytes([i]) for i in range(SLOTS)]


def test_without_a_socket_they_can_be_looked_at_and_are_discarded() -> None:
    box, to = Outbox(), destination(None)
    for i in range(3):
        box.add(to, bytes([i]) * 100)
    assert box.waiting() == [bytes([i]) * 100 for i in range(3)]
    box.flush()
    assert box.waiting() == []
    assert box.counts() == (0, 0)


def test_one_that_cannot_be_sent_costs_only_itself(sockets: list[socket.socket]) -> None:
    sender, receiver, *_ = sockets
    good = destination(sender, receiver.getsockname())
    bad = destination(sender, receiver.getsockname())
    bad.to[0] = 99  # no such family
    box = Outbox()
    for i in range(10):
        box.add(bad if i in (0, 4, 5, 9) else good, bytes([i]))
    box.flush()
    assert drain(receiver) == [bytes([i]) for i in (1, 2, 3, 6, 7, 8)]
    assert box.counts() == (6, 4)


def test_a_refusal_by_icmp_is_not_held_against_the_next(sockets: list[socket.socket]) -> None:
    """A connected socket says it with the next call: that datagram goes all the same."""
    sender, gone, *_ = sockets
    sender.connect(gone.getsockname())
    gone.close()
    box = Outbox()
    for i in range(10):
        box.add(destination(sender), bytes([i]))
    box.flush()
    assert box.counts() == (10, 0)


def test_what_a_full_socket_does_not_take_is_dropped_and_counted() -> None:
    sender, receiver = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    box = Outbox()
    for i in range(1000):
        box.add(destination(sender), bytes([i % 256]))
    box.flush()
    sent, dropped = box.counts()
    assert sent + dropped == 1000
    assert dropped > 0
    assert len(drain(receiver)) == sent > 0
    sender.close()
    receiver.close()


def test_a_closed_socket_drops_all_and_returns() -> None:
    box = Outbox()
    closed = udp()
    to = destination(closed, ("127.0.0.1", 9))
    closed.close()
    for _ in range(5):
        box.add(to, b"x")
    box.flush()
    assert box.counts() == (0, 5)


def test_a_size_beyond_the_room_is_dropped_and_counted(sockets: list[socket.socket]) -> None:
    sender, receiver, *_ = sockets
    to = destination(sender, receiver.getsockname())
    box = Outbox()
    box.add(to, b"before")
    LIB.mm_outbox_add(box.at, c.byref(to), ROOM + 1)
    box.add(to, b"x" * ROOM)
    box.flush()
    assert drain(receiver) == [b"before", b"x" * ROOM]
    assert box.counts() == (2, 1)
