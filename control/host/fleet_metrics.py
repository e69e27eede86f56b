"""What a bot host tells Prometheus of the hosts beside it, and of calls that went or came."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..operation.metrics import Families

if TYPE_CHECKING:
    from ..store.stats import StoreStats
    from .fleet.fleet import HostFleet


def collect_fleet(families: Families, fleet: HostFleet, store: StoreStats) -> None:
    """Say who else is there, as this host sees it, and what became of calls that came back."""
    living = fleet.watch.living
    draining = sum(row.is_draining for row in living)
    for state, count in (
        ("living", len(living) - draining),
        ("draining", draining),
        ("dead", len(fleet.watch.dead)),
    ):
        families.gauge("mixminus_fleet_instances", count, state=state)
    for outcome, number in fleet.rejoin.outcomes.items():
        families.count("mixminus_calls_rejoined_total", number, outcome=outcome.value)
    families.histogram("mixminus_rejoin_seconds", fleet.rejoin.times.distribution())
    families.count("mixminus_calls_handed_over_total", fleet.moving.moved)
    families.count("mixminus_standstills_total", fleet.fence.standstills)
    families.count("mixminus_host_stale_writes_total", store.stale)
    families.state("mixminus_fence_open", fleet.fence.is_open)
