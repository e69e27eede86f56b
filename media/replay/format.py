"""The capture file: what a call heard and was told, in order, with the time of each. Pure.

docs/capture.md describes it for those who read it without this module.
"""

from __future__ import annotations

import json
import logging
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, BinaryIO, Final

import numpy as np

from ..pcm import FRAME_BYTES, FRAME_SAMPLES, KNOWN_FLAGS, AudioFrame

log = logging.getLogger("mixminus.media.replay")

MAGIC: Final = b"MMCAPT1\n"
RECORD: Final = struct.Struct("<BBHIq")
"""kind, flags, zero, payload bytes, time in 100 ns ticks since the capture began."""
SOURCE_ID: Final = struct.Struct("<I")
MAX_PAYLOAD_BYTES: Final = 16 * 2**20
"""What a damaged file may make its reader allocate."""
MAX_TIME: Final = 7 * 24 * 3600 * 10_000_000
"""A week: what a damaged file may make a replay wait for, tick by tick."""

SILENCE: Final = np.zeros(FRAME_SAMPLES, np.int16)


class CaptureError(ValueError):
    """A file that is no capture; the message says what was expected and what came."""


class Kind(IntEnum):
    """What a record is."""

    HEADER = 1
    NOTIFICATION = 2
    EXCHANGE = 3
    MIXED = 4
    SPEAKER = 5
    OWN = 6
    EVENT = 7
    END = 8


AUDIO: Final = frozenset({Kind.MIXED, Kind.SPEAKER, Kind.OWN})


@dataclass(frozen=True, slots=True)
class Record:
    """Something that was said to the bot, or that it asked for. Units: 100 ns ticks."""

    kind: Kind
    time: int
    content: Mapping[str, Any]

    def encode(self) -> bytes:
        """Return the record as the file has it."""
        # In ASCII: a name may hold half a character, which has no UTF-8 form.
        payload = json.dumps(self.content, separators=(",", ":")).encode()
        return RECORD.pack(self.kind, 0, 0, len(payload), self.time) + payload


@dataclass(frozen=True, slots=True)
class TickRecord:
    """One tick: the mix, each speaker, what the bot said. Units: 100 ns ticks."""

    time: int
    mixed: AudioFrame
    speakers: Mapping[int, AudioFrame] = field(default_factory=dict)
    own: AudioFrame | None = None

    @property
    def kind(self) -> Kind:
        """What the first of its records is."""
        return Kind.MIXED

    def encode(self) -> bytes:
        """Return the tick's records as the file has them."""
        parts = [self._frame(Kind.MIXED, b"", self.mixed)]
        for source_id, frame in self.speakers.items():
            parts.append(self._frame(Kind.SPEAKER, SOURCE_ID.pack(source_id), frame))
        if self.own is not None:
            parts.append(self._frame(Kind.OWN, b"", self.own))
        return b"".join(parts)

    def _frame(self, kind: Kind, head: bytes, frame: AudioFrame) -> bytes:
        # Digital silence is a record without samples: most of a call is.
        payload = head + (frame.astype("<i2", copy=False).tobytes() if frame.any() else b"")
        return RECORD.pack(kind, frame.frame_flags, 0, len(payload), self.time) + payload


def read_capture(file: BinaryIO) -> Iterator[Record | TickRecord]:
    """Read a capture's records in order; the first is the header. One cut short ends it.

    Raises: CaptureError when it is no capture, or damaged.
    """
    magic = file.read(len(MAGIC))
    if magic != MAGIC:
        raise CaptureError(f"expected a capture, which begins with {MAGIC!r}, got {magic!r}")
    tick: TickRecord | None = None
    for kind, flags, time, payload in _records(file):
        if tick is not None and (kind not in AUDIO or kind is Kind.MIXED or time != tick.time):
            yield tick
            tick = None
        if kind not in AUDIO:
            yield Record(kind, time, _content(kind, payload))
        elif kind is Kind.MIXED:
            tick = TickRecord(time, _frame_of(payload, time, flags))
        elif tick is None:
            raise CaptureError(f"expected a mixed frame before {kind.name} of the same tick")
        elif kind is Kind.SPEAKER:
            if len(payload) < SOURCE_ID.size:
                raise CaptureError(f"expected a source id, got {len(payload)} bytes")
            (source_id,) = SOURCE_ID.unpack_from(payload)
            frame = _frame_of(payload[SOURCE_ID.size :], time, flags)
            tick = TickRecord(time, tick.mixed, {**tick.speakers, source_id: frame}, tick.own)
        else:
            tick = TickRecord(time, tick.mixed, tick.speakers, _frame_of(payload, time, flags))
    if tick is not None:
        yield tick


def whole_bytes(file: BinaryIO) -> int:
    """Return where the last whole record of a capture ends: what a crash left is cut there.

    What is no record ends it, too: a machine that lost its power leaves zeros.
    Raises: CaptureError when it is no capture.
    """
    if file.read(len(MAGIC)) != MAGIC:
        raise CaptureError("expected a capture")
    end = len(MAGIC)
    try:
        for _, _, _, payload in _records(file):
            end += RECORD.size + len(payload)
    except CaptureError as exc:
        log.warning("a capture is read until %d bytes: %s", end, exc)
    return end


def parse_head(head: bytes) -> tuple[Kind, int, int, int]:
    """Return what a record is, its flags, how long its payload is, and its time in 100 ns ticks.

    Raises: CaptureError when it is no record's.
    """
    number, flags, zero, size, time = RECORD.unpack(head)
    try:
        kind = Kind(number)
    except ValueError:
        raise CaptureError(f"expected a record of kind 1 to 8, got {number}") from None
    if size > MAX_PAYLOAD_BYTES or zero:
        raise CaptureError(f"expected a record of at most {MAX_PAYLOAD_BYTES} bytes, got {size}")
    if abs(time) > MAX_TIME:
        raise CaptureError(f"expected a time within a week, got {time / 1e7:.0f} s")
    return kind, flags, size, time


def _records(file: BinaryIO) -> Iterator[tuple[Kind, int, int, bytes]]:
    while len(head := file.read(RECORD.size)) == RECORD.size:
        kind, flags, size, time = parse_head(head)
        payload = file.read(size)
        if len(payload) < size:
            return
        yield kind, flags, time, payload


def _content(kind: Kind, payload: bytes) -> Mapping[str, Any]:
    try:
        content = json.loads(payload)
    except (ValueError, RecursionError):
        raise CaptureError(f"{kind.name}: expected JSON") from None
    if not isinstance(content, dict):
        raise CaptureError(f"{kind.name}: expected an object, got {type(content).__name__}")
    return content


def _frame_of(payload: bytes, time: int, flags: int) -> AudioFrame:
    if not payload:
        return AudioFrame.of(SILENCE, time, flags & KNOWN_FLAGS)
    if len(payload) != FRAME_BYTES:
        raise CaptureError(f"expected a frame of {FRAME_BYTES} bytes or none, got {len(payload)}")
    return AudioFrame.of(np.frombuffer(payload, "<i2").astype(np.int16), time, flags & KNOWN_FLAGS)
