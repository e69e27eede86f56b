"""What plugins tell, in either role."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ...plugin_totals import PluginSum
from .families import Families

COUNTERS: Final = {
    "errors": "mixminus_plugin_errors_total",
    "overruns": "mixminus_plugin_overruns_total",
    "host_stalls": "mixminus_plugin_host_stalls_total",
    "disabled": "mixminus_plugin_disabled_total",
    "restarts": "mixminus_plugin_restarts_total",
}


def collect_plugins(
    families: Families, role: str, sums: Mapping[str, PluginSum], stuck_s: float
) -> None:
    """Say what the plugins of a role did."""
    for plugin, one in sums.items():
        for outcome, counter in (("processed", "frames"), ("bypassed", "bypassed")):
            families.count(
                "mixminus_plugin_frames_total",
                one.counts[counter],
                role=role,
                plugin=plugin,
                outcome=outcome,
            )
        families.summary(
            "mixminus_plugin_time_seconds",
            one.counts["frames"],
            one.time_us / 1e6,
            {0.5: one.p50_us / 1e6, 0.99: one.p99_us / 1e6},
            role=role,
            plugin=plugin,
        )
        for counter, name in COUNTERS.items():
            families.count(name, one.counts[counter], role=role, plugin=plugin)
    families.state("mixminus_plugin_stuck_seconds", stuck_s, role=role)
