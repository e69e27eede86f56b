"""Taps: what one leg says, in the tick in which it is mixed."""

from __future__ import annotations

import ctypes
import gc

import numpy as np
import pytest

from mixminus.media import _native
from mixminus.media.pcm import FLAG_CONCEALED, FLAG_SILENCE, FRAME_SAMPLES
from tests.bench_kit import TICK, Bench, constant, read_all
from tests.native import clib
from tests.unit.test_bridge_peers import Stage


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_the_sum_of_all_taps_is_the_mix_on_one_timeline(bench: Bench) -> None:
    speakers = [bench.bridge.add_leg(n) for n in range(5)]
    listener = bench.bridge.add_leg(9)
    taps = [leg.tap(64) for leg in speakers]
    rng = np.random.default_rng(5)
    for _ in range(60):
        for leg in speakers:
            if rng.random() < 0.8:  # else concealed, then silent
                noise = rng.standard_normal(FRAME_SAMPLES) * 1500
                leg.source.write(noise.astype(np.int16))
        bench.tick()
        (mix,) = read_all(listener.render)
        heard = [frame for tap in taps for frame in read_all(tap.ring)]
        assert [frame.timestamp for frame in heard] == [mix.timestamp] * 5
        assert (np.sum([np.asarray(frame) for frame in heard], axis=0) == np.asarray(mix)).all()


def test_a_tap_names_its_leg_while_it_is_audible(bench: Bench) -> None:
    leg, _ = bench.bridge.add_leg(7), bench.bridge.add_leg(8)
    tap = leg.tap(64)
    bench.feed(leg, 2, 4000)
    bench.feed(leg, 30, 0)
    bench.tick()
    frames = read_all(tap.ring)
    assert all(frame.active_speakers == (7,) and not frame.is_silence for frame in frames[:21])
    assert all(frame.active_speakers == () and frame.is_silence for frame in frames[22:])
    assert frames[-1].is_concealed, "nothing came in the last tick"
    assert [frame.timestamp for frame in frames] == [TICK * (n + 1) for n in range(33)]


def test_a_tap_of_a_relay_has_what_its_source_says(bench: Bench) -> None:
    link = bench.bridge.add_leg(0, relay=True)
    tap = link.tap()
    link.source.write(constant(50), flags=FLAG_CONCEALED, speakers=(201, 202))
    bench.tick()
    link.source.write(constant(0), flags=FLAG_SILENCE)
    bench.tick()
    said, silent = read_all(tap.ring)
    assert (said.active_speakers, said.is_concealed, said.is_silence) == ((201, 202), True, False)
    assert (silent.active_speakers, silent.is_silence) == ((), True)


def test_a_shut_gate_does_not_shut_the_tap() -> None:
    stage = Stage(2)
    tap = stage.parties[0].leg.tap(64)
    stage.run(60, {0: 60})  # -58 dBov
    frame = np.zeros(FRAME_SAMPLES, np.int16)
    peak, described = 0, None
    while (read := tap.ring.read_into(frame)) is not None:
        peak, described = int(np.abs(frame).max()), read
    assert peak == pytest.approx(60, abs=2)
    assert described is not None
    assert described[1] & FLAG_SILENCE
    assert described[2] == ()
    stage.close()


def test_taps_change_nothing_of_the_mix() -> None:
    def heard(tapped: bool) -> list[list[bytes]]:
        stage = Stage(3)
        taps = [party.leg.tap(16) for party in stage.parties] if tapped else []
        stage.run(60, {0: 8000, 1: 500})
        payloads = stage.payloads()
        assert all(tap.ring.written == 60 for tap in taps)
        stage.close()
        return payloads

    assert heard(tapped=True) == heard(tapped=False)


def test_a_slow_reader_is_lapped_and_nobody_waits(bench: Bench) -> None:
    leg = bench.bridge.add_leg(1)
    slow, fast = leg.tap(4), leg.tap(64)
    bench.tick(20)
    assert len(read_all(fast.ring)) == 20
    frames = read_all(slow.ring)
    assert len(frames) + slow.ring.counters().skipped == 20
    assert frames[-1].timestamp == 20 * TICK


def test_the_taps_of_a_leg_end_with_it(bench: Bench) -> None:
    leg, other = bench.bridge.add_leg(1), bench.bridge.add_leg(2)
    tap, others = leg.tap(), other.tap()
    bench.tick(3)
    leg.close()
    bench.tick(3)
    assert (tap.ended, others.ended) == (True, False)
    assert (len(read_all(tap.ring)), len(read_all(others.ring))) == (3, 6)
    bench.bridge.close()
    bench.tick(3)
    assert others.ended
    assert others.ring.read() is None
    tap.close()
    with pytest.raises(RuntimeError, match="the leg is in no bridge"):
        leg.tap()


def test_four_taps_of_a_leg_and_no_more(bench: Bench) -> None:
    leg = bench.bridge.add_leg(1)
    taps = [leg.tap() for _ in range(4)]
    with pytest.raises(RuntimeError, match="at most 4 taps"):
        leg.tap()
    taps[1].close()
    taps[1].close()
    assert taps[1].ended
    fifth = leg.tap()
    bench.tick()
    assert [tap.ring.depth_frames for tap in (*taps, fifth)] == [1, 0, 1, 1, 1]
    with pytest.raises(ValueError, match="slots: expected a power of two"):
        leg.tap(10)
    with pytest.raises(OverflowError):
        leg.tap(-1)


def test_ticks_that_were_left_out_reach_the_taps() -> None:
    """Of more than a ring holds the last: each with the time it stands for."""
    library = clib.library("tap.c", "ring.c", "memory.c")
    library.mm_ring_create.restype = ctypes.c_void_p
    ring = ctypes.c_void_p(library.mm_ring_create(4))
    taps = (ctypes.c_uint64 * 256)()
    library.mm_taps_add(taps, ring)
    library.mm_taps_skip(taps, ctypes.c_uint64(7), ctypes.c_int64(1000))
    meta, pcm = (ctypes.c_int64 * 6)(), (ctypes.c_int16 * FRAME_SAMPLES)(*[1] * FRAME_SAMPLES)
    for at in range(3, 7):
        assert library.mm_ring_read(ring, meta, pcm, None) == 1
        assert (meta[0], meta[1] & 0xFFFF_FFFF) == (1000 + at * TICK, 4 | 1)
        assert not any(pcm)
    library.mm_taps_remove(taps, ring)
    library.mm_taps_skip(taps, ctypes.c_uint64(1), ctypes.c_int64(0))
    assert library.mm_ring_read(ring, meta, pcm, None) == 0
    library.mm_ring_destroy(ring)


def test_taps_leave_no_memory() -> None:
    gc.collect()
    before = _native.live_blocks()
    bench = Bench()
    for n in range(50):
        leg = bench.bridge.add_leg(n)
        closed, kept = leg.tap(), leg.tap()
        bench.tick()
        closed.close()
        ring = kept.ring
        if n % 2:
            leg.close()
        bench.tick()
    del leg, closed, kept
    assert ring.read() is not None, "the ring is there as long as anybody has it"
    bench.bridge.close()
    bench.tick()
    del ring, bench
    gc.collect()
    assert _native.live_blocks() == before
