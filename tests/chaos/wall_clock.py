"""The wall clock of service and host jumps by an hour, forth and back, under calls."""

from __future__ import annotations

import asyncio

from tests.chaos.clocks import NoShiftedClockError, WallClock
from tests.chaos.receiver import Webhook
from tests.chaos.scenario import Run, Scenario
from tests.chaos.stage import Stage, stage_of, wait_for
from tests.chaos.under_fault import play_under

HOUR_S = 3600
STAY_S = 12.0
STANDS_S = 20.0


async def play(run: Run) -> None:
    """Jump to +1 h, back, to -1 h and back; after each jump a new call must stand."""
    try:
        clock = WallClock(run.directory)
    except NoShiftedClockError as error:
        run.outcome.skip("a wall clock that jumps", str(error))
        return
    stood: list[str] = []

    async def jump(stage: Stage) -> None:
        meetings = await stage.meetings(4)
        offsets = (HOUR_S, 0, -HOUR_S, 0)
        for offset_s, meeting in zip(offsets, meetings, strict=True):
            clock.move_to(offset_s)
            await asyncio.sleep(run.seconds(STAY_S, 3.0))
            (call_id,) = await stage.join("a", [meeting])

            def stands(call_id: str = call_id) -> bool:
                journal = stage.journals["a"]
                return any(line["call"] == call_id for line in journal.since(0.0, "audio"))

            if await wait_for(stands, STANDS_S) is None:
                stood.append(f"made at {offset_s:+d} s: {call_id}")
            # Not through its host: it is told, by a token that was made at this time.
            (await stage.graph("DELETE", f"/calls/{call_id}")).raise_for_status()

    moved = clock.environment
    async with stage_of(run.directory, service=moved, host=moved) as stage:
        async with Webhook(stage.service.state_dir, run.directory / "hook") as hook:
            await play_under(run, stage, jump, hook=hook, refuses=False, turns=1)
        run.outcome.expect_none("calls made after a jump that never stood", stood)
        refused = stage.hosts["a"].logged("a notification was refused")
        run.outcome.expect_none("notifications that the host refused", refused)


SCENARIO = Scenario("wall-clock", "the wall clock +1 h, -1 h under calls", play)
