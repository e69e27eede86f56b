"""RTP headers in and out: against a model of the RFCs, and against aiortc's parser and writer."""

from __future__ import annotations

import ctypes as c
import struct

import pytest
from aiortc.rtcrtpparameters import RTCRtpHeaderExtensionParameters, RTCRtpParameters
from aiortc.rtp import HeaderExtensionsMap, RtpPacket
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.native.clib import FUZZ, library
from tests.native.packet_types import NO_LEVEL, Parsed, Rtp

SHORT, VERSION, IS_RTCP, CSRC, EXTENSION, PADDING = range(1, 7)
JUNK, STUN, DTLS, RTP, RTCP = range(5)
LIB = library("rtp.c", "demux.c")
LIB.mm_rtp_parse.argtypes = [c.POINTER(Rtp), c.c_char_p, c.c_size_t, c.c_int]
LIB.mm_rtp_write.argtypes = [c.c_char_p, c.c_size_t, c.POINTER(Rtp), c.c_int]
LIB.mm_rtp_write.restype = c.c_size_t
LIB.mm_datagram_kind.argtypes = [c.c_char_p, c.c_size_t]
CORPUS = sorted((FUZZ / "corpus" / "rtp").iterdir())
KEPT = {path.name: path.read_bytes() for path in CORPUS}


def parse(data: bytes, level_id: int = 1) -> Parsed | int:
    out = Rtp()
    reason = LIB.mm_rtp_parse(out, data, len(data), level_id)
    if reason:
        return int(reason)
    fields = (out.payload_type, out.marker, out.sequence, out.timestamp, out.ssrc)
    return Parsed(*fields, out.payload_bytes(), out.level_dbov, out.voice)


def write(packet: Parsed, level_id: int = 1, room: int = 20) -> bytes:
    header = Rtp(
        payload_type=packet.payload_type,
        marker=packet.marker,
        sequence=packet.sequence,
        timestamp=packet.timestamp,
        ssrc=packet.ssrc,
        level_dbov=packet.level_dbov,
        voice=packet.voice,
    )
    out = c.create_string_buffer(b"\xee" * 24, 24)
    size = LIB.mm_rtp_write(out, room, header, level_id)
    assert size <= room
    assert out.raw[size:] == b"\xee" * (24 - size)
    return out.raw[:size] + packet.payload


# ---- the model: RFC 3550 section 5.1, RFC 8285 section 4, RFC 6464 section 3 -------------------


def model_level(profile: int, body: bytes, level_id: int) -> tuple[int, int]:
    two = profile & 0xFFF0 == 0x1000
    if not two and profile != 0xBEDE:
        return NO_LEVEL, 0
    while body:
        if body[0] == 0:
            body = body[1:]
            continue
        if two:
            element, length, rest = body[0], (body[1] if len(body) > 1 else 1000), body[2:]
        else:
            element, length, rest = body[0] >> 4, (body[0] & 15) + 1, body[1:]
            if element in (0, 15):
                break
        if length > len(rest):
            break
        if element == level_id and length:
            return -(rest[0] & 127), rest[0] >> 7
        body = rest[length:]
    return NO_LEVEL, 0


def model(data: bytes, level_id: int) -> Parsed | int:
    if len(data) < 12:
        return -SHORT
    first, second, sequence, timestamp, ssrc = struct.unpack("!BBHLL", data[:12])
    if first >> 6 != 2:
        return -VERSION
    if 192 <= second <= 223:
        return -IS_RTCP
    if len(data) < 12 + 4 * (first & 15):
        return -CSRC
    body, level = data[12 + 4 * (first & 15) :], (NO_LEVEL, 0)
    if first & 0x10:
        if len(body) < 4:
            return -EXTENSION
        profile, words = struct.unpack("!HH", body[:4])
        if len(body) < 4 + 4 * words:
            return -EXTENSION
        if level_id > 0:
            level = model_level(profile, body[4 : 4 + 4 * words], level_id)
        body = body[4 + 4 * words :]
    if first & 0x20:
        if not body or not 0 < body[-1] <= len(body):
            return -PADDING
        body = body[: -body[-1]]
    return Parsed(second & 127, second >> 7, sequence, timestamp, ssrc, body, *level)


heads = st.builds(
    lambda first, rest: bytes([first]) + rest,
    st.sampled_from([0x80, 0x90, 0xA0, 0xB0, 0x82, 0x8F, 0x92, 0xBF, 0x40]),
    st.binary(max_size=60),
)
extended = st.builds(
    lambda two, body, tail: b"\x90" + bytes(11) + two + bytes([0, (len(body) + 3) // 4])
    + body.ljust((len(body) + 3) // 4 * 4, b"\0") + tail,
    st.sampled_from([b"\xbe\xde", b"\x10\x00", b"\x10\x0f"]),
    st.binary(max_size=24),
    st.binary(max_size=8),
)  # fmt: skip


@given(data=st.one_of(st.binary(max_size=80), heads, extended), level_id=st.integers(0, 16))
@settings(max_examples=1500)
def test_any_bytes_are_read_as_the_model_reads_them(data: bytes, level_id: int) -> None:
    assert parse(data, level_id) == model(data, level_id)


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name)
def test_kept_datagrams_are_read_as_the_model_reads_them(path: object) -> None:
    data = KEPT[getattr(path, "name", "")]
    for level_id in range(256):
        assert parse(data, level_id) == model(data, level_id)


@pytest.mark.parametrize(
    ("name", "level"),
    [
        ("plain", NO_LEVEL),
        ("level_one_byte", -66),
        ("level_after_mid", -5),
        ("extension_id_15_ends", NO_LEVEL),
        ("extension_id_0_with_length_ends", NO_LEVEL),
        ("extension_element_over_the_end", NO_LEVEL),
        ("other_profile", NO_LEVEL),
    ],
)
def test_level_is_found_or_not_told(name: str, level: int) -> None:
    parsed = parse(KEPT[name])
    assert isinstance(parsed, Parsed)
    assert parsed.level_dbov == level


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("eleven_bytes", SHORT),
        ("version_1", VERSION),
        ("marker_and_type_72", IS_RTCP),
        ("csrc_over_the_end", CSRC),
        ("extension_over_the_end", EXTENSION),
        ("padding_0", PADDING),
        ("padding_over_the_head", PADDING),
        ("padding_no_payload", PADDING),
    ],
)
def test_malformed_datagrams_are_named(name: str, reason: int) -> None:
    assert parse(KEPT[name]) == -reason


def test_types_64_to_95_with_the_marker_are_rtcp() -> None:
    for second in range(256):
        reason = parse(bytes([0x80, second]) + bytes(10))
        assert (reason == -IS_RTCP) == (64 <= second & 127 <= 95 and second >= 128)


def test_empty_payload_is_a_packet_of_nothing() -> None:
    for name in ("empty_payload", "padding_only"):
        parsed = parse(KEPT[name])
        assert isinstance(parsed, Parsed)
        assert parsed.payload == b""


packets = st.builds(
    Parsed,
    payload_type=st.one_of(st.integers(0, 63), st.integers(96, 127)),
    marker=st.integers(0, 1),
    sequence=st.integers(0, 0xFFFF),
    timestamp=st.integers(0, 0xFFFFFFFF),
    ssrc=st.integers(0, 0xFFFFFFFF),
    payload=st.binary(max_size=40),
    level_dbov=st.integers(-127, 0),
    voice=st.integers(0, 1),
)


def aiortc_map(level_id: int) -> HeaderExtensionsMap:
    uri = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
    extension = RTCRtpHeaderExtensionParameters(id=level_id, uri=uri)
    extensions = HeaderExtensionsMap()
    extensions.configure(RTCRtpParameters(headerExtensions=[extension]))
    return extensions


@given(packet=packets, level_id=st.integers(1, 255))
def test_what_is_written_is_read_back_by_us_and_by_aiortc(packet: Parsed, level_id: int) -> None:
    data = write(packet, level_id)
    assert parse(data, level_id) == packet
    theirs = RtpPacket.parse(data, aiortc_map(level_id))
    level = theirs.extensions.audio_level
    assert (theirs.payload_type, theirs.marker) == (packet.payload_type, packet.marker)
    assert (theirs.sequence_number, theirs.timestamp) == (packet.sequence, packet.timestamp)
    assert (theirs.ssrc, theirs.payload) == (packet.ssrc, packet.payload)
    assert level == (bool(packet.voice), -packet.level_dbov)


@given(packet=packets, level_id=st.integers(1, 14), csrc=st.lists(st.integers(0, 99), max_size=15),
       padding=st.integers(0, 20))  # fmt: skip
def test_what_aiortc_writes_is_read(
    packet: Parsed, level_id: int, csrc: list[int], padding: int
) -> None:
    theirs = RtpPacket(
        payload_type=packet.payload_type,
        marker=packet.marker,
        sequence_number=packet.sequence,
        timestamp=packet.timestamp,
        ssrc=packet.ssrc,
        payload=packet.payload,
    )
    theirs.extensions.audio_level = (bool(packet.voice), -packet.level_dbov)
    theirs.csrc, theirs.padding_size = csrc, padding
    assert parse(theirs.serialize(aiortc_map(level_id)), level_id) == packet


def test_a_header_without_room_is_not_written() -> None:
    packet = Parsed(0, 0, 1, 2, 3, b"", -10, 1)
    assert [len(write(packet, 1, room)) for room in (0, 11, 12, 19, 20)] == [0, 0, 0, 0, 20]
    assert [len(write(packet, 0, room)) for room in (11, 12)] == [0, 12]


# ---- one port for four protocols ---------------------------------------------------------------


def model_kind(data: bytes) -> int:
    """RFC 7983 section 7, RFC 5761 section 4, and the least that each protocol needs."""
    if len(data) < 8:
        return JUNK
    first = data[0]
    if first <= 3:
        stun = len(data) >= 20 and len(data) % 4 == 0 and data[4:8] == b"\x21\x12\xa4\x42"
        return STUN if stun and int.from_bytes(data[2:4]) == len(data) - 20 else JUNK
    if 20 <= first <= 63:
        return DTLS if len(data) >= 13 else JUNK
    if 128 <= first <= 191:
        if 192 <= data[1] <= 223:
            return RTCP
        return RTP if len(data) >= 12 else JUNK
    return JUNK


def test_first_two_bytes_choose_the_protocol() -> None:
    for first in range(256):
        for second in range(256):
            for size in (7, 8, 11, 12, 13, 20):
                data = bytes([first, second, 0, 0]) + b"\x21\x12\xa4\x42" + bytes(12)
                assert LIB.mm_datagram_kind(data[:size], size) == model_kind(data[:size])


@given(st.binary(max_size=64))
def test_any_datagram_has_one_kind(data: bytes) -> None:
    assert LIB.mm_datagram_kind(data, len(data)) == model_kind(data)
