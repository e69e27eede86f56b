"""What a bot does with a call as such: hang up, answer, reject, redirect, transfer.

Source: Microsoft Graph, call: answer, reject, redirect, transfer.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ... import call_state as cs
from ...graph import errors
from ...graph.enums import CallState
from ...graph.errors import GraphError
from ...graph.requests import (
    AnswerRequest,
    RedirectRequest,
    RejectRequest,
    Target,
    TransferRequest,
)
from ...graph.resources import answered_by, call_route
from ...store.base import StoreError
from ..caller import CallerParty
from ..calls import add_app_member, shown_config
from ..invitation import Answered, Failed, Invitation
from ..lineages import descriptor_of
from ..rooms import PEER_TO_PEER, Room

if TYPE_CHECKING:
    from ..live_call import LiveCall

TRANSFER_RINGING_S = 60.0
"""How long the target of a transfer is rung; none is published."""

REJECTIONS = {
    "none": cs.REJECTED,
    "busy": cs.REJECTED_BUSY,
    "forbidden": cs.REJECTED_FORBIDDEN,
}


async def hang_up(live: LiveCall) -> None:
    """Leave the call; a call of two ends with it."""
    await live.dispatch(cs.Ended(cs.BOT_HUNG_UP), may_wait=False)


async def answer(live: LiveCall, request: AnswerRequest) -> None:
    """Take an incoming call.

    Raises: GraphError 400 when it is none, or not any more, or the media cannot be used; 409 when
            they are of an epoch that is over.
    """
    _expect_incoming(live, "answer")
    descriptor = descriptor_of(request.media)
    with live.services.book.lineages.claim(live.app_id, live.tenant_id, descriptor) as claim:
        await _answer(live, request)
        claim.begun(live)


async def _answer(live: LiveCall, request: AnswerRequest) -> None:
    book = live.services.book
    media = await book.bot_media(request.media)
    if request.callback_uri is not None:
        await book.expect_reachable("callbackUri", request.callback_uri)
    # It may have ended, or been answered, while addresses were looked up.
    _expect_incoming(live, "answer")
    live.expect_store()
    resource = live.row.resource
    own = resource["targets"][0]["identity"]
    kind = "applicationInstance" if own.get("applicationInstance") else "application"
    member = add_app_member(
        live.room,
        identity=own,
        kind=kind,
        display_name=own[kind].get("displayName") or live.app_id,
        participant_id=resource["myParticipantId"],
        app_id=live.app_id,
        media=media,
        in_default_mix=request.media.in_default_mix,
    )
    live.enter(member, media, request.options)
    changes = {
        "mediaConfig": shown_config(request.media),
        "requestedModalities": list(request.modalities),
        "callOptions": request.options.raw,
    }
    try:
        await live.take(request.callback_uri, changes)
        is_answered = await live.dispatch(cs.BotAnswered(), may_wait=False)
    except StoreError:
        # The bot is told so: the call rings on, and can be answered again.
        live.step_out()
        await media.close()
        raise
    if not is_answered:
        if live.call.state is CallState.REDIRECTING:
            # Redirected at the same moment: the bot is not to be where the others meet.
            live.room.release(live)
        raise _not_incoming(live, "answer")
    live.cancel_timer("answer")


async def reject(live: LiveCall, request: RejectRequest) -> None:
    """Refuse an incoming call.

    Raises: GraphError 400 when it is none, or not any more.
    """
    _expect_incoming(live, "reject")
    if request.callback_uri is not None:
        await live.services.book.expect_reachable("callbackUri", request.callback_uri)
        _expect_incoming(live, "reject")
        await live.take(request.callback_uri, {})
    end = cs.Ended(REJECTIONS[request.reason], is_announced=False)
    if not await live.dispatch(end, may_wait=False):
        raise _not_incoming(live, "reject")


async def redirect(live: LiveCall, request: RedirectRequest) -> None:
    """Send an incoming call on to others; the first who answers gets it.

    Raises: GraphError 400 when it is none, or not any more.
    """
    _expect_incoming(live, "redirect")
    if request.callback_uri is not None:
        await live.services.book.expect_reachable("callbackUri", request.callback_uri)
        _expect_incoming(live, "redirect")
    await live.take(request.callback_uri, {})
    if not await live.dispatch(cs.BotRedirected(), may_wait=False):
        raise _not_incoming(live, "redirect")
    live.cancel_timer("answer")
    live.spawn(_redirect(live, request))


async def _redirect(live: LiveCall, request: RedirectRequest) -> None:
    own = live.row.resource["targets"][0]["identity"]
    caller = next(iter(live.room.parties.values()), None)
    if caller is None:
        return  # Gone meanwhile: the call is being ended.
    invitations = [
        live.ring(
            target,
            request.timeout_s,
            source=caller,
            call_routes=(call_route(own, target.info["identity"], "forwarded"),),
        )
        for target in request.targets
    ]
    outcome = await first_answer(invitations)
    if isinstance(outcome, Failed):
        await live.dispatch(cs.Ended(outcome.result, is_announced=False))
        return
    identity = outcome.party.member.identity
    await live.update({"answeredBy": answered_by(identity)})
    if not live.settled.done():
        live.settled.set_result(outcome)
    await live.dispatch(cs.Ended(cs.REDIRECTED, is_announced=False))


async def transfer(live: LiveCall, request: TransferRequest) -> None:
    """Hand the other party over to *request*'s target; how that goes is told later.

    With replacesCallId (consultative) the target's own call with the bot is joined with this one.
    Raises: GraphError 400 when the call is not established, or who is to go is not told or there.
    """
    live.expect_established()
    target = request.target
    replaced = None
    if target.replaces_call_id is not None:
        replaced = live.services.book.of_app(target.replaces_call_id, live)
        if replaced is None or replaced is live or not replaced.room.is_peer_to_peer:
            raise errors.invalid_argument(
                "transferTarget.replacesCallId: expected another peer-to-peer call of this"
                " application."
            )
        replaced.expect_established()
    transferee = _transferee(live, request.transferee)
    if not await live.dispatch(cs.TransferStarted(), may_wait=False):
        raise errors.transfer_conflict()
    if replaced is not None:
        live.spawn(_swap(live, replaced, transferee))
    else:
        live.spawn(_hand_over(live, target, transferee))


def _transferee(live: LiveCall, asked: Target | None) -> CallerParty | None:
    """Return who is moved out of a group call; None is the other party of a call of two."""
    if live.room.is_peer_to_peer:
        return None
    if asked is None:
        raise errors.invalid_argument("transferee: expected who is to leave the group call.")
    for party in live.room.parties.values():
        member = party.member
        same = (member.kind, member.identity_id) == (asked.kind, asked.id)
        if isinstance(party, CallerParty) and (
            same or member.participant_id == asked.participant_id
        ):
            return party
    raise errors.invalid_argument("transferee: expected a person who is in this call.")


async def _hand_over(live: LiveCall, target: Target, transferee: CallerParty | None) -> None:
    """Ring the target (blind transfer); then go, or let the transferee go."""
    services = live.services
    room = live.room
    if transferee is not None:
        room = services.rooms.create(PEER_TO_PEER, organizer=transferee.member.identity)
    source = transferee or next(iter(live.room.others(live)), None)
    own = live.member.identity
    ringing = live.ring(target, TRANSFER_RINGING_S, room=room, source=source, transferor=own)
    try:
        outcome = await asyncio.shield(ringing.outcome)
    except asyncio.CancelledError:
        if room is not live.room:
            # The call ended: nobody will come to whoever answers in there.
            ringing.outcome.add_done_callback(lambda _: services.rooms.abandon(room))
        raise
    if isinstance(outcome, Failed):
        services.rooms.discard(room)
        await live.dispatch(cs.TransferFailed(cs.BLIND_TRANSFER_FAILED))
    elif transferee is None:
        await _leave_transferred(live)
    elif transferee.is_over or room.is_over:
        outcome.party.end(cs.CALLEE_LEFT)
        await live.dispatch(cs.TransferFailed(cs.BLIND_TRANSFER_FAILED))
    else:
        move(transferee, room)
        await live.dispatch(cs.TransferLeft())
        live.room.look()


async def _swap(live: LiveCall, replaced: LiveCall, transferee: CallerParty | None) -> None:
    """Join the parties of two calls of the bot (consultative transfer)."""
    is_late = transferee is not None and transferee.is_over
    if is_late or not replaced.call.is_established or live.room.is_over or replaced.room.is_over:
        await live.dispatch(cs.TransferFailed(cs.CONSULTATIVE_TRANSFER_FAILED))
        return
    if transferee is not None:
        move(transferee, replaced.room)
        await _leave_transferred(replaced, "AppTransferred")
        await live.dispatch(cs.TransferLeft())
        live.room.look()
        return
    # Whichever of the two is a person's device can be carried over.
    for staying, leaving in ((live, replaced), (replaced, live)):
        for party in leaving.room.others(leaving):
            if isinstance(party, CallerParty):
                move(party, staying.room)
                try:
                    await live.dispatch(cs.TransferAccepted())
                finally:
                    live.release()
                    replaced.release()
                    await _end_transferred(replaced)
                await _end_transferred(live)
                return
    await live.dispatch(cs.TransferFailed(cs.CONSULTATIVE_TRANSFER_FAILED))


async def _leave_transferred(live: LiveCall, reason: str = "CallTerminated") -> None:
    """Tell that the transfer is done, and leave the others to themselves."""
    await live.dispatch(cs.TransferAccepted())
    live.release()
    await live.dispatch(cs.Ended(cs.TRANSFERRED, is_announced=False, reason=reason))


async def _end_transferred(live: LiveCall) -> None:
    """End a call whose parties were joined with others: nothing of it goes on, whatever fails."""
    end = cs.Ended(cs.TRANSFERRED, is_announced=False, reason="AppTransferred")
    try:
        await live.dispatch(end, may_wait=False)
    except StoreError:
        live.post(end)  # Nobody waits for it; it waits for the store.


async def escalate(live: LiveCall, target: Target, replaces_call_id: str) -> CallerParty:
    """Bring the other party of a peer-to-peer call of the bot into this call; that call ends.

    Raises: GraphError 400 when there is no such call, 409 when that party is in here already.

    *target* says how it comes in. A call with ``hideBotAfterEscalation`` hides the bot in here.
    """
    replaced = live.services.book.of_app(replaces_call_id, live)
    if replaced is None or replaced is live or not replaced.room.is_peer_to_peer:
        raise errors.invalid_argument(
            "replacesCallId: expected a peer-to-peer call of this application."
        )
    replaced.expect_established()
    for party in replaced.room.others(replaced):
        if isinstance(party, CallerParty):
            if live.conversation.has_identity("user", party.user.user_id):
                raise errors.conflict(f"user {party.user.user_id} is in the call already.")
            move(party, live.room, hidden=target.hidden, in_default_mix=target.in_default_mix)
            if replaced.options.hide_bot_after_escalation:
                live.conversation.hide(live.member)
            await _end_transferred(replaced)
            return party
    raise errors.invalid_argument("replacesCallId: expected a call with a person.")


def move(
    party: CallerParty, room: Room, *, hidden: bool = False, in_default_mix: bool = True
) -> None:
    """Carry a person over to another conversation, whose device need not notice."""
    before = party.member
    member = room.conversation.add(
        identity=before.identity,
        kind=before.kind,
        display_name=before.display_name,
        hidden=hidden,
        in_default_mix=in_default_mix,
        media_kind="webrtc",
    )
    # Who is muted or holds goes on so: nobody is to be heard by being moved.
    room.conversation.set_muted(member, client=before.client_muted, server=before.server_muted)
    room.conversation.hold(member, before.is_self_held)
    party.move(room, member)


async def first_answer(invitations: list[Invitation]) -> Answered | Failed:
    """Wait for the first who answers, and call the others off; or for the last to fail."""
    pending = {invitation.outcome for invitation in invitations}
    outcome: Answered | Failed = Failed(cs.UNREACHABLE)
    while pending and not isinstance(outcome, Answered):
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        for future in done:
            result = future.result()
            if not isinstance(outcome, Answered):
                outcome = result
            elif isinstance(result, Answered):
                # Two at once: the first counts.
                result.party.end(cs.CALLEE_LEFT)
    if isinstance(outcome, Answered):
        for invitation in invitations:
            invitation.cancel("answeredElsewhere")
    return outcome


def _expect_incoming(live: LiveCall, action: str) -> None:
    if live.call.state is not CallState.INCOMING or live.has_entered:
        raise _not_incoming(live, action)
    if live.room.is_over:
        # The caller hung up, which is about to be written.
        raise errors.call_terminated()


def _not_incoming(live: LiveCall, action: str) -> GraphError:
    return errors.wrong_state(action, CallState.INCOMING.value, live.call.state.value)
