"""The profiles N0 to N9 (tests/sim/link.py), in virtual time: no network, no clock."""

from __future__ import annotations

import numpy as np
import pytest

from tests.sim.link import PROFILES, Carrier, Link
from tests.sim.receiver import FRAME_NS, PCMU, Receiver, delays_ms, rtp, spoken, stream, through

PACKETS = 3000  # one minute
TAIL_TICKS = 60
# After the last packet 200 ms are concealed before the stream is taken for over.
END_TICKS = 10
# Delay goals count from the packet; what our samples tell counts from the first of its 20 ms.
PACKET_MS = 20


def lost_share(link: Link, seed: int) -> float:
    sent = [at for at, _ in stream(PACKETS)]
    carrier = Carrier(link, seed)
    carrier.carry(sent, [120] * len(sent))
    return carrier.lost / PACKETS


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize(
    ("name", "concealed_most", "delay_p95_ms"),
    [("N0", 0.0, 60), ("N1", 0.006, 80), ("N2", 0.015, 120), ("N3", 0.06, 180), ("N8", 0.18, 400)],
)
def test_profile(name: str, concealed_most: float, delay_p95_ms: float, seed: int) -> None:
    link = PROFILES[name]
    r = Receiver()
    heard = r.run(through(link, stream(PACKETS), seed), PACKETS + TAIL_TICKS)
    concealed = (r.concealed - END_TICKS) / PACKETS
    assert concealed <= concealed_most
    assert np.nanpercentile(delays_ms(heard), 95) - PACKET_MS <= delay_p95_ms


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("name", ["N0", "N1", "N2", "N3", "N4", "N5"])
def test_concealed_is_what_was_lost_and_at_most_half_a_point_more(name: str, seed: int) -> None:
    r = Receiver()
    r.run(through(PROFILES[name], stream(PACKETS), seed), PACKETS + TAIL_TICKS)
    assert (r.concealed - END_TICKS) / PACKETS <= lost_share(PROFILES[name], seed) + 0.005
    # Neither played nor concealed: only what comes before the first and after the last packet.
    assert r.silence + r.comfort <= TAIL_TICKS
    assert r.voice + r.concealed >= PACKETS - 5


@pytest.mark.parametrize("loss", [0.01, 0.05, 0.20])
def test_loss_alone_costs_no_delay_and_no_second_frame(loss: float) -> None:
    """Where nothing but loss happens each lost packet is one concealed frame."""
    r = Receiver()
    packets = through(Link(20, loss=loss), stream(PACKETS))
    heard = r.run(packets, PACKETS + TAIL_TICKS)
    lost = PACKETS - len(packets)
    assert lost - 3 <= r.concealed - END_TICKS <= lost
    assert np.nanpercentile(delays_ms(heard)[400:], 99) <= 20 + PACKET_MS + 40


def test_delay_step_settles_and_is_given_back() -> None:
    """N6: 100 ms more for 20 s."""
    r = Receiver()
    heard = r.run(through(PROFILES["N6"], stream(PACKETS)), PACKETS + TAIL_TICKS)
    delay = delays_ms(heard)
    tick = 50
    before = np.nanmedian(delay[15 * tick : 20 * tick])
    concealed = (heard.flags[20 * tick : 25 * tick] != 0).sum() * 20
    assert concealed <= 150
    settled = delay[22 * tick : 40 * tick]
    assert not np.isnan(settled).any()
    assert np.ptp(settled) <= 1
    assert settled.max() <= before + 120
    # 10 s after its end, and no frame of speech was lost over it.
    assert np.nanmax(delay[50 * tick : 60 * tick]) <= before + 20
    assert (heard.flags[40 * tick : 60 * tick] == 0).all()


def test_outage_of_five_seconds() -> None:
    """N7: audio back within a second, delay within five."""
    r = Receiver()
    heard = r.run(through(PROFILES["N7"], stream(PACKETS)), PACKETS + TAIL_TICKS)
    delay = delays_ms(heard)
    before = np.nanmedian(delay[19 * 50 : 20 * 50])
    assert not np.isnan(delay[int(25.2 * 50) : 60 * 50]).any()
    assert np.nanmax(delay[30 * 50 : 60 * 50]) <= before + 20
    assert r.concealed <= 10 + END_TICKS


def drift(ppm: float, hours: float, jitter_ms: float = 0) -> tuple[Receiver, int, float, float]:
    """Return the receiver, its underruns in the first minute, least and most delay after it."""
    r = Receiver()
    rng = np.random.default_rng(1)
    chunk = 3000
    low, high = np.inf, 0.0
    first_minute = 0
    waiting: list[tuple[int, bytes]] = []
    made = 0
    for n in range(round(hours * 3600 * 50 / chunk)):
        until_ns = r.now_ns + chunk * FRAME_NS
        while not waiting or waiting[-1][0] < until_ns + 10**9:
            late = np.abs(rng.normal(0, jitter_ms, chunk)) * 1e6
            more = stream(chunk, ppm=ppm, begin=made)
            waiting += [
                (at + int(extra), data) for (at, data), extra in zip(more, late, strict=True)
            ]
            waiting.sort(key=lambda packet: packet[0])
            made += chunk
        due = [packet for packet in waiting if packet[0] <= until_ns - FRAME_NS]
        waiting = waiting[len(due) :]
        heard = r.run(due, chunk)
        if n == 0:
            first_minute = r.underruns
            continue
        low, high = min(low, heard.delay_ms.min()), max(high, heard.delay_ms.max())
    return r, first_minute, low, high


@pytest.mark.slow
@pytest.mark.parametrize("ppm", [-200, -50, 50, 200])
def test_drift_neither_starves_nor_piles_up(ppm: float) -> None:
    """N9, an hour of it."""
    r, first_minute, low, high = drift(ppm, 1)
    assert r.underruns == first_minute == 0
    assert r.overflow == r.late == r.concealed == 0
    assert high - low <= 40
    assert abs(r.drift_ppb - ppm * 1000) < 1000


@pytest.mark.soak
@pytest.mark.parametrize("ppm", [-200, 200])
def test_a_day_of_drift(ppm: float) -> None:
    r, first_minute, low, high = drift(ppm, 24)
    assert r.underruns == first_minute == 0
    assert r.overflow == r.late == r.concealed == 0
    assert high - low <= 40


def test_drift_with_jitter_never_drops_speech() -> None:
    r, _, _, _ = drift(-200, 0.5, jitter_ms=3)
    assert r.overflow == 0
    assert r.concealed <= 0.001 * r.ticks


@pytest.mark.parametrize("samples", [160, 320, 480, 640])
def test_packets_of_every_length(samples: int) -> None:
    """10 to 40 ms; 60 ms is in test_receive, in 8 bits."""
    r = Receiver()
    count = 20 * 16000 // samples
    heard = r.run(
        through(Link(20, 3, loss=0.02), stream(count, samples=samples)), 20 * 50 + TAIL_TICKS
    )
    lost = (count - r.decoded) * samples
    assert abs(r.concealed_samples - END_TICKS * 320 - lost) <= 0.005 * count * samples
    assert np.nanpercentile(delays_ms(heard)[400:], 95) <= 20 + samples / 16 + 60


def test_a_burst_that_waited_five_seconds_is_not_played_for_ever() -> None:
    """All that a stalled queue lets go at once: the newest is heard, soon with the old delay."""
    r = Receiver()
    packets = list(stream(1500))
    stalled = [
        (max(at, 15 * 10**9) if 10 * 10**9 < at < 15 * 10**9 else at, data) for at, data in packets
    ]
    heard = r.run(sorted(stalled, key=lambda p: p[0]), 1500 + TAIL_TICKS)
    delay = delays_ms(heard)
    assert r.overflow > 100
    assert np.nanmax(delay[20 * 50 : 30 * 50]) <= np.nanmedian(delay[5 * 50 : 10 * 50]) + 20


def test_skipped_ticks_are_not_played_later() -> None:
    r = Receiver()
    packets = list(stream(1000))
    r.run([p for p in packets if p[0] <= 8 * 10**9], 401)
    before = r.delay_ms
    r.skip(5)
    r.run([p for p in packets if 8 * 10**9 < p[0] <= 10 * 10**9], 100)
    assert r.delay_ms == before
    assert r.skipped == 5
    assert r.late in (4, 5)
    assert r.ticks == 506


def test_a_source_without_timestamps_that_make_sense_is_still_heard() -> None:
    """Timestamps that jump by a minute to and fro: each is one restart, and speech goes on."""
    r = Receiver()
    packets = []
    for n in range(1000):
        jump = 480_000 * (n // 100 % 2)
        packet = rtp(spoken(n * 320, 320).tobytes(), n, n * 160 + jump, payload_type=PCMU)
        packets.append((n * FRAME_NS + 1, packet))
    r.run(packets, 1002)
    assert r.restarts == 9
    assert r.voice >= 985
