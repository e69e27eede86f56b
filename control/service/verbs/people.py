"""The participants that a call may act on, and what it is refused when there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...graph import errors
from ...graph.errors import GraphError
from ..member import Member

if TYPE_CHECKING:
    from ..live_call import LiveCall

Json = dict[str, Any]


def visible_member(live: LiveCall, participant_id: str) -> Member | None:
    """Return a participant that this call sees: in the lobby, itself alone."""
    if not live.has_entered:
        return None
    member = live.conversation.members.get(participant_id)
    if member is None or member is live.member:
        return member
    return None if live.member.in_lobby or member.hidden else member


def member_of_path(live: LiveCall, participant_id: str) -> Member:
    """Return the participant that a path names.

    Raises: GraphError 404.
    """
    member = visible_member(live, participant_id)
    if member is None:
        raise errors.not_found("Participant")
    return member


def member_of_body(live: LiveCall, participant_id: str, where: str) -> Member:
    """Return the participant that the member *where* of a body names.

    Raises: GraphError 400/8558.
    """
    member = visible_member(live, participant_id)
    if member is None:
        message = f"{where}: participant {participant_id} is not present in the call."
        raise GraphError(400, "8558", message)
    return member


def expect_group(live: LiveCall) -> None:
    """Refuse an action that needs an established group call.

    Raises: GraphError 400.
    """
    live.expect_established()
    live.expect_group()
    if live.member.participant_id not in live.conversation.members:
        # It was removed, and the end of its call is on its way.
        raise errors.call_terminated()


def expect_admitted(live: LiveCall, action: str) -> None:
    """Refuse an action of an application that waits in the lobby.

    Raises: GraphError 400/8585.
    """
    if live.member.in_lobby:
        raise errors.wrong_state(action, "an admitted participant", "lobby")
