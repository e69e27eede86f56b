"""The simulated service's calls: their state, and how REST and events show them. Pure."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from ..bodies import CHANNELS, FORMATS
from ..identifiers import Identifier

RATES: Final = {name: rate_hz for rate_hz, name in FORMATS.items()}
SOURCE: Final = "calling/callConnections/"


class BadRequestError(ValueError):
    """What a request lacks, or has wrong: the service answers 400 with it."""


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """What ``mediaStreamingOptions`` asks for."""

    url: str
    channels: str
    rate_hz: int
    start: bool
    bidirectional: bool
    tones: bool

    @classmethod
    def parse(cls, members: Any) -> StreamOptions | None:
        """Read the options; None when there are none.

        Raises: BadRequestError.
        """
        if members is None:
            return None
        if not isinstance(members, Mapping) or members.get("transportType") != "websocket":
            raise BadRequestError("mediaStreamingOptions: expected transportType websocket")
        url, channels = members.get("transportUrl"), members.get("audioChannelType")
        if not isinstance(url, str) or not url.startswith("wss://"):
            raise BadRequestError(f"transportUrl: expected wss://..., got {url!r:.80}")
        if channels not in CHANNELS:
            raise BadRequestError(f"audioChannelType: expected {CHANNELS}, got {channels!r:.40}")
        audio_format = members.get("audioFormat", "pcm16KMono")
        if audio_format not in RATES:
            raise BadRequestError(f"audioFormat: expected {tuple(RATES)}, got {audio_format!r:.40}")
        return cls(
            url,
            channels,
            RATES[audio_format],
            members.get("startMediaStreaming") is True,
            members.get("enableBidirectional") is True,
            members.get("enableDtmfTones") is True,
        )


@dataclass(slots=True)
class FakeCall:
    """One call connection. ``state`` is as the service names it."""

    callback_uri: str
    source: Identifier
    targets: tuple[Identifier, ...]
    streaming: StreamOptions | None
    caller_number: str | None = None
    display_name: str | None = None
    answered_by: Identifier | None = None
    context: str | None = None
    state: str = "connecting"
    streaming_state: str = "inactive"
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    correlation_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    participants: list[Identifier] = field(default_factory=list)
    tones: list[str] = field(default_factory=list)
    """Keys that the application pressed, by the service's names."""

    @property
    def server_call_id(self) -> str:
        """What other parts of the service know this call by."""
        return f"server-{self.correlation_id}"

    def properties(self) -> dict[str, Any]:
        """Return CallConnectionProperties."""
        shown: dict[str, Any] = {
            "callConnectionId": self.id,
            "serverCallId": self.server_call_id,
            "correlationId": self.correlation_id,
            "callConnectionState": self.state,
            "callbackUri": self.callback_uri,
            "source": self.source.to_json(),
            "targets": [who.to_json() for who in self.targets],
        }
        if self.caller_number is not None:
            shown["sourceCallerIdNumber"] = {"value": self.caller_number}
        if self.display_name is not None:
            shown["sourceDisplayName"] = self.display_name
        if self.streaming is not None:
            shown["mediaStreamingSubscription"] = {
                "id": f"stream-{self.correlation_id}",
                "state": self.streaming_state,
                "subscribedContentTypes": ["audio"],
            }
        return shown

    def shown_participants(self) -> list[dict[str, Any]]:
        """Return who is in the call, as CallParticipant."""
        return [
            {"identifier": who.to_json(), "isMuted": False, "isOnHold": False}
            for who in self.participants
        ]

    def event(self, kind: str, **data: Any) -> dict[str, Any]:
        """Return the CloudEvent that tells *kind* of this call."""
        members: dict[str, Any] = {
            "eventSource": SOURCE + self.id,
            "callConnectionId": self.id,
            "serverCallId": self.server_call_id,
            "correlationId": self.correlation_id,
            **data,
        }
        if self.context is not None:
            members.setdefault("operationContext", self.context)
        return {
            "id": str(uuid.uuid4()),
            "source": SOURCE + self.id,
            "type": f"Microsoft.Communication.{kind}",
            "specversion": "1.0",
            "subject": SOURCE + self.id,
            "time": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
            "datacontenttype": "application/json",
            "data": members,
        }

    def streaming_event(self, kind: str, details: str, **data: Any) -> dict[str, Any]:
        """Return the CloudEvent that tells what became of the call's stream."""
        update = {
            "contentType": "audio",
            "mediaStreamingStatus": kind[0].lower() + kind[1:],
            "mediaStreamingStatusDetails": details,
        }
        return self.event(kind, mediaStreamingUpdate=update, **data)


def result(code: int, sub_code: int, message: str) -> dict[str, Any]:
    """Return ``resultInformation``."""
    return {"code": code, "subCode": sub_code, "message": message}


def incoming_event(
    caller: Identifier, callee: Identifier, name: str, context: str, correlation_id: str
) -> dict[str, Any]:
    """Return the Event Grid event of a call that rings."""
    return {
        "id": str(uuid.uuid4()),
        "topic": "/subscriptions/0/resourceGroups/offline/providers/Microsoft.Communication"
        "/CommunicationServices/offline",
        "subject": f"/caller/{caller.raw_id}/recipient/{callee.raw_id}",
        "data": {
            "to": callee.to_json(),
            "from": caller.to_json(),
            "serverCallId": f"server-{correlation_id}",
            "callerDisplayName": name,
            "incomingCallContext": context,
            "correlationId": correlation_id,
        },
        "eventType": "Microsoft.Communication.IncomingCall",
        "dataVersion": "1.0",
        "metadataVersion": "1",
        "eventTime": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
    }


def validation_event(code: str) -> dict[str, Any]:
    """Return Event Grid's question whether an end-point wants its events."""
    return {
        "id": str(uuid.uuid4()),
        "topic": "/subscriptions/0/resourceGroups/offline/providers/Microsoft.Communication"
        "/CommunicationServices/offline",
        "subject": "",
        "data": {"validationCode": code},
        "eventType": "Microsoft.EventGrid.SubscriptionValidationEvent",
        "dataVersion": "2",
        "metadataVersion": "1",
        "eventTime": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
    }
