"""What is asked of a host at the very moment of its end: calls that begin, and calls that end."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Final

import httpx2

from tests.chaos.processes import StageError
from tests.chaos.stage import Meeting, Stage

SPREAD_S: Final = 0.6
"""Within it all is asked, and the host is killed: some is answered by then, and some is not."""


@dataclass
class Asked:
    """What came of the requests: who asked heard that it is done, or heard nothing."""

    created: dict[str, Meeting] = field(default_factory=dict)
    """By call id."""
    ended: list[str] = field(default_factory=list)
    unanswered: int = 0
    refused: list[str] = field(default_factory=list)


async def kill_while_asked(
    stage: Stage, chance: Random, made: Sequence[Meeting], ending: Sequence[str]
) -> tuple[float, Asked]:
    """Have host a join *made* and hang up the calls *ending*, and kill it meanwhile.

    Returns when it was killed.
    """
    asked = Asked()

    async def create(meeting: Meeting, media: str, after_s: float) -> None:
        await asyncio.sleep(after_s)
        try:
            wish = {"joinUrl": meeting.join_url, "media": media}
            asked.created[await stage.created("a", wish)] = meeting
        except httpx2.HTTPError:
            asked.unanswered += 1
        except StageError as error:
            asked.refused.append(str(error))

    async def end(call_id: str, after_s: float) -> None:
        await asyncio.sleep(after_s)
        try:
            reply = await stage.ask("a", "DELETE", f"/{call_id}")
        except httpx2.HTTPError:
            asked.unanswered += 1
            return
        if reply.is_success:
            asked.ended.append(call_id)
        else:
            asked.refused.append(f"hang up: {reply.status_code} {reply.text[:200]}")

    def moment_s() -> float:
        return chance.uniform(0.0, SPREAD_S)

    kill_after_s = moment_s()
    async with asyncio.TaskGroup() as tasks:
        for meeting in made:
            media = chance.choice(("app", "service"))
            tasks.create_task(create(meeting, media, moment_s()))
        for call_id in ending:
            tasks.create_task(end(call_id, moment_s()))
        await asyncio.sleep(kill_after_s)
        killed_s = await stage.hosts["a"].kill()
    return killed_s, asked
