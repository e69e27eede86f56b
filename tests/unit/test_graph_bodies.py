"""The bodies of the actions of a call: what is read of them, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixminus.control.graph import requests
from mixminus.control.graph.errors import GraphError

HOSTED = {"@odata.type": "#microsoft.graph.serviceHostedMediaConfig"}
USER = {"identity": {"user": {"id": "u", "displayName": "User"}}}
MEDIA = {"uri": "https://cdn.contoso.com/beep.wav", "resourceId": "r"}
PROMPT = {"@odata.type": "#microsoft.graph.mediaPrompt", "mediaInfo": MEDIA}
GROUP = {"id": "g", "routingMode": "oneToOne", "sources": ["a"], "receivers": ["b"]}
QUALITY: dict[str, Any] = {
    "callChainId": "chain",
    "participantId": "p",
    "mediaLegId": "leg",
    "deviceName": "Room",
    "mediaQualityList": [
        {
            "@odata.type": "#microsoft.graph.teleconferenceDeviceAudioQuality",
            "channelIndex": 1,
            "mediaDuration": "PT20M",
            "averageInboundJitter": "PT0.016S",
            "averageInboundPacketLossRateInPercentage": 0.5,
            "inboundPackets": 10,
        }
    ],
}
Parse = Callable[[object], Any]
PARSERS: tuple[Parse, ...] = (
    requests.parse_answer,
    requests.parse_reject,
    requests.parse_redirect,
    requests.parse_transfer,
    requests.parse_invite,
    requests.parse_play_prompt,
    requests.parse_record,
    requests.parse_send_dtmf,
    requests.parse_hold_music,
    requests.parse_mute_all,
    requests.parse_client_context,
    requests.parse_recording_status,
    requests.parse_screen_sharing_role,
    requests.parse_routing_group,
    requests.parse_device_quality,
)


def users(number: int) -> list[dict[str, Any]]:
    return [{"identity": {"user": {"id": str(index)}}} for index in range(number)]


def media(**changes: Any) -> dict[str, Any]:
    return QUALITY | {"mediaQualityList": [QUALITY["mediaQualityList"][0] | changes]}


def refusal_of(parse: Parse, value: object) -> GraphError | None:
    try:
        parse(value)
    except GraphError as error:
        return error
    return None


@pytest.mark.parametrize(
    ("parse", "body", "names"),
    [
        (requests.parse_answer, {}, "mediaConfig is missing"),
        (requests.parse_answer, {"mediaConfig": HOSTED, "callbackUri": "http://x/"}, "callbackUri"),
        (
            requests.parse_answer,
            {"mediaConfig": HOSTED, "acceptedModalities": ["smell"]},
            "acceptedModalities[0]",
        ),
        (
            requests.parse_answer,
            {
                "mediaConfig": HOSTED,
                "callOptions": {"@odata.type": "#microsoft.graph.outgoingCallOptions"},
            },
            "callOptions.@odata.type",
        ),
        (requests.parse_answer, {"mediaConfig": HOSTED, "participantCapacity": 0}, "from 1 to"),
        (requests.parse_reject, {"reason": "tired"}, "reason: expected one of none, busy"),
        (requests.parse_redirect, {}, "targets is missing"),
        (requests.parse_redirect, {"targets": []}, "expected 1 to 25 items, got 0"),
        (requests.parse_redirect, {"targets": users(26)}, "expected 1 to 25 items, got 26"),
        (requests.parse_redirect, {"targets": [USER], "timeout": 14}, "from 15 to 90"),
        (requests.parse_redirect, {"targets": [USER], "timeout": 91}, "from 15 to 90"),
        (requests.parse_redirect, {"targets": [USER], "targetDisposition": "x"}, "Disposition"),
        (requests.parse_redirect, {"targets": [USER, USER]}, "cannot be invited twice"),
        (requests.parse_transfer, {}, "transferTarget is missing"),
        (requests.parse_transfer, {"transferTarget": {}}, "transferTarget.identity is missing"),
        (requests.parse_transfer, {"transferTarget": USER, "transferee": 1}, "transferee"),
        (requests.parse_invite, {"participants": users(6)}, "expected 1 to 5 items, got 6"),
        (
            requests.parse_invite,
            {"participants": [USER], "clientContext": "x" * 257},
            "at most 256",
        ),
        (requests.parse_play_prompt, {}, "prompts is missing"),
        (requests.parse_play_prompt, {"prompts": [PROMPT] * 21}, "expected 1 to 20 items, got 21"),
        (requests.parse_play_prompt, {"prompts": [{}]}, "prompts[0].mediaInfo is missing"),
        (
            requests.parse_play_prompt,
            {"prompts": [PROMPT], "loop": "yes"},
            "loop: expected a truth",
        ),
        (
            requests.parse_play_prompt,
            {"prompts": [{"mediaInfo": MEDIA | {"uri": "http://cdn/"}}]},
            "prompts[0].mediaInfo.uri: expected an absolute https",
        ),
        (
            requests.parse_play_prompt,
            {"prompts": [PROMPT | {"@odata.type": "#microsoft.graph.textPrompt"}]},
            "prompts[0].@odata.type",
        ),
        (requests.parse_record, {"prompts": [PROMPT] * 2}, "expected 0 to 1 items, got 2"),
        (requests.parse_record, {"maxRecordDurationInSeconds": 121}, "from 1 to 120"),
        (requests.parse_record, {"initialSilenceTimeoutInSeconds": 0}, "from 1 to 120"),
        (requests.parse_record, {"maxSilenceTimeoutInSeconds": "5"}, "got '5'"),
        (requests.parse_record, {"stopTones": ["pound"]}, "stopTones[0]: expected one of"),
        (requests.parse_record, {"stopTones": [1]}, "stopTones[0]"),
        (requests.parse_send_dtmf, {"tones": []}, "tones is missing"),
        (requests.parse_send_dtmf, {"tones": ["1"]}, "tones[0]: expected one of tone0"),
        (requests.parse_send_dtmf, {"tones": ["a"], "delayBetweenTonesMs": -1}, "from 0"),
        (requests.parse_hold_music, {"customPrompt": {}}, "customPrompt.mediaInfo is missing"),
        (requests.parse_mute_all, {}, "participants is missing"),
        (requests.parse_mute_all, {"participants": []}, "at least 1 items"),
        (requests.parse_mute_all, {"participants": ["a/b"]}, "participants[0]: expected an id"),
        (requests.parse_client_context, {"clientContext": 1}, "clientContext: expected a text"),
        (requests.parse_client_context, [], "must be a JSON object, got a list"),
        (requests.parse_recording_status, {}, "status is missing"),
        (requests.parse_recording_status, {"status": "unknown"}, "status: expected one of"),
        (requests.parse_screen_sharing_role, {"role": "Viewer"}, "role: expected one of viewer"),
        (requests.parse_routing_group, {}, "id is missing"),
        (requests.parse_routing_group, GROUP | {"routingMode": "x"}, "routingMode"),
        (requests.parse_routing_group, GROUP | {"sources": ["a", "c"]}, "sources: expected one"),
        (
            requests.parse_routing_group,
            GROUP | {"receivers": ["b", "c"]},
            "receivers: expected one",
        ),
        (requests.parse_routing_group, GROUP | {"receivers": ["a"]}, "the source cannot be"),
        (requests.parse_routing_group, GROUP | {"receivers": []}, "receivers: expected one"),
        (requests.parse_device_quality, {}, "quality is missing"),
        (requests.parse_device_quality, {"quality": {"callChainId": 1}}, "quality.callChainId"),
        (
            requests.parse_device_quality,
            {"quality": media(mediaDuration="20 minutes")},
            "quality.mediaQualityList[0].mediaDuration: expected an ISO 8601 duration",
        ),
        (
            requests.parse_device_quality,
            {"quality": media(averageInboundPacketLossRateInPercentage=101)},
            "expected a number from 0 to 100",
        ),
        (requests.parse_device_quality, {"quality": media(channelIndex=0)}, "channelIndex"),
        (
            requests.parse_device_quality,
            {"quality": media(**{"@odata.type": "#microsoft.graph.mediaStream"})},
            "quality.mediaQualityList[0].@odata.type",
        ),
    ],
)
def test_each_mistake_is_named(parse: Parse, body: object, names: str) -> None:
    with pytest.raises(GraphError) as caught:
        parse(body)
    assert (caught.value.status, caught.value.code) == (400, "8523")
    assert names in caught.value.message


def test_answer_is_read() -> None:
    asked = requests.parse_answer(
        {
            "callbackUri": "https://bot.contoso.com/",
            "acceptedModalities": ["audio", "video"],
            "mediaConfig": HOSTED,
            "participantCapacity": 200,
            "callOptions": {"isContentSharingNotificationEnabled": True},
        }
    )
    assert asked.modalities == ("audio", "video")
    assert asked.participant_capacity == 200
    assert asked.options.content_sharing_notifications
    assert asked.options.raw is not None
    assert asked.options.raw["@odata.type"] == "#microsoft.graph.incomingCallOptions"
    assert requests.parse_answer({"mediaConfig": HOSTED}).modalities == ("audio",)


@pytest.mark.parametrize("reason", ["busy", "Busy", "BUSY"])
def test_reason_of_a_rejection_is_read_in_any_case(reason: str) -> None:
    assert requests.parse_reject({"reason": reason}).reason == "busy"
    assert requests.parse_reject({}).reason == "none"


def test_redirect_has_its_documented_defaults() -> None:
    assert requests.parse_redirect({"targets": users(1)}).timeout_s == 55
    many = requests.parse_redirect({"targets": users(25), "maskCallee": True})
    assert (many.timeout_s, many.mask_callee, many.mask_caller) == (60, True, False)
    assert requests.parse_redirect({"targets": users(1), "timeout": 90}).timeout_s == 90
    voicemail = requests.parse_redirect({"targets": [USER | {"endpointType": "voicemail"}]})
    assert voicemail.targets[0].endpoint_type == "voicemail"


def test_transfer_can_replace_a_call() -> None:
    asked = requests.parse_transfer({"transferTarget": USER | {"replacesCallId": "other"}})
    assert (asked.target.kind, asked.target.id) == ("user", "u")
    assert asked.target.replaces_call_id == "other"
    assert asked.transferee is None


def test_prompts_play_as_often_as_they_loop() -> None:
    asked = requests.parse_play_prompt({"prompts": [PROMPT | {"loop": 3}, PROMPT]})
    assert len(asked.prompts) == 4
    assert asked.prompts[0] == requests.MediaInfo(MEDIA["uri"], "r")
    assert not asked.loop


def test_record_has_its_documented_defaults() -> None:
    asked = requests.parse_record({})
    times = (asked.initial_silence_s, asked.max_silence_s, asked.max_duration_s)
    assert times == (5, 5, 5)
    assert (asked.play_beep, asked.barge_in, asked.prompt) == (True, False, None)
    asked = requests.parse_record({"stopTones": ["#", "1", "a", "A"], "playBeep": False})
    assert asked.stop_tones == ("#", "1", "A")
    assert not asked.play_beep


def test_tones_go_by_their_names() -> None:
    asked = requests.parse_send_dtmf({"tones": ["tone1", "pound"], "delayBetweenTonesMs": 1000.0})
    assert (asked.tones, asked.delay_ms) == (("tone1", "pound"), 1000)


def test_invitations_say_who_stays_unseen_and_out_of_the_mix() -> None:
    target = USER | {"hidden": True, "removeFromDefaultAudioRoutingGroup": True}
    (asked,) = requests.parse_invite({"participants": [target]}).participants
    assert (asked.hidden, asked.in_default_mix, asked.display_name) == (True, False, "User")
    assert asked.info["identity"]["user"]["@odata.type"] == "#microsoft.graph.identity"


def test_a_change_of_a_group_keeps_what_it_leaves_out() -> None:
    current = requests.parse_routing_group(GROUP)
    change = requests.parse_routing_group(
        {"routingMode": "multicast", "receivers": ["b", "c"]}, partial=True
    )
    merged = change.over(current)
    assert (merged.id, merged.mode, merged.sources) == ("g", "multicast", ("a",))
    assert merged.receivers == ("b", "c")
    changes: tuple[dict[str, Any], ...] = (
        {"id": "h"},
        {"receivers": ["b", "c"]},
        {"sources": []},
    )
    for bad in changes:
        with pytest.raises(GraphError, match="expected"):
            requests.parse_routing_group(bad, partial=True).over(current)


def test_device_quality_is_read() -> None:
    asked = requests.parse_device_quality({"quality": QUALITY})
    assert (asked.call_chain_id, len(asked.media)) == ("chain", 1)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=10,
)
MEMBERS = st.sampled_from(
    [
        "clientContext",
        "customPrompt",
        "delayBetweenTonesMs",
        "mediaConfig",
        "participants",
        "prompts",
        "quality",
        "reason",
        "receivers",
        "role",
        "routingMode",
        "sources",
        "status",
        "stopTones",
        "targets",
        "timeout",
        "tones",
        "transferTarget",
        "transferee",
    ]
)


@given(JSON | st.dictionaries(MEMBERS, JSON))
def test_any_body_is_read_or_refused_with_a_message(value: Any) -> None:
    for parse in PARSERS:
        refusal = refusal_of(parse, value)
        assert refusal is None or (refusal.status == 400 and refusal.message)
