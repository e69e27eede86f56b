"""Create call: what a body asks for, told by its members.

Source: Microsoft Graph, create call, its twelve examples, and the call resource type.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

from . import errors
from .enums import Role, RoutingPolicy
from .fields import Fields, Json, typed
from .requests_common import (
    PARTICIPANT_INFO,
    CallOptions,
    MediaConfig,
    Target,
    read_call_options,
    read_distinct,
    read_identity,
    read_media_config,
    read_modalities,
    read_target,
)

MAX_RINGING_S: Final = 115
"""The documented maximum of ringingTimeoutInSeconds."""
MAX_GROUP_TARGETS: Final = 5
"""How many users a group call can be created with."""
SOURCE_KINDS: Final = ("application", "applicationInstance", "guest")
TOKEN_CHARS: Final = 8192
TEXT_CHARS: Final = 1024
"""More than any subject or passcode of the documentation; what is longer is a mistake."""


class CallKind(StrEnum):
    """What a create request asks for, as its members tell."""

    PEER_TO_PEER = "a peer-to-peer call"
    PSTN = "a call to a phone number"
    GROUP = "a group call"
    MEETING = "joining a meeting"
    MEETING_AS_GUEST = "joining a meeting as a guest"

    @property
    def role(self) -> Role:
        """The permission that a call of this kind needs."""
        return _ROLES[self]

    @property
    def is_meeting(self) -> bool:
        """Whether a call of this kind joins a meeting."""
        return self in (CallKind.MEETING, CallKind.MEETING_AS_GUEST)

    @property
    def is_group(self) -> bool:
        """Whether a call of this kind has a roster."""
        return self is CallKind.GROUP or self.is_meeting


_ROLES = {
    CallKind.PEER_TO_PEER: Role.INITIATE,
    CallKind.PSTN: Role.INITIATE,
    CallKind.GROUP: Role.INITIATE_GROUP_CALL,
    CallKind.MEETING: Role.JOIN_GROUP_CALL,
    CallKind.MEETING_AS_GUEST: Role.JOIN_GROUP_CALL_AS_GUEST,
}


@dataclass(frozen=True, slots=True)
class MeetingRef:
    """Which meeting is to be joined, by one of the three kinds of meetingInfo."""

    kind: Literal["organizer", "token", "joinMeetingId"]
    thread_id: str | None = None
    message_id: str | None = None
    reply_chain_message_id: str | None = None
    organizer_id: str | None = None
    organizer_tenant_id: str | None = None
    join_meeting_id: str | None = None
    passcode: str | None = None
    token: str | None = None
    allow_without_host: bool | None = None


@dataclass(frozen=True, slots=True)
class CallRequest:
    """A create-call body that was understood. ``body`` keeps it as it came."""

    body: Json
    kind: CallKind
    callback_uri: str
    tenant_id: str | None
    source: Json | None
    source_kind: str
    source_id: str | None
    source_name: str | None
    source_app_id: str | None
    targets: tuple[Target, ...]
    modalities: tuple[str, ...]
    media: MediaConfig
    ringing_timeout_s: int | None
    meeting: MeetingRef | None
    chat_info: Json | None
    meeting_info: Json | None
    options: CallOptions
    subject: str | None
    routing_policies: tuple[str, ...]

    @property
    def roles(self) -> frozenset[Role]:
        """The permissions that this request needs, all of them.

        Joining a meeting, ``Calls.JoinGroupCalls.Chat`` granted for its thread will do as well.
        """
        needed = {self.kind.role}
        return frozenset(needed | {Role.ACCESS_MEDIA} if self.media.is_app_hosted else needed)


def parse_call_request(body: object) -> CallRequest:
    """Read the body of a create request. What only the service sets is passed over.

    Raises: GraphError 400 naming the member that is missing or of the wrong kind.
    """
    fields = Fields.of_body(body)
    fields.odata_type("call")
    callback_uri = fields.https_uri("callbackUri")
    if callback_uri is None:
        raise fields.missing("callbackUri")
    source = _source(fields)
    targets = fields.each("targets", read_target) or ()
    meeting, chat_info, meeting_info = _meeting(fields)
    kind = _kind(source.kind, targets, meeting)
    ringing_timeout_s = fields.whole("ringingTimeoutInSeconds", 1, MAX_RINGING_S)
    policies = fields.members("routingPolicies", RoutingPolicy) or ()
    return CallRequest(
        body=fields.value,
        kind=kind,
        callback_uri=callback_uri,
        tenant_id=fields.identifier("tenantId"),
        source=source.info,
        source_kind=source.kind,
        source_id=source.id,
        source_name=source.name,
        source_app_id=source.app_id,
        targets=read_distinct(targets, "targets"),
        modalities=read_modalities(fields, "requestedModalities"),
        media=read_media_config(fields.required("mediaConfig")),
        # Both are peer-to-peer calls' alone: elsewhere they would promise what does not happen.
        ringing_timeout_s=None if kind.is_group else ringing_timeout_s,
        routing_policies=() if kind.is_group else tuple(policy.value for policy in policies),
        meeting=meeting,
        chat_info=chat_info,
        meeting_info=meeting_info,
        options=read_call_options(fields, "outgoingCallOptions"),
        subject=fields.text("subject", max_chars=TEXT_CHARS),
    )


@dataclass(frozen=True, slots=True)
class _Source:
    """Who calls: the application itself unless the request says otherwise."""

    info: Json | None = None
    kind: str = "application"
    id: str | None = None
    name: str | None = None
    app_id: str | None = None


def _source(fields: Fields) -> _Source:
    source = fields.fields("source")
    if source is None:
        return _Source()
    source.odata_type(PARTICIPANT_INFO, "invitationParticipantInfo")
    identities = source.fields("identity")
    if identities is None or not any(identities.has(k) for k in identities.value if k[:1] != "@"):
        return _Source()
    # An application instance may name its application beside it.
    instance = identities.has("applicationInstance") and identities.has("application")
    kinds = ("applicationInstance",) if instance else SOURCE_KINDS
    kind, identity, shown = read_identity(identities, kinds)
    application = identities.fields("application")
    return _Source(
        info=typed({**source.value, "identity": shown}, PARTICIPANT_INFO),
        kind=kind,
        id=identity.required_id("id"),
        name=identity.text("displayName"),
        app_id=None if application is None else application.required_id("id"),
    )


def _kind(source_kind: str, targets: tuple[Target, ...], meeting: MeetingRef | None) -> CallKind:
    """Tell what a body asks for. Source: graph-api, create call, decision table."""
    if meeting is not None:
        if targets:
            raise errors.invalid_argument(
                f"targets: expected none where a meeting is joined, got {len(targets)}."
            )
        return CallKind.MEETING_AS_GUEST if source_kind == "guest" else CallKind.MEETING
    if source_kind == "guest":
        raise errors.invalid_argument(
            "source.identity.guest: a guest can join a meeting; expected chatInfo and meetingInfo."
        )
    if not targets:
        raise errors.invalid_argument(
            "targets: expected at least one target, or chatInfo and meetingInfo."
        )
    if len(targets) > MAX_GROUP_TARGETS:
        raise errors.invalid_argument(
            f"targets: expected at most {MAX_GROUP_TARGETS}, got {len(targets)}."
        )
    if len(targets) > 1:
        for index, target in enumerate(targets):
            if target.kind in ("phone", "guest"):
                raise errors.invalid_argument(
                    f"targets[{index}].identity: expected a user or an application in a group"
                    f" call, got a {target.kind}."
                )
        return CallKind.GROUP
    if targets[0].kind == "guest":
        raise errors.invalid_argument(
            "targets[0].identity: expected a user, an application or a phone, got a guest."
        )
    if targets[0].kind != "phone":
        return CallKind.PEER_TO_PEER
    if source_kind != "applicationInstance":
        raise errors.invalid_argument(
            "source.identity.applicationInstance is missing: a phone number can be called by an"
            " application instance alone."
        )
    return CallKind.PSTN


def _meeting(fields: Fields) -> tuple[MeetingRef | None, Json | None, Json | None]:
    """Read meetingInfo and chatInfo: the meeting, and both as they are shown."""
    chat, info = fields.fields("chatInfo"), fields.fields("meetingInfo")
    if chat is not None:
        chat.odata_type("chatInfo")
    if info is None:
        if chat is not None:
            raise errors.invalid_argument("meetingInfo is missing: chatInfo alone does not do.")
        return None, None, None
    kind = info.odata_type(*_MEETING_KINDS, default=_guess_kind(info))
    thread_id = message_id = reply_id = None
    shown_chat = None
    if chat is not None:
        thread_id = chat.required_id("threadId")
        message_id, reply_id = chat.identifier("messageId"), chat.identifier("replyChainMessageId")
        shown_chat = typed({**chat.value, "replyChainMessageId": reply_id}, "chatInfo")
    elif kind == "organizerMeetingInfo":
        raise errors.invalid_argument("chatInfo is missing: organizerMeetingInfo needs its thread.")
    ref = MeetingRef(
        kind=_MEETING_KINDS[kind],
        thread_id=thread_id,
        message_id=message_id,
        reply_chain_message_id=reply_id,
        allow_without_host=(
            info.boolean("allowConversationWithoutHost")
            if info.has("allowConversationWithoutHost")
            else None
        ),
        **_KIND_READERS[kind](info),
    )
    shown = typed(info.value, kind)
    if ref.kind == "organizer":
        _, _, organizer = read_identity(info.required("organizer"), ("user",))
        shown["organizer"] = organizer
    return ref, shown_chat, shown


def _guess_kind(info: Fields) -> str:
    """Tell the kind of a meetingInfo without a type by its members."""
    if "joinMeetingId" in info.value:
        return "joinMeetingIdMeetingInfo"
    return "tokenMeetingInfo" if "token" in info.value else "organizerMeetingInfo"


def _organizer(info: Fields) -> dict[str, str | None]:
    _, user, _ = read_identity(info.required("organizer"), ("user",))
    return {
        "organizer_id": user.required_id("id"),
        "organizer_tenant_id": user.required_id("tenantId"),
    }


def _token(info: Fields) -> dict[str, str | None]:
    token = info.text("token", max_chars=TOKEN_CHARS)
    if not token:
        raise info.missing("token")
    return {"token": token}


def _join_meeting_id(info: Fields) -> dict[str, str | None]:
    printed = info.text("joinMeetingId", max_chars=TEXT_CHARS)
    # Invitations print it in groups: "123 456 789 01".
    identifier = "".join((printed or "").split())
    if not identifier:
        raise info.missing("joinMeetingId")
    return {
        "join_meeting_id": identifier,
        "passcode": info.text("passcode", max_chars=TEXT_CHARS),
    }


_MEETING_KINDS: dict[str, Literal["organizer", "token", "joinMeetingId"]] = {
    "organizerMeetingInfo": "organizer",
    "tokenMeetingInfo": "token",
    "joinMeetingIdMeetingInfo": "joinMeetingId",
}
_KIND_READERS = {
    "organizerMeetingInfo": _organizer,
    "tokenMeetingInfo": _token,
    "joinMeetingIdMeetingInfo": _join_meeting_id,
}
