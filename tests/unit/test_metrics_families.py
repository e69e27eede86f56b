"""What sources say becomes an exposition: each line once, under names of the catalogue alone."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from mixminus.control.histogram import TimeHistogram
from mixminus.control.operation.metrics.catalogue import CATALOGUE
from mixminus.control.operation.metrics.families import Families
from mixminus.control.operation.metrics.spec import MetricSpec, by_name

SPECS = by_name(
    (
        MetricSpec("mixminus_frames_total", "counter", "Frames.", ("outcome",)),
        MetricSpec("mixminus_legs", "gauge", "Legs."),
        MetricSpec("mixminus_delay_seconds", "gauge", "Delay.", ("stat",)),
        MetricSpec("mixminus_lag_seconds", "histogram", "Lag.", ("role",)),
        MetricSpec("mixminus_time_seconds", "summary", "Time.", ("plugin",)),
    )
)


def lines(families: Families) -> dict[str, float]:
    registry = CollectorRegistry()
    registry.register(families)
    text = generate_latest(registry).decode()
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f"{key}={value}" for key, value in sorted(sample.labels.items()))
            name = f"{sample.name}{{{labels}}}"
            assert name not in found, "a line is there twice"
            found[name] = sample.value
    return found


def test_what_two_sources_say_of_the_same_adds_up() -> None:
    families = Families(SPECS)
    for source in range(2):
        families.count("mixminus_frames_total", 5 + source, outcome="voice")
        families.gauge("mixminus_legs", 3)
    families.count("mixminus_frames_total", 1, outcome="fec")
    found = lines(families)
    assert found["mixminus_frames_total{outcome=voice}"] == 11
    assert found["mixminus_frames_total{outcome=fec}"] == 1
    assert found["mixminus_legs{}"] == 6


def test_of_a_state_the_larger_counts_and_of_nothing_nothing_is_said() -> None:
    families = Families(SPECS)
    families.state("mixminus_legs", 0)
    families.state("mixminus_legs", 1)
    families.state("mixminus_legs", 0)
    families.stats("mixminus_delay_seconds", [])
    assert lines(families) == {"mixminus_legs{}": 1}
    families.stats("mixminus_delay_seconds", [0.3, 0.1, 0.2])
    found = lines(families)
    assert found["mixminus_delay_seconds{stat=median}"] == 0.2
    assert found["mixminus_delay_seconds{stat=max}"] == 0.3


def test_buckets_are_cumulative_and_those_of_two_sources_add_up() -> None:
    families = Families(SPECS)
    for _ in range(2):
        histogram = TimeHistogram((0.01, 0.1))
        for seconds in (0.005, 0.01, 0.05, 7.0):
            histogram.observe(seconds)
        families.histogram("mixminus_lag_seconds", histogram.distribution(), role="host")
    found = lines(families)
    buckets = {le: found[f"mixminus_lag_seconds_bucket{{le={le},role=host}}"] for le in LE}
    assert buckets == {"0.01": 4, "0.1": 6, "+Inf": 8}
    assert found["mixminus_lag_seconds_count{role=host}"] == 8
    assert found["mixminus_lag_seconds_sum{role=host}"] == pytest.approx(2 * 7.065)
    with pytest.raises(ValueError, match="expected the bounds that it has"):
        families.histogram(
            "mixminus_lag_seconds", TimeHistogram((1.0,)).distribution(), role="host"
        )


LE = ("0.01", "0.1", "+Inf")


def test_a_summary_adds_up_and_keeps_the_worst_quantile() -> None:
    families = Families(SPECS)
    families.summary("mixminus_time_seconds", 10, 0.5, {0.5: 0.01, 0.99: 0.2}, plugin="gain")
    families.summary("mixminus_time_seconds", 2, 0.1, {0.5: 0.03, 0.99: 0.1}, plugin="gain")
    found = lines(families)
    assert found["mixminus_time_seconds_count{plugin=gain}"] == 12
    assert found["mixminus_time_seconds_sum{plugin=gain}"] == pytest.approx(0.6)
    assert found["mixminus_time_seconds{plugin=gain,quantile=0.5}"] == 0.03
    assert found["mixminus_time_seconds{plugin=gain,quantile=0.99}"] == 0.2


def test_what_is_not_in_the_catalogue_is_refused() -> None:
    families = Families(SPECS)
    with pytest.raises(KeyError, match="no metric 'mixminus_other'"):
        families.gauge("mixminus_other", 1)
    with pytest.raises(ValueError, match="expected a counter, got a gauge"):
        families.gauge("mixminus_frames_total", 1, outcome="voice")
    with pytest.raises(ValueError, match=r"expected the labels \('outcome',\), got \('role',\)"):
        families.count("mixminus_frames_total", 1, role="host")


@pytest.mark.parametrize(
    ("name", "kind", "what"),
    [
        ("frames_total", "counter", "expected mixminus_"),
        ("mixminus_Frames", "gauge", "expected mixminus_"),
        ("mixminus_frames", "counter", "expected _total"),
        ("mixminus_frames_total", "gauge", "expected _total"),
        ("mixminus_lag", "histogram", "expected _seconds"),
    ],
)
def test_a_name_says_its_kind_and_unit(name: str, kind: str, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        MetricSpec(name, kind, "?")  # type: ignore[arg-type]  # One of the kinds.


def test_a_name_is_in_the_catalogue_once() -> None:
    spec = MetricSpec("mixminus_legs", "gauge", "Legs.")
    with pytest.raises(ValueError, match="twice"):
        by_name((spec,), (spec,))


def test_all_of_the_catalogue_is_shown_before_anything_is_known() -> None:
    names = {family.name for family in Families().collect()}
    assert names == {name.removesuffix("_total") for name in CATALOGUE}


def test_bounds_that_do_not_grow_are_refused() -> None:
    with pytest.raises(ValueError, match="expected numbers that grow"):
        TimeHistogram((0.1, 0.1))
