"""Whatever a far end sends parses or is named; whatever its size, no sample is lost or moved."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixminus.media.transports.base import RemoteProtocolError
from mixminus.media.transports.stream import AcsDialect, AcsService, TwilioDialect, TwilioService
from mixminus.media.transports.stream.dialect import (
    MAX_AUDIO_BYTES,
    MAX_ID_CHARS,
    RATES_HZ,
    Audio,
    Event,
    Ignored,
    KeyPressed,
    MarkPlayed,
    Started,
    Stopped,
    StreamFormat,
)
from mixminus.media.transports.stream.framing import FrameReader, MediaTime
from mixminus.media.transports.stream.pace import Pace

T = TypeVar("T")

NAMES = [
    *("kind", "Kind", "audioData", "AudioData", "data", "Data", "silent", "isSilent", "timestamp"),
    *("participantRawID", "stopAudio", "audioMetadata", "encoding", "sampleRate", "channels"),
    *("length", "subscriptionId", "dtmfData", "markData", "id", "status", "event", "media"),
    *("payload", "track", "start", "streamSid", "tracks", "mediaFormat", "dtmf", "digit", "mark"),
    *("name", "customParameters", "callSid"),
]
WORDS = [
    *("AudioData", "AudioMetadata", "DtmfData", "MarkData", "StopAudio", "audiodata", "PCM"),
    *("Completed", "media", "start", "dtmf", "mark", "stop", "connected", "inbound", "outbound"),
    *("audio/x-mulaw", "AAAA", "AAA=", "/w==", "1", "#", "MZ1"),
]

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(WORDS),
    st.sampled_from([1, 8_000, 16_000, 24_000, 640, 960]),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.one_of(st.sampled_from(NAMES), st.text(max_size=8)), inner, max_size=6),
    ),
    max_leaves=20,
)
kinds = st.sampled_from(
    [
        ("kind", "AudioData", "audioData"),
        ("kind", "AudioMetadata", "audioMetadata"),
        ("kind", "DtmfData", "dtmfData"),
        ("kind", "MarkData", "markData"),
        ("event", "media", "media"),
        ("event", "start", "start"),
        ("event", "dtmf", "dtmf"),
        ("event", "mark", "mark"),
    ]
)


def check(event: Event) -> None:
    """An event holds nothing that the transport may not rely on."""
    match event:
        case Audio():
            assert 0 < len(event.payload) <= MAX_AUDIO_BYTES
            assert event.speaker is None or 0 < len(event.speaker) <= MAX_ID_CHARS
            assert event.time_ms is None or event.time_ms == event.time_ms
        case Started():
            assert event.format.rate_hz in RATES_HZ
            assert event.format.encoding in ("pcm", "mulaw")
            FrameReader(event.format)
        case KeyPressed():
            assert len(event.key) == 1
        case MarkPlayed():
            assert event.name
        case _:
            assert isinstance(event, Stopped | Ignored)


def parse_all(message: str | bytes) -> None:
    for read in (AcsDialect().parse, TwilioDialect().parse):
        if (event := read_or_none(read, message)) is not None:
            check(event)
    for service in (AcsService().parse, TwilioService().parse):
        said = read_or_none(service, message)
        assert not isinstance(said, Audio) or said.payload


def read_or_none(read: Callable[[str | bytes], T], message: str | bytes) -> T | None:
    """What *read* makes of it; None when it says what it expected instead."""
    try:
        return read(message)
    except RemoteProtocolError as exc:
        what = str(exc)
    assert "expected" in what
    assert len(what) < 400
    return None


@given(st.one_of(st.text(max_size=200), st.binary(max_size=200)))
def test_any_message_parses_or_is_named(message: str | bytes) -> None:
    parse_all(message)


@given(values)
def test_any_json_parses_or_is_named(value: Any) -> None:
    parse_all(json.dumps(value))


@settings(max_examples=60)
@given(kinds, values, st.dictionaries(st.sampled_from(NAMES), values, max_size=8))
def test_any_body_of_a_known_kind_parses_or_is_named(
    kind: tuple[str, str, str], value: Any, body: dict[str, Any]
) -> None:
    name, said, member = kind
    parse_all(json.dumps({name: said, member: value}))
    parse_all(json.dumps({name: said, member: body}))


@given(st.binary(min_size=1, max_size=2_000), st.text(max_size=40), st.booleans())
def test_what_the_service_writes_is_what_the_bot_reads(
    payload: bytes, speaker: str, silent: bool
) -> None:
    written = AcsService().write_audio(payload, time_ms=1.5e12, speaker=speaker, silent=silent)
    event = AcsDialect().parse(written)
    assert event == Audio(payload, speaker or None, 1.5e12, silent)
    mixed: dict[str, Any] = json.loads(AcsDialect().write_audio(payload))
    assert base64.b64decode(mixed["AudioData"]["Data"]) == payload


@given(st.binary(max_size=6_000), st.lists(st.integers(1, 1_500), max_size=12))
def test_payloads_of_any_even_sizes_lose_no_sample(data: bytes, cuts: list[int]) -> None:
    reader = FrameReader(StreamFormat("pcm", 16_000))
    data = data[: len(data) // 2 * 2]
    out, place = b"", 0
    for cut in [*(size * 2 for size in cuts), len(data)]:
        if data[place : place + cut]:
            out += b"".join(reader.push(data[place : place + cut]))
        place += cut
    assert out == data[: len(data) // 640 * 640]


@given(st.lists(st.binary(min_size=1, max_size=700), max_size=20))
def test_payloads_of_any_sizes_make_whole_frames(payloads: list[bytes]) -> None:
    for form in (StreamFormat("pcm", 16_000), StreamFormat("pcm", 24_000)):
        reader = FrameReader(form)
        frames = [frame for payload in payloads for frame in reader.push(payload)]
        assert {len(frame) for frame in frames} <= {640}
        samples = sum(map(len, payloads)) // 2 * 16_000 // form.rate_hz
        assert len(frames) <= samples // 320


@given(
    st.lists(
        st.tuples(
            st.one_of(st.none(), st.floats(-1e15, 1e15, allow_nan=False)), st.floats(0, 5_000)
        ),
        max_size=40,
    )
)
def test_no_times_make_a_pause_longer_than_the_wait(
    arrivals: list[tuple[float | None, float]],
) -> None:
    clock, now_ms = MediaTime(), 0.0
    for time_ms, wait_ms in arrivals:
        now_ms += wait_ms
        frames = clock.place(1, time_ms, now_ms)
        assert frames >= 0
        # A sender's clock may run ahead of ours, but for each pause by no more than a second.
        assert frames * 20 <= wait_ms + 1_030


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3_000_000)), max_size=200))
def test_the_far_end_never_has_more_than_the_most(steps: list[tuple[bool, int]]) -> None:
    pace, now = Pace(2, 10), 0
    for is_silent, wait in steps:
        now += wait
        before = pace.sent_frames
        extra, goes = pace.plan(is_silent, now)
        assert pace.sent_frames == before + extra + goes
        assert 0 <= extra <= 2
        assert 0 <= pace.waiting_frames(now) <= 10
        assert pace.played_frames(now) <= pace.sent_frames


def test_seconds_of_noise_do_not_wear_the_reader_out() -> None:
    rng = np.random.default_rng(3)
    reader = FrameReader(StreamFormat("pcm", 24_000))
    payloads = [rng.bytes(int(rng.integers(1, 2_000))) for _ in range(400)]
    total = sum(len(frame) for payload in payloads for frame in reader.push(payload))
    # Odd bytes before even payloads are dropped: at most one a message.
    assert total / 2 == pytest.approx(sum(map(len, payloads)) / 2 * 2 / 3, rel=0.01)
