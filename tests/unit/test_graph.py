"""The pure parts of the Graph API: paths, resources, notifications, errors."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixminus.control.graph.enums import CallState, ChangeType, Role
from mixminus.control.graph.errors import GraphError, call_not_found, error_body
from mixminus.control.graph.notifications import (
    Notification,
    NotificationError,
    build_envelope,
    normal_id,
    parse_envelope,
)
from mixminus.control.graph.odata import normal_path, select
from mixminus.control.graph.resources import (
    CallIdentity,
    CallKind,
    CallRequest,
    call_resource,
    parse_call_request,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=10,
)
USER = {"identity": {"user": {"id": "u"}}}
IDENTITY = CallIdentity("call", "chain", "me", "tenant", "app", "Bot")


def parsed(value: Any) -> CallRequest | GraphError:
    """What becomes of a body: it is understood, or refused; nothing else is raised."""
    try:
        return parse_call_request(value)
    except GraphError as error:
        return error


def body(**members: Any) -> dict[str, Any]:
    return {
        "callbackUri": "https://bot.contoso.com/callback",
        "targets": [USER],
        "mediaConfig": {"blob": "{}"},
    } | members


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v1.0/communications/calls", "/v1.0/communications/calls"),
        ("/V1.0/Communications/CALLS/AbC/KeepAlive", "/v1.0/communications/calls/AbC/keepAlive"),
        ("/beta/app/calls/X/microsoft.graph.playprompt", "/beta/app/calls/X/playPrompt"),
        ("/beta/communications/calls/KEEPALIVE", "/beta/communications/calls/keepAlive"),
        ("/v1.0/communications/calls/Id/participants/MyId", None),
        ("/TENANT/oauth2/v2.0/token", None),
        ("/v1/.well-known/OpenIdConfiguration", None),
        ("/", None),
        ("", None),
    ],
)
def test_paths_get_their_documented_spelling(path: str, expected: str | None) -> None:
    assert normal_path(path) == (path if expected is None else expected)


def test_select_keeps_annotations_and_the_id() -> None:
    resource = {"@odata.type": "t", "id": "i", "state": "s", "subject": None}
    assert select(resource, "state, unknown") == {"@odata.type": "t", "id": "i", "state": "s"}
    assert select(resource, None) == select(resource, "*") == resource


@pytest.mark.parametrize(
    ("members", "kind", "role"),
    [
        ({}, CallKind.PEER_TO_PEER, Role.INITIATE),
        ({"targets": [USER, USER]}, CallKind.GROUP, Role.INITIATE_GROUP_CALL),
        ({"targets": [{"identity": {"phone": {"id": "+1"}}}]}, CallKind.PSTN, Role.INITIATE),
        ({"targets": [], "meetingInfo": {}}, CallKind.MEETING, Role.JOIN_GROUP_CALL),
        (
            {"meetingInfo": {}, "source": {"identity": {"guest": {"id": "g"}}}},
            CallKind.MEETING_AS_GUEST,
            Role.JOIN_GROUP_CALL_AS_GUEST,
        ),
    ],
)
def test_members_of_a_body_tell_its_kind_and_permission(
    members: dict[str, Any], kind: CallKind, role: Role
) -> None:
    request = parse_call_request(body(**members))
    assert request.kind is kind
    assert request.roles == {role, Role.ACCESS_MEDIA}
    hosted = {"@odata.type": "#microsoft.graph.serviceHostedMediaConfig"}
    assert parse_call_request(body(**members, mediaConfig=hosted)).roles == {role}


def test_types_that_clients_leave_out_are_filled_in() -> None:
    resource = call_resource(parse_call_request(body()), IDENTITY, {"blob": "{}"})
    source = resource["source"]
    assert source["identity"]["application"] == {
        "@odata.type": "#microsoft.graph.identity",
        "displayName": "Bot",
        "id": "app",
    }
    assert {source[key] for key in ("countryCode", "endpointType", "region", "languageId")} == {
        None
    }
    (target,) = resource["targets"]
    assert target == {
        "@odata.type": "#microsoft.graph.invitationParticipantInfo",
        "identity": {
            "@odata.type": "#microsoft.graph.identitySet",
            "user": {"@odata.type": "#microsoft.graph.identity", "id": "u"},
        },
    }


def test_unknown_members_of_a_participant_are_kept() -> None:
    target = {"identity": {"user": {"id": "u", "x": 1}, "y": "z"}, "hidden": True}
    (shown,) = call_resource(parse_call_request(body(targets=[target])), IDENTITY, {})["targets"]
    assert shown["hidden"] is True
    assert shown["identity"]["y"] == "z"
    assert shown["identity"]["user"]["x"] == 1


@given(JSON)
def test_any_json_is_a_call_or_a_graph_error(value: Any) -> None:
    outcome = parsed(value)
    assert not isinstance(outcome, GraphError) or outcome.status == 400


@given(
    st.sampled_from(
        [
            "callbackUri",
            "targets",
            "mediaConfig",
            "source",
            "requestedModalities",
            "ringingTimeoutInSeconds",
            "tenantId",
            "chatInfo",
            "meetingInfo",
        ]
    ),
    JSON,
)
def test_any_member_is_taken_or_refused_with_a_message(key: str, value: Any) -> None:
    outcome = parsed(body(**{key: value}))
    if isinstance(outcome, GraphError):
        assert outcome.status == 400
        assert outcome.message
    else:
        call_resource(outcome, IDENTITY, {})


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
