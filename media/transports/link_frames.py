"""The media link's binary messages: records out of bytes and back, without IO.

docs/media-link.md is the definition; what control records carry is in link_control.py.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from ..pcm import FRAME_BYTES
from .base import RemoteProtocolError

VERSION: Final = 1
HEADER: Final = struct.Struct("<BBHIIIIHBBQ")
"""version, kind, flags, call, epoch, stream, sequence, payload_bytes, speakers, 0, timestamp."""

KIND_AUDIO: Final = 1
KIND_BYE: Final = 2
KIND_DTMF: Final = 3
KIND_MARK: Final = 4
KIND_MARK_DONE: Final = 5
KIND_CLEAR: Final = 6
KIND_STREAMS: Final = 7

THE_CALL: Final = 0
"""One connection carries one call's session; the header has room for more."""
MIXED_STREAM: Final = 0
MAX_SPEAKERS: Final = 8
MAX_MESSAGE_BYTES: Final = 64 * 1024
U32: Final = 0xFFFF_FFFF
U64: Final = 0xFFFF_FFFF_FFFF_FFFF

SILENT_PAYLOAD: Final = bytes(FRAME_BYTES)
"""What an audio record without payload stands for."""

_IDS: Final = tuple(struct.Struct(f"<{count}I") for count in range(MAX_SPEAKERS + 1))


class Record(NamedTuple):
    """One record of a message: a frame of one stream, or a control record.

    Units:  timestamp in 100 ns ticks of the sender's clock. ``payload`` is 640 bytes for audio, or
            none for digital silence; a kind that is not known carries whatever it likes.
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
    kind, flags, call, epoch, stream, sequence, timestamp, speakers, payload = record
    if kind == KIND_AUDIO and len(payload) not in (FRAME_BYTES, 0):
        raise ValueError(f"expected a frame of {FRAME_BYTES} bytes or none, got {len(payload)}")
    if len(speakers) > MAX_SPEAKERS:
        raise ValueError(f"expected at most {MAX_SPEAKERS} speakers, got {len(speakers)}")
    try:
        header = HEADER.pack(
            VERSION,
            kind,
            flags,
            call,
            epoch,
            stream,
            sequence,
            len(payload),
            len(speakers),
            0,
            timestamp,
        )
        return b"".join((header, _IDS[len(speakers)].pack(*speakers), payload))
    except struct.error as exc:
        raise ValueError(f"expected fields that fit a record: {exc}") from exc


def pack_message(records: Iterable[Record]) -> bytes:
    """Write the records of one tick as one message."""
    return b"".join(map(pack, records))


def messages_of(records: Sequence[bytes]) -> list[bytes]:
    """Put packed records into as few messages as they fit in, in their order."""
    if sum(map(len, records)) <= MAX_MESSAGE_BYTES:
        return [b"".join(records)] if records else []
    messages: list[bytes] = []
    room, waiting = MAX_MESSAGE_BYTES, list[bytes]()
    for record in records:
        if len(record) > room:
            messages.append(b"".join(waiting))
            room, waiting = MAX_MESSAGE_BYTES, []
        waiting.append(record)
        room -= len(record)
    messages.append(b"".join(waiting))
    return messages


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
    if kind == KIND_AUDIO and payload_bytes != FRAME_BYTES and payload_bytes:
        raise RemoteProtocolError(
            f"expected {FRAME_BYTES} bytes of audio or none, got {payload_bytes}"
        )
    start = offset + HEADER.size + 4 * speakers
    end = start + payload_bytes
    if end > len(message):
        raise RemoteProtocolError(
            f"expected a record of {end - offset} bytes, got {len(message) - offset}"
        )
    ids = _IDS[speakers].unpack_from(message, offset + HEADER.size) if speakers else ()
    payload = message[start:end]
    return Record(kind, flags, call, epoch, stream, sequence, timestamp, ids, payload), end
