"""What a conversation's history becomes as a call record."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mixminus.control.call_state import ResultInfo
from mixminus.control.service.records.build import build_record, date_time
from mixminus.control.service.records.members import DEVICE, NETWORK, STREAM
from mixminus.control.service.records.quality import Measured
from mixminus.control.store.base import RecordRow
from tests.records_kit import (
    ALICE,
    BOT,
    JOHN,
    PHONE,
    T0,
    TENANT,
    at,
    call_of_two,
    counters,
    group_of,
    history,
)

NOW = at(60)
DATA = Path(__file__).parent.parent / "contract/data"
MEASURED = {
    "streamId",
    "streamDirection",
    "startDateTime",
    "endDateTime",
    "audioCodec",
    "averageRatioOfConcealedSamples",
    "packetUtilization",
    "wasMediaBypassed",
}


def build(of: Any) -> RecordRow:
    return build_record(of, version=1, now=NOW)


def test_record_of_a_call_of_two_says_who_when_and_what() -> None:
    record = build(call_of_two())
    assert record.record_id == "record-id"
    assert record.app_ids == ("Bot-id",)
    assert record.ended_us - record.started_us == 12_000_000
    resource = dict(record.resource)
    organizer = resource.pop("organizer_v2")
    bot = {"application": {"id": "Bot-id", "displayName": "Bot", "tenantId": TENANT}}
    assert organizer == {"id": "Bot-id", "identity": bot, "administrativeUnitInfos": []}
    john = {
        "user": {
            "id": "John-id",
            "displayName": "John",
            "tenantId": TENANT,
            "userPrincipalName": None,
        }
    }
    assert resource == {
        "id": "record-id",
        "version": 1,
        "type": "peerToPeer",
        "modalities": ["audio"],
        "lastModifiedDateTime": "2024-05-01T10:01:00.25Z",
        "startDateTime": "2024-05-01T10:00:00.25Z",
        "endDateTime": "2024-05-01T10:00:12.25Z",
        "joinWebUrl": "https://join",
        "organizer": bot,
        "participants": [bot, john],
    }
    assert [person["id"] for person in record.participants] == ["Bot-id", "John-id"]


def test_call_of_two_has_one_session_from_caller_to_callee() -> None:
    (session,) = build(call_of_two()).sessions
    assert session["id"] == "record-id"
    assert session["startDateTime"] == date_time(at(2))
    assert session["endDateTime"] == date_time(at(12))
    assert session["isTest"] is False
    assert session["failureInfo"] is None
    caller, callee = session["caller"], session["callee"]
    assert caller["userAgent"]["@odata.type"] == "#microsoft.graph.callRecords.serviceUserAgent"
    assert caller["userAgent"]["role"] == "customBot"
    assert caller["associatedIdentity"]["id"] == "Bot-id"
    agent = callee["userAgent"]
    assert agent["@odata.type"] == "#microsoft.graph.callRecords.clientUserAgent"
    assert (agent["platform"], agent["headerValue"]) == ("web", "Mozilla/5.0 (X11)")
    assert callee["identity"] == {"user": callee["associatedIdentity"]}
    (segment,) = session["segments"]
    assert (segment["id"], segment["caller"], segment["callee"]) == ("record-id", caller, callee)


def test_streams_carry_what_was_measured_and_nothing_else() -> None:
    (media,) = build(call_of_two()).sessions[0]["segments"][0]["media"]
    assert media["label"] == "main-audio"
    from_bot, from_john = media["streams"]
    assert from_bot["streamDirection"] == "callerToCallee"
    assert (from_bot["streamId"], from_bot["audioCodec"]) == ("1", "unknown")
    # Frames of the link are no packets: how many of those there were, nobody counted.
    assert from_bot["packetUtilization"] is None
    assert from_john["streamDirection"] == "calleeToCaller"
    assert (from_john["streamId"], from_john["audioCodec"]) == ("2", "opus")
    assert from_john["averageRatioOfConcealedSamples"] == 0.05
    assert from_john["packetUtilization"] == 42
    for stream in media["streams"]:
        assert stream.keys() == STREAM.keys()
        assert {name for name, value in stream.items() if value is not None} <= MEASURED
    assert media["callerDevice"] == DEVICE
    assert media["callerNetwork"] == {**NETWORK, "networkTransportProtocol": "tcp"}
    assert media["calleeNetwork"] == {**NETWORK, "networkTransportProtocol": "udp"}


def measured(**values: Any) -> Measured:
    """Media of which only *values* are known."""
    unknown: dict[str, Any] = dict.fromkeys(Measured.__dataclass_fields__)
    zero = {"codec": "opus", "received_packets": 0, "sent_packets": 0, "used_fec": False}
    return Measured(**{**unknown, **zero, **values})


def test_a_stream_has_what_was_measured_of_its_packets() -> None:
    made = history()
    made.joined("p-bot", BOT, "application", "link", at(0), source_id=1)
    made.joined("p-john", JOHN, "user", "webrtc", at(1), source_id=2)
    of_john = measured(
        codec="g722",
        received_packets=495,
        sent_packets=500,
        average_jitter_ms=3.5,
        max_jitter_ms=16.0,
        max_window_jitter_ms=7.25,
        average_loss=0.01,
        max_loss=0.1,
        average_concealed=0.02,
        max_concealed=0.2,
        average_round_trip_ms=40.0,
        max_round_trip_ms=55.0,
        average_far_loss=0.3,
        max_far_loss=0.4,
        used_fec=True,
    )
    made.left("p-john", at(9), None, counters(voice=1), {}, of_john)
    made.left("p-bot", at(9), None, None, {}, measured(codec="pcm16k", received_packets=400))
    made.ended(at(9))
    (media,) = build(made).sessions[0]["segments"][0]["media"]
    from_bot, from_john = media["streams"]
    known = {name: value for name, value in from_john.items() if value is not None}
    assert known == {
        "streamId": "2",
        "streamDirection": "calleeToCaller",
        "startDateTime": date_time(at(1)),
        "endDateTime": date_time(at(9)),
        "audioCodec": "g722",
        "averageJitter": "PT0.0035S",
        "maxJitter": "PT0.016S",
        "averageAudioNetworkJitter": "PT0.0035S",
        "maxAudioNetworkJitter": "PT0.00725S",
        "averagePacketLossRate": 0.01,
        "maxPacketLossRate": 0.1,
        "averageRatioOfConcealedSamples": 0.02,
        "maxRatioOfConcealedSamples": 0.2,
        "averageRoundTripTime": "PT0.04S",
        "maxRoundTripTime": "PT0.055S",
        "packetUtilization": 495,
        "wasMediaBypassed": False,
        "isAudioForwardErrorCorrectionUsed": True,
    }
    # Linear PCM is none of the enumeration's, and what nobody measured is null.
    assert (from_bot["audioCodec"], from_bot["packetUtilization"]) == ("unknown", 400)
    assert from_bot["averageJitter"] is None


def test_the_stream_to_a_party_of_a_meeting_is_what_it_reported() -> None:
    made = history("meeting", JOHN)
    made.joined("p-john", JOHN, "user", "webrtc", at(0), source_id=2)
    reported = measured(
        received_packets=7,
        sent_packets=450,
        average_jitter_ms=1.0,
        average_far_loss=0.05,
        max_far_loss=0.25,
        average_far_jitter_ms=2.0,
        max_far_jitter_ms=3.0,
        average_round_trip_ms=20.0,
        max_round_trip_ms=21.0,
    )
    made.left("p-john", at(9), measured=reported)
    made.ended(at(9))
    (media,) = build(made).sessions[0]["segments"][0]["media"]
    up, down = media["streams"]
    assert (up["packetUtilization"], up["averageJitter"]) == (7, "PT0.001S")
    assert (up["averagePacketLossRate"], up["averageRoundTripTime"]) == (None, "PT0.02S")
    assert down["streamDirection"] == "calleeToCaller"
    assert (down["packetUtilization"], down["audioCodec"]) == (450, "opus")
    assert (down["averagePacketLossRate"], down["maxPacketLossRate"]) == (0.05, 0.25)
    assert down["maxRoundTripTime"] == "PT0.021S"
    assert (down["averageJitter"], down["maxJitter"]) == ("PT0.002S", "PT0.003S")
    # What it concealed is the far end's to know.
    assert down["averageRatioOfConcealedSamples"] is None


def test_nothing_measured_is_null() -> None:
    silent = history()
    silent.joined("p-bot", BOT, "application", "service", at(0))
    silent.joined("p-john", JOHN, "user", "webrtc", at(1))
    silent.left("p-john", at(2), None, counters(skipped=3))
    silent.ended(at(3))
    (media,) = build(silent).sessions[0]["segments"][0]["media"]
    from_bot, from_john = media["streams"]
    assert from_bot["audioCodec"] is None
    assert from_bot["averageRatioOfConcealedSamples"] is None
    assert from_john["averageRatioOfConcealedSamples"] is None


def test_user_who_called_is_the_caller() -> None:
    made = history(organizer=JOHN)
    made.joined("p-bot", BOT, "application", "link", at(0))
    made.joined("p-john", JOHN, "user", "webrtc", at(1))
    made.ended(at(5))
    (session,) = build(made).sessions
    assert session["caller"]["associatedIdentity"]["id"] == "John-id"
    assert session["callee"]["associatedIdentity"]["id"] == "Bot-id"


def test_transfer_leaves_a_session_of_those_who_stayed() -> None:
    made = history()
    made.joined("p-bot", BOT, "application", "link", at(0))
    made.joined("p-john", JOHN, "user", "webrtc", at(1))
    made.left("p-bot", at(5))
    made.joined("p-alice", ALICE, "user", "webrtc", at(6))
    made.ended(at(9))
    first, second = build(made).sessions
    assert first["id"] == "record-id"
    assert first["endDateTime"] == date_time(at(5))
    assert second["id"] == "p-alice"
    assert second["caller"]["associatedIdentity"]["id"] == "John-id"
    assert second["callee"]["associatedIdentity"]["id"] == "Alice-id"
    assert (second["startDateTime"], second["endDateTime"]) == (
        date_time(at(6)),
        date_time(at(9)),
    )


def test_call_that_nobody_answered_failed_in_its_set_up() -> None:
    made = history()
    made.joined("p-bot", BOT, "application", "link", at(0))
    made.not_reached(
        "p-john", JOHN, "user", at(0), at(30), ResultInfo(487, 10004, "Nobody answered.")
    )
    made.left("p-bot", at(30))
    made.ended(at(30))
    record = build(made)
    (session,) = record.sessions
    assert session["failureInfo"] == {
        "@odata.type": "#microsoft.graph.callRecords.failureInfo",
        "stage": "callSetup",
        "reason": "Nobody answered. (487/10004)",
    }
    assert session["callee"]["associatedIdentity"]["id"] == "John-id"
    assert session["segments"][0]["media"] == []
    assert [person["id"] for person in record.participants] == ["Bot-id", "John-id"]


def test_call_with_an_unknown_callee_has_none() -> None:
    made = history()
    made.joined("p-bot", BOT, "application", "link", at(0))
    made.ended(at(3))
    (session,) = build(made).sessions
    assert session["callee"] is None


def test_failure_in_the_middle_is_told() -> None:
    made = history()
    made.joined("p-bot", BOT, "application", "link", at(0))
    made.joined("p-john", JOHN, "user", "webrtc", at(1))
    made.left("p-john", at(4), ResultInfo(500, 1004, ""))
    made.ended(at(4))
    (session,) = build(made).sessions
    assert session["failureInfo"]["stage"] == "midcall"
    assert session["failureInfo"]["reason"] == "500/1004"


def test_meeting_has_a_session_for_each_stay_with_this_service() -> None:
    made = group_of(2)
    made = after_a_return(made)
    record = build(made)
    assert record.resource["type"] == "groupCall"
    assert [session["id"] for session in record.sessions] == ["p-bot", "p-0", "p-1", "p-again"]
    for session in record.sessions:
        assert session["callee"] == {
            "@odata.type": "#microsoft.graph.callRecords.serviceEndpoint",
            "userAgent": {
                "@odata.type": "#microsoft.graph.callRecords.serviceUserAgent",
                "applicationVersion": None,
                "headerValue": None,
                "role": "mediaController",
            },
        }
    # Who came twice is one participant.
    assert [person["id"] for person in record.participants] == [
        "Bot-id",
        "User 0-id",
        "User 1-id",
    ]


def after_a_return(made: Any) -> Any:
    """The same meeting, in which the first user came back once."""
    again = history("meeting", JOHN)
    for stay in made.stays:
        again.joined(stay.participant_id, stay.identity, stay.kind, "webrtc", stay.started_at)
    again.left("p-0", at(100))
    first = made.stays[1]
    again.joined("p-again", first.identity, first.kind, "webrtc", at(200))
    again.ended(at(1000))
    return again


def test_phone_calls_leave_log_rows() -> None:
    made = history()
    made.joined("p-bot", BOT, "application", "service", at(0))
    made.joined("p-phone", PHONE, "phone", "phone", at(1))
    made.left("p-phone", at(11.9))
    made.ended(at(12))
    (row,) = build(made).pstn_calls
    assert row["callId"] == "record-id"
    assert (row["callType"], row["calleeNumber"], row["callerNumber"]) == (
        "ucap_out",
        "+14255550123",
        None,
    )
    assert (row["duration"], row["callDurationSource"]) == (10, "microsoft")
    assert (row["userId"], row["userDisplayName"]) == ("Bot-id", "Bot")
    assert row["charge"] is None
    inbound = history(organizer=PHONE)
    inbound.joined("p-phone", PHONE, "phone", "phone", at(1))
    inbound.ended(at(12))
    (row,) = build(inbound).pstn_calls
    assert (row["callType"], row["callerNumber"], row["userId"]) == (
        "ucap_in",
        "+14255550123",
        None,
    )


def test_guest_belongs_to_no_tenant() -> None:
    made = history("meeting", JOHN)
    made.joined("p", {"guest": {"id": "g", "displayName": "Gail"}}, "guest", "link", at(0))
    made.ended(at(1))
    (person,) = build(made).participants
    assert person["identity"] == {"guest": {"id": "g", "displayName": "Gail"}}


def test_conversation_that_goes_on_has_no_record() -> None:
    made = history()
    with pytest.raises(ValueError, match="over"):
        build(made)
    made.ended(at(1))
    with pytest.raises(ValueError, match="somebody"):
        build(made)


def test_history_takes_nothing_twice_and_nothing_after_its_end() -> None:
    made = call_of_two()
    stays = made.stays
    made.joined("p-late", ALICE, "user", "webrtc", at(20))
    made.not_reached("p-late", ALICE, "user", at(20), at(21), ResultInfo(487, 0))
    made.left("p-john", at(30))
    made.left("nobody", at(30))
    made.ended(at(40))
    made.app_joined("Bot-id")
    assert (made.stays, made.ended_at, made.app_ids) == (stays, at(12), ["Bot-id"])
    twice = history()
    twice.joined("p", JOHN, "user", "webrtc", at(0))
    twice.joined("p", ALICE, "user", "webrtc", at(1))
    assert [stay.identity for stay in twice.stays] == [JOHN]
    assert replace(twice.stays[0]).ended_at is None


def test_times_are_written_without_zeros_at_their_end() -> None:
    assert date_time(T0.replace(microsecond=0)) == "2024-05-01T10:00:00Z"
    assert date_time(T0.replace(microsecond=216_988)) == "2024-05-01T10:00:00.216988Z"


def test_record_has_every_member_that_the_documentation_shows() -> None:
    record = build(call_of_two())
    whole = {
        **record.resource,
        "participants_v2": list(record.participants),
        "sessions": list(record.sessions),
    }
    documented = json.loads((DATA / "call_record_resource.json").read_text())["properties"]
    missing = [path for path in documented if not _has(whole, path.split("."))]
    assert missing == []


def _has(value: Any, path: list[str]) -> bool:
    if not path:
        return True
    if isinstance(value, list):
        return bool(value) and all(_has(item, path) for item in value)
    return isinstance(value, dict) and path[0] in value and _has(value[path[0]], path[1:])
