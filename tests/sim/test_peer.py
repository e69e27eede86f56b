"""Two peers joined by a link in virtual time: what each says and the other hears."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from tests.native import codecs as kit
from tests.sim.link import Link
from tests.sim.peers import (
    CLOCK_KHZ,
    CODECS,
    Call,
    End,
    Says,
    codecs,
    is_rtcp,
    read_rtp,
    settings,
    similarity,
    spoken_by,
    two,
    voices,
)
from tests.sim.receiver import COMFORT, CONCEALED, FRAME, FRAME_NS, OPUS, PCMU, SILENCE, rtp


@pytest.mark.parametrize("codec", CODECS)
def test_each_hears_what_the_other_says(codec: int) -> None:
    call = two(codec)
    call.run_seconds(12, *voices())
    for end, other in ((0, 1), (1, 0)):
        said = spoken_by(other, 600)
        assert similarity(call.heard_by(end), said) > 0.95
    for who in call.ends:
        assert who.rx_concealed == who.rx_late == who.rx_overflow == who.rx_malformed == 0
        assert who.lost == who.lapped == 0
        assert who.rx_voice >= 595
        assert who.received == who.expected >= 590


@pytest.mark.parametrize("codec", CODECS)
def test_headers_are_gapless_over_wraps_and_have_one_marker(codec: int) -> None:
    call = two(codec)
    call.run(300, *voices())
    packets = call.rtp_of(0)
    assert len(packets) == 300
    step = 20 * CLOCK_KHZ[codec]
    for n, packet in enumerate(packets):
        assert packet.sequence == (65_500 + n) % 65_536
        assert packet.timestamp == (2**32 - 48_000 + n * step) % 2**32
        assert packet.ssrc == 1
        assert packet.marker == (n == 0)
        assert packet.level is None


def test_the_level_of_a_frame_goes_along() -> None:
    end = End()
    [datagram] = end.tick(0, kit.speech()[:FRAME], level=-37)
    assert datagram[12:18] == bytes([0xBE, 0xDE, 0, 1, 0x10, 0x80 | 37])  # RFC 6464, V bit
    [datagram] = end.tick(FRAME_NS, kit.speech()[:FRAME], level=-90)
    assert datagram[16:18] == bytes([0x10, 90])


def test_two_ends_of_unlike_complexity_understand_each_other() -> None:
    low = End(settings(encoder=(24_000, 0, 0, 0, 0)))
    high = End(settings(encoder=(64_000, 10, 1, 5, 0), ssrc=2))
    call = Call(low, high, Link(20, 5, loss=0.01))
    call.run_seconds(20, *voices())
    for end, other in ((0, 1), (1, 0)):
        said = spoken_by(other, 1000)
        assert similarity(call.heard_by(end), said) > 0.8
        assert call.ends[end].rx_undecodable == 0
    assert low.sent_octets < high.sent_octets / 2


def test_a_move_to_another_bridge_changes_no_packet() -> None:
    stays, moves = two(), two()
    for call in (stays, moves):
        for n in range(6):
            call.run(50 + n, *voices())
            if call is moves:
                call.a.move()
    assert stays.rtp_of(0) == moves.rtp_of(0)
    assert (stays.heard_by(1) == moves.heard_by(1)).all()


@pytest.mark.parametrize("samples", [160, 320, 480, 640, 960])
def test_packets_of_10_to_60_ms_are_heard_and_measured(samples: int) -> None:
    end, encoder = End(settings(kit.PCMU)), codecs().encoder(kit.PCMU)
    said = np.tile(kit.speech(), 2)
    packets = encoder.frames(said, samples) if samples != 480 else []
    if samples == 480:  # 30 ms: our encoders make none, G.711's bytes are sample by sample
        joined = b"".join(encoder.frames(said, 160))
        packets = [joined[at : at + 240] for at in range(0, len(joined), 240)]
    heard = []
    sent = 0
    for tick in range(600):
        now = tick * FRAME_NS
        while sent < len(packets) and (sent + 1) * samples * 62_500 <= now:
            end.deliver(rtp(packets[sent], sent, sent * samples // 2), now - 1)
            sent += 1
        end.tick(now)
        heard.append(end.heard.copy())
    assert end.rx_concealed == end.rx_late == 0
    assert similarity(np.concatenate(heard), said) > 0.95
    assert end.expected == end.received
    assert sent - end.received <= 20 * FRAME // samples  # published a fifth of a second ago


def test_the_far_end_changes_its_payload_type_in_mid_call() -> None:
    end, opus, narrow = End(), codecs().encoder(kit.OPUS), codecs().encoder(kit.PCMU)
    said = kit.speech()
    heard, timestamp = [], 1000
    for n, frame in enumerate(kit.frames(said)[:300]):
        use_opus = n // 100 != 1
        payload = (opus if use_opus else narrow).encode(frame)
        assert payload
        end.deliver(
            rtp(payload, n, timestamp, payload_type=OPUS if use_opus else PCMU), n * FRAME_NS
        )
        timestamp += 960 if use_opus else 160
        end.tick(n * FRAME_NS + 10**6)
        heard.append(end.heard.copy())
    assert end.rx_voice >= 295
    assert end.rx_restarts == 2
    assert end.lost == 0
    assert end.jitter_us < 1000  # each on its own clock
    assert similarity(np.concatenate(heard), said) > 0.9


@pytest.mark.parametrize("early", [5, 20, 60, 200])
def test_what_came_before_anybody_listened_is_no_delay(early: int) -> None:
    """A far end that speaks before its leg is in a bridge."""
    end, packets = End(), codecs().encoder(kit.OPUS).frames(kit.speech())
    heard = []
    for n, payload in enumerate(packets[: early + 150]):
        now = (n + 50) * FRAME_NS
        end.deliver(rtp(payload, n, n * 960, payload_type=OPUS), now - 10**6)
        if n >= early:
            end.tick(now)
            heard.append(end.rx_delay_ms)
    assert heard[5] <= 90
    assert end.rx_concealed <= 2


# ---- pauses --------------------------------------------------------------------------------------


def paused(from_tick: int, to_tick: int) -> Says:
    one = voices()[0]
    return lambda n: None if from_tick <= n < to_tick else one(n)


def test_a_pause_is_announced_once_and_ends_with_a_marker() -> None:
    call = two(encoder=(32_000, 5, 0, 0, 1))
    call.run(600, paused(200, 500))
    packets = call.rtp_of(0)
    assert len(packets) < 370
    sizes = {(p.timestamp - packets[0].timestamp) % 2**32 // 960: len(p.payload) for p in packets}
    ticks = sorted(sizes)
    for before, after in pairwise(ticks):
        if after - before > 1:  # what says "pause" stands before every gap
            assert sizes[before] == 1
    for earlier, packet in pairwise(packets):
        gap = (packet.timestamp - earlier.timestamp) % 2**32 != 960
        assert packet.marker == (gap or len(earlier.payload) == 1)
        assert (packet.sequence - earlier.sequence) % 65_536 == 1
    assert call.b.rx_concealed == 0
    assert call.b.lost == 0
    pause = call.flags[1][260:490]
    assert sum(bool(flags & (COMFORT | SILENCE)) for flags in pause) >= 0.9 * len(pause)
    assert call.b.rx_voice > 250


def test_without_a_destination_nothing_goes_out_and_time_goes_on() -> None:
    end = End(connected=False)
    speech = kit.frames(kit.speech())
    assert all(not end.tick(n * FRAME_NS, speech[n]) for n in range(100))
    end.connect()
    [first] = [d for d in end.tick(100 * FRAME_NS, speech[100]) if not is_rtcp(d)]
    packet = read_rtp(first)
    assert packet.sequence == 65_500  # none was used up
    assert packet.timestamp == (2**32 - 48_000 + 100 * 960) % 2**32
    assert packet.marker
    end.connect(False)
    assert not end.tick(101 * FRAME_NS, speech[101])
    assert end.sent_packets <= 1


def test_time_goes_on_over_skipped_ticks_in_both_directions() -> None:
    call = two(link=Link(5))
    call.run(200, *voices())
    call.skip(5)
    call.run(200, *voices())
    packets = call.rtp_of(0)
    stamps = [(p.timestamp - packets[0].timestamp) % 2**32 // 960 for p in packets]
    assert stamps == [*range(200), *range(205, 405)]
    assert packets[200].sequence == (65_500 + 200) % 65_536
    for end in call.ends:
        assert end.rx_skipped == 5
        assert end.rx_ticks == 405
    # Both left out the same five ticks: nothing is missing but that time.
    assert call.b.lost == 0
    assert call.b.rx_concealed + call.b.rx_comfort + call.b.rx_silence <= 12


def test_who_was_away_for_seconds_comes_back_in_time() -> None:
    """Between two bridges nobody ticks a peer: neither its clock nor its delay pays for that."""
    call = two(link=Link(20))
    call.run_seconds(5, *voices())
    delay = call.a.rx_delay_ms
    away_ticks = 150
    for n in range(away_ticks):  # b goes on alone
        out = call.b.tick(call.now_ns + call.phase_ns, voices()[1](n))
        call.wires[1].send(call.now_ns + call.phase_ns, out)
        for at_ns, datagram in call.wires[1].arrived(call.now_ns):
            call.a.deliver(datagram, at_ns)
        call.now_ns += FRAME_NS
    call.run_seconds(3, *voices())
    packets = call.rtp_of(0)
    jumped = (packets[250].timestamp - packets[249].timestamp) % 2**32
    assert jumped == 960 * (away_ticks + 1)
    assert packets[250].marker
    assert packets[250].sequence == (packets[249].sequence + 1) % 65_536
    assert call.a.lapped > 0
    assert call.a.rx_ticks == 400
    back = call.flags[0][250:]
    assert sum(bool(flags & (CONCEALED | SILENCE)) for flags in back) <= 8
    assert call.a.rx_delay_ms <= delay + 40
