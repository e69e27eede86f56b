"""What a caller's device may say, from text to typed requests. Pure.

docs/rtc-signalling.md is the definition.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, get_args

SDP_CHARS: Final = 64 * 1024
ID_CHARS: Final = 512
JOIN_URL_CHARS: Final = 4096
KEYS: Final = "0123456789*#ABCD"

BURST_MESSAGES: Final = 100
MESSAGES_PER_S: Final = 20.0
"""What one device may send: more than hands on a keypad, less than a flood."""

BAD_MESSAGE: Final = 4400
BAD_TOKEN: Final = 4401
NOT_REGISTERED_IN_TIME: Final = 4408
TOO_SLOW: Final = 4429
"""Also for too fast: the error's code tells which."""

ShareAction: TypeAlias = Literal["start", "update", "stop"]


class ProtocolError(Exception):
    """A message that the signalling does not know: the socket is closed."""

    def __init__(self, close_code: int, code: str, message: str) -> None:
        super().__init__(message)
        self.close_code, self.code, self.message = close_code, code, message


class RtcError(Exception):
    """What a device asked for cannot be done; the code is for programs. The socket stays open."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


@dataclass(frozen=True, slots=True)
class Answer:
    """Take a ringing call with the device's offer."""

    call_id: str
    sdp: str


@dataclass(frozen=True, slots=True)
class Decline:
    """Refuse a ringing call, for all devices of the user."""

    call_id: str


@dataclass(frozen=True, slots=True)
class HangUp:
    """Leave a call, or stop calling."""

    call_id: str


@dataclass(frozen=True, slots=True)
class Reoffer:
    """Carry a call over a new peer connection."""

    call_id: str
    sdp: str


@dataclass(frozen=True, slots=True)
class CallApp:
    """Ring an application."""

    app_id: str
    sdp: str
    policy_recording: bool


@dataclass(frozen=True, slots=True)
class JoinMeeting:
    """Join a meeting: exactly one of its join id, its thread and its join URL is given."""

    join_meeting_id: str | None
    passcode: str | None
    thread_id: str | None
    join_url: str | None
    sdp: str


@dataclass(frozen=True, slots=True)
class Tone:
    """Press one key of the keypad."""

    call_id: str
    key: str


@dataclass(frozen=True, slots=True)
class Mute:
    """Mute or unmute one's own voice."""

    call_id: str
    muted: bool


@dataclass(frozen=True, slots=True)
class Hold:
    """Put the call on hold, or take it up again."""

    call_id: str
    held: bool


@dataclass(frozen=True, slots=True)
class Share:
    """Start, change or end the sharing of content."""

    call_id: str
    action: ShareAction


Request: TypeAlias = (
    Answer | Decline | HangUp | Reoffer | CallApp | JoinMeeting | Tone | Mute | Hold | Share
)


class RateLimit:
    """A token bucket; the caller brings the clock."""

    def __init__(self, burst: int, per_s: float) -> None:
        self._burst, self._per_s = float(burst), per_s
        self._left = self._burst
        self._last_s: float | None = None

    def take(self, now_s: float) -> bool:
        """Take one message; say whether it was still allowed."""
        if self._last_s is not None:
            self._left = min(self._burst, self._left + (now_s - self._last_s) * self._per_s)
        self._last_s = now_s
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True


def read_message(text: str | None) -> dict[str, Any]:
    """Return the JSON object of *text*, which has a type.

    Raises: ProtocolError.
    """
    try:
        message = json.loads(text or "")
    except (ValueError, RecursionError):
        message = None
    if not isinstance(message, dict):
        raise ProtocolError(BAD_MESSAGE, "badMessage", "expected a JSON object as text")
    text_of(message, "type", ID_CHARS)
    return message


def parse_request(message: dict[str, Any]) -> Request:
    """Return what a registered device asks for.

    Raises: ProtocolError for a message of another protocol; RtcError for a value that will not do.
    """
    try:
        # An escape may spell half a surrogate pair, which no store could hold.
        json.dumps(message, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ProtocolError(BAD_MESSAGE, "badMessage", "expected text in Unicode") from None
    kind = message["type"]
    if kind == "call":
        return CallApp(
            text_of(message, "appId", ID_CHARS), _sdp(message), _flag(message, "policyRecording")
        )
    if kind == "join":
        return _join(message)
    if kind not in _OF_A_CALL:
        known = ", ".join(("call", "join", *_OF_A_CALL))
        raise ProtocolError(BAD_MESSAGE, "badMessage", f"type: expected one of {known}")
    call_id = text_of(message, "callId", ID_CHARS)
    match kind:
        case "answer":
            return Answer(call_id, _sdp(message))
        case "reoffer":
            return Reoffer(call_id, _sdp(message))
        case "decline":
            return Decline(call_id)
        case "hangup":
            return HangUp(call_id)
        case "tone":
            return Tone(call_id, _key(message))
        case "share":
            return Share(call_id, _action(message))
        case "mute" | "unmute":
            return Mute(call_id, kind == "mute")
        case _:
            return Hold(call_id, kind == "hold")


_OF_A_CALL: Final = (
    *("answer", "decline", "hangup", "reoffer"),
    *("tone", "mute", "unmute", "hold", "resume", "share"),
)


def text_of(message: dict[str, Any], key: str, most_chars: int) -> str:
    """Return the text of a member that must be there.

    Raises: ProtocolError.
    """
    value = message.get(key)
    if not isinstance(value, str) or not value:
        raise ProtocolError(BAD_MESSAGE, "badMessage", f"{key}: expected a text")
    if len(value) > most_chars:
        raise ProtocolError(
            BAD_MESSAGE, "badMessage", f"{key}: expected at most {most_chars} characters"
        )
    return value


def _join(message: dict[str, Any]) -> JoinMeeting:
    join_id = _optional(message, "joinMeetingId", ID_CHARS)
    thread_id = _optional(message, "threadId", ID_CHARS)
    join_url = _optional(message, "joinUrl", JOIN_URL_CHARS)
    if sum(given is not None for given in (join_id, thread_id, join_url)) != 1:
        raise ProtocolError(
            BAD_MESSAGE, "badMessage", "expected exactly one of joinMeetingId, threadId, joinUrl"
        )
    passcode = _optional(message, "passcode", ID_CHARS)
    return JoinMeeting(join_id, passcode, thread_id, join_url, _sdp(message))


def _optional(message: dict[str, Any], key: str, most_chars: int) -> str | None:
    return None if message.get(key) is None else text_of(message, key, most_chars)


def _flag(message: dict[str, Any], key: str) -> bool:
    value = message.get(key)
    if value is not None and not isinstance(value, bool):
        raise ProtocolError(BAD_MESSAGE, "badMessage", f"{key}: expected true or false")
    return bool(value)


def _sdp(message: dict[str, Any]) -> str:
    value = message.get("sdp")
    if not isinstance(value, str) or not value:
        raise ProtocolError(BAD_MESSAGE, "badMessage", "sdp: expected a text")
    if len(value) > SDP_CHARS:
        raise RtcError("badSdp", f"expected at most {SDP_CHARS} characters of SDP")
    return value


def _key(message: dict[str, Any]) -> str:
    value = text_of(message, "tone", ID_CHARS)
    if len(value) != 1 or value.upper() not in KEYS:
        raise RtcError("badTone", f"tone: expected one key of {KEYS}")
    return value.upper()


def _action(message: dict[str, Any]) -> ShareAction:
    value = text_of(message, "action", ID_CHARS)
    for action in get_args(ShareAction):
        if value == action:
            return action  # type: ignore[no-any-return]
    expected = ", ".join(get_args(ShareAction))
    raise ProtocolError(BAD_MESSAGE, "badMessage", f"action: expected one of {expected}")
