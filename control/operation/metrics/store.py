"""What the store of a role tells."""

from __future__ import annotations

from ...store.stats import StoreStats
from .families import Families


def collect_store(families: Families, role: str, stats: StoreStats) -> None:
    """Say what a role's store did, and whether it answers."""
    for outcome, count in (
        ("done", stats.works - stats.failed),
        ("failed", stats.failed),
        ("refused", stats.refused),
    ):
        families.count("mixminus_store_works_total", count, role=role, outcome=outcome)
    taken = stats.taken.distribution()
    families.histogram("mixminus_store_transaction_seconds", taken, role=role)
    families.gauge("mixminus_store_works_waiting", stats.waiting, role=role)
    families.state("mixminus_store_transaction_works_max", stats.largest, role=role)
    families.state("mixminus_store_away", stats.is_away, role=role)
    families.count("mixminus_store_outages_total", stats.away_count, role=role)
