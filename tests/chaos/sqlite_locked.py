"""Another process locks both files of SQLite's for 30 s, as a backup that hangs does."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import ExitStack, closing

from tests.chaos.receiver import Webhook
from tests.chaos.scenario import Run, Scenario
from tests.chaos.stage import Stage, stage_of
from tests.chaos.under_fault import play_under

LOCKED_S = 30.0


async def play(run: Run) -> None:
    """Hold the locks, and let go of them."""

    async def lock(stage: Stage) -> None:
        files = (stage.service.state_dir / "service.db", stage.hosts["a"].state_dir / "host.db")
        with ExitStack() as exits:
            for path in files:
                other = exits.enter_context(
                    closing(sqlite3.connect(path, timeout=10, isolation_level=None))
                )
                other.execute("BEGIN IMMEDIATE")
            await asyncio.sleep(run.seconds(LOCKED_S, 5.0))

    async with (
        stage_of(run.directory) as stage,
        Webhook(stage.service.state_dir, run.directory / "hook") as hook,
    ):
        await play_under(run, stage, lock, hook=hook)


SCENARIO = Scenario("sqlite-locked", "SQLite locked for 30 s", play, is_in_quick=True)
