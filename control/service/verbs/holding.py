"""Hold music: one participant at a time hears it, and nobody else.

Source: Microsoft Graph, participant: startHoldMusic, stopHoldMusic.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...graph import errors, operations
from ...graph.operations import Outcome
from ...graph.requests import HoldMusicRequest, MediaInfo
from ..ivr.music import hold_music
from ..ivr.prompts import PromptError
from ..ivr.voice import LoopingVoice
from .people import expect_admitted, expect_group, member_of_path, visible_member

if TYPE_CHECKING:
    from mixminus.media.pcm import Pcm

    from ..live_call import LiveCall

Json = dict[str, Any]

BUSY = "Another participant is on hold already: only one can be at a time."


async def start_hold_music(live: LiveCall, participant_id: str, request: HoldMusicRequest) -> Json:
    """Put a participant on hold; return the operation that ends once the music plays.

    Raises: GraphError 400, 404, 409 while someone is on hold.

    It hears the music alone and is unheard until it is taken off hold, or the application leaves.
    """
    expect_group(live)
    expect_admitted(live, "startHoldMusic")
    member = member_of_path(live, participant_id)
    if member.in_lobby:
        raise errors.conflict(f"Participant {participant_id} is in the lobby.")
    if live.conversation.has_music:
        raise errors.conflict(BUSY)
    operation = await live.operations.create(operations.START_HOLD_MUSIC, request.client_context)
    live.spawn(_hold(live, participant_id, operation["id"], request.prompt))
    return operation


async def _hold(
    live: LiveCall, participant_id: str, operation_id: str, prompt: MediaInfo | None
) -> None:
    try:
        pcm = hold_music() if prompt is None else await _custom(live, prompt)
    except PromptError as error:
        outcome = Outcome.failure(400, error.subcode, error.message)
    else:
        outcome = _play(live, participant_id, pcm)
    await live.operations.finish(operation_id, outcome)


async def _custom(live: LiveCall, prompt: MediaInfo) -> Pcm:
    return await live.services.prompts.of(live.app_id).get(prompt)


def _play(live: LiveCall, participant_id: str, pcm: Pcm) -> Outcome:
    """Begin, if it is still so that one can: much may have happened while a prompt was fetched."""
    member = visible_member(live, participant_id)
    if member is None or live.member.participant_id not in live.conversation.members:
        return Outcome.failure(400, 8558, f"Participant {participant_id} is not present.")
    if live.conversation.has_music:
        return Outcome.failure(409, 8519, BUSY)
    platform = live.services.platform
    live.conversation.start_music(member, live.member, lambda leg: LoopingVoice(platform, leg, pcm))
    return Outcome.success()


async def stop_hold_music(live: LiveCall, participant_id: str, client_context: str | None) -> Json:
    """Take a participant off hold; return the completed operation.

    Raises: GraphError 400, 404, 409 for one that is not on hold so.
    """
    expect_group(live)
    member = member_of_path(live, participant_id)
    if not live.conversation.stop_music(member):
        raise errors.conflict(f"Participant {participant_id} does not hear hold music.")
    return live.operations.completed(operations.STOP_HOLD_MUSIC, client_context)
