"""Participants: the JSON of a roster entry, of rosters full and delta, of content sharing.

Source: Microsoft Graph, participant, deltaParticipants and contentSharingSession resource types;
create call (roster and content sharing notifications).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .enums import ChangeType
from .notifications import Notification

Json = dict[str, Any]

PARTICIPANT = "#microsoft.graph.participant"
PARTICIPANT_INFO = "#microsoft.graph.participantInfo"
MEDIA_STREAM = "#microsoft.graph.mediaStream"
DELTA_PARTICIPANTS = "#microsoft.graph.deltaParticipants"
CONTENT_SHARING_SESSION = "#microsoft.graph.contentSharingSession"
RECORDING_INFO = "#microsoft.graph.recordingInfo"
REMOVED_STATE = "#microsoft.graph.removedState"
IDENTITY_SET = "#microsoft.graph.identitySet"
IDENTITY = "#microsoft.graph.identity"

REMOVED_REASON = "Removed from roster"
LARGE_GALLERY = "LargeGallery-V2"

LABELS: Mapping[str, str] = {
    "audio": "main-audio",
    "video": "main-video",
    "videoBasedScreenSharing": "applicationsharing-video",
    "data": "data",
}
"""What a stream of each modality is called."""


@dataclass(frozen=True, slots=True)
class Stream:
    """One stream of a participant. ``source_id`` (MSI) is its number in the call."""

    media_type: str
    source_id: int
    direction: str
    server_muted: bool = False


@dataclass(frozen=True, slots=True)
class RosterChange:
    """A change of a roster, as one of its listeners is shown it.

    ``participants`` are all that it sees now; ``changed`` those that differ from what it saw
    before, leavers among them. ``sequence_number`` counts its changes from 1, without a gap.
    """

    sequence_number: int
    participants: tuple[Json, ...]
    changed: tuple[Json, ...]


def identity_set(kind: str, identifier: str, display_name: str | None, **more: Any) -> Json:
    """Write an identitySet of one identity; *more* are open members of that identity."""
    identity = {"@odata.type": IDENTITY, "displayName": display_name, "id": identifier, **more}
    return {"@odata.type": IDENTITY_SET, kind: identity}


def participant(
    *,
    participant_id: str,
    identity: Json,
    streams: Sequence[Stream],
    is_muted: bool,
    is_in_lobby: bool,
    meeting_role: str | None,
    recording_info: Json | None = None,
    metadata: str | None = None,
) -> Json:
    """Write a participant with all its members; null where unset."""
    return {
        "@odata.type": PARTICIPANT,
        "info": {
            "@odata.type": PARTICIPANT_INFO,
            "identity": identity,
            "countryCode": None,
            "endpointType": None,
            "region": None,
            "languageId": None,
            "participantId": participant_id,
        },
        "mediaStreams": [_stream(stream) for stream in streams],
        "isMuted": is_muted,
        "isInLobby": is_in_lobby,
        "metadata": metadata,
        "recordingInfo": recording_info,
        "removedState": None,
        "restrictedExperience": None,
        "meetingRole": meeting_role,
        "publishedStates": [],
        "id": participant_id,
    }


def large_gallery(participant_id: str, view_id: str, audio_msi: int, video_msi: int) -> Json:
    """Write the hidden roster entry that stands for the first page of a large gallery."""
    identity = {
        "@odata.type": IDENTITY_SET,
        "application": {
            "@odata.type": IDENTITY,
            "displayName": None,
            "id": view_id,
            "ApplicationType": LARGE_GALLERY,
        },
    }
    metadata = {
        "__platform": {"ui": {"hidden": True}},
        "audienceView": {
            "id": f"{view_id}/1",
            "page": 1,
            "status": "active",
            "type": "lg",
            "aspectRatio": "widescreen",
        },
    }
    return participant(
        participant_id=participant_id,
        identity=identity,
        streams=(
            Stream("audio", audio_msi, "receiveOnly"),
            Stream("video", video_msi, "sendReceive"),
        ),
        is_muted=False,
        is_in_lobby=False,
        meeting_role=None,
        metadata=json.dumps(metadata, separators=(",", ":")),
    )


def recording_info(status: str, initiator: Json) -> Json:
    """Write a recordingInfo; *initiator* is the identitySet of who records."""
    return {
        "@odata.type": RECORDING_INFO,
        "recordingStatus": status,
        "initiator": initiator,
        "initiatedBy": {"@odata.type": PARTICIPANT_INFO, "identity": initiator},
    }


def removed(shown: Mapping[str, Any]) -> Json:
    """Return a roster entry as it is shown once its participant has gone."""
    state = {"@odata.type": REMOVED_STATE, "reason": REMOVED_REASON}
    return {**shown, "removedState": state}


def content_sharing_session(session_id: str, presenter_id: str | None = None) -> Json:
    """Write a contentSharingSession; notifications name no presenter."""
    session: Json = {"@odata.type": CONTENT_SHARING_SESSION, "id": session_id}
    if presenter_id is not None:
        session["presenterParticipantId"] = presenter_id
    return session


def roster_notification(call_id: str, change: RosterChange, *, is_delta: bool) -> Notification:
    """Tell a call of a change of its roster: what changed, or all that it has now."""
    if not is_delta:
        # The documented full roster carries no sequence numbers: absence says who left.
        data = [_notified(entry, "rosterSequenceNumber") for entry in change.participants]
    else:
        delta = {
            "@odata.type": DELTA_PARTICIPANTS,
            "participants": [_notified(entry) for entry in change.changed],
            "sequenceNumber": change.sequence_number,
        }
        data = [delta]
    return Notification(ChangeType.UPDATED, (call_id, "participants"), data)


def sharing_notification(call_id: str, change: ChangeType, session_id: str) -> Notification:
    """Tell a call that a content sharing session began, changed or ended."""
    data = [content_sharing_session(session_id)]
    return Notification(change, (call_id, "contentsharingsessions"), data)


def _stream(stream: Stream) -> Json:
    return {
        "@odata.type": MEDIA_STREAM,
        "mediaType": stream.media_type,
        "label": LABELS[stream.media_type],
        "sourceId": str(stream.source_id),
        "direction": stream.direction,
        "serverMuted": stream.server_muted,
    }


def _notified(entry: Mapping[str, Any], *without: str) -> Json:
    """Leave out what is unset, as the documented notifications do."""
    shown = {key: value for key, value in entry.items() if key not in without and value is not None}
    shown["info"] = {key: value for key, value in entry["info"].items() if value is not None}
    return shown
