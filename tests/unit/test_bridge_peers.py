"""Legs with peers in a bridge, in virtual time: who hears what, shares an encode, moves."""

from __future__ import annotations

import gc
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from mixminus.media import _native
from mixminus.media.libraries import codec_libraries
from mixminus.media.peer import Peer, PeerSettings
from mixminus.media.transports.opus_settings import LOWER_BIT_RATES

Pcm = NDArray[np.int16]
LINK = 126
MU_LAW = 0
FRAME = 320


def tone(amplitude: int, frequency_hz: float, frames: int = 1, start: int = 0) -> Pcm:
    at = np.arange(start * FRAME, (start + frames) * FRAME)
    return (amplitude * np.sin(2 * np.pi * frequency_hz * at / 16_000)).astype(np.int16)


class Party:
    """A leg whose far end speaks frames into it and reads the datagrams that it is sent."""

    def __init__(
        self, engine: _native.Engine, bridge: _native.Bridge, number: int, codec: str = "pcmu"
    ) -> None:
        self.engine, self.number = engine, number
        self.peer = Peer.make(
            engine,
            PeerSettings(
                payload_types={LINK: "pcm16k"},
                codec=codec,
                payload_type=MU_LAW,
                secure=False,
                ssrc=number,
            ),
        )
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.setblocking(False)
        self.port = engine.open_port("127.0.0.1")
        self.peer._peer.set_destination(self.port, *self.socket.getsockname())
        self.leg = bridge.add_leg(number)
        self.leg.attach(self.peer._peer)
        self.said = 0

    def say(self, pcm: Pcm) -> None:
        self.peer.push(
            pcm.tobytes(), sequence=self.said, timestamp_samples=self.said * FRAME, flags=0
        )
        self.said += 1

    def heard(self) -> list[tuple[int, int, int, bytes]]:
        """(sequence, timestamp, SSRC, payload) of the RTP packets that came."""
        packets: list[tuple[int, int, int, bytes]] = []
        while True:
            try:
                data = self.socket.recv(2048)
            except BlockingIOError:
                return packets
            if data[1] & 0x7F == MU_LAW:
                sequence = int.from_bytes(data[2:4], "big")
                time, ssrc = int.from_bytes(data[4:8], "big"), int.from_bytes(data[8:12], "big")
                packets.append((sequence, time, ssrc, data[12:]))

    def close(self) -> None:
        self.socket.close()
        self.peer._peer.set_destination(None)
        self.port.close()


class Stage:
    """An engine in virtual time with a bridge of such parties."""

    def __init__(self, parties: int, tick_threads: int = 1, codec: str = "pcmu") -> None:
        self.engine = _native.Engine(tick_threads=tick_threads)
        self.bridge = self.engine.add_bridge()
        self.parties = [Party(self.engine, self.bridge, n + 1, codec) for n in range(parties)]
        self.frame = 0

    def run(
        self,
        frames: int,
        speakers: dict[int, int],
        between: Callable[[], object] | None = None,
    ) -> None:
        """Tick so often; *speakers* are amplitudes by party, all others are silent."""
        for _ in range(frames):
            for index, party in enumerate(self.parties):
                amplitude = speakers.get(index, 0)
                party.say(tone(amplitude, 300 + 170 * index, start=self.frame))
            self.engine.run_ticks(1, between)
            self.frame += 1

    def payloads(self) -> list[list[bytes]]:
        return [[packet[3] for packet in party.heard()] for party in self.parties]

    def close(self) -> None:
        for party in self.parties:
            party.close()
        self.bridge.close()


@pytest.fixture
def four() -> Iterator[Stage]:
    stage = Stage(4)
    yield stage
    stage.close()


def decoded(payloads: list[bytes]) -> Pcm:
    """Mu-law to linear at 8 kHz (G.711)."""
    code = ~np.frombuffer(b"".join(payloads), np.uint8)
    magnitude = (((code & 15).astype(np.int32) << 3) + 132 << ((code & 0x70) >> 4)) - 132
    return np.where(code & 0x80, -magnitude, magnitude).astype(np.int16)


def level(pcm: Pcm, frequency_hz: float) -> float:
    """Amplitude of one frequency in *pcm* at 8 kHz."""
    turns = np.exp(-2j * np.pi * frequency_hz * np.arange(len(pcm)) / 8_000)
    return float(2 * abs(np.mean(pcm * turns)))


def test_listeners_share_one_encode_and_the_speaker_hears_nobody(four: Stage) -> None:
    four.run(50, {0: 8000})
    four.payloads()
    four.run(20, {0: 8000})
    speaker, *listeners = four.payloads()
    assert len(speaker) == 20
    assert listeners[0] == listeners[1] == listeners[2]
    assert level(decoded(listeners[0]), 300) == pytest.approx(8000, rel=0.05)
    assert np.abs(decoded(speaker)).max() < 40, "a lone speaker hears silence"


def test_each_of_two_speakers_hears_the_other_and_listeners_both(four: Stage) -> None:
    four.run(50, {0: 6000, 1: 4000})
    four.payloads()
    four.run(40, {0: 6000, 1: 4000})
    heard = [decoded(payloads) for payloads in four.payloads()]
    levels = [(level(pcm, 300), level(pcm, 470)) for pcm in heard]
    assert levels[0][0] < 60
    assert levels[1][1] < 60
    assert levels[0][1] == pytest.approx(4000, rel=0.05)
    assert levels[1][0] == pytest.approx(6000, rel=0.05)
    for both in levels[2:]:
        assert both == pytest.approx((6000, 4000), rel=0.05)


def test_what_is_below_the_gate_is_not_heard(four: Stage) -> None:
    four.run(50, {0: 8000, 2: 60})  # -58 dBov
    four.payloads()
    four.run(40, {0: 8000, 2: 60})
    heard = [decoded(payloads) for payloads in four.payloads()]
    assert np.abs(heard[0]).max() < 40
    assert level(heard[1], 640) < 10


def test_a_mask_says_who_is_heard(four: Stage) -> None:
    first, second, third, fourth = (party.leg for party in four.parties)
    four.bridge.set_routes([(third, [second]), (fourth, [])])
    four.run(50, {0: 6000, 1: 4000})
    four.payloads()
    four.run(40, {0: 6000, 1: 4000})
    heard = [decoded(payloads) for payloads in four.payloads()]
    assert level(heard[2], 470) == pytest.approx(4000, rel=0.05)
    assert level(heard[2], 300) < 60
    assert np.abs(heard[3]).max() < 40
    four.bridge.set_routes([(third, None), (fourth, [first, second])])
    four.run(10, {0: 6000, 1: 4000})
    four.payloads()
    four.run(40, {0: 6000, 1: 4000})
    third_heard, fourth_heard = four.payloads()[2:]
    assert third_heard == fourth_heard, "who hears all that is said shares the encode"


def test_a_mask_of_all_others_is_the_default(four: Stage) -> None:
    legs = [party.leg for party in four.parties]
    four.bridge.set_routes([(leg, [other for other in legs if other is not leg]) for leg in legs])
    four.run(60, {0: 6000})
    four.payloads()
    four.run(10, {0: 6000})
    speaker, *listeners = four.payloads()
    assert listeners[0] == listeners[1] == listeners[2] != speaker


def test_loud_speakers_are_limited_and_not_clipped(four: Stage) -> None:
    loud = {0: 20000, 1: 20000, 2: 20000}
    four.run(100, loud)
    four.payloads()
    four.run(60, loud)
    pcm = decoded(four.payloads()[3])
    levels = [level(pcm, 300 + 170 * n) for n in range(3)]
    assert max(levels) == pytest.approx(min(levels), rel=0.02)
    assert 8000 < levels[0] < 15000
    spectrum = np.abs(np.fft.rfft(pcm * np.hanning(len(pcm))))
    hz = np.fft.rfftfreq(len(pcm), 1 / 8000)
    wanted = np.zeros(len(hz), bool)
    for n in range(3):
        wanted |= abs(hz - (300 + 170 * n)) < 8
    assert np.sum(spectrum[~wanted] ** 2) / np.sum(spectrum[wanted] ** 2) < 0.03**2


def test_rings_and_peers_hear_each_other(four: Stage) -> None:
    ring = four.bridge.add_leg(9, target_frames=1, relay=False)
    for n in range(60):
        ring.source.write(tone(5000, 1100, start=n))
        four.run(1, {0: 6000})
    four.payloads()
    while ring.render.read_into(np.empty(FRAME, np.int16)):
        pass
    got = []
    for n in range(60, 100):
        ring.source.write(tone(5000, 1100, start=n))
        four.run(1, {0: 6000})
        pcm = np.empty(FRAME, np.int16)
        described = ring.render.read_into(pcm)
        assert described is not None
        assert described[2] == (1,), "the leg that speaks is named"
        got.append(pcm)
    assert level(np.concatenate(got)[::2], 300) == pytest.approx(6000, rel=0.05)
    speaker, listener = four.payloads()[:2]
    assert level(decoded(speaker), 1100) == pytest.approx(5000, rel=0.05)
    assert level(decoded(listener), 300) == pytest.approx(6000, rel=0.05)


def test_a_bridge_of_rings_alone_is_not_gated() -> None:
    engine = _native.Engine()
    bridge = engine.add_bridge()
    quiet, ear = bridge.add_leg(1), bridge.add_leg(2)
    pcm = np.full(FRAME, 3, np.int16)
    heard = np.empty(FRAME, np.int16)
    quiet.source.write(pcm)
    engine.run_ticks(1)
    ear.render.read_into(heard)
    assert (heard == 3).all()
    bridge.close()


@pytest.mark.parametrize("tick_threads", [1, 2])
def test_a_peer_moves_and_its_far_end_notices_nothing(tick_threads: int) -> None:
    stage = Stage(2, tick_threads)
    other = stage.engine.add_bridge()
    host = Party(stage.engine, other, 7)
    moving = stage.parties[0]
    stage.run(50, {0: 6000, 1: 5000})
    before = moving.heard()
    target = other.add_leg(5)
    target.attach(moving.peer._peer)
    for n in range(60):
        stage.run(1, {0: 6000, 1: 5000})
        host.say(tone(4000, 900, start=n))
        stage.engine.run_ticks(0)
    packets = [*before, *moving.heard()]
    assert len({ssrc for _, _, ssrc, _ in packets}) == 1
    steps = np.diff([sequence for sequence, *_ in packets]) % 65536
    times = np.diff([time for _, time, *_ in packets])
    assert (steps == 1).all()
    assert set(times) <= {160, 320}, "at most one tick in which nobody had it"
    after = decoded([payload for *_, payload in packets[-40:]])
    assert level(after, 900) == pytest.approx(4000, rel=0.1)
    assert level(after, 470) < 80
    assert level(decoded([packet[3] for packet in host.heard()][-40:]), 300) > 5000
    host.close()
    other.close()
    stage.close()


@pytest.mark.parametrize("absent_ticks", [0, 1, 3, 20, 30])
@pytest.mark.parametrize("is_back", [False, True])
def test_time_goes_on_while_nobody_has_the_peer(is_back: bool, absent_ticks: int) -> None:
    stage = Stage(1, tick_threads=2)
    party = stage.parties[0]
    other = stage.engine.add_bridge()
    before, after = party.leg, other.add_leg(2)
    if is_back:  # from the thread that ticks last to the one that ticks first
        before, after = after, before
        before.attach(party.peer._peer)
    stage.run(20, {0: 8000})
    last = party.heard()[-1]
    if absent_ticks:
        before.attach(None)
        stage.run(absent_ticks, {0: 8000})
    after.attach(party.peer._peer)
    stage.run(20, {0: 8000})
    packets = party.heard()
    assert packets[0][0] == last[0] + 1
    assert (packets[-1][1] - last[1]) % 2**32 == 160 * (absent_ticks + 20)
    stage.close()
    other.close()


def test_what_is_let_go_is_given_back() -> None:
    gc.collect()
    before = _native.live_blocks()
    stage = Stage(6, 2)
    stage.run(20, {0: 9000})
    stage.bridge.remove_leg(stage.parties[2].leg)
    stage.parties[3].leg.attach(None)
    stage.run(5, {})
    stage.close()
    engine = stage.engine
    stage.parties.clear()
    del stage
    gc.collect()
    engine.run_ticks(2)
    engine.reclaim()
    del engine
    gc.collect()
    assert _native.live_blocks() == before


def test_attach_says_what_is_wrong(four: Stage) -> None:
    party = four.parties[0]
    stranger = _native.Engine()
    foreign = stranger.add_bridge().add_leg(1)
    with pytest.raises(ValueError, match="own engine"):
        foreign.attach(party.peer._peer)
    with pytest.raises(TypeError, match="expected a peer or None"):
        party.leg.attach(party.leg)  # type: ignore[arg-type]
    # Its memory would go with its own engine, while this one's threads use it.
    theirs = stranger.open_port("127.0.0.1")
    with pytest.raises(ValueError, match="a port of the peer's own engine"):
        party.peer._peer.set_destination(theirs, "127.0.0.1", 9)
    with pytest.raises(ValueError, match="a peer of the port's own engine"):
        theirs.set_routes([("127.0.0.1", 9, party.peer._peer)])
    theirs.close()
    four.bridge.remove_leg(party.leg)
    with pytest.raises(RuntimeError, match="in no bridge"):
        party.leg.attach(party.peer._peer)


def test_far_ends_may_all_ask_for_something_else() -> None:
    codec_libraries()
    engine = _native.Engine()
    bridge = engine.add_bridge()
    wishes = [
        {"codec": "opus", "bit_rate": bit_rate, "fec": fec, "dtx": dtx}
        for bit_rate in (128_000, *LOWER_BIT_RATES)
        for fec in (False, True)
        for dtx in (False, True)
    ] + [{"codec": codec} for codec in ("pcmu", "pcma", "g722")]
    for wish in wishes:
        settings = PeerSettings(payload_types={LINK: "pcm16k"}, secure=False, **wish)  # type: ignore[arg-type]
        bridge.add_leg(1).attach(Peer.make(engine, settings)._peer)
    engine.run_ticks(3)
    bridge.close()


@pytest.mark.slow
def test_legs_of_several_threads_are_all_kept_though_commands_wait() -> None:
    engine = _native.Engine(period_ns=1_000_000_000)
    bridge, busy = engine.add_bridge(), engine.add_bridge()
    listener = busy.add_leg(0)
    engine.start()
    # Of 1024 commands 16 are kept: whoever comes now waits for the next tick.
    for _ in range(1008):
        busy.set_routes([(listener, None)])
    with ThreadPoolExecutor(8) as threads:
        legs = list(threads.map(bridge.add_leg, range(8)))
    for leg in legs:
        bridge.remove_leg(leg)
    engine.stop()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"codec": "speex"}, "expected a codec of"),
        ({"payload_types": {128: "opus"}}, "from 0 to 127"),
        ({"bit_rate": 5_999}, "bit_rate: expected 6000 to 510000, got 5999"),
        ({"bit_rate": 510_001}, "bit_rate: expected 6000 to 510000, got 510001"),
        ({"complexity": 11}, "complexity: expected 0 to 10, got 11"),
        ({"complexity": -1}, "complexity: expected 0 to 10, got -1"),
        ({"level_extension_id": 0}, "level_extension_id: expected 1 to 14, got 0"),
        ({"level_extension_id": 15}, "level_extension_id: expected 1 to 14, got 15"),
        ({"payload_type": -1}, "payload_type: expected 0 to 127, got -1"),
        ({"event_type": 128}, "event_type: expected 0 to 127, got 128"),
        ({"event_clock_khz": -8}, "event_clock_khz: expected 0 to 48, got -8"),
        ({"cap_ms": -1}, "cap_ms: expected 0 to 65535, got -1"),
        ({"codec": "pcm16k"}, "expected a codec"),
        ({"cname": "x" * 33}, "at most 32 bytes"),
        ({"ssrc": 2**32}, "ssrc: expected 0 to 4294967295, got 4294967296"),
        ({"ssrc": -1}, "ssrc: expected 0 to 4294967295, got -1"),
    ],
)
def test_peer_settings_are_checked(changes: dict[str, object], message: str) -> None:
    engine = _native.Engine()
    good: dict[str, object] = {"payload_types": {0: "pcmu"}, "codec": "pcmu"}
    with pytest.raises(ValueError, match=message):
        Peer.make(engine, PeerSettings(**{**good, **changes}))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "within",
    [
        {"bit_rate": 6_000, "complexity": 0, "level_extension_id": 1},
        {"bit_rate": 510_000, "complexity": 10, "level_extension_id": 14},
    ],
)
def test_peer_settings_reach_to_their_ends(within: dict[str, int]) -> None:
    codec_libraries()
    settings = PeerSettings(payload_types={111: "opus"}, codec="opus", payload_type=111, **within)  # type: ignore[arg-type]
    assert Peer.make(_native.Engine(), settings).counters()["received"] == 0


def test_keys_say_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = PeerSettings(payload_types={0: "pcmu"}, codec="pcmu")
    peer = Peer.make(_native.Engine(), settings)
    with pytest.raises(ValueError, match="profile: expected 1 or 7, got 2"):
        peer.set_keys(2, receive=bytes(30), send=bytes(30))
    with pytest.raises(ValueError, match="receive: expected 30 bytes of key and salt, got 28"):
        peer.set_keys(1, receive=bytes(28), send=bytes(30))
    with pytest.raises(ValueError, match="send: expected 28 bytes of key and salt, got 30"):
        peer.set_keys(7, receive=bytes(28), send=bytes(30))
    libraries = codec_libraries()
    assert libraries.srtp is not None
    with monkeypatch.context() as patched:
        patched.setattr(
            "mixminus.media.peer.codec_libraries", lambda: replace(libraries, has_gcm=False)
        )
        with pytest.raises(ValueError, match="expected a libsrtp with AES-GCM"):
            peer.set_keys(7, receive=bytes(28), send=bytes(28))
    peer.set_keys(1, receive=bytes(30), send=bytes(range(30)))
    with pytest.raises(ValueError, match="expected keys once"):
        peer.set_keys(1, receive=bytes(30), send=bytes(range(30)))


def test_ports_say_what_is_wrong() -> None:
    engine = _native.Engine()
    with pytest.raises(ValueError, match="expected an IPv4 or IPv6 address"):
        engine.open_port("localhost")
    port = engine.open_port("127.0.0.1")
    with pytest.raises(OSError, match="in use"):
        engine.open_port("127.0.0.1", port.address[1])
    peer = Peer.make(engine, PeerSettings(payload_types={0: "pcmu"}, codec="pcmu"))
    with pytest.raises(ValueError, match="own family"):
        peer._peer.set_destination(port, "::1", 9)
    port.close()
    with pytest.raises(RuntimeError, match="the port is closed"):
        port.set_routes([])


def test_a_closed_port_gives_its_address_back_while_peers_still_send(four: Stage) -> None:
    party = four.parties[0]
    address = party.port.address
    party.port.close()
    again = four.engine.open_port(*address)
    assert again.address == address
    party.heard()
    four.run(3, {1: 5000})
    assert party.heard() == []
    assert four.engine.stats()["datagrams_dropped"] == 3
    again.close()
