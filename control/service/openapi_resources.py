"""The resources of the calls API as replies show them."""

from __future__ import annotations

from ..graph.enums import (
    AutoAdmittedUsers,
    CallDirection,
    CallState,
    EndpointType,
    MediaDirection,
    MediaState,
    Modality,
    OperationStatus,
    PlayReason,
    RecordingStatus,
    RecordReason,
    RoutingMode,
    RoutingPolicy,
    RoutingType,
    Tone,
    TranscriptionState,
)
from ..graph.fields import CONTEXT_CHARS
from ..graph.operations import MEMBERS
from ..graph.resources import PROPERTIES
from .openapi_schema import (
    ANY_OBJECT,
    BOOLEAN,
    HTTPS_URI,
    ID,
    INTEGER,
    TEXT,
    Schema,
    array,
    nullable,
    one_of,
    record,
    ref,
    shown_type,
)

_TEXT = nullable(TEXT)
_FLAG = nullable(BOOLEAN)
_ENDPOINT = nullable(one_of(EndpointType))
_MODALITIES = array(one_of(Modality))
_ANNOTATED = {"odata_context": TEXT}

_SHARED: dict[str, Schema] = {
    "error": record(
        ("error",),
        error=record(
            ("code", "message", "innerError"),
            code=TEXT,
            message=TEXT,
            innerError=record(
                ("date", "request-id", "client-request-id"),
                **{"date": TEXT, "request-id": TEXT, "client-request-id": TEXT},
            ),
        ),
    ),
    "identity": record(("id",), odata_type=TEXT, id=TEXT, displayName=_TEXT),
    "identitySet": record(
        odata_type=shown_type("identitySet", "communicationsIdentitySet"),
        **{
            kind: nullable(ref("identity"))
            for kind in (
                "application",
                "applicationInstance",
                "assertedIdentity",
                "device",
                "encrypted",
                "guest",
                "onPremises",
                "phone",
                "user",
            )
        },
    ),
    "participantInfo": record(
        ("identity",),
        odata_type=shown_type("participantInfo"),
        identity=ref("identitySet"),
        countryCode=_TEXT,
        endpointType=_ENDPOINT,
        languageId=_TEXT,
        participantId=_TEXT,
        region=_TEXT,
    ),
    "invitationParticipantInfo": record(
        ("identity",),
        odata_type=shown_type("invitationParticipantInfo"),
        identity=ref("identitySet"),
        endpointType=_ENDPOINT,
        hidden=_FLAG,
        participantId=_TEXT,
        removeFromDefaultAudioRoutingGroup=_FLAG,
        replacesCallId=_TEXT,
    ),
    "resultInfo": record(
        ("code", "subcode", "message"),
        odata_type=shown_type("resultInfo"),
        code=INTEGER,
        subcode=INTEGER,
        message=TEXT,
    ),
    "mediaConfig": record(
        ("@odata.type",),
        odata_type=shown_type("appHostedMediaConfig", "serviceHostedMediaConfig"),
        blob=_TEXT,
        preFetchMedia=nullable(array(record(("uri",), uri=HTTPS_URI, resourceId=_TEXT))),
        removeFromDefaultAudioGroup=_FLAG,
    ),
    "callRoute": record(
        odata_type=shown_type("callRoute"),
        original=ref("identitySet"),
        final=ref("identitySet"),
        routingType=one_of(RoutingType),
    ),
    "mediaStream": record(
        odata_type=shown_type("mediaStream"),
        mediaType=one_of(Modality),
        label=_TEXT,
        sourceId=_TEXT,
        direction=one_of(MediaDirection),
        serverMuted=_FLAG,
    ),
    "recordingInfo": record(
        odata_type=shown_type("recordingInfo"),
        recordingStatus=one_of(RecordingStatus),
        initiatedBy=nullable(ref("participantInfo")),
        initiator=nullable(ref("identitySet")),
    ),
}

_CALL: dict[str, Schema] = {
    "activeModalities": _MODALITIES,
    "answeredBy": nullable(ref("participantInfo")),
    "callbackUri": HTTPS_URI,
    "callChainId": ID,
    "callOptions": nullable(
        record(odata_type=shown_type("incomingCallOptions", "outgoingCallOptions"))
    ),
    "callRoutes": array(ref("callRoute")),
    "chatInfo": nullable(
        record(
            odata_type=shown_type("chatInfo"),
            threadId=TEXT,
            messageId=_TEXT,
            replyChainMessageId=_TEXT,
        )
    ),
    "direction": one_of(CallDirection),
    "id": ID,
    "incomingContext": nullable(
        record(
            odata_type=shown_type("incomingContext"),
            sourceParticipantId=_TEXT,
            observedParticipantId=_TEXT,
            onBehalfOf=nullable(ref("identitySet")),
            transferor=nullable(ref("identitySet")),
        )
    ),
    "mediaConfig": nullable(ref("mediaConfig")),
    "mediaState": nullable(
        record(odata_type=shown_type("callMediaState"), audio=nullable(one_of(MediaState)))
    ),
    "meetingCapability": nullable(
        record(
            odata_type=shown_type("meetingCapability"),
            allowAnonymousUsersToDialOut=_FLAG,
            allowAnonymousUsersToStartMeeting=_FLAG,
            autoAdmittedUsers=nullable(one_of(AutoAdmittedUsers)),
        )
    ),
    "meetingInfo": nullable(
        record(
            odata_type=shown_type(
                "organizerMeetingInfo", "tokenMeetingInfo", "joinMeetingIdMeetingInfo"
            ),
            allowConversationWithoutHost=_FLAG,
        )
    ),
    "myParticipantId": ID,
    "requestedModalities": _MODALITIES,
    "resultInfo": nullable(ref("resultInfo")),
    "ringingTimeoutInSeconds": nullable(INTEGER),
    "routingPolicies": array(one_of(RoutingPolicy)),
    "source": ref("participantInfo"),
    "state": one_of(CallState),
    "subject": _TEXT,
    "targets": array(ref("invitationParticipantInfo")),
    "tenantId": TEXT,
    "terminationReason": _TEXT,
    "toneInfo": nullable(
        record(odata_type=shown_type("toneInfo"), sequenceId=INTEGER, tone=one_of(Tone))
    ),
    "transcription": nullable(
        record(
            odata_type=shown_type("callTranscriptionInfo"),
            state=one_of(TranscriptionState),
            lastModifiedDateTime=_TEXT,
        )
    ),
}
_SELECTED = {name: nullable(schema) for name, schema in _CALL.items() if name != "id"}
"""With ``$select``, a property that this call does not have comes as null."""

_PARTICIPANT = record(
    ("id",),
    **_ANNOTATED,
    odata_type=shown_type("participant"),
    id=ID,
    info=nullable(ref("participantInfo")),
    isInLobby=_FLAG,
    isMuted=_FLAG,
    mediaStreams=nullable(array(ref("mediaStream"))),
    metadata=_TEXT,
    recordingInfo=nullable(ref("recordingInfo")),
    removedState=nullable(record(reason=TEXT)),
    restrictedExperience=nullable(ANY_OBJECT),
    rosterSequenceNumber=nullable(INTEGER),
)
_MEMBER_SCHEMAS: dict[str, Schema] = {
    "participants": array({"anyOf": [TEXT, ref("invitationParticipantInfo")]}),
    "recordingLocation": _TEXT,
    "recordingAccessToken": _TEXT,
}


def _operation(kind: str) -> Schema:
    reasons = RecordReason if kind == "recordOperation" else PlayReason
    members = {name: _MEMBER_SCHEMAS.get(name, nullable(one_of(reasons))) for name in MEMBERS[kind]}
    return record(
        ("@odata.type", "id", "status", "clientContext"),
        odata_type=shown_type(kind),
        id=ID,
        status=one_of(OperationStatus),
        clientContext=nullable({"type": "string", "maxLength": CONTEXT_CHARS}),
        resultInfo=nullable(ref("resultInfo")),
        **members,
    )


def _collection(item: str) -> Schema:
    return record(("value",), odata_context=TEXT, value=array(ref(item)))


RESOURCES: dict[str, Schema] = {
    **_SHARED,
    "call": record(
        ("id",),
        **_ANNOTATED,
        odata_type=shown_type("call"),
        id=ID,
        **_SELECTED,
        participants=array(ref("participant")),
        operations=array(ref("commsOperation")),
        audioRoutingGroups=array(ref("audioRoutingGroup")),
        contentSharingSessions=array(ref("contentSharingSession")),
    ),
    "createdCall": record(
        (
            "@odata.context",
            "@odata.type",
            *(name for name in PROPERTIES if name not in ("callOptions", "incomingContext")),
        ),
        **_ANNOTATED,
        odata_type=shown_type("call"),
        **_CALL,
    ),
    "participant": _PARTICIPANT,
    "participants": _collection("participant"),
    **{kind: _operation(kind) for kind in MEMBERS},
    "commsOperation": record(
        ("id",),
        **_ANNOTATED,
        odata_type=shown_type(*MEMBERS),
        id=ID,
        status=nullable(one_of(OperationStatus)),
        clientContext=_TEXT,
        resultInfo=nullable(ref("resultInfo")),
    ),
    "commsOperations": _collection("commsOperation"),
    "audioRoutingGroup": record(
        ("id",),
        **_ANNOTATED,
        odata_type=shown_type("audioRoutingGroup"),
        id=ID,
        routingMode=nullable(one_of(RoutingMode)),
        sources=nullable(array(ID)),
        receivers=nullable(array(ID)),
    ),
    "audioRoutingGroups": _collection("audioRoutingGroup"),
    "contentSharingSession": record(
        ("id",),
        **_ANNOTATED,
        odata_type=shown_type("contentSharingSession"),
        id=ID,
        presenterParticipantId=_TEXT,
    ),
    "contentSharingSessions": _collection("contentSharingSession"),
    "callReport": record(
        ("callId", "state", "states", "notifications", "legs", "transports", "engine"),
        callId=ID,
        state=one_of(CallState),
        states=array(record(("state", "atMs"), state=one_of(CallState), atMs=INTEGER)),
        notifications=ANY_OBJECT,
        legs=ANY_OBJECT,
        transports=ANY_OBJECT,
        engine=ANY_OBJECT,
        latenessUs=array({"type": "number"}),
    ),
}
