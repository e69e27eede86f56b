"""Call records, subscriptions and meetings in the OpenAPI description."""

from __future__ import annotations

from collections.abc import Iterable

from .meetings import MAX_SUBJECT_CHARS
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
    record,
    ref,
)
from .records.members import DEVICE, NETWORK, PSTN_ROW, STREAM
from .subscriptions import CHANGE_TYPES, CLIENT_STATE_CHARS

_TEXT = nullable(TEXT)
_MOMENT: Schema = {"type": "string", "format": "date-time"}
_ANNOTATED = {"odata_context": {"type": "string", "format": "uri"}}


def _query(name: str, description: str) -> Schema:
    return {
        "name": name,
        "in": "query",
        "required": False,
        "description": description,
        "schema": TEXT,
    }


def _collection(name: str) -> Schema:
    return record(
        ("odata_context", "value"),
        **_ANNOTATED,
        **{"@odata.nextLink": {"type": "string", "format": "uri"}},
        value=array(ref(name)),
    )


def _unknown(names: Iterable[str], **known: Schema) -> Schema:
    """Describe an object of which most is null."""
    members: dict[str, Schema] = {name: {} for name in names}
    return record(**{**members, **known})


FILTER = _query(
    "$filter",
    "startDateTime with lt, le, gt or ge, and participants_v2/any(p:p/id eq '{id}'), with and.",
)
SKIP_TOKEN = _query("$skiptoken", "As in the nextLink of the page before.")
PREFER: Schema = {
    "name": "Prefer",
    "in": "header",
    "required": False,
    "description": "odata.maxpagesize={n}, include-unknown-enum-members, omit-values=nulls.",
    "schema": TEXT,
}

_PART = {
    "id": ID,
    "startDateTime": _MOMENT,
    "endDateTime": _MOMENT,
    "caller": nullable(ref("recordEndpoint")),
    "callee": nullable(ref("recordEndpoint")),
    "failureInfo": nullable(
        record(odata_type=TEXT, stage={"enum": ["unknown", "callSetup", "midcall"]}, reason=_TEXT)
    ),
}

RECORD_RESOURCES: dict[str, Schema] = {
    "recordEndpoint": record(
        odata_type=TEXT,
        userAgent=nullable(record(odata_type=TEXT, headerValue=_TEXT, applicationVersion=_TEXT)),
        associatedIdentity=nullable(ANY_OBJECT),
        identity=nullable(ANY_OBJECT),
        name=_TEXT,
    ),
    "recordSegment": record(
        ("id",),
        **_ANNOTATED,
        **_PART,
        media=array(
            record(
                label=_TEXT,
                callerDevice=nullable(_unknown(DEVICE)),
                calleeDevice=nullable(_unknown(DEVICE)),
                callerNetwork=nullable(_unknown(NETWORK)),
                calleeNetwork=nullable(_unknown(NETWORK)),
                streams=array(
                    _unknown(STREAM, streamDirection={"enum": ["callerToCallee", "calleeToCaller"]})
                ),
            )
        ),
    ),
    "recordSegments": _collection("recordSegment"),
    "recordSession": record(
        ("id",),
        **_ANNOTATED,
        **_PART,
        modalities=array(TEXT),
        isTest=nullable(BOOLEAN),
        segments=array(ref("recordSegment")),
    ),
    "recordSessions": _collection("recordSession"),
    "recordPerson": record(
        ("id",),
        **_ANNOTATED,
        id=TEXT,
        identity=nullable(ANY_OBJECT),
        administrativeUnitInfos=array(ANY_OBJECT),
    ),
    "recordPeople": _collection("recordPerson"),
    "callRecord": record(
        ("id",),
        **_ANNOTATED,
        id=ID,
        version=INTEGER,
        type={"enum": ["unknown", "groupCall", "peerToPeer"]},
        modalities=array(TEXT),
        lastModifiedDateTime=_MOMENT,
        startDateTime=_MOMENT,
        endDateTime=_MOMENT,
        joinWebUrl=_TEXT,
        organizer=nullable(ANY_OBJECT),
        participants=array(ANY_OBJECT),
        organizer_v2=nullable(ref("recordPerson")),
        participants_v2=array(ref("recordPerson")),
        sessions=array(ref("recordSession")),
    ),
    "callRecords": _collection("callRecord"),
    "phoneCalls": record(("odata_context", "value"), **_ANNOTATED, value=array(_unknown(PSTN_ROW))),
    "subscription": record(
        ("id", "resource", "changeType", "notificationUrl", "expirationDateTime"),
        **_ANNOTATED,
        id=ID,
        resource=TEXT,
        applicationId=ID,
        changeType=TEXT,
        clientState=_TEXT,
        notificationUrl=HTTPS_URI,
        lifecycleNotificationUrl=nullable(HTTPS_URI),
        expirationDateTime=_MOMENT,
    ),
    "subscriptions": _collection("subscription"),
    "meeting": record(
        ("subject", "organizer", "joinUrl", "threadId", "messageId", "joinMeetingId", "passcode"),
        subject=TEXT,
        organizer=record(("id", "displayName"), id=ID, displayName=TEXT),
        joinUrl=HTTPS_URI,
        threadId=TEXT,
        messageId=TEXT,
        joinMeetingId=TEXT,
        passcode=_TEXT,
        token=TEXT,
        lobby=BOOLEAN,
        allowWithoutHost=BOOLEAN,
        isAdHoc=BOOLEAN,
        createdDateTime=_MOMENT,
        participants=INTEGER,
    ),
    "meetings": record(("value",), value=array(ref("meeting"))),
    "guests": record(
        ("value",),
        value=array(
            record(
                ("participantId",),
                participantId=ID,
                displayName=_TEXT,
                kind=TEXT,
                since=_MOMENT,
            )
        ),
    ),
}

RECORD_REQUESTS: dict[str, Schema] = {
    "subscriptionRequest": record(
        ("changeType", "notificationUrl", "resource", "expirationDateTime"),
        changeType={"enum": [*CHANGE_TYPES, ",".join(CHANGE_TYPES)]},
        notificationUrl=HTTPS_URI,
        lifecycleNotificationUrl=nullable(HTTPS_URI),
        resource=TEXT,
        expirationDateTime=_MOMENT,
        clientState=nullable({"type": "string", "maxLength": CLIENT_STATE_CHARS}),
        includeResourceData={"enum": [False, None]},
    ),
    "subscriptionChange": record(
        expirationDateTime=nullable(_MOMENT), notificationUrl=nullable(HTTPS_URI)
    ),
    "meetingRequest": record(
        subject=nullable({"type": "string", "maxLength": MAX_SUBJECT_CHARS}),
        passcode=nullable(BOOLEAN),
        lobby=nullable(BOOLEAN),
        allowWithoutHost=nullable(BOOLEAN),
        channel=nullable(BOOLEAN),
    ),
}
