"""Who is in a call: listed, invited, removed, admitted; the large gallery among them.

Source: Microsoft Graph, participant: list, get, invite, delete; call: addLargeGalleryView.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ... import call_state as cs
from ...graph import errors, operations
from ...graph.errors import GraphError
from ...graph.operations import Outcome
from ...graph.requests import InviteRequest, Target
from ..invitation import Answered, Failed, Invitation
from ..member import Member
from .handling import escalate
from .people import expect_admitted, expect_group, member_of_path

if TYPE_CHECKING:
    from ..live_call import LiveCall

Json = dict[str, Any]

ADD_FAILED_CODE, ADD_FAILED_SUBCODE = 412, 9999
"""The documented result of an invitation that came to nothing."""


def participants(live: LiveCall) -> list[Json]:
    """Return all participants that the application sees; none while it is being called."""
    if not live.has_entered:
        return []
    return list(live.conversation.roster_of(live.member))


def participant(live: LiveCall, participant_id: str) -> Json:
    """Return one participant.

    Raises: GraphError 404.
    """
    for entry in participants(live):
        if entry["id"] == participant_id:
            return entry
    raise errors.not_found("Participant")


async def invite(live: LiveCall, request: InviteRequest) -> Json:
    """Ring new participants into the call; return the operation that runs until all were reached.

    Raises: GraphError 400, 409 for an identity that is here or rung already.

    One that ``replacesCallId`` names is not rung: it is moved here out of that call of two, which
    ends. Then the first of the invited counts alone.
    """
    expect_group(live)
    expect_admitted(live, "invite")
    first = request.participants[0]
    targets = (first,) if first.replaces_call_id is not None else request.participants
    if any(target.replaces_call_id is not None for target in targets[1:]):
        raise GraphError(400, "8505", "replacesCallId: expected with the first participant alone.")
    for index, target in enumerate(targets):
        if _is_known(live, target):
            raise errors.conflict(
                f"participants[{index}]: {target.kind} {target.id} is in the call already."
            )
    if first.replaces_call_id is not None:
        return await _replace(live, first, first.replaces_call_id, request.client_context)
    timeout_s = live.services.settings.ringing_s
    live.expect_store()
    invitations = [live.ring(target, timeout_s) for target in targets]
    try:
        operation = await live.operations.create(
            operations.INVITE_PARTICIPANTS,
            request.client_context,
            participants=[_shown(invitation.target, invitation.id) for invitation in invitations],
        )
    except BaseException:
        # Nobody is rung by a request that was refused.
        for invitation in invitations:
            invitation.cancel("failed", cs.INTERNAL_FAILURE)
        raise
    live.spawn(_follow(live, operation["id"], invitations))
    return operation


async def _follow(live: LiveCall, operation_id: str, invitations: Sequence[Invitation]) -> None:
    """End the operation once it is known who of the invited came."""
    # The outcomes are not this task's to cancel; `wait` leaves them alone.
    await asyncio.wait([invitation.outcome for invitation in invitations])
    came, missed = [], []
    for invitation in invitations:
        match invitation.outcome.result():
            case Answered(party):
                came.append(_shown(invitation.target, party.member.participant_id))
            case Failed(result):
                missed.append((invitation.target, result))
    if came:
        # Some came: who did not is missing from the participants.
        outcome = Outcome.success(participants=came)
    else:
        target, result = missed[0]
        message = (
            f"addParticipants failed for participant {target.id}: {result.message}"
            f" DiagCode: {result.code}#{result.subcode}"
        )
        outcome = Outcome.failure(ADD_FAILED_CODE, ADD_FAILED_SUBCODE, message)
    await live.operations.finish(operation_id, outcome)


async def _replace(
    live: LiveCall, target: Target, replaced_id: str, client_context: str | None
) -> Json:
    operation = await live.operations.create(
        operations.INVITE_PARTICIPANTS, client_context, participants=[_shown(target)]
    )
    try:
        party = await escalate(live, target, replaced_id)
    except BaseException:
        live.spawn(live.operations.withdraw(operation["id"]))
        raise
    outcome = Outcome.success(participants=[_shown(target, party.member.participant_id)])
    live.spawn(live.operations.finish(operation["id"], outcome))
    return operation


async def remove(live: LiveCall, participant_id: str) -> None:
    """Remove a participant at once, or call an invitation off.

    Raises: GraphError 404, 400/8552 for the organizer.
    """
    expect_group(live)
    for invitation in tuple(live.room.invitations):
        if invitation.id == participant_id and not live.member.in_lobby:
            invitation.cancel("hangup")
            return
    if not live.member.in_lobby and live.conversation.remove_gallery(participant_id):
        return
    member = member_of_path(live, participant_id)
    if member.meeting_role == "organizer":
        raise GraphError(400, "8552", "The organizer of a meeting cannot be removed.")
    live.conversation.expel(member, cs.REMOVED)


async def admit(live: LiveCall, participant_id: str) -> None:
    """Let a participant out of the lobby.

    Raises: GraphError 404, 409 for one that is not in the lobby.
    """
    live.conversation.admit(_waiting(live, participant_id))


async def deny(live: LiveCall, participant_id: str) -> None:
    """Send a participant away from the lobby.

    Raises: GraphError 404, 409 for one that is not in the lobby.
    """
    live.conversation.expel(_waiting(live, participant_id), cs.DENIED)


def _waiting(live: LiveCall, participant_id: str) -> Member:
    expect_group(live)
    expect_admitted(live, "admit")
    member = member_of_path(live, participant_id)
    if not member.in_lobby:
        raise errors.conflict(f"Participant {participant_id} is not in the lobby.")
    return member


async def add_large_gallery_view(live: LiveCall, client_context: str | None) -> Json:
    """Show a large gallery in the roster; return the operation, which completes at once.

    Raises: GraphError 400, 409 when there is one.

    It is an entry without video, as video modalities are not carried here.
    """
    expect_group(live)
    expect_admitted(live, "addLargeGalleryView")
    if live.conversation.has_gallery:
        raise errors.conflict("The call has a large gallery view already.")
    operation = await live.operations.create(operations.ADD_LARGE_GALLERY_VIEW, client_context)
    live.spawn(_show_gallery(live, operation["id"]))
    return operation


async def _show_gallery(live: LiveCall, operation_id: str) -> None:
    if live.conversation.has_gallery:
        message = "The call has a large gallery view already."
        await live.operations.finish(operation_id, Outcome.failure(409, 8519, message))
        return
    # In this order: the operation is told first, then the roster.
    await live.operations.finish(operation_id, Outcome.success())
    live.conversation.add_gallery()


def _is_known(live: LiveCall, target: Target) -> bool:
    return live.conversation.has_identity(target.kind, target.id) or any(
        (invitation.target.kind, invitation.target.id) == (target.kind, target.id)
        for invitation in live.room.invitations
    )


def _shown(target: Target, participant_id: str | None = None) -> Json:
    if participant_id is None:
        return target.info
    return {**target.info, "participantId": participant_id}
