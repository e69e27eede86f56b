"""kill -9 of a bot host with calls up, again and again, at moments that chance picks."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from random import Random

from tests.chaos.busy import kill_while_asked
from tests.chaos.findings import percentile
from tests.chaos.guests import guests_of
from tests.chaos.journal import doubled_handlers, forgotten_state
from tests.chaos.scenario import Run, Scenario
from tests.chaos.stage import Meeting, Stage, stage_of, wait_for
from tests.chaos.views import ServiceCall, service_calls

CALLS = 20
ROUNDS = 100
BACK_S = 5.0
GHOST_S = 10.0
TELL_EACH = 10
LOST_S = 30.0
"""A call that is not back so long after its host serves again is lost."""
SETTLED_S = 90.0
SETTLED_QUICK_S = 10.0
UNANSWERED = "None: in a row, not in the service"
START_S = 120.0
"""How long the start of a process may take on a machine that does much else: it decides nothing."""


@dataclass
class Found:
    """What all rounds together came to; times in seconds from a kill on."""

    back_s: list[float] = field(default_factory=list)
    clean_s: list[float] = field(default_factory=list)
    start_s: list[float] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    ghosts: list[str] = field(default_factory=list)
    created: int = 0
    ended: list[str] = field(default_factory=list)
    unanswered: int = 0
    refused: list[str] = field(default_factory=list)


async def play(run: Run) -> None:
    """Kill, start again, count who is back and who is there twice."""
    outcome, chance = run.outcome, run.random
    calls, rounds = run.pick(CALLS, 4), run.pick(ROUNDS, 3)
    found = Found()
    patient = {"MIXMINUS_SERVICE_REJOIN_S": f"{START_S:.0f}"}
    async with AsyncExitStack() as exits:
        stage = await exits.enter_async_context(stage_of(run.directory, service=patient))
        meetings = await stage.meetings(calls)
        # Each second meeting has somebody else in it, who sees the bot come and go.
        guests = await exits.enter_async_context(guests_of(stage, meetings[::2]))
        await stage.join("a", meetings)
        if await wait_for(lambda: len(_back(stage, meetings, 0.0)) == calls, LOST_S) is None:
            raise stage.complaint(f"{len(_back(stage, meetings, 0.0))} of {calls} calls stand")
        for number in range(rounds):
            # Settled, busy, and while they come back: a third of the rounds each.
            moment = number % 3
            if moment == 1:
                meetings, killed_s = await _busy_round(stage, chance, meetings, found)
            else:
                killed_s = await _kill(stage, chance, is_rejoining=moment == 2)
            await stage.hosts["a"].wait_started(START_S)
            started_s = time.monotonic()
            found.start_s.append(started_s - killed_s)
            await _wait_all(stage, meetings, killed_s)
            back = _back(stage, meetings, killed_s)
            found.back_s += [at_s - killed_s for at_s in back.values()]
            gone = [meeting for meeting in meetings if meeting.thread not in back]
            found.lost += [f"round {number}: {meeting.thread}" for meeting in gone]
            clean = await _wait_clean(stage, started_s + GHOST_S)
            if clean is None:
                found.ghosts += [f"round {number}: {ghost}" for ghost in await stage.ghosts()]
            else:
                found.clean_s.append(clean - killed_s)
            await guests.stay()
            if number % TELL_EACH == TELL_EACH - 1:
                told = f"{len(found.lost)} lost, {len(found.ghosts)} ghosts"
                print(f"  {number + 1} rounds, {told}", flush=True)
            # What is lost is told once, and replaced; so is what was ended: as many calls again.
            meetings = [meeting for meeting in meetings if meeting not in gone]
            meetings += await _as_many(stage, meetings, calls)
        outcome.notes.append(f"starts, p50 of passed and CPU time: {_phases(stage)}")
        await _judge(run, stage, found)
    outcome.figure("back after the kill, p95", percentile(found.back_s, 95), BACK_S)
    outcome.figure("back after the kill, p99", percentile(found.back_s, 99), 2 * BACK_S)
    outcome.figure("no ghost after the kill, longest", max(found.clean_s, default=None), GHOST_S)
    outcome.series = {
        "calls back": found.back_s,
        "no ghost": found.clean_s,
        "the host serves": found.start_s,
    }
    start_s = found.start_s
    outcome.notes.append(
        f"{rounds} rounds of {calls} calls, counted from the kill on; until the host served again"
        f" p50 {percentile(start_s, 50):.1f} s, p95 {percentile(start_s, 95):.1f} s of that"
    )
    outcome.notes.append(
        f"asked for in the moment of a kill, and acknowledged: {found.created} calls made,"
        f" {len(found.ended)} ended; {found.unanswered} requests without an answer"
    )


async def _judge(run: Run, stage: Stage, found: Found) -> None:
    """Compare what is there in the end with what was said, once all has had its time."""
    outcome = run.outcome
    differences = await _settled_differences(stage, run.seconds(SETTLED_S, SETTLED_QUICK_S))
    if run.is_quick:
        # What was asked for and never reached the service is closed after a minute: too long here.
        differences = [one for one in differences if one != UNANSWERED]
    lines = stage.journals["a"].read()
    there = {call.call_id for call in service_calls(stage.service_view)}
    outcome.expect_none("calls that never came back", found.lost)
    outcome.expect_none("ghost participants after 10 s", found.ghosts)
    outcome.expect_none("ghost participants in the end", await stage.ghosts())
    outcome.expect_none("calls that were ended, and are there", there & set(found.ended))
    outcome.expect_none("requests that a host refused which lived", found.refused)
    outcome.expect_none("calls that a bot was given twice", doubled_handlers(lines))
    outcome.expect_none("saved state that was acknowledged and lost", forgotten_state(lines))
    outcome.expect_none("calls that differ between service, store and engine", differences)


async def _busy_round(
    stage: Stage, chance: Random, meetings: list[Meeting], found: Found
) -> tuple[list[Meeting], float]:
    """Kill while calls are made and ended; return who must come back, and when it was killed.

    What nobody heard an answer of may be there or not: in the end all must agree on it.
    """
    share = max(1, len(meetings) // 4)
    leaving = chance.sample(meetings, share)
    calls = {call.thread: call.call_id for call in _own_calls(stage)}
    ending = [calls[meeting.thread] for meeting in leaving]
    made = await stage.meetings(share)
    killed_s, asked = await kill_while_asked(stage, chance, made, ending)
    await stage.hosts["a"].launch()
    found.created += len(asked.created)
    found.ended += asked.ended
    found.unanswered += asked.unanswered
    found.refused += asked.refused
    staying = [meeting for meeting in meetings if meeting not in leaving]
    return [*staying, *asked.created.values()], killed_s


def _own_calls(stage: Stage) -> list[ServiceCall]:
    guests = set(stage.guests.values())
    return [call for call in service_calls(stage.service_view) if call.call_id not in guests]


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
    """Return when which conversation had its bot again, by its thread.

    With audio in the bot that is when it flows, with the service's when the bot has the call.
    """
    wanted = {meeting.thread for meeting in meetings}
    back: dict[str, float] = {}
    for line in stage.journals["a"].since(since_s, "audio", "called", "rejoined"):
        is_there = line["event"] == "audio" or line["media"] == "service"
        if is_there and line["thread"] in wanted:
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


def _phases(stage: Stage) -> str:
    """Say where the time of the host's starts went, by what each said of itself."""
    host = stage.hosts["a"]
    told: dict[str, list[dict[str, int]]] = {}
    for path in host.directory.glob(f"{host.name}-*.out"):
        # One that was killed in the middle of its start has said nothing.
        for line in path.read_text().splitlines():
            for phase, took in json.loads(line)["phases"].items():
                told.setdefault(phase, []).append(took)
    return ", ".join(
        f"{phase} {percentile([one['ms'] for one in each], 50):.0f} ms"
        f" ({percentile([one['cpuMs'] for one in each], 50):.0f} ms)"
        for phase, each in told.items()
    )


async def _as_many(stage: Stage, meetings: list[Meeting], calls: int) -> list[Meeting]:
    """End all calls but those of *meetings*, and make as many as there are fewer than *calls*.

    What nobody heard an answer of may be there: each round is about as many calls as the first.
    """
    staying = {meeting.thread for meeting in meetings}
    for call in _own_calls(stage):
        if call.thread not in staying:
            await stage.graph("DELETE", f"/calls/{call.call_id}")
    made = await stage.meetings(calls - len(meetings))
    await stage.join("a", made)
    await wait_for(lambda: len(_back(stage, made, 0.0)) == len(made), LOST_S)
    return made


async def _settled_differences(stage: Stage, timeout_s: float) -> list[str]:
    async def is_equal() -> bool:
        return not await stage.differences(["a"])

    await wait_for(is_equal, timeout_s, 0.5)
    return await stage.differences(["a"])


SCENARIO = Scenario("kill-host", "kill -9 of a host, at random moments", play, is_in_quick=True)
