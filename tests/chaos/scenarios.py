"""All scenarios, in the order in which a whole run plays them."""

from __future__ import annotations

from typing import Final

from tests.chaos import (
    disk_full,
    fleet,
    kill_host,
    kill_service,
    notifications,
    postgres_restart,
    split_brain,
    sqlite_locked,
    tokens,
    wall_clock,
    webhook,
)
from tests.chaos.scenario import Scenario

SCENARIOS: Final[tuple[Scenario, ...]] = tuple(
    module.SCENARIO
    for module in (
        kill_host,
        kill_service,
        notifications,
        webhook,
        sqlite_locked,
        disk_full,
        postgres_restart,
        wall_clock,
        split_brain,
        fleet,
        tokens,
    )
)
