"""What is written about a call: its row as the state machine changes it, and its notifications."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from .. import call_state as cs
from ..graph.enums import CallState, ChangeType, MediaState
from ..graph.notifications import Notification, build_envelope
from ..store.base import CallRow

ESTABLISHED_FACTS = ("direction", "tenantId")
"""What the documented examples repeat when a call is established that is in no meeting."""

MEETING_FACTS = ("chatInfo", "meetingInfo")
"""What they repeat when one in a meeting is being established, and when it is."""

ENDED_FACTS = ("direction", "callbackUri", "source", "targets", "tenantId", "myParticipantId")
"""What is repeated when a call ends that was sent on to somebody else."""


def changed_row(row: CallRow, call: cs.Call) -> CallRow:
    """Return *row* with the state, media and result that *call* now has."""
    resource = dict(row.resource)
    resource["state"] = call.state.value
    if call.audio is not None:
        is_active = call.audio is MediaState.ACTIVE and call.state is CallState.ESTABLISHED
        audio = MediaState.ACTIVE if is_active else MediaState.INACTIVE
        resource["mediaState"] = cs.media_state(audio)
        resource["activeModalities"] = ["audio"] if is_active else []
    resource["resultInfo"] = None if call.result is None else cs.result_info(call.result)
    resource["terminationReason"] = call.termination_reason
    return replace(row, state=call.state.value, is_over=call.is_over, resource=resource)


def call_bodies(row: CallRow, effects: cs.Effects) -> list[str]:
    """Return the bodies of the notifications among *effects*, in their order."""
    return [
        _body(row, effect.change_type, (row.call_id,), _with_facts(row, effect))
        for effect in effects
        if isinstance(effect, cs.Notify)
    ]


def other_bodies(row: CallRow, notifications: Iterable[Notification]) -> list[str]:
    """Return the bodies of notifications about what hangs under a call."""
    return [_body(row, n.change_type, n.resource_path, n.resource_data) for n in notifications]


def _body(row: CallRow, change_type: ChangeType | str, path: tuple[str, ...], data: Any) -> str:
    return json.dumps(build_envelope([Notification(change_type, path, data)], row.callback_uri))


def _with_facts(row: CallRow, effect: cs.Notify) -> dict[str, Any]:
    """Add what the documented examples have beside the state."""
    data, resource = dict(effect.resource_data), row.resource
    if effect.change_type is ChangeType.CREATED:
        return _incoming(resource)
    state = data["state"]
    is_first = "mediaState" not in data and "resultInfo" not in data
    if resource.get("meetingInfo") is not None:
        if state == CallState.ESTABLISHING.value or (
            state == CallState.ESTABLISHED.value and is_first
        ):
            chat_info = resource.get("chatInfo") or {}
            shown = {key: value for key, value in chat_info.items() if value is not None}
            return _inserted(data, {**resource, "chatInfo": shown or None}, MEETING_FACTS)
    elif state == CallState.ESTABLISHED.value and is_first:
        return _inserted(data, resource, ESTABLISHED_FACTS)
    is_sent_on = resource["direction"] == "incoming" and resource.get("answeredBy") is not None
    if state == CallState.TERMINATED.value and is_sent_on:
        return _inserted(data, resource, (*ENDED_FACTS, "answeredBy"))
    return data


def _inserted(data: Mapping[str, Any], resource: Mapping[str, Any], keys: Any) -> dict[str, Any]:
    """Put the members of *resource* that are set before the last member, the id."""
    facts = {key: resource[key] for key in keys if resource.get(key) is not None}
    return {**{k: v for k, v in data.items() if k != "id"}, **facts, "id": data["id"]}


def _incoming(resource: Mapping[str, Any]) -> dict[str, Any]:
    """Show an incoming call whole, without what is unset."""
    return {key: value for key, value in resource.items() if value is not None and value != []} | {
        "callRoutes": resource.get("callRoutes") or []
    }
