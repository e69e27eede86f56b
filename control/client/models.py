"""What Graph says of calls, as frozen values: lenient in reading, each with its ``raw`` JSON.

Unknown members of enumerations stay texts: a newer service may have more of them. Numbers and
texts of the wrong kind read as None, never as an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, Self, TypeVar

from ..call_state import ResultInfo
from ..graph.enums import (
    CallDirection,
    CallState,
    MediaDirection,
    MediaState,
    Modality,
    OperationStatus,
    RoutingMode,
    Tone,
)
from ..remote_state import read_result

Json = Mapping[str, Any]
Member = TypeVar("Member", bound=StrEnum)

TYPE_PREFIX: Final = "#microsoft.graph."
IDENTITY_KEYS: Final = (
    "user",
    "guest",
    "phone",
    "application",
    "applicationInstance",
    "encrypted",
    "azureCommunicationServicesUser",
    "onPremises",
    "assertedIdentity",
    "device",
)
"""The members of an identitySet, the one that tells most first. The type is open."""


def text(value: object) -> str | None:
    """Read a text, or None."""
    return value if isinstance(value, str) else None


def mapping(value: object) -> Json:
    """Read an object; what is none is an empty one."""
    return value if isinstance(value, Mapping) else {}


def items(value: object) -> tuple[Json, ...]:
    """Read the objects of a list."""
    return tuple(v for v in value if isinstance(v, Mapping)) if isinstance(value, list) else ()


def texts(value: object) -> tuple[str, ...]:
    """Read the texts of a list."""
    return tuple(v for v in value if isinstance(v, str)) if isinstance(value, list) else ()


def known(kind: type[Member], value: object) -> Member | str | None:
    """Read a member of an enumeration; one that is not known stays a text."""
    if not isinstance(value, str):
        return None
    try:
        return kind(value)
    except ValueError:
        return value


def _number(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    try:
        return int(value)
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class Identity:
    """A user, guest, phone, application, ...: ``kind`` is the member of the identitySet."""

    kind: str
    id: str | None
    display_name: str | None = None
    tenant_id: str | None = None
    raw: Json = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def user(cls, user_id: str, display_name: str | None = None) -> Self:
        """Name a user of the directory."""
        return cls("user", user_id, display_name)

    @classmethod
    def phone(cls, number: str, display_name: str | None = None) -> Self:
        """Name a telephone by its E.164 number.

        Raises: ValueError.
        """
        digits = number.removeprefix("+")
        if not (number.startswith("+") and digits.isascii() and digits.isdigit()):
            raise ValueError(f"expected a number like +14255550123, got {number!r}")
        return cls("phone", number, display_name)

    @classmethod
    def application(cls, app_id: str, display_name: str | None = None) -> Self:
        """Name an application."""
        return cls("application", app_id, display_name)

    @classmethod
    def application_instance(cls, object_id: str, display_name: str | None = None) -> Self:
        """Name the resource account by which an application has a telephone number."""
        return cls("applicationInstance", object_id, display_name)

    @classmethod
    def guest(cls, guest_id: str, display_name: str) -> Self:
        """Name a guest; the id is the caller's to choose."""
        return cls("guest", guest_id, display_name)

    @classmethod
    def read(cls, identity_set: object) -> Self | None:
        """Read an identitySet; None when it names nobody."""
        members = mapping(identity_set)
        others = (key for key in members if key not in IDENTITY_KEYS)
        for kind in (*IDENTITY_KEYS, *others):
            value = members.get(kind)
            if isinstance(value, Mapping):
                tenant_id, name = text(value.get("tenantId")), text(value.get("displayName"))
                return cls(kind, text(value.get("id")), name, tenant_id, members)
        return None

    def to_json(self) -> dict[str, Any]:
        """Write an identitySet."""
        identity: dict[str, Any] = {"@odata.type": f"{TYPE_PREFIX}identity", "id": self.id}
        if self.display_name is not None:
            identity["displayName"] = self.display_name
        if self.tenant_id is not None:
            identity["tenantId"] = self.tenant_id
        return {"@odata.type": f"{TYPE_PREFIX}identitySet", self.kind: identity}


@dataclass(frozen=True, slots=True)
class MediaStream:
    """One stream of a participant; ``source_id`` is what the media platform calls it."""

    media_type: Modality | str | None
    source_id: str | None
    direction: MediaDirection | str | None
    server_muted: bool
    label: str | None
    raw: Json = field(repr=False, compare=False)

    @classmethod
    def read(cls, raw: Json) -> Self:
        """Read a mediaStream."""
        source = raw.get("sourceId")
        return cls(
            known(Modality, raw.get("mediaType")),
            str(source) if isinstance(source, int | str) else None,
            known(MediaDirection, raw.get("direction")),
            raw.get("serverMuted") is True,
            text(raw.get("label")),
            raw,
        )


@dataclass(frozen=True, slots=True)
class Participant:
    """Who is in a call."""

    id: str
    identity: Identity | None
    is_muted: bool
    is_in_lobby: bool
    streams: tuple[MediaStream, ...]
    recording_status: str | None
    metadata: str | None
    roster_sequence_number: int | None
    raw: Json = field(repr=False, compare=False)

    @classmethod
    def read(cls, raw: Json) -> Self:
        """Read a participant."""
        return cls(
            text(raw.get("id")) or "",
            Identity.read(mapping(raw.get("info")).get("identity")),
            raw.get("isMuted") is True,
            raw.get("isInLobby") is True,
            tuple(MediaStream.read(item) for item in items(raw.get("mediaStreams"))),
            text(mapping(raw.get("recordingInfo")).get("recordingStatus")),
            text(raw.get("metadata")),
            _number(raw.get("rosterSequenceNumber")),
            raw,
        )

    @property
    def display_name(self) -> str | None:
        """What they are called."""
        return None if self.identity is None else self.identity.display_name

    @property
    def source_ids(self) -> tuple[str, ...]:
        """The media source ids of all their streams."""
        return tuple(s.source_id for s in self.streams if s.source_id is not None)


@dataclass(frozen=True, slots=True)
class CallRoute:
    """How a call was sent on before it came here."""

    original: Identity | None
    final: Identity | None
    routing_type: str | None


@dataclass(frozen=True, slots=True)
class IncomingContext:
    """What else is known of an incoming call. ``observed`` says that it is there to be recorded."""

    source_participant_id: str | None
    observed_participant_id: str | None
    on_behalf_of: Identity | None
    transferor: Identity | None


@dataclass(frozen=True, slots=True)
class ChatInfo:
    """The chat of a meeting, by which it can be joined again."""

    thread_id: str
    message_id: str | None
    reply_chain_message_id: str | None

    @classmethod
    def read(cls, value: object) -> Self | None:
        """Read a chatInfo; None without a thread."""
        raw = mapping(value)
        thread_id = text(raw.get("threadId"))
        if thread_id is None:
            return None
        return cls(thread_id, text(raw.get("messageId")), text(raw.get("replyChainMessageId")))


@dataclass(frozen=True, slots=True)
class CallInfo:
    """A call, as the service describes it."""

    id: str
    state: CallState | str | None
    direction: CallDirection | str | None
    tenant_id: str | None
    call_chain_id: str | None
    my_participant_id: str | None
    source: Identity | None
    targets: tuple[Identity, ...]
    answered_by: Identity | None
    modalities: tuple[str, ...]
    audio: MediaState | str | None
    chat: ChatInfo | None
    meeting: Json | None
    routes: tuple[CallRoute, ...]
    incoming: IncomingContext | None
    subject: str | None
    result: ResultInfo | None
    termination_reason: str | None
    is_app_hosted: bool
    raw: Json = field(repr=False, compare=False)

    @classmethod
    def read(cls, raw: Json) -> Self:
        """Read a call."""
        targets = (_participant(target) for target in items(raw.get("targets")))
        context = raw.get("incomingContext")
        meeting = raw.get("meetingInfo")
        return cls(
            id=text(raw.get("id")) or "",
            state=known(CallState, raw.get("state")),
            direction=known(CallDirection, raw.get("direction")),
            tenant_id=text(raw.get("tenantId")),
            call_chain_id=text(raw.get("callChainId")),
            my_participant_id=text(raw.get("myParticipantId")),
            source=_participant(raw.get("source")),
            targets=tuple(target for target in targets if target is not None),
            answered_by=_participant(raw.get("answeredBy")),
            modalities=texts(raw.get("requestedModalities")),
            audio=known(MediaState, mapping(raw.get("mediaState")).get("audio")),
            chat=ChatInfo.read(raw.get("chatInfo")),
            meeting=meeting if isinstance(meeting, Mapping) else None,
            routes=tuple(_route(route) for route in items(raw.get("callRoutes"))),
            incoming=_context(context) if isinstance(context, Mapping) else None,
            subject=text(raw.get("subject")),
            result=read_result(raw.get("resultInfo")),
            termination_reason=text(raw.get("terminationReason")),
            is_app_hosted=str(mapping(raw.get("mediaConfig")).get("@odata.type", "")).endswith(
                "appHostedMediaConfig"
            ),
            raw=raw,
        )


def _participant(info: object) -> Identity | None:
    return Identity.read(mapping(info).get("identity"))


def _route(raw: Json) -> CallRoute:
    original, final = Identity.read(raw.get("original")), Identity.read(raw.get("final"))
    return CallRoute(original, final, text(raw.get("routingType")))


def _context(raw: Json) -> IncomingContext:
    return IncomingContext(
        text(raw.get("sourceParticipantId")),
        text(raw.get("observedParticipantId")),
        Identity.read(raw.get("onBehalfOf")),
        Identity.read(raw.get("transferor")),
    )


@dataclass(frozen=True, slots=True)
class Operation:
    """A commsOperation: what the service does for a call, and how that went."""

    id: str
    type: str
    """The type without its namespace, for example ``playPromptOperation``."""
    status: OperationStatus | str | None
    client_context: str | None
    completion_reason: str | None
    result: ResultInfo | None
    raw: Json = field(repr=False, compare=False)

    @property
    def is_final(self) -> bool:
        """Whether nothing more will come of it."""
        return self.status in (OperationStatus.COMPLETED, OperationStatus.FAILED)


@dataclass(frozen=True, slots=True)
class RecordOperation(Operation):
    """What recording a response came to; the token is good for the location alone."""

    @property
    def recording_location(self) -> str | None:
        """Where the clip is."""
        return text(self.raw.get("recordingLocation")) or None

    @property
    def recording_access_token(self) -> str | None:
        """What fetches it."""
        return text(self.raw.get("recordingAccessToken")) or None


@dataclass(frozen=True, slots=True)
class InviteParticipantsOperation(Operation):
    """What an invitation came to."""

    @property
    def participants(self) -> tuple[Identity, ...]:
        """Who was invited."""
        invited = (_participant(item) for item in items(self.raw.get("participants")))
        return tuple(identity for identity in invited if identity is not None)


@dataclass(frozen=True, slots=True)
class MuteParticipantsOperation(Operation):
    """What muting several participants came to."""

    @property
    def participants(self) -> tuple[str, ...]:
        """The ids of those who were to be muted."""
        return texts(self.raw.get("participants"))


OPERATIONS: Final[Mapping[str, type[Operation]]] = {
    "recordOperation": RecordOperation,
    "inviteParticipantsOperation": InviteParticipantsOperation,
    "muteParticipantsOperation": MuteParticipantsOperation,
}


def read_operation(raw: Json) -> Operation:
    """Read a commsOperation of any type; recordings and invitations have more members."""
    kind = str(raw.get("@odata.type", "")).removeprefix(TYPE_PREFIX)
    status = raw.get("status")
    return OPERATIONS.get(kind, Operation)(
        text(raw.get("id")) or "",
        kind,
        OperationStatus.parse(status) or text(status),
        text(raw.get("clientContext")),
        text(raw.get("completionReason")),
        read_result(raw.get("resultInfo")),
        raw,
    )


@dataclass(frozen=True, slots=True)
class AudioRoutingGroup:
    """Who is heard by whom, apart from the default mix; ids are those of participants."""

    id: str
    routing_mode: RoutingMode | str | None
    sources: tuple[str, ...]
    receivers: tuple[str, ...]
    raw: Json = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def read(cls, raw: Json) -> Self:
        """Read an audioRoutingGroup."""
        return cls(
            text(raw.get("id")) or "",
            known(RoutingMode, raw.get("routingMode")),
            texts(raw.get("sources")),
            texts(raw.get("receivers")),
            raw,
        )


@dataclass(frozen=True, slots=True)
class ContentSharingSession:
    """Somebody shows their screen."""

    id: str
    presenter_participant_id: str | None
    raw: Json = field(repr=False, compare=False)

    @classmethod
    def read(cls, raw: Json) -> Self:
        """Read a contentSharingSession."""
        return cls(text(raw.get("id")) or "", text(raw.get("presenterParticipantId")), raw)


@dataclass(frozen=True, slots=True)
class ToneInfo:
    """A key that somebody pressed."""

    tone: Tone | str
    sequence_id: int | None

    @property
    def key(self) -> str | None:
        """The character on the key, for example ``#``; None for a flash, or an unknown tone."""
        return self.tone.key if isinstance(self.tone, Tone) else None

    @classmethod
    def read(cls, raw: Json) -> Self:
        """Read a toneInfo."""
        return cls(known(Tone, raw.get("tone")) or "", _number(raw.get("sequenceId")))
