"""What is asked of Azure Communication Services' call control, as its JSON has it. Pure.

Source: REST API of Call Automation, version 2026-03-12.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import urlsplit

from .identifiers import Identifier

Channels: TypeAlias = Literal["mixed", "unmixed"]
RejectReason: TypeAlias = Literal["none", "busy", "forbidden"]
FORMATS: Final[Mapping[int, str]] = {16_000: "pcm16KMono", 24_000: "pcm24KMono"}
CHANNELS: Final = ("mixed", "unmixed")
REJECT_REASONS: Final = ("none", "busy", "forbidden")
MAX_CONTEXT_CHARS: Final = 1024
"""Of ``operationContext``: ours is an id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaStreaming:
    """How a call's audio comes to the bot: over a WebSocket that the service opens to *url*.

    Units:  rate_hz is 16000 or 24000. ``start`` begins with the call; else ask for it later.
    Raises: ValueError on another scheme than wss, another rate, other channels.
    """

    url: str
    channels: Channels = "mixed"
    rate_hz: int = 16_000
    start: bool = True
    bidirectional: bool = True
    tones: bool = True

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme != "wss" or not parts.hostname:
            raise ValueError(f"media streaming: expected a wss URL, got {self.url!r:.80}")
        if self.channels not in CHANNELS:
            raise ValueError(f"media streaming: expected {CHANNELS}, got {self.channels!r}")
        if self.rate_hz not in FORMATS:
            raise ValueError(f"media streaming: expected {set(FORMATS)} Hz, got {self.rate_hz!r}")

    def to_json(self) -> dict[str, Any]:
        """Return ``mediaStreamingOptions``."""
        return {
            "transportType": "websocket",
            "transportUrl": self.url,
            "audioChannelType": self.channels,
            "contentType": "audio",
            "startMediaStreaming": self.start,
            "enableBidirectional": self.bidirectional,
            "audioFormat": FORMATS[self.rate_hz],
            "enableDtmfTones": self.tones,
        }


def create_body(
    targets: Sequence[Identifier],
    callback_uri: str,
    *,
    caller_number: str | None = None,
    display_name: str | None = None,
    context: str | None = None,
    streaming: MediaStreaming | None = None,
) -> dict[str, Any]:
    """Return the body that calls *targets*.

    Raises: ValueError without a target, or when a telephone is called and no *caller_number* is
            given: the service would say so only after the call has failed.
    """
    if not targets:
        raise ValueError("expected somebody to call, got no targets")
    if caller_number is None and any(who.kind == "phoneNumber" for who in targets):
        raise ValueError("a telephone is called from a number: expected caller_number, got none")
    body: dict[str, Any] = {
        "targets": [who.to_json() for who in targets],
        "callbackUri": callback_uri,
    }
    if caller_number is not None:
        body["sourceCallerIdNumber"] = {"value": Identifier.phone(caller_number).value}
    if display_name is not None:
        body["sourceDisplayName"] = display_name
    return _with_options(body, context, streaming)


def answer_body(
    incoming_call_context: str,
    callback_uri: str,
    *,
    context: str | None = None,
    streaming: MediaStreaming | None = None,
) -> dict[str, Any]:
    """Return the body that answers a call. Raises: ValueError without its context."""
    body = {"incomingCallContext": _incoming(incoming_call_context), "callbackUri": callback_uri}
    return _with_options(body, context, streaming)


def reject_body(incoming_call_context: str, reason: RejectReason = "none") -> dict[str, Any]:
    """Return the body that turns a call away. Raises: ValueError on another reason."""
    if reason not in REJECT_REASONS:
        raise ValueError(f"expected one of {REJECT_REASONS}, got {reason!r}")
    return {
        "incomingCallContext": _incoming(incoming_call_context),
        "callRejectReason": reason,
    }


def redirect_body(incoming_call_context: str, target: Identifier) -> dict[str, Any]:
    """Return the body that sends a call on to somebody else."""
    return {
        "incomingCallContext": _incoming(incoming_call_context),
        "target": target.to_json(),
    }


def operation_body(context: str | None = None, **members: Any) -> dict[str, Any]:
    """Return the body of an operation in a call."""
    return _with_options(dict(members), context, None)


def _incoming(context: str) -> str:
    if not context:
        raise ValueError("expected the incomingCallContext of an IncomingCall event, got none")
    return context


def _with_options(
    body: dict[str, Any], context: str | None, streaming: MediaStreaming | None
) -> dict[str, Any]:
    if context is not None:
        if len(context) > MAX_CONTEXT_CHARS:
            raise ValueError(
                f"operation context: expected at most {MAX_CONTEXT_CHARS} characters,"
                f" got {len(context)}"
            )
        body["operationContext"] = context
    if streaming is not None:
        body["mediaStreamingOptions"] = streaming.to_json()
    return body
