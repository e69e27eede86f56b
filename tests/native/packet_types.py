"""The structs of native/rtp.h, rtcp.h, reception.h and telephone.h as ctypes has them."""

from __future__ import annotations

import ctypes as c
from dataclasses import dataclass

NO_LEVEL = 1


class Rtp(c.Structure):
    payload_type: int
    marker: int
    sequence: int
    timestamp: int
    ssrc: int
    payload_size: int
    level_dbov: int
    voice: int
    _fields_ = (
        ("payload_type", c.c_uint8),
        ("marker", c.c_uint8),
        ("sequence", c.c_uint16),
        ("timestamp", c.c_uint32),
        ("ssrc", c.c_uint32),
        ("payload", c.c_void_p),
        ("payload_size", c.c_uint32),
        ("level_dbov", c.c_int8),
        ("voice", c.c_uint8),
    )

    def payload_bytes(self) -> bytes:
        return c.string_at(self.payload, self.payload_size) if self.payload_size else b""


class Block(c.Structure):
    ssrc: int
    fraction_lost: int
    lost: int
    highest: int
    jitter: int
    last_report: int
    delay: int
    _fields_ = (
        ("ssrc", c.c_uint32),
        ("fraction_lost", c.c_uint8),
        ("lost", c.c_int32),
        ("highest", c.c_uint32),
        ("jitter", c.c_uint32),
        ("last_report", c.c_uint32),
        ("delay", c.c_uint32),
    )


class Rtcp(c.Structure):
    ssrc: int
    is_sender: int
    ntp: int
    timestamp: int
    packets: int
    octets: int
    block_count: int
    bye_count: int
    cname_bytes: int
    unread: int
    blocks: c.Array[Block]
    byes: c.Array[c.c_uint32]
    cname: c.Array[c.c_uint8]
    _fields_ = (
        ("ssrc", c.c_uint32),
        ("is_sender", c.c_uint32),
        ("ntp", c.c_uint64),
        ("timestamp", c.c_uint32),
        ("packets", c.c_uint32),
        ("octets", c.c_uint32),
        ("block_count", c.c_uint32),
        ("bye_count", c.c_uint32),
        ("cname_bytes", c.c_uint32),
        ("unread", c.c_uint32),
        ("blocks", Block * 31),
        ("byes", c.c_uint32 * 31),
        ("cname", c.c_uint8 * 255),
    )


class Tone(c.Structure):
    event: int
    volume: int
    ended: int
    duration: int
    _fields_ = (
        ("event", c.c_uint8),
        ("volume", c.c_uint8),
        ("ended", c.c_uint8),
        ("duration", c.c_uint32),
    )


@dataclass(frozen=True)
class Parsed:
    """What a parser, ours or a model, makes of a datagram."""

    payload_type: int
    marker: int
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes
    level_dbov: int
    voice: int
