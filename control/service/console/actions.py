"""What an operator may do to conversations: what applications and people do, for any of them."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from ... import call_state as cs
from ...console.source import ConsoleRefusedError
from ...console.wishes import RouteWish
from ...graph.enums import Tone
from ...graph.errors import GraphError
from ...graph.participants import identity_set
from ...graph.requests import SendDtmfRequest, Target
from ...store.base import StoreError, UserRow
from ..calls import CallBook
from ..invitation import Answered, Invitation, Outcome, Ringing, invite
from ..live_call import LiveCall
from ..member import Member
from ..rooms import Party, Room
from ..verbs import handling, media
from .detail import living_calls, why_not_settable
from .rows import is_bot, name_of, title_of

if TYPE_CHECKING:
    from ..services import CallServices

TONE_PAUSE_MS: Final = 200
OPERATOR: Final = "The operator"


async def hang_up(room: Room, book: CallBook) -> None:
    """End a conversation for all who are in it, or are rung.

    Raises: ConsoleRefusedError.
    """
    for invitation in tuple(room.invitations):
        invitation.cancel("hangup")
    with refusals():
        for live in living_calls(room, book):
            await handling.hang_up(live)
    for member in tuple(room.conversation.members.values()):
        # An application's own call takes it out, and with it the other of two.
        if not is_bot(room, member) and not (room.is_peer_to_peer and room.call_ids):
            room.conversation.expel(member, cs.CONVERSATION_ENDED)


async def send_tones(room: Room, book: CallBook, tones: str) -> None:
    """Have the first application that is in the conversation press keys.

    Raises: ConsoleRefusedError.
    """
    calls = [live for live in living_calls(room, book) if live.call.is_established]
    if not calls:
        raise ConsoleRefusedError.not_possible(
            "no bot is in this call that could press keys; your own are pressed on your phone"
        )
    keys = [Tone.of_key(key.upper()) for key in tones]
    names = tuple(tone.value for tone in keys if tone is not None)
    with refusals():
        await media.send_dtmf_tones(calls[0], SendDtmfRequest(names, TONE_PAUSE_MS, None))


def mute(room: Room, participant_id: str) -> None:
    """Mute a member at the service. Raises: ConsoleRefusedError."""
    member = member_of(room, participant_id)
    room.conversation.set_muted(member, server=True)


def unmute(room: Room, participant_id: str) -> None:
    """Take the service's mute back; a bot's own, too: it has nobody at a button.

    Raises: ConsoleRefusedError.
    """
    member = member_of(room, participant_id)
    if is_bot(room, member):
        room.conversation.set_muted(member, client=False, server=False)
    elif member.server_muted:
        room.conversation.set_muted(member, server=False)
    else:
        who = f"{name_of(member)} {'muted themselves' if member.client_muted else 'is not muted'}"
        raise ConsoleRefusedError.not_possible(f"{who}: only a mute by the service is taken back")


def admit(room: Room, participant_id: str) -> None:
    """Let a member out of the lobby. Raises: ConsoleRefusedError."""
    member = member_of(room, participant_id)
    if not member.in_lobby:
        raise ConsoleRefusedError.not_possible(f"{name_of(member)} is not in the lobby")
    room.conversation.admit(member)


def remove(room: Room, participant_id: str) -> None:
    """Take a member out, send them away from the lobby, or call an invitation off.

    Raises: ConsoleRefusedError.
    """
    for invitation in tuple(room.invitations):
        if invitation.id == participant_id:
            invitation.cancel("hangup")
            return
    member = member_of(room, participant_id)
    room.conversation.expel(member, cs.DENIED if member.in_lobby else cs.REMOVED)


def set_route(room: Room, wish: RouteWish) -> None:
    """Let one member hear another or not. Raises: ConsoleRefusedError."""
    listener, speaker = member_of(room, wish.listener), member_of(room, wish.speaker)
    why_not = why_not_settable(listener, speaker)
    if why_not is not None:
        raise ConsoleRefusedError.not_possible(why_not)
    room.conversation.set_hears(listener, speaker, wish.hears)


def invite_user(services: CallServices, room: Room, user: UserRow) -> Invitation:
    """Ring a user of the directory into a meeting or group call.

    Raises: ConsoleRefusedError.
    """
    if room.conversation.has_identity("user", user.user_id) or any(
        invitation.target.kind == "user" and invitation.target.id == user.user_id
        for invitation in room.invitations
    ):
        raise ConsoleRefusedError.not_possible(f"{user.display_name} is here, or is rung, already")
    return _ring(services, room, _target("user", user.user_id, user.display_name))


def place_bot(services: CallServices, room: Room, app_id: str, name: str) -> tuple[Invitation, str]:
    """Ring an application into a meeting or group call; return its call's id as well.

    Raises: ConsoleRefusedError.
    """
    if room.conversation.has_identity("application", app_id):
        raise ConsoleRefusedError.not_possible(f"{name} is in this call already")
    call_id = str(uuid.uuid4())
    target = _target("application", app_id, name)
    return _ring(services, room, target, new_call_id=call_id), call_id


def member_of(room: Room, participant_id: str) -> Member:
    """Return the member of that id. Raises: ConsoleRefusedError."""
    member = room.conversation.members.get(participant_id)
    if member is None:
        raise ConsoleRefusedError.not_found(f"no participant {participant_id!r:.100} in this call")
    return member


def why_unanswered(outcome: asyncio.Future[Outcome]) -> str | None:
    """Return why who was rung did not come; None when they did, or nobody waits any more."""
    if outcome.cancelled():
        return None
    result = outcome.result()
    if isinstance(result, Answered):
        return None
    return f"{result.result.message} ({result.result.code}/{result.result.subcode})"


@contextmanager
def refusals() -> Iterator[None]:
    """Say to the operator what Graph says to applications.

    Raises: ConsoleRefusedError.
    """
    try:
        yield
    except GraphError as error:
        if error.status == 404:
            raise ConsoleRefusedError.not_found(error.message) from None
        raise ConsoleRefusedError.not_possible(error.message) from None
    except StoreError as error:
        raise ConsoleRefusedError.unavailable(f"the store: {error}") from None


def _ring(
    services: CallServices, room: Room, target: Target, *, new_call_id: str | None = None
) -> Invitation:
    if room.is_peer_to_peer:
        raise ConsoleRefusedError.not_possible(
            "this is a call of two: only a meeting or a group call takes in more"
        )
    source = _inviting(room)
    if source is None or room.is_over:
        raise ConsoleRefusedError.not_possible("nobody is in this call to come to")
    caller = {"id": room.id, "displayName": title_of(room, []) or OPERATOR}
    ringing = Ringing(str(uuid.uuid4()), caller, services.settings.ringing_s)
    invitation = invite(services, room, target, ringing, source, new_call_id=new_call_id)
    if not invitation.outcome.done():
        room.callings.add(invitation)
        invitation.outcome.add_done_callback(lambda _: room.callings.discard(invitation))
    return invitation


def _inviting(room: Room) -> Party | None:
    """Return in whose name an application is rung: a person's, rather than another bot's."""
    parties = [party for party in room.parties.values() if not party.member.in_lobby]
    parties.sort(key=lambda party: isinstance(party, LiveCall))
    return next(iter(parties), None)


def _target(kind: str, identifier: str, name: str | None) -> Target:
    info = {
        "@odata.type": "#microsoft.graph.invitationParticipantInfo",
        "identity": identity_set(kind, identifier, name),
    }
    return Target(
        info=info,
        kind=kind,
        id=identifier,
        display_name=name,
        hidden=False,
        replaces_call_id=None,
        in_default_mix=True,
    )
