"""The enumerations of the Graph calls API, as they stand on the wire.

Source: Microsoft Graph, the enum pages of the calls API. ``unknownFutureValue`` is in none of them:
nobody sends it, and a reader treats every member it does not know alike.
"""

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


class CallDirection(StrEnum):
    """Who began a call, seen from the application."""

    INCOMING = "incoming"
    OUTGOING = "outgoing"


class MediaState(StrEnum):
    """The states of one kind of media in a call."""

    ACTIVE = "active"
    INACTIVE = "inactive"


class MediaDirection(StrEnum):
    """Which way a participant's media stream goes."""

    INACTIVE = "inactive"
    SEND_ONLY = "sendOnly"
    RECEIVE_ONLY = "receiveOnly"
    SEND_RECEIVE = "sendReceive"


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


class RoutingPolicy(StrEnum):
    """What may become of a peer-to-peer call that the callee does not take."""

    NONE = "none"
    NO_MISSED_CALL = "noMissedCall"
    DISABLE_FORWARDING_EXCEPT_PHONE = "disableForwardingExceptPhone"
    DISABLE_FORWARDING = "disableForwarding"
    PREFER_SKYPE_FOR_BUSINESS = "preferSkypeForBusiness"


class RoutingType(StrEnum):
    """Why a call came to another than it was meant for."""

    FORWARDED = "forwarded"
    LOOKUP = "lookup"
    SELF_FORK = "selfFork"


class RoutingMode(StrEnum):
    """How many receivers an audio routing group has."""

    ONE_TO_ONE = "oneToOne"
    MULTICAST = "multicast"


class EndpointType(StrEnum):
    """The kinds of endpoint a participant may be reached at."""

    DEFAULT = "default"
    VOICEMAIL = "voicemail"
    SKYPE_FOR_BUSINESS = "skypeForBusiness"
    SKYPE_FOR_BUSINESS_VOIP_PHONE = "skypeForBusinessVoipPhone"


class ScreenSharingRole(StrEnum):
    """What an application does in screen sharing."""

    VIEWER = "viewer"
    SHARER = "sharer"


class RejectReason(StrEnum):
    """Why an incoming call is rejected."""

    NONE = "none"
    BUSY = "busy"
    FORBIDDEN = "forbidden"


class RecordingStatus(StrEnum):
    """Whether an application records."""

    UNKNOWN = "unknown"
    NOT_RECORDING = "notRecording"
    RECORDING = "recording"
    FAILED = "failed"


class CallDisposition(StrEnum):
    """How a redirect treats its targets; deprecated, and their number tells."""

    DEFAULT = "default"
    SIMULTANEOUS_RING = "simultaneousRing"
    FORWARD = "forward"


class TranscriptionState(StrEnum):
    """Whether a call is transcribed."""

    NOT_STARTED = "notStarted"
    ACTIVE = "active"
    INACTIVE = "inactive"


class AutoAdmittedUsers(StrEnum):
    """Who does not wait in the lobby of a meeting."""

    EVERYONE_IN_COMPANY = "everyoneInCompany"
    EVERYONE = "everyone"


class OperationStatus(StrEnum):
    """How far an operation is; COMPLETED and FAILED are final."""

    NOT_STARTED = "notStarted"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"

    @property
    def is_final(self) -> bool:
        """Whether nothing follows."""
        return self in (OperationStatus.COMPLETED, OperationStatus.FAILED)

    @classmethod
    def parse(cls, text: object) -> OperationStatus | None:
        """Return the status of that name, in any case: examples write both ``Running`` and this."""
        return _STATUSES.get(text.casefold()) if isinstance(text, str) else None


_STATUSES = {status.value.casefold(): status for status in OperationStatus}


class PlayReason(StrEnum):
    """Why a prompt or a row of tones ended: playPrompt- and sendDtmfCompletionReason."""

    UNKNOWN = "unknown"
    SUCCEEDED = "completedSuccessfully"
    CANCELED = "mediaOperationCanceled"


class RecordReason(StrEnum):
    """Why a recording ended: recordCompletionReason."""

    NONE = "none"
    CANCELED = "operationCanceled"
    STOP_TONE = "stopToneDetected"
    MAX_DURATION = "maxRecordDurationReached"
    INITIAL_SILENCE = "initialSilenceTimeout"
    MAX_SILENCE = "maxSilenceTimeout"
    PROMPT_FAILED = "playPromptFailed"
    BEEP_FAILED = "playBeepFailed"
    MEDIA_TIMEOUT = "mediaReceiveTimeout"
    UNSPECIFIED = "unspecifiedError"


class Tone(StrEnum):
    """A key of a phone; :attr:`key` is what is printed on it."""

    TONE0 = "tone0"
    TONE1 = "tone1"
    TONE2 = "tone2"
    TONE3 = "tone3"
    TONE4 = "tone4"
    TONE5 = "tone5"
    TONE6 = "tone6"
    TONE7 = "tone7"
    TONE8 = "tone8"
    TONE9 = "tone9"
    STAR = "star"
    POUND = "pound"
    A = "a"
    B = "b"
    C = "c"
    D = "d"
    FLASH = "flash"

    @property
    def key(self) -> str | None:
        """The character on the key; None for a hook flash, which has none."""
        return _KEYS[self]

    @classmethod
    def of_key(cls, key: str) -> Tone | None:
        """Return the tone of the key with that character, or None."""
        return _TONES.get(key.upper())


_KEYS: dict[Tone, str | None] = {
    **{Tone(f"tone{digit}"): str(digit) for digit in range(10)},
    **{Tone(letter): letter.upper() for letter in "abcd"},
    Tone.STAR: "*",
    Tone.POUND: "#",
    Tone.FLASH: None,
}
_TONES = {key: tone for tone, key in _KEYS.items() if key is not None}
KEYPAD = "0123456789*#ABCD"
"""The characters of the sixteen keys."""


class Role(StrEnum):
    """Application permissions, as the ``roles`` claim of a token names them."""

    INITIATE = "Calls.Initiate.All"
    INITIATE_GROUP_CALL = "Calls.InitiateGroupCall.All"
    JOIN_GROUP_CALL = "Calls.JoinGroupCall.All"
    JOIN_GROUP_CALL_AS_GUEST = "Calls.JoinGroupCallAsGuest.All"
    ACCESS_MEDIA = "Calls.AccessMedia.All"
    CALL_RECORDS_READ = "CallRecords.Read.All"
    PSTN_CALLS_READ = "CallRecord-PstnCalls.Read.All"
    JOIN_GROUP_CALLS_CHAT = "Calls.JoinGroupCalls.Chat"


ALL_ROLES = tuple(role for role in Role if role is not Role.JOIN_GROUP_CALLS_CHAT)
"""What an application may be given for a whole tenant; ``.Chat`` is granted for each thread."""
