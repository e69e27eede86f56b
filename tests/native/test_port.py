"""A port over real sockets: a datagram goes where its kind and its address say, nowhere else."""

from __future__ import annotations

import ctypes as c
import errno
import os
import random
import select
import socket
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.native.address_types import Address, of, own, text, udp
from tests.native.clib import HERE, library_path
from tests.native.test_routes import Route

BYTES = 1536
JUNK, STUN, DTLS, RTP, RTCP = range(5)
SOURCES = ("port.c", "routes.c", "address.c", "packet_ring.c", "memory.c", "demux.c")
LIB = c.CDLL(str(library_path(*SOURCES, HERE / "port_kit.c")), use_errno=True)
LIB.mm_port_open.restype = LIB.mm_port_set_routes.restype = LIB.port_kit_seen.restype = c.c_void_p
LIB.mm_routes_create.restype = c.c_void_p
LIB.mm_routes_create.argtypes = [c.c_void_p, c.c_size_t]
LIB.mm_routes_destroy.argtypes = [c.c_void_p]
LIB.mm_port_counter_name.restype = c.c_char_p
LIB.mm_port_count.restype = LIB.port_kit_count.restype = c.c_uint64
LIB.mm_port_count.argtypes = [c.c_void_p, c.c_int]
LIB.mm_port_address.argtypes = [c.c_void_p, c.c_void_p]
LIB.mm_port_set_routes.argtypes = [c.c_void_p, c.c_void_p]
LIB.mm_port_tell_strangers.argtypes = [c.c_void_p, c.c_int]
LIB.mm_port_receive.argtypes = [c.c_void_p, c.c_int64]
LIB.mm_port_send.argtypes = [c.c_void_p, c.c_void_p, c.c_char_p, c.c_size_t]
LIB.mm_port_read.argtypes = [c.c_void_p] * 6
LIB.port_kit_seen.argtypes = [c.c_size_t]
for name in ("destroy", "fd", "eventfd"):
    getattr(LIB, f"mm_port_{name}").argtypes = [c.c_void_p]
COUNTERS = [LIB.mm_port_counter_name(i).decode() for i in range(12)]
APART = {"received", "lapped", "unfetched", "send_failed"}  # the others are one each


def stun(body: bytes = b"") -> bytes:
    return struct.pack("!HHI12s", 1, len(body), 0x2112A442, b"transaction!") + body


def rtp(payload: bytes = bytes(20), sequence: int = 0) -> bytes:
    return struct.pack("!BBHII", 0x80, 111, sequence, 0, 1) + payload


DTLS_HELLO = bytes([22, 254, 253]) + bytes(60)
LIB.mm_port_take.argtypes = [c.c_void_p, c.c_void_p, c.c_char_p, c.c_size_t, c.c_int64]
RTCP_REPORT = struct.pack("!BBHI", 0x80, 201, 1, 1)


class Seen(c.Structure):
    peer: int
    arrival_ns: int
    kind: int
    size: int
    misaligned: int
    bytes: c.Array[c.c_uint8]
    _fields_ = (
        ("peer", c.c_uint64),
        ("arrival_ns", c.c_int64),
        ("kind", c.c_uint32),
        ("size", c.c_uint32),
        ("misaligned", c.c_uint32),
        ("bytes", c.c_uint8 * BYTES),
    )


@dataclass(frozen=True)
class Told:
    kind: int
    host: str
    port: int
    data: bytes
    arrival_ns: int


class Port:
    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        LIB.port_kit_forget()
        self.at = LIB.mm_port_open(c.byref(of((host, port))))
        assert self.at, os.strerror(c.get_errno())
        self.now_ns = 0

    def close(self) -> None:
        LIB.mm_port_destroy(self.at)

    @property
    def address(self) -> tuple[str, int]:
        out = Address()
        LIB.mm_port_address(self.at, c.byref(out))
        return text(out), out.port

    def route(self, routes: dict[socket.socket, int]) -> None:
        made = (Route * len(routes))(*(Route(own(at), peer) for at, peer in routes.items()))
        before = LIB.mm_port_set_routes(self.at, LIB.mm_routes_create(made, len(routes)))
        LIB.mm_routes_destroy(before)

    def receive(self) -> None:
        """What is there: loopback has delivered when sendto returned."""
        while select.select([LIB.mm_port_fd(self.at)], [], [], 0)[0]:
            self.now_ns += 1
            LIB.mm_port_receive(self.at, self.now_ns)

    def read(self) -> Told | None:
        kind, size, arrival = c.c_int(), c.c_size_t(), c.c_int64()
        address, data = Address(), c.create_string_buffer(BYTES)
        outs = (kind, address, data, size, arrival)
        if not LIB.mm_port_read(self.at, *(c.byref(out) for out in outs)):
            return None
        return Told(kind.value, text(address), address.port, data.raw[: size.value], arrival.value)

    def read_all(self) -> list[Told]:
        return list(iter(self.read, None))

    def is_told(self) -> bool:
        fd = LIB.mm_port_eventfd(self.at)
        ready = bool(select.select([fd], [], [], 0)[0])
        if ready:
            os.read(fd, 8)
        return ready

    def count(self, name: str) -> int:
        return int(LIB.mm_port_count(self.at, COUNTERS.index(name)))

    def counts(self) -> dict[str, int]:
        """Those that are not 0; that they add up is checked each time."""
        every = {name: self.count(name) for name in COUNTERS}
        assert every["received"] == sum(n for name, n in every.items() if name not in APART)
        return {name: n for name, n in every.items() if n}


def seen() -> list[Seen]:
    return [Seen.from_address(LIB.port_kit_seen(i)) for i in range(LIB.port_kit_count())]


@pytest.fixture(params=["127.0.0.1", "::1"])
def port(request: pytest.FixtureRequest) -> Iterator[Port]:
    made = Port(request.param)
    yield made
    made.close()


@pytest.fixture
def caller(port: Port) -> Iterator[Callable[[], socket.socket]]:
    made: list[socket.socket] = []

    def call() -> socket.socket:
        made.append(udp(port.address[0]))
        return made[-1]

    yield call
    for one in made:
        one.close()


Call = Callable[[], socket.socket]


def test_counters_have_names_of_their_own() -> None:
    assert len(set(COUNTERS)) == len(COUNTERS)
    assert COUNTERS[0] == "received"


def test_who_cannot_be_answered_is_not_heard(port: Port, caller: Call) -> None:
    nobody = of((port.address[0], 0))
    for data in (stun(), DTLS_HELLO, rtp()):
        assert not LIB.mm_port_take(port.at, c.byref(nobody), data, len(data), 1)
    assert port.counts() == {"received": 3, "unreadable": 3}
    assert port.read_all() == []


def test_media_goes_to_the_peer_of_its_address(port: Port, caller: Call) -> None:
    first, second = caller(), caller()
    port.route({first: 1001, second: 1002})
    sent = [(first, rtp(b"one")), (second, rtp(b"two" * 400)), (first, RTCP_REPORT)]
    for one, data in sent:
        one.sendto(data, port.address)
    port.receive()
    got = [(s.peer, s.kind, bytes(s.bytes[: s.size])) for s in seen()]
    assert got == [(1001, RTP, sent[0][1]), (1002, RTP, sent[1][1]), (1001, RTCP, RTCP_REPORT)]
    assert not any(s.misaligned for s in seen())
    assert {s.arrival_ns for s in seen()} == {1}
    assert not port.is_told()
    assert port.read() is None
    assert port.counts() == {"received": 3, "routed": 3}


def test_stun_of_anyone_and_dtls_of_the_routed_are_told(port: Port, caller: Call) -> None:
    known, stranger = caller(), caller()
    port.route({known: 7})
    for one in (known, stranger):
        for data in (stun(), DTLS_HELLO):
            one.sendto(data, port.address)
    port.receive()
    assert port.is_told()
    told = {(t.port, t.kind, t.data) for t in port.read_all()}
    assert told == {
        (own(known).port, STUN, stun()),
        (own(known).port, DTLS, DTLS_HELLO),
        (own(stranger).port, STUN, stun()),
    }
    assert seen() == []
    assert port.counts() == {"received": 4, "stun": 2, "dtls": 1, "dtls_stranger": 1}
    assert not port.is_told()


def test_what_was_told_says_who_and_when(port: Port, caller: Call) -> None:
    one = caller()
    one.sendto(stun(b"abcd"), port.address)
    port.now_ns = 10**12
    port.receive()
    at = own(one)
    assert port.read_all() == [Told(STUN, text(at), at.port, stun(b"abcd"), 10**12 + 1)]


def test_media_of_strangers_is_told_only_when_asked_for(port: Port, caller: Call) -> None:
    stranger = caller()
    for on in (0, 1, 0):
        LIB.mm_port_tell_strangers(port.at, on)
        stranger.sendto(rtp(), port.address)
        stranger.sendto(RTCP_REPORT, port.address)
        stranger.sendto(DTLS_HELLO, port.address)
        port.receive()
        assert port.is_told() == bool(on)
        assert [t.kind for t in port.read_all()] == ([RTP, RTCP] if on else [])
    assert port.counts() == {"received": 9, "media_stranger": 6, "dtls_stranger": 3}
    assert seen() == []


def test_junk_is_counted_and_goes_nowhere(port: Port, caller: Call) -> None:
    known = caller()
    port.route({known: 7})
    LIB.mm_port_tell_strangers(port.at, 1)
    junk = [
        b"",
        b"\x00",
        b"\x80\x6f" + bytes(6),
        bytes(67),
        bytes([0x40]) + bytes(100),
        bytes([255]) * 1400,
        stun()[:-1],
        stun(b"abc"),
        bytes([22, 254, 253]) + bytes(9),
    ]
    for one in (known, caller()):
        for data in junk:
            one.sendto(data, port.address)
    port.receive()
    assert port.counts() == {"received": 2 * len(junk), "junk": 2 * len(junk)}
    assert not port.is_told()
    assert seen() == []


def test_a_datagram_that_does_not_fit_is_counted_and_dropped(port: Port, caller: Call) -> None:
    known = caller()
    port.route({known: 7})
    for size in (BYTES, BYTES + 1, 20_000):
        known.sendto(rtp(bytes(size - 12)), port.address)
    port.receive()
    assert [s.size for s in seen()] == [BYTES]
    assert port.counts() == {"received": 3, "routed": 1, "oversize": 2}


def test_a_burst_beyond_one_batch_keeps_its_order(port: Port, caller: Call) -> None:
    known = caller()
    port.route({known: 7})
    for n in range(500):
        known.sendto(rtp(sequence=n), port.address)
    port.receive()
    assert port.now_ns == 500 // 64 + 1
    assert [int.from_bytes(bytes(s.bytes[2:4]), "big") for s in seen()] == list(range(500))


def test_a_route_counts_for_what_comes_after_it_was_set(port: Port, caller: Call) -> None:
    one = caller()
    one.sendto(DTLS_HELLO, port.address)
    port.receive()
    port.route({one: 7})
    one.sendto(DTLS_HELLO, port.address)
    port.receive()
    port.route({})
    one.sendto(rtp(), port.address)
    port.receive()
    assert port.counts() == {"received": 3, "dtls": 1, "dtls_stranger": 1, "media_stranger": 1}


def test_a_flood_of_strangers_does_not_lap_the_routed(port: Port, caller: Call) -> None:
    known, stranger = caller(), caller()
    port.route({known: 7})
    known.sendto(stun(b"mine"), port.address)
    for _ in range(40):
        for _ in range(50):
            stranger.sendto(stun(b"flood" * 4), port.address)
        port.receive()
    known.sendto(stun(b"also"), port.address)
    port.receive()
    told = port.read_all()
    assert [t.data[20:] for t in told if t.port == own(known).port] == [b"mine", b"also"]
    # Both rings are asked in turn: the routed one's two are among the first four.
    assert {t.data[20:] for t in told[:4]} >= {b"mine", b"also"}
    assert port.count("lapped") == 2002 - len(told) > 1000
    assert port.count("stun") == 2002


def test_a_flood_before_the_answer_costs_no_memory(port: Port, caller: Call) -> None:
    """30,000 datagrams of any kind: a port is one block from the start, below 2 MB."""
    rng = random.Random(4)
    stranger = caller()
    LIB.mm_port_tell_strangers(port.at, 1)
    kinds = [stun(bytes(1480)), rtp(bytes(1400)), DTLS_HELLO, bytes(67), RTCP_REPORT]
    before = resident_bytes()
    for _ in range(600):
        for _ in range(50):
            data = rng.choice(kinds)
            stranger.sendto(data, port.address)
        port.receive()
    assert resident_bytes() - before < 200_000
    assert port.count("received") == 30_000


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_a_port_is_below_two_megabytes() -> None:
    before = resident_bytes()
    ports = [Port() for _ in range(8)]
    assert resident_bytes() - before < 8 * 2_000_000
    for made in ports:
        made.close()
    LIB.mm_pages_live.restype = c.c_long
    assert LIB.mm_pages_live() == 0


def test_what_the_kernel_had_to_drop_is_counted(port: Port, caller: Call) -> None:
    stranger = caller()
    sent = 40_000
    for _ in range(sent):
        stranger.sendto(bytes(1400), port.address)
    port.receive()
    assert port.count("unfetched") > 0
    assert port.count("unfetched") + port.count("received") == sent


def test_send_goes_out_and_nobody_there_is_not_fatal(port: Port, caller: Call) -> None:
    one = caller()
    assert LIB.mm_port_send(port.at, c.byref(own(one)), b"answer", 6) == 0
    data, source = one.recvfrom(100)
    assert (data, source[:2]) == (b"answer", port.address)
    gone = udp(port.address[0])
    nobody = own(gone)
    gone.close()
    for _ in range(3):
        assert LIB.mm_port_send(port.at, c.byref(nobody), b"answer", 6) == 0
    port.receive()
    one.sendto(stun(), port.address)
    port.receive()
    assert port.counts() == {"received": 1, "stun": 1}


def test_a_send_that_fails_is_counted(port: Port) -> None:
    other_family = "127.0.0.1" if ":" in port.address[0] else "2001:db8::1"
    assert LIB.mm_port_send(port.at, c.byref(of((other_family, 5))), b"answer", 6) == -1
    assert LIB.mm_port_send(port.at, c.byref(of((port.address[0], 9))), bytes(70_000), 70_000) == -1
    assert c.get_errno() == errno.EMSGSIZE
    assert port.counts() == {"send_failed": 2}


def test_nothing_is_sent_to_strangers(port: Port, caller: Call) -> None:
    stranger = caller()
    for data in (stun(), DTLS_HELLO, rtp(), RTCP_REPORT, bytes(67), b""):
        stranger.sendto(data, port.address)
    port.receive()
    assert not select.select([stranger], [], [], 0.05)[0]


def test_an_address_in_use_and_one_that_is_not_ours_are_errors(port: Port) -> None:
    assert LIB.mm_port_open(c.byref(of(port.address))) is None
    assert c.get_errno() == errno.EADDRINUSE
    far = "2001:db8::1" if ":" in port.address[0] else "192.0.2.1"
    assert LIB.mm_port_open(c.byref(of((far, 0)))) is None
    assert c.get_errno() == errno.EADDRNOTAVAIL


def test_ipv6_takes_no_ipv4() -> None:
    made = Port("::")
    number = made.address[1]
    twin = Port("0.0.0.0", number)
    assert twin.address == ("0.0.0.0", number)
    made.close()
    twin.close()


def test_the_socket_is_ours_alone_and_never_waits(port: Port) -> None:
    fd = LIB.mm_port_fd(port.at)
    assert not os.get_inheritable(fd)
    assert not os.get_blocking(fd)
    with socket.socket(fileno=os.dup(fd)) as twin:
        # With the right to go beyond net.core.rmem_max, or that; the kernel doubles it.
        asked, most = 4 << 20, int(Path("/proc/sys/net/core/rmem_max").read_text())
        assert twin.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) >= 2 * min(asked, most)
