"""Call control of Azure Communication Services: what is pure of it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixminus.control.acs.bodies import MediaStreaming, answer_body, create_body, reject_body
from mixminus.control.acs.events import (
    CallEvent,
    EventError,
    IncomingCall,
    SeenEvents,
    Validation,
    parse_call_events,
    parse_incoming,
)
from mixminus.control.acs.identifiers import Identifier
from mixminus.control.acs.signing import (
    ConnectionString,
    SignatureRefusedError,
    check_signature,
    content_hash,
    signature,
    signed_headers,
)
from mixminus.control.acs.simulator.calls import BadRequestError, StreamOptions

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
KEY = bytes(range(32))


@pytest.mark.parametrize(
    ("raw_id", "kind", "value", "cloud"),
    [
        ("4:+15551234567", "phoneNumber", "+15551234567", "public"),
        ("8:orgid:0a1b", "microsoftTeamsUser", "0a1b", "public"),
        ("8:dod:0a1b", "microsoftTeamsUser", "0a1b", "dod"),
        ("8:gcch:0a1b", "microsoftTeamsUser", "0a1b", "gcch"),
        ("8:teamsvisitor:0a1b", "microsoftTeamsUser", "0a1b", "public"),
        ("28:orgid:0a1b", "microsoftTeamsApp", "0a1b", "public"),
        ("8:acs:res_user", "communicationUser", "8:acs:res_user", "public"),
        ("8:spool:user", "communicationUser", "8:spool:user", "public"),
        ("something else", "unknown", "", "public"),
    ],
)
def test_raw_ids_are_read_and_written(raw_id: str, kind: str, value: str, cloud: str) -> None:
    who = Identifier.parse(raw_id)
    assert (who.kind, who.value, who.cloud) == (kind, value, cloud)
    assert Identifier.from_json(who.to_json()) == who
    model = {key: value for key, value in who.to_json().items() if key not in ("rawId", "kind")}
    if model:  # Some SDKs leave the raw id out.
        assert Identifier.from_json(model) == who


@given(st.text(min_size=1, max_size=40))
def test_any_raw_id_survives(raw_id: str) -> None:
    assert Identifier.from_json(json.loads(json.dumps({"rawId": raw_id}))).raw_id == raw_id


@pytest.mark.parametrize("number", ["", "5551234", "+", "+0123456", "+1555123456789012", "+1 555"])
def test_no_telephone_number(number: str) -> None:
    with pytest.raises(ValueError, match=r"expected a number as \+15551234567"):
        Identifier.phone(number)


@pytest.mark.parametrize("model", [None, [], {}, {"phoneNumber": {}}, {"rawId": ""}, {"rawId": 5}])
def test_no_identifier(model: Any) -> None:
    with pytest.raises(ValueError, match="expected"):
        Identifier.from_json(model)


def test_the_hash_of_nothing_and_a_signature_that_was_made_elsewhere() -> None:
    assert content_hash(b"") == "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
    # openssl dgst -sha256 -mac HMAC of "GET\n/x?y=1\nSat, 21 Nov 2026 12:00:00 GMT;h;47DEQ..."
    signed = signature(
        KEY, "get", "/x?y=1", "Sat, 21 Nov 2026 12:00:00 GMT", "h", content_hash(b"")
    )
    assert signed == "aLZ0+tHOmM7Od8HiJrs6xXGvsjKcXV7xlIP3X45MSVQ="


def test_a_request_is_good_for_five_minutes_and_for_nothing_else() -> None:
    headers = signed_headers(KEY, "POST", "/a?b", "host:1", b"{}", NOW)
    found = {name.lower(): value for name, value in headers.items()} | {"host": "host:1"}
    check_signature(KEY, "POST", "/a?b", found, b"{}", NOW + timedelta(seconds=299))
    later = NOW + timedelta(seconds=301)
    wrong: list[tuple[bytes, str, str, dict[str, str], bytes, datetime]] = [
        (KEY, "POST", "/a?b", found, b"{}", later),
        (KEY, "POST", "/a?c", found, b"{}", NOW),
        (KEY, "GET", "/a?b", found, b"{}", NOW),
        (KEY, "POST", "/a?b", found, b"{ }", NOW),
        (bytes(32), "POST", "/a?b", found, b"{}", NOW),
        (KEY, "POST", "/a?b", {**found, "host": "h"}, b"{}", NOW),
        (KEY, "POST", "/a?b", {}, b"{}", NOW),
        (KEY, "POST", "/a?b", {**found, "authorization": "Bearer x"}, b"{}", NOW),
    ]
    for request in wrong:
        with pytest.raises(SignatureRefusedError):
            check_signature(*request)


def test_a_connection_string_says_where_and_never_shows_its_key() -> None:
    parsed = ConnectionString.parse("endpoint=https://r.example.com/;accesskey=c2VjcmV0")
    assert (parsed.endpoint, parsed.access_key) == ("https://r.example.com", b"secret")
    assert "secret" not in repr(parsed)
    assert "c2VjcmV0" not in repr(parsed)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "endpoint=https"),
        ("endpoint=http://h/;accesskey=c2VjcmV0", "endpoint=https"),
        ("endpoint=https://h/;accesskey=!!", "accesskey"),
        ("endpoint=https://h/", "accesskey"),
    ],
)
def test_no_connection_string(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        ConnectionString.parse(text)
    assert "c2VjcmV0" not in str(caught.value)


def test_bodies_hold_what_was_asked_for() -> None:
    streaming = MediaStreaming(url="wss://bot.example.com/s", channels="unmixed", rate_hz=24_000)
    body = create_body(
        [Identifier.phone("+15551234567")],
        "https://bot.example.com/acs",
        caller_number="+15557654321",
        streaming=streaming,
    )
    assert body["targets"][0]["phoneNumber"] == {"value": "+15551234567"}
    assert body["sourceCallerIdNumber"] == {"value": "+15557654321"}
    assert StreamOptions.parse(body["mediaStreamingOptions"]) == StreamOptions(
        "wss://bot.example.com/s", "unmixed", 24_000, start=True, bidirectional=True, tones=True
    )
    assert "operationContext" not in answer_body("ctx", "https://h/")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: create_body([], "https://h"), "somebody to call"),
        (lambda: create_body([Identifier.phone("+15551234567")], "https://h"), "caller_number"),
        (lambda: answer_body("", "https://h"), "incomingCallContext"),
        (lambda: reject_body("c", "rude"), "expected one of"),  # type: ignore[arg-type]
        (lambda: MediaStreaming(url="ws://h"), "wss"),
        (lambda: MediaStreaming(url="wss://h", rate_hz=8_000), "Hz"),
        (lambda: MediaStreaming(url="wss://h", channels="both"), "mixed"),  # type: ignore[arg-type]
    ],
)
def test_what_could_never_work_is_said_at_once(make: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make()


@pytest.mark.parametrize("member", ["transportType", "transportUrl", "audioChannelType"])
def test_the_service_refuses_options_that_lack_something(member: str) -> None:
    options = MediaStreaming(url="wss://h").to_json()
    del options[member]
    with pytest.raises(BadRequestError, match=member):
        StreamOptions.parse(options)


def grid(kind: str, data: Any) -> bytes:
    return json.dumps([{"id": "1", "eventType": kind, "data": data}]).encode()


def test_event_grid_asks_and_rings() -> None:
    asked = grid("Microsoft.EventGrid.SubscriptionValidationEvent", {"validationCode": "abc"})
    (question,) = parse_incoming(asked)
    assert isinstance(question, Validation)
    assert question.reply() == {"validationResponse": "abc"}
    data = {
        "incomingCallContext": "token",
        "from": {"rawId": "4:+15551234567"},
        "to": {"rawId": "28:orgid:b"},
        "callerDisplayName": "John",
    }
    (call,) = parse_incoming(grid("Microsoft.Communication.IncomingCall", data))
    assert isinstance(call, IncomingCall)
    assert (call.caller.value, call.caller_name, call.context) == ("+15551234567", "John", "token")
    assert parse_incoming(grid("Microsoft.Storage.BlobCreated", {})) == ()


def cloud(kind: str, **data: Any) -> bytes:
    event = {"id": "7", "type": f"Microsoft.Communication.{kind}", "data": data}
    return json.dumps([event]).encode()


def test_cloud_events_say_what_became_of_a_call() -> None:
    (event,) = parse_call_events(
        cloud(
            "MediaStreamingFailed",
            callConnectionId="c",
            resultInformation={"code": 400, "subCode": 8581, "message": "Transport URL"},
            mediaStreamingUpdate={
                "mediaStreamingStatusDetails": "initialWebSocketConnectionFailed"
            },
        )
    )
    assert isinstance(event, CallEvent)
    assert event.streaming_details == "initialWebSocketConnectionFailed"
    assert "400/8581" in event.why
    assert "could not open its WebSocket to this host" in event.why
    assert parse_call_events(b'[{"id": "1", "type": "com.example.other", "data": 5}]') == ()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no",
        b"[5]",
        cloud("CallConnected"),
        cloud("CallConnected", callConnectionId=5),
        b'[{"id": "1", "type": "Microsoft.Communication.CallConnected", "data": []}]',
        json.dumps([{}] * 101).encode(),
    ],
)
def test_what_holds_no_events_is_refused(body: bytes) -> None:
    with pytest.raises(EventError):
        parse_call_events(body)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=20),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["id", "type", "eventType", "data", "from", "to", "resultInformation"]
                )
                | st.text(max_size=8),
                inner,
                max_size=5,
            )
        ),
        max_leaves=15,
    )
)
def test_any_json_is_read_or_refused(document: Any) -> None:
    body = json.dumps(document).encode()
    for parse in (parse_incoming, parse_call_events):
        try:
            parse(body)
        except EventError as exc:
            refused = str(exc)
        else:
            continue
        assert "expected" in refused


def test_events_come_at_least_once() -> None:
    seen = SeenEvents(most=2)
    assert [seen.add(i) for i in ("a", "a", "b", "a", "c", "b")] == [
        True, False, True, False, True, True,
    ]  # fmt: skip
