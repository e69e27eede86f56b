"""The enumerations of the Graph calls API, as they stand on the wire."""

from __future__ import annotations

from enum import StrEnum


class CallState(StrEnum):
    """The states of a call."""

    INCOMING = "incoming"
    ESTABLISHING = "establishing"
    RINGING = "ringing"
    ESTABLISHED = "established"
    HOLD = "hold"
    TRANSFERRING = "transferring"
    TRANSFER_ACCEPTED = "transferAccepted"
    REDIRECTING = "redirecting"
    TERMINATING = "terminating"
    TERMINATED = "terminated"

    @classmethod
    def parse(cls, text: object) -> CallState | None:
        """Return the state of that name, or None: a newer service may know more of them."""
        return _STATES.get(text) if isinstance(text, str) else None


_STATES = {state.value: state for state in CallState}


class MediaState(StrEnum):
    """The states of one kind of media in a call."""

    ACTIVE = "active"
    INACTIVE = "inactive"


class ChangeType(StrEnum):
    """What a notification says became of its resource."""

    CREATED = "created"
    UPDATED = "updated"
    DELETED = "deleted"


class Modality(StrEnum):
    """The kinds of media a call may have."""

    UNKNOWN = "unknown"
    AUDIO = "audio"
    VIDEO = "video"
    SCREEN_SHARING = "videoBasedScreenSharing"
    DATA = "data"


class Role(StrEnum):
    """Application permissions, as the ``roles`` claim of a token names them."""

    INITIATE = "Calls.Initiate.All"
    INITIATE_GROUP_CALL = "Calls.InitiateGroupCall.All"
    JOIN_GROUP_CALL = "Calls.JoinGroupCall.All"
    JOIN_GROUP_CALL_AS_GUEST = "Calls.JoinGroupCallAsGuest.All"
    ACCESS_MEDIA = "Calls.AccessMedia.All"


ALL_ROLES = tuple(Role)
