"""What Azure tells a bot: calls that come in (Event Grid), and what becomes of calls (CloudEvents).

Both come at least once and in any order. Source: CloudEvents 1.0 and Event Grid's schemas; the
``Microsoft.Communication.*`` events of Call Automation.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from ..whole_json import read_json
from .identifiers import Identifier

NAMESPACE: Final = "Microsoft.Communication."
INCOMING_CALL: Final = "Microsoft.Communication.IncomingCall"
VALIDATION: Final = "Microsoft.EventGrid.SubscriptionValidationEvent"
MAX_EVENTS: Final = 100
MAX_TEXT_CHARS: Final = 16 * 1024
"""An incomingCallContext is a token of some kilobytes."""
REMEMBERED_EVENTS: Final = 4096


class EventError(ValueError):
    """A body that holds no events; the message says what was expected and what came."""


@dataclass(frozen=True, slots=True)
class Validation:
    """Event Grid asks whether this end-point wants its events: answer with the code."""

    code: str

    def reply(self) -> dict[str, str]:
        """Return the body of the answer."""
        return {"validationResponse": self.code}


@dataclass(frozen=True, slots=True)
class IncomingCall:
    """A call rings, for 30 s. ``context`` is the right to answer it."""

    id: str
    context: str
    caller: Identifier
    callee: Identifier
    caller_name: str | None
    correlation_id: str


@dataclass(frozen=True, slots=True)
class CallEvent:
    """What became of a call. ``type`` is without its namespace, as ``CallConnected``."""

    id: str
    type: str
    connection_id: str
    server_call_id: str
    correlation_id: str
    context: str | None
    code: int | None
    sub_code: int | None
    message: str
    data: Mapping[str, Any]

    @property
    def streaming_details(self) -> str | None:
        """What a MediaStreaming event says of the socket."""
        update = self.data.get("mediaStreamingUpdate")
        details = update.get("mediaStreamingStatusDetails") if isinstance(update, Mapping) else None
        return details if isinstance(details, str) else None

    @property
    def why(self) -> str:
        """What to tell a person, with what helps them mend it."""
        said = f"{self.type}: {self.code}/{self.sub_code} {self.message}".rstrip()
        if self.sub_code == SOCKET_UNREACHABLE:
            said += (
                " (the service could not open its WebSocket to this host: it must be reachable"
                " from the internet under that name, over TLS, and accept at once)"
            )
        return said


SOCKET_UNREACHABLE: Final = 8581


def parse_incoming(body: bytes) -> tuple[Validation | IncomingCall, ...]:
    """Read what Event Grid posted; events of other kinds are left out.

    Raises: EventError.
    """
    found: list[Validation | IncomingCall] = []
    for event in _events(body):
        kind = event.get("eventType", event.get("type"))
        data = event.get("data")
        if not isinstance(data, Mapping):
            raise EventError(f"{kind}: expected data, got {type(data).__name__}")
        if kind == VALIDATION:
            found.append(Validation(_text(data, "validationCode")))
        elif kind == INCOMING_CALL:
            found.append(
                IncomingCall(
                    id=_text(event, "id"),
                    context=_text(data, "incomingCallContext"),
                    caller=_identifier(data, "from"),
                    callee=_identifier(data, "to"),
                    caller_name=_optional(data, "callerDisplayName"),
                    correlation_id=_optional(data, "correlationId") or "",
                )
            )
    return tuple(found)


def parse_call_events(body: bytes) -> tuple[CallEvent, ...]:
    """Read the CloudEvents of calls; events of other services are left out.

    Raises: EventError.
    """
    found = []
    for event in _events(body):
        kind = event.get("type")
        if not isinstance(kind, str) or not kind.startswith(NAMESPACE):
            continue
        data = event.get("data")
        if not isinstance(data, Mapping):
            raise EventError(f"{kind}: expected data, got {type(data).__name__}")
        result = data.get("resultInformation")
        result = result if isinstance(result, Mapping) else {}
        found.append(
            CallEvent(
                id=_text(event, "id"),
                type=kind.removeprefix(NAMESPACE),
                connection_id=_text(data, "callConnectionId"),
                server_call_id=_optional(data, "serverCallId") or "",
                correlation_id=_optional(data, "correlationId") or "",
                context=_optional(data, "operationContext"),
                code=_number(result.get("code")),
                sub_code=_number(result.get("subCode")),
                message=_optional(result, "message") or "",
                data=data,
            )
        )
    return tuple(found)


class SeenEvents:
    """Which events came before: the last few thousand ids. They come at least once."""

    def __init__(self, most: int = REMEMBERED_EVENTS) -> None:
        self._most = most
        self._ids: OrderedDict[str, None] = OrderedDict()

    def add(self, event_id: str) -> bool:
        """Remember an event; False when it came before."""
        if event_id in self._ids:
            self._ids.move_to_end(event_id)
            return False
        self._ids[event_id] = None
        if len(self._ids) > self._most:
            self._ids.popitem(last=False)
        return True


def _events(body: bytes) -> list[Mapping[str, Any]]:
    try:
        document = read_json(body)
    except (ValueError, RecursionError):
        raise EventError("expected JSON") from None
    events = document if isinstance(document, list) else [document]
    if len(events) > MAX_EVENTS:
        raise EventError(f"expected at most {MAX_EVENTS} events, got {len(events)}")
    for event in events:
        if not isinstance(event, Mapping):
            raise EventError(f"expected events, got {type(event).__name__}")
    return events


def _text(members: Mapping[str, Any], name: str) -> str:
    value = _optional(members, name)
    if not value:
        raise EventError(f"{name}: expected a text, got {members.get(name)!r:.60}")
    return value


def _optional(members: Mapping[str, Any], name: str) -> str | None:
    value = members.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > MAX_TEXT_CHARS:
        raise EventError(
            f"{name}: expected a text of at most {MAX_TEXT_CHARS} characters, got {value!r:.60}"
        )
    return value


def _number(value: Any) -> int | None:
    return value if type(value) is int else None


def _identifier(data: Mapping[str, Any], name: str) -> Identifier:
    try:
        return Identifier.from_json(data.get(name))
    except ValueError as exc:
        raise EventError(f"{name}: {exc}") from None
