"""Frames of a media link through a peer: what is pushed is pulled, with its flags and speakers."""

from __future__ import annotations

import numpy as np
import pytest

from tests.native import codecs as kit
from tests.sim.link import PROFILES, Carrier, Link
from tests.sim.peers import NEVER_SENT, PCM16K, End, settings
from tests.sim.receiver import CONCEALED, FRAME, FRAME_NS, SILENCE, SKIPPED, Pcm, spoken

START = 2**32 - 40  # sequence and timestamp wrap


def listener() -> End:
    return End(settings(NEVER_SENT, event_type=0), connected=False)


def frame(n: int) -> Pcm:
    return spoken(n * FRAME, FRAME)


class Listened:
    """A link's frames pushed at their times and pulled 50 a second."""

    def __init__(self) -> None:
        self.end = listener()
        self.now_ns = 0
        self.heard: list[Pcm] = []
        self.flags: list[int] = []
        self.speakers: list[list[int]] = []

    def push(self, n: int, pcm: Pcm | None = None, **more: object) -> None:
        said = frame(n) if pcm is None else pcm
        timestamp = START + n * FRAME
        assert self.end.push_pcm(said, START + n, timestamp, self.now_ns, **more)  # type: ignore[arg-type]

    def tick(self) -> None:
        assert not self.end.tick(self.now_ns + 10**6)
        self.heard.append(self.end.heard.copy())
        self.flags.append(self.end.flags)
        self.speakers.append(self.end.speakers)
        self.now_ns += FRAME_NS


@pytest.mark.slow
def test_a_link_is_heard_bit_for_bit() -> None:
    said = kit.frames(np.tile(kit.speech(), 2))[:500]
    link = Listened()
    for n, pcm in enumerate(said):
        link.push(n, pcm)
        link.tick()
    heard, flags = np.concatenate(link.heard), np.array(link.flags)
    assert (flags[flags.argmin() :] == 0).all()
    settled = heard[-100 * FRAME :]
    want = np.concatenate(said)
    key = settled[:FRAME].tobytes()
    begins = range(len(want) - 104 * FRAME, len(want) - len(settled) + 1)
    [begin] = [at for at in begins if want[at : at + FRAME].tobytes() == key]
    assert (settled == want[begin : begin + len(settled)]).all()
    assert link.end.rx_concealed == link.end.rx_late == link.end.rx_restarts == link.end.lost == 0
    assert link.end.rx_delay_ms <= 60
    assert link.end.jitter_us == 0


@pytest.mark.parametrize("offset_samples", [0, 40, 159, 161, 200])
def test_flags_and_speakers_are_those_of_most_of_the_frame(offset_samples: int) -> None:
    """Whatever part of a frame stretching left over: who speaks is told with who is heard."""
    link = Listened()
    for n in range(100):
        loud = n // 7 % 2 == 0
        pcm = np.full(FRAME, 1000 + n, np.int16)
        link.push(
            n,
            pcm,
            flags=0 if loud else SILENCE,
            speakers=(n % 3 + 1, 4_000_000_000) if loud else (),
        )
        if n == 20 and offset_samples:
            # Half a frame of delay: what is queued no longer ends where frames end.
            link.now_ns += offset_samples * 62_500
        link.tick()
    told = 0
    for pcm, flags, named in zip(link.heard, link.flags, link.speakers, strict=True):
        counts = np.bincount(pcm[pcm >= 1000] - 1000, minlength=1)
        if counts.sum() < FRAME or counts.max() == FRAME // 2:
            continue
        n = int(counts.argmax())
        loud = n // 7 % 2 == 0
        assert bool(flags & SILENCE) != loud
        assert named == ([n % 3 + 1, 4_000_000_000] if loud else [])
        told += 1
    assert told >= 90


def test_silence_may_still_hold_samples() -> None:
    link = Listened()
    for n in range(50):
        link.push(n, flags=SILENCE)
        link.tick()
    assert link.flags[-1] == SILENCE
    assert link.heard[-1].min() >= 1000
    assert link.end.rx_voice >= 45


def test_a_tick_that_the_far_end_left_out_is_made_up_and_told() -> None:
    said = kit.frames(kit.speech())
    link = Listened()
    for n in range(200):
        left_out = n in (100, 101)
        pcm = np.zeros(FRAME, np.int16) if left_out else said[n]
        link.push(
            n, pcm, flags=SKIPPED | SILENCE if left_out else 0, speakers=() if left_out else (7,)
        )
        link.tick()
    skipped = [i for i, flags in enumerate(link.flags) if flags & SKIPPED]
    assert len(skipped) == 2
    for i in skipped:
        assert link.flags[i] & CONCEALED
    assert np.abs(link.heard[skipped[0]]).max() > 0  # no hole of 20 ms
    assert link.end.rx_concealed == 2
    assert link.end.rx_decoded + link.end.rx_buffered == 200
    after = link.flags[skipped[1] + 1 : skipped[1] + 20]
    assert all(flags == 0 for flags in after)


def test_what_is_lost_is_made_up_and_its_speakers_stay() -> None:
    link = Listened()
    for n in range(100):
        if n not in (50, 51):
            link.push(n, speakers=(7,))
        link.tick()
    lost = [i for i, flags in enumerate(link.flags) if flags & CONCEALED]
    assert len(lost) == 2
    assert link.end.lost == 2
    assert all(link.speakers[i] == [7] for i in lost)
    assert not any(link.flags[i] & SKIPPED for i in lost)


def test_a_loss_after_a_tick_left_out_is_a_loss() -> None:
    link = Listened()
    for n in range(100):
        if n != 51:
            link.push(n, flags=SKIPPED if n == 50 else 0)
        link.tick()
    assert sum(bool(flags & SKIPPED) for flags in link.flags) == 1
    assert sum(bool(flags & CONCEALED) for flags in link.flags) == 2


@pytest.mark.parametrize(
    ("sequence", "timestamp"), [(5, 5 * FRAME), (START + 40, START), (0, 10**6)]
)
def test_a_link_that_begins_anew_is_heard_at_once(sequence: int, timestamp: int) -> None:
    """Numbers that start over close to where they were are not late, but another beginning."""
    link = Listened()
    for n in range(30):
        at = START + n if timestamp != 5 * FRAME else n
        stamp = START + n * FRAME if timestamp != 5 * FRAME else n * FRAME
        assert link.end.push_pcm(frame(n), at, stamp, link.now_ns)
        link.tick()
    for n in range(50):
        stamp = timestamp + n * FRAME
        assert link.end.push_pcm(frame(1000 + n), sequence + n, stamp, link.now_ns)
        link.tick()
    assert link.end.rx_late == link.end.rx_duplicate == 0
    assert link.end.rx_decoded + link.end.rx_buffered == 80
    assert link.flags[-40:] == [0] * 40


@pytest.mark.parametrize("name", ["N1", "N2", "N3"])
def test_a_link_over_a_network_is_as_good_as_rtp(name: str) -> None:
    link = Listened()
    count = 1500
    arrived = Carrier(PROFILES[name], 1).carry([n * FRAME_NS for n in range(count)], [700] * count)
    # A link keeps order: what overtakes waits for what it overtook.
    ordered = sorted({n: at for at, n in reversed(arrived)}.items())
    free_ns, due = 0, []
    for n, at in ordered:
        free_ns = max(free_ns, at)
        due.append((free_ns, n))
    for _ in range(count + 10):
        while due and due[0][0] <= link.now_ns:
            at_ns, n = due.pop(0)
            assert link.end.push_pcm(frame(n), n, n * FRAME, at_ns, speakers=(n,))
        link.tick()
    lost = count - len(ordered)
    assert link.end.lost <= lost
    assert link.end.rx_concealed <= lost + 0.01 * count + 10
    # Whoever is named is who is heard; not looked at where what was made up fades into it.
    told = 0
    for i in range(2, len(link.flags)):
        if link.flags[i - 2 : i + 1] == [0, 0, 0]:
            spoken_sample = 1000 + 20 * link.speakers[i][0] + 10
            assert abs(int(np.median(link.heard[i])) - spoken_sample) <= 20
            told += 1
    assert told >= 0.7 * count


def test_a_burst_beyond_the_ring_is_counted_and_the_newest_is_heard() -> None:
    link = Listened()
    for n in range(300):
        link.push(n)
    for n in range(300, 500):
        link.push(n)
        link.tick()
    assert link.end.lapped >= 300 - 64
    assert link.end.rx_delay_ms <= 100
    assert link.flags[-100:] == [0] * 100


def test_a_peer_without_a_link_refuses_frames() -> None:
    made = settings(NEVER_SENT)
    made.receive.types[PCM16K] = 0
    assert not End(made).push_pcm(frame(0), 0, 0, 0)


def test_a_link_may_be_jittery() -> None:
    link = Listened()
    arrived = Carrier(Link(5, 10), 3).carry([n * FRAME_NS for n in range(1000)], [700] * 1000)
    for _ in range(1010):
        while arrived and arrived[0][0] <= link.now_ns:
            at_ns, n = arrived.pop(0)
            assert link.end.push_pcm(frame(n), n, n * FRAME, at_ns)
        link.tick()
    assert link.end.rx_concealed <= 15
    assert 1000 < link.end.jitter_us < 20_000  # on a clock of 16 kHz
