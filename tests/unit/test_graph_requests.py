"""Create call: which call a body means, what is refused, and what is shown of it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixminus.control.graph.enums import Role
from mixminus.control.graph.errors import GraphError
from mixminus.control.graph.participants import identity_set
from mixminus.control.graph.requests import CallKind, CallRequest, parse_call_request
from mixminus.control.graph.resources import (
    PROPERTIES,
    CallIdentity,
    answered_by,
    call_resource,
    incoming_call_resource,
    with_context,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=10,
)
IDENTITY = CallIdentity("call", "chain", "me", "tenant", "app", "Bot")
USER = {"identity": {"user": {"id": "u"}}}
USER_2 = {"identity": {"user": {"id": "u2"}}}
SOURCE = answered_by(identity_set("user", "u", "User", tenantId="tenant"))
PHONE = {"identity": {"phone": {"id": "+12345678901"}}}
INSTANCE = {"identity": {"applicationInstance": {"id": "instance", "displayName": "Desk"}}}
GUEST = {"identity": {"guest": {"id": "g", "displayName": "Guest"}}}
HOSTED = {"@odata.type": "#microsoft.graph.serviceHostedMediaConfig"}
CHAT = {"threadId": "19:meeting_Win6@thread.v2", "messageId": "0"}
ORGANIZER = {
    "@odata.type": "#microsoft.graph.organizerMeetingInfo",
    "organizer": {"user": {"id": "bob", "tenantId": "tenant"}},
    "allowConversationWithoutHost": True,
}
JOIN_ID = {
    "@odata.type": "#microsoft.graph.joinMeetingIdMeetingInfo",
    "joinMeetingId": "123 456 7",
    "passcode": "psw123",
}
TOKEN = {"@odata.type": "#microsoft.graph.tokenMeetingInfo", "token": "secret"}
MEETING = {"targets": None, "chatInfo": CHAT, "meetingInfo": ORGANIZER}


def body(**members: Any) -> dict[str, Any]:
    return {
        "callbackUri": "https://bot.contoso.com/callback",
        "targets": [USER],
        "mediaConfig": {"blob": "{}"},
    } | members


def refused(**members: Any) -> str:
    with pytest.raises(GraphError) as caught:
        parse_call_request(body(**members))
    assert (caught.value.status, caught.value.code) == (400, "8523")
    return caught.value.message


def parsed(value: Any) -> CallRequest | GraphError:
    """What becomes of a body: it is understood, or refused; nothing else is raised."""
    try:
        return parse_call_request(value)
    except GraphError as error:
        return error


@pytest.mark.parametrize(
    ("members", "kind", "role"),
    [
        ({}, CallKind.PEER_TO_PEER, Role.INITIATE),
        (
            {"targets": [{"identity": {"application": {"id": "a"}}}]},
            CallKind.PEER_TO_PEER,
            Role.INITIATE,
        ),
        ({"targets": [USER, USER_2]}, CallKind.GROUP, Role.INITIATE_GROUP_CALL),
        ({"targets": [PHONE], "source": INSTANCE}, CallKind.PSTN, Role.INITIATE),
        (MEETING, CallKind.MEETING, Role.JOIN_GROUP_CALL),
        ({"targets": [], "meetingInfo": JOIN_ID}, CallKind.MEETING, Role.JOIN_GROUP_CALL),
        ({"targets": [], "meetingInfo": TOKEN}, CallKind.MEETING, Role.JOIN_GROUP_CALL),
        (MEETING | {"source": GUEST}, CallKind.MEETING_AS_GUEST, Role.JOIN_GROUP_CALL_AS_GUEST),
    ],
)
def test_members_of_a_body_tell_its_kind_and_permission(
    members: dict[str, Any], kind: CallKind, role: Role
) -> None:
    request = parse_call_request(body(**members))
    assert request.kind is kind
    assert request.roles == {role, Role.ACCESS_MEDIA}
    assert parse_call_request(body(**members) | {"mediaConfig": HOSTED}).roles == {role}


def test_all_three_kinds_of_meeting_info_are_read() -> None:
    organizer = parse_call_request(body(**MEETING)).meeting
    assert organizer is not None
    assert (organizer.kind, organizer.thread_id, organizer.message_id) == (
        "organizer",
        CHAT["threadId"],
        "0",
    )
    assert (organizer.organizer_id, organizer.organizer_tenant_id) == ("bob", "tenant")
    assert organizer.allow_without_host is True
    join_id = parse_call_request(body(targets=[], meetingInfo=JOIN_ID)).meeting
    assert join_id is not None
    assert (join_id.kind, join_id.join_meeting_id, join_id.passcode) == (
        "joinMeetingId",
        "1234567",
        "psw123",
    )
    token = parse_call_request(body(targets=[], meetingInfo=TOKEN)).meeting
    assert token is not None
    assert (token.kind, token.token, token.allow_without_host) == ("token", "secret", None)


def test_kind_of_meeting_info_without_a_type_is_told_by_its_members() -> None:
    for info in (ORGANIZER, JOIN_ID, TOKEN):
        bare = {key: value for key, value in info.items() if key != "@odata.type"}
        typed, untyped = (
            parse_call_request(body(targets=[], chatInfo=CHAT, meetingInfo=shape))
            for shape in (info, bare)
        )
        assert typed.meeting == untyped.meeting
        assert typed.meeting_info == untyped.meeting_info


@pytest.mark.parametrize(
    ("members", "names"),
    [
        ({"callbackUri": None}, "callbackUri is missing"),
        ({"callbackUri": "http://bot/"}, "callbackUri: expected an absolute https URI"),
        ({"callbackUri": "https://bot\n/"}, "callbackUri"),
        ({"callbackUri": "https://bot/" + "x" * 2048}, "callbackUri"),
        ({"@odata.type": "#microsoft.graph.user"}, "@odata.type: expected #microsoft.graph.call"),
        ({"targets": []}, "targets: expected at least one"),
        ({"targets": [USER] * 2}, "targets[1]: the same identity as targets[0]"),
        (
            {"targets": [{"identity": {"user": {"id": str(n)}}} for n in range(6)]},
            "targets: expected at most 5, got 6",
        ),
        ({"targets": [USER, PHONE], "source": INSTANCE}, "targets[1].identity"),
        ({"targets": [PHONE]}, "source.identity.applicationInstance is missing"),
        ({"targets": [GUEST]}, "guest"),
        ({"targets": [{"identity": {}}]}, "targets[0].identity: expected one of user"),
        ({"targets": [{"identity": {"user": {"id": ""}}}]}, "targets[0].identity.user.id"),
        ({"targets": [{"identity": {"user": {"id": "a/b"}}}]}, "targets[0].identity.user.id"),
        ({"targets": [{"identity": {"user": {"id": "a\x00"}}}]}, "targets[0].identity.user.id"),
        ({"targets": [{"identity": {"user": {"id": "a\n"}}}]}, "targets[0].identity.user.id"),
        ({"targets": [{"identity": {"user": {"id": "x" * 257}}}]}, "targets[0].identity.user.id"),
        ({"targets": [{"identity": {"phone": {"id": "911"}}}], "source": INSTANCE}, "E.164"),
        ({"targets": [USER | {"@odata.type": "#microsoft.graph.call"}]}, "targets[0].@odata.type"),
        ({"targets": [USER | {"hidden": "yes"}]}, "targets[0].hidden: expected a truth value"),
        ({"targets": [USER | {"endpointType": "fax"}]}, "targets[0].endpointType: expected one of"),
        ({"source": GUEST}, "source.identity.guest"),
        ({"source": {"identity": {"user": {"id": "u"}}}}, "source.identity: expected one of"),
        ({"requestedModalities": ["smell"]}, "requestedModalities[0]: expected one of"),
        ({"requestedModalities": ["Audio"]}, "requestedModalities[0]"),
        ({"requestedModalities": "audio"}, "requestedModalities: expected a list"),
        ({"routingPolicies": ["unknownFutureValue"]}, "routingPolicies[0]"),
        ({"ringingTimeoutInSeconds": 116}, "from 1 to 115"),
        ({"ringingTimeoutInSeconds": 0}, "from 1 to 115"),
        ({"ringingTimeoutInSeconds": True}, "from 1 to 115"),
        ({"ringingTimeoutInSeconds": 1.5}, "from 1 to 115"),
        ({"mediaConfig": None}, "mediaConfig is missing"),
        ({"mediaConfig": {"@odata.type": "#microsoft.graph.appHostedMediaConfig"}}, "blob"),
        ({"mediaConfig": {"@odata.type": "appHostedMediaConfig"}}, "mediaConfig.@odata.type"),
        ({"mediaConfig": HOSTED | {"preFetchMedia": [{}]}}, "preFetchMedia[0].uri is missing"),
        (
            {"mediaConfig": HOSTED | {"preFetchMedia": [{"uri": "file:///etc/passwd"}]}},
            "preFetchMedia[0].uri: expected an absolute https URI",
        ),
        ({"callOptions": {"@odata.type": "#microsoft.graph.incomingCallOptions"}}, "callOptions"),
        ({"callOptions": {"isDeltaRosterEnabled": 1}}, "callOptions.isDeltaRosterEnabled"),
        ({"tenantId": "a b"}, "tenantId"),
        ({"subject": 7}, "subject: expected a text, got a number"),
        ({"subject": "x" * 1025}, "subject: expected at most"),
        # A meeting needs both halves, and no targets.
        ({"targets": [], "chatInfo": CHAT}, "meetingInfo is missing"),
        ({"targets": [], "meetingInfo": ORGANIZER}, "chatInfo is missing"),
        ({"chatInfo": CHAT, "meetingInfo": ORGANIZER}, "targets: expected none"),
        ({"targets": [], "meetingInfo": ORGANIZER, "chatInfo": {}}, "chatInfo.threadId is missing"),
        ({"targets": [], "meetingInfo": {}, "chatInfo": CHAT}, "meetingInfo.organizer is missing"),
        (
            {
                "targets": [],
                "chatInfo": CHAT,
                "meetingInfo": {"organizer": {"user": {"id": "bob"}}},
            },
            "meetingInfo.organizer.user.tenantId is missing",
        ),
        ({"targets": [], "meetingInfo": JOIN_ID | {"joinMeetingId": " "}}, "joinMeetingId"),
        ({"targets": [], "meetingInfo": TOKEN | {"token": ""}}, "meetingInfo.token is missing"),
        (
            {"targets": [], "meetingInfo": {"@odata.type": "#microsoft.graph.meetingInfo"}},
            "meetingInfo.@odata.type",
        ),
    ],
)
def test_each_mistake_is_named(members: dict[str, Any], names: str) -> None:
    assert names in refused(**members)


def test_a_refusal_does_not_repeat_a_secret_path() -> None:
    message = refused(callbackUri="http://bot.contoso.com/secret?key=1")
    assert "bot.contoso.com" in message
    assert "secret" not in message


def test_what_the_service_sets_is_passed_over() -> None:
    request = parse_call_request(
        body(state="terminated", id="mine", direction="incoming", callChainId=7, resultInfo=[])
    )
    shown = call_resource(request, IDENTITY, request.media.shown)
    assert (shown["state"], shown["id"], shown["direction"]) == ("establishing", "call", "outgoing")
    assert (shown["callChainId"], shown["resultInfo"]) == ("chain", None)


def test_what_is_for_calls_of_two_is_not_promised_to_a_group() -> None:
    both = {"routingPolicies": ["noMissedCall"], "ringingTimeoutInSeconds": 30}
    alone = parse_call_request(body(**both))
    assert (alone.routing_policies, alone.ringing_timeout_s) == (("noMissedCall",), 30)
    group = parse_call_request(body(**both, targets=[USER, USER_2]))
    assert (group.routing_policies, group.ringing_timeout_s) == ((), None)


def test_options_of_a_call_are_read() -> None:
    request = parse_call_request(
        body(
            callOptions={"isDeltaRosterEnabled": True, "allowGuestToBypassLobby": True},
            mediaConfig=HOSTED
            | {
                "removeFromDefaultAudioGroup": True,
                "preFetchMedia": [{"uri": "https://cdn.contoso.com/beep.wav", "resourceId": "r"}],
            },
        )
    )
    assert request.options.delta_roster
    assert not request.options.content_sharing_notifications
    # Open types keep what they are given.
    assert request.options.raw == {
        "@odata.type": "#microsoft.graph.outgoingCallOptions",
        "isDeltaRosterEnabled": True,
        "allowGuestToBypassLobby": True,
    }
    assert not request.media.in_default_mix
    assert [item.resource_id for item in request.media.prefetch] == ["r"]


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
        "endpointType": None,
        "region": None,
        "replacesCallId": None,
        "languageId": None,
    }


def test_a_target_typed_as_a_participant_is_shown_as_an_invitation() -> None:
    typed = USER_2 | {"@odata.type": "#microsoft.graph.participantInfo"}
    request = parse_call_request(body(targets=[USER, typed]))
    shown = call_resource(request, IDENTITY, {})["targets"][1]
    assert shown["@odata.type"] == "#microsoft.graph.invitationParticipantInfo"


def test_unknown_members_of_a_participant_are_kept() -> None:
    target = {"identity": {"user": {"id": "u", "x": 1}, "y": "z"}, "hidden": True}
    (shown,) = call_resource(parse_call_request(body(targets=[target])), IDENTITY, {})["targets"]
    assert shown["hidden"] is True
    assert shown["identity"]["y"] == "z"
    assert shown["identity"]["user"]["x"] == 1


def test_a_meeting_is_shown_with_its_chat_and_no_targets() -> None:
    shown = call_resource(parse_call_request(body(**MEETING, source=GUEST)), IDENTITY, {})
    assert shown["targets"] == []
    assert shown["chatInfo"] == {
        "@odata.type": "#microsoft.graph.chatInfo",
        **CHAT,
        "replyChainMessageId": None,
    }
    assert shown["meetingInfo"]["organizer"]["user"] == {
        "@odata.type": "#microsoft.graph.identity",
        "id": "bob",
        "tenantId": "tenant",
    }
    assert shown["source"]["identity"]["guest"]["displayName"] == "Guest"
    assert (shown["source"]["region"], shown["source"]["languageId"]) == (None, None)


def test_every_documented_property_is_there() -> None:
    shown = call_resource(
        parse_call_request(body(callOptions={})), IDENTITY, {}
    ) | incoming_call_resource(
        IDENTITY,
        callback_uri="https://bot.contoso.com/",
        source=SOURCE,
        source_participant_id="p",
    )
    assert set(PROPERTIES) <= set(shown)


def test_an_incoming_call_names_its_source_and_the_application() -> None:
    shown = incoming_call_resource(
        IDENTITY,
        callback_uri="https://bot.contoso.com/",
        source=SOURCE,
        source_participant_id="p",
        observed_participant_id="p",
    )
    assert (shown["state"], shown["direction"]) == ("incoming", "incoming")
    assert shown["source"]["identity"]["user"]["tenantId"] == "tenant"
    assert shown["targets"][0]["identity"]["application"]["id"] == "app"
    assert shown["incomingContext"]["sourceParticipantId"] == "p"
    assert shown["incomingContext"]["observedParticipantId"] == "p"
    assert (shown["incomingContext"]["onBehalfOf"], shown["mediaConfig"]) == (None, None)


def test_the_context_follows_the_id() -> None:
    shown = with_context({"id": "i", "state": "s"}, "https://graph", "beta")
    assert list(shown) == ["id", "@odata.context", "state"]
    assert shown["@odata.context"] == "https://graph/beta/$metadata#app/calls/$entity"
    shown = with_context({"id": "i"}, "https://graph", "v1.0")
    assert shown["@odata.context"].endswith("/v1.0/$metadata#communications/calls/$entity")


@given(JSON)
def test_any_json_is_a_call_or_a_graph_error(value: Any) -> None:
    outcome = parsed(value)
    assert not isinstance(outcome, GraphError) or outcome.status == 400


@given(
    st.sampled_from(
        [
            "callbackUri",
            "callOptions",
            "chatInfo",
            "mediaConfig",
            "meetingInfo",
            "requestedModalities",
            "ringingTimeoutInSeconds",
            "routingPolicies",
            "source",
            "subject",
            "targets",
            "tenantId",
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
