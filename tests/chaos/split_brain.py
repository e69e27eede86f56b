"""SIGSTOP of a host: another takes its calls; when it wakes up there is still one of each."""

from __future__ import annotations

import asyncio
import signal
import time

from tests.chaos.findings import percentile
from tests.chaos.journal import doubled_handlers, forgotten_state
from tests.chaos.scenario import Run, Scenario
from tests.chaos.stage import Stage, stage_of, wait_for
from tests.chaos.views import doubled_legs, host_rows, service_calls

CALLS = 5
FROZEN_S = 60.0
TAKEN_S = 15.0
AWAKE_S = 15.0
"""How long the one that woke up is watched."""


async def play(run: Run) -> None:
    """Freeze host a, see b take over, wake a up, and look for a second leg until the end."""
    outcome = run.outcome
    two_legs: list[str] = []
    server = await run.postgres()
    saving = {"CHAOS_SAVE_S": "0.5"}
    async with stage_of(run.directory, hosts=("a",), postgres=server, host=saving) as stage:
        made = await stage.join("a", await stage.meetings(CALLS))
        threads = {call.thread for call in service_calls(stage.service_view)}
        await wait_for(lambda: _stand(stage, "a", 0.0) == threads, 30.0)
        b = stage.add_host("b", saving)
        await b.start()
        stage.hosts["a"].signal(signal.SIGSTOP)
        frozen_s = time.monotonic()
        all_taken = await wait_for(lambda: _stand(stage, "b", frozen_s) == threads, FROZEN_S)
        taken = [line["at"] - frozen_s for line in stage.journals["b"].since(frozen_s, "audio")]
        outcome.expect(
            "calls that the other host took over",
            f"{CALLS}",
            len(taken),
            is_met=all_taken is not None,
        )
        await _watch(stage, frozen_s + FROZEN_S, two_legs)
        before = {row.lineage: row for row in host_rows(stage.host_view())}
        calls_before = {call.call_id for call in service_calls(stage.service_view)}
        stage.hosts["a"].signal(signal.SIGCONT)
        woken_s = time.monotonic()
        await _watch(stage, woken_s + AWAKE_S, two_legs)
        after = {row.lineage: row for row in host_rows(stage.host_view())}
        calls_after = {call.call_id for call in service_calls(stage.service_view)}
        changed = [
            f"{key}: {before[key]} became {after.get(key)}"
            for key in before
            if after.get(key) != before[key]
        ]
        outcome.expect_none("moments with two media legs of a call", two_legs)
        refused = await stage.metric("a", "mixminus_host_stale_writes_total")
        outcome.expect("writes of the stale host, refused", ">= 1", refused, is_met=refused >= 1)
        outcome.expect_none("rows that the stale host changed", changed)
        outcome.expect_none("calls that the stale host ended", calls_before - calls_after)
        outcome.expect_none("calls that the stale host still has", await stage.engine_calls("a"))
        let_go = {line["call"] for line in stage.journals["a"].since(woken_s, "ended")}
        outcome.expect_none("bots of the stale host that were not told", set(made) - let_go)
        lines = [*stage.journals["a"].read(), *stage.journals["b"].read()]
        outcome.expect_none("calls that a bot was given twice", doubled_handlers(lines))
        outcome.expect_none("saved state that was acknowledged and lost", forgotten_state(lines))
        # What it makes from now on is its own again.
        again = await stage.join("a", await stage.meetings(1))
        outcome.expect("a new call of the woken host", "1", len(again), is_met=len(again) == 1)
    outcome.figure("taken over after the freeze, p95", percentile(taken, 95), TAKEN_S)
    outcome.series = {"taken over": taken}


def _stand(stage: Stage, host: str, since_s: float) -> set[str | None]:
    return {line["thread"] for line in stage.journals[host].since(since_s, "audio")}


async def _watch(stage: Stage, until_s: float, two_legs: list[str]) -> None:
    """Look four times a second whether a call has two legs at once."""
    while time.monotonic() < until_s:
        two_legs += doubled_legs(service_calls(stage.service_view))
        await asyncio.sleep(0.25)


SCENARIO = Scenario("split-brain", "SIGSTOP of a host: two claim its calls", play)
