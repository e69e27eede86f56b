"""What plugins did in all calls together, by name: for health checks and operators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

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


class PluginTotals:
    """Adds up the metrics of chains that have ended; those that live are asked.

    Thread: the loop's.
    """

    def __init__(self) -> None:
        self._ended: dict[str, dict[str, int]] = {}

    def add(self, metrics: Mapping[str, PluginMetrics]) -> None:
        """Keep what a chain that ends has counted."""
        _add(self._ended, metrics)

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
