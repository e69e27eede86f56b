"""What plugins did in all calls together, by name: for health checks and operators."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from mixminus.media.plugins.events import PluginMetrics
from mixminus.media.plugins.worker import PluginWorker

COUNTED = (
    "frames",
    "bypassed",
    "errors",
    "overruns",
    "host_stalls",
    "disabled",
    "restarts",
)


MAX_NAMES: Final = 50
OTHER: Final = "other"


@dataclass(slots=True)
class PluginSum:
    """What one plugin did on all streams: counts, all of its own time, and how slow it is now.

    ``p50_us`` and ``p99_us`` are the slowest stream's.
    """

    counts: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys(COUNTED, 0)))
    time_us: float = 0.0
    p50_us: float = 0.0
    p99_us: float = 0.0

    def add(self, metrics: PluginMetrics) -> None:
        """Take in what it did on one more stream."""
        self.counts.update({counter: getattr(metrics, counter) for counter in COUNTED})
        self.time_us += metrics.time_total_us
        self.p50_us = max(self.p50_us, metrics.time_p50_us)
        self.p99_us = max(self.p99_us, metrics.time_p99_us)


class PluginTotals:
    """Adds up the metrics of chains that have ended; those that live are asked.

    Thread: the loop's.
    """

    def __init__(self) -> None:
        self._ended: dict[str, dict[str, int]] = {}
        self._ended_us: dict[str, float] = {}
        self._known: set[str] = set()

    def add(self, metrics: Mapping[str, PluginMetrics]) -> None:
        """Keep what a chain that ends has counted."""
        _add(self._ended, metrics)
        for name, one in metrics.items():
            self._ended_us[name] = self._ended_us.get(name, 0.0) + one.time_total_us

    def sums(self, living: Sequence[Mapping[str, PluginMetrics]]) -> dict[str, PluginSum]:
        """Return what each plugin did, those of chains that have ended included.

        A bot may name plugins as it likes: what comes after the first 50 names is one, "other".
        """
        found: dict[str, PluginSum] = {}
        for name, counts in self._ended.items():
            one = found.setdefault(self._name(name), PluginSum())
            one.counts.update(counts)
            one.time_us += self._ended_us[name]
        for metrics in living:
            for name, now in metrics.items():
                found.setdefault(self._name(name), PluginSum()).add(now)
        return found

    def _name(self, name: str) -> str:
        if name not in self._known and len(self._known) < MAX_NAMES:
            self._known.add(name)
        return name if name in self._known else OTHER

    def health(
        self, worker: PluginWorker, living: Sequence[Mapping[str, PluginMetrics]]
    ) -> dict[str, Any]:
        """Return what /healthz says of plugins, as JSON types."""
        totals = {name: dict(counts) for name, counts in self._ended.items()}
        for metrics in living:
            _add(totals, metrics)
        stuck = worker.stuck()
        return {
            "streams": worker.streams,
            "stuck": None if stuck is None else {"plugin": stuck[0], "s": round(stuck[1], 1)},
            "processes": [
                {"plugin": child.plugin, "pid": child.pid, "restarts": child.restarts}
                for child in worker.children.reports()
            ],
            "counters": {
                name: {_camel(counter): value for counter, value in counts.items()}
                for name, counts in totals.items()
            },
        }


def stuck_s(worker: PluginWorker) -> float:
    """Return how long a plugin has held up all others; 0: none does."""
    stuck = worker.stuck()
    return 0.0 if stuck is None else stuck[1]


def describe_metrics(metrics: PluginMetrics) -> dict[str, Any]:
    """Return one plugin's metrics as JSON types."""
    return {
        **{_camel(counter): getattr(metrics, counter) for counter in COUNTED},
        "isActive": metrics.is_active,
        "timeP50Us": round(metrics.time_p50_us, 1),
        "timeP99Us": round(metrics.time_p99_us, 1),
    }


def _add(totals: dict[str, dict[str, int]], metrics: Mapping[str, PluginMetrics]) -> None:
    for name, one in metrics.items():
        counts = totals.setdefault(name, dict.fromkeys(COUNTED, 0))
        for counter in COUNTED:
            counts[counter] += getattr(one, counter)


def _camel(name: str) -> str:
    head, *tail = name.split("_")
    return head + "".join(word.title() for word in tail)
