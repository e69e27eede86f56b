"""kill -9 of a bot host with calls up, again and again, at moments that chance picks."""

from __future__ import annotations

import asyncio
import time
from random import Random

from tests.chaos.findings import percentile
from tests.chaos.journal import doubled_handlers, forgotten_state
from tests.chaos.scenario import Run, Scenario
from tests.chaos.stage import Meeting, Stage, stage_of, wait_for
from tests.chaos.views import service_calls

CALLS = 20
ROUNDS = 100
BACK_S = 5.0
GHOST_S = 10.0
TELL_EACH = 10
LOST_S = 30.0
"""A call that is not back so long after its host serves again is lost."""
START_S = 120.0
"""How long the start of a process may take on a machine that does much else: it decides nothing."""


async def play(run: Run) -> None:
    """Kill, start again, count who is back and who is there twice."""
    outcome, chance = run.outcome, run.random
    calls, rounds = run.pick(CALLS, 4), run.pick(ROUNDS, 3)
    back_s: list[float] = []
    clean_s: list[float] = []
    start_s: list[float] = []
    lost: list[str] = []
    ghosts: list[str] = []
    patient = {"MIXMINUS_SERVICE_REJOIN_S": f"{START_S:.0f}"}
    async with stage_of(run.directory, service=patient) as stage:
        meetings = await stage.meetings(calls)
        await stage.join("a", meetings)
        if await wait_for(lambda: len(_back(stage, meetings, 0.0)) == calls, LOST_S) is None:
            raise stage.complaint(f"{len(_back(stage, meetings, 0.0))} of {calls} calls stand")
        for number in range(rounds):
            # What is lost is told once, and replaced: the next round has as many calls again.
            killed_s = await _kill(stage, chance, is_rejoining=chance.random() < 1 / 3)
            await stage.hosts["a"].wait_started(START_S)
            started_s = time.monotonic()
            start_s.append(started_s - killed_s)
            await _wait_all(stage, meetings, killed_s)
            back = _back(stage, meetings, killed_s)
            back_s += [at_s - killed_s for at_s in back.values()]
            gone = [meeting for meeting in meetings if meeting.thread not in back]
            lost += [f"round {number}: {meeting.thread}" for meeting in gone]
            clean = await _wait_clean(stage, started_s + GHOST_S)
            if clean is None:
                ghosts += [f"round {number}: {ghost}" for ghost in await stage.ghosts()]
            else:
                clean_s.append(clean - killed_s)
            if number % TELL_EACH == TELL_EACH - 1:
                print(f"  {number + 1} rounds, {len(lost)} lost, {len(ghosts)} ghosts", flush=True)
            if gone:
                meetings = [meeting for meeting in meetings if meeting not in gone]
                meetings += await _replace(stage, gone)
        lines = stage.journals["a"].read()
        outcome.expect_none("calls that never came back", lost)
        outcome.expect_none("ghost participants after 10 s", ghosts)
        outcome.expect_none("calls that a bot was given twice", doubled_handlers(lines))
        outcome.expect_none("saved state that was acknowledged and lost", forgotten_state(lines))
        outcome.expect_none(
            "calls that differ between service, store and engine", await _settled_differences(stage)
        )
    outcome.figure("back after the kill, p95", percentile(back_s, 95), BACK_S)
    outcome.figure("back after the kill, p99", percentile(back_s, 99), 2 * BACK_S)
    outcome.figure("no ghost after the kill, longest", max(clean_s, default=None), GHOST_S)
    outcome.series = {"calls back": back_s, "no ghost": clean_s, "the host serves": start_s}
    outcome.notes.append(
        f"{rounds} rounds of {calls} calls, counted from the kill on; until the host served again"
        f" p50 {percentile(start_s, 50):.1f} s, p95 {percentile(start_s, 95):.1f} s of that"
    )


async def _kill(stage: Stage, chance: Random, *, is_rejoining: bool) -> float:
    """Kill the host at a moment of chance and start it; return when it was killed last."""
    host = stage.hosts["a"]
    await asyncio.sleep(chance.uniform(0.0, 1.0))
    killed_s = await host.kill()
    await host.launch()
    if is_rejoining:
        # From its first imports until after its calls are back.
        await asyncio.sleep(chance.uniform(0.1, 5.0))
        killed_s = await host.kill()
        await host.launch()
    return killed_s


def _back(stage: Stage, meetings: list[Meeting], since_s: float) -> dict[str, float]:
    """Return when audio flowed again in which conversation, by its thread."""
    wanted = {meeting.thread for meeting in meetings}
    back: dict[str, float] = {}
    for line in stage.journals["a"].since(since_s, "audio"):
        if line["thread"] in wanted:
            back.setdefault(line["thread"], line["at"])
    return back


async def _wait_all(stage: Stage, meetings: list[Meeting], killed_s: float) -> None:
    def all_back() -> bool:
        return len(_back(stage, meetings, killed_s)) == len(meetings)

    await wait_for(all_back, LOST_S)


async def _wait_clean(stage: Stage, until_s: float) -> float | None:
    async def is_clean() -> bool:
        return not await stage.ghosts()

    # At least one look, also when those who came back took all the time.
    return await wait_for(is_clean, max(0.0, until_s - time.monotonic()), 0.2)


async def _replace(stage: Stage, gone: list[Meeting]) -> list[Meeting]:
    """End what is left of lost calls, and make as many new ones."""
    threads = {meeting.thread for meeting in gone}
    for call in service_calls(stage.service_view):
        if call.thread in threads:
            await stage.graph("DELETE", f"/calls/{call.call_id}")
    made = await stage.meetings(len(gone))
    await stage.join("a", made)
    await wait_for(lambda: len(_back(stage, made, 0.0)) == len(made), LOST_S)
    return made


async def _settled_differences(stage: Stage) -> list[str]:
    async def is_equal() -> bool:
        return not await stage.differences(["a"])

    await wait_for(is_equal, 60.0, 0.5)
    return await stage.differences(["a"])


SCENARIO = Scenario("kill-host", "kill -9 of a host, at random moments", play, is_in_quick=True)
