"""The call resource: what a create request asks for, and the JSON a call is shown as.

Source: Microsoft Graph, call resource type and create call (examples 1 and 2).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

from . import errors
from .enums import CallState, Modality, Role

Json = dict[str, Any]

MAX_RINGING_S = 115
"""The documented maximum of ringingTimeoutInSeconds."""

MAX_URI_CHARS = 2048

CALL = "#microsoft.graph.call"
PARTICIPANT_INFO = "#microsoft.graph.participantInfo"
INVITATION = "#microsoft.graph.invitationParticipantInfo"
IDENTITY_SET = "#microsoft.graph.identitySet"
IDENTITY = "#microsoft.graph.identity"
APP_HOSTED = "#microsoft.graph.appHostedMediaConfig"
SERVICE_HOSTED = "#microsoft.graph.serviceHostedMediaConfig"
RESULT_INFO = "#microsoft.graph.resultInfo"
MEDIA_STATE = "#microsoft.graph.callMediaState"


class CallKind(StrEnum):
    """What a create request asks for, as its members tell."""

    PEER_TO_PEER = "a peer-to-peer call to a user"
    PSTN = "a call to a phone number"
    GROUP = "a group call"
    MEETING = "joining a meeting"
    MEETING_AS_GUEST = "joining a meeting as a guest"

    @property
    def role(self) -> Role:
        """The permission that a call of this kind needs."""
        return _ROLES[self]


_ROLES = {
    CallKind.PEER_TO_PEER: Role.INITIATE,
    CallKind.PSTN: Role.INITIATE,
    CallKind.GROUP: Role.INITIATE_GROUP_CALL,
    CallKind.MEETING: Role.JOIN_GROUP_CALL,
    CallKind.MEETING_AS_GUEST: Role.JOIN_GROUP_CALL_AS_GUEST,
}


@dataclass(frozen=True, slots=True)
class CallRequest:
    """A create-call body that was understood. ``body`` keeps it as it came."""

    body: Json
    kind: CallKind
    is_app_hosted: bool
    callback_uri: str
    tenant_id: str | None
    source: Json | None
    source_app_id: str | None
    targets: tuple[Json, ...]
    target_user_ids: tuple[str, ...]
    modalities: tuple[str, ...]
    media_config: Json
    blob: str | None
    ringing_timeout_s: int | None

    @property
    def roles(self) -> frozenset[Role]:
        """The permissions that this request needs, all of them."""
        needed = {self.kind.role}
        return frozenset(needed | {Role.ACCESS_MEDIA} if self.is_app_hosted else needed)


def parse_call_request(body: object) -> CallRequest:
    """Read the body of a create request.

    Raises: GraphError 400 naming the member that is missing or of the wrong kind.
    """
    if not isinstance(body, dict):
        raise errors.invalid_argument("The request body must be a JSON object: a call.")
    source = _optional_object(body, "source")
    source_identity = _optional_object(source or {}, "identity", "source") or {}
    targets = _targets(body)
    media_config = _object(body, "mediaConfig")
    is_app_hosted = _is_app_hosted(media_config)
    return CallRequest(
        body=body,
        kind=_kind(body, source_identity, targets),
        is_app_hosted=is_app_hosted,
        callback_uri=_callback_uri(body),
        tenant_id=_optional_text(body, "tenantId"),
        source=source,
        source_app_id=_identity_id(source_identity, "application", "source.identity"),
        targets=targets,
        target_user_ids=tuple(
            user_id
            for index, target in enumerate(targets)
            if (user_id := _identity_id(target["identity"], "user", f"targets[{index}].identity"))
        ),
        modalities=_modalities(body),
        media_config=media_config,
        blob=_text(media_config, "blob", "mediaConfig") if is_app_hosted else None,
        ringing_timeout_s=_ringing_timeout(body),
    )


@dataclass(frozen=True, slots=True)
class CallIdentity:
    """What the service gives a call when it is made."""

    call_id: str
    chain_id: str
    participant_id: str
    tenant_id: str
    app_id: str
    app_name: str


def call_resource(request: CallRequest, identity: CallIdentity, media_config: Json) -> Json:
    """Build the resource of a new call, with every documented member; null where unset.

    *media_config* is what is shown of the request's own (a blob without its secret).
    """
    resource: Json = {
        "@odata.type": CALL,
        "state": CallState.ESTABLISHING.value,
        "direction": "outgoing",
        "callbackUri": request.callback_uri,
        "callChainId": identity.chain_id,
        "callRoutes": [],
        "source": _shown_source(request, identity),
        "targets": [_typed_participant(target, INVITATION) for target in request.targets],
        "requestedModalities": list(request.modalities),
        "activeModalities": [],
        "mediaConfig": media_config,
        "routingPolicies": request.body.get("routingPolicies") or [],
        "tenantId": identity.tenant_id,
        "myParticipantId": identity.participant_id,
        "id": identity.call_id,
        "subject": request.body.get("subject"),
        "terminationReason": None,
        "ringingTimeoutInSeconds": request.ringing_timeout_s,
        "mediaState": None,
        "resultInfo": None,
        "answeredBy": None,
        "chatInfo": request.body.get("chatInfo"),
        "meetingInfo": request.body.get("meetingInfo"),
        "transcription": None,
        "meetingCapability": None,
        "toneInfo": None,
    }
    if request.body.get("callOptions") is not None:
        resource["callOptions"] = request.body["callOptions"]
    return resource


def with_context(resource: Mapping[str, Any], graph_base_url: str, version: str) -> Json:
    """Return *resource* with the ``@odata.context`` of a single call, after its id."""
    shown: Json = {}
    root = "app" if version == "beta" else "communications"
    for key, value in resource.items():
        shown[key] = value
        if key == "id":
            shown["@odata.context"] = f"{graph_base_url}/{version}/$metadata#{root}/calls/$entity"
    return shown


def user_participant(user_id: str, display_name: str) -> Json:
    """Describe a user of the directory as a participantInfo."""
    return _full_participant({"user": _identity(user_id, display_name)})


def _identity(identifier: str, display_name: str) -> Json:
    return {"@odata.type": IDENTITY, "displayName": display_name, "id": identifier}


def _full_participant(identities: Json) -> Json:
    return {
        "@odata.type": PARTICIPANT_INFO,
        "identity": {"@odata.type": IDENTITY_SET, **identities},
        "countryCode": None,
        "endpointType": None,
        "region": None,
        "languageId": None,
    }


def _shown_source(request: CallRequest, identity: CallIdentity) -> Json:
    """Echo the source as it was given (example 2), or name the application (example 1)."""
    if request.source is not None and request.source.get("identity"):
        return _typed_participant(request.source, PARTICIPANT_INFO)
    return _full_participant({"application": _identity(identity.app_id, identity.app_name)})


def _typed_participant(info: Mapping[str, Any], odata_type: str) -> Json:
    """Fill in the types that official clients leave out where the position tells them."""
    identities = {
        key: {"@odata.type": IDENTITY, **value} if isinstance(value, dict) else value
        for key, value in info["identity"].items()
        if key != "@odata.type"
    }
    rest = {key: value for key, value in info.items() if key not in ("@odata.type", "identity")}
    return {
        "@odata.type": odata_type,
        "identity": {"@odata.type": IDENTITY_SET, **identities},
        **rest,
    }


def _kind(body: Json, source_identity: Json, targets: tuple[Json, ...]) -> CallKind:
    """Tell what a body asks for by its members. Source: graph-api, create call, decision table."""
    if body.get("meetingInfo") is not None or body.get("chatInfo") is not None:
        is_guest = source_identity.get("guest") is not None
        return CallKind.MEETING_AS_GUEST if is_guest else CallKind.MEETING
    if not targets:
        raise errors.invalid_argument(
            "targets: expected at least one target, or chatInfo and meetingInfo."
        )
    if len(targets) > 1:
        return CallKind.GROUP
    identity = targets[0]["identity"]
    if identity.get("user") is not None:
        return CallKind.PEER_TO_PEER
    if identity.get("phone") is not None:
        return CallKind.PSTN
    raise errors.invalid_argument("targets[0].identity: expected a user or a phone.")


def _targets(body: Json) -> tuple[Json, ...]:
    targets = body.get("targets")
    if targets is None:
        return ()
    if not isinstance(targets, list):
        raise errors.invalid_argument(f"targets: expected a list, got {_kind_of(targets)}.")
    for index, target in enumerate(targets):
        where = f"targets[{index}]"
        if not isinstance(target, dict):
            raise errors.invalid_argument(f"{where}: expected an object, got {_kind_of(target)}.")
        _object(target, "identity", where)
    return tuple(targets)


def _is_app_hosted(media_config: Json) -> bool:
    odata_type = _optional_text(media_config, "@odata.type", "mediaConfig")
    if odata_type is None:
        # Clients may leave the type out; the blob tells.
        return "blob" in media_config
    kind = "#" + odata_type.removeprefix("#")
    if kind not in (APP_HOSTED, SERVICE_HOSTED):
        raise errors.invalid_argument(
            "mediaConfig.@odata.type: expected appHostedMediaConfig or serviceHostedMediaConfig."
        )
    return kind == APP_HOSTED


def _callback_uri(body: Json) -> str:
    uri = _text(body, "callbackUri")
    came = "no URI"
    try:
        parts = urlsplit(uri)
        usable = parts.scheme.casefold() == "https" and bool(parts.hostname) and parts.port != 0
        if parts.scheme:
            # Not the rest: a callback's path or query may hold a secret.
            came = f"{parts.scheme[:16]}://{(parts.hostname or '')[:64]}"
    except ValueError:
        usable = False
    if not usable or len(uri) > MAX_URI_CHARS or not uri.isprintable() or " " in uri:
        raise errors.invalid_argument(f"callbackUri: expected an absolute https URI, got {came!a}.")
    return uri


def _modalities(body: Json) -> tuple[str, ...]:
    modalities = body.get("requestedModalities")
    if modalities is None:
        return (Modality.AUDIO.value,)
    known = {modality.value for modality in Modality}
    if not isinstance(modalities, list) or not all(
        isinstance(name, str) and name in known for name in modalities
    ):
        raise errors.invalid_argument(
            f"requestedModalities: expected a list of {', '.join(sorted(known))}."
        )
    return tuple(modalities)


def _ringing_timeout(body: Json) -> int | None:
    seconds = body.get("ringingTimeoutInSeconds")
    if seconds is None:
        return None
    if (
        not isinstance(seconds, int)
        or isinstance(seconds, bool)
        or not 1 <= seconds <= MAX_RINGING_S
    ):
        raise errors.invalid_argument(
            f"ringingTimeoutInSeconds: expected a whole number from 1 to {MAX_RINGING_S}."
        )
    return seconds


def _identity_id(identity: Json, key: str, where: str) -> str | None:
    value = _optional_object(identity, key, where)
    return None if value is None else _text(value, "id", f"{where}.{key}")


def _object(holder: Json, key: str, where: str = "") -> Json:
    value = _optional_object(holder, key, where)
    if value is None:
        raise errors.invalid_argument(f"{_path(where, key)} is missing.")
    return value


def _optional_object(holder: Json, key: str, where: str = "") -> Json | None:
    value = holder.get(key)
    if value is not None and not isinstance(value, dict):
        raise errors.invalid_argument(
            f"{_path(where, key)}: expected an object, got {_kind_of(value)}."
        )
    return value


def _text(holder: Json, key: str, where: str = "") -> str:
    value = _optional_text(holder, key, where)
    if not value:
        raise errors.invalid_argument(f"{_path(where, key)} is missing.")
    return value


def _optional_text(holder: Json, key: str, where: str = "") -> str | None:
    value = holder.get(key)
    if value is not None and not isinstance(value, str):
        raise errors.invalid_argument(
            f"{_path(where, key)}: expected a text, got {_kind_of(value)}."
        )
    return value


def _path(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key


def _kind_of(value: object) -> str:
    kinds = {str: "a text", dict: "an object", list: "a list", bool: "a truth value"}
    return "null" if value is None else kinds.get(type(value), "a number")
