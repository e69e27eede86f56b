"""What a telephony stream is, whatever its JSON: its events, and the messages a bot sends.

One file a dialect implements this without IO; ``transport.py`` carries any of them.
"""

from __future__ import annotations

import binascii
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeAlias

from ...dtmf import KEYS
from ..base import RemoteProtocolError

MAX_MESSAGE_CHARS: Final = 128 * 1024
"""What the server takes, too; a frame of 20 ms is 1 kB."""
MAX_AUDIO_BYTES: Final = 64 * 1024
"""1.3 s of 24 kHz: nobody sends a call's audio in larger pieces."""
MAX_ID_CHARS: Final = 512
"""Raw ids of participants are under 200."""
MAX_NAME_CHARS: Final = 256
"""Of a mark."""
RATES_HZ: Final = (8_000, 16_000, 24_000, 48_000)


@dataclass(frozen=True, slots=True)
class StreamFormat:
    """How a stream's audio comes and goes.

    Units:  frame_bytes is what the far end says that a message of 20 ms carries, 0 if it does not;
            ``pcm`` is int16 little-endian, ``mulaw`` G.711.
    """

    encoding: str
    rate_hz: int
    frame_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Started:
    """The stream's first word: from now on audio may be sent. It comes again after a reconnect.

    ``tracks`` are the speakers that come apart from the beginning, empty for a mix, or when the
    audio itself tells. ``parameters`` is what the caller's side added.
    """

    format: StreamFormat
    stream_id: str | None = None
    call_id: str | None = None
    tracks: tuple[str, ...] = ()
    parameters: Mapping[str, str] = field(default_factory=dict)
    takes_audio: bool = True
    """Whether anything may be sent; some streams are there to be listened to."""


@dataclass(frozen=True, slots=True)
class Audio:
    """Audio of one speaker, or of the mix (None), as it came.

    Units:  time_ms on the sender's clock, None when it does not tell. ``silent`` is what the far
            end says of it; nothing said is not silence.
    """

    payload: bytes
    speaker: str | None = None
    time_ms: float | None = None
    silent: bool = False


@dataclass(frozen=True, slots=True)
class KeyPressed:
    """A key, once for each press."""

    key: str
    speaker: str | None = None


@dataclass(frozen=True, slots=True)
class MarkPlayed:
    """What was sent before the mark was played, or dropped by a clear (None: it does not say)."""

    name: str
    played: bool | None


@dataclass(frozen=True, slots=True)
class Stopped:
    """The far end ends the stream."""

    reason: str


@dataclass(frozen=True, slots=True)
class Ignored:
    """A message that is of no use here: counted by its *kind*."""

    kind: str


Event: TypeAlias = Started | Audio | KeyPressed | MarkPlayed | Stopped | Ignored


class Dialect(Protocol):
    """One stream's messages, both ways. Pure: nothing here waits, sends or looks at a clock."""

    name: str
    marks: bool
    """Whether the far end says when a mark was played; else that is reckoned from the pace."""
    resumes: bool
    """Whether the far end comes back, by a new socket, when one was lost."""
    steady: bool
    """Whether its audio never pauses, so that 2 s without any means that the way is lost."""

    def parse(self, message: str | bytes) -> Event:
        """Read one message.

        Raises: RemoteProtocolError saying what was expected and what came; the stream lives.
        """

    def write_audio(self, payload: bytes) -> str:
        """Write a message with a frame for the far end, in its own format."""

    def write_mark(self, name: str) -> str | None:
        """Write a mark, or None without :attr:`marks`."""

    def write_clear(self) -> str:
        """Write that the far end shall drop what it has not played."""


DialectFactory: TypeAlias = Callable[[], Dialect]


def read_object(message: str | bytes) -> dict[str, Any]:
    """Read a text message that is one JSON object.

    Raises: RemoteProtocolError.
    """
    if not isinstance(message, str):
        raise RemoteProtocolError(f"expected a text message, got {len(message)} bytes of binary")
    if len(message) > MAX_MESSAGE_CHARS:
        raise RemoteProtocolError(
            f"expected at most {MAX_MESSAGE_CHARS} characters, got {len(message)}"
        )
    try:
        value = json.loads(message)
        if "\\u" in message:
            # An escape may spell half a surrogate pair, which nothing that shows it can write.
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise RemoteProtocolError(f"expected JSON, got {message[:40]!r}") from None
    if not isinstance(value, dict):
        raise RemoteProtocolError(f"expected a JSON object, got {type(value).__name__}")
    return value


def lowered(members: object, what: str) -> dict[str, Any]:
    """Return the members of an object by their names in lower case; the first of two counts.

    Raises: RemoteProtocolError when it is no object.
    """
    if not isinstance(members, dict):
        raise RemoteProtocolError(f"{what}: expected an object, got {type(members).__name__}")
    result: dict[str, Any] = {}
    for name, value in members.items():
        result.setdefault(name.lower(), value)
    return result


def read_key(value: object) -> str:
    """Read a key of a telephone.

    Raises: RemoteProtocolError.
    """
    key = value.strip().upper() if isinstance(value, str) else ""
    if len(key) != 1 or key not in KEYS:
        raise RemoteProtocolError(f"expected a key of {KEYS}, got {shown(value)}")
    return key


def read_name(value: object, what: str, most: int = MAX_ID_CHARS) -> str | None:
    """Read a text that names something; None and "" are nothing.

    Raises: RemoteProtocolError on anything else, and on too long ones.
    """
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > most:
        raise RemoteProtocolError(f"{what}: expected a text of at most {most}, got {shown(value)}")
    return value


def read_base64(value: object, what: str) -> bytes:
    """Read base64 of an even or odd number of bytes, at least one.

    Raises: RemoteProtocolError.
    """
    if not isinstance(value, str):
        raise RemoteProtocolError(f"{what}: expected base64, got {shown(value)}")
    try:
        payload = binascii.a2b_base64(value, strict_mode=True)
    except (binascii.Error, ValueError):
        raise RemoteProtocolError(f"{what}: expected base64, got {shown(value)}") from None
    if not 0 < len(payload) <= MAX_AUDIO_BYTES:
        raise RemoteProtocolError(
            f"{what}: expected 1 to {MAX_AUDIO_BYTES} bytes, got {len(payload)}"
        )
    return payload


def check_format(encoding: str, rate_hz: object, channels: object, frame_bytes: object) -> None:
    """Check that audio of this kind can be carried.

    Raises: RemoteProtocolError naming what was expected and what came.
    """
    if not isinstance(rate_hz, int) or rate_hz not in RATES_HZ:
        rates = ", ".join(map(str, RATES_HZ))
        raise RemoteProtocolError(
            f"{encoding}: expected a rate of {rates} Hz, got {shown(rate_hz)}"
        )
    if channels != 1 or isinstance(channels, bool):
        raise RemoteProtocolError(f"{encoding}: expected 1 channel, got {shown(channels)}")
    if type(frame_bytes) is not int or not 0 <= frame_bytes <= MAX_AUDIO_BYTES:
        raise RemoteProtocolError(
            f"{encoding}: expected frames of at most {MAX_AUDIO_BYTES} bytes, got"
            f" {shown(frame_bytes)}"
        )


def check_mark_name(name: str) -> None:
    """Check the name of a mark that we send.

    Raises: ValueError.
    """
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME_CHARS:
        raise ValueError(f"expected a name of 1 to {MAX_NAME_CHARS} characters, got {name!r:.80}")


def shown(value: object) -> str:
    """Return *value* as a message may quote it."""
    return repr(value)[:60]
