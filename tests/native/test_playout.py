"""Playout and the bridge tick, driven tick by tick in virtual time."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixminus.media import _native
from mixminus.media.bridge import Bridge, Leg
from mixminus.media.pcm import FLAG_CONCEALED, FLAG_SILENCE, FRAME_SAMPLES, AudioFrame
from tests.bench_kit import Bench as BareBench
from tests.bench_kit import constant, ledger_holds


class Bench(BareBench):
    """With the last frame that a leg has heard."""

    def heard(self, leg: Leg) -> AudioFrame:
        """The frame of the last tick for *leg*."""
        frame = None
        while (read := leg.render.read()) is not None:
            frame = read
        assert frame is not None
        return frame


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_two_legs_hear_each_other_and_never_themselves(bench: Bench) -> None:
    a, b = bench.bridge.add_leg(1), bench.bridge.add_leg(2)
    a.source.write(constant(1000))
    b.source.write(constant(-500))
    bench.tick()
    assert (bench.heard(a) == -500).all()
    assert (bench.heard(b) == 1000).all()


def test_single_leg_hears_silence(bench: Bench) -> None:
    a = bench.bridge.add_leg(1)
    a.source.write(constant(1000))
    bench.tick()
    heard = bench.heard(a)
    assert not heard.any()
    assert heard.is_silence
    assert heard.active_speakers == ()


def test_stream_is_continuous_and_stamped(bench: Bench) -> None:
    a, _ = bench.bridge.add_leg(1), bench.bridge.add_leg(2)
    bench.tick(3)
    frames = [a.render.read() for _ in range(3)]
    assert [f.timestamp for f in frames if f is not None] == [200_000, 400_000, 600_000]
    assert a.render.read() is None


def test_reading_starts_at_the_target_depth(bench: Bench) -> None:
    a, b = bench.bridge.add_leg(1, target_frames=3), bench.bridge.add_leg(2)
    for n in (1, 2):
        a.source.write(constant(n * 100))
        bench.tick()
        assert not bench.heard(b).any()
    a.source.write(constant(300))
    bench.tick()
    assert (bench.heard(b) == 100).all()
    assert a.counters().silence == 2


def test_underrun_repeats_with_a_fade_and_falls_silent_after_60_ms(bench: Bench) -> None:
    a, b = bench.bridge.add_leg(1), bench.bridge.add_leg(2)
    a.source.write(constant(9000))
    bench.tick()
    assert (bench.heard(b) == 9000).all()
    levels = []
    for _ in range(3):
        bench.tick()
        heard = bench.heard(b)
        assert heard.is_concealed
        assert (np.diff(heard.astype(int)) <= 0).all()
        levels.append(int(heard[0]))
    assert levels == [9000, 6000, 3000]
    bench.tick()
    assert not bench.heard(b).any()
    counters = a.counters()
    assert (counters.concealed, counters.underruns, counters.silence) == (3, 1, 1)
    assert ledger_holds(a)


def test_frames_that_come_after_their_tick_are_late_and_delay_grows_by_one(bench: Bench) -> None:
    """A stall of 60 ms: what was concealed is dropped when it comes, but for one frame."""
    a, b = bench.bridge.add_leg(1), bench.bridge.add_leg(2)
    for n in range(1, 11):
        a.source.write(constant(n))
        bench.tick()
    bench.tick(3)
    for n in range(11, 15):
        a.source.write(constant(n))
    bench.tick()
    assert (bench.heard(b) == 13).all()
    counters = a.counters()
    assert (counters.concealed, counters.late, counters.target_frames) == (3, 2, 2)
    bench.tick()
    assert (bench.heard(b) == 14).all()
    assert ledger_holds(a)


def test_end_of_a_talkspurt_does_not_raise_the_target(bench: Bench) -> None:
    a, _ = bench.bridge.add_leg(1), bench.bridge.add_leg(2)
    for _ in range(5):
        a.source.write(constant(100))
        bench.tick()
        bench.tick(20)
    assert a.counters().target_frames == 1


def test_spare_delay_is_given_back_at_a_quiet_moment(bench: Bench) -> None:
    a, _ = bench.bridge.add_leg(1), bench.bridge.add_leg(2)
    bench.feed(a, 10, 5000)
    bench.tick(1)  # one frame late
    a.source.write(constant(5000))
    bench.feed(a, 1, 5000)
    assert a.counters().target_frames == 2
    assert a.source.depth_frames == 1
    bench.feed(a, 600, 5000)
    assert a.counters().target_frames == 1
    assert a.source.depth_frames == 1  # loud: nothing was cut out of speech
    bench.feed(a, 2, 10)
    assert a.source.depth_frames == 0
    assert a.counters().trimmed == 1
    assert ledger_holds(a)


def test_all_delay_is_given_back_however_long_nothing_is_quiet(bench: Bench) -> None:
    a, _ = bench.bridge.add_leg(1), bench.bridge.add_leg(2)
    for _ in range(4):  # four stalls, each longer than the last
        bench.feed(a, 20, 5000)
        bench.tick(a.source.depth_frames + 1)
        for _ in range(a.counters().target_frames + 1):
            a.source.write(constant(5000))
    bench.feed(a, 1, 5000)
    assert (a.counters().target_frames, a.source.depth_frames) == (5, 4)
    bench.feed(a, 2000, 5000)
    assert (a.counters().target_frames, a.source.depth_frames) == (1, 4)
    bench.feed(a, 8, 10)  # four loud ones still wait
    assert (a.counters().trimmed, a.source.depth_frames) == (4, 0)
    assert ledger_holds(a)


def test_what_a_stall_of_120_ms_held_up_is_late_when_it_comes(bench: Bench) -> None:
    a, b = bench.bridge.add_leg(1), bench.bridge.add_leg(2)
    bench.feed(a, 10, 5000)
    bench.tick(6)
    for n in range(1, 7):
        a.source.write(constant(n))
    bench.tick()
    assert (bench.heard(b) == 6).all()
    assert (a.counters().late, a.source.depth_frames) == (5, 0)
    assert ledger_holds(a)


def test_a_faster_far_end_adds_no_delay(bench: Bench) -> None:
    a, _ = bench.bridge.add_leg(1), bench.bridge.add_leg(2)
    for _ in range(12):
        a.source.write(constant(10))
        bench.feed(a, 1000, 10)
    counters = a.counters()  # the first extra frame waited where reading began
    assert (counters.late, counters.trimmed, a.source.depth_frames) == (1, 11, 0)
    assert ledger_holds(a)


def test_lost_frames_are_no_reason_to_wait_longer(bench: Bench) -> None:
    a, _ = bench.bridge.add_leg(1), bench.bridge.add_leg(2)
    for _ in range(25):
        bench.feed(a, 19, 5000)
        bench.tick()  # the twentieth never comes
    counters = a.counters()
    assert (counters.concealed, counters.late, counters.target_frames) == (25, 0, 1)


def test_a_lapped_playout_goes_to_its_target(bench: Bench) -> None:
    a, b = bench.bridge.add_leg(1, target_frames=2), bench.bridge.add_leg(2)
    for n in range(40):
        a.source.write(constant(n))
    bench.tick()
    assert (bench.heard(b) == 38).all()
    assert (a.counters().source_lapped, a.counters().late) == (38, 0)
    assert ledger_holds(a)


def test_a_bot_may_send_ahead_from_its_first_frame_on(bench: Bench) -> None:
    a, b = bench.bridge.add_leg(1, paced=True), bench.bridge.add_leg(2)
    for n in range(1, 5):
        a.source.write(constant(n))
    for n in range(1, 5):
        bench.tick()
        assert (bench.heard(b) == n).all()


def test_a_queue_that_is_kept_full_is_never_trimmed(bench: Bench) -> None:
    a, b = bench.bridge.add_leg(1, source_slots=64, paced=True), bench.bridge.add_leg(2)
    for n in range(40):
        a.source.write(constant(n))
    for n in range(1000):
        bench.tick()
        assert (bench.heard(b) == n % 32768).all()
        a.source.write(constant(n + 40))
    counters = a.counters()
    assert (counters.late, counters.trimmed, counters.concealed) == (0, 0, 0)


def test_active_speakers_are_named_to_all_others_with_a_hangover(bench: Bench) -> None:
    a, b, c = (bench.bridge.add_leg(n) for n in (11, 12, 13))
    loud = (np.random.default_rng(0).standard_normal(FRAME_SAMPLES) * 3000).astype(np.int16)
    a.source.write(loud)
    bench.tick()
    assert bench.heard(b).active_speakers == (11,)
    assert bench.heard(c).active_speakers == (11,)
    own = bench.heard(a)
    assert own.active_speakers == ()
    assert own.is_silence
    bench.tick(20)
    assert bench.heard(b).active_speakers == (11,)
    bench.tick(10)
    after = bench.heard(b)
    assert after.active_speakers == ()
    assert after.is_silence


def test_relay_passes_on_who_speaks_and_what_was_concealed(bench: Bench) -> None:
    link, bot = bench.bridge.add_leg(0, relay=True), bench.bridge.add_leg(1)
    link.source.write(constant(50), flags=FLAG_CONCEALED, speakers=(201, 202))
    bench.tick()
    heard = bench.heard(bot)
    assert heard.active_speakers == (201, 202)
    assert heard.is_concealed
    link.source.write(constant(0), flags=FLAG_SILENCE)
    bench.tick()
    heard = bench.heard(bot)
    assert heard.is_silence
    assert heard.active_speakers == ()


def test_sources_choose_who_hears_whom(bench: Bench) -> None:
    legs = [bench.bridge.add_leg(n) for n in range(4)]

    def speak() -> None:
        for n, leg in enumerate(legs):
            leg.source.write(constant(10**n))
        bench.tick()

    bench.bridge.set_sources(legs[0], [legs[3]])
    speak()
    assert bench.heard(legs[0])[0] == 1000
    assert bench.heard(legs[1])[0] == 1101
    bench.bridge.set_sources(legs[0], None)
    speak()
    assert bench.heard(legs[0])[0] == 1110
    bench.bridge.set_sources(legs[0], [legs[1], legs[3]])
    legs[3].close()
    bench.tick(5)
    for leg in legs[:3]:
        leg.source.write(constant(7))
    bench.tick()
    assert bench.heard(legs[0])[0] == 7
    with pytest.raises(ValueError, match="the leg is not in this bridge"):
        bench.bridge.set_sources(legs[0], [legs[3]])


def test_routes_change_together_or_not_at_all(bench: Bench) -> None:
    legs = [bench.bridge.add_leg(n) for n in range(70)]
    elsewhere = Bridge(bench.engine.add_bridge()).add_leg(1)

    def heard() -> list[int]:
        for n, leg in enumerate(legs):
            leg.source.write(constant(n))
        bench.tick()
        return [int(bench.heard(leg)[0]) for leg in legs[:3]]

    total = sum(range(70))
    assert heard() == [total, total - 1, total - 2]
    bench.bridge.set_routes({legs[0]: [legs[69], legs[5]], legs[1]: [], legs[2]: None})
    assert heard() == [74, 0, total - 2]
    with pytest.raises(ValueError, match="the leg is not in this bridge"):
        bench.bridge.set_routes({legs[0]: None, legs[1]: [legs[0], elsewhere]})
    with pytest.raises(ValueError, match="the leg is not in this bridge"):
        bench.bridge.set_routes({legs[0]: None, elsewhere: []})
    assert heard() == [74, 0, total - 2]
    bench.bridge.set_routes(dict.fromkeys(legs))
    assert heard() == [total, total - 1, total - 2]


@pytest.mark.parametrize("routes", [3, [3], [("a leg", None)], [(1, 2, 3)]])
def test_routes_that_are_none_are_refused(routes: Any) -> None:
    bridge: Any = _native.Engine().add_bridge()
    leg = bridge.add_leg(1)
    with pytest.raises((TypeError, ValueError)):
        bridge.set_routes(routes)
    with pytest.raises((TypeError, ValueError)):
        bridge.set_routes([(leg, None), (leg, [3])])
    bridge.set_routes([(leg, []), (leg, None)])


@given(
    steps=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 6)), min_size=1, max_size=80),
    target=st.integers(1, 4),
    paced=st.booleans(),
)
@settings(max_examples=150)
def test_ledgers_hold_under_any_arrival(
    steps: list[tuple[int, int]], target: int, paced: bool
) -> None:
    bench = Bench()
    a = bench.bridge.add_leg(1, target_frames=target, paced=paced)
    b = bench.bridge.add_leg(2)
    number, last = 3000, 0  # loud enough to be audible
    for arrivals, ticks in steps:
        for _ in range(arrivals):
            a.source.write(constant(number), timestamp=number)
            number += 1
        for _ in range(ticks):
            bench.tick()
            heard = bench.heard(b)
            if not heard.is_concealed and heard.any():
                assert heard[0] > last  # never again, never backwards
                last = int(heard[0])
        assert ledger_holds(a)


def test_legs_and_bridges_leave_no_memory() -> None:
    gc.collect()
    before = _native.live_blocks()
    bench = Bench()
    kept = bench.bridge.add_leg(1)
    for n in range(200):
        leg = bench.bridge.add_leg(n)
        bench.bridge.set_sources(leg, [kept])
        bench.bridge.set_sources(kept, [leg])
        bench.tick()
        leg.close()
        leg.close()
    bench.bridge.close()
    bench.bridge.close()
    with pytest.raises(RuntimeError, match="the bridge is closed"):
        bench.bridge.add_leg(1)
    kept.close()
    bench.tick()
    assert bench.engine.reclaim() == 0
    del bench, kept, leg
    gc.collect()
    assert _native.live_blocks() == before


def test_a_closed_leg_still_tells_its_counts(bench: Bench) -> None:
    a = bench.bridge.add_leg(1)
    a.source.write(constant(5))
    bench.tick()
    a.close()
    bench.tick(3)
    assert a.counters().voice == 1
    assert a.counters().ticks == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"source_slots": 10}, "source_slots: expected a power of two"),
        ({"target_frames": 0}, "expected 1 <= target_frames"),
        ({"max_target_frames": 16}, "expected 1 <= target_frames"),
    ],
)
def test_bad_numbers_are_named(bench: Bench, arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        bench.bridge.add_leg(1, **arguments)
