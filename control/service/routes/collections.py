"""What hangs under a call: participants, operations, audio routing groups, content sharing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from ...graph import entities, errors, requests
from ...graph.odata import EntityType
from ..bodies import read_optional_json
from ..live_call import LiveCall
from ..openapi import SELECT, described
from ..verbs import group
from .base import Json, Place, count, entered, operations, reserve


@dataclass(frozen=True, slots=True)
class Collection:
    """A collection below a call: how it is read, as a whole and by id, and what that asks for."""

    name: str
    item: str
    kind: EntityType
    read: Callable[[LiveCall], list[Json]]
    find: Callable[[LiveCall, str], Json]
    list_method: str
    get_method: str


def _operation(live: LiveCall, operation_id: str) -> Json:
    operation = live.operations.get(operation_id)
    if operation is None:
        raise errors.not_found("Operation")
    return operation


COLLECTIONS = (
    Collection(
        "participants",
        "participant",
        entities.PARTICIPANT,
        group.participants,
        group.participant,
        "listParticipants",
        "getParticipant",
    ),
    Collection(
        "operations",
        "commsOperation",
        entities.OPERATION,
        operations,
        _operation,
        "listOperations",
        "getOperation",
    ),
    Collection(
        "contentSharingSessions",
        "contentSharingSession",
        entities.SHARING_SESSION,
        group.content_sharing_sessions,
        group.content_sharing,
        "contentSharingSessions",
        "contentSharingSessions",
    ),
    Collection(
        "audioRoutingGroups",
        "audioRoutingGroup",
        entities.ROUTING_GROUP,
        group.routing_groups,
        group.routing_group,
        "audioRoutingGroups",
        "audioRoutingGroups",
    ),
)


@dataclass(frozen=True, slots=True)
class ParticipantAction:
    """A POST below a participant that is answered with an operation."""

    name: str
    method: str
    parse: Callable[[object], Any]
    verb: Callable[[LiveCall, str, Any], Awaitable[Json]]
    status: int
    body: str
    reply: str


PARTICIPANT_ACTIONS = (
    ParticipantAction(
        "mute",
        "muteParticipant",
        requests.parse_client_context,
        group.mute,
        200,
        "contextRequest",
        "muteParticipantOperation",
    ),
    ParticipantAction(
        "startHoldMusic",
        "startHoldMusic",
        requests.parse_hold_music,
        group.start_hold_music,
        202,
        "holdMusicRequest",
        "startHoldMusicOperation",
    ),
    ParticipantAction(
        "stopHoldMusic",
        "stopHoldMusic",
        requests.parse_client_context,
        group.stop_hold_music,
        202,
        "contextRequest",
        "stopHoldMusicOperation",
    ),
)
HOLD_MUSIC = ("startHoldMusic", "stopHoldMusic")
"""Documented below /communications alone."""


def add_collections(router: APIRouter, place: Place) -> None:
    """Put the routes of what hangs under a call into *router*."""
    for name in ("admitAllFromLobby", "invite", "muteAll"):
        reserve(router, f"/calls/{{call_id}}/participants/{name}", "POST")
    for collection in COLLECTIONS:
        reserve(router, f"/calls/{{call_id}}/{collection.name}/$count", "GET")
        _add_reading(router, place, collection)
    _add_participants(router, place)
    _add_lobby(router, place)
    _add_routing_groups(router, place)

    @router.get(
        "/calls/{call_id}/contentSharingSessions/{session_id}/pngOfCurrentSlide",
        include_in_schema=False,
    )
    async def slide(call_id: str, session_id: str, request: Request) -> Response:
        """Refuse the picture of a slide: no picture is shared here."""
        place.call(request, call_id, "contentSharingSessions")
        raise errors.not_implemented("pngOfCurrentSlide")


def _add_reading(router: APIRouter, place: Place, collection: Collection) -> None:
    path = f"/calls/{{call_id}}/{collection.name}"
    title = collection.name[0].upper() + collection.name[1:]

    @router.get(
        path,
        summary=f"List {collection.name}",
        **described(
            place.suffix, f"list{title}", 200, reply=f"{collection.item}s", query=(SELECT,)
        ),
    )
    async def read_all(call_id: str, request: Request) -> Response:
        live = place.call(request, call_id, collection.list_method)
        items = entered(live, collection.read)
        return place.collection(request, live, collection.name, items, collection.kind)

    @router.get(
        f"{path}/$count",
        summary=f"Count {collection.name}",
        **described(place.suffix, f"count{title}", 200, text=True),
    )
    async def count_all(call_id: str, request: Request) -> Response:
        live = place.call(request, call_id, collection.list_method)
        return count(entered(live, collection.read))

    @router.get(
        f"{path}/{{item_id}}",
        summary=f"Get one of {collection.name}",
        **described(place.suffix, f"get{title}", 200, reply=collection.item, query=(SELECT,)),
    )
    async def read_one(call_id: str, item_id: str, request: Request) -> Response:
        live = place.call(request, call_id, collection.get_method)
        if not live.has_entered:
            raise errors.not_found("Resource")
        item = collection.find(live, item_id)
        return place.item(request, live, collection.name, item, collection.kind)


def _add_participants(router: APIRouter, place: Place) -> None:
    @router.post(
        "/calls/{call_id}/participants/invite",
        **described(place.suffix, "invite", 200, "inviteRequest", "inviteParticipantsOperation"),
    )
    async def invite(call_id: str, request: Request) -> Response:
        """Invite participants."""
        live = place.call(request, call_id, "invite")
        asked = requests.parse_invite(await read_optional_json(request))
        return place.operation(live, await group.invite(live, asked), 200)

    @router.post(
        "/calls/{call_id}/participants/muteAll",
        **described(place.suffix, "muteAll", 200, "muteAllRequest", "muteParticipantsOperation"),
    )
    async def mute_all(call_id: str, request: Request) -> Response:
        """Mute participants."""
        live = place.call(request, call_id, "muteAll")
        asked = requests.parse_mute_all(await read_optional_json(request))
        return place.operation(live, await group.mute_all(live, asked), 200)

    @router.delete(
        "/calls/{call_id}/participants/{item_id}",
        **described(place.suffix, "removeParticipant", 204),
    )
    async def remove(call_id: str, item_id: str, request: Request) -> Response:
        """Remove a participant, or cancel an invitation."""
        live = place.call(request, call_id, "removeParticipant")
        await group.remove(live, item_id)
        return Response(status_code=204)

    for action in PARTICIPANT_ACTIONS:
        if action.name in HOLD_MUSIC and place.root != "communications":
            continue
        router.add_api_route(
            f"/calls/{{call_id}}/participants/{{item_id}}/{action.name}",
            _acting(place, action),
            methods=["POST"],
            summary=action.name,
            **described(
                place.suffix, f"participant_{action.name}", action.status, action.body, action.reply
            ),
        )

    @router.post(
        "/calls/{call_id}/participants/{item_id}/reportSyntheticMedia", include_in_schema=False
    )
    async def report_synthetic(call_id: str, item_id: str, request: Request) -> Response:
        """Refuse what nothing here detects."""
        place.call(request, call_id)
        raise errors.not_implemented("reportSyntheticMedia")


def _acting(
    place: Place, action: ParticipantAction
) -> Callable[[str, str, Request], Awaitable[Response]]:
    async def act(call_id: str, item_id: str, request: Request) -> Response:
        live = place.call(request, call_id, action.method)
        asked = action.parse(await read_optional_json(request))
        return place.operation(live, await action.verb(live, item_id, asked), action.status)

    return act


def _add_lobby(router: APIRouter, place: Place) -> None:
    """Admitting and denying: actions of beta without a page of their own."""

    @router.post(
        "/calls/{call_id}/participants/{item_id}/admitFromLobby",
        **described(place.suffix, "admitFromLobby", 204),
    )
    async def admit(call_id: str, item_id: str, request: Request) -> Response:
        """Let a participant in from the lobby."""
        await group.admit(place.call(request, call_id, "admitFromLobby"), item_id)
        return Response(status_code=204)

    @router.post(
        "/calls/{call_id}/participants/{item_id}/removeFromLobby",
        **described(place.suffix, "removeFromLobby", 204),
    )
    async def deny(call_id: str, item_id: str, request: Request) -> Response:
        """Send a participant away from the lobby."""
        await group.deny(place.call(request, call_id, "admitFromLobby"), item_id)
        return Response(status_code=204)

    @router.post(
        "/calls/{call_id}/participants/admitAllFromLobby",
        **described(place.suffix, "admitAllFromLobby", 204),
    )
    async def admit_all(call_id: str, request: Request) -> Response:
        """Let all in who wait in the lobby."""
        live = place.call(request, call_id, "admitFromLobby")
        live.expect_established()
        waiting = [member for member in live.conversation.members.values() if member.in_lobby]
        for member in waiting:
            await group.admit(live, member.participant_id)
        return Response(status_code=204)


def _add_routing_groups(router: APIRouter, place: Place) -> None:
    path = "/calls/{call_id}/audioRoutingGroups"

    @router.post(
        path,
        **described(
            place.suffix, "createAudioRoutingGroup", 200, "routingGroupRequest", "audioRoutingGroup"
        ),
    )
    async def create(call_id: str, request: Request) -> Response:
        """Make an audio routing group."""
        live = place.call(request, call_id, "audioRoutingGroups")
        asked = requests.parse_routing_group(await read_optional_json(request))
        made = await group.create_routing_group(live, asked)
        location = place.location(live.id, "audioRoutingGroups", made["id"])
        return JSONResponse(made, 200, headers={"Location": location})

    @router.patch(
        f"{path}/{{item_id}}",
        **described(
            place.suffix, "updateAudioRoutingGroup", 200, "routingGroupChange", "audioRoutingGroup"
        ),
    )
    async def update(call_id: str, item_id: str, request: Request) -> Response:
        """Change an audio routing group."""
        live = place.call(request, call_id, "audioRoutingGroups")
        change = requests.parse_routing_group(await read_optional_json(request), partial=True)
        return JSONResponse(await group.update_routing_group(live, item_id, change))

    @router.delete(f"{path}/{{item_id}}", **described(place.suffix, "deleteAudioRoutingGroup", 204))
    async def delete(call_id: str, item_id: str, request: Request) -> Response:
        """Remove an audio routing group."""
        live = place.call(request, call_id, "audioRoutingGroups")
        await group.delete_routing_group(live, item_id)
        return Response(status_code=204)
