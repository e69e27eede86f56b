"""The bodies of call requests, from typed arguments. Pure.

Source: Microsoft Graph, create call (all twelve examples) and the actions of the call resource.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from ..graph.joinurl import SCHEDULED_MESSAGE_ID, JoinInfo
from .models import TYPE_PREFIX, Identity

Json: TypeAlias = dict[str, Any]

AUDIO: Final = ("audio",)


@dataclass(frozen=True, slots=True)
class Prompt:
    """A WAV file (16 kHz, 16 bit, mono) that the service fetches and plays.

    The service keeps what it fetched under ``resource_id``: use the same ``Prompt`` again and it is
    not fetched again; a new one, with a new id, is.
    """

    uri: str
    resource_id: str = field(default_factory=lambda: str(uuid.uuid4()))

    def media_info(self) -> Json:
        """Write a mediaInfo."""
        return {"uri": self.uri, "resourceId": self.resource_id}

    def to_json(self) -> Json:
        """Write a mediaPrompt."""
        info = {"@odata.type": f"{TYPE_PREFIX}mediaInfo", **self.media_info()}
        return {"@odata.type": f"{TYPE_PREFIX}mediaPrompt", "mediaInfo": info}


def as_prompt(prompt: Prompt | str) -> Prompt:
    """Return *prompt*; a text is an address.

    Raises: ValueError on a text that is none.
    """
    if isinstance(prompt, Prompt):
        return prompt
    if "://" not in prompt:
        raise ValueError(f"expected an https address, or a Path for a file, got {prompt!r}")
    return Prompt(prompt)


@dataclass(frozen=True, slots=True)
class ServiceHosted:
    """Media of which the service plays prompts and records clips. *prefetch* is got ready."""

    prefetch: Sequence[Prompt] = ()
    in_default_mix: bool = True

    def to_json(self) -> Json:
        """Write a serviceHostedMediaConfig."""
        config: Json = {"@odata.type": f"{TYPE_PREFIX}serviceHostedMediaConfig"}
        if self.prefetch:
            config["preFetchMedia"] = [prompt.media_info() for prompt in self.prefetch]
        return _with_mix(config, self.in_default_mix)


@dataclass(frozen=True, slots=True)
class AppHosted:
    """Media that comes to this process, as *blob* says. The blob holds a secret."""

    blob: str = field(repr=False)
    in_default_mix: bool = True

    def to_json(self) -> Json:
        """Write an appHostedMediaConfig."""
        config = {"@odata.type": f"{TYPE_PREFIX}appHostedMediaConfig", "blob": self.blob}
        return _with_mix(config, self.in_default_mix)


Media: TypeAlias = ServiceHosted | AppHosted


def _with_mix(config: Json, in_default_mix: bool) -> Json:
    if not in_default_mix:
        config["removeFromDefaultAudioGroup"] = True
    return config


@dataclass(frozen=True, slots=True)
class Options:
    """What a bot wants to be told, and how it shows. None leaves the choice to the service."""

    delta_roster: bool | None = None
    content_sharing: bool | None = None
    hide_after_escalation: bool | None = None
    interactive_roster: bool | None = None

    def to_json(self, kind: str) -> Json | None:
        """Write callOptions of that *kind*, or None when nothing was chosen."""
        chosen = {
            "isDeltaRosterEnabled": self.delta_roster,
            "isContentSharingNotificationEnabled": self.content_sharing,
            "hideBotAfterEscalation": self.hide_after_escalation,
            "isInteractiveRosterEnabled": self.interactive_roster,
        }
        said = {name: value for name, value in chosen.items() if value is not None}
        return {"@odata.type": TYPE_PREFIX + kind, **said} if said else None


@dataclass(frozen=True, slots=True)
class Invitee:
    """Whom to invite, and how they join. ``replaces_call_id`` moves their call into this one."""

    identity: Identity
    hidden: bool = False
    replaces_call_id: str | None = None
    in_default_mix: bool = True
    endpoint_type: str | None = None

    def to_json(self) -> Json:
        """Write an invitationParticipantInfo."""
        info: Json = {
            "@odata.type": f"{TYPE_PREFIX}invitationParticipantInfo",
            "identity": self.identity.to_json(),
        }
        if self.endpoint_type is not None:
            info["endpointType"] = self.endpoint_type
        if self.replaces_call_id is not None:
            info["replacesCallId"] = self.replaces_call_id
        if self.hidden:
            info["hidden"] = True
        if not self.in_default_mix:
            info["removeFromDefaultAudioRoutingGroup"] = True
        return info


Target: TypeAlias = Identity | Invitee


def as_invitee(target: Target) -> Invitee:
    """Return *target*; an identity is invited without further wishes."""
    return Invitee(target) if isinstance(target, Identity) else target


def invitations(targets: Iterable[Target]) -> list[Json]:
    """Write a list of invitationParticipantInfo."""
    return [as_invitee(target).to_json() for target in targets]


def participant_info(identity: Identity) -> Json:
    """Write a participantInfo."""
    return {"@odata.type": f"{TYPE_PREFIX}participantInfo", "identity": identity.to_json()}


def call_body(
    *,
    callback_uri: str,
    media: Media,
    targets: Sequence[Target] = (),
    source: Identity | None = None,
    tenant_id: str | None = None,
    subject: str | None = None,
    modalities: Sequence[str] = AUDIO,
    ringing_timeout_s: int | None = None,
    routing_policies: Sequence[str] = (),
    options: Options | None = None,
) -> Json:
    """Return the body that creates a call: to one target peer to peer, to several a group call.

    A telephone is called from an application instance, which *source* has to be then.
    """
    body: Json = {"@odata.type": f"{TYPE_PREFIX}call", "callbackUri": callback_uri}
    if source is not None:
        body["source"] = participant_info(source)
    if targets:
        body["targets"] = invitations(targets)
    body["requestedModalities"] = list(modalities)
    body["mediaConfig"] = media.to_json()
    call_options = None if options is None else options.to_json("outgoingCallOptions")
    further = {
        "callOptions": call_options,
        "tenantId": tenant_id,
        "subject": subject,
        "ringingTimeoutInSeconds": ringing_timeout_s,
        "routingPolicies": list(routing_policies) or None,
    }
    return {**body, **{name: value for name, value in further.items() if value is not None}}


@dataclass(frozen=True, slots=True)
class Meeting:
    """A meeting to join: what its link says, or a token for it."""

    info: JoinInfo = field(default_factory=JoinInfo)
    token: str | None = field(default=None, repr=False)
    allow_without_host: bool = True

    def members(self) -> Json:
        """Write chatInfo and meetingInfo.

        Raises: ValueError when neither thread, join id nor token is there.
        """
        info = self.info
        chat = _chat_info(info)
        if self.token is not None:
            return {**chat, "meetingInfo": self._meeting("tokenMeetingInfo", token=self.token)}
        if info.join_meeting_id is not None:
            meeting: Json = {
                "@odata.type": f"{TYPE_PREFIX}joinMeetingIdMeetingInfo",
                "joinMeetingId": info.join_meeting_id,
                "passcode": info.passcode,
            }
            return {"meetingInfo": meeting}
        if info.thread_id is None or info.organizer_id is None:
            raise ValueError("expected a thread and its organizer, a join meeting id or a token")
        organizer = Identity("user", info.organizer_id, None, info.tenant_id).to_json()
        return {**chat, "meetingInfo": self._meeting("organizerMeetingInfo", organizer=organizer)}

    def _meeting(self, kind: str, **members: Any) -> Json:
        return {
            "@odata.type": TYPE_PREFIX + kind,
            **members,
            "allowConversationWithoutHost": self.allow_without_host,
        }


def _chat_info(info: JoinInfo) -> Json:
    if info.thread_id is None:
        return {}
    chat: Json = {
        "@odata.type": f"{TYPE_PREFIX}chatInfo",
        "threadId": info.thread_id,
        "messageId": info.message_id or SCHEDULED_MESSAGE_ID,
    }
    if info.reply_chain_message_id is not None:
        chat["replyChainMessageId"] = info.reply_chain_message_id
    return {"chatInfo": chat}


def with_context(body: Json, client_context: str | None) -> Json:
    """Return *body* with the clientContext, which the operation's notification repeats."""
    return body if client_context is None else {**body, "clientContext": client_context}
