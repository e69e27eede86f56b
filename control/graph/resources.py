"""The call resource: the JSON a call is shown as.

Source: Microsoft Graph, call resource type; create call and its twelve examples; notifications of
incoming calls.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from .enums import CallDirection, CallState
from .fields import TYPE_PREFIX, Json, typed
from .requests_call import CallKind, CallRequest
from .requests_common import INVITATION as INVITATION_NAME
from .requests_common import PARTICIPANT_INFO as PARTICIPANT_INFO_NAME

CALL: Final = TYPE_PREFIX + "call"
PARTICIPANT_INFO: Final = TYPE_PREFIX + PARTICIPANT_INFO_NAME
INVITATION: Final = TYPE_PREFIX + INVITATION_NAME
IDENTITY_SET: Final = TYPE_PREFIX + "identitySet"
IDENTITY: Final = TYPE_PREFIX + "identity"
APP_HOSTED: Final = TYPE_PREFIX + "appHostedMediaConfig"
SERVICE_HOSTED: Final = TYPE_PREFIX + "serviceHostedMediaConfig"
INCOMING_CONTEXT: Final = TYPE_PREFIX + "incomingContext"
CALL_ROUTE: Final = TYPE_PREFIX + "callRoute"

PROPERTIES: Final = (
    "activeModalities",
    "answeredBy",
    "callbackUri",
    "callChainId",
    "callOptions",
    "callRoutes",
    "chatInfo",
    "direction",
    "id",
    "incomingContext",
    "mediaConfig",
    "mediaState",
    "meetingCapability",
    "meetingInfo",
    "myParticipantId",
    "requestedModalities",
    "resultInfo",
    "ringingTimeoutInSeconds",
    "routingPolicies",
    "source",
    "state",
    "subject",
    "targets",
    "tenantId",
    "terminationReason",
    "toneInfo",
    "transcription",
)
"""The documented properties of a call."""


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

    *media_config* is what is shown of the request's own (a blob without its secret). callOptions
    and incomingContext are there where they were given, as in the examples.
    """
    resource: Json = {
        "@odata.type": CALL,
        "state": CallState.ESTABLISHING.value,
        "direction": CallDirection.OUTGOING.value,
        "callbackUri": request.callback_uri,
        "callChainId": identity.chain_id,
        "callRoutes": [],
        "source": _shown_source(request, identity),
        "targets": [_shown_target(target.info, request.kind) for target in request.targets],
        "requestedModalities": list(request.modalities),
        "activeModalities": [],
        "mediaConfig": media_config,
        "routingPolicies": list(request.routing_policies),
        "tenantId": identity.tenant_id,
        "myParticipantId": identity.participant_id,
        "id": identity.call_id,
        "subject": request.subject,
        "terminationReason": None,
        "ringingTimeoutInSeconds": request.ringing_timeout_s,
        "mediaState": None,
        "resultInfo": None,
        "answeredBy": None,
        "chatInfo": request.chat_info,
        "meetingInfo": request.meeting_info,
        "transcription": None,
        "meetingCapability": None,
        "toneInfo": None,
    }
    if request.options.raw is not None:
        resource["callOptions"] = request.options.raw
    return resource


def incoming_call_resource(
    identity: CallIdentity,
    *,
    callback_uri: str,
    source: Json,
    source_participant_id: str,
    targets: Sequence[Json] | None = None,
    modalities: Sequence[str] = ("audio",),
    call_routes: Sequence[Json] = (),
    observed_participant_id: str | None = None,
    on_behalf_of: Json | None = None,
    transferor: Json | None = None,
    chat_info: Json | None = None,
    meeting_info: Json | None = None,
    subject: str | None = None,
) -> Json:
    """Build the resource of a call that comes in for an application.

    *source* is a participantInfo; *targets* invitationParticipantInfos, the application itself
    when there are none; *on_behalf_of* and *transferor* identitySets.
    """
    own = {"identity": {"application": _identity(identity.app_id, identity.app_name)}}
    context: Json = {
        "@odata.type": INCOMING_CONTEXT,
        "sourceParticipantId": source_participant_id,
        "observedParticipantId": observed_participant_id,
        "onBehalfOf": on_behalf_of,
        "transferor": transferor,
    }
    return {
        "@odata.type": CALL,
        "state": CallState.INCOMING.value,
        "direction": CallDirection.INCOMING.value,
        "callbackUri": callback_uri,
        "callChainId": identity.chain_id,
        "callRoutes": list(call_routes),
        "source": {**_SOURCE_NULLS, **source},
        "targets": [_typed_participant(item, INVITATION) for item in targets or (own,)],
        "requestedModalities": list(modalities),
        "activeModalities": [],
        "mediaConfig": None,
        "routingPolicies": [],
        "tenantId": identity.tenant_id,
        "myParticipantId": identity.participant_id,
        "id": identity.call_id,
        "incomingContext": context,
        "subject": subject,
        "terminationReason": None,
        "ringingTimeoutInSeconds": None,
        "mediaState": None,
        "resultInfo": None,
        "answeredBy": None,
        "chatInfo": chat_info,
        "meetingInfo": meeting_info,
        "transcription": None,
        "meetingCapability": None,
        "toneInfo": None,
    }


def call_route(original: Json, final: Json, routing_type: str) -> Json:
    """Describe how a call was retargeted, from one identitySet to another."""
    return {
        "@odata.type": CALL_ROUTE,
        "original": original,
        "final": final,
        "routingType": routing_type,
    }


def with_context(resource: Mapping[str, Any], graph_base_url: str, version: str) -> Json:
    """Return *resource* with the ``@odata.context`` of a single call, after its id."""
    shown: Json = {}
    root = "app" if version == "beta" else "communications"
    for key, value in resource.items():
        shown[key] = value
        if key == "id":
            shown["@odata.context"] = f"{graph_base_url}/{version}/$metadata#{root}/calls/$entity"
    return shown


def answered_by(identity: Mapping[str, Any]) -> Json:
    """Describe who answered a call, by its identitySet, as a participantInfo."""
    return {"@odata.type": PARTICIPANT_INFO, "identity": dict(identity), **_SOURCE_NULLS}


_SOURCE_NULLS: Final[Json] = {
    "countryCode": None,
    "endpointType": None,
    "region": None,
    "languageId": None,
}
_TARGET_NULLS: Final[Json] = {
    "endpointType": None,
    "region": None,
    "replacesCallId": None,
    "languageId": None,
}
_GROUP_SOURCE_NULLS: Final[Json] = {"region": None, "languageId": None}
"""The examples of group calls and meetings show fewer of them, and none for targets."""


def _identity(identifier: str, display_name: str) -> Json:
    return {"@odata.type": IDENTITY, "displayName": display_name, "id": identifier}


def _shown_source(request: CallRequest, identity: CallIdentity) -> Json:
    """Echo the source as it was given, or name the application."""
    nulls = _GROUP_SOURCE_NULLS if request.kind.is_group else _SOURCE_NULLS
    given = request.source or {
        "@odata.type": PARTICIPANT_INFO,
        "identity": {
            "@odata.type": IDENTITY_SET,
            "application": _identity(identity.app_id, identity.app_name),
        },
    }
    return given | {key: value for key, value in nulls.items() if key not in given}


def _shown_target(info: Json, kind: CallKind) -> Json:
    nulls = {} if kind.is_group else _TARGET_NULLS
    return info | {key: value for key, value in nulls.items() if key not in info}


def _typed_participant(info: Mapping[str, Any], odata_type: str) -> Json:
    """Fill in the types that the position tells."""
    identities = {
        key: {"@odata.type": IDENTITY, **value} if isinstance(value, dict) else value
        for key, value in info["identity"].items()
        if key != "@odata.type"
    }
    rest = {**info, "identity": {"@odata.type": IDENTITY_SET, **identities}}
    return typed(rest, odata_type.removeprefix(TYPE_PREFIX))
