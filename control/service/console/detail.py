"""All there is of one conversation, for the console's page of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any, Final

from ...console.models import (
    Action,
    CallDetail,
    Json,
    LegView,
    OperationView,
    Person,
    Route,
    Step,
)
from ...console.plugin_events import PluginEvents
from ...console.views import decoded_blob, iso, quality_members, safe_resource
from ...journal_redact import JournalRedactor
from ..call_report import CallReport
from ..calls import CallBook
from ..conversation import Conversation
from ..leg_plugins import LegPlugins
from ..live_call import LiveCall, StateChange
from ..member import Member
from ..records.history import Participation
from ..rooms import MEETING, Party, Room
from .plugins import plugin_views
from .rows import (
    KINDS,
    address_of,
    ended_row,
    gauge_of,
    is_bot,
    is_flowing,
    leg_key,
    name_of,
    row_of,
    stay_name,
)

MAX_ROUTED: Final = 24
"""Of a larger conversation who hears whom is not shown: pairs grow with the square."""
ENDED_BY: Final = "terminated"
TRANSPORTS: Final[Mapping[str, str]] = {"service": "hosted", "phone": "hosted"}
"""What is not a transport's own name: audio that this service plays and records itself."""


def detail_of(
    room: Room,
    book: CallBook,
    plugins: LegPlugins,
    events: PluginEvents,
    redactor: JournalRedactor,
) -> CallDetail:
    """Return all there is of a conversation that is not over."""
    calls = living_calls(room, book)
    members = room.conversation.members
    parties = {key: room.parties.get(key) for key in members}
    return CallDetail(
        row=row_of(room, calls, plugins),
        timeline=_timeline(room, book),
        roster=tuple(person_of(room, member) for member in members.values()),
        legs=tuple(leg_view(member, parties[key]) for key, member in members.items()),
        plugins=tuple(plugin_views(room, plugins, events)),
        routing=routing_of(room.conversation),
        operations=_operations(room, book),
        blob=_blob(room, book),
        resources=_resources(room, book, redactor),
        join=_join(room),
        actions=tuple(_actions(room, calls, plugins)),
    )


def ended_detail(room: Room, book: CallBook, redactor: JournalRedactor) -> CallDetail:
    """Return what is still known of a conversation that is over."""
    stays = [stay for stay in room.conversation.history.stays if stay.was_in]
    return CallDetail(
        row=ended_row(room),
        timeline=_timeline(room, book),
        roster=tuple(_past_person(room, stay) for stay in stays),
        legs=tuple(_past_leg(room, stay) for stay in stays),
        operations=_operations(room, book),
        blob=_blob(room, book),
        resources=_resources(room, book, redactor),
    )


def living_calls(room: Room, book: CallBook) -> list[LiveCall]:
    """Return the applications' calls in a conversation that are not over."""
    found = (book.living_call(call_id) for call_id in room.call_ids)
    return [live for live in found if live is not None]


def person_of(room: Room, member: Member) -> Person:
    """Return a member as an entry of the roster."""
    return Person(
        participant_id=member.participant_id,
        name=name_of(member),
        kind=KINDS.get(member.kind, "other"),
        role=member.meeting_role if room.conversation.kind == MEETING else None,
        muted=member.is_muted,
        muted_by_self=member.client_muted,
        in_lobby=member.in_lobby,
        on_hold=member.is_on_hold,
        is_bot=is_bot(room, member),
        source_ids=(member.source_id,),
        leg_key=leg_key(member.participant_id),
    )


def leg_view(member: Member, party: Party | None) -> LegView:
    """Return a member's media as they are now."""
    gauge = gauge_of(party)
    quality = None if gauge is None else gauge.latest
    members = quality_members(quality)
    if gauge is not None and quality is not None:
        recent = gauge.recent
        members |= {"loss_ratio": recent.loss, "concealed_ratio": recent.concealed}
    transport_counts = {} if party is None else party.counters()
    return LegView(
        key=leg_key(member.participant_id),
        side="service",
        name=name_of(member),
        participant_id=member.participant_id,
        transport=TRANSPORTS.get(member.media_kind, member.media_kind),
        is_flowing=is_flowing(party),
        address=address_of(party),
        counters={**asdict(member.leg_counters()), **transport_counts},
        **members,
    )


def routing_of(conversation: Conversation) -> tuple[Route, ...]:
    """Return for each ordered pair of members whether one hears the other, and can be let."""
    members = list(conversation.members.values())
    if not 2 <= len(members) <= MAX_ROUTED:
        return ()
    listeners = {speaker: conversation.listeners_of(speaker) for speaker in members}
    return tuple(
        Route(
            listener=listener.participant_id,
            speaker=speaker.participant_id,
            hears=listener in listeners[speaker],
            settable=why_not_settable(listener, speaker) is None,
        )
        for listener in members
        for speaker in members
        if listener is not speaker
    )


def why_not_settable(listener: Member, speaker: Member) -> str | None:
    """Return why it cannot be set now whether one hears the other; None when it can."""
    if listener is speaker:
        return "nobody hears themselves"
    for member in (listener, speaker):
        if member.in_lobby:
            return f"{name_of(member)} waits in the lobby"
        if member.is_on_hold:
            return f"{name_of(member)} is on hold"
    return f"{name_of(speaker)} is muted" if speaker.is_muted else None


def _timeline(room: Room, book: CallBook) -> tuple[Step, ...]:
    steps = [Step(at=iso(room.created_at), side="service", state="created")]
    for call_id in room.call_ids:
        known = _known(book, call_id)
        if known is not None:
            created_at, states, resource = known
            steps += _call_steps(call_id, created_at, states, resource)
    if room.ended_at is not None:
        steps.append(Step(at=iso(room.ended_at), side="service", state="ended"))
    return tuple(sorted(steps, key=lambda step: step.at))


def _call_steps(
    call_id: str, created_at: datetime, states: Sequence[StateChange], resource: Mapping[str, Any]
) -> Iterator[Step]:
    result = resource.get("resultInfo")
    reason = (
        None if result is None else f"{result['message']} ({result['code']}/{result['subcode']})"
    )
    for change in states:
        yield Step(
            at=iso(created_at + timedelta(milliseconds=change.at_ms)),
            side="service",
            state=change.state,
            reason=reason if change.state == ENDED_BY else None,
            call_id=call_id,
        )


def _known(
    book: CallBook, call_id: str
) -> tuple[datetime, Sequence[StateChange], Mapping[str, Any]] | None:
    known: LiveCall | CallReport | None = book.living_call(call_id) or book.ended(call_id)
    if known is None:
        return None
    resource = known.row.resource if isinstance(known, LiveCall) else known.resource
    return known.created_at, known.states, resource


def _operations(room: Room, book: CallBook) -> tuple[OperationView, ...]:
    views = []
    for call_id in room.call_ids:
        live, report = book.living_call(call_id), book.ended(call_id)
        if live is not None:
            began_at = live.operations.began_at
            views += [_operation(item, began_at[item["id"]]) for item in live.operations.all()]
        elif report is not None:
            views += [_operation(item, began_at) for item, began_at in report.operations]
    return tuple(sorted(views, key=lambda view: view.at))


def _operation(resource: Mapping[str, Any], began_at: datetime) -> OperationView:
    result = resource.get("resultInfo") or {}
    kind = str(resource["@odata.type"]).rpartition(".")[2].removesuffix("Operation")
    reason = resource.get("completionReason") or result.get("message") or None
    return OperationView(
        id=resource["id"],
        side="service",
        kind=kind,
        status=resource["status"],
        at=iso(began_at),
        reason=reason,
    )


def _resources(room: Room, book: CallBook, redactor: JournalRedactor) -> Json:
    """Return the call's resource; of several calls each by its id."""
    known = {call_id: _known(book, call_id) for call_id in room.call_ids}
    shown = {
        call_id: safe_resource(found[2], redactor)
        for call_id, found in known.items()
        if found is not None
    }
    if not shown:
        return {}
    return {"service": next(iter(shown.values())) if len(shown) == 1 else shown}


def _blob(room: Room, book: CallBook) -> Json | None:
    """Return the media configuration of the first application that has one of its own."""
    for call_id in room.call_ids:
        known = _known(book, call_id)
        if known is not None and (blob := decoded_blob(known[2].get("mediaConfig"))) is not None:
            return blob
    return None


def _join(room: Room) -> Json | None:
    meeting = room.conversation.meeting
    if meeting is None:
        return None
    # By its thread a user of the directory comes in without the passcode.
    return {"joinUrl": meeting.join_url, "threadId": meeting.thread_id}


def _actions(room: Room, calls: Sequence[LiveCall], plugins: LegPlugins) -> Iterator[Action]:
    yield "hangUp"
    if any(live.call.is_established for live in calls):
        yield "sendTones"
    members = room.conversation.members
    if members:
        yield from ("mute", "unmute", "remove")
    if any(member.in_lobby for member in members.values()):
        yield "admit"
    if len(members) > 1:
        yield "setRoute"
    if not room.is_peer_to_peer and room.parties:
        yield from ("invite", "placeBot")
    callers = [m for m in members.values() if not is_bot(room, m)]
    if callers:
        yield "addPlugin"
    if any(chain.specs for member in callers for chain in plugins.of(member)):
        yield from ("setPlugin", "removePlugin")


def _past_person(room: Room, stay: Participation) -> Person:
    return Person(
        participant_id=stay.participant_id,
        name=stay_name(room, stay),
        kind=KINDS.get(stay.kind, "other"),
        is_bot=stay.kind in ("application", "applicationInstance"),
        source_ids=() if stay.source_id is None else (stay.source_id,),
    )


def _past_leg(room: Room, stay: Participation) -> LegView:
    measured = stay.measured
    counters = {} if stay.leg is None else asdict(stay.leg)
    return LegView(
        key=leg_key(stay.participant_id),
        side="service",
        name=stay_name(room, stay),
        participant_id=stay.participant_id,
        transport=TRANSPORTS.get(stay.media_kind, stay.media_kind),
        is_flowing=False,
        codec=None if measured is None else measured.codec or None,
        loss_total_ratio=None if measured is None else measured.average_loss,
        concealed_ratio=None if measured is None else measured.average_concealed,
        jitter_ms=None if measured is None else measured.average_jitter_ms,
        round_trip_ms=None if measured is None else measured.average_round_trip_ms,
        packets_received=None if measured is None else measured.received_packets,
        packets_sent=None if measured is None else measured.sent_packets,
        counters={**counters, **stay.transport},
    )
