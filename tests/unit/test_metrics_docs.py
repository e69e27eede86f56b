"""What is written about metrics is what there is: the page, the dashboard, the alerts."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from mixminus.control.operation.metrics.catalogue import CATALOGUE
from tests.metrics_page import PAGE, shown, tables
from tests.support import ROOT

DASHBOARD = ROOT / "deploy/grafana/mixminus.json"
PROMETHEUS = ROOT / "deploy/prometheus"
PROCESS = {
    "process_cpu_seconds_total",
    "process_max_fds",
    "process_open_fds",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
}
"""Of prometheus-client's own, those that are used."""
OF_THE_SCRAPE = {"job", "instance", "le", "quantile"}
"""Labels that Prometheus sets, or the kind of a metric."""

METRIC = re.compile(r"\b(?:mixminus|process|python)_[a-z0-9_]+")
SELECTED = re.compile(r"\b(mixminus_[a-z0-9_]+)\{([^}]*)\}")
GROUPED = re.compile(r"\b(?:by|ignoring|on) \(([^)]*)\)")


def metric_of(name: str) -> str:
    """Return the metric whose series *name* is. Raises: AssertionError when there is none."""
    if name in CATALOGUE:
        assert CATALOGUE[name].kind != "histogram", f"{name}: expected _bucket, _sum or _count"
        return name
    metric, _, end = name.rpartition("_")
    kinds = {"bucket": ("histogram",), "sum": ("histogram", "summary")}
    kinds["count"] = kinds["sum"]
    assert metric in CATALOGUE, f"no metric {name}"
    assert CATALOGUE[metric].kind in kinds.get(end, ()), f"{name} is no series of {metric}"
    return metric


def expect_known(expression: str) -> None:
    """Expect metrics of the catalogue alone in a PromQL expression, with labels that they have."""
    names = set(METRIC.findall(expression))
    assert names or expression.startswith(("sum(up", "up")), f"no metric in {expression}"
    labels = set(OF_THE_SCRAPE)
    for name in names - PROCESS:
        labels.update(CATALOGUE[metric_of(name)].labels)
    for name, selector in SELECTED.findall(expression):
        asked = set(re.findall(r"([a-z_]+)\s*(?:=~|!~|!=|=)", selector))
        extra = asked - OF_THE_SCRAPE - set(CATALOGUE[metric_of(name)].labels)
        assert not extra, f"{name} has no labels {extra}: {expression}"
    for group in GROUPED.findall(expression):
        asked = {label.strip() for label in group.split(",")}
        assert asked <= labels, f"{asked - labels} in {expression}"


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return found


def panels() -> list[dict[str, Any]]:
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def queries() -> Iterator[tuple[str, str, str]]:
    """Iterate over title, expression and legend of all that the dashboard asks for."""
    for panel in panels():
        for target in panel["targets"]:
            yield panel["title"], target["expr"], target["legendFormat"]


def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def test_the_page_has_the_catalogue() -> None:
    assert shown() == tables(), "run `python -m tests.metrics_page`"


def test_the_page_says_what_each_label_may_be() -> None:
    text = PAGE.read_text()
    table = text.partition("## Labels")[2].partition("\n## ")[0]
    explained = {
        label
        for line in table.splitlines()
        if line.startswith("| `")
        for label in re.findall(r"`([a-z]+)`", line.split("|")[1])
    }
    assert explained == {label for spec in CATALOGUE.values() for label in spec.labels}


def test_the_page_names_no_metric_that_there_is_not() -> None:
    for name in set(re.findall(r"\bmixminus_[a-z0-9_]+", PAGE.read_text())) - set(CATALOGUE):
        metric_of(name)


def test_the_dashboard_asks_for_what_there_is() -> None:
    for title, expression, legend in queries():
        expect_known(expression)
        assert 'job=~"$job",instance=~"$instance"' in expression, title
        # What a legend names must be left by the expression's grouping.
        kept = {
            label.strip() for group in GROUPED.findall(expression) for label in group.split(",")
        }
        for label in re.findall(r"\{\{(\w+)\}\}", legend):
            assert label in kept | {"instance"}, f"{title}: {label} of {legend!r}"


def test_each_metric_that_an_operator_must_see_is_on_the_dashboard() -> None:
    asked = {
        metric_of(name)
        for _, expression, _ in queries()
        for name in METRIC.findall(expression)
        if name not in PROCESS
    }
    wanted = {
        "mixminus_ticks_late_total",
        "mixminus_legs",
        "mixminus_calls",
        "mixminus_ring_frames_dropped_total",
        "mixminus_playout_frames_total",
        "mixminus_plugin_time_seconds",
        "mixminus_notification_lag_seconds",
        "mixminus_tokens_total",
        "mixminus_signing_key_fetches_total",
        "mixminus_load_ratio",
    }
    assert wanted <= asked


def test_the_dashboard_is_whole() -> None:
    everything = dashboard()["panels"]
    numbers = [panel["id"] for panel in everything]
    assert len(set(numbers)) == len(numbers)
    for panel in panels():
        assert panel["title"]
        assert panel["description"].endswith(".")
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert panel["datasource"]["uid"] == "${datasource}"
        references = [target["refId"] for target in panel["targets"]]
        assert len(set(references)) == len(references) > 0
    places = [(panel["title"], panel["gridPos"]) for panel in everything]
    for (name, a), (other, b) in combinations(places, 2):
        apart = (
            a["x"] + a["w"] <= b["x"]
            or b["x"] + b["w"] <= a["x"]
            or a["y"] + a["h"] <= b["y"]
            or b["y"] + b["h"] <= a["y"]
        )
        assert apart, f"{name} and {other} overlap"
    assert all(place["x"] + place["w"] <= 24 for _, place in places)
    variables = {variable["name"] for variable in dashboard()["templating"]["list"]}
    assert variables == {"datasource", "job", "instance"}


def test_alerts_ask_for_what_there_is_and_say_what_to_do() -> None:
    names = [rule["alert"] for rule in alerts()]
    assert len(set(names)) == len(names)
    for rule in alerts():
        expect_known(rule["expr"])
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert "$labels.instance" in rule["annotations"]["summary"]
        assert rule["annotations"]["description"].endswith(".")


@pytest.mark.parametrize(
    "expression",
    [
        "rate(mixminus_tick_total[5m])",
        "mixminus_tick_lateness_seconds",
        'mixminus_calls{status="established"}',
        "sum by (call_id) (mixminus_calls)",
        "mixminus_legs_count",
    ],
)
def test_a_mistake_is_found(expression: str) -> None:
    with pytest.raises(AssertionError):
        expect_known(expression)


def test_the_scrape_configuration_has_both_roles() -> None:
    found = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    assert [Path(file).name for file in found["rule_files"]] == ["alerts.yml"]
    jobs = {job["job_name"]: job for job in found["scrape_configs"]}
    assert set(jobs) == {"mixminus-service", "mixminus-host"}
    # A certificate that is not checked would give the token away.
    assert all(job["scheme"] == "https" and "ca_file" in job["tls_config"] for job in jobs.values())
