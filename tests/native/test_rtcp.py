"""RTCP: what is written is read back, by us and by aiortc; any bytes parse whole or not at all."""

from __future__ import annotations

import ctypes as c
from typing import Any

import pytest
from aiortc.rtp import (
    RtcpByePacket,
    RtcpPacket,
    RtcpReceiverInfo,
    RtcpRrPacket,
    RtcpSdesPacket,
    RtcpSenderInfo,
    RtcpSourceInfo,
    RtcpSrPacket,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.native.clib import FUZZ, library
from tests.native.packet_types import Block, Rtcp

SHORT, VERSION, LENGTH, PADDING, ITEM, KIND = range(1, 7)
LIB = library("rtcp.c")
LIB.mm_rtcp_parse.argtypes = [c.POINTER(Rtcp), c.c_char_p, c.c_size_t]
LIB.mm_rtcp_write.argtypes = [c.c_char_p, c.c_size_t, c.POINTER(Rtcp)]
LIB.mm_rtcp_write.restype = c.c_size_t
LIB.mm_rtcp_ntp.argtypes = [c.c_int64]
LIB.mm_rtcp_ntp.restype = c.c_uint64
LIB.mm_rtcp_round_trip_ns.argtypes = [c.POINTER(Block), c.c_uint64]
LIB.mm_rtcp_round_trip_ns.restype = c.c_int64
KEPT = {path.name: path.read_bytes() for path in (FUZZ / "corpus" / "rtcp").iterdir()}
BLOCK_FIELDS = [name for name, _ in Block._fields_]
SENDER_FIELDS = ("ntp", "timestamp", "packets", "octets")

u32 = st.integers(0, 0xFFFFFFFF)
blocks = st.fixed_dictionaries(
    {
        "ssrc": u32,
        "fraction_lost": st.integers(0, 255),
        "lost": st.integers(-0x800000, 0x7FFFFF),
        "highest": u32,
        "jitter": u32,
        "last_report": u32,
        "delay": u32,
    }
)
Report = dict[str, Any]
reports = st.fixed_dictionaries(
    {
        "ssrc": u32,
        "sender": st.none() | st.tuples(st.integers(0, 2**64 - 1), u32, u32, u32),
        "blocks": st.lists(blocks, max_size=31),
        "byes": st.lists(u32, max_size=31),
        "cname": st.binary(max_size=255),
    }
)


def struct_of(report: Report) -> Rtcp:
    out = Rtcp(ssrc=report["ssrc"])
    sender, cname = report["sender"], report["cname"]
    if sender is not None:
        out.is_sender = 1
        out.ntp, out.timestamp, out.packets, out.octets = sender
    for i, block in enumerate(report["blocks"]):
        out.blocks[i] = Block(**block)
    for i, ssrc in enumerate(report["byes"]):
        out.byes[i] = ssrc
    c.memmove(out.cname, cname, len(cname))
    out.block_count, out.bye_count = len(report["blocks"]), len(report["byes"])
    out.cname_bytes = len(cname)
    return out


def report_of(out: Rtcp) -> Report:
    read = [out.blocks[i] for i in range(out.block_count)]
    return {
        "ssrc": out.ssrc,
        "sender": tuple(getattr(out, f) for f in SENDER_FIELDS) if out.is_sender else None,
        "blocks": [{name: getattr(block, name) for name in BLOCK_FIELDS} for block in read],
        "byes": list(out.byes[: out.bye_count]),
        "cname": bytes(out.cname[: out.cname_bytes]),
    }


def parse(data: bytes) -> Report | int:
    out = Rtcp()
    reason = LIB.mm_rtcp_parse(out, data, len(data))
    return int(reason) if reason else report_of(out)


def write(report: Report, room: int = 4096) -> bytes:
    out = c.create_string_buffer(b"\xee" * (room + 8), room + 8)
    size = LIB.mm_rtcp_write(out, room, struct_of(report))
    assert size <= room
    assert out.raw[size:] == b"\xee" * (room + 8 - size)
    return out.raw[:size]


def receiver_info(block: dict[str, int]) -> RtcpReceiverInfo:
    return RtcpReceiverInfo(
        ssrc=block["ssrc"],
        fraction_lost=block["fraction_lost"],
        packets_lost=block["lost"],
        highest_sequence=block["highest"],
        jitter=block["jitter"],
        lsr=block["last_report"],
        dlsr=block["delay"],
    )


def as_aiortc(report: Report) -> list[Any]:
    """The same report as aiortc's objects."""
    infos, out = [receiver_info(block) for block in report["blocks"]], list[Any]()
    if report["sender"]:
        ntp, timestamp, packets, octets = report["sender"]
        sender = RtcpSenderInfo(
            ntp_timestamp=ntp, rtp_timestamp=timestamp, packet_count=packets, octet_count=octets
        )
        out.append(RtcpSrPacket(ssrc=report["ssrc"], sender_info=sender, reports=infos))
    else:
        out.append(RtcpRrPacket(ssrc=report["ssrc"], reports=infos))
    if report["cname"]:
        items = [(1, report["cname"])]
        out.append(RtcpSdesPacket(chunks=[RtcpSourceInfo(ssrc=report["ssrc"], items=items)]))
    if report["byes"]:
        out.append(RtcpByePacket(sources=report["byes"]))
    return out


@given(reports)
@settings(max_examples=400)
def test_what_is_written_is_read_back_by_us_and_by_aiortc(report: Report) -> None:
    data = write(report)
    assert parse(data) == report
    assert RtcpPacket.parse(data) == as_aiortc(report)
    assert write(report, len(data) - 1) == b""


@given(reports)
@settings(max_examples=400)
def test_what_aiortc_writes_is_read(report: Report) -> None:
    assert parse(b"".join(bytes(packet) for packet in as_aiortc(report))) == report


@given(report=reports, at=st.integers(0, 2000), value=st.integers(0, 255), cut=st.integers(0, 2000))
@settings(max_examples=600)
def test_damaged_reports_parse_or_are_named(report: Report, at: int, value: int, cut: int) -> None:
    data = bytearray(write(report))
    data[at % len(data)] = value
    out = parse(bytes(data[: len(data) - cut % len(data)]))
    assert not isinstance(out, int) or -KIND <= out < 0


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("four_bytes", SHORT),
        ("padding_of_the_whole", PADDING),
        ("bye_without_its_source", LENGTH),
        ("zero_length_report", LENGTH),
        ("length_over_the_end", LENGTH),
        ("bye_count_over_the_end", LENGTH),
        ("padding_over_the_head", PADDING),
        ("padding_before_the_last", PADDING),
        ("sdes_without_end", ITEM),
        ("sdes_item_over_the_end", ITEM),
    ],
)
def test_malformed_datagrams_are_named(name: str, reason: int) -> None:
    assert parse(KEPT[name]) == -reason


def test_feedback_and_unknown_reports_are_passed_over() -> None:
    for name in ("aiortc_nack", "aiortc_pli"):
        out = Rtcp()
        assert LIB.mm_rtcp_parse(out, KEPT[name], len(KEPT[name])) == 0
        assert (out.ssrc, out.unread, out.block_count) == (1, 1, 0)


@pytest.mark.parametrize(("name", "cname"), [("two_chunks", b"second"), ("two_names", b"first")])
def test_first_name_is_found_in_any_chunk(name: str, cname: bytes) -> None:
    report = parse(KEPT[name])
    assert isinstance(report, dict)
    assert report["cname"] == cname


def test_reports_beyond_the_room_are_counted() -> None:
    out, data = Rtcp(), KEPT["two_reports_beyond_the_room"]
    assert LIB.mm_rtcp_parse(out, data, len(data)) == 0
    assert (out.block_count, out.unread) == (31, 1)


def test_counts_beyond_the_room_are_not_written() -> None:
    for field, value in (("block_count", 32), ("bye_count", 32), ("cname_bytes", 256)):
        report = Rtcp(ssrc=1)
        setattr(report, field, value)
        assert LIB.mm_rtcp_write(c.create_string_buffer(4096), 4096, report) == 0


@given(
    sent_ns=st.integers(10**9, 10**17),
    there_ns=st.integers(0, 5 * 10**9),
    held_ns=st.integers(0, 10**12),
    back_ns=st.integers(0, 5 * 10**9),
)
def test_round_trip_leaves_out_what_the_other_side_held(
    sent_ns: int, there_ns: int, held_ns: int, back_ns: int
) -> None:
    last_report = LIB.mm_rtcp_ntp(sent_ns) >> 16 & 0xFFFFFFFF
    block = Block(last_report=last_report, delay=held_ns * 65536 // 10**9)
    now = LIB.mm_rtcp_ntp(sent_ns + there_ns + held_ns + back_ns)
    measured = LIB.mm_rtcp_round_trip_ns(block, now)
    if last_report:
        assert abs(measured - there_ns - back_ns) <= 3 * 10**9 // 65536


def test_no_report_no_round_trip() -> None:
    assert LIB.mm_rtcp_round_trip_ns(Block(), 1 << 40) == -1
    # One unit of the other side's rounding is no round trip of 18 hours.
    assert LIB.mm_rtcp_round_trip_ns(Block(last_report=5, delay=1), 5 << 16) == 0


@given(st.integers(0, 2**62))
def test_ntp_is_seconds_and_a_binary_fraction(now_ns: int) -> None:
    seconds, rest = divmod(now_ns, 10**9)
    assert LIB.mm_rtcp_ntp(now_ns) == ((seconds << 32) + (rest << 32) // 10**9) % 2**64
