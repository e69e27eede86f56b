"""The messages of ACS and Twilio: read in every spelling, written in one; nonsense named."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from mixminus.media.transports.base import RemoteProtocolError
from mixminus.media.transports.stream import (
    AcsDialect,
    AcsService,
    Audio,
    Dialect,
    Started,
    StreamFormat,
    TwilioDialect,
    TwilioService,
)
from mixminus.media.transports.stream.dialect import (
    Ignored,
    KeyPressed,
    MarkPlayed,
    Stopped,
    check_mark_name,
)

FRAME = bytes(range(256)) * 2 + bytes(128)
DATA = base64.b64encode(FRAME).decode()


def acs(message: Any) -> Any:
    return AcsDialect().parse(json.dumps(message))


# ---- ACS in


def test_metadata_says_the_rate_and_the_size_of_frames() -> None:
    for rate_hz, frame_bytes in ((16_000, 640), (24_000, 960)):
        body = {
            "subscriptionId": "s",
            "encoding": "PCM",
            "sampleRate": rate_hz,
            "channels": 1,
            "length": frame_bytes,
        }
        assert acs({"kind": "AudioMetadata", "audioMetadata": body}) == Started(
            StreamFormat("pcm", rate_hz, frame_bytes), "s"
        )


@pytest.mark.parametrize(
    "spelling",
    [
        {"kind": "AudioData", "audioData": {"data": DATA}},
        {"Kind": "AudioData", "AudioData": {"Data": DATA}, "StopAudio": None},
        {"kind": "audioData", "audioData": {"data": DATA, "isSilent": False}, "stopAudio": {}},
        {"KIND": "AUDIODATA", "AUDIODATA": {"DATA": DATA}},
        {
            "kind": "AudioData",
            "audioData": {"data": DATA, "timestamp": None, "participant": None, "isSilent": False},
            "stopAudio": None,
        },
        {"kind": "AudioData", "audioData": {"data": DATA, "participantRawID": None}},
    ],
)
def test_audio_is_read_in_the_spelling_of_every_sdk(spelling: dict[str, Any]) -> None:
    assert acs(spelling) == Audio(FRAME)
    assert AcsService().parse(json.dumps(spelling)) == Audio(FRAME)


def test_what_is_not_said_to_be_silent_is_not() -> None:
    def heard(**members: Any) -> Audio:
        event = acs({"kind": "AudioData", "audioData": {"data": DATA, **members}})
        assert isinstance(event, Audio)
        return event

    assert not heard().silent
    assert not heard(silent=None).silent
    assert not heard(silent="false").silent
    assert heard(silent=True).silent
    assert heard(Silent=True).silent


@pytest.mark.parametrize(
    ("text", "time_ms"),
    [
        ("2024-01-01T00:00:00Z", 1_704_067_200_000.0),
        ("2024-01-01T00:00:00.5Z", 1_704_067_200_500.0),
        ("2024-01-01T00:00:00.1234567Z", 1_704_067_200_123.456),
        ("2024-01-01T00:00:00.123", 1_704_067_200_123.0),
        ("2024-01-01T02:00:00+02:00", 1_704_067_200_000.0),
        ("0001-01-01T00:00:00+14:00", None),
        ("yesterday, more or less", None),
        ("", None),
        (None, None),
        (17, None),
    ],
)
def test_times_have_up_to_seven_digits_or_are_none(text: Any, time_ms: float | None) -> None:
    event = acs({"kind": "AudioData", "audioData": {"data": DATA, "timestamp": text}})
    assert isinstance(event, Audio)
    if time_ms is None:
        assert event.time_ms is None or event.time_ms < 0
    else:
        assert event.time_ms == pytest.approx(time_ms, abs=0.01)


def test_speakers_have_their_raw_ids() -> None:
    raw_id = "8:orgid:2d5f0c6a-0000-0000-0000-000000000000"
    event = acs({"kind": "AudioData", "audioData": {"data": DATA, "participantRawID": raw_id}})
    assert event == Audio(FRAME, raw_id)


def test_keys_marks_and_what_is_of_no_use() -> None:
    assert acs({"kind": "DtmfData", "dtmfData": {"data": "#"}}) == KeyPressed("#")
    pressed = {"Data": "a", "ParticipantRawId": "4:+1555"}
    assert acs({"Kind": "DtmfData", "DtmfData": pressed}) == KeyPressed("A", "4:+1555")
    done = {"id": "m", "status": "Completed"}
    assert acs({"kind": "MarkData", "markData": done}) == MarkPlayed("m", True)
    gone = {"id": "m", "status": "Cancelled"}
    assert acs({"kind": "MarkData", "markData": gone}) == MarkPlayed("m", False)
    assert acs({"kind": "TranscriptionData", "transcriptionData": {}}) == (
        Ignored("transcriptiondata")
    )
    assert acs({"kind": "SomethingNew"}) == Ignored("unknown")


@pytest.mark.parametrize(
    ("message", "says"),
    [
        ({}, "a message with a kind"),
        ({"kind": 7}, "a message with a kind"),
        ([], "a JSON object, got list"),
        ({"kind": "AudioData"}, "audioData: expected an object"),
        ({"kind": "AudioData", "audioData": {}}, "expected base64, got None"),
        ({"kind": "AudioData", "audioData": {"data": ""}}, "expected 1 to"),
        ({"kind": "AudioData", "audioData": {"data": "AAA"}}, "expected base64"),
        ({"kind": "AudioData", "audioData": {"data": "AA!A"}}, "expected base64"),
        ({"kind": "AudioData", "audioData": {"data": "é"}}, "expected base64"),
        ({"kind": "AudioData", "audioData": {"data": "AAAA" * 30_000}}, "expected 1 to"),
        (
            {"kind": "AudioData", "audioData": {"data": DATA, "participantRawID": 5}},
            "participantRawID: expected a text",
        ),
        (
            {"kind": "AudioData", "audioData": {"data": DATA, "participantRawID": "x" * 600}},
            "at most 512",
        ),
        ({"kind": "AudioMetadata", "audioMetadata": {"sampleRate": 44100}}, "got 44100"),
        ({"kind": "AudioMetadata", "audioMetadata": {"sampleRate": 16000.0}}, "expected a rate"),
        (
            {"kind": "AudioMetadata", "audioMetadata": {"sampleRate": 16000, "encoding": "OPUS"}},
            "expected encoding PCM, got 'OPUS'",
        ),
        (
            {"kind": "AudioMetadata", "audioMetadata": {"sampleRate": 16000, "channels": 2}},
            "expected 1 channel, got 2",
        ),
        (
            {"kind": "AudioMetadata", "audioMetadata": {"sampleRate": 16000, "length": -1}},
            "got -1",
        ),
        ({"kind": "DtmfData", "dtmfData": {"data": "12"}}, "expected a key"),
        ({"kind": "MarkData", "markData": {"id": "m"}}, "an id and a status"),
    ],
)
def test_nonsense_is_named(message: Any, says: str) -> None:
    with pytest.raises(RemoteProtocolError, match=says):
        acs(message)


@pytest.mark.parametrize("message", ["", "{", "[" * 100_000, b"\0\1", " " * 200_000])
def test_what_is_no_json_is_named(message: str | bytes) -> None:
    for dialect in (AcsDialect(), TwilioDialect()):
        with pytest.raises(RemoteProtocolError, match="expected"):
            dialect.parse(message)


# ---- ACS out


def test_audio_and_stop_are_written_as_dot_net_does() -> None:
    dialect = AcsDialect()
    assert dialect.write_audio(b"\0\0\0") == (
        '{"Kind":"AudioData","AudioData":{"Data":"AAAA"},"StopAudio":null}'
    )
    assert json.loads(dialect.write_clear()) == {
        "Kind": "StopAudio",
        "AudioData": None,
        "StopAudio": {},
    }
    assert dialect.write_mark("m") is None


@pytest.mark.parametrize(
    "spelling",
    [
        {"Kind": "StopAudio", "AudioData": None, "StopAudio": {}},
        {"kind": "stopAudio", "stopAudio": {}},
        {"kind": "StopAudio"},
    ],
)
def test_stop_audio_is_known_in_every_spelling(spelling: dict[str, Any]) -> None:
    assert AcsService().parse(json.dumps(spelling)) == "clear"


# ---- Twilio


def started() -> TwilioDialect:
    dialect = TwilioDialect()
    service = TwilioService(parameters={"From": "+1"})
    connected, start = (dialect.parse(message) for message in service.write_start())
    assert connected == Ignored("connected")
    assert start == Started(
        StreamFormat("mulaw", 8_000, 160),
        "MZ00000000000000000000000000000000",
        "CA00000000000000000000000000000000",
        (),
        {"From": "+1"},
    )
    return dialect


def test_a_twilio_stream_is_read_from_its_start_to_its_stop() -> None:
    dialect, service = started(), TwilioService()
    first = dialect.parse(service.write_audio(b"\xff" * 160, time_ms=5_000.0))
    second = dialect.parse(service.write_audio(b"\xff" * 160, time_ms=5_020.0))
    assert first == Audio(b"\xff" * 160, None, 0.0)
    assert second == Audio(b"\xff" * 160, None, 20.0)
    assert dialect.parse(service.write_key("5")) == KeyPressed("5")
    assert dialect.parse(service.write_mark("m")) == MarkPlayed("m", None)
    assert isinstance(dialect.parse(service.write_stop()), Stopped)


def test_what_twilio_is_sent_names_its_stream() -> None:
    dialect, service = started(), TwilioService()
    assert service.parse(dialect.write_audio(b"\xff")) == Audio(b"\xff")
    mark = dialect.write_mark('a "name"')
    assert mark is not None
    assert service.parse(mark) == MarkPlayed('a "name"', None)
    assert service.parse(dialect.write_clear()) == "clear"
    with pytest.raises(RemoteProtocolError, match="expected streamSid"):
        TwilioService(stream_id="other").parse(dialect.write_clear())


def test_nothing_can_be_sent_before_the_start() -> None:
    with pytest.raises(RuntimeError, match="has not started"):
        TwilioDialect().write_audio(b"\xff")


def test_two_tracks_come_apart() -> None:
    dialect = TwilioDialect()
    start = {
        "event": "start",
        "start": {
            "streamSid": "MZ1",
            "tracks": ["inbound", "outbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        },
    }
    event = dialect.parse(json.dumps(start))
    assert isinstance(event, Started)
    assert event.tracks == ("inbound", "outbound")
    assert not event.takes_audio
    media = {"event": "media", "media": {"track": "outbound", "payload": "/w=="}}
    assert dialect.parse(json.dumps(media)) == Audio(b"\xff", "outbound")


def test_a_stream_that_is_only_to_be_listened_to_says_so() -> None:
    dialect = TwilioDialect()
    _, start = TwilioService(parameters={"mixminus": "listen"}).write_start()
    event = dialect.parse(start)
    assert isinstance(event, Started)
    assert not event.takes_audio


@pytest.mark.parametrize(
    ("message", "says"),
    [
        ({}, "a message with an event"),
        ({"event": "media"}, "media: expected an object"),
        ({"event": "media", "media": {"payload": 1}}, "expected base64"),
        ({"event": "media", "media": {"payload": "AAAA", "track": "x"}}, "expected a track"),
        ({"event": "start", "start": {}}, "expected a streamSid"),
        (
            {"event": "start", "start": {"mediaFormat": {"encoding": "audio/x-alaw"}}},
            "got 'audio/x-alaw'",
        ),
        ({"event": "start", "start": {"mediaFormat": {"sampleRate": 16000}}}, "got 16000"),
        ({"event": "start", "start": {"streamSid": "a", "tracks": [[]]}}, "expected tracks"),
        ({"event": "dtmf", "dtmf": {"digit": ""}}, "expected a key"),
        ({"event": "mark", "mark": {}}, "expected a name"),
    ],
)
def test_nonsense_of_twilios_is_named(message: Any, says: str) -> None:
    with pytest.raises(RemoteProtocolError, match=says):
        TwilioDialect().parse(json.dumps(message))


def test_marks_need_a_name_of_some_length() -> None:
    check_mark_name("m" * 256)
    for name in ("", "m" * 257):
        with pytest.raises(ValueError, match="1 to 256"):
            check_mark_name(name)


def test_both_are_dialects() -> None:
    dialects: list[Dialect] = [AcsDialect(), TwilioDialect()]
    assert [dialect.name for dialect in dialects] == ["acs", "twilio"]
