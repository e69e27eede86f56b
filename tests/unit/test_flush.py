"""Flush: what waits is not wanted any more, and its end does not click."""

from __future__ import annotations

import gc

import numpy as np
import pytest

from mixminus.media import _native
from mixminus.media.bridge import Leg
from mixminus.media.pcm import FRAME_SAMPLES, AudioFrame, Pcm
from mixminus.media.peer import Peer, PeerSettings
from tests.bench_kit import Bench, constant, ledger_holds, read_all

FADE = 80
"""5 ms."""
LINK = 126


@pytest.fixture
def bench() -> Bench:
    return Bench()


def sine(frames: int) -> list[Pcm]:
    at = np.arange(frames * FRAME_SAMPLES)
    pcm = (8000 * np.sin(2 * np.pi * 440 * at / 16_000)).astype(np.int16)
    return list(pcm.reshape(frames, FRAME_SAMPLES))


def joined(frames: list[AudioFrame]) -> Pcm:
    return np.concatenate([np.asarray(frame) for frame in frames]).astype(np.int32)


def steepest(pcm: Pcm) -> int:
    return int(np.abs(np.diff(pcm)).max())


@pytest.mark.parametrize("paced", [False, True])
def test_what_waits_is_dropped_and_the_next_frame_fades_out(bench: Bench, paced: bool) -> None:
    bot = bench.bridge.add_leg(1, paced=paced, target_frames=3)
    listener = bench.bridge.add_leg(2)
    for frame in sine(8):
        bot.source.write(frame)
    bench.tick(3)
    bot.flush()
    bench.tick(4)
    heard = read_all(listener.render)
    pcm = joined(heard)
    end = 3 * FRAME_SAMPLES
    assert not pcm[end + FADE :].any(), "silent 5 ms later"
    assert pcm[end + 1 : end + FADE // 2].any()
    assert steepest(pcm) <= 1500, "no click: a sine of this kind has steps of 1382"
    assert not any(frame.is_concealed for frame in heard)
    assert ledger_holds(bot)
    assert bot.source.depth_frames == 0


def test_what_is_written_after_the_call_is_played(bench: Bench) -> None:
    bot, listener = bench.bridge.add_leg(1, paced=True), bench.bridge.add_leg(2)
    for n in range(5):
        bot.source.write(constant(n + 1))
    bench.tick()
    bot.flush()
    bot.source.write(constant(100))
    bot.source.write(constant(200))
    bench.tick(3)
    heard = read_all(listener.render)
    assert [int(frame[-1]) for frame in heard] == [1, 0, 100, 200]
    assert bot.counters().flushed == 3
    assert ledger_holds(bot)


def test_a_stream_that_has_run_dry_ends_without_a_click_too(bench: Bench) -> None:
    for missing in (0, 1, 2):
        bot = bench.bridge.add_leg(1)
        listener = bench.bridge.add_leg(2)
        for frame in sine(3):
            bot.source.write(frame)
            bench.tick()
        bench.tick(missing)
        read_all(listener.render)
        before = read_all(bot.render)
        assert len(before) == 3 + missing
        bot.flush()
        bench.tick(3)
        (last, *rest) = read_all(listener.render)
        assert not np.asarray(last)[FADE:].any()
        assert not joined(rest).any()
        assert not last.is_concealed
        assert bot.counters().concealed == missing
        bot.close()
        listener.close()


def test_nothing_playing_nothing_to_fade(bench: Bench) -> None:
    bot, listener = bench.bridge.add_leg(1, target_frames=4), bench.bridge.add_leg(2)
    bot.source.write(constant(5000))  # fewer than the target: not begun
    bot.flush()
    bench.tick(2)
    assert not joined(read_all(listener.render)).any()
    assert bot.counters().flushed == 1
    bot.close()
    with pytest.raises(RuntimeError, match="the leg is in no bridge"):
        bot.flush()


class LinkEnd:
    """The far end of a media link: pushes frames into a leg's peer."""

    def __init__(self, bench: Bench, leg: Leg) -> None:
        settings = PeerSettings(payload_types={LINK: "pcm16k"}, codec=None, secure=False)
        self.peer = Peer.make(bench.engine, settings)
        leg.attach(self.peer)
        self.sequence = 0
        bench.tick()  # the engine's time is virtual from here on

    def push(self, pcm: Pcm | None) -> None:
        self.peer.push(
            b"" if pcm is None else pcm.tobytes(),
            sequence=self.sequence,
            timestamp_samples=self.sequence * FRAME_SAMPLES,
            speakers=(5,),
        )
        self.sequence += 1


def test_what_waits_in_a_peer_is_dropped_and_fades_out(bench: Bench) -> None:
    link, listener = bench.bridge.add_leg(1, relay=True), bench.bridge.add_leg(2, render_slots=64)
    far = LinkEnd(bench, link)
    frames = sine(14)
    for frame in frames[:10]:
        far.push(frame)
        bench.tick()
    for frame in frames[10:]:
        far.push(frame)
    link.flush()
    bench.tick(5)
    pcm = joined(read_all(listener.render)[1:])
    end = 10 * FRAME_SAMPLES
    assert pcm[end + 1 : end + FADE // 2].any()
    assert not pcm[end + FADE :].any()
    assert steepest(pcm[FRAME_SAMPLES:]) <= 1500
    counts = far.peer.counters()
    assert counts["flushed"] == 3, "of four that waited one was due"
    assert counts["concealed_ticks"] == 0
    reasons = ("decoded", "late", "duplicate", "flushed", "overflow", "buffered")
    assert counts["packets"] == 14 == sum(counts[name] for name in reasons)
    made = counts["decoded_samples"] + counts["made_up_samples"] + counts["inserted_samples"]
    played = FRAME_SAMPLES * counts["ticks"]
    assert made == played + counts["removed_samples"] + counts["queued_samples"]


def test_what_is_pushed_after_the_call_is_played(bench: Bench) -> None:
    link, listener = bench.bridge.add_leg(1, relay=True), bench.bridge.add_leg(2, render_slots=64)
    far = LinkEnd(bench, link)
    for _ in range(10):
        far.push(constant(500))
        bench.tick()
    far.push(constant(500))
    link.flush()
    bench.tick()
    for _ in range(10):
        far.push(constant(900))
        bench.tick()
    levels = [int(frame[-1]) for frame in read_all(listener.render)[1:]]
    assert levels[:11] == [*[500] * 10, 0]
    assert levels[-5:] == [900] * 5
    assert far.peer.counters()["flushed"] == 0, "the only one that waited was due, and faded"


def test_a_silent_frame_of_a_link_needs_no_samples(bench: Bench) -> None:
    link, listener = bench.bridge.add_leg(1, relay=True), bench.bridge.add_leg(2, render_slots=64)
    far = LinkEnd(bench, link)
    tap = link.tap(64)
    for n in range(20):
        far.push(constant(500) if n < 10 else None)
        bench.tick()
    frames = read_all(listener.render)[1:]
    assert [int(frame[0]) for frame in frames] == [500] * 10 + [0] * 10
    assert [frame.is_silence for frame in frames] == [False] * 10 + [True] * 10
    assert [frame.is_silence for frame in read_all(tap.ring)] == [False] * 10 + [True] * 10
    counts = far.peer.counters()
    assert (counts["decoded"], counts["concealed_ticks"]) == (20, 0)
    with pytest.raises(ValueError, match="expected 640 bytes, or none, got 4"):
        far.peer.push(bytes(4), sequence=30, timestamp_samples=9600)


def test_flushes_leave_no_memory() -> None:
    gc.collect()
    before = _native.live_blocks()
    bench = Bench()
    link = bench.bridge.add_leg(1)
    far = LinkEnd(bench, link)
    for n in range(40):
        far.push(constant(n))
        link.flush()
        if n % 4 == 0:
            link.attach(None)
            link.flush()
            link.attach(far.peer)
        bench.tick()
    bench.bridge.close()
    bench.tick()
    del far, link, bench
    gc.collect()
    assert _native.live_blocks() == before
