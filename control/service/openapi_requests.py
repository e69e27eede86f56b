"""The bodies of requests, as the parsers of graph/requests take them."""

from __future__ import annotations

from ..graph.enums import (
    KEYPAD,
    CallDisposition,
    EndpointType,
    Modality,
    RecordingStatus,
    RejectReason,
    RoutingMode,
    RoutingPolicy,
    ScreenSharingRole,
    Tone,
)
from ..graph.fields import CONTEXT_CHARS, INT32_MAX, PHONE_PATTERN
from ..graph.requests_call import MAX_GROUP_TARGETS, MAX_RINGING_S, TEXT_CHARS, TOKEN_CHARS
from ..graph.requests_common import MAX_PROMPT_LOOPS
from ..graph.requests_group import MAX_INVITED
from ..graph.requests_handling import MAX_REDIRECT_TARGETS, REDIRECT_S
from ..graph.requests_media import MAX_PROMPTS, RECORD_S
from ..graph.requests_quality import DURATION_PATTERN, INT64_MAX, MEDIA_TYPES
from .openapi_schema import (
    ANY_OBJECT,
    BOOLEAN,
    HTTPS_URI,
    ID,
    TEXT,
    Schema,
    array,
    given_type,
    nullable,
    one_of,
    record,
    ref,
    whole,
)

_CONTEXT = nullable({"type": "string", "maxLength": CONTEXT_CHARS})
_MODALITIES = nullable(array(one_of(Modality)))
_FLAG = nullable(BOOLEAN)
_SECONDS = nullable(whole(*RECORD_S))
_RECORDED = (RecordingStatus.NOT_RECORDING, RecordingStatus.RECORDING, RecordingStatus.FAILED)


def _identity(**more: Schema) -> Schema:
    return record(
        ("id",),
        **{
            "odata_type": given_type("identity", "userIdentity", "endpointIdentity"),
            "id": ID,
            "displayName": nullable(TEXT),
            **more,
        },
    )


def _identity_set(*kinds: str) -> Schema:
    """Describe an identitySet that names at least one of *kinds*; which and how many, code says."""
    known = {kind: nullable(ref("givenIdentity")) for kind in kinds}
    if "phone" in known:
        known["phone"] = nullable(_identity(id={"type": "string", "pattern": PHONE_PATTERN}))
    sets = given_type("identitySet", "communicationsIdentitySet")
    return {
        **record(odata_type=sets, **known),
        "anyOf": [{"required": [kind]} for kind in kinds],
    }


def _options(kind: str) -> Schema:
    return nullable(
        record(
            odata_type=given_type(kind),
            hideBotAfterEscalation=_FLAG,
            isContentSharingNotificationEnabled=_FLAG,
            isDeltaRosterEnabled=_FLAG,
            isInteractiveRosterEnabled=_FLAG,
        )
    )


_MEDIA_CONFIG = {
    "preFetchMedia": nullable(array(ref("givenMediaInfo"))),
    "removeFromDefaultAudioGroup": _FLAG,
}
_PERCENTAGE = nullable({"type": "number", "minimum": 0, "maximum": 100})
_COUNT = nullable(whole(0, INT64_MAX))
_WAYS = [f"{which}{way}" for which in ("average", "maximum") for way in ("Inbound", "Outbound")]

REQUESTS: dict[str, Schema] = {
    "givenIdentity": _identity(),
    "givenMediaInfo": record(
        ("uri",), odata_type=given_type("mediaInfo"), uri=HTTPS_URI, resourceId=nullable(ID)
    ),
    "givenPrompt": record(
        ("mediaInfo",),
        odata_type=given_type("mediaPrompt"),
        mediaInfo=ref("givenMediaInfo"),
        loop=nullable(whole(1, MAX_PROMPT_LOOPS)),
    ),
    "givenMediaConfig": {
        "anyOf": [
            record(
                ("blob",),
                odata_type=given_type("appHostedMediaConfig"),
                blob={"type": "string", "minLength": 1},
                **_MEDIA_CONFIG,
            ),
            record(odata_type=given_type("serviceHostedMediaConfig"), **_MEDIA_CONFIG),
        ]
    },
    "givenTarget": record(
        ("identity",),
        odata_type=given_type("invitationParticipantInfo", "participantInfo"),
        identity=_identity_set("user", "phone", "application", "applicationInstance", "guest"),
        endpointType=nullable(one_of(EndpointType)),
        hidden=_FLAG,
        participantId=nullable(ID),
        removeFromDefaultAudioRoutingGroup=_FLAG,
        replacesCallId=nullable(ID),
    ),
    "givenSource": record(
        odata_type=given_type("participantInfo", "invitationParticipantInfo"),
        identity=nullable(ANY_OBJECT),
    ),
    "givenMeetingInfo": {
        "anyOf": [
            record(
                ("organizer",),
                odata_type=given_type("organizerMeetingInfo"),
                organizer=record(
                    ("user",),
                    user=_identity(tenantId=ID) | {"required": ["id", "tenantId"]},
                ),
                allowConversationWithoutHost=_FLAG,
            ),
            record(
                ("token",),
                odata_type=given_type("tokenMeetingInfo"),
                token={"type": "string", "minLength": 1, "maxLength": TOKEN_CHARS},
                allowConversationWithoutHost=_FLAG,
            ),
            record(
                ("joinMeetingId",),
                odata_type=given_type("joinMeetingIdMeetingInfo"),
                joinMeetingId={"type": "string", "minLength": 1, "maxLength": TEXT_CHARS},
                passcode=nullable({"type": "string", "maxLength": TEXT_CHARS}),
                allowConversationWithoutHost=_FLAG,
            ),
        ]
    },
    "createCallRequest": record(
        ("callbackUri", "mediaConfig"),
        odata_type=given_type("call"),
        callbackUri=HTTPS_URI,
        source=nullable(ref("givenSource")),
        targets=nullable(array(ref("givenTarget"), 0, MAX_GROUP_TARGETS)),
        requestedModalities=_MODALITIES,
        mediaConfig=ref("givenMediaConfig"),
        callOptions=_options("outgoingCallOptions"),
        chatInfo=nullable(
            record(
                ("threadId",),
                odata_type=given_type("chatInfo"),
                threadId=ID,
                messageId=nullable(ID),
                replyChainMessageId=nullable(ID),
            )
        ),
        meetingInfo=nullable(ref("givenMeetingInfo")),
        ringingTimeoutInSeconds=nullable(whole(1, MAX_RINGING_S)),
        routingPolicies=nullable(array(one_of(RoutingPolicy))),
        subject=nullable({"type": "string", "maxLength": TEXT_CHARS}),
        tenantId=nullable(ID),
    ),
    "answerRequest": record(
        ("mediaConfig",),
        callbackUri=nullable(HTTPS_URI),
        acceptedModalities=_MODALITIES,
        mediaConfig=ref("givenMediaConfig"),
        participantCapacity=nullable(whole(1, INT32_MAX)),
        callOptions=_options("incomingCallOptions"),
    ),
    "rejectRequest": record(
        reason={
            # In any case, as documented.
            "anyOf": [
                one_of(RejectReason),
                {"type": "string", "pattern": "[A-Z]"},
                {"type": "null"},
            ]
        },
        callbackUri=nullable(HTTPS_URI),
    ),
    "redirectRequest": record(
        ("targets",),
        targets=array(ref("givenTarget"), 1, MAX_REDIRECT_TARGETS),
        targetDisposition=nullable(one_of(CallDisposition)),
        timeout=nullable(whole(*REDIRECT_S)),
        callbackUri=nullable(HTTPS_URI),
        maskCallee=_FLAG,
        maskCaller=_FLAG,
    ),
    "transferRequest": record(
        ("transferTarget",),
        transferTarget=ref("givenTarget"),
        transferee=nullable(ref("givenTarget")),
    ),
    "contextRequest": record(clientContext=_CONTEXT),
    "screenSharingRoleRequest": record(("role",), role=one_of(ScreenSharingRole)),
    "recordingStatusRequest": record(("status",), status=one_of(_RECORDED), clientContext=_CONTEXT),
    "playPromptRequest": record(
        ("prompts",),
        prompts=array(ref("givenPrompt"), 1, MAX_PROMPTS),
        loop=_FLAG,
        clientContext=_CONTEXT,
    ),
    "recordRequest": record(
        prompts=nullable(array(ref("givenPrompt"), 0, 1)),
        bargeInAllowed=_FLAG,
        initialSilenceTimeoutInSeconds=_SECONDS,
        maxSilenceTimeoutInSeconds=_SECONDS,
        maxRecordDurationInSeconds=_SECONDS,
        playBeep=_FLAG,
        stopTones=nullable(array({"enum": [*KEYPAD, *"abcd"]})),
        clientContext=_CONTEXT,
    ),
    "sendDtmfRequest": record(
        ("tones",),
        tones=array(one_of(Tone), 1),
        delayBetweenTonesMs=nullable(whole(0, INT32_MAX)),
        clientContext=_CONTEXT,
    ),
    "holdMusicRequest": record(customPrompt=nullable(ref("givenPrompt")), clientContext=_CONTEXT),
    "inviteRequest": record(
        ("participants",),
        participants=array(ref("givenTarget"), 1, MAX_INVITED),
        clientContext=_CONTEXT,
    ),
    "muteAllRequest": record(("participants",), participants=array(ID, 1), clientContext=_CONTEXT),
    "routingGroupRequest": record(
        ("id", "routingMode", "sources", "receivers"),
        odata_type=given_type("audioRoutingGroup"),
        id=ID,
        routingMode=one_of(RoutingMode),
        sources=array(ID, 1),
        receivers=array(ID, 1),
    ),
    "routingGroupChange": record(
        odata_type=given_type("audioRoutingGroup"),
        id=nullable(ID),
        routingMode=nullable(one_of(RoutingMode)),
        sources=nullable(array(ID)),
        receivers=nullable(array(ID)),
    ),
    "deviceQualityRequest": record(
        ("quality",),
        quality=record(
            odata_type=given_type("teleconferenceDeviceQuality"),
            callChainId=nullable(ID),
            participantId=nullable(ID),
            mediaLegId=nullable(ID),
            deviceName=nullable(TEXT),
            deviceDescription=nullable(TEXT),
            cloudServiceName=nullable(TEXT),
            cloudServiceInstanceName=nullable(TEXT),
            cloudServiceDeploymentEnvironment=nullable(TEXT),
            cloudServiceDeploymentId=nullable(TEXT),
            mediaQualityList=nullable(
                array(
                    record(
                        odata_type=given_type(*MEDIA_TYPES, "teleconferenceDeviceMediaQuality"),
                        channelIndex=nullable(whole(1, INT32_MAX)),
                        mediaDuration=nullable({"type": "string", "pattern": DURATION_PATTERN}),
                        localIPAddress=nullable(TEXT),
                        remoteIPAddress=nullable(TEXT),
                        localPort=_COUNT,
                        remotePort=_COUNT,
                        networkLinkSpeedInBytes=_COUNT,
                        inboundPackets=_COUNT,
                        outboundPackets=_COUNT,
                        **{f"{way}PacketLossRateInPercentage": _PERCENTAGE for way in _WAYS},
                    )
                )
            ),
        ),
    ),
    "webhookRequest": record(("callbackUri",), callbackUri=nullable(HTTPS_URI)),
}
