"""What is in a capture and where, without its audio: for those who look into one. Pure."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, Final

from .format import MAGIC, RECORD, SOURCE_ID, CaptureError, Kind, parse_head

MAX_RECORDS: Final = 8_000_000
"""Four hours of nine speakers; more are not looked at."""
MAX_TOLD: Final = 200_000
"""Notifications, exchanges and events; more are not looked at."""
END_BYTES: Final = RECORD.size + len(b"{}")


@dataclass(frozen=True, slots=True)
class Place:
    """Where what was told is in a file. Units: 100 ns ticks, bytes."""

    kind: Kind
    time: int
    offset: int
    """Of the payload."""
    size: int


@dataclass(slots=True)
class CaptureIndex:
    """What a capture holds. Units: 100 ns ticks, frames of 20 ms.

    ``error`` says why the end was not reached: what comes before it is here.
    """

    header: Place
    told: list[Place] = field(default_factory=list)
    """In the order of the file, without header and end."""
    mixed_frames: int = 0
    own_frames: int = 0
    speaker_frames: dict[int, int] = field(default_factory=dict)
    """By source id."""
    last_time: int = 0
    has_end: bool = False
    error: str | None = None


def index_capture(file: BinaryIO) -> CaptureIndex:
    """Look through a capture; its audio is passed over.

    Raises: CaptureError when it is no capture, or its header is damaged; OSError.
    """
    header = read_header_place(file)
    index = CaptureIndex(header)
    file.seek(header.offset + header.size)
    try:
        for number, place in enumerate(_places(file)):
            _count(index, file, place)
            if number >= MAX_RECORDS or len(index.told) >= MAX_TOLD:
                index.error = f"there is more in it than the {number + 1} records shown"
                break
    except CaptureError as exc:
        index.error = str(exc)
    return index


def read_header_place(file: BinaryIO) -> Place:
    """Return where the header of a capture is; *file* stands at its beginning.

    Raises: CaptureError when there is none; OSError.
    """
    magic = file.read(len(MAGIC))
    if magic != MAGIC:
        raise CaptureError(f"expected a capture, which begins with {MAGIC!r}, got {magic!r}")
    place = next(_places(file), None)
    if place is None or place.kind is not Kind.HEADER:
        came = "the end of the file" if place is None else place.kind.name
        raise CaptureError(f"expected a header first, got {came}")
    return place


def end_time(file: BinaryIO) -> int | None:
    """Return the time of a capture's end, in 100 ns ticks; None of one that was not closed.

    Raises: OSError.
    """
    size = file.seek(0, os.SEEK_END)
    if size < len(MAGIC) + END_BYTES:
        return None
    file.seek(size - END_BYTES)
    head = file.read(RECORD.size)
    if file.read(2) != b"{}" or len(head) < RECORD.size:
        return None
    try:
        kind, _, payload_bytes, time = parse_head(head)
    except CaptureError:
        return None  # Samples at the end of one that was cut there.
    return max(0, time) if kind is Kind.END and payload_bytes == 2 else None


def _places(file: BinaryIO) -> Iterator[Place]:
    offset = file.tell()
    size = os.fstat(file.fileno()).st_size
    while len(head := file.read(RECORD.size)) == RECORD.size:
        kind, _, payload_bytes, time = parse_head(head)
        offset += RECORD.size
        if offset + payload_bytes > size:
            return
        yield Place(kind, time, offset, payload_bytes)
        offset += payload_bytes
        file.seek(offset)


def _count(index: CaptureIndex, file: BinaryIO, place: Place) -> None:
    index.last_time = max(index.last_time, place.time)
    if place.kind is Kind.MIXED:
        index.mixed_frames += 1
    elif place.kind is Kind.OWN:
        index.own_frames += 1
    elif place.kind is Kind.SPEAKER:
        if place.size < SOURCE_ID.size:
            raise CaptureError(f"expected a source id, got {place.size} bytes")
        (source_id,) = SOURCE_ID.unpack(file.read(SOURCE_ID.size))
        index.speaker_frames[source_id] = index.speaker_frames.get(source_id, 0) + 1
    elif place.kind is Kind.END:
        index.has_end = True
    elif place.kind is not Kind.HEADER:
        index.told.append(place)
