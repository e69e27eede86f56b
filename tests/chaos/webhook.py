"""A webhook that is away, then slow, then in trouble: all comes, in order; others notice nothing.

Calls join meetings with the service's media, and end; each change is told to the one receiver or
the other. The outbox is the sender's journal, what the receiver took the receiver's.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from typing import Any

from mixminus.control.graph.joinurl import parse_join_url
from tests.chaos.findings import Outcome, by_key, percentile
from tests.chaos.receiver import Came, Mood, Webhook, disordered
from tests.chaos.scenario import Run, Scenario
from tests.chaos.stage import Meeting, Stage, stage_of, wait_for
from tests.chaos.views import keep_sent, sent, unfinished

CALLS = 10
AWAY_S = 60.0
TROUBLE_S = 20.0
CAUGHT_UP_S = 10.0
UNAFFECTED_S = 1.0
DELIVERED_S = 60.0


async def play(run: Run) -> None:
    """Let calls of two receivers come and go, while one of the receivers has its troubles."""
    outcome = run.outcome
    caught_up: dict[str, float | None] = {}
    async with AsyncExitStack() as exits:
        stage = await exits.enter_async_context(stage_of(run.directory, hosts=()))
        keep_sent(stage.service_file)
        hooks = []
        for name in ("bad", "good"):
            hook = Webhook(stage.service.state_dir, run.directory / name)
            hooks.append(await exits.enter_async_context(hook))
        bad, good = hooks
        callers = [Callers(stage, hook) for hook in hooks]
        for one in callers:
            one.begin(await stage.meetings(run.pick(CALLS, 3)))
        await wait_for(lambda: bool(bad.came and good.came), DELIVERED_S)
        away_s = time.monotonic()
        await bad.go_away()
        await asyncio.sleep(run.seconds(AWAY_S, 5.0))
        caught_up["away"] = await _caught_up(stage, bad, callers[0], await bad.come_back())
        troubles: tuple[Mood, ...] = ("slow", "failing", "leading elsewhere")
        for mood in troubles[: run.pick(3, 2)]:
            bad.mood = mood
            await asyncio.sleep(run.seconds(TROUBLE_S, 3.0))
            bad.mood = "well"
            caught_up[mood] = await _caught_up(stage, bad, callers[0], time.monotonic())
        over_s = time.monotonic()
        for one in callers:
            await one.end()
        await wait_for(lambda: not unfinished(stage.service_view), DELIVERED_S, 0.2)
        outcome.expect_none("notifications not delivered", unfinished(stage.service_view))
        journal = sent(stage.service_view)
        for name, hook, one in zip(("faulty", "good"), hooks, callers, strict=True):
            sent_to_it = {call_id: journal.get(call_id, []) for call_id in one.made}
            _compare(outcome, name, hook, sent_to_it)
        lag_s = [lag for at_s, lag in callers[1].lags if away_s <= at_s <= over_s]
        outcome.figure(
            "lag of the other receiver meanwhile, p99", percentile(lag_s, 99), UNAFFECTED_S
        )
    for what, took_s in caught_up.items():
        outcome.figure(f"caught up after: {what}", took_s, CAUGHT_UP_S)
        if took_s is None:
            outcome.expect(f"caught up after: {what}", "at all", "never", is_met=False)
    outcome.series = {"the other receiver's lag": lag_s}
    outcome.notes.append(f"{len(bad.came)} posts to the faulty receiver, {len(good.came)} beside")


class Callers:
    """Calls of one receiver that join and leave their meetings, again and again."""

    def __init__(self, stage: Stage, hook: Webhook) -> None:
        self._stage, self._hook = stage, hook
        self._tasks: list[asyncio.Task[None]] = []
        self._is_over = asyncio.Event()
        self.made: list[str] = []
        self.lags: list[tuple[float, float]] = []
        """When a call was made, and how long after that its first word came, in seconds."""

    def begin(self, meetings: list[Meeting]) -> None:
        """Begin with a call in each of *meetings*."""
        self._tasks = [asyncio.create_task(self._come_and_go(one)) for one in meetings]

    async def end(self) -> None:
        """Let the last calls end, and wait until they have."""
        self._is_over.set()
        await asyncio.gather(*self._tasks)

    async def _come_and_go(self, meeting: Meeting) -> None:
        while not self._is_over.is_set():
            reply = await self._stage.graph("POST", "/calls", join_body(meeting, self._hook.url))
            reply.raise_for_status()
            replied_s = time.monotonic()
            call_id = reply.json()["id"]
            self.made.append(call_id)
            came_s = await self._first_word(call_id)
            if came_s is not None:
                self.lags.append((replied_s, max(0.0, came_s - replied_s)))
            ended = await self._stage.graph("DELETE", f"/calls/{call_id}")
            ended.raise_for_status()
            await asyncio.sleep(0.3)

    async def _first_word(self, call_id: str) -> float | None:
        """Wait a little until the receiver is told of a call; return when it was."""
        await wait_for(lambda: self._heard_of(call_id) is not None, 2.0)
        return self._heard_of(call_id)

    def _heard_of(self, call_id: str) -> float | None:
        return next((one.at_s for one in self._hook.came if one.call_id == call_id), None)


def join_body(meeting: Meeting, callback_uri: str) -> dict[str, Any]:
    """Return what joins *meeting* with the service's media."""
    info = parse_join_url(meeting.join_url)
    return {
        "@odata.type": "#microsoft.graph.call",
        "callbackUri": callback_uri,
        "requestedModalities": ["audio"],
        "mediaConfig": {"@odata.type": "#microsoft.graph.serviceHostedMediaConfig"},
        "chatInfo": {"threadId": info.thread_id, "messageId": info.message_id},
        "meetingInfo": {
            "@odata.type": "#microsoft.graph.organizerMeetingInfo",
            "organizer": {
                "user": {"id": info.organizer_id, "tenantId": info.tenant_id},
            },
        },
        "tenantId": info.tenant_id,
    }


async def _caught_up(stage: Stage, hook: Webhook, callers: Callers, back_s: float) -> float | None:
    """Return how long after *back_s* all was taken that had been told before."""
    made = set(callers.made)
    owed = {one for call, ids in sent(stage.service_view).items() if call in made for one in ids}

    def has_all() -> bool:
        return owed <= {one.message_id for one in hook.came if one.was_taken}

    at_s = await wait_for(has_all, DELIVERED_S)
    return None if at_s is None else at_s - back_s


def _compare(outcome: Outcome, name: str, hook: Webhook, sent_to: dict[str, list[str]]) -> None:
    """Compare the outbox with what *hook* took, call by call."""
    taken = hook.taken()
    problems = [
        f"{call_id}: {problem}"
        for call_id, messages in sent_to.items()
        for problem in disordered(taken.get(call_id, []), messages)
    ]
    problems += [f"{call_id}: never made" for call_id in taken.keys() - sent_to.keys()]
    problems += [
        f"{call_id}: nothing sent" for call_id, messages in sent_to.items() if not messages
    ]
    outcome.expect_none(f"{name} receiver: lost, strange or out of order", problems)
    twice = [message for came in taken.values() for message in _again(came)]
    outcome.notes.append(f"{name} receiver: {len(twice)} taken more than once, by the same id")


def _again(came: list[Came]) -> list[str]:
    groups = by_key(came, lambda one: one.message_id)
    return [message for message, posts in groups.items() if posts[1:]]


SCENARIO = Scenario("webhook", "a webhook away, slow, failing", play, is_in_quick=True)
