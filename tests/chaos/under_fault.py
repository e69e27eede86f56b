"""Calls that go on while something else fails: a calm half, then the fault, then a comparison.

Both halves are alike in all else: the same calls, the same requests for new calls once a second.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeAlias

import httpx2

from tests.chaos.findings import Outcome
from tests.chaos.lateness import Lateness
from tests.chaos.receiver import Webhook
from tests.chaos.scenario import Run
from tests.chaos.stage import PHONE, Meeting, Stage, wait_for
from tests.chaos.views import service_calls, told_states, unfinished
from tests.chaos.webhook import join_body

Fault: TypeAlias = Callable[[Stage], Awaitable[None]]

PHONES = 2
MEETINGS = 3
CALM_S = 30.0
STANDS_S = 30.0
BACK_S = 30.0
TURNS = 4
QUIET_S = 1.6
"""A bot writes down that it hears once a second: this long without is a gap."""


@dataclass
class Prober:
    """Asks for a new call each second, and ends it: what the API says meanwhile."""

    stage: Stage
    hook: Webhook
    meetings: list[Meeting]
    statuses: Counter[int] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    acknowledged: list[str] = field(default_factory=list)
    longest_s: float = 0.0
    refused: int = 0

    async def run(self, is_over: asyncio.Event) -> None:
        """Ask until *is_over*."""
        turn = 0
        while not is_over.is_set():
            turn += 1
            meeting = self.meetings[turn % len(self.meetings)]
            call_id = await self._ask("POST", "/calls", join_body(meeting, self.hook.url))
            if call_id is not None:
                self.acknowledged.append(call_id)
                await self._ask("DELETE", f"/calls/{call_id}")
            await asyncio.sleep(1.0)

    async def _ask(self, method: str, path: str, body: object = None) -> str | None:
        began_s = time.monotonic()
        try:
            reply = await self.stage.graph(method, path, body if isinstance(body, dict) else None)
        except httpx2.TimeoutException:
            self.problems.append(f"{method} {path}: no answer")
            return None
        finally:
            self.longest_s = max(self.longest_s, time.monotonic() - began_s)
        self.statuses[reply.status_code] += 1
        if reply.status_code == 503:
            self.refused += 1
            if not reply.headers.get("Retry-After", "").isdecimal():
                self.problems.append(f"{method} {path}: 503 without Retry-After")
        elif reply.status_code not in (200, 201, 204):
            self.problems.append(f"{method} {path}: {reply.status_code} {reply.text[:200]}")
        return reply.json()["id"] if reply.status_code == 201 else None


async def play_under(
    run: Run, stage: Stage, fault: Fault, *, hook: Webhook, refuses: bool = True, turns: int = TURNS
) -> None:
    """Let calls live through a calm half and *fault*, and judge what became of them.

    *refuses*: the API must have answered 503 meanwhile, since the store was away. *turns*: how
    often both halves take turns in a full run, as one such half is but 1,500 ticks of a call.
    """
    outcome = run.outcome
    made = await stage.join("a", await stage.meetings(MEETINGS))
    made += [await stage.created("a", {"phone": PHONE}) for _ in range(PHONES)]
    journal = stage.journals["a"]

    def all_heard() -> bool:
        return {line["call"] for line in journal.since(0.0, "heard")} >= set(made)

    if await wait_for(all_heard, STANDS_S) is None:
        raise stage.complaint("the calls do not stand")
    pids = {process.pid for process in (stage.service, *stage.hosts.values())}
    prober, is_over = Prober(stage, hook, await stage.meetings(4)), asyncio.Event()
    probing = asyncio.create_task(prober.run(is_over))
    host, service = Lateness("host"), Lateness("service")
    back_s: list[float | None] = []
    faults_s = 0.0
    calm_s = time.monotonic()
    try:
        for _ in range(run.pick(turns, 1)):
            began = await _lateness(stage, made[0])
            await asyncio.sleep(run.seconds(CALM_S, 6.0))
            turned = await _lateness(stage, made[0])
            fault_s = time.monotonic()
            await fault(stage)
            over_s = time.monotonic()
            faults_s += over_s - fault_s
            ready_at_s = await wait_for(stage.is_ready, BACK_S)
            back_s.append(None if ready_at_s is None else ready_at_s - over_s)
            ended = await _lateness(stage, made[0])
            for process, *times in zip((host, service), began, turned, ended, strict=True):
                process.add(*times)
    finally:
        is_over.set()
        await probing
    host.judge(outcome)
    service.judge(outcome)
    known = [one for one in back_s if one is not None]
    ready_s = max(known) if len(known) == len(back_s) else None
    outcome.expect(
        "ready again without a restart",
        "yes",
        ready_s is not None,
        is_met=ready_s is not None
        and pids == {one.pid for one in (stage.service, *stage.hosts.values())},
    )
    outcome.figure("ready again", ready_s, BACK_S)
    _judge_api(outcome, prober, refuses=refuses)
    gaps = _gaps(stage, made, calm_s, over_s)
    outcome.expect_none("calls that ended meanwhile", _over(stage, made))
    outcome.figure("longest time without a second of audio", max(gaps, default=None), QUIET_S)
    await _settle(stage, prober, made)
    _judge_stores(outcome, stage, prober, hook)
    await wait_for(lambda: _is_equal(stage), 60.0, 0.5)
    outcome.expect_none(
        "calls that differ between service, store and engine", await stage.differences(["a"])
    )
    outcome.notes.append(
        f"the fault took {faults_s:.0f} s in all; API answers: {dict(prober.statuses)},"
        f" longest {prober.longest_s:.1f} s"
    )


async def _is_equal(stage: Stage) -> bool:
    return not await stage.differences(["a"])


async def _lateness(stage: Stage, call_id: str) -> tuple[list[float], list[float]]:
    return await stage.host_lateness("a", call_id), await stage.service_lateness(call_id)


def _judge_api(outcome: Outcome, prober: Prober, *, refuses: bool) -> None:
    outcome.expect_none(
        "API answers that were neither success nor 503 with Retry-After", prober.problems
    )
    if refuses:
        outcome.expect(
            "answers 503 while the store was away",
            ">= 1",
            prober.refused,
            is_met=prober.refused > 0,
        )


def _gaps(stage: Stage, calls: list[str], since_s: float, until_s: float) -> list[float]:
    """Return the longest time between two seconds of audio in each call."""
    longest = []
    for call_id in calls:
        heard = [
            line["at"]
            for line in stage.journals["a"].since(since_s, "heard")
            if line["call"] == call_id and line["at"] <= until_s
        ]
        longest.append(
            max(
                (b - a for a, b in zip([since_s, *heard], [*heard, until_s], strict=True)),
                default=until_s - since_s,
            )
        )
    return longest


def _over(stage: Stage, calls: list[str]) -> list[str]:
    ended = stage.journals["a"].since(0.0, "ended")
    return [
        f"{line['call']}: {line['result']} {line['reason']}"
        for line in ended
        if line["call"] in calls
    ]


async def _settle(stage: Stage, prober: Prober, made: list[str]) -> None:
    """End what the prober could not end, and wait until all was told."""
    for call in service_calls(stage.service_view):
        if call.call_id not in made:
            await stage.graph("DELETE", f"/calls/{call.call_id}")

    def is_settled() -> bool:
        over = {call.call_id for call in service_calls(stage.service_view, living=True)}
        return not unfinished(stage.service_view) and not over & set(prober.acknowledged)

    await wait_for(is_settled, 60.0, 0.2)


def _judge_stores(outcome: Outcome, stage: Stage, prober: Prober, hook: Webhook) -> None:
    """Compare the calls' rows with the outbox, and both with what the receiver was told."""
    view = stage.service_view
    outcome.expect_none("notifications not delivered", unfinished(view))
    rows = {call.call_id: call for call in service_calls(view, living=False)}
    last = {call_id: states[-1][0] for call_id, states in told_states(view).items()}
    differing = [
        f"{call_id}: row {rows[call_id].state}, log {state}"
        for call_id, state in last.items()
        if rows[call_id].state != state
    ]
    outcome.expect_none("calls whose state is not that of the log", differing)
    taken = hook.taken()
    lost = [
        call_id
        for call_id in prober.acknowledged
        if not any(one.state == "terminated" for one in taken.get(call_id, []))
    ]
    outcome.expect_none("acknowledged calls whose end nobody was told", lost)
