"""Three hosts on one PostgreSQL: one is killed, one is drained, the third has all their calls."""

from __future__ import annotations

import signal
import time

from tests.chaos.journal import doubled_handlers, forgotten_state
from tests.chaos.scenario import Run, Scenario
from tests.chaos.stage import Stage, stage_of, wait_for
from tests.chaos.views import host_rows, service_calls

CALLS = 300
APP_HOSTED = 60
"""Calls whose audio comes to the hosts: 300 would take more than two cores by themselves."""
HOSTS = ("a", "b", "c")
EQUAL_S = 60.0
GIVE_UP_S = 180.0
"""Sets that are not equal after this never will be; before it the time is a figure."""
STANDS_S = 120.0
DRAIN_S = 120.0


async def play(run: Run) -> None:
    """Kill a, wait until all is equal; drain b, wait again."""
    outcome = run.outcome
    drain = {"MIXMINUS_OPERATION_DRAIN_S": f"{DRAIN_S:.0f}"}
    server = await run.postgres()
    async with stage_of(run.directory, hosts=HOSTS, postgres=server, host=drain) as stage:
        meetings = await stage.meetings(run.pick(CALLS, 9))
        with_audio = run.pick(APP_HOSTED, 3)
        for number, host in enumerate(HOSTS):
            share = meetings[number :: len(HOSTS)]
            apart = with_audio // len(HOSTS)
            await stage.join(host, share[:apart], "app")
            await stage.join(host, share[apart:], "service")
        threads: set[str | None] = {meeting.thread for meeting in meetings}
        if await wait_for(lambda: _standing(stage) == threads, STANDS_S, 0.5) is None:
            raise stage.complaint(f"{len(_standing(stage))} of {len(threads)} calls stand")
        outcome.notes.append(f"owners at first: {_owners(stage)}")
        killed_s = await stage.hosts["a"].kill()
        await _judge(run, stage, "killed", ("b", "c"), threads, killed_s)
        stage.hosts["b"].signal(signal.SIGTERM)
        drained_s = time.monotonic()
        await _judge(run, stage, "drained", ("c",), threads, drained_s)
        ended_s = await wait_for(lambda: not stage.hosts["b"].is_running, DRAIN_S)
        outcome.expect(
            "the drained host ends by itself",
            "exit 0",
            await stage.hosts["b"].wait() if ended_s is not None else "it goes on",
            is_met=ended_s is not None and await stage.hosts["b"].wait() == 0,
        )
        outcome.figure(
            "the drained host ends", None if ended_s is None else ended_s - drained_s, DRAIN_S
        )
        lines = [line for journal in stage.journals.values() for line in journal.read()]
        outcome.expect_none("calls that a bot was given twice", doubled_handlers(lines))
        outcome.expect_none("saved state that was acknowledged and lost", forgotten_state(lines))
        outcome.notes.append(f"owners at last: {_owners(stage)}")


async def _judge(
    run: Run,
    stage: Stage,
    what: str,
    left: tuple[str, ...],
    threads: set[str | None],
    since_s: float,
) -> None:
    """Wait until service, store and the engines that are *left* have the same calls: all."""

    async def is_equal() -> bool:
        return _standing(stage) == threads and not await _differences(stage, left)

    equal_s = await wait_for(is_equal, GIVE_UP_S, 0.5)
    outcome = run.outcome
    outcome.expect_none(f"{what}: calls lost", threads - _standing(stage))
    outcome.expect_none(
        f"{what}: sets that differ for ever",
        [] if equal_s is not None else await _differences(stage, left),
    )
    outcome.figure(f"{what}: sets equal", None if equal_s is None else equal_s - since_s, EQUAL_S)
    outcome.expect_none(f"{what}: ghost participants", await stage.ghosts())
    taken = {
        line["thread"]: line["at"] - since_s
        for name in left
        for line in stage.journals[name].since(since_s, "rejoined")
    }
    outcome.series[f"{what}: calls taken over"] = sorted(taken.values())
    longest = max(taken.values(), default=None)
    outcome.figure(f"{what}: {len(taken)} calls taken over, longest", longest, 15.0)


async def _differences(stage: Stage, left: tuple[str, ...]) -> list[str]:
    found = await stage.differences(left)
    owned = {row.owner for row in host_rows(stage.host_view())}
    return found + [f"rows owned by {owner}" for owner in owned - set(left)]


def _standing(stage: Stage) -> set[str | None]:
    calls = service_calls(stage.service_view)
    return {call.thread for call in calls if call.state == "established"}


def _owners(stage: Stage) -> dict[str, int]:
    owners = [str(row.owner) for row in host_rows(stage.host_view())]
    return {owner: owners.count(owner) for owner in sorted(set(owners))}


SCENARIO = Scenario(
    "fleet", "three hosts, 300 calls: one killed, one drained", play, is_in_quick=True
)
