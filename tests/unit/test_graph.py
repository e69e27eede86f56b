"""The pure parts of the Graph API: notifications, errors, enumerations."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mixminus.control.graph.enums import (
    ALL_ROLES,
    KEYPAD,
    CallState,
    ChangeType,
    OperationStatus,
    Role,
    Tone,
)
from mixminus.control.graph.errors import call_not_found, error_body
from mixminus.control.graph.notifications import (
    Notification,
    NotificationError,
    build_envelope,
    normal_id,
    parse_envelope,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=10,
)


def test_envelope_comes_back_as_it_was_built() -> None:
    sent = (
        Notification(ChangeType.UPDATED, ("id",), {"state": "established"}),
        Notification(ChangeType.DELETED, ("id", "operations", "op"), {"status": "completed"}),
    )
    envelope = build_envelope(sent, "https://bot/")
    assert envelope["value"][1]["resourceUrl"] == "/communications/calls/id/operations/op"
    assert parse_envelope(envelope) == sent


def test_live_forms_of_an_envelope_are_understood() -> None:
    (item,) = parse_envelope(
        {
            "value": [
                {
                    "changeType": "Created",
                    "resource": "app/calls/3F1A-B0/Participants",
                    "resourceData": [],
                }
            ]
        }
    )
    assert (item.change_type, item.resource_path) == ("created", ("3F1A-B0", "Participants"))
    assert normal_id(item.call_id) == normal_id("3f1ab0")


@given(JSON | st.builds(lambda items: {"value": items}, st.lists(JSON)))
def test_any_json_is_an_envelope_or_refused(value: Any) -> None:
    with suppress(NotificationError):
        for item in parse_envelope(value):
            assert item.call_id


def test_error_body_is_the_documented_envelope() -> None:
    now = datetime(2020, 5, 27, 17, 45, 18, tzinfo=UTC)
    shown = error_body(call_not_found(), request_id="r", client_request_id="c", now=now)
    assert shown == {
        "error": {
            "code": "8522",
            "message": "Call not found.",
            "innerError": {
                "date": "2020-05-27T17:45:18",
                "request-id": "r",
                "client-request-id": "c",
            },
        }
    }


def test_unknown_state_is_none() -> None:
    assert CallState.parse("established") is CallState.ESTABLISHED
    assert CallState.parse("unknownFutureValue") is None
    assert CallState.parse(["established"]) is None


def test_operation_status_is_read_in_any_case() -> None:
    for text in ("running", "Running", "RUNNING"):
        assert OperationStatus.parse(text) is OperationStatus.RUNNING
    assert OperationStatus.parse("Idle") is None
    assert OperationStatus.parse(1) is None


def test_every_key_has_a_tone_and_back() -> None:
    for key in KEYPAD:
        tone = Tone.of_key(key)
        assert tone is not None
        assert tone.key == key
    assert Tone.of_key("a") is Tone.A
    assert Tone.of_key("x") is None
    assert Tone.FLASH.key is None
    assert (Tone.of_key("*"), Tone.of_key("#"), Tone.of_key("1")) == (
        Tone.STAR,
        Tone.POUND,
        Tone.TONE1,
    )


def test_consent_for_one_thread_is_no_permission_of_a_tenant() -> None:
    assert Role.JOIN_GROUP_CALLS_CHAT not in ALL_ROLES
    assert {*ALL_ROLES, Role.JOIN_GROUP_CALLS_CHAT} == set(Role)
