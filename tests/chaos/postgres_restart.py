"""PostgreSQL goes away and comes back under calls: restarted in order, and after a crash."""

from __future__ import annotations

import asyncio

from tests.chaos.receiver import Webhook
from tests.chaos.scenario import Run, Scenario
from tests.chaos.stage import Stage, stage_of
from tests.chaos.under_fault import play_under

AWAY_S = 13.0


async def play(run: Run) -> None:
    """Restart the server twice, away for a while each time."""
    server = await run.postgres()

    async def restart(stage: Stage) -> None:
        for mode in ("fast", "immediate"):
            await asyncio.to_thread(server.stop, mode)
            try:
                await asyncio.sleep(run.seconds(AWAY_S, 3.0))
            finally:
                await asyncio.to_thread(server.start)
            await asyncio.sleep(2.0)

    async with (
        stage_of(run.directory, postgres=server) as stage,
        Webhook(stage.service.state_dir, run.directory / "hook") as hook,
    ):
        await play_under(run, stage, restart, hook=hook)


SCENARIO = Scenario("postgres-restart", "PostgreSQL restarted under calls", play)
