"""A WebRTC leg's life without sockets: set-up, moves, hold, losses, ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, cast

import pytest

from mixminus.media.bridge import Leg
from mixminus.media.peer import Tone
from mixminus.media.transports.dtls import Certificate, DtlsState
from mixminus.media.transports.sdp import SdpError
from mixminus.media.transports.webrtc import WebRtcTransport
from mixminus.media.transports.webrtc_endpoint import WebRtcEndpoint
from tests.offers import CHROMIUM
from tests.support import eventually
from tests.webrtc_kit import FakeLeg, FakePeer, FakePlatform, FakePort, FarEnd, make

SECOND_NS = 1_000_000_000
RESTARTED = CHROMIUM.replace("Zx3Q", "NewU").replace("c0bLsO6b1PxSZ9oYj0cC3tqV", "x" * 24)
HELD = CHROMIUM.replace("a=sendrecv", "a=sendonly")


@dataclass
class World:
    platform: FakePlatform
    endpoint: WebRtcEndpoint
    port: FakePort
    leg: FakeLeg
    transport: WebRtcTransport
    far: FarEnd

    @property
    def peer(self) -> FakePeer:
        return self.platform.peers[0]

    async def connect(self, offer: str = CHROMIUM) -> None:
        await self.far.connect(self.transport, offer)

    def look(self, seconds: float, *, heard_s: float | None = None) -> None:
        """Let so much time pass since the connection, for the endpoint's timer."""
        begin_ns = self.transport._watch._since_ns if self.transport._watch else time.monotonic_ns()
        if heard_s is not None:
            self.peer.last_heard_ns = begin_ns + int(heard_s * SECOND_NS)
        now_ns = begin_ns + int(seconds * SECOND_NS)
        # As its timer has it: no gaps that would be excused.
        self.endpoint._polled_ns = now_ns
        self.endpoint.poll(now_ns)

    async def ended(self) -> str:
        """Let the ticks go on until the transport has closed."""
        reason = await asyncio.wait_for(self.transport.closed, 1)
        await self.ticks(self.transport.close())
        return reason

    async def ticks(self, closing: object) -> None:
        task = asyncio.ensure_future(closing)  # type: ignore[call-overload]
        while not task.done():
            self.platform.tick()
            await asyncio.sleep(0)
        await task


# Functions, because a type checker takes what an attribute was for what it is.
def peer_of(leg: FakeLeg) -> Any:
    return leg.peer


def state_of(far: FarEnd) -> DtlsState:
    return far.dtls.state


def keys_of(world: World) -> tuple[int, bytes, bytes] | None:
    return world.peer.keys


def is_held(world: World) -> bool:
    return world.transport.is_held


@pytest.fixture
async def world() -> AsyncIterator[World]:
    platform = FakePlatform()
    endpoint = await platform.endpoint()
    port = platform.ports[0]
    leg = FakeLeg()
    made = World(platform, endpoint, port, leg, make(endpoint, leg), FarEnd(port))
    yield made
    await made.ticks(endpoint.close())
    assert port.is_closed
    assert not port.routes
    assert platform.callbacks == []
    assert not endpoint._by_ufrag
    assert endpoint._timer is None


async def test_keys_come_after_the_handshake_and_the_leg_is_attached_then(world: World) -> None:
    answer = await world.transport.answer(world.far.offer())
    assert "a=ice-lite" in answer
    assert "127.0.0.1" in answer
    assert peer_of(world.leg) is None
    world.far.take(answer)
    world.far.check(nominates=True)
    assert keys_of(world) is None
    assert peer_of(world.leg) is None
    world.far.shake_hands()
    assert state_of(world.far) is DtlsState.OPEN
    keys = world.far.dtls.keys
    assert keys is not None
    assert keys_of(world) == (keys.profile.number, keys.send, keys.receive)
    assert peer_of(world.leg) is world.peer
    assert world.peer.destination == (world.port, world.far.address)
    await world.transport.connected(0.1)
    assert f"a=ssrc:{world.peer.ssrc} cname:{world.peer.settings.cname}" in answer


async def test_the_route_is_set_before_the_check_is_answered(world: World) -> None:
    world.far.take(await world.transport.answer(world.far.offer()))
    response = world.far.check()
    assert world.port.log == ["route", "send"]
    assert world.port.routes == {world.far.address: world.peer}
    assert response is not None
    assert response.attributes["XOR-MAPPED-ADDRESS"] == world.far.address
    assert world.peer.checks_heard == 1


async def test_strangers_are_met_with_silence(world: World) -> None:
    world.far.take(await world.transport.answer(world.far.offer()))
    guess = FarEnd(world.port, ("203.0.113.1", 6))
    guess.ufrag, guess.password = world.far.ufrag, "x" * 32
    assert guess.check() is None
    guess.ufrag = "nobody"
    assert guess.check() is None
    guess.shake_hands()
    assert world.port.sent == []
    assert world.port.routes == {}
    counts = world.endpoint.counters()
    assert counts["stun_forged"] == counts["stun_unknown_user"] == 1


async def test_nothing_is_ever_sent_to_an_offers_candidates(world: World) -> None:
    candidates = "".join(
        f"a=candidate:{n} 1 udp 99 {host} 80 typ host\n"
        for n, host in enumerate(("169.254.169.254", "127.0.0.1", "10.0.0.1", "::1"))
    )
    text = world.far.offer().replace("a=mid:0\n", f"a=mid:0\n{candidates}")
    for setup in ("actpass", "passive"):
        await make(world.endpoint).answer(text.replace("actpass", setup))
    for second in range(40):
        world.look(second)
    assert world.port.sent == []


async def test_settings_follow_the_offer(world: World) -> None:
    await world.transport.answer(world.far.offer())
    settings = world.peer.settings
    assert (settings.codec, settings.payload_type, settings.fec) == ("opus", 111, True)
    assert (settings.event_type, settings.event_clock_khz) == (110, 48)
    assert settings.level_extension_id == 1
    assert settings.secure
    only_8k = CHROMIUM.replace("a=rtpmap:110 telephone-event/48000\n", "")
    await make(world.endpoint).answer(world.far.offer(only_8k))
    settings = world.platform.peers[1].settings
    # Heard on its clock, and not sent on another.
    assert settings.payload_types[126] == "telephone-event"
    assert (settings.event_type, settings.event_clock_khz) == (None, 8)


async def test_we_begin_dtls_where_the_far_end_waits(world: World) -> None:
    passive = CHROMIUM.replace("actpass", "passive")
    waiting = FarEnd(world.port, is_dtls_client=False)
    answer = await world.transport.answer(waiting.offer(passive))
    assert "a=setup:active" in answer
    waiting.take(answer)
    waiting.check(nominates=True)
    # Its own answer first, and then our ClientHello.
    hello = world.port.sent[-1][0]
    assert hello[0] == 22
    assert world.port.sent[-2][0][0] == 1
    waiting.dtls.receive(hello)
    waiting.carry()
    await world.transport.connected(0.1)
    assert world.peer.keys is not None


async def test_another_certificate_gives_no_keys_and_ends_at_once(world: World) -> None:
    answer = await world.transport.answer(world.far.offer())
    other = FarEnd(world.port, shows=Certificate.generate())
    other.take(answer)
    other.check(nominates=True)
    other.shake_hands()
    with pytest.raises(ConnectionError, match="certificate"):
        await world.transport.connected(0.1)
    assert world.peer.keys is None
    assert peer_of(world.leg) is None
    await world.ended()
    assert world.port.routes == {}


async def test_media_goes_where_the_far_end_nominates(world: World) -> None:
    await world.connect()
    first = world.far.address
    world.far.address = ("192.0.2.10", 5_001)
    world.far.check()
    assert world.peer.destination == (world.port, first)
    world.far.check(nominates=True)
    assert world.peer.destination == (world.port, world.far.address)
    assert set(world.port.routes) == {first, world.far.address}
    # What it no longer uses goes in time.
    world.look(31, heard_s=31)
    assert set(world.port.routes) == {world.far.address}


async def test_at_most_four_addresses_are_let_in(world: World) -> None:
    await world.connect()
    for number in range(10):
        world.far.address = ("192.0.2.50", 1000 + number)
        world.far.check()
    assert len(world.port.routes) == 4
    assert ("192.0.2.9", 5_000) in world.port.routes
    assert ("192.0.2.50", 1009) in world.port.routes


async def test_nobody_takes_anothers_address(world: World) -> None:
    await world.connect()
    thief = FarEnd(world.port, world.far.address)
    other = make(world.endpoint)
    thief.take(await other.answer(thief.offer()))
    assert thief.check(nominates=True) is None
    assert world.port.routes[world.far.address] is world.peer
    assert world.endpoint.counters()["stun_taken"] == 1
    # Once its leg is gone the address is free.
    await world.ticks(world.transport.close())
    assert thief.check(nominates=True) is not None
    assert world.port.routes[world.far.address] is world.platform.peers[1]


async def test_an_ice_restart_keeps_keys_and_leg_and_moves_the_media(world: World) -> None:
    await world.connect()
    keys, old = world.peer.keys, (world.far.ufrag, world.far.password)
    before = world.far.address
    assert world.transport.can_restart(world.far.offer(RESTARTED))
    answer = await world.transport.answer(world.far.offer(RESTARTED))
    assert old[0] not in answer
    # Until the new address has proven itself the old one is used.
    assert world.far.check() is not None
    assert world.peer.destination == (world.port, before)
    world.far.take(answer)
    world.far.address = ("198.51.100.7", 7_000)
    assert world.far.check() is not None
    assert world.peer.destination == (world.port, world.far.address)
    assert world.peer.keys is keys
    assert peer_of(world.leg) is world.peer
    assert len(world.platform.peers) == 1
    assert world.transport.counters()["ice_restarts"] == 1
    # The old credentials are worth nothing any more.
    world.far.ufrag, world.far.password = old
    assert world.far.check() is None
    # And close_notify goes to the new address.
    world.port.sent.clear()
    await world.ticks(world.transport.close())
    assert world.port.sent[-1][1] == ("198.51.100.7", 7_000)


async def test_hold_stops_sending_and_is_no_loss(world: World) -> None:
    told: list[bool] = []
    world.transport.on_media = told.append
    await world.connect()
    first = await world.transport.answer(world.far.offer(HELD))
    assert "a=recvonly" in first
    assert is_held(world)
    assert world.peer.destination == (None, None)
    world.look(10)
    assert told == []
    again = await world.transport.answer(world.far.offer())
    assert "a=sendrecv" in again
    assert world.peer.destination == (world.port, world.far.address)
    assert not is_held(world)
    for text in (first, again):
        assert f"a=ice-ufrag:{world.far.ufrag}" in text
    # Each has a new version of the same session.
    (o_first,) = [line.split() for line in first.split("\r\n") if line.startswith("o=")]
    (o_again,) = [line.split() for line in again.split("\r\n") if line.startswith("o=")]
    assert o_first[1] == o_again[1]
    assert int(o_again[2]) == int(o_first[2]) + 1


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("6B:8B:F0", "6B:8B:F1", "certificate"),
        ("111", "112", "codecs"),
        ("a=rtpmap:110 telephone-event/48000\n", "", "codecs"),
        ("a=extmap:1 ", "a=extmap:7 ", "codecs"),
        ("actpass", "passive", "DTLS role"),
    ],
)
async def test_what_needs_a_new_connection_is_refused_and_changes_nothing(
    world: World, old: str, new: str, what: str
) -> None:
    await world.transport.answer(CHROMIUM)
    changed = RESTARTED.replace(old, new)
    assert not world.transport.can_restart(changed)
    with pytest.raises(SdpError, match=f"{what}: another needs a new connection"):
        await world.transport.answer(changed)
    assert not world.transport.can_restart("v=0")
    with pytest.raises(SdpError):
        await world.transport.answer("v=0")
    assert world.transport.can_restart(RESTARTED)
    fewer = RESTARTED.replace("111 63 9 0 8 13 110 126", "111 110")
    assert "SAVPF 111 110\r\n" in await world.transport.answer(fewer)


async def test_lost_media_is_told_once_and_so_is_its_return(world: World) -> None:
    told: list[bool] = []
    world.transport.on_media = told.append
    await world.connect()
    world.look(1.9)
    assert told == []
    world.look(2.2)
    world.look(2.6)
    assert told == [False]
    world.look(3.0, heard_s=2.9)
    world.look(3.4, heard_s=3.3)
    assert told == [False, True]
    world.transport.expects_media = False
    world.look(9.0)
    assert told == [False, True]


async def test_thirty_silent_seconds_end_it(world: World) -> None:
    await world.connect()
    world.look(29, heard_s=0)
    assert not world.transport.closed.done()
    world.look(30.5)
    assert await world.ended() == "the far end has been silent for 30 s"


async def test_a_loop_that_was_held_up_blames_nobody(world: World) -> None:
    told: list[bool] = []
    world.transport.on_media = told.append
    await world.connect()
    begin_ns = time.monotonic_ns()
    world.endpoint.poll(begin_ns + 60 * SECOND_NS)
    assert not world.transport.closed.done()
    assert told == []
    world.endpoint._polled_ns = begin_ns + 91 * SECOND_NS
    world.endpoint.poll(begin_ns + 91 * SECOND_NS)
    assert await world.ended() == "the far end has been silent for 30 s"


async def test_a_far_end_that_never_connects_ends(world: World) -> None:
    await world.transport.answer(world.far.offer())
    world.look(29)
    assert not world.transport.closed.done()
    world.look(31)
    assert await world.ended() == "the far end did not connect within 30 s"
    with pytest.raises(ConnectionError, match="within 30 s"):
        await world.transport.connected()
    with pytest.raises(ConnectionError, match="within 30 s"):
        await world.transport.answer(world.far.offer())
    assert not world.transport.can_restart(world.far.offer())


async def test_a_bye_ends_it_unless_audio_goes_on_or_the_far_end_holds(world: World) -> None:
    await world.connect()
    counts = world.peer.counts
    counts.update(byes_heard=1, received=100)
    world.look(1.0, heard_s=0.7)
    counts.update(received=120)
    world.look(2.0, heard_s=2.0)
    world.look(4.0, heard_s=3.5)
    assert not world.transport.closed.done()
    await world.transport.answer(world.far.offer(CHROMIUM.replace("a=sendrecv", "a=recvonly")))
    counts.update(byes_heard=2)
    world.look(5.0, heard_s=4.7)
    world.look(6.0, heard_s=5.7)
    assert not world.transport.closed.done()
    await world.transport.answer(world.far.offer())
    counts.update(byes_heard=3)
    world.look(7.0, heard_s=6.7)
    counts.update(received=122)
    world.look(7.6, heard_s=7.6)
    assert await world.ended() == "the far end said BYE"


async def test_close_notify_ends_it(world: World) -> None:
    await world.connect()
    world.far.dtls.close()
    world.far.carry()
    assert await world.ended() == "the far end closed the connection"
    assert peer_of(world.leg) is None
    assert not world.peer.says_bye


async def test_closing_says_bye_with_a_tick_and_then_close_notify(world: World) -> None:
    await world.connect()
    await world.transport.answer(world.far.offer(HELD))
    closing = asyncio.ensure_future(world.transport.close())
    await eventually(lambda: world.platform.callbacks)
    assert world.peer.says_bye
    assert peer_of(world.leg) is world.peer
    sent = len(world.port.sent)
    # A tick that has not sent it yet is not the one.
    world.platform.tick(says_byes=False)
    await asyncio.sleep(0)
    assert not closing.done()
    world.platform.tick()
    await asyncio.wait_for(closing, 1)
    for data, _ in world.port.sent[sent:]:
        world.far.dtls.receive(data)
    assert state_of(world.far) is DtlsState.CLOSED
    assert peer_of(world.leg) is None
    assert world.peer.destination == (None, None)
    assert await world.transport.closed == "closed here"
    await world.transport.close()


async def test_a_leg_that_nobody_ticks_closes_all_the_same(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.connect()
    monkeypatch.setattr("mixminus.media.transports.webrtc.BYE_TIMEOUT_S", 0.02)
    world.leg.is_closed = True
    await world.transport.close()
    assert "no tick came" in caplog.text
    assert world.port.routes == {}


async def test_moving_takes_the_peer_to_the_other_leg(world: World) -> None:
    first, second = FakeLeg(), FakeLeg()
    world.transport.move(cast(Leg, first))
    assert peer_of(first) is None
    await world.connect()
    assert peer_of(first) is world.peer
    world.transport.move(cast(Leg, second))
    assert peer_of(second) is world.peer
    full = FakeLeg()
    full.is_closed = True
    with pytest.raises(RuntimeError):
        world.transport.move(cast(Leg, full))
    await world.ticks(world.transport.close())
    assert peer_of(second) is None


async def test_a_leg_that_was_closed_during_set_up_ends_it(world: World) -> None:
    world.leg.is_closed = True
    with pytest.raises(ConnectionError, match="the leg is closed"):
        await world.connect()
    await world.ended()
    assert world.port.routes == {}


async def test_keys_are_told_when_they_go_down(world: World) -> None:
    keys: list[str] = []
    world.transport.on_tone = keys.append
    await world.connect()
    world.peer.tones = [Tone("5", False, 0), Tone("5", True, 100), Tone("#", False, 0)]
    world.look(0.01)
    assert keys == ["5", "#"]


async def test_one_legs_listener_does_not_cost_the_others(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(key: str) -> None:
        raise ValueError("no such key")

    world.transport.on_tone = fail
    await world.connect()
    other = make(world.endpoint)
    far = FarEnd(world.port, ("192.0.2.77", 7))
    keys: list[str] = []
    other.on_tone = keys.append
    await far.connect(other)
    for peer in world.platform.peers:
        peer.tones = [Tone("1", False, 0)]
    world.look(0.01)
    assert keys == ["1"]
    assert "no such key" in caplog.text


async def test_an_answer_after_the_end_and_a_leg_on_a_closed_endpoint_are_refused() -> None:
    platform = FakePlatform()
    endpoint = await platform.endpoint()
    transport = make(endpoint)
    assert transport.quality().received_packets == 0
    assert transport.counters()["frames_in"] == 0
    await endpoint.close()
    await endpoint.close()
    with pytest.raises(ConnectionError, match="closed here"):
        await transport.answer(CHROMIUM)
    with pytest.raises(RuntimeError, match="closed"):
        make(endpoint)
