"""What is written about a call: its row as the state machine changes it, and its notifications."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from .. import call_state as cs
from ..graph.enums import CallState, MediaState
from ..graph.notifications import Notification, build_envelope
from ..graph.resources import user_participant
from ..store.base import CallRow, UserRow


def changed_row(row: CallRow, call: cs.Call, callee: UserRow | None) -> CallRow:
    """Return *row* with the state, media, result and answerer that *call* now has."""
    resource = dict(row.resource)
    resource["state"] = call.state.value
    if call.audio is not None:
        is_active = call.audio is MediaState.ACTIVE and call.state is CallState.ESTABLISHED
        audio = MediaState.ACTIVE if is_active else MediaState.INACTIVE
        resource["mediaState"] = cs.media_state(audio)
        resource["activeModalities"] = ["audio"] if is_active else []
    if call.result is not None:
        resource["resultInfo"] = cs.result_info(call.result)
    if call.answered_by is not None and callee is not None:
        resource["answeredBy"] = user_participant(callee.user_id, callee.display_name)
    return replace(row, state=call.state.value, is_over=call.is_over, resource=resource)


def notification_bodies(row: CallRow, effects: cs.Effects) -> list[str]:
    """Return the bodies of the notifications among *effects*, in their order."""
    return [
        json.dumps(
            build_envelope(
                [
                    Notification(
                        effect.change_type, (row.call_id,), _with_facts(row, effect.resource_data)
                    )
                ],
                row.callback_uri,
            )
        )
        for effect in effects
        if isinstance(effect, cs.Notify)
    ]


def _with_facts(row: CallRow, data: Any) -> dict[str, Any]:
    """Add direction and tenant when a call is established, as the documented example has them."""
    if data["state"] != CallState.ESTABLISHED.value or "mediaState" in data:
        return dict(data)
    facts = {key: row.resource[key] for key in ("direction", "tenantId")}
    return {"@odata.type": data["@odata.type"], "state": data["state"], **facts, "id": data["id"]}
