"""RTCP between two peers: what it reports, when, what follows from it, and the end of a call."""

from __future__ import annotations

import struct
from itertools import pairwise

import pytest

from tests.native import codecs as kit
from tests.sim.link import Link
from tests.sim.peers import (
    NEVER_SENT,
    Call,
    End,
    rtcp_kinds,
    settings,
    two,
    voices,
)
from tests.sim.receiver import FRAME, FRAME_NS

SENDER_REPORT, RECEIVER_REPORT, DESCRIPTION, BYE = 200, 201, 202, 203


def test_loss_turns_redundancy_on_and_its_end_turns_it_off() -> None:
    call = two(link=Link(30, 5, loss=0.08))
    call.run_seconds(15, *voices())
    assert [end.sends_fec for end in call.ends] == [True, True]
    fec_before = call.b.rx_fec
    assert fec_before > 20
    assert 0.03 * 256 < call.a.far_lost_smoothed_256ths < 0.15 * 256
    assert call.a.far_lost > 20
    for wire in call.wires:
        wire.carrier.link = Link(30, 5)
    call.run_seconds(20, *voices())
    assert [end.sends_fec for end in call.ends] == [False, False]
    assert call.b.rx_fec <= fec_before + 2


def test_only_the_direction_that_loses_gets_redundancy() -> None:
    call = two(link=Link(30))
    call.wires[0].carrier.link = Link(30, loss=0.08)
    call.run_seconds(15, *voices())
    assert call.a.sends_fec
    assert not call.b.sends_fec
    assert call.b.lost > 20
    assert call.a.lost == 0
    assert call.b.far_lost == call.b.far_lost_256ths == 0


@pytest.mark.parametrize(("loss", "most"), [(0.005, 2), (0.02, 8), (0.05, 3), (0.1, 3)])
def test_redundancy_does_not_flap(loss: float, most: int) -> None:
    """Two minutes of even loss; between 1 and 3 % either answer is right, many changes are not."""
    call = two(kit.PCMU, link=Link(30, loss=loss))
    changes, before = 0, False
    for _ in range(120):
        call.run(50)
        changes += call.a.sends_fec != before
        before = call.a.sends_fec
    assert changes <= most
    assert before == (loss >= 0.05) or 0.01 < loss < 0.05


@pytest.mark.parametrize("delay_ms", [5, 40, 150])
def test_the_round_trip_is_measured(delay_ms: float) -> None:
    call = two(link=Link(delay_ms))
    call.run_seconds(5, *voices())
    for end in call.ends:
        assert end.round_trips >= 2
        # A report waits for the tick that reads it, which its arrival time does not count.
        assert abs(end.round_trip_us - 2000 * delay_ms) <= 100


def test_jitter_is_told_as_it_is_measured() -> None:
    call = two(link=Link(40, 8))
    call.run_seconds(20, *voices())
    for end, other in ((call.a, call.b), (call.b, call.a)):
        assert 2000 < end.jitter_us < 16_000
        assert abs(other.far_jitter_us - end.jitter_us) < 6000


def test_reports_come_about_once_a_second_by_chance() -> None:
    call = two()
    call.run_seconds(60, *voices())
    for end in (0, 1):
        times = [at for at, _ in call.rtcp_of(end)]
        gaps = [(b - a) / 1e9 for a, b in pairwise(times)]
        assert 0.2 <= times[0] / 1e9 <= 0.8
        assert min(gaps) >= 0.5
        assert max(gaps) <= 1.54
        assert 0.9 <= sum(gaps) / len(gaps) <= 1.1
        assert len({round(gap, 2) for gap in gaps}) > 10
    assert [at for at, _ in call.rtcp_of(0)] != [at - call.phase_ns for at, _ in call.rtcp_of(1)]


def test_a_report_is_whole() -> None:
    call = two()
    call.run_seconds(10, *voices())
    at_ns, datagram = call.rtcp_of(0)[-1]
    assert rtcp_kinds(datagram) == [SENDER_REPORT, DESCRIPTION]
    assert b"\x01\x10an end of a call\0" in datagram
    head = struct.unpack_from("!BBHIIIIII", datagram)
    assert head[0] == 0x81
    assert head[3] == 1
    ticks = at_ns // FRAME_NS
    assert head[4] == at_ns // 10**9
    assert head[6] == (2**32 - 48_000 + ticks * 960) % 2**32
    assert head[7] == ticks + 1
    assert head[8] == sum(len(p.payload) for p in call.rtp_of(0)[: ticks + 1])
    about = struct.unpack_from("!IIIIII", datagram, 28)
    assert about[0] == 2
    assert about[1] == 0  # nothing lost
    assert about[2] >> 16 == 1  # the sequence wrapped once
    assert about[4]  # a report of the other was heard


def test_who_sends_nothing_reports_as_receiver() -> None:
    listens = End(settings(NEVER_SENT, ssrc=3))
    call = Call(End(), listens, Link(20))
    call.run_seconds(5, *voices())
    reports = call.rtcp_of(1)
    assert not call.rtp_of(1)
    assert len(reports) >= 3
    assert all(rtcp_kinds(d) == [RECEIVER_REPORT, DESCRIPTION] for _, d in reports)
    assert call.a.far_reports >= 2
    assert call.a.round_trips >= 2
    assert not listens.queue_tone(1)


def test_a_sender_that_fell_silent_reports_as_receiver() -> None:
    """RFC 3550 section 6.4: who sent nothing since the report before the last is none."""
    call = two()
    call.run_seconds(5, *voices())
    spoken = len(call.rtcp_of(0))
    call.a.encodes = False
    call.run_seconds(6, *voices())
    kind = [rtcp_kinds(d)[0] for _, d in call.rtcp_of(0)]
    assert kind[: spoken + 1] == [SENDER_REPORT] * (spoken + 1)
    assert kind[spoken + 2 :] == [RECEIVER_REPORT] * (len(kind) - spoken - 2)
    assert len(kind) >= spoken + 5
    call.a.encodes = True
    call.run_seconds(2, *voices())
    assert rtcp_kinds(call.rtcp_of(0)[-1][1])[0] == SENDER_REPORT
    assert [p.marker for p in call.rtp_of(0)].count(True) == 2


def test_the_end_is_said_once_and_nothing_after_it() -> None:
    call = two()
    call.run_seconds(3, *voices())
    call.a.say_bye()
    call.run_seconds(3, *voices())
    last_ns, last = call.said[0][-1]
    assert rtcp_kinds(last) == [SENDER_REPORT, DESCRIPTION, BYE]
    assert last_ns == 150 * FRAME_NS
    assert sum(BYE in rtcp_kinds(d) for _, d in call.rtcp_of(0)) == 1
    assert call.a.byes_sent == 1
    assert call.b.byes_heard == 1
    assert len(call.rtp_of(0)) == 150
    assert call.a.rx_voice >= 290  # it still listens


def test_an_end_that_cannot_be_told_ends_all_the_same() -> None:
    end = End(connected=False)
    end.say_bye()
    assert not end.tick(0)
    end.connect()
    assert not any(end.tick(n * FRAME_NS, kit.speech()[:FRAME]) for n in range(1, 100))
    assert end.byes_sent == 0


def test_a_bye_of_somebody_else_is_no_end() -> None:
    call = two()
    call.run_seconds(2, *voices())
    for ssrc in (99, 1):
        call.b.deliver(struct.pack("!BBHIBBHI", 0x80, 201, 1, 5, 0x81, 203, 1, ssrc), call.now_ns)
        call.run(1, *voices())
    assert call.b.byes_heard == 1
