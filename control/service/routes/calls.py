"""Calls: create, get, hang up, keep alive, and the actions that a call has."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from ...graph import errors, requests
from ...graph.entities import CALL
from ...graph.odata import QueryOptions, parse_options
from ...graph.resources import with_context
from ..bodies import read_body, read_json, read_optional_json
from ..live_call import LiveCall
from ..openapi import EXPAND, SELECT, described
from ..verbs import group, handling, media
from .base import Json, Place, entered, operations, reserve

log = logging.getLogger("mixminus.control.calls")

Verb = Callable[[LiveCall, Any], Awaitable[Json | None]]
Parse = Callable[[object], Any]
Handler = Callable[[str, Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Action:
    """A POST below a call: how its body is read, what it does, how it is answered.

    ``body`` names the schema of the body, ``reply`` the operation that it is answered with.
    """

    name: str
    parse: Parse
    verb: Verb
    status: int
    body: str
    reply: str | None = None


async def _recording_status(live: LiveCall, asked: tuple[str, str | None]) -> Json:
    return await group.update_recording_status(live, *asked)


_CONTEXT = requests.parse_client_context
ACTIONS = (
    Action("reject", requests.parse_reject, handling.reject, 202, "rejectRequest"),
    Action("redirect", requests.parse_redirect, handling.redirect, 202, "redirectRequest"),
    Action("transfer", requests.parse_transfer, handling.transfer, 202, "transferRequest"),
    Action("mute", _CONTEXT, group.mute_self, 200, "contextRequest", "muteParticipantOperation"),
    Action(
        "unmute", _CONTEXT, group.unmute_self, 200, "contextRequest", "unmuteParticipantOperation"
    ),
    Action(
        "changeScreenSharingRole",
        requests.parse_screen_sharing_role,
        group.change_screen_sharing_role,
        202,
        "screenSharingRoleRequest",
    ),
    Action(
        "updateRecordingStatus",
        requests.parse_recording_status,
        _recording_status,
        200,
        "recordingStatusRequest",
        "updateRecordingStatusOperation",
    ),
    Action(
        "addLargeGalleryView",
        _CONTEXT,
        group.add_large_gallery_view,
        202,
        "contextRequest",
        "addLargeGalleryViewOperation",
    ),
    Action(
        "playPrompt",
        requests.parse_play_prompt,
        media.play_prompt,
        200,
        "playPromptRequest",
        "playPromptOperation",
    ),
    Action(
        "recordResponse",
        requests.parse_record,
        media.record_response,
        200,
        "recordRequest",
        "recordOperation",
    ),
    Action(
        "cancelMediaProcessing",
        _CONTEXT,
        media.cancel_media_processing,
        200,
        "contextRequest",
        "cancelMediaProcessingOperation",
    ),
    Action(
        "subscribeToTone",
        _CONTEXT,
        media.subscribe_to_tone,
        200,
        "contextRequest",
        "subscribeToToneOperation",
    ),
    Action(
        "sendDtmfTones",
        requests.parse_send_dtmf,
        media.send_dtmf_tones,
        200,
        "sendDtmfRequest",
        "sendDtmfTonesOperation",
    ),
)

NOT_CARRIED = (
    "joinContentSharingAudioGroup",
    "lowerHand",
    "raiseHand",
    "record",
    "reportSyntheticMedia",
    "startRecording",
    "startTranscription",
    "stopRecording",
    "stopTranscription",
)
"""Documented of beta, or no longer: answered as not implemented."""


def add_calls(router: APIRouter, place: Place) -> None:
    """Put the routes of calls into *router*."""
    surface = place.surface
    reserve(router, "/calls/logTeleconferenceDeviceQuality", "POST")

    @router.post(
        "/calls",
        **described(place.suffix, "createCall", 201, body="createCallRequest", reply="createdCall"),
    )
    async def create(request: Request) -> Response:
        """Create a call."""
        principal = surface.access.principal(request)
        app = await surface.access.app(principal)
        asked = requests.parse_call_request(await read_json(request))
        surface.access.require_create(principal, asked)
        resource = await surface.book.create(asked, app)
        body = with_context(resource, surface.urls.graph, place.version)
        return JSONResponse(body, 201, headers={"Location": place.location(resource["id"])})

    @router.get(
        "/calls/{call_id}",
        **described(place.suffix, "getCall", 200, reply="call", query=(SELECT, EXPAND)),
    )
    async def get(call_id: str, request: Request) -> Response:
        """Get a call."""
        live = place.call(request, call_id)
        resource = with_context(live.row.resource, surface.urls.graph, place.version)
        known = CALL.with_members_of(resource)
        options = parse_options(request.query_params.multi_items(), known)
        return JSONResponse(options.apply(resource) | _expanded(live, options))

    @router.delete("/calls/{call_id}", **described(place.suffix, "deleteCall", 204))
    async def delete(call_id: str, request: Request) -> Response:
        """Delete or hang up a call."""
        await handling.hang_up(place.call(request, call_id))
        return Response(status_code=204)

    if place.root == "communications":

        @router.post("/calls/{call_id}/keepAlive", **described(place.suffix, "keepAlive", 200))
        async def keep_alive(call_id: str, request: Request) -> Response:
            """Keep a call alive."""
            live = place.call(request, call_id)
            await read_body(request)
            live.keep_alive()
            return Response(status_code=200)

    @router.post(
        "/calls/{call_id}/answer", **described(place.suffix, "answer", 202, body="answerRequest")
    )
    async def answer(call_id: str, request: Request) -> Response:
        """Answer an incoming call."""
        principal = surface.access.principal(request)
        live = surface.book.find(call_id, principal)
        asked = requests.parse_answer(await read_optional_json(request))
        surface.access.require_answer(
            principal,
            is_group=live.conversation.kind != "peerToPeer",
            is_app_hosted=asked.media.is_app_hosted,
        )
        await handling.answer(live, asked)
        return Response(status_code=202)

    for action in ACTIONS:
        router.add_api_route(
            f"/calls/{{call_id}}/{action.name}",
            _acting(place, action),
            methods=["POST"],
            summary=action.name,
            **described(place.suffix, action.name, action.status, action.body, action.reply),
        )

    @router.post(
        "/calls/logTeleconferenceDeviceQuality",
        **described(
            place.suffix, "logTeleconferenceDeviceQuality", 200, body="deviceQualityRequest"
        ),
    )
    async def log_quality(request: Request) -> Response:
        """Log what a teleconference device measured."""
        principal = surface.access.principal(request)
        surface.access.require_method(principal, "logTeleconferenceDeviceQuality")
        if not request.headers.get("user-agent", "").strip():
            raise errors.bad_request("The header User-Agent is missing: it names the device.")
        quality = requests.parse_device_quality(await read_optional_json(request))
        log.info(
            "device quality of call chain %s, participant %s, media leg %s: %d media",
            quality.call_chain_id,
            quality.participant_id,
            quality.media_leg_id,
            len(quality.media),
        )
        return Response(status_code=200)

    for name in NOT_CARRIED:
        router.add_api_route(
            f"/calls/{{call_id}}/{name}",
            _refused(place, name),
            methods=["POST"],
            include_in_schema=False,
        )


def _acting(place: Place, action: Action) -> Handler:
    async def act(call_id: str, request: Request) -> Response:
        live = place.call(request, call_id, action.name)
        outcome = await action.verb(live, action.parse(await read_optional_json(request)))
        if outcome is None:
            return Response(status_code=action.status)
        return place.operation(live, outcome, action.status)

    return act


def _refused(place: Place, name: str) -> Handler:
    async def refuse(call_id: str, request: Request) -> Response:
        place.call(request, call_id)
        raise errors.not_implemented(name)

    return refuse


def _expanded(live: LiveCall, options: QueryOptions) -> Json:
    """Return the collections that ``$expand`` asks for."""
    readers: dict[str, Callable[[LiveCall], list[Json]]] = {
        "audioRoutingGroups": group.routing_groups,
        "contentSharingSessions": group.content_sharing_sessions,
        "operations": operations,
        "participants": group.participants,
    }
    return {
        name: [inner.apply(item) for item in entered(live, readers[name])]
        for name, inner in options.expand.items()
    }
