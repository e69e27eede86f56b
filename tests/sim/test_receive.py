"""The receiver packet by packet: what each kind of packet does, and that the ledgers are exact."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sim.receiver import (
    COMFORT,
    CONCEALED,
    EVENT,
    FEC,
    FRAME,
    FRAME_NS,
    G722,
    NOISE,
    OPUS,
    PCMA,
    PCMU,
    SILENCE,
    Receiver,
    rtp,
    spoken,
    stream,
)

SILK = {160: 0, 320: 8, 640: 16, 960: 24}
FLAG = {160: 0x40, 320: 0x40, 640: 0x20, 960: 0x10}


def opus(n: int, samples: int = FRAME, redundancy: bool = False) -> bytes:
    """Return frame n of the toy Opus: constant n + 1 in 8 bits, with frame n - 1 when asked."""
    head = bytes([SILK[samples], FLAG[samples] if redundancy else 0])
    before = bytes([(n - 1) % 100 + 129] * samples) if redundancy else b""
    return head + before + bytes([n % 100 + 129] * samples)


def tell(n: int) -> int:
    return (n % 100 + 1) * 256


def feed(r: Receiver, n: int, payload: bytes, **more: int) -> tuple[int, np.ndarray]:
    """Frame n comes just before its tick."""
    kind = more.pop("payload_type", OPUS)
    rate = 960 if kind == OPUS else 160
    r.push(rtp(payload, n, n * rate, payload_type=kind, **more), r.now_ns - 1_000_000)
    return r.pull()


def started(frames: int = 100, redundancy: bool = False) -> Receiver:
    """A receiver in the midst of a stream of the toy Opus, past the caution of its beginning."""
    r = Receiver()
    for n in range(frames):
        feed(r, n, opus(n, redundancy=redundancy))
    return r


def test_every_codec_is_heard_and_may_change_at_any_packet() -> None:
    r = Receiver(silent_dbov=0)
    kinds = itertools.cycle([OPUS] * 5 + [PCMU] * 5 + [G722] * 5 + [PCMA] * 5)
    timestamp = 0
    for n, kind in zip(range(400), kinds, strict=False):
        timestamp += 960 if kind == OPUS else 160
        payload = {
            OPUS: opus(n), PCMA: bytes([200] * FRAME), PCMU: spoken(n * FRAME, FRAME).tobytes(),
            G722: spoken(n * FRAME, FRAME).tobytes(),
        }[kind]  # fmt: skip
        r.push(rtp(payload, n, timestamp, payload_type=kind), r.now_ns - 10**6)
        r.pull()
    assert r.late == r.overflow == r.undecodable == 0
    assert r.decoded >= 395
    assert r.voice >= 390


def test_g722_counts_in_8_khz_and_sounds_in_16() -> None:
    r = Receiver()
    heard = r.run([(at + 10**6, data) for at, data in stream(200)], 210)
    assert (heard.flags[10:200] == 0).all()
    other = Receiver()
    for n in range(200):
        feed(other, n, spoken(n * FRAME, FRAME).tobytes(), payload_type=G722)
    assert other.voice == 200 - 2
    assert other.concealed == 0


@pytest.mark.parametrize("samples", [160, 320, 640])
def test_a_lost_frame_is_read_from_the_next_packet(samples: int) -> None:
    r = Receiver()
    ticks = 40 * samples // FRAME + 400 * samples // FRAME
    rng = random.Random(3)
    lost = {n for n in range(20, 430) if rng.random() < 0.1}
    lost = {n for n in lost if n - 1 not in lost and n + 1 not in lost}
    packets = [
        (
            n * samples * 62_500 + 10**6,
            rtp(opus(n, samples, True), n, n * samples * 3, payload_type=OPUS),
        )
        for n in range(430)
        if n not in lost
    ]
    heard = r.run(packets, ticks)
    # The first three tell that it pays to wait; from then on all is there.
    known = sorted(lost)[3] * samples // FRAME
    assert r.fec * FRAME >= (len(lost) - 4) * samples - FRAME
    assert (heard.flags[known + 20 : 400 * samples // FRAME] & CONCEALED == 0).all()
    fec = heard.pcm[(heard.flags & FEC) != 0]
    assert (fec >= 256).all()
    # The 40 ms of a call's beginning are still in it where the run is short.
    assert r.delay_ms <= 20 + 2 * samples // 16 + 60


def test_without_redundancy_nobody_waits_for_it() -> None:
    r = Receiver()
    for n in range(400):
        if n % 10 == 5:
            r.pull()
        else:
            feed(r, n, opus(n))
    assert r.fec == 0
    assert r.delay_ms <= 45
    assert abs(r.concealed - 40) <= 2


def test_dtx_is_comfort_and_speech_resumes_whole() -> None:
    r = started()
    feed(r, 100, bytes([8]))  # a packet of a table of contents: the source pauses
    kinds = [r.pull()[0] for _ in range(60)]
    assert all(flags in (0, COMFORT, SILENCE) for flags in kinds)
    assert COMFORT in kinds
    assert kinds[-1] == SILENCE
    assert r.concealed == 0
    heard = []
    for n in range(170, 190):
        r.push(rtp(opus(n), n - 69, n * 960, payload_type=OPUS), r.now_ns - 10**6)
        heard.append(r.pull())
    voiced = [int(pcm[0]) for flags, pcm in heard if flags == 0]
    assert voiced[:3] == [tell(170), tell(171), tell(172)]
    assert r.late == r.concealed == 0


def test_comfort_noise_has_the_level_that_was_told() -> None:
    r = Receiver()
    for n in range(50):
        feed(r, n, spoken(n * FRAME, FRAME).tobytes(), payload_type=PCMU)
    feed(r, 50, bytes([40]), payload_type=NOISE)
    frames = [r.pull() for _ in range(20)]
    noise = np.concatenate([pcm for flags, pcm in frames if flags == COMFORT]).astype(float)
    assert len(noise) >= 15 * FRAME
    assert abs(20 * np.log10(noise.std() / 32768) + 40) < 1
    assert r.concealed == 0


def test_telephone_events_take_numbers_and_make_no_sound() -> None:
    r = started()
    for n in range(100, 112):  # 240 ms of a tone instead of audio: one timestamp
        r.push(rtp(bytes([5, 10, 0, 0]), n, 96_000, payload_type=EVENT), r.now_ns - 10**6)
        r.pull()
    assert r.event == 12
    assert r.concealed == 0
    for n in range(112, 130):
        feed(r, n, opus(n))
    assert r.concealed == r.late == 0
    # Beside audio, the end of a tone told again: nothing happens to the audio.
    voice = r.voice
    for n in range(130, 160):
        r.push(
            rtp(bytes([5, 138, 0, 0]), 2 * n - 130, 96_000, payload_type=EVENT), r.now_ns - 10**6
        )
        r.push(rtp(opus(n), 2 * n - 129, n * 960, payload_type=OPUS), r.now_ns - 10**6)
        r.pull()
    assert r.voice == voice + 30


def test_silent_packets_are_not_decoded_and_the_last_three_are_when_speech_resumes() -> None:
    r = Receiver(silent_dbov=-60)
    for n in range(100):
        feed(r, n, opus(n), level=-20)
    assert r.decoded >= 98
    before = 0
    for n in range(100, 200):
        flags, pcm = feed(r, n, opus(n), level=-65)
        if n == 130:
            before = r.decoded
        if n > 130:
            assert flags == SILENCE
            assert not pcm.any()
    assert r.decoded == before
    assert r.silent >= 65
    heard = [feed(r, n, opus(n), level=-20) for n in range(200, 206)]
    assert [int(pcm[0]) for flags, pcm in heard if not flags][:3] == [
        tell(200),
        tell(201),
        tell(202),
    ]
    assert r.decoded >= before + 3 + 4
    assert r.late == r.concealed == 0


def test_a_lost_silent_packet_is_not_concealed() -> None:
    r = Receiver(silent_dbov=-60)
    for n in range(300):
        if n > 150 and n % 7 == 0:
            assert r.pull()[0] == SILENCE
        else:
            feed(r, n, opus(n), level=-70)
    assert r.concealed == 0


def test_loss_does_not_keep_a_silent_source_from_resting() -> None:
    r = Receiver(silent_dbov=-60)
    rng = random.Random(1)
    for n in range(500):
        if n > 20 and rng.random() < 0.3:
            r.pull()
        else:
            feed(r, n, opus(n), level=-70)
    assert r.silent >= 300


def test_digital_silence_is_decoded_when_nobody_allowed_to_skip_it() -> None:
    r = Receiver(silent_dbov=0)
    for n in range(100):
        feed(r, n, opus(n), level=-127)
    assert r.silent == 0
    assert r.decoded >= 98


def test_a_new_source_follows_the_old_one_without_a_gap() -> None:
    r = started()
    for n in range(100, 200):
        r.push(rtp(opus(n), n + 5000, n * 960 + 10**6, payload_type=OPUS, ssrc=2), r.now_ns - 10**6)
        r.pull()
    assert r.restarts == 1
    assert r.source == r.late == r.concealed == 0
    assert r.decoded >= 198


def test_a_restarted_sequence_is_followed() -> None:
    r = started()
    for n in range(100):
        feed(r, n + 40_000, opus(n))
    assert r.restarts == 1
    assert r.concealed <= 1
    assert r.decoded >= 196


def test_a_flood_of_sources_costs_only_itself() -> None:
    r = started()
    rng = random.Random(1)
    for n in range(100, 300):
        for _ in range(200):
            strange = rtp(
                opus(7), rng.randrange(65536), 0, payload_type=OPUS, ssrc=rng.randrange(2, 2**32)
            )
            r.push(strange, r.now_ns - 2 * 10**6)
        feed(r, n, opus(n))
    assert r.source >= 40_000 - 10
    assert r.concealed == r.late == r.restarts == 0
    assert r.voice >= 298


def test_replayed_packets_are_duplicates() -> None:
    r = Receiver()
    for n in range(50):
        for _ in range(5):
            r.push(rtp(opus(n), n, n * 960, payload_type=OPUS), r.now_ns - 10**6)
        r.pull()
    for n in range(50):
        r.push(rtp(opus(n), n, n * 960, payload_type=OPUS), r.now_ns)
    r.pull()
    assert r.duplicate + r.decoded + r.buffered == 300
    assert r.duplicate >= 245
    assert r.voice >= 48


def test_nothing_hostile_costs_more_than_itself() -> None:
    r = started()
    voice = r.voice
    hostile = [
        b"", b"\x80", bytes(12), rtp(b"", 5, 5, payload_type=OPUS), rtp(bytes([0xEE] * 40), 6, 6),
        rtp(bytes(1473), 7, 7, payload_type=PCMA), rtp(b"x", 8, 8, payload_type=77),
        rtp(bytes([3, 255]), 9, 9, payload_type=OPUS), rtp(bytes(3), 9, 9, payload_type=PCMU),
    ]  # fmt: skip
    for n in range(100, 150):
        for datagram in hostile:
            r.push(datagram, r.now_ns - 10**6)
        feed(r, n, opus(n))
    assert r.voice == voice + 50
    assert r.malformed == 150
    assert r.payload == 250
    assert r.type == 50


def test_a_packet_that_turns_out_undecodable_is_concealed_and_counted() -> None:
    r = Receiver()
    for n in range(100):
        payload = bytes([0xED] * 640) if n == 50 else spoken(n * FRAME, FRAME).tobytes()
        feed(r, n, payload, payload_type=PCMU)
    assert r.undecodable == 1
    assert r.concealed == 1
    assert r.voice >= 96


def test_reordered_within_the_delay_is_not_late() -> None:
    r = Receiver()
    for n in range(0, 400, 2):  # each second packet overtakes the one before it, 25 ms
        r.push(rtp(opus(n + 1), n + 1, (n + 1) * 960, payload_type=OPUS), r.now_ns)
        r.push(rtp(opus(n), n, n * 960, payload_type=OPUS), r.now_ns + 5 * 10**6)
        r.pull()
        r.pull()
    assert r.late == 0
    assert r.concealed <= 1
    assert r.duplicate == 0


def test_a_stall_is_played_out_late_rather_than_dropped() -> None:
    r = started()
    for _ in range(4):
        r.pull()  # nothing comes for 80 ms
    for n in range(100, 104):
        r.push(rtp(opus(n), n, n * 960, payload_type=OPUS), r.now_ns - 10**6)
    heard = [feed(r, n, opus(n)) for n in range(104, 140)]
    values = [int(pcm[0]) for flags, pcm in heard if not flags]
    assert tell(102) in values
    assert r.late == 0
    assert r.decoded + r.buffered == 140


def traffic(seed: int) -> list[tuple[int, bytes]]:
    """Return a stream's packets dropped, doubled, moved, spoiled and mixed with others'."""
    rng = random.Random(seed)
    events: list[tuple[int, bytes]] = []
    sequence, timestamp = rng.randrange(65536), rng.randrange(2**32)
    for n in range(rng.randint(1, 120)):
        kind = rng.choice([OPUS] * 12 + [PCMU] * 2 + [G722, PCMA, NOISE, EVENT, 77])
        samples = rng.choice([160, 320, 640, 960])
        payload = {
            OPUS: opus(n, samples, samples < 960 and rng.random() < 0.5),
            PCMU: bytes(min(samples, 640)), G722: bytes(2), PCMA: bytes([0xED] * samples),
            NOISE: b"\x30",
            EVENT: bytes(4), 77: b"?",
        }[kind]  # fmt: skip
        payload = rng.choice([payload] * 16 + [b"", b"\xee", payload[:1]])
        ssrc = rng.choice([1] * 18 + [2, 3])
        sequence += rng.choice([1] * 20 + [2, 0, 3, -1, 200, 5000])
        timestamp += rng.choice([samples * 3] * 20 + [0, 10**6, 2**31, -5000, 7])
        at = n * FRAME_NS + rng.choice([0] * 10 + [5, 60, 300, 2000]) * 10**6
        level = rng.choice([None, None, -20, -80])
        packet = rtp(payload, sequence, timestamp, payload_type=kind, ssrc=ssrc, level=level)
        events += [(at, packet)] * rng.choice([1] * 10 + [0, 2])
    return sorted(events, key=lambda event: event[0])


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 40))
def test_whatever_comes_the_ledgers_are_exact_and_every_tick_has_a_frame(
    seed: int, skip_at: int
) -> None:
    r = Receiver(silent_dbov=-60)
    waiting = traffic(seed)
    for tick in range(150):
        while waiting and waiting[0][0] <= r.now_ns:
            r.push(waiting.pop(0)[1])
        if tick == skip_at:
            r.skip(3)
        r.pull()  # checks all three sums
    assert r.ticks == 153
    assert r.buffered <= 64
    # A good stream that follows is heard.
    before = r.voice
    for n in range(60):
        feed(r, 30_000 + n, spoken(n * FRAME, FRAME).tobytes(), payload_type=PCMU, ssrc=9)
    assert r.voice >= before + 30
