"""What one look at all counters found, ready to be written as Prometheus reads it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from prometheus_client import Metric
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    SummaryMetricFamily,
)

from mixminus.media.tick_totals import Distribution

from .catalogue import CATALOGUE
from .spec import Kind, MetricSpec

LabelValues: TypeAlias = tuple[str, ...]

SUMMED: Final = frozenset({"counter", "gauge"})


@dataclass(slots=True)
class _Summary:
    count: int = 0
    sum_s: float = 0.0
    quantiles_s: dict[float, float] = field(default_factory=dict)


class Families:
    """Values by metric and labels, of all sources of a process.

    What two sources say of the same labels is added up, so that no line is there twice; of an
    ``_info`` gauge and of what is a state, the larger counts. Every metric must be in the
    catalogue, with exactly its labels.
    Thread: one at a time.
    """

    def __init__(self, catalogue: Mapping[str, MetricSpec] = CATALOGUE) -> None:
        self._catalogue = catalogue
        self._values: dict[str, dict[LabelValues, float]] = {}
        self._distributions: dict[str, dict[LabelValues, Distribution]] = {}
        self._summaries: dict[str, dict[LabelValues, _Summary]] = {}

    def count(self, name: str, value: float, **labels: str) -> None:
        """Say how far a counter has come. Raises: KeyError, ValueError on a wrong name or label."""
        self._add(name, "counter", value, labels)

    def gauge(self, name: str, value: float, **labels: str) -> None:
        """Say how something is now. Raises: as :meth:`count`."""
        self._add(name, "gauge", value, labels)

    def state(self, name: str, value: float, **labels: str) -> None:
        """Say what must not add up: that something is so (1) or not (0). Raises: as :meth:`count`.

        Of two sources the larger counts.
        """
        key = self._key(name, "gauge", labels)
        values = self._values.setdefault(name, {})
        values[key] = max(values.get(key, -math.inf), value)

    def stats(self, name: str, values: Iterable[float], **labels: str) -> None:
        """Say the median and the most of what many have now; nothing when there is none.

        Raises: as :meth:`count`.
        """
        ordered = sorted(values)
        if ordered:
            self.state(name, ordered[len(ordered) // 2], stat="median", **labels)
            self.state(name, ordered[-1], stat="max", **labels)

    def histogram(self, name: str, distribution: Distribution, **labels: str) -> None:
        """Say how durations are distributed. Raises: as :meth:`count`; on other bounds."""
        key = self._key(name, "histogram", labels)
        found = self._distributions.setdefault(name, {})
        before = found.get(key)
        if before is not None:
            if before.bounds_s != distribution.bounds_s:
                raise ValueError(f"{name}: expected the bounds that it has, got others")
            distribution = Distribution(
                before.bounds_s,
                tuple(a + b for a, b in zip(before.counts, distribution.counts, strict=True)),
                before.sum_s + distribution.sum_s,
            )
        found[key] = distribution

    def summary(
        self, name: str, count: int, sum_s: float, quantiles_s: Mapping[float, float], **labels: str
    ) -> None:
        """Say how many durations there were, their sum, and some quantiles of the last of them.

        Of two with the same labels the larger quantiles count. Raises: as :meth:`count`.
        """
        key = self._key(name, "summary", labels)
        one = self._summaries.setdefault(name, {}).setdefault(key, _Summary())
        one.count += count
        one.sum_s += sum_s
        for quantile, value_s in quantiles_s.items():
            one.quantiles_s[quantile] = max(value_s, one.quantiles_s.get(quantile, 0.0))

    def collect(self) -> Iterator[Metric]:
        """Iterate over what there is, in the order of the catalogue; all of it has its HELP."""
        for spec in self._catalogue.values():
            match spec.kind:
                case "counter":
                    yield self._simple(
                        CounterMetricFamily(spec.name, spec.help, labels=spec.labels), spec
                    )
                case "gauge":
                    yield self._simple(
                        GaugeMetricFamily(spec.name, spec.help, labels=spec.labels), spec
                    )
                case "histogram":
                    yield self._histogram(spec)
                case "summary":
                    yield self._summary(spec)

    def _simple(self, family: CounterMetricFamily | GaugeMetricFamily, spec: MetricSpec) -> Metric:
        for key, value in sorted(self._values.get(spec.name, {}).items()):
            family.add_metric(key, value)
        return family

    def _histogram(self, spec: MetricSpec) -> Metric:
        family = HistogramMetricFamily(spec.name, spec.help, labels=spec.labels)
        for key, distribution in sorted(self._distributions.get(spec.name, {}).items()):
            buckets, total = [], 0
            for bound, count in zip(
                (*distribution.bounds_s, math.inf), distribution.counts, strict=True
            ):
                total += count
                buckets.append(("+Inf" if bound == math.inf else repr(bound), total))
            family.add_metric(key, buckets, distribution.sum_s)
        return family

    def _summary(self, spec: MetricSpec) -> Metric:
        family = SummaryMetricFamily(spec.name, spec.help, labels=spec.labels)
        for key, one in sorted(self._summaries.get(spec.name, {}).items()):
            labels = dict(zip(spec.labels, key, strict=True))
            for quantile, value_s in sorted(one.quantiles_s.items()):
                family.add_sample(spec.name, {**labels, "quantile": repr(quantile)}, value_s)
            family.add_metric(key, one.count, one.sum_s)
        return family

    def _add(self, name: str, kind: Kind, value: float, labels: Mapping[str, str]) -> None:
        key = self._key(name, kind, labels)
        values = self._values.setdefault(name, {})
        values[key] = values.get(key, 0.0) + value

    def _key(self, name: str, kind: Kind, labels: Mapping[str, str]) -> LabelValues:
        spec = self._catalogue.get(name)
        if spec is None:
            raise KeyError(f"no metric {name!r} in the catalogue")
        if spec.kind != kind:
            raise ValueError(f"{name}: expected a {spec.kind}, got a {kind}")
        if set(labels) != set(spec.labels):
            raise ValueError(f"{name}: expected the labels {spec.labels}, got {tuple(labels)}")
        return tuple(labels[label] for label in spec.labels)
