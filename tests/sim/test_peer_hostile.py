"""What a far end, or somebody in its place, may send: it costs itself and nothing else."""

from __future__ import annotations

import random
import struct

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from tests.native import codecs as kit
from tests.sim.link import Link
from tests.sim.peers import (
    CM,
    KEYS,
    NEVER_SENT,
    Call,
    End,
    codecs,
    rtcp_kinds,
    settings,
    two,
    voices,
)
from tests.sim.receiver import EVENT, FRAME_NS, OPUS, PCMU, rtp


def report(ssrc: int, about: int, lost: int, highest: int) -> bytes:
    block = struct.pack("!IIIIII", about, lost << 24 | 1000, highest, 99, 0, 0)
    return struct.pack("!BBHI", 0x81, 201, 7, ssrc) + block


def flooded(call: Call, ticks: int, flood: int, seed: int) -> None:
    """Let b be heard by a while *flood* strange packets come in each tick."""
    rng = random.Random(seed)
    for n in range(ticks):
        for k in range(flood):
            kind = rng.choice([OPUS, PCMU, EVENT, 77])
            strange = rtp(
                rng.randbytes(rng.choice([0, 4, 160])), rng.randrange(65_536), rng.randrange(2**32),
                payload_type=kind, ssrc=rng.randrange(3, 2**32),
            )  # fmt: skip
            call.a.deliver(strange, call.now_ns - FRAME_NS + k)
        call.run(1, None, lambda _, n=n: voices()[1](n))  # type: ignore[misc]


@pytest.mark.slow
def test_200_000_strange_sources_cost_nobody_a_sample() -> None:
    quiet, loud = two(kit.PCMU), two(kit.PCMU)
    quiet.run_seconds(2, *voices())
    loud.run_seconds(2, *voices())
    pages = loud.a.lib.mm_pages_live()
    voice = loud.a.rx_voice
    flooded(loud, 5000, 40, seed=1)
    assert loud.a.rx_voice == voice + 5000
    assert loud.a.rx_packets >= 205_000
    assert loud.a.lapped == loud.a.lost == 0
    assert loud.a.received <= 5100
    assert loud.a.tones_heard == 0
    assert loud.a.rx_source + loud.a.rx_payload + loud.a.rx_type >= 199_990
    assert loud.a.lib.mm_pages_live() == pages
    # What is reported is about the one that is listened to.
    last = loud.rtcp_of(0)[-1][1]
    assert last[28:32] == struct.pack("!I", 2)
    assert last[32] == 0


def test_a_flood_that_laps_the_ring_is_counted_and_ends_with_itself() -> None:
    call = two(kit.PCMU)
    call.run_seconds(2, *voices())
    flooded(call, 50, 500, seed=2)
    lapped = call.a.lapped
    assert lapped >= 50 * (500 - 64)
    call.run_seconds(2, *voices())
    voice = call.a.rx_voice
    call.run_seconds(1, *voices())
    assert call.a.lapped <= lapped + 64
    assert call.a.rx_voice == voice + 50


def test_who_has_no_key_floods_nobody() -> None:
    call = two(kit.PCMU, secure=True, sequence=1000)
    one, other = KEYS[CM]
    assert call.a.set_keys(one, other)
    assert call.b.set_keys(other, one)
    call.run_seconds(2, *voices())
    voice = call.a.rx_voice
    flooded(call, 200, 500, seed=3)
    assert call.a.rx_voice == voice + 200
    assert call.a.lapped == 0
    assert call.a.srtp_forged + call.a.srtp_short >= 99_900
    assert call.a.srtp_refused == 0  # a strange SSRC is none before its tag proves good


def test_replayed_packets_are_heard_once() -> None:
    call = two()
    call.run_seconds(2, *voices())
    seen = [d for _, d in call.said[1]]
    voice, reports = call.a.rx_voice, call.a.far_reports
    for _ in range(10):
        for datagram in seen[-60:-5]:
            call.a.deliver(datagram, call.now_ns)
        call.run(1, *voices())
    call.run_seconds(1, *voices())
    assert call.a.rx_voice == voice + 60
    assert call.a.rx_duplicate >= 10 * 50
    assert call.a.far_reports > reports  # of plain RTCP a replay shows in nothing but its numbers
    assert call.a.far_lost_smoothed_256ths == 0


def test_empty_payloads_take_their_number_and_nothing_else() -> None:
    """A sender's keep-alive: no audio, no loss."""
    end, encoder = End(), codecs().encoder(kit.OPUS)
    said = kit.frames(kit.speech())
    sequence = 0
    for n in range(300):
        payload = encoder.encode(said[n])
        assert payload
        end.deliver(rtp(payload, sequence, n * 960, payload_type=OPUS), n * FRAME_NS)
        sequence += 1
        if n % 3 == 0:
            end.deliver(rtp(b"", sequence, n * 960, payload_type=OPUS), n * FRAME_NS)
            sequence += 1
        end.tick(n * FRAME_NS + 10**6)
    assert end.rx_payload == 100
    assert end.lost == 0
    assert end.rx_voice >= 295
    assert end.rx_concealed <= 2


@pytest.mark.parametrize(
    "datagram",
    [
        bytes(8), b"\x80\xc8\0\x01\0\0\0\x02", b"\x81\xc9\0\x01\0\0\0\x02",
        b"\x80\xc8\xff\xff" + bytes(40),
        b"\xa0\xc9\0\x01\0\0\0\x02", b"\x81\xca\0\x02\0\0\0\x02\x01\xff\0\0",
        b"\x9f\xcb\0\x01\0\0\0\x02",
    ],
)  # fmt: skip
def test_rtcp_that_makes_no_sense_is_counted(datagram: bytes) -> None:
    call = two()
    call.run_seconds(2, *voices())
    before = call.a.rtcp_bad + call.a.rx_malformed + call.a.rtcp_received
    call.a.deliver(datagram, call.now_ns)
    call.run(1, *voices())
    counted = call.a.rtcp_bad + call.a.rx_malformed + call.a.rtcp_received - before
    assert counted == (0 if datagram[0] < 128 else 1)
    assert call.a.byes_heard == 0


def test_reports_that_lie_reach_no_further_than_redundancy() -> None:
    call = two(link=Link(20))
    call.run_seconds(2, *voices())
    for n in range(40):  # all is lost, says somebody, and that a billion packets were sent
        call.a.deliver(report(2, 1, 255, n * 100_000_000), call.now_ns)
        call.a.deliver(report(2, 77, 255, 5), call.now_ns)  # about somebody else
        call.run(1, *voices())
        if n == 0:  # one report has no more weight than its second of packets
            assert 60 <= call.a.far_lost_smoothed_256ths <= 90
    answers = [call.a.sends_fec]
    assert call.a.round_trip_us < 45_000
    call.run_seconds(20, *voices())
    answers.append(call.a.sends_fec)
    assert answers == [True, False]
    assert call.b.rx_undecodable == 0


def test_a_round_trip_of_hours_is_none() -> None:
    end = End()
    end.tick(100 * 10**9)
    block = struct.pack("!IIIIII", 1, 0, 1, 0, 12345, 6)
    end.deliver(struct.pack("!BBHI", 0x81, 201, 7, 2) + block, 100 * 10**9)
    end.tick(100 * 10**9 + FRAME_NS)
    assert end.far_reports == 1
    assert end.round_trips == 0


def test_events_that_make_no_sense_are_counted() -> None:
    call = two()
    call.run_seconds(1, *voices())
    last = call.rtp_of(1)[-1].sequence
    for n, payload in enumerate((b"", b"\x01", bytes(5), bytes(400))):
        call.a.deliver(rtp(payload, last + 2 + n, 0, payload_type=EVENT, ssrc=2), call.now_ns)
        call.run(1, *voices())
    assert call.a.events_bad == 4
    assert call.a.tones() == []


def hostile(rng: random.Random, seen: list[bytes]) -> bytes:
    """Bytes, or something seen with a few of them changed."""
    if rng.random() < 0.2 or not seen:
        return bytes([rng.choice([0x80, 0x81, 0x90, 0xA0, 0xBF, 0])]) + rng.randbytes(
            rng.randrange(1600)
        )
    changed = bytearray(rng.choice(seen))
    for _ in range(rng.randrange(6)):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed[: rng.choice([len(changed), rng.randrange(len(changed)) + 1])])


@pytest.mark.slow
@examples(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([kit.OPUS, kit.PCMU]))
def test_whatever_comes_ledgers_hold_and_the_call_goes_on(seed: int, codec: int) -> None:
    rng = random.Random(seed)
    call = two(codec, link=Link(10, 5, loss=0.05, duplicate=0.02, reorder=0.02))
    for _ in range(60):
        seen = [d for _, d in call.said[1]]
        for _ in range(rng.choice([0, 0, 1, 3, 100])):
            call.a.deliver(hostile(rng, seen), call.now_ns + rng.randrange(-(10**9), 10**9))
        if rng.random() < 0.05:
            call.skip(rng.randrange(1, 40))
        if rng.random() < 0.1:
            call.a.queue_tone(rng.randrange(17), rng.randrange(20, 300), rng.randrange(100))
        call.run(1, *voices())  # checks the ledger of both
    for wire in call.wires:
        wire.carrier.link = Link(10)
    call.run_seconds(4, *voices())
    voice = call.a.rx_voice + call.b.rx_voice
    call.run_seconds(1, *voices())
    assert call.a.rx_voice + call.b.rx_voice >= voice + 98
    assert call.b.rx_undecodable == 0
    assert all(192 <= kind <= 207 for _, d in call.rtcp_of(0) for kind in rtcp_kinds(d))


def test_a_peer_that_sends_nothing_takes_no_harm_from_reports() -> None:
    end = End(settings(NEVER_SENT))
    for n in range(20):
        end.deliver(report(2, 1, 255, n), n * FRAME_NS)
        end.tick(n * FRAME_NS)
    assert end.far_reports == 20
