"""Muting: one participant, several, the application itself.

Source: Microsoft Graph, participant: mute, muteAll; call: mute, unmute. The service drops the audio
of those who are muted so; nobody can be unmuted but by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...graph import operations
from ...graph.requests import MuteAllRequest
from .people import expect_group, member_of_body, member_of_path

if TYPE_CHECKING:
    from ..live_call import LiveCall

Json = dict[str, Any]


async def mute(live: LiveCall, participant_id: str, client_context: str | None) -> Json:
    """Mute a participant; return the completed operation.

    Raises: GraphError 400, 404.
    """
    expect_group(live)
    live.conversation.set_muted(member_of_path(live, participant_id), server=True)
    return live.operations.completed(operations.MUTE_PARTICIPANT, client_context)


async def mute_all(live: LiveCall, request: MuteAllRequest) -> Json:
    """Mute those participants; return the completed operation.

    Raises: GraphError 400; then nobody was muted.
    """
    expect_group(live)
    members = [
        member_of_body(live, participant_id, f"participants[{index}]")
        for index, participant_id in enumerate(request.participant_ids)
    ]
    with live.conversation.changing():
        for member in members:
            live.conversation.set_muted(member, server=True)
    ids = list(request.participant_ids)
    return live.operations.completed(
        operations.MUTE_PARTICIPANTS, request.client_context, participants=ids
    )


async def mute_self(live: LiveCall, client_context: str | None) -> Json:
    """Mute the application itself; return the completed operation.

    Raises: GraphError 400.
    """
    expect_group(live)
    live.conversation.set_muted(live.member, server=True)
    return live.operations.completed(operations.MUTE_PARTICIPANT, client_context)


async def unmute_self(live: LiveCall, client_context: str | None) -> Json:
    """Let the application be heard again, whoever muted it; return the completed operation.

    Raises: GraphError 400.
    """
    expect_group(live)
    live.conversation.set_muted(live.member, client=False, server=False)
    return live.operations.completed(operations.UNMUTE_PARTICIPANT, client_context)
