"""What several requests hold: media, targets, options.

Source: Microsoft Graph, mediaInfo, invitationParticipantInfo, mediaConfig, callOptions.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from . import errors
from .enums import EndpointType, Modality
from .fields import Fields, Json, typed

APP_HOSTED: Final = "appHostedMediaConfig"
SERVICE_HOSTED: Final = "serviceHostedMediaConfig"
INVITATION: Final = "invitationParticipantInfo"
PARTICIPANT_INFO: Final = "participantInfo"

TARGET_KINDS: Final = ("user", "phone", "application", "applicationInstance", "guest")
"""The identities that can be invited, as identitySets name them."""


@dataclass(frozen=True, slots=True)
class MediaInfo:
    """Audio to fetch. ``resource_id`` names it in the cache; without one it is not cached."""

    uri: str
    resource_id: str | None


@dataclass(frozen=True, slots=True)
class Target:
    """Who is to be reached. ``info`` is the typed invitationParticipantInfo that is shown."""

    info: Json
    kind: str
    id: str
    display_name: str | None
    hidden: bool
    replaces_call_id: str | None
    in_default_mix: bool
    endpoint_type: str | None = None
    participant_id: str | None = None


@dataclass(frozen=True, slots=True)
class CallOptions:
    """The optional features of a call; ``raw`` is what is shown of them."""

    raw: Json | None = None
    delta_roster: bool = False
    content_sharing_notifications: bool = False
    hide_bot_after_escalation: bool = False
    interactive_roster: bool = False


@dataclass(frozen=True, slots=True)
class MediaConfig:
    """Who carries the media of a call; ``shown`` is the configuration as it came, typed."""

    shown: Json
    is_app_hosted: bool
    blob: str | None
    prefetch: tuple[MediaInfo, ...]
    in_default_mix: bool


def read_media_info(fields: Fields) -> MediaInfo:
    """Read a mediaInfo."""
    fields.odata_type("mediaInfo")
    uri = fields.https_uri("uri")
    if uri is None:
        raise fields.missing("uri")
    return MediaInfo(uri, fields.identifier("resourceId"))


def read_prompt(fields: Fields) -> tuple[MediaInfo, ...]:
    """Read a mediaPrompt: its media as many times as it loops."""
    fields.odata_type("mediaPrompt")
    times = fields.whole("loop", 1, MAX_PROMPT_LOOPS)
    return (read_media_info(fields.required("mediaInfo")),) * (times or 1)


MAX_PROMPT_LOOPS: Final = 1024
"""The most that an example of mediaPrompt shows."""


def read_target(fields: Fields) -> Target:
    """Read a participantInfo or invitationParticipantInfo. Both types are taken for a target."""
    fields.odata_type(INVITATION, PARTICIPANT_INFO)
    kind, identity, set_shown = read_identity(fields.required("identity"), TARGET_KINDS)
    identifier = identity.phone("id") if kind == "phone" else identity.required_id("id")
    hidden = fields.boolean("hidden")
    outside_mix = fields.boolean("removeFromDefaultAudioRoutingGroup")
    endpoint = fields.member("endpointType", EndpointType)
    return Target(
        info=typed({**fields.value, "identity": set_shown}, INVITATION),
        kind=kind,
        id=identifier,
        display_name=identity.text("displayName"),
        hidden=hidden,
        replaces_call_id=fields.identifier("replacesCallId"),
        in_default_mix=not outside_mix,
        endpoint_type=None if endpoint is None else endpoint.value,
        participant_id=fields.identifier("participantId"),
    )


def read_identity(fields: Fields, kinds: Iterable[str]) -> tuple[str, Fields, Json]:
    """Return the one identity of an identitySet: its kind, its members, and the set, typed."""
    fields.odata_type("identitySet", "communicationsIdentitySet")
    known = tuple(kinds)
    found = [kind for kind in known if fields.has(kind)]
    if len(found) != 1:
        raise errors.invalid_argument(
            f"{fields.where}: expected one of {', '.join(known)},"
            f" got {' and '.join(found) or 'none'}."
        )
    shown: Json = {}
    for key, value in fields.value.items():
        if key == "@odata.type":
            continue
        if isinstance(value, dict):
            shown[key] = typed(value, "identity")
            Fields(value, fields.path(key)).odata_type(
                "identity", "userIdentity", "endpointIdentity"
            )
        else:
            shown[key] = value
    return found[0], fields.required(found[0]), typed(shown, "identitySet")


def read_distinct(targets: tuple[Target, ...], where: str) -> tuple[Target, ...]:
    """Return *targets*: the same identity cannot be invited twice."""
    seen: dict[tuple[str, str], int] = {}
    for index, target in enumerate(targets):
        first = seen.setdefault((target.kind, target.id), index)
        if first != index:
            raise errors.invalid_argument(
                f"{where}[{index}]: the same identity as {where}[{first}];"
                " it cannot be invited twice."
            )
    return targets


def read_modalities(fields: Fields, name: str) -> tuple[str, ...]:
    """Read a list of modalities; audio where there is none."""
    modalities = fields.members(name, Modality)
    if not modalities:
        return (Modality.AUDIO.value,)
    return tuple(dict.fromkeys(modality.value for modality in modalities))


def read_media_config(fields: Fields) -> MediaConfig:
    """Read a mediaConfig. Where the type is left out, the blob tells."""
    default = APP_HOSTED if "blob" in fields.value else SERVICE_HOSTED
    kind = fields.odata_type(APP_HOSTED, SERVICE_HOSTED, default=default)
    outside_mix = fields.boolean("removeFromDefaultAudioGroup")
    blob = fields.text("blob")
    if kind == APP_HOSTED and not blob:
        raise fields.missing("blob")
    return MediaConfig(
        shown=typed(fields.value, kind),
        is_app_hosted=kind == APP_HOSTED,
        blob=blob if kind == APP_HOSTED else None,
        prefetch=fields.each("preFetchMedia", read_media_info) or (),
        in_default_mix=not outside_mix,
    )


def read_call_options(fields: Fields, name: str) -> CallOptions:
    """Read callOptions, of the type that belongs to the request."""
    options = fields.fields("callOptions")
    if options is None:
        return CallOptions()
    options.odata_type(name)
    return CallOptions(
        raw=typed(options.value, name),
        delta_roster=options.boolean("isDeltaRosterEnabled"),
        content_sharing_notifications=options.boolean("isContentSharingNotificationEnabled"),
        hide_bot_after_escalation=options.boolean("hideBotAfterEscalation"),
        interactive_roster=options.boolean("isInteractiveRosterEnabled"),
    )
