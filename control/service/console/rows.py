"""A conversation as a row of the console's list."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ...console.models import CallRow, Flag, PersonKind
from ...console.views import LIVELY, iso, joined_names, quality_flags, row_state
from ..caller import CallerParty
from ..gauge import Gauge
from ..invitation import Invitation, PhoneInvitation, UserInvitation
from ..leg_plugins import LegPlugins
from ..live_call import LiveCall
from ..member import Member
from ..records.history import Participation
from ..rooms import MEETING, Party, Room
from ..rtp_phone import RtpPhoneParty

APP_KINDS = frozenset({"application", "applicationInstance"})
GAUGED = (CallerParty, RtpPhoneParty, LiveCall)
"""As a tuple: rows are made four times a second, and a union takes three times as long to ask."""
KINDS: Mapping[str, PersonKind] = {
    "user": "user",
    "guest": "guest",
    "application": "application",
    "applicationInstance": "application",
    "phone": "phone",
}


def row_of(room: Room, calls: Sequence[LiveCall], plugins: LegPlugins) -> CallRow:
    """Return the row of a conversation, of which *calls* are those that are not over."""
    conversation = room.conversation
    members = conversation.members.values()
    bots = [member for member in members if is_bot(room, member)]
    people = [member for member in members if member not in bots]
    return CallRow(
        id=room.id,
        call_ids=tuple(room.call_ids),
        kind="meeting" if conversation.kind == MEETING else "call",
        sides=("service",),
        state=row_state(_state(room, calls)),
        direction=_direction(calls),
        title=title_of(room, people),
        bot=joined_names(bot_names(bots, calls)) or None,
        started_at=iso(room.created_at),
        ended_at=None,
        people=len(people),
        legs=tuple(leg_key(member.participant_id) for member in members),
        flags=tuple(dict.fromkeys(_flags(room, plugins))),
    )


def ended_row(room: Room) -> CallRow:
    """Return the row of a conversation that is over."""
    conversation = room.conversation
    stays = [stay for stay in conversation.history.stays if stay.kind not in APP_KINDS]
    bots = [stay for stay in conversation.history.stays if stay.kind in APP_KINDS]
    meeting = conversation.meeting
    names = list(dict.fromkeys(stay_name(room, stay) for stay in stays))
    return CallRow(
        id=room.id,
        call_ids=tuple(room.call_ids),
        kind="meeting" if conversation.kind == MEETING else "call",
        sides=("service",),
        state="terminated",
        title=(meeting.subject or "Meeting") if meeting is not None else joined_names(names),
        bot=joined_names(list(dict.fromkeys(stay_name(room, stay) for stay in bots))) or None,
        started_at=iso(room.created_at),
        ended_at=None if room.ended_at is None else iso(room.ended_at),
        people=0,
    )


def leg_key(participant_id: str) -> str:
    """Return the key of a member's leg."""
    return f"s:{participant_id}"


def is_bot(room: Room, member: Member) -> bool:
    """Say whether an application is behind that member, as whoever it joined."""
    party = room.parties.get(member.participant_id)
    return member.kind in APP_KINDS if party is None else party.is_app


def name_of(member: Member) -> str:
    """Return what a member is called, as it said itself."""
    return member.display_name or member.identity_id


def stay_name(room: Room, stay: Participation) -> str:
    """Return what somebody was called; one who never came in, as their identity says."""
    own = stay.identity.get(stay.kind) or {}
    known = room.names.get(stay.participant_id) or own.get("displayName") or own.get("id")
    return str(known or stay.kind)


def bot_names(bots: Sequence[Member], calls: Sequence[LiveCall]) -> list[str]:
    """Return what the applications in a conversation are called, those that ring among them."""
    names = [name_of(member) for member in bots]
    for live in calls:
        if not live.has_entered:
            own = live.row.resource["targets"][0]["identity"]
            names.append(next(_names(own), live.app_id))
    return list(dict.fromkeys(names))


def title_of(room: Room, people: Sequence[Member]) -> str:
    """Return whom a call is with, or what a meeting is about."""
    meeting = room.conversation.meeting
    if meeting is not None:
        return meeting.subject or "Meeting"
    names = [name_of(member) for member in people]
    names = names or [invited_name(invitation) for invitation in room.invitations]
    if names:
        return joined_names(names)
    return joined_names([name_of(member) for member in room.conversation.members.values()])


def invited_name(invitation: Invitation) -> str:
    """Return what somebody who is rung is called."""
    if isinstance(invitation, UserInvitation):
        return invitation.user.display_name
    if isinstance(invitation, PhoneInvitation) and invitation.target.display_name is None:
        return invitation.target.id
    return invitation.target.display_name or invitation.target.id


def gauge_of(party: Party | None) -> Gauge | None:
    """Return what measures a party's media; None where nobody does."""
    return party.gauge if isinstance(party, GAUGED) else None


def address_of(party: Party | None) -> str | None:
    """Return where a party's packets go; None where that is not known."""
    address = party.far_address if isinstance(party, CallerParty) else None
    if address is None:
        return None
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_flowing(party: Party | None) -> bool | None:
    """Say whether a party's media come; None where that is not known."""
    if isinstance(party, (CallerParty, RtpPhoneParty)):
        return party.flows
    return party.bot_media_flow if isinstance(party, LiveCall) else None


def _state(room: Room, calls: Sequence[LiveCall]) -> str:
    if not calls:
        if room.is_over:
            return "terminated"
        return "established" if room.conversation.kind == MEETING else "establishing"
    states = {row_state(live.call.state.value) for live in calls}
    return next(state for state in LIVELY if state in states)


def _direction(calls: Sequence[LiveCall]) -> Any:
    return calls[0].row.resource["direction"] if calls else None


def _flags(room: Room, plugins: LegPlugins) -> Iterator[Flag]:
    for participant_id, member in room.conversation.members.items():
        party = room.parties.get(participant_id)
        gauge = gauge_of(party)
        if gauge is not None and gauge.latest is not None:
            recent = gauge.recent
            yield from quality_flags(recent.loss, recent.concealed, gauge.latest.jitter_ms)
        if isinstance(party, CallerParty) and party.has_media and not party.flows:
            yield "noMedia"
        if member.in_lobby:
            yield "lobby"
        info = member.recording_info
        if info is not None and info.get("recordingStatus") == "recording":
            yield "recording"
        for chain in plugins.of(member):
            if any(chain.slot(name).is_disabled for name in chain.specs):
                yield "pluginDisabled"


def _names(identity: Mapping[str, Any]) -> Iterator[str]:
    for own in identity.values():
        if isinstance(own, Mapping) and own.get("displayName"):
            yield str(own["displayName"])
