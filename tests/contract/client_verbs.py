"""The verbs of the calls API, each by the example of its documentation page, ids in constants."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from mixminus.control.client.bodies import AppHosted, Invitee, Options, ServiceHosted
from mixminus.control.client.calls import CallsClient
from mixminus.control.graph.enums import RejectReason
from tests.contract.client_kit import (
    ALICE,
    BEEP,
    CALL,
    CALLBACK,
    CONTEXT,
    JOHN,
    OPERATION,
    PARTICIPANT,
    PHONE,
)

MEDIA_PROMPT = {
    "@odata.type": "#microsoft.graph.mediaPrompt",
    "mediaInfo": {
        "@odata.type": "#microsoft.graph.mediaInfo",
        "uri": "https://cdn.contoso.com/beep.wav",
        "resourceId": "f8971b04-b53e-418c-9222-c82ce681a582",
    },
}


class Verb(NamedTuple):
    """One verb: what is called, what is to be sent, and what is answered."""

    ask: Callable[[CallsClient], Awaitable[Any]]
    method: str
    path: str
    body: Any
    status: int = 200
    answer: Any = None


def operation(kind: str, status: str, **members: Any) -> dict[str, Any]:
    return {
        "@odata.type": f"#microsoft.graph.{kind}",
        "id": OPERATION,
        "status": status,
        "clientContext": CONTEXT,
        **members,
    }


def invitation(kind: str, **identity: Any) -> dict[str, Any]:
    return {
        "@odata.type": "#microsoft.graph.invitationParticipantInfo",
        "identity": {
            "@odata.type": "#microsoft.graph.identitySet",
            kind: {"@odata.type": "#microsoft.graph.identity", **identity},
        },
    }


CONTEXT_BODY = {"clientContext": CONTEXT}
ROUTING_GROUP = {
    "@odata.type": "#microsoft.graph.audioRoutingGroup",
    "id": "oneToOne",
    "routingMode": "oneToOne",
    "sources": ["632899f8-2ea1-4604-8413-27bd2892079f"],
    "receivers": ["550fae72-d251-43ec-868c-373732c2704f"],
}
QUALITY = {
    "@odata.type": "#microsoft.graph.teleconferenceDeviceQuality",
    "callChainId": "0622673d-9f69-49b3-9d4f-5ec64f42ecce",
    "participantId": PARTICIPANT,
    "mediaLegId": "bd9ee398-4b9d-42c7-8b8d-4e8efad9435f",
    "deviceName": "TestAgent",
}

VERBS: dict[str, Verb] = {
    "delete": Verb(lambda c: c.delete(CALL), "DELETE", "", None, 204),
    "keepAlive": Verb(lambda c: c.keep_alive(CALL), "POST", "/keepAlive", None),
    "answer": Verb(
        lambda c: c.answer(
            CALL,
            AppHosted("<Media Session Configuration Blob>"),
            callback_uri=CALLBACK,
            participant_capacity=200,
            options=Options(content_sharing=True),
        ),
        "POST",
        "/answer",
        {
            "callbackUri": CALLBACK,
            "mediaConfig": {
                "@odata.type": "#microsoft.graph.appHostedMediaConfig",
                "blob": "<Media Session Configuration Blob>",
            },
            "acceptedModalities": ["audio"],
            "callOptions": {
                "@odata.type": "#microsoft.graph.incomingCallOptions",
                "isContentSharingNotificationEnabled": True,
            },
            "participantCapacity": 200,
        },
        202,
    ),
    "answer, service-hosted": Verb(
        lambda c: c.answer(CALL, ServiceHosted([BEEP]), callback_uri=CALLBACK),
        "POST",
        "/answer",
        {
            "callbackUri": CALLBACK,
            "acceptedModalities": ["audio"],
            "mediaConfig": {
                "@odata.type": "#microsoft.graph.serviceHostedMediaConfig",
                "preFetchMedia": [{"uri": BEEP.uri, "resourceId": BEEP.resource_id}],
            },
        },
        202,
    ),
    "reject": Verb(
        lambda c: c.reject(CALL, RejectReason.BUSY, callback_uri=CALLBACK),
        "POST",
        "/reject",
        {"callbackUri": CALLBACK, "reason": "busy"},
        202,
    ),
    "redirect": Verb(
        lambda c: c.redirect(
            CALL,
            [JOHN, PHONE],
            timeout_s=60,
            callback_uri=CALLBACK,
            mask_callee=True,
            mask_caller=True,
        ),
        "POST",
        "/redirect",
        {
            "targets": [
                invitation("user", id=JOHN.id, displayName="John"),
                invitation("phone", id="+12345678901"),
            ],
            "timeout": 60,
            "maskCallee": True,
            "maskCaller": True,
            "callbackUri": CALLBACK,
        },
        202,
    ),
    "transfer": Verb(
        lambda c: c.transfer(CALL, Invitee(JOHN, endpoint_type="default")),
        "POST",
        "/transfer",
        {
            "transferTarget": {
                **invitation("user", id=JOHN.id, displayName="John"),
                "endpointType": "default",
            }
        },
        202,
    ),
    "transfer, consultative, in a group": Verb(
        lambda c: c.transfer(CALL, Invitee(JOHN, replaces_call_id=OPERATION), transferee=PHONE),
        "POST",
        "/transfer",
        {
            "transferTarget": {
                **invitation("user", id=JOHN.id, displayName="John"),
                "replacesCallId": OPERATION,
            },
            "transferee": {
                **invitation("phone", id="+12345678901"),
                "@odata.type": "#microsoft.graph.participantInfo",
            },
        },
        202,
    ),
    "playPrompt": Verb(
        lambda c: c.play_prompt(CALL, BEEP, loop=True, client_context=CONTEXT),
        "POST",
        "/playPrompt",
        {**CONTEXT_BODY, "prompts": [MEDIA_PROMPT], "loop": True},
        200,
        operation("playPromptOperation", "running"),
    ),
    "recordResponse": Verb(
        lambda c: c.record_response(
            CALL,
            prompt=BEEP,
            barge_in=True,
            max_duration_s=10,
            max_silence_s=2,
            stop_tones=["#", "1", "*"],
            client_context=CONTEXT,
        ),
        "POST",
        "/recordResponse",
        {
            **CONTEXT_BODY,
            "bargeInAllowed": True,
            "prompts": [MEDIA_PROMPT],
            "maxRecordDurationInSeconds": 10,
            "initialSilenceTimeoutInSeconds": 5,
            "maxSilenceTimeoutInSeconds": 2,
            "playBeep": True,
            "stopTones": ["#", "1", "*"],
        },
        200,
        operation(
            "recordOperation",
            "running",
            completionReason=None,
            resultInfo=None,
            recordingLocation=None,
        ),
    ),
    "cancelMediaProcessing": Verb(
        lambda c: c.cancel_media_processing(CALL, client_context=CONTEXT),
        "POST",
        "/cancelMediaProcessing",
        CONTEXT_BODY,
        200,
        operation("cancelMediaProcessingOperation", "completed"),
    ),
    "subscribeToTone": Verb(
        lambda c: c.subscribe_to_tone(CALL, client_context=CONTEXT),
        "POST",
        "/subscribeToTone",
        CONTEXT_BODY,
        200,
        operation("subscribeToToneOperation", "completed"),
    ),
    "sendDtmfTones": Verb(
        lambda c: c.send_dtmf_tones(CALL, "tone1", "#", "5", delay_ms=1000, client_context=CONTEXT),
        "POST",
        "/sendDtmfTones",
        {**CONTEXT_BODY, "tones": ["tone1", "pound", "tone5"], "delayBetweenTonesMs": 1000},
        200,
        operation("sendDtmfTonesOperation", "running"),
    ),
    "participants": Verb(
        lambda c: c.participants(CALL), "GET", "/participants", None, 200, {"value": []}
    ),
    "participant": Verb(
        lambda c: c.participant(CALL, PARTICIPANT),
        "GET",
        f"/participants/{PARTICIPANT}",
        None,
        200,
        {"id": PARTICIPANT, "isMuted": True, "info": {"identity": {"guest": {"id": "g"}}}},
    ),
    "invite": Verb(
        lambda c: c.invite(
            CALL,
            Invitee(ALICE, hidden=True, replaces_call_id=OPERATION, in_default_mix=False),
            client_context=CONTEXT,
        ),
        "POST",
        "/participants/invite",
        {
            **CONTEXT_BODY,
            "participants": [
                {
                    **invitation("user", id=ALICE.id, displayName="Alice"),
                    "replacesCallId": OPERATION,
                    "hidden": True,
                    "removeFromDefaultAudioRoutingGroup": True,
                }
            ],
        },
        200,
        operation("inviteParticipantsOperation", "Running", participants=[]),
    ),
    "remove": Verb(
        lambda c: c.remove_participant(CALL, PARTICIPANT),
        "DELETE",
        f"/participants/{PARTICIPANT}",
        None,
        204,
    ),
    "mute a participant": Verb(
        lambda c: c.mute_participant(CALL, PARTICIPANT, client_context=CONTEXT),
        "POST",
        f"/participants/{PARTICIPANT}/mute",
        CONTEXT_BODY,
        200,
        operation("muteParticipantOperation", "completed"),
    ),
    "muteAll": Verb(
        lambda c: c.mute_all(CALL, PARTICIPANT, client_context=CONTEXT),
        "POST",
        "/participants/muteAll",
        {**CONTEXT_BODY, "participants": [PARTICIPANT]},
        200,
        operation("muteParticipantsOperation", "completed", participants=[PARTICIPANT]),
    ),
    "mute": Verb(
        lambda c: c.mute(CALL, client_context=CONTEXT),
        "POST",
        "/mute",
        CONTEXT_BODY,
        200,
        operation("muteParticipantOperation", "completed"),
    ),
    "unmute": Verb(
        lambda c: c.unmute(CALL), "POST", "/unmute", {}, 200, operation("unmute", "completed")
    ),
    "startHoldMusic": Verb(
        lambda c: c.start_hold_music(CALL, PARTICIPANT, prompt=BEEP, client_context=CONTEXT),
        "POST",
        f"/participants/{PARTICIPANT}/startHoldMusic",
        {**CONTEXT_BODY, "customPrompt": MEDIA_PROMPT},
        202,
        operation("startHoldMusicOperation", "running"),
    ),
    "stopHoldMusic": Verb(
        lambda c: c.stop_hold_music(CALL, PARTICIPANT, client_context=CONTEXT),
        "POST",
        f"/participants/{PARTICIPANT}/stopHoldMusic",
        CONTEXT_BODY,
        202,
        operation("stopHoldMusicOperation", "completed"),
    ),
    "changeScreenSharingRole": Verb(
        lambda c: c.change_screen_sharing_role(CALL, "viewer"),
        "POST",
        "/changeScreenSharingRole",
        {"role": "viewer"},
        202,
    ),
    "updateRecordingStatus": Verb(
        lambda c: c.update_recording_status(CALL, "recording", client_context=CONTEXT),
        "POST",
        "/updateRecordingStatus",
        {**CONTEXT_BODY, "status": "recording"},
        200,
        operation("updateRecordingStatusOperation", "completed"),
    ),
    "addLargeGalleryView": Verb(
        lambda c: c.add_large_gallery_view(CALL, client_context=CONTEXT),
        "POST",
        "/addLargeGalleryView",
        CONTEXT_BODY,
        202,
        operation("addLargeGalleryViewOperation", "running"),
    ),
    "list routing groups": Verb(
        lambda c: c.audio_routing_groups(CALL),
        "GET",
        "/audioRoutingGroups",
        None,
        200,
        {"value": [ROUTING_GROUP]},
    ),
    "get a routing group": Verb(
        lambda c: c.audio_routing_group(CALL, "oneToOne"),
        "GET",
        "/audioRoutingGroups/oneToOne",
        None,
        200,
        ROUTING_GROUP,
    ),
    "create a routing group": Verb(
        lambda c: c.create_audio_routing_group(
            CALL,
            "oneToOne",
            sources=ROUTING_GROUP["sources"],
            receivers=ROUTING_GROUP["receivers"],
        ),
        "POST",
        "/audioRoutingGroups",
        ROUTING_GROUP,
        200,
        ROUTING_GROUP,
    ),
    "update a routing group": Verb(
        lambda c: c.update_audio_routing_group(
            CALL,
            "oneToOne",
            sources=ROUTING_GROUP["sources"],
            receivers=ROUTING_GROUP["receivers"],
            routing_mode="oneToOne",
        ),
        "PATCH",
        "/audioRoutingGroups/oneToOne",
        ROUTING_GROUP,
        200,
        ROUTING_GROUP,
    ),
    "delete a routing group": Verb(
        lambda c: c.delete_audio_routing_group(CALL, "oneToOne"),
        "DELETE",
        "/audioRoutingGroups/oneToOne",
        None,
        204,
    ),
    "operations": Verb(
        lambda c: c.operations(CALL),
        "GET",
        "/operations",
        None,
        200,
        {"value": [operation("playPromptOperation", "running")]},
    ),
    "operation": Verb(
        lambda c: c.operation(CALL, OPERATION),
        "GET",
        f"/operations/{OPERATION}",
        None,
        200,
        operation("playPromptOperation", "completed"),
    ),
    "contentSharingSessions": Verb(
        lambda c: c.content_sharing_sessions(CALL),
        "GET",
        "/contentSharingSessions",
        None,
        200,
        {"value": [{"id": "F7D9"}]},
    ),
    "contentSharingSession": Verb(
        lambda c: c.content_sharing_session(CALL, "F7D9"),
        "GET",
        "/contentSharingSessions/F7D9",
        None,
        200,
        {"@odata.type": "#microsoft.graph.contentSharingSession", "id": "F7D9"},
    ),
}
