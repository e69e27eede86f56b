"""Totals of what comes and goes never go down, and count everything once."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from mixminus.media.replay.platform import VirtualPlatform
from mixminus.media.tally import READS_A_TURN, Tally
from mixminus.media.tick_totals import TickTotals

LOUD = np.full(320, 1000, np.int16)


class Thing:
    """Counts; its count outlives it, as an engine's does."""

    def __init__(self) -> None:
        self.counts = {"frames": 0, "lost": 0}


def test_what_has_ended_stays_in_the_total_and_is_counted_once() -> None:
    tally = Tally("frames", "lost")
    first, second = {"frames": 3, "lost": 0}, {"frames": 5, "lost": 1, "now": 9}
    end_first = tally.add(lambda: first)
    tally.add(lambda: second)
    assert tally.totals() == {"frames": 8, "lost": 1}
    end_first()
    end_first()
    first["frames"] = 100  # Nobody asks it any more.
    second["frames"] = 6
    assert tally.totals() == {"frames": 9, "lost": 1}
    assert len(tally) == 1


def test_what_nobody_has_any_more_was_asked_a_last_time() -> None:
    tally = Tally("frames", "lost")
    thing = Thing()
    tally.follow(thing, thing.counts.copy)
    thing.counts["frames"] = 7
    assert tally.totals()["frames"] == 7
    thing.counts["frames"] = 9
    del thing
    assert len(tally) == 0
    assert tally.totals()["frames"] == 9


async def test_what_is_closed_was_asked_a_last_time() -> None:
    tally = Tally("frames", "lost")
    closed: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    counts = {"frames": 1, "lost": 0}
    tally.follow_until(closed, lambda: counts)
    counts["frames"] = 2
    closed.set_result("gone")
    await asyncio.sleep(0)
    counts["frames"] = 50
    assert tally.totals()["frames"] == 2


async def test_the_loop_goes_on_while_many_are_asked() -> None:
    tally = Tally("frames")
    things = [Thing() for _ in range(4 * READS_A_TURN)]
    for number, thing in enumerate(things):
        thing.counts["frames"] = number
        tally.follow(thing, thing.counts.copy)
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            if things:
                things.pop()  # One that ends meanwhile is counted once.
            await asyncio.sleep(0)

    seen: list[int] = []
    busy = asyncio.create_task(others())
    expected = sum(range(4 * READS_A_TURN))
    totals = await tally.gather(lambda _, counts: seen.append(counts["frames"]))
    busy.cancel()
    assert totals == {"frames": expected} == tally.totals()
    assert turns >= 3
    assert len(seen) >= 4 * READS_A_TURN - turns


def test_a_moment_of_too_few_is_not_told() -> None:
    tally = Tally("frames", "lost")
    counts = {"frames": 0, "lost": 4}
    tally.add(lambda: counts)
    assert tally.totals()["lost"] == 4
    counts["lost"] = 3
    assert tally.totals()["lost"] == 4
    counts["lost"] = 6
    assert tally.totals()["lost"] == 6


def test_a_leg_counts_what_its_reader_missed_and_not_what_it_dropped() -> None:
    platform = VirtualPlatform()
    bridge = platform.create_bridge()
    leg = bridge.add_leg(1, render_slots=4)
    bridge.add_leg(2)
    tap = leg.tap(slots=4)
    for _ in range(10):
        platform.tick()
    assert leg.render.read() is not None  # 8 were overwritten: half a ring behind the writer.
    missed = platform.totals.legs.totals()["render_lapped"]
    assert missed == leg.render.counters().skipped == 8
    assert leg.render.clear() == 1
    assert tap.ring.read() is not None
    assert platform.totals.taps.totals()["lapped"] == 8
    assert platform.totals.legs.totals()["render_lapped"] == missed
    assert platform.totals.open_bridges == 1
    assert len(list(platform.totals.open_legs())) == 2
    bridge.close()
    del leg, tap, bridge
    assert platform.totals.legs.totals()["render_lapped"] == missed
    assert platform.totals.taps.totals()["lapped"] == 8
    assert platform.totals.open_bridges == 0


def test_legs_that_are_gone_stay_in_the_totals_of_ticks() -> None:
    platform = VirtualPlatform()
    seen = 0
    for _ in range(5):
        bridge = platform.create_bridge()
        leg = bridge.add_leg(1)
        leg.source.write(LOUD, 0)
        for _ in range(3):
            platform.tick()
        now = platform.totals.legs.totals()["ticks"]
        assert now >= seen + 3
        seen = now
        bridge.close()
        del leg, bridge
        assert platform.totals.legs.totals()["ticks"] >= seen
    assert len(platform.totals.legs) == 0


class Logs:
    """The logs of threads that tick, as the engine keeps them: the last so many of each."""

    def __init__(self, threads: int, remembered: int) -> None:
        self.values: list[list[int]] = [[] for _ in range(threads)]
        self.remembered = remembered

    def read(self, since: int, thread: int) -> bytes:
        values = self.values[thread]
        since = max(since, len(values) - self.remembered)
        return np.array(values[since:], np.uint32).tobytes()


def totals_of(logs: Logs) -> TickTotals:
    return TickTotals(
        logs.read,
        tick_threads=len(logs.values),
        bounds_s=(0.001, 0.002),
        remembered=logs.remembered,
    )


def test_each_tick_is_counted_once_and_the_last_when_it_is_complete() -> None:
    logs = Logs(threads=2, remembered=64)
    totals = totals_of(logs)
    assert totals.take().counts == (0, 0, 0)
    logs.values[0] += [500_000, 1_000_000, 1_500_000]
    logs.values[1] += [3_000_000]
    assert totals.take().counts == (2, 0, 0)
    logs.values[0][2] = 2_500_000  # It was not complete.
    logs.values[0] += [0]
    logs.values[1] += [0]
    found = totals.take()
    assert found.counts == (2, 0, 2)
    assert found.sum_s == pytest.approx(0.0005 + 0.001 + 0.0025 + 0.003)
    assert totals.take() == found


@pytest.mark.parametrize("ticks", [64, 65, 130, 1000])
def test_after_a_long_silence_no_tick_is_counted_twice(ticks: int) -> None:
    logs = Logs(threads=1, remembered=64)
    totals = totals_of(logs)
    logs.values[0] += [1_000_000] * ticks
    assert sum(totals.take().counts) == 63
    logs.values[0] += [1_000_000] * 10
    assert sum(totals.take().counts) == 73
