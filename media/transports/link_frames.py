"""The media link's binary messages: records out of bytes and back, without IO.

docs/media-link.md is the definition.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from ..pcm import FRAME_BYTES
from .base import RemoteProtocolError

VERSION: Final = 1
HEADER: Final = struct.Struct("<BBHIIIIHBBQ")
"""version, kind, flags, call, epoch, stream, sequence, payload_bytes, speakers, 0, timestamp."""

KIND_AUDIO: Final = 1
KIND_BYE: Final = 2

MIXED_STREAM: Final = 0
MAX_SPEAKERS: Final = 8
MAX_MESSAGE_BYTES: Final = 64 * 1024
MAX_REASON_BYTES: Final = 512
U32: Final = 0xFFFF_FFFF
U64: Final = 0xFFFF_FFFF_FFFF_FFFF


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a message: a frame of one stream, or a control record.

    Units:  timestamp in 100 ns ticks of the sender's clock. ``payload`` is 640 bytes for audio and
            the UTF-8 reason for bye; a kind that is not known carries whatever it likes.
    """

    kind: int
    flags: int
    call: int
    epoch: int
    stream: int
    sequence: int
    timestamp: int
    speakers: tuple[int, ...]
    payload: bytes


def pack(record: Record) -> bytes:
    """Write one record.

    Raises: ValueError when a field does not fit; a sender's own mistake.
    """
    if record.kind == KIND_AUDIO and len(record.payload) != FRAME_BYTES:
        raise ValueError(f"expected a frame of {FRAME_BYTES} bytes, got {len(record.payload)}")
    try:
        return b"".join(
            (
                HEADER.pack(
                    VERSION,
                    record.kind,
                    record.flags,
                    record.call,
                    record.epoch,
                    record.stream,
                    record.sequence,
                    len(record.payload),
                    len(record.speakers),
                    0,
                    record.timestamp,
                ),
                struct.pack(f"<{len(record.speakers)}I", *record.speakers),
                record.payload,
            )
        )
    except struct.error as exc:
        raise ValueError(f"expected fields that fit a record: {exc}") from exc


def pack_message(records: Iterable[Record]) -> bytes:
    """Write the records of one tick as one message."""
    return b"".join(map(pack, records))


def parse_message(message: bytes | str) -> list[Record]:
    """Read the records of one message.

    Raises: RemoteProtocolError unless the whole message is well formed; nothing of it is used then.
    """
    if isinstance(message, str):
        raise RemoteProtocolError("expected a binary message, got text")
    if not message:
        raise RemoteProtocolError("expected at least one record, got an empty message")
    if len(message) > MAX_MESSAGE_BYTES:
        raise RemoteProtocolError(
            f"expected at most {MAX_MESSAGE_BYTES} bytes in a message, got {len(message)}"
        )
    records = []
    offset = 0
    while offset < len(message):
        record, offset = _parse(message, offset)
        records.append(record)
    return records


def bye_reason(record: Record) -> str:
    """Return the reason that a bye carries, harmless to print.

    The far end chose it: control characters and what is not UTF-8 are replaced.
    """
    text = record.payload[:MAX_REASON_BYTES].decode("utf-8", "replace")
    return "".join(char if char.isprintable() else " " for char in text).strip()


def _parse(message: bytes, offset: int) -> tuple[Record, int]:
    if len(message) - offset < HEADER.size:
        raise RemoteProtocolError(
            f"expected a header of {HEADER.size} bytes, got {len(message) - offset}"
        )
    (version, kind, flags, call, epoch, stream, sequence, payload_bytes, speakers, _, timestamp) = (
        HEADER.unpack_from(message, offset)
    )
    if version != VERSION:
        raise RemoteProtocolError(f"expected version {VERSION}, got {version}")
    if speakers > MAX_SPEAKERS:
        raise RemoteProtocolError(f"expected at most {MAX_SPEAKERS} speakers, got {speakers}")
    if kind == KIND_AUDIO and payload_bytes != FRAME_BYTES:
        raise RemoteProtocolError(f"expected {FRAME_BYTES} bytes of audio, got {payload_bytes}")
    start = offset + HEADER.size + 4 * speakers
    end = start + payload_bytes
    if end > len(message):
        raise RemoteProtocolError(
            f"expected a record of {end - offset} bytes, got {len(message) - offset}"
        )
    return (
        Record(
            kind=kind,
            flags=flags,
            call=call,
            epoch=epoch,
            stream=stream,
            sequence=sequence,
            timestamp=timestamp,
            speakers=struct.unpack_from(f"<{speakers}I", message, offset + HEADER.size),
            payload=message[start:end],
        ),
        end,
    )
