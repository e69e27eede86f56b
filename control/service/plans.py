"""How a call comes to its parties, once the bot's media stand."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from .. import call_state as cs
from ..graph.participants import identity_set
from ..graph.requests import Target
from ..graph.resources import answered_by, call_route
from .invitation import Answered
from .meetings import capability
from .records.build import date_time

if TYPE_CHECKING:
    from .live_call import LiveCall


NO_FORWARDING = frozenset({"disableForwarding", "disableForwardingExceptPhone"})
"""The routing policies under which a call rings where it was sent, or not at all."""


class Plan(Protocol):
    """Reaches the others of a call."""

    async def reach(self, live: LiveCall) -> None:
        """Dispatch Reached or NobodyReached, in time."""


class RingPlan:
    """Ring the targets: the first who answers makes the call stand, the others may follow."""

    def __init__(self, targets: Sequence[Target], timeout_s: float) -> None:
        self._targets, self._timeout_s = targets, timeout_s

    async def reach(self, live: LiveCall) -> None:
        """Ring all targets at once."""
        targets = [forwarded(live, target) for target in self._targets]
        routes = [route for _, route in targets if route is not None]
        if routes:
            await live.update({"callRoutes": routes})
        pending = {live.ring(target, self._timeout_s).outcome for target, _ in targets}
        result = cs.UNREACHABLE
        while pending:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for future in done:
                outcome = future.result()
                if isinstance(outcome, Answered):
                    member = outcome.party.member
                    if live.room.is_peer_to_peer:
                        await live.update({"answeredBy": answered_by(member.identity)})
                    await live.dispatch(cs.Reached())
                    return
                result = outcome.result
        await live.dispatch(cs.NobodyReached(result))


class EnterPlan:
    """The conversation is there: the bot is in it, or in its lobby."""

    async def reach(self, live: LiveCall) -> None:
        """Enter, and wait for admission no longer than the service allows."""
        if live.member.in_lobby:
            seconds = live.services.settings.lobby_s

            def give_up() -> None:
                if live.member.in_lobby:
                    live.end(cs.LOBBY_TIMED_OUT)

            live.set_timer("lobby", seconds, give_up)
        if live.conversation.meeting is not None:
            await live.update(meeting_facts(live))
        await live.dispatch(cs.Reached())


def forwarded(live: LiveCall, target: Target) -> tuple[Target, dict[str, Any] | None]:
    """Return who is rung for *target*, and the route if that is somebody else."""
    policies = set(live.row.resource["routingPolicies"])
    directory = live.services.directory
    user = directory.forwarded(target.id) if target.kind == "user" else None
    if user is None or policies & NO_FORWARDING or not live.room.is_peer_to_peer:
        return target, None
    identity = identity_set("user", user.user_id, user.display_name)
    info = {**target.info, "identity": identity}
    route = call_route(target.info["identity"], identity, "forwarded")
    return replace(target, info=info, id=user.user_id, display_name=user.display_name), route


def meeting_facts(live: LiveCall) -> dict[str, Any]:
    """Return what a call knows of its meeting once it is in it. Nothing is transcribed here."""
    meeting = live.conversation.meeting
    assert meeting is not None
    return {
        "meetingCapability": capability(meeting),
        "transcription": {
            "@odata.type": "#microsoft.graph.callTranscriptionInfo",
            "state": "inactive",
            "lastModifiedDateTime": date_time(live.member.joined_at),
        },
    }
