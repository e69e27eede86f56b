"""What a bot does in a call of several: participants, mute, hold, routing, sharing, recording."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from ..graph.enums import RecordingStatus, RoutingMode, ScreenSharingRole
from .base import CALLS, CallRequests, an_object, path_of
from .bodies import Json, Prompt, Target, as_prompt, invitations, with_context
from .models import (
    TYPE_PREFIX,
    AudioRoutingGroup,
    ContentSharingSession,
    Operation,
    Participant,
)


class GroupVerbs(CallRequests):
    """Requests about a call's members.

    All raise GraphRequestError, GraphConnectionError, TokenError.
    """

    async def participants(self, call_id: str) -> tuple[Participant, ...]:
        """List who is in the call."""
        raws = await self._list(path_of(call_id, "participants"))
        return tuple(Participant.read(raw) for raw in raws)

    async def participant(self, call_id: str, participant_id: str) -> Participant:
        """Return one participant."""
        path = path_of(call_id, "participants", participant_id)
        return Participant.read(an_object(await self._ask("GET", path)))

    async def invite(
        self, call_id: str, *targets: Target, client_context: str | None = None
    ) -> Operation:
        """Ring up to 5 *targets* into a group call.

        Raises: ValueError also, on none.
        """
        if not targets:
            raise ValueError("expected somebody to invite")
        body = with_context({"participants": invitations(targets)}, client_context)
        return await self._operate(call_id, "participants/invite", body)

    async def remove_participant(self, call_id: str, participant_id: str) -> bool:
        """Remove a participant, or take an invitation back; False when they are not there."""
        return await self._unless_gone("DELETE", path_of(call_id, "participants", participant_id))

    async def mute_participant(
        self, call_id: str, participant_id: str, *, client_context: str | None = None
    ) -> Operation:
        """Have nobody hear a participant; only they can undo it."""
        action = _of_participant(participant_id, "mute")
        body = with_context({}, client_context)
        return await self._operate(call_id, action, body, is_repeatable=True)

    async def mute_all(
        self, call_id: str, *participant_ids: str, client_context: str | None = None
    ) -> Operation:
        """Mute several participants (beta, deprecated)."""
        body = with_context({"participants": list(participant_ids)}, client_context)
        return await self._operate(call_id, "participants/muteAll", body, is_repeatable=True)

    async def mute(self, call_id: str, *, client_context: str | None = None) -> Operation:
        """Mute the application itself."""
        body = with_context({}, client_context)
        return await self._operate(call_id, "mute", body, is_repeatable=True)

    async def unmute(self, call_id: str, *, client_context: str | None = None) -> Operation:
        """Undo :meth:`mute`."""
        body = with_context({}, client_context)
        return await self._operate(call_id, "unmute", body, is_repeatable=True)

    async def start_hold_music(
        self,
        call_id: str,
        participant_id: str,
        *,
        prompt: Prompt | str | None = None,
        client_context: str | None = None,
    ) -> Operation:
        """Put a participant on hold, with music: *prompt*, or the service's."""
        body: Json = {} if prompt is None else {"customPrompt": as_prompt(prompt).to_json()}
        action = _of_participant(participant_id, "startHoldMusic")
        return await self._operate(call_id, action, with_context(body, client_context))

    async def stop_hold_music(
        self, call_id: str, participant_id: str, *, client_context: str | None = None
    ) -> Operation:
        """Take a participant off hold."""
        action = _of_participant(participant_id, "stopHoldMusic")
        return await self._operate(call_id, action, with_context({}, client_context))

    async def change_screen_sharing_role(self, call_id: str, role: ScreenSharingRole | str) -> None:
        """Begin to show a screen (sharer), or stop (viewer)."""
        await self._act(call_id, "changeScreenSharingRole", {"role": str(role)}, is_repeatable=True)

    async def update_recording_status(
        self, call_id: str, status: RecordingStatus | str, *, client_context: str | None = None
    ) -> Operation:
        """Say that the bot records, or does not: before it begins, and after it has ended."""
        body = with_context({"status": str(status)}, client_context)
        return await self._operate(call_id, "updateRecordingStatus", body, is_repeatable=True)

    async def add_large_gallery_view(
        self, call_id: str, *, client_context: str | None = None
    ) -> Operation:
        """Add the large gallery view."""
        return await self._operate(call_id, "addLargeGalleryView", with_context({}, client_context))

    async def audio_routing_groups(self, call_id: str) -> tuple[AudioRoutingGroup, ...]:
        """List the routing groups."""
        raws = await self._list(path_of(call_id, "audioRoutingGroups"))
        return tuple(AudioRoutingGroup.read(raw) for raw in raws)

    async def audio_routing_group(self, call_id: str, group_id: str) -> AudioRoutingGroup:
        """Return one routing group."""
        path = path_of(call_id, "audioRoutingGroups", group_id)
        return AudioRoutingGroup.read(an_object(await self._ask("GET", path)))

    async def create_audio_routing_group(
        self,
        call_id: str,
        group_id: str,
        *,
        sources: Sequence[str],
        receivers: Sequence[str],
        routing_mode: RoutingMode | str | None = None,
    ) -> AudioRoutingGroup:
        """Have *sources* heard by *receivers* alone; all are ids of participants.

        Without *routing_mode* their number says it: one to one, or multicast.
        """
        mode = routing_mode
        if mode is None:
            mode = RoutingMode.ONE_TO_ONE if len(receivers) == 1 else RoutingMode.MULTICAST
        body = {
            "@odata.type": f"{TYPE_PREFIX}audioRoutingGroup",
            "id": group_id,
            "routingMode": str(mode),
            "sources": list(sources),
            "receivers": list(receivers),
        }
        response = await self._act(call_id, "audioRoutingGroups", body)
        return AudioRoutingGroup.read(an_object(response))

    async def update_audio_routing_group(
        self,
        call_id: str,
        group_id: str,
        *,
        sources: Sequence[str] | None = None,
        receivers: Sequence[str] | None = None,
        routing_mode: RoutingMode | str | None = None,
    ) -> AudioRoutingGroup:
        """Change what is given of a routing group."""
        changes: Json = {"@odata.type": f"{TYPE_PREFIX}audioRoutingGroup", "id": group_id}
        if routing_mode is not None:
            changes["routingMode"] = str(routing_mode)
        if sources is not None:
            changes["sources"] = list(sources)
        if receivers is not None:
            changes["receivers"] = list(receivers)
        path = path_of(call_id, "audioRoutingGroups", group_id)
        response = await self._ask("PATCH", path, changes, is_repeatable=True)
        return AudioRoutingGroup.read(an_object(response))

    async def delete_audio_routing_group(self, call_id: str, group_id: str) -> bool:
        """Delete a routing group; False when it is not there."""
        return await self._unless_gone("DELETE", path_of(call_id, "audioRoutingGroups", group_id))

    async def content_sharing_sessions(self, call_id: str) -> tuple[ContentSharingSession, ...]:
        """List who shows their screen."""
        raws = await self._list(path_of(call_id, "contentSharingSessions"))
        return tuple(ContentSharingSession.read(raw) for raw in raws)

    async def content_sharing_session(self, call_id: str, session_id: str) -> ContentSharingSession:
        """Return one content sharing session."""
        path = path_of(call_id, "contentSharingSessions", session_id)
        return ContentSharingSession.read(an_object(await self._ask("GET", path)))

    async def log_teleconference_device_quality(self, quality: dict[str, Any]) -> None:
        """Report how well a room system's media went: a teleconferenceDeviceQuality."""
        await self._ask("POST", f"{CALLS}/logTeleconferenceDeviceQuality", {"quality": quality})


def _of_participant(participant_id: str, action: str) -> str:
    return f"participants/{quote(participant_id, safe='')}/{action}"
