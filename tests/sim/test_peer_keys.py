"""A peer's keys, and how it is made and ended."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest

from tests.native import codecs as kit
from tests.sim.link import Link
from tests.sim.peers import (
    CM,
    GCM,
    KEYS,
    End,
    codecs,
    is_rtcp,
    settings,
    similarity,
    spoken_by,
    two,
    voices,
)


@pytest.mark.slow
@pytest.mark.parametrize("profile", [CM, GCM])
def test_nothing_goes_in_or_out_before_the_keys(profile: int) -> None:
    call = two(secure=True, sequence=1000)  # a far end that joins after a wrap could not follow
    call.run_seconds(2, *voices())
    assert not call.said[0]
    assert not call.said[1]
    one, other = KEYS[profile]
    assert call.b.set_keys(one, other, profile)
    call.run_seconds(1, *voices())
    assert call.a.not_keyed >= 48  # b is keyed first, and a hears it and cannot understand
    assert call.a.rx_packets == 0
    assert call.a.last_heard_ns == 0
    assert call.a.set_keys(other, one, profile)
    call.run_seconds(10, *voices())
    packets = call.rtp_of(0)
    assert packets[0].timestamp == (2**32 - 48_000 + 150 * 960) % 2**32
    assert packets[0].sequence == 1000
    for end in (0, 1):
        said = spoken_by(1 - end, 600)
        assert similarity(call.heard_by(end), said) > 0.8
        assert call.ends[end].srtp_good >= 500
        assert call.ends[end].srtp_forged == call.ends[end].srtp_failed == 0
        assert call.ends[end].round_trips > 5
        assert call.now_ns - call.ends[end].last_heard_ns < 40_000_000
    assert not call.a.set_keys(other, one, profile)  # once


def test_what_was_tampered_with_or_came_before_is_dropped_and_counted() -> None:
    call = two(secure=True)
    one, other = KEYS[CM]
    assert call.a.set_keys(one, other)
    assert call.b.set_keys(other, one)
    call.run_seconds(2, *voices())
    heard_ns = call.b.last_heard_ns
    voice = call.b.rx_voice
    arrived = [d for _, d in call.said[0] if not is_rtcp(d)][-62:-2]
    for n, datagram in enumerate(arrived):
        call.b.deliver(datagram, call.now_ns)
        call.b.deliver(datagram[:2] + struct.pack("!H", 500 + n) + datagram[4:], call.now_ns)
        call.b.deliver(datagram[:13], call.now_ns)
    assert call.b.last_heard_ns == heard_ns
    assert call.b.srtp_replayed == call.b.srtp_forged == call.b.srtp_short == 60
    call.run_seconds(2, *voices())
    assert call.b.rx_voice >= voice + 98
    assert call.b.rx_duplicate == call.b.rx_late == call.b.lapped == 0


def test_keys_of_the_wrong_length_are_refused() -> None:
    end = End(settings(secure=True))
    assert not end.set_keys(bytes(29), bytes(29))
    assert not end.set_keys(bytes(30), bytes(30), GCM)
    assert end.set_keys(bytes(30), bytes(30))


# ---- made and ended ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "bad",
    [
        {"codec": kit.PCM16K}, {"codec": 77}, {"encoder": (32_000, 11, 0, 0, 0)},
        {"encoder": (100, 5, 0, 0, 0)}, {"event_type": 200}, {"cname": b"x" * 33},
    ],
)  # fmt: skip
def test_a_peer_that_makes_no_sense_is_not_made(bad: dict[str, object]) -> None:
    before = codecs().lib.mm_pages_live()
    with pytest.raises(AssertionError, match="no such peer"):
        End(settings(**bad))  # type: ignore[arg-type]
    assert codecs().lib.mm_pages_live() == before


def test_a_payload_type_of_no_known_codec_is_refused() -> None:
    made = settings()
    made.receive.types[50] = 20
    with pytest.raises(AssertionError, match="no such peer"):
        End(made)


def test_peers_leave_nothing_behind() -> None:
    before = codecs().lib.mm_pages_live()
    for _ in range(20):
        call = two(secure=True)
        assert call.a.set_keys(*KEYS[CM])
        call.run(5, *voices())
        del call
    assert codecs().lib.mm_pages_live() == before


def test_heard_is_whatever_comes_last() -> None:
    end = End()
    assert end.last_heard_ns == 0
    end.lib.mm_peer_heard(end.peer, 123)
    assert end.last_heard_ns == 123


def test_the_same_call_twice_is_the_same() -> None:
    link = replace(Link(30, 10), loss=0.05)
    first, second = two(link=link), two(link=link)
    for call in (first, second):
        call.run_seconds(10, *voices())
    assert first.said == second.said
    assert (first.heard_by(0) == second.heard_by(0)).all()
