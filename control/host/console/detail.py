"""The calls of a bot host, as rows and in full."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any, TypeAlias

from ...client.models import Participant
from ...console.models import (
    Action,
    CallDetail,
    CallRow,
    Flag,
    Json,
    OperationView,
    Person,
    PersonKind,
    RecordingView,
    RowKind,
    Step,
)
from ...console.plugin_events import PluginEvents
from ...console.views import iso, row_state, safe_resource
from ...journal_redact import JournalRedactor
from ...remote_state import RemoteOperation
from ..call import HostedCall
from ..stream_call import StreamCall
from .legs import leg_key, leg_views, legs_of
from .plugins import plugin_views
from .recordings import KEY

AnyCall: TypeAlias = HostedCall | StreamCall

KINDS: Mapping[str, PersonKind] = {
    "user": "user",
    "guest": "guest",
    "application": "application",
    "applicationInstance": "application",
    "phone": "phone",
}


def row_id(call: AnyCall) -> str:
    """Return what the console calls a call: its conversation's id where the service tells it."""
    chain_id = call.info.call_chain_id if isinstance(call, HostedCall) else None
    return chain_id or call.id


def row_of(call: AnyCall, bot_name: str, ended_at: str | None = None) -> CallRow:
    """Return the row of a call."""
    people = [person for person in call.participants.values() if not _is_bot(person)]
    return CallRow(
        id=row_id(call),
        call_ids=(call.id,),
        kind=_kind(call),
        sides=("host",),
        state=row_state(call.state.value),
        direction=_direction(call),
        title=title_of(call),
        bot=bot_name,
        started_at=iso(call.created_at),
        ended_at=ended_at,
        people=0 if call.is_over else len(people) if call.participants else 1,
        legs=() if call.is_over else tuple(key for key, _ in legs_of(call)),
        flags=tuple(_flags(call)),
    )


def detail_of(
    call: AnyCall,
    bot_name: str,
    events: PluginEvents,
    redactor: JournalRedactor,
    ended_at: str | None = None,
) -> CallDetail:
    """Return all there is of a call."""
    described = call.describe()
    return CallDetail(
        row=row_of(call, bot_name, ended_at),
        timeline=tuple(_timeline(call)),
        roster=tuple(_roster(call, bot_name)),
        legs=tuple(leg_views(call, title_of(call), bot_name)),
        plugins=() if call.is_over else tuple(plugin_views(call, events)),
        operations=tuple(_operations(call)),
        recordings=tuple(_recordings(call)),
        blob=None if call.session is None else json.loads(call.session.descriptor.redacted()),
        resources=_resources(call, redactor),
        notifications=described["notifications"],
        actions=() if call.is_over else tuple(_actions(call)),
    )


def title_of(call: AnyCall) -> str:
    """Return whom a call is with, as they call themselves."""
    subject = call.info.subject if isinstance(call, HostedCall) else None
    return subject or call.peer.display_name or call.peer.id or "somebody"


def _kind(call: AnyCall) -> RowKind:
    if isinstance(call, StreamCall):
        return "stream"
    info = call.info
    return "meeting" if info.meeting is not None or info.chat is not None else "call"


def _direction(call: AnyCall) -> Any:
    if isinstance(call, StreamCall):
        return "incoming"
    direction = call.info.direction
    return None if direction is None else str(direction)


def _flags(call: AnyCall) -> Iterator[Flag]:
    if call.bot_error is not None:
        yield "botError"
    if call.recordings:
        yield "recording"
    session = call.session
    if session is not None and session.connected and not call.is_over and not session.audio.active:
        yield "noMedia"
    if call.has_plugins and not call.is_over:
        plugins = call.plugins
        if any(plugins.is_disabled(spec.name) for spec in plugins):
            yield "pluginDisabled"


def _timeline(call: AnyCall) -> Iterator[Step]:
    for change in call.states:
        reason = call.end_reason if change is call.states[-1] and call.is_over else None
        yield Step(
            at=iso(call.created_at + timedelta(milliseconds=change.at_ms)),
            side="host",
            state=change.state.value,
            reason=_why(call, reason),
            call_id=call.id,
        )


def _why(call: AnyCall, reason: str | None) -> str | None:
    """Add to why a call ended what the service said of it, and what the bot failed with."""
    if reason is None:
        return None
    result, error = call.result, call.bot_error
    told = "" if result is None else f": {result.message} ({result.code}/{result.subcode})"
    return reason + told + ("" if error is None else f"; the bot failed: {error}")


def _roster(call: AnyCall, bot_name: str) -> Iterator[Person]:
    people = call.participants
    for person in people.values():
        identity = person.identity
        yield Person(
            participant_id=person.id,
            name=person.display_name or (None if identity is None else identity.id) or person.id,
            kind=KINDS.get("" if identity is None else identity.kind, "other"),
            muted=person.is_muted,
            in_lobby=person.is_in_lobby,
            is_bot=_is_bot(person),
            source_ids=tuple(int(s) for s in person.source_ids if s.isdecimal()),
            leg_key=_leg_of(call, person),
        )
    if not people:
        # Of a call of two no roster is told: the other end, and the bot.
        has_audio = call.session is not None
        yield Person(
            participant_id=call.peer.id or "peer",
            name=title_of(call),
            kind="other",
            leg_key=leg_key(call.id, "link") if has_audio else None,
        )
        yield Person(
            participant_id="bot",
            name=bot_name,
            kind="application",
            is_bot=True,
            leg_key=leg_key(call.id, "application") if has_audio else None,
        )


def _leg_of(call: AnyCall, person: Participant) -> str | None:
    if call.session is None:
        return None
    if isinstance(call, HostedCall) and person.id == call.info.my_participant_id:
        return leg_key(call.id, "application")
    speakers = call.session.legs.speakers
    known = (int(source_id) for source_id in person.source_ids if source_id.isdecimal())
    found = next((source_id for source_id in known if source_id in speakers), None)
    return None if found is None else leg_key(call.id, f"speaker-{found}")


def _is_bot(person: Participant) -> bool:
    identity = person.identity
    return identity is not None and identity.kind in ("application", "applicationInstance")


def _operations(call: AnyCall) -> Iterator[OperationView]:
    if isinstance(call, HostedCall):
        for operation in call.known_operations:
            yield _operation(call, operation)


def _operation(call: HostedCall, operation: RemoteOperation) -> OperationView:
    data = operation.data
    kind = str(data.get("@odata.type") or "operation").rpartition(".")[2]
    result = data.get("resultInfo")
    said = result.get("message") if isinstance(result, Mapping) else None
    return OperationView(
        id=operation.id,
        side="host",
        kind=kind.removesuffix("Operation"),
        status=operation.status or "running",
        at=iso(call.operation_began_at(operation.id)),
        reason=str(data.get("completionReason") or said or "") or None,
    )


def _recordings(call: AnyCall) -> Iterator[RecordingView]:
    """Return what is recorded of a call; its files are the list of recordings' to say."""
    for recording in call.described_recordings():
        yield RecordingView(
            id=KEY + recording["id"],
            side="host",
            call_id=call.id,
            title=title_of(call),
            started_at=iso(call.created_at),
            duration_ms=round(recording["durationS"] * 1000) if "durationS" in recording else None,
            is_live=recording["state"] == "recording",
            reason=recording.get("error"),
        )


def _resources(call: AnyCall, redactor: JournalRedactor) -> Json:
    if isinstance(call, HostedCall):
        return {"host": safe_resource(call.info.raw, redactor)}
    origin = call.origin
    return {"host": {"dialect": origin.dialect, "farCallId": origin.far_call_id}}


def _actions(call: AnyCall) -> Iterator[Action]:
    yield "hangUp"
    is_graphs = isinstance(call, HostedCall)
    if call.session is not None or (is_graphs and call.has_audio):
        yield "sendTones"
    if is_graphs and call.participants:
        yield from ("mute", "remove", "invite")
    if call.has_plugins:
        yield "addPlugin"
        if any(True for _ in call.plugins):
            yield from ("setPlugin", "removePlugin")
    if call.session is not None:
        yield "stopRecording" if call.recordings else "startRecording"
