"""Plain RTP legs without sockets: whose packet is whose, what is learnt, what is lost."""

from __future__ import annotations

import asyncio
import ctypes as c
import struct
import time
from collections.abc import Callable
from typing import Any, cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mixminus.media.bridge import Leg
from mixminus.media.peer import Peer, PeerSettings, Tone
from mixminus.media.platform import MediaPlatform
from mixminus.media.port import Datagram
from mixminus.media.transports import rtp
from mixminus.media.transports.rtp import RtpEndpoint, payload_type_of
from mixminus.media.transports.rtp_parameters import RtpParameters
from tests.native.clib import library
from tests.native.packet_types import Rtp

LIB = library("rtp.c")
LIB.mm_rtp_parse.argtypes = [c.POINTER(Rtp), c.c_char_p, c.c_size_t, c.c_int]

THERE = ("192.0.2.7", 5004)
ELSEWHERE = ("192.0.2.8", 5004)
THIRD = ("192.0.2.9", 5004)
MS = 1_000_000


class FakePeer:
    def __init__(self, settings: PeerSettings) -> None:
        self.settings = settings
        self.destination: Any = None
        self.heard_ns = 0
        self.tones: list[Tone] = []
        self.queued: list[tuple[str, int, int]] = []
        self.byes_heard = self.byes_sent = self.byes_wanted = 0
        self.received = 7
        self.leg: FakeLeg | None = None

    def set_destination(self, port: Any, address: tuple[str, int] | None) -> None:
        self.destination = address

    @property
    def last_heard_ns(self) -> int:
        return self.heard_ns

    def read_tones(self) -> list[Tone]:
        tones, self.tones = self.tones, []
        return tones

    def queue_tone(self, key: str, duration_ms: int = 100, pause_ms: int = 50) -> bool:
        self.queued.append((key, duration_ms, pause_ms))
        return True

    def say_bye(self) -> None:
        self.byes_wanted += 1

    def counters(self) -> dict[str, int]:
        counts = {"byes_heard": self.byes_heard, "byes_sent": self.byes_sent}
        return {**counts, "received": self.received, "sent_packets": 5}


class FakePort:
    address = ("127.0.0.1", 40_000)

    def __init__(self) -> None:
        self.on_datagram: Callable[[Datagram], None] | None = None
        self.routes: dict[tuple[str, int], Any] = {}
        self.tells = False
        self.closed = 0

    def set_route(self, address: tuple[str, int], peer: Any) -> None:
        self.routes[address] = peer

    def remove_route(self, address: tuple[str, int]) -> None:
        del self.routes[address]

    def tell_strangers(self, on: bool) -> None:
        self.tells = on

    def counters(self) -> dict[str, int]:
        return {"media_stranger": 3}

    def close(self) -> None:
        self.closed += 1

    def come(self, address: tuple[str, int], data: bytes, kind: str = "rtp") -> None:
        """A stranger's datagram comes, and is told as far as that was asked for."""
        if self.tells and address not in self.routes:
            assert self.on_datagram is not None
            self.on_datagram(Datagram(kind, address, data, 0))  # type: ignore[arg-type]


class FakeLeg:
    def __init__(self) -> None:
        self.peer: FakePeer | None = None
        self.closed = False

    def attach(self, peer: FakePeer | None) -> None:
        if self.closed:
            raise RuntimeError("the leg is closed")
        if peer is not None and peer.leg is not None:
            peer.leg.peer = None
        self.peer = peer
        if peer is not None:
            peer.leg = self


class World:
    """A platform whose ticks, clock, port and peers the test makes."""

    def __init__(self) -> None:
        self.port = FakePort()
        self.peers: list[FakePeer] = []
        self.callbacks: list[Callable[[], None]] = []
        self.now_ns = 1000 * MS
        self.sends_byes = True
        self.endpoint = RtpEndpoint(cast(MediaPlatform, self), cast(Any, self.port))

    def make_peer(self, settings: PeerSettings) -> Peer:
        self.peers.append(FakePeer(settings))
        return cast(Peer, self.peers[-1])

    def on_tick(self, callback: Callable[[], None]) -> Callable[[], None]:
        self.callbacks.append(callback)
        return lambda: self.callbacks.remove(callback)

    def tells(self) -> bool:
        """Whether the port was asked for what strangers send."""
        return self.port.tells

    def tick(self, count: int = 1) -> None:
        for _ in range(count):
            self.now_ns += 20 * MS
            for peer in self.peers:
                if self.sends_byes and peer.byes_wanted and peer.destination:
                    peer.byes_sent = 1
            for callback in tuple(self.callbacks):
                callback()

    def connect(self, **fields: Any) -> tuple[rtp.RtpTransport, FakePeer, FakeLeg]:
        leg = FakeLeg()
        settings = {"codec": "pcmu", "payload_type": 0, **fields}
        transport = self.endpoint.connect(cast(Leg, leg), RtpParameters(**settings))
        return transport, self.peers[-1], leg

    async def closing(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        for _ in range(20):
            await asyncio.sleep(0)
            self.tick()
        await asyncio.wait_for(task, 5)


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> World:
    made = World()
    monkeypatch.setattr(time, "monotonic_ns", lambda: made.now_ns)
    return made


def packet(payload_type: int = 0, payload: bytes = b"\xff" * 160) -> bytes:
    return struct.pack("!BBHII", 0x80, payload_type, 1, 160, 99) + payload


async def test_legs_of_one_port_are_told_apart_by_their_far_ends(world: World) -> None:
    first, first_peer, first_leg = world.connect(remote=THERE)
    _, second_peer, second_leg = world.connect(remote=ELSEWHERE)
    assert world.port.routes == {THERE: first_peer, ELSEWHERE: second_peer}
    assert (first_peer.destination, second_peer.destination) == (THERE, ELSEWHERE)
    assert (first_leg.peer, second_leg.peer) == (first_peer, second_peer)
    await first.connected()
    # Strangers are nobody's business where every far end is known.
    assert not world.tells()
    with pytest.raises(RuntimeError, match="another leg of this port has its far end at"):
        world.connect(remote=THERE)
    assert world.port.routes[THERE] is first_peer
    assert not first_peer.settings.secure


async def test_an_address_is_learnt_once_from_a_packet_of_an_agreed_type(world: World) -> None:
    transport, peer, _ = world.connect(learn_address=True, event_type=101)
    assert world.tells()
    with pytest.raises(TimeoutError):
        await transport.connected(timeout_s=0)
    world.port.come(ELSEWHERE, packet(8))  # another payload type
    world.port.come(ELSEWHERE, b"\x80\x00 too short")
    world.port.come(ELSEWHERE, packet(), kind="rtcp")
    world.port.come(("192.0.2.8", 0), packet())
    assert {transport.remote, *world.port.routes} == {None}
    world.port.come(THERE, packet(101))  # tones are agreed upon too
    assert transport.remote == THERE
    assert (world.port.routes, peer.destination) == ({THERE: peer}, THERE)
    await transport.connected()
    # From now on strangers are not even told of.
    assert not world.tells()
    world.port.come(ELSEWHERE, packet())
    assert transport.remote == THERE
    counters = world.endpoint.counters()
    assert (counters["learnt"], counters["not_learnt"]) == (1, 4)
    assert counters["media_stranger"] == 3


async def test_without_learning_no_packet_says_where_the_far_end_is(world: World) -> None:
    transport, peer, _ = world.connect()
    assert not world.tells()
    world.port.come(THERE, packet())
    assert (transport.remote, peer.destination) == (None, None)
    transport.redirect(THERE)
    assert (transport.remote, peer.destination) == (THERE, THERE)
    await transport.connected()


async def test_what_was_told_late_is_ignored_once_learnt(world: World) -> None:
    transport, _, _ = world.connect(learn_address=True)
    world.port.come(THERE, packet())
    callback = world.port.on_datagram
    assert callback is not None
    callback(Datagram("rtp", ELSEWHERE, packet(), 0))
    assert transport.remote == THERE
    assert world.endpoint.counters()["not_learnt"] == 1


async def test_a_learning_leg_sends_to_the_signalled_address_until_another_is_first(
    world: World,
) -> None:
    transport, peer, _ = world.connect(remote=THERE, learn_address=True)
    assert peer.destination == THERE
    world.port.come(ELSEWHERE, packet())
    assert (transport.remote, peer.destination) == (ELSEWHERE, ELSEWHERE)
    assert world.port.routes == {ELSEWHERE: peer}


async def test_the_signalled_address_that_speaks_first_is_the_right_one(world: World) -> None:
    transport, peer, _ = world.connect(remote=THERE, learn_address=True)
    peer.heard_ns = world.now_ns
    # Before any tick has noticed: the stranger is second all the same.
    world.port.come(ELSEWHERE, packet())
    assert transport.remote == THERE
    assert not world.tells()
    other, other_peer, _ = world.connect(remote=THIRD, learn_address=True)
    other_peer.heard_ns = world.now_ns
    world.tick(5)
    assert not world.tells()
    assert other.remote == THIRD


async def test_one_leg_at_a_time_learns_on_a_port(world: World) -> None:
    first, _, _ = world.connect(learn_address=True)
    with pytest.raises(RuntimeError, match="one leg at a time that learns"):
        world.connect(learn_address=True)
    await world.closing(first.close())
    assert not world.tells()
    _, second_peer, _ = world.connect(learn_address=True)
    world.port.come(THERE, packet())
    assert world.port.routes == {THERE: second_peer}


async def test_another_legs_far_end_is_never_learnt(world: World) -> None:
    _, first_peer, _ = world.connect(remote=THERE)
    learner, _, _ = world.connect(learn_address=True)
    callback = world.port.on_datagram
    assert callback is not None
    callback(Datagram("rtp", THERE, packet(), 0))  # told before its route was set
    assert learner.remote is None
    assert world.port.routes == {THERE: first_peer}


async def test_a_redirected_leg_takes_from_its_new_far_end_alone(world: World) -> None:
    transport, peer, _ = world.connect(remote=THERE)
    _, other_peer, _ = world.connect(remote=ELSEWHERE)
    with pytest.raises(RuntimeError, match="another leg"):
        transport.redirect(ELSEWHERE)
    with pytest.raises(ValueError, match="numeric IP address"):
        transport.redirect(("pbx.example.com", 5004))
    assert world.port.routes == {THERE: peer, ELSEWHERE: other_peer}
    transport.redirect(THIRD)
    assert world.port.routes == {THIRD: peer, ELSEWHERE: other_peer}
    assert peer.destination == THIRD


async def test_media_are_lost_after_two_seconds_and_come_back_once_each(world: World) -> None:
    transport, peer, _ = world.connect(remote=THERE)
    events: list[bool] = []
    transport.on_media = events.append
    world.tick(99)
    assert events == []
    world.tick(10)
    assert events == [False]  # also when nothing ever came
    world.tick(200)
    assert events == [False]
    peer.heard_ns = world.now_ns
    world.tick(5)
    assert events == [False, True]
    for _ in range(50):
        peer.heard_ns = world.now_ns
        world.tick(5)
    assert events == [False, True]
    world.tick(110)
    assert events == [False, True, False]
    assert not transport.closed.done()


async def test_hold_is_no_loss(world: World) -> None:
    transport, peer, _ = world.connect(remote=THERE)
    events: list[bool] = []
    transport.on_media = events.append
    peer.heard_ns = world.now_ns
    transport.expects_media = False
    transport.sends = False
    assert [peer.destination] == [None]
    world.tick(500)
    assert events == []
    transport.expects_media = True
    transport.sends = True
    assert peer.destination == THERE
    world.tick(95)
    assert events == []  # two seconds from the resumption, not from what came last
    world.tick(15)
    assert events == [False]


async def test_a_leg_that_knows_no_far_end_has_nothing_to_lose(world: World) -> None:
    transport, _, _ = world.connect(learn_address=True)
    events: list[bool] = []
    transport.on_media = events.append
    world.tick(500)
    assert events == []
    world.port.come(THERE, packet())
    world.tick(99)
    assert events == []
    world.tick(10)
    assert events == [False]


async def test_keys_are_told_when_they_are_pressed(world: World) -> None:
    transport, peer, _ = world.connect(remote=THERE)
    keys: list[str] = []
    transport.on_tone = keys.append
    peer.tones = [Tone("5", False, 0), Tone("5", True, 100), Tone("#", False, 0)]
    world.tick()
    assert keys == ["5", "#"]
    assert transport.queue_tone("1")
    assert transport.queue_tone("2", duration_ms=200, pause_ms=10)
    assert peer.queued == [("1", 100, 50), ("2", 200, 10)]


async def test_closing_says_bye_and_lets_go_of_everything(world: World) -> None:
    transport, peer, leg = world.connect(remote=THERE)
    transport.sends = False
    await world.closing(transport.close())
    await world.closing(transport.close())
    assert (peer.byes_wanted, peer.byes_sent) == (1, 1)  # on hold too
    assert (world.port.routes, peer.destination, leg.peer) == ({}, None, None)
    assert world.callbacks == []
    assert transport.closed.result() == "closed here"
    # Its far end may be another leg's now.
    world.connect(remote=THERE)


async def test_closing_does_not_wait_for_ticks_that_send_nothing(world: World) -> None:
    world.sends_byes = False
    transport, peer, leg = world.connect(remote=THERE)
    await world.closing(transport.close())
    assert (peer.byes_sent, leg.peer) == (0, None)


async def test_a_bye_that_nothing_follows_ends_the_leg(world: World) -> None:
    transport, peer, _ = world.connect(remote=THERE)
    peer.heard_ns = world.now_ns
    peer.byes_heard = 1
    for _ in range(10):  # the far end only changed its SSRC
        world.tick(10)
        peer.heard_ns = world.now_ns
        peer.received += 10
        world.tick(5)
    assert not transport.closed.done()
    peer.byes_heard = 2
    world.tick(10)
    peer.received += 2  # what was under way
    assert not transport.closed.done()
    world.tick(30)
    assert transport.closed.result() == "the far end said bye"
    await world.closing(transport.close())
    assert peer.byes_wanted == 0
    with pytest.raises(ConnectionError, match="said bye"):
        # A leg that never was connected tells why.
        waiting, _, _ = world.connect(learn_address=True)
        waiting._closed.resolve("the far end said bye")
        await waiting.connected()


async def test_a_moved_leg_keeps_its_far_end(world: World) -> None:
    transport, peer, leg = world.connect(remote=THERE)
    other = FakeLeg()
    transport.move(cast(Leg, other))
    assert (leg.peer, other.peer) == (None, peer)
    assert world.port.routes == {THERE: peer}


async def test_a_leg_that_was_closed_first_or_is_anothers_by_now_is_left_alone(
    world: World,
) -> None:
    transport, _, leg = world.connect(remote=THERE)
    leg.closed = True
    await world.closing(transport.close())
    assert world.port.routes == {}
    transport, peer, leg = world.connect(remote=THERE)
    leg.peer = other = FakePeer(peer.settings)
    await world.closing(transport.close())
    assert leg.peer is other


async def test_a_loop_that_stood_still_says_nothing_of_the_far_end(world: World) -> None:
    transport, peer, _ = world.connect(remote=THERE)
    events: list[bool] = []
    transport.on_media = events.append
    peer.heard_ns = world.now_ns
    world.tick(5)
    world.now_ns += 10_000 * MS
    world.tick(50)
    assert events == []
    world.tick(60)
    assert events == [False]


async def test_closing_an_endpoint_closes_its_legs_and_then_the_port(world: World) -> None:
    first, first_peer, _ = world.connect(remote=THERE)
    second, _, _ = world.connect(learn_address=True)
    await world.closing(world.endpoint.close())
    assert first.closed.result() == second.closed.result() == "closed here"
    assert (first_peer.byes_sent, world.port.closed) == (1, 1)
    with pytest.raises(RuntimeError, match="endpoint is closed"):
        world.connect(remote=THERE)


async def test_counters_are_the_peers_with_frames_in_and_out(world: World) -> None:
    transport, _, _ = world.connect(remote=THERE)
    counters = transport.counters()
    assert (counters["frames_in"], counters["frames_out"], counters["byes_sent"]) == (7, 5, 0)


@pytest.mark.parametrize(
    ("data", "payload_type"),
    [
        (packet(), 0),
        (packet(0x80 | 8), 8),  # the marker
        (packet(payload=b""), None),
        (packet()[:11], None),
        (b"\x40" + packet()[1:], None),
        (b"\x81" + packet()[1:], 0),  # one CSRC
        (b"\x8f" + packet(payload=b"x" * 59)[1:], None),
        (b"\x90" + packet(payload=b"\xbe\xde\0\1abcdz")[1:], 0),
        (b"\x90" + packet(payload=b"\xbe\xde\0\1abcd")[1:], None),
        (b"\x90" + packet(payload=b"\xbe\xde\0")[1:], None),
        (b"\xa0" + packet(payload=b"z\1")[1:], 0),
        (b"\xa0" + packet(payload=b"z\2")[1:], None),
        (b"\xa0" + packet(payload=b"z\0")[1:], None),
    ],
)
def test_what_counts_as_a_packet(data: bytes, payload_type: int | None) -> None:
    assert payload_type_of(data) == payload_type


DATAGRAMS = st.builds(
    lambda first, second, rest: bytes((first, second)) + rest,
    st.sampled_from((0x80, 0x81, 0x90, 0x91, 0xA0, 0xB2, 0x40)),
    st.integers(0, 255),
    st.binary(max_size=40) | st.builds(lambda h, t: h + b"\xbe\xde\0\1" + t, *[st.binary()] * 2),
)


@given(st.binary(max_size=80) | DATAGRAMS)
@example(b"\xa0" + packet(payload=b"z\2")[1:])
def test_the_first_packet_is_one_wherever_the_engine_takes_it_for_one(data: bytes) -> None:
    parsed = Rtp()
    is_packet = LIB.mm_rtp_parse(parsed, data, len(data), 0) == 0 and parsed.payload_size > 0
    assert payload_type_of(data) == (parsed.payload_type if is_packet else None)
