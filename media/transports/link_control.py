"""What the media link's control records carry, out of bytes and back. No IO.

They are made without an epoch: whoever sends them knows the present one.

docs/media-link.md is the definition.
"""

from __future__ import annotations

import struct
from typing import Final

from ..peer import KEYS
from .base import RemoteProtocolError
from .link_frames import (
    KIND_BYE,
    KIND_CLEAR,
    KIND_DTMF,
    KIND_MARK,
    KIND_MARK_DONE,
    KIND_STREAMS,
    MIXED_STREAM,
    THE_CALL,
    Record,
)

MAX_REASON_BYTES: Final = 512
MAX_MARK_BYTES: Final = 256
MAX_TONE_MS: Final = 60_000
WANT_MIXED: Final = 1
WANT_SPEAKERS: Final = 2

_DTMF: Final = struct.Struct("<Hc")
"""duration_ms, key."""


def bye(reason: str, stream: int = MIXED_STREAM) -> Record:
    """Say that the call's media end, or one speaker's stream."""
    return _record(KIND_BYE, reason.encode()[:MAX_REASON_BYTES], stream)


def bye_reason(record: Record) -> str:
    """Return the reason that a bye carries, harmless to print.

    The far end chose it: control characters and what is not UTF-8 are replaced.
    """
    text = record.payload[:MAX_REASON_BYTES].decode("utf-8", "replace")
    return "".join(char if char.isprintable() else " " for char in text).strip()


def dtmf(key: str, duration_ms: int = 0) -> Record:
    """Say that *key* was pressed; a duration of 0 is not known.

    Raises: ValueError on what is no key, or lasts over a minute.
    """
    if len(key) != 1 or key.upper() not in KEYS:
        raise ValueError(f"expected one of {KEYS}, got {key!r}")
    if not 0 <= duration_ms <= MAX_TONE_MS:
        raise ValueError(f"duration_ms: expected 0 to {MAX_TONE_MS}, got {duration_ms}")
    return _record(KIND_DTMF, _DTMF.pack(duration_ms, key.upper().encode()))


def read_dtmf(record: Record) -> tuple[str, int]:
    """Return key and duration in ms. Raises: RemoteProtocolError."""
    if len(record.payload) != _DTMF.size:
        raise RemoteProtocolError(f"expected {_DTMF.size} bytes of DTMF, got {len(record.payload)}")
    duration_ms, key = _DTMF.unpack(record.payload)
    if key not in KEYS.encode() or duration_ms > MAX_TONE_MS:
        raise RemoteProtocolError(
            f"expected one of {KEYS} for at most {MAX_TONE_MS} ms, got {key!r} for {duration_ms}"
        )
    return key.decode(), duration_ms


def mark(name: str) -> Record:
    """Ask to hear when what was sent before was played.

    Raises: ValueError on a name that is empty or longer than 256 bytes of UTF-8.
    """
    return _record(KIND_MARK, _mark_name(name))


def read_mark(record: Record) -> str:
    """Return a mark's name. Raises: RemoteProtocolError."""
    return _read_name(record.payload)


def mark_done(name: str, *, played: bool) -> Record:
    """Say that a mark was played, or cleared before it was."""
    return _record(KIND_MARK_DONE, bytes((played,)) + _mark_name(name))


def read_mark_done(record: Record) -> tuple[str, bool]:
    """Return a mark's name and whether it was played. Raises: RemoteProtocolError."""
    if record.payload[:1] not in (b"\0", b"\1"):
        raise RemoteProtocolError("expected 0 or 1 before a mark's name")
    return _read_name(record.payload[1:]), record.payload[0] == 1


def clear() -> Record:
    """Ask to drop what was sent and is not played."""
    return _record(KIND_CLEAR, b"")


def streams(*, mixed: bool, speakers: bool) -> Record:
    """Say which streams are wanted from now on."""
    return _record(KIND_STREAMS, bytes((WANT_MIXED * mixed | WANT_SPEAKERS * speakers,)))


def read_streams(record: Record) -> tuple[bool, bool]:
    """Return whether the mix is wanted, and the speakers. Raises: RemoteProtocolError."""
    if len(record.payload) != 1:
        raise RemoteProtocolError(f"expected one byte of streams, got {len(record.payload)}")
    wanted = record.payload[0]
    return bool(wanted & WANT_MIXED), bool(wanted & WANT_SPEAKERS)


def _record(kind: int, payload: bytes, stream: int = MIXED_STREAM) -> Record:
    return Record(kind, 0, THE_CALL, 0, stream, 0, 0, (), payload)


def _mark_name(name: str) -> bytes:
    try:
        data = name.encode()
    except UnicodeEncodeError:
        raise ValueError("expected a mark's name that has a UTF-8 form") from None
    if not 0 < len(data) <= MAX_MARK_BYTES:
        raise ValueError(
            f"expected a mark's name of 1 to {MAX_MARK_BYTES} bytes in UTF-8, got {len(data)}"
        )
    return data


def _read_name(data: bytes) -> str:
    if not 0 < len(data) <= MAX_MARK_BYTES:
        raise RemoteProtocolError(
            f"expected a mark's name of 1 to {MAX_MARK_BYTES} bytes, got {len(data)}"
        )
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise RemoteProtocolError("expected a mark's name in UTF-8") from None
