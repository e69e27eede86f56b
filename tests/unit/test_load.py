"""The load of a process, and what it is called: pure, so any time passes at once."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixminus.media.load import (
    Capacity,
    Health,
    Load,
    LoadGauge,
    Thresholds,
    load_of,
)
from mixminus.media.vitals import RecentTicks

IDLE = RecentTicks(
    seconds=2.0,
    ticks_per_s=50.0,
    lateness_p50_us=50.0,
    lateness_p99_us=100.0,
    lateness_max_us=200.0,
    tick_time_p50_us=10.0,
    tick_time_p99_us=20.0,
    tick_time_max_us=30.0,
    tick_thread_shares=(0.0, 0.0),
    packet_thread_share=0.0,
    loop_share=0.0,
    process_share=0.0,
)
CAPACITY = Capacity(0.8, 0.5, 0.9, 0.75, 10.0)


def settled(ratio: float, gauge: LoadGauge, now_s: float, seconds: int = 120) -> float:
    for _ in range(seconds):
        now_s += 1.0
        gauge.take(Load(ratio, "test"), now_s)
    return now_s


@pytest.mark.parametrize(
    ("change", "of", "ratio"),
    [
        ({"tick_thread_shares": (0.1, 0.4)}, "tick threads", 0.5),
        ({"packet_thread_share": 0.25}, "packet thread", 0.5),
        ({"loop_share": 0.45}, "event loop", 0.5),
        ({"process_share": 0.375}, "processors", 0.5),
        ({"tick_time_p99_us": 5000.0}, "tick time", 0.5),
    ],
)
def test_the_scarcest_resource_is_the_load(
    change: dict[str, float | tuple[float, ...]], of: str, ratio: float
) -> None:
    recent = replace(IDLE, **change)  # type: ignore[arg-type]
    load = load_of(recent, CAPACITY)
    assert load.of == of
    assert load.ratio == pytest.approx(ratio)


def test_health_has_the_documented_steps() -> None:
    for ratio, health in (
        (0.0, Health.NORMAL),
        (0.69, Health.NORMAL),
        (0.71, Health.HEAVILY_LOADED),
        (0.84, Health.HEAVILY_LOADED),
        (0.86, Health.OVERLOADED),
        (3.0, Health.OVERLOADED),
    ):
        gauge = LoadGauge(Thresholds())
        settled(ratio, gauge, 0.0)
        assert gauge.health is health, ratio


def test_what_was_reached_is_left_only_below_the_gap() -> None:
    gauge, now_s, healths = LoadGauge(Thresholds()), 0.0, []
    for ratio in (0.90, 0.81, 0.79, 0.66, 0.64):
        now_s = settled(ratio, gauge, now_s)
        healths.append(gauge.health)
    heavily, overloaded = Health.HEAVILY_LOADED, Health.OVERLOADED
    assert healths == [overloaded, overloaded, heavily, heavily, Health.NORMAL]


def test_one_bad_second_changes_nothing() -> None:
    """Also the first: a process that starts computes a lot."""
    gauge = LoadGauge(Thresholds())
    gauge.take(Load(1.2, "test"), 0.0)
    assert gauge.health is Health.NORMAL
    now_s = settled(0.2, gauge, 0.0)
    gauge.take(Load(1.5, "test"), now_s + 1)
    assert gauge.health is Health.NORMAL


def test_an_overload_that_lasts_is_seen_within_six_seconds() -> None:
    gauge = LoadGauge(Thresholds())
    now_s = settled(0.3, gauge, 0.0)
    settled(1.0, gauge, now_s, 6)
    assert gauge.health is Health.OVERLOADED


@given(st.lists(st.tuples(st.floats(0, 3), st.floats(0, 30)), max_size=100))
def test_the_load_stays_between_what_was_measured(steps: list[tuple[float, float]]) -> None:
    gauge, now_s, most = LoadGauge(Thresholds()), 0.0, 0.0
    for ratio, seconds in steps:
        now_s, most = now_s + seconds, max(most, ratio)
        health = gauge.take(Load(ratio, "test"), now_s)
        assert 0 <= gauge.load.ratio <= most + 1e-9
        assert health is gauge.health
        if gauge.load.ratio >= 0.85:
            assert health is Health.OVERLOADED
        elif gauge.load.ratio < 0.65:
            assert health is Health.NORMAL


@given(
    st.floats(0.66, 0.70, exclude_max=True, exclude_min=True),
    st.lists(st.floats(-0.009, 0.009), min_size=1, max_size=200),
)
def test_noise_around_a_threshold_flickers_at_most_once(base: float, noise: list[float]) -> None:
    gauge, healths = LoadGauge(Thresholds()), [Health.NORMAL]
    for second, error in enumerate(noise):
        health = gauge.take(Load(base + 0.03 + error, "test"), float(second))
        if health is not healths[-1]:
            healths.append(health)
    assert len(healths) <= 2


@pytest.mark.parametrize(
    ("heavily", "overloaded", "gap"),
    [(0.9, 0.8, 0.05), (0.5, 0.5, 0.05), (0.5, 0.8, 0.5), (0.5, 0.8, 0.0)],
)
def test_thresholds_are_checked(heavily: float, overloaded: float, gap: float) -> None:
    with pytest.raises(ValueError, match="0 < gap < heavily_loaded < overloaded"):
        LoadGauge(Thresholds(heavily, overloaded, gap))


def test_a_clock_that_stands_changes_nothing() -> None:
    gauge = LoadGauge(Thresholds())
    gauge.take(Load(0.5, "test"), 5.0)
    before = gauge.load.ratio
    gauge.take(Load(3.0, "test"), 5.0)
    assert gauge.load.ratio == before
