"""The media link's bytes: any record comes back, any bytes parse or raise a protocol error."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mixminus.media.pcm import FLAG_SILENCE, FRAME_BYTES
from mixminus.media.transports import link_control
from mixminus.media.transports.base import RemoteProtocolError
from mixminus.media.transports.link_control import bye_reason
from mixminus.media.transports.link_frames import (
    HEADER,
    KIND_AUDIO,
    KIND_BYE,
    MAX_MESSAGE_BYTES,
    MAX_SPEAKERS,
    Record,
    messages_of,
    pack,
    pack_message,
    parse_message,
)
from tests.support import ROOT

U16, U32 = st.integers(0, 2**16 - 1), st.integers(0, 2**32 - 1)
SPEAKERS = st.lists(U32, max_size=MAX_SPEAKERS).map(tuple)


@st.composite
def records(draw: st.DrawFn) -> Record:
    kind = draw(st.integers(0, 255))
    size = draw(st.sampled_from((FRAME_BYTES, 0)) if kind == KIND_AUDIO else st.integers(0, 700))
    return Record(
        kind=kind,
        flags=draw(U16),
        call=draw(U32),
        epoch=draw(U32),
        stream=draw(U32),
        sequence=draw(U32),
        timestamp=draw(st.integers(0, 2**64 - 1)),
        speakers=draw(SPEAKERS),
        payload=draw(st.binary(min_size=size, max_size=size)),
    )


@given(st.lists(records(), min_size=1, max_size=5))
def test_records_come_back_as_they_were(sent: list[Record]) -> None:
    assert parse_message(pack_message(sent)) == sent


@given(st.lists(records(), min_size=1, max_size=3), st.data())
def test_a_cut_message_is_refused_or_ends_between_records(
    sent: list[Record], data: st.DataObject
) -> None:
    message = pack_message(sent)
    cut = message[: data.draw(st.integers(0, len(message) - 1))]
    try:
        got = parse_message(cut)
    except RemoteProtocolError:
        return
    assert got == sent[: len(got)]
    assert pack_message(got) == cut


@given(st.one_of(st.binary(max_size=200), st.binary(max_size=3000), st.text(max_size=50)))
@example(b"")
@example(b"\x01")
@example("text")
def test_any_bytes_parse_or_raise_a_protocol_error(message: bytes | str) -> None:
    try:
        parsed = parse_message(message)
    except RemoteProtocolError:
        return
    assert isinstance(message, bytes)
    assert sum(HEADER.size + 4 * len(r.speakers) + len(r.payload) for r in parsed) == len(message)


@given(records(), st.data())
def test_one_changed_byte_parses_or_raises_a_protocol_error(
    record: Record, data: st.DataObject
) -> None:
    message = bytearray(pack(record))
    at = data.draw(st.integers(0, len(message) - 1))
    message[at] ^= data.draw(st.integers(1, 255))
    try:
        parse_message(bytes(message))
    except RemoteProtocolError:
        return


@given(st.binary(max_size=700))
def test_a_byes_reason_is_harmless_to_print(payload: bytes) -> None:
    record = Record(KIND_BYE, 0, 0, 0, 0, 0, 0, (), payload)
    assert bye_reason(record).isprintable()


def test_the_header_is_laid_out_as_documented() -> None:
    record = Record(
        kind=KIND_AUDIO,
        flags=0x0201,
        call=0x06050403,
        epoch=0x0A090807,
        stream=0x0E0D0C0B,
        sequence=0x1211100F,
        timestamp=0x1F1E1D1C1B1A1918,
        speakers=(0x23222120,),
        payload=bytes(FRAME_BYTES),
    )
    message = pack(record)
    assert message[:16].hex(" ", 4) == "01010102 03040506 0708090a 0b0c0d0e"
    assert message[16:36].hex(" ", 4) == "0f101112 80020100 18191a1b 1c1d1e1f 20212223"
    assert len(message) == 32 + 4 + 640


def test_other_versions_sizes_and_counts_are_refused() -> None:
    good = pack(Record(KIND_AUDIO, 0, 0, 1, 0, 0, 0, (), bytes(FRAME_BYTES)))
    for at, value, said in ((0, 2, "version 1"), (22, 9, "8 speakers"), (20, 0x7F, "640 bytes")):
        bad = bytearray(good)
        bad[at] = value
        with pytest.raises(RemoteProtocolError, match=said):
            parse_message(bytes(bad))
    with pytest.raises(RemoteProtocolError, match="65536"):
        parse_message(good * 100)


def test_a_sender_is_told_of_its_own_mistakes() -> None:
    with pytest.raises(ValueError, match="640"):
        pack(Record(KIND_AUDIO, 0, 0, 1, 0, 0, 0, (), b"short"))
    with pytest.raises(ValueError, match="fit"):
        pack(Record(KIND_BYE, 0, 2**32, 1, 0, 0, 0, (), b""))


NAMES = st.text(min_size=1, max_size=64).filter(lambda name: name.isprintable())


@given(NAMES, st.booleans(), st.sampled_from("0123456789*#ABCD"), st.integers(0, 60_000))
def test_control_comes_back_as_it_was(name: str, played: bool, key: str, duration_ms: int) -> None:
    sent = [
        link_control.mark(name),
        link_control.mark_done(name, played=played),
        link_control.dtmf(key, duration_ms),
        link_control.streams(mixed=played, speakers=not played),
        link_control.clear(),
        link_control.bye(name, 7),
    ]
    mark, done, dtmf, streams, _, bye = parse_message(pack_message(sent))
    assert link_control.read_mark(mark) == name
    assert link_control.read_mark_done(done) == (name, played)
    assert link_control.read_dtmf(dtmf) == (key, duration_ms)
    assert link_control.read_streams(streams) == (played, not played)
    assert (bye.stream, bye_reason(bye)) == (7, name.strip())


@given(st.binary(max_size=300))
def test_any_control_payload_is_read_or_raises_a_protocol_error(payload: bytes) -> None:
    record = Record(0, 0, 0, 0, 0, 0, 0, (), payload)
    for read in (
        link_control.read_mark,
        link_control.read_mark_done,
        link_control.read_dtmf,
        link_control.read_streams,
    ):
        try:
            read(record)
        except RemoteProtocolError:
            continue


@given(st.lists(st.binary(min_size=32, max_size=1000), max_size=300))
def test_messages_hold_all_records_in_order_and_no_more_than_they_may(packed: list[bytes]) -> None:
    messages = messages_of(packed)
    assert b"".join(messages) == b"".join(packed)
    assert all(0 < len(message) <= MAX_MESSAGE_BYTES for message in messages)
    assert len(messages) <= 1 + sum(map(len, packed)) // (MAX_MESSAGE_BYTES - 1000)


def test_the_documented_records() -> None:
    page = (ROOT / "docs/media-link.md").read_text()
    silence = Record(KIND_AUDIO, FLAG_SILENCE, 0, 1, 7, 2, 400_000, (), b"")
    mark, tone = link_control.mark("a"), link_control.dtmf("#", 100)
    for record in (mark._replace(epoch=1), tone._replace(epoch=1), silence):
        assert f"    {pack(record).hex()}\n" in page
