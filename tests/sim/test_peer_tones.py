"""Telephone events between two peers."""

from __future__ import annotations

from itertools import pairwise

import pytest

from tests.sim.link import Link
from tests.sim.peers import CODECS, End, settings, two, voices
from tests.sim.receiver import EVENT, FRAME_NS


@pytest.mark.parametrize("codec", CODECS)
def test_tones_arrive_in_order_with_their_lengths(codec: int) -> None:
    call = two(codec)
    call.run_seconds(1, *voices())
    asked = [(1, 100), (11, 60), (0, 200), (10, 40), (16, 300)]
    for event, ms in asked:
        assert call.a.queue_tone(event, ms, 60)
    call.run_seconds(3, *voices())
    told = call.b.tones()
    assert [(event, ms) for event, ended, ms in told if ended] == asked
    assert [event for event, ended, _ in told if not ended] == [event for event, _ in asked]
    assert [ended for _, ended, _ in told] == [0, 1] * len(asked)
    assert call.b.tones_heard == call.a.tones_sent == len(asked)
    assert call.b.lost == 0
    packets = call.rtp_of(0)
    assert all(
        (b.sequence - a.sequence) % 65_536 == 1 for a, b in pairwise(packets)
    )  # tones and audio are one sequence
    tones = [p for p in packets if p.payload_type == EVENT]
    assert sum(p.marker for p in tones) == len(asked)
    audio = {p.timestamp for p in packets if p.payload_type != EVENT}
    instead = sum(-(-ms // 20) for _, ms in asked)
    assert len(audio) == 200 - instead
    assert len(tones) == instead + 2 * len(asked)  # the end is told three times


def test_every_tone_is_heard_once_though_packets_get_lost() -> None:
    call = two(link=Link(40, 10, loss=0.1, duplicate=0.05))
    call.run_seconds(1, *voices())
    pressed, heard = [], []
    for n in range(60):
        digit = n * 7 % 12
        assert call.a.queue_tone(digit, 100, 100)
        pressed.append(digit)
        call.run(12, *voices())
        heard += [event for event, ended, _ in call.b.tones() if not ended]
    call.run_seconds(1, *voices())
    heard += [event for event, ended, _ in call.b.tones() if not ended]
    assert heard == pressed


def test_tones_are_refused_rather_than_lost() -> None:
    end = End()
    for bad in ((17, 100, 0, 0), (1, 10, 0, 0), (1, 100, 70_000, 0), (1, 100, 0, 64)):
        assert not end.queue_tone(*bad)
    assert sum(end.queue_tone(1) for _ in range(50)) == 32
    assert not End(settings(event_type=0)).queue_tone(1)


def test_tones_wait_for_a_destination() -> None:
    end = End(connected=False)
    assert end.queue_tone(5, 100)
    for n in range(50):
        assert not end.tick(n * FRAME_NS)
    end.connect()
    assert [d[1] & 127 for d in end.tick(50 * FRAME_NS)] == [EVENT]


def test_unread_tones_are_counted_and_the_call_goes_on() -> None:
    call = two()
    for _ in range(5):
        for digit in range(8):
            assert call.a.queue_tone(digit, 40, 20)
        call.run_seconds(1.5, *voices())
    assert call.b.tones_heard == 40
    assert len(call.b.tones()) == 32
    assert call.b.tones_unread == 48
    assert call.b.rx_concealed == 0
