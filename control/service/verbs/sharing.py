"""Content sharing, the screen sharing role, and whether a call is recorded.

Source: Microsoft Graph, contentSharingSession; call: changeScreenSharingRole,
updateRecordingStatus.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...graph import errors, operations
from ...graph.participants import content_sharing_session
from .people import expect_admitted, expect_group, visible_member

if TYPE_CHECKING:
    from ..live_call import LiveCall

Json = dict[str, Any]


def content_sharing_sessions(live: LiveCall) -> list[Json]:
    """Return the content sharing session that is on, if this call may see it."""
    session = live.conversation.sharing
    if session is None or not live.has_entered or live.member.in_lobby:
        return []
    return [content_sharing_session(session.id, session.presenter_id)]


def content_sharing(live: LiveCall, session_id: str) -> Json:
    """Return one content sharing session.

    Raises: GraphError 404.
    """
    for session in content_sharing_sessions(live):
        if session["id"] == session_id:
            return session
    raise errors.not_found("Content sharing session")


async def change_screen_sharing_role(live: LiveCall, role: str) -> None:
    """Let the application share its screen ("sharer"), or watch ("viewer").

    Raises: GraphError 400, also when the service hosts its media.
    """
    expect_group(live)
    if not live.is_app_hosted:
        raise errors.invalid_media_mode("Screen sharing needs application-hosted media.")
    expect_admitted(live, "changeScreenSharingRole")
    if role == "sharer":
        live.conversation.start_sharing(live.member)
    else:
        live.conversation.stop_sharing(live.member)


async def update_recording_status(live: LiveCall, status: str, client_context: str | None) -> Json:
    """Say in the roster whether the application records; return the completed operation.

    Raises: GraphError 400.

    With policy-based recording it is the observed participant who is recorded.
    """
    live.expect_established()
    context = live.row.resource.get("incomingContext") or {}
    observed = visible_member(live, context.get("observedParticipantId") or "")
    live.conversation.set_recording(observed or live.member, status, live.member.identity)
    return live.operations.completed(operations.UPDATE_RECORDING_STATUS, client_context)
