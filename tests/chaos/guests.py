"""Other people in the meetings of the fault runs: calls of guests, which no bot host has."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from mixminus.control.client.bodies import participant_info
from mixminus.control.client.models import Identity
from tests.chaos.processes import StageError
from tests.chaos.receiver import Webhook
from tests.chaos.stage import Meeting, Stage, wait_for
from tests.chaos.views import service_calls
from tests.chaos.webhook import join_body

STANDS_S = 30.0


class Guests:
    """Guests whose audio the service has. They stay until their meeting is left to itself."""

    def __init__(self, stage: Stage, hook: Webhook) -> None:
        self._stage, self._hook = stage, hook

    async def join(self, meetings: Iterable[Meeting]) -> None:
        """Have a guest come into each of *meetings*. Raises: StageError."""
        for meeting in meetings:
            source = participant_info(Identity.guest(str(uuid.uuid4()), "a guest"))
            body = {**join_body(meeting, self._hook.url), "source": source}
            reply = await self._stage.graph("POST", "/calls", body)
            if reply.status_code != 201:
                raise StageError(f"no guest: {reply.status_code} {reply.text[:300]}")
            self._stage.guests[meeting.thread] = reply.json()["id"]
        wanted = set(self._stage.guests.values())

        def all_stand() -> bool:
            calls = service_calls(self._stage.service_view)
            return wanted <= {call.call_id for call in calls if call.state == "established"}

        if await wait_for(all_stand, STANDS_S) is None:
            raise self._stage.complaint("guests who do not get in")

    async def stay(self) -> None:
        """Say that they are there still: the service ends calls of which it hears nothing."""
        for call_id in self._stage.guests.values():
            reply = await self._stage.graph("POST", f"/calls/{call_id}/keepAlive")
            if reply.status_code != 200:
                raise StageError(f"a guest's call is gone: {reply.status_code} {reply.text[:300]}")


@asynccontextmanager
async def guests_of(stage: Stage, meetings: Iterable[Meeting]) -> AsyncIterator[Guests]:
    """Have a guest in each of *meetings*, told by a webhook of their own."""
    async with Webhook(stage.service.state_dir, stage.directory / "guests") as hook:
        guests = Guests(stage, hook)
        await guests.join(meetings)
        yield guests
