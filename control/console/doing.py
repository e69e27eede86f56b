"""The console's routes that change something: calls, people, plugins, bots, recordings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from .addresses import API, with_addresses
from .models import Action
from .noted import noted_route
from .replies import listed, read_wish, shown
from .source import ConsoleRefusedError
from .wishes import (
    BotWish,
    CallWish,
    InviteWish,
    MeetingWish,
    PluginChange,
    PluginWish,
    RouteWish,
    TonesWish,
)

if TYPE_CHECKING:
    from .parts import Parts

TO_PEOPLE: Final[tuple[Action, ...]] = ("mute", "unmute", "admit", "remove")


def doing_router(parts: Parts) -> APIRouter:
    """Return the routes."""
    router = APIRouter(prefix=API.rstrip("/"), route_class=noted_route(parts.journals))
    _add_calls(router, parts)
    _add_people(router, parts)
    _add_plugins(router, parts)
    _add_recording(router, parts)
    return router


def _done() -> Response:
    return Response(status_code=204)


def _add_calls(router: APIRouter, parts: Parts) -> None:
    sources = parts.sources

    @router.post("/calls")
    async def create_call(request: Request) -> Response:
        """Let a bot call somebody, or join a meeting."""
        wish = await read_wish(request, CallWish)
        call_id = await sources.first_able(lambda source: source.create_call(wish), host_first=True)
        return JSONResponse({"id": call_id}, 201)

    @router.post("/meetings")
    async def create_meeting(request: Request) -> Response:
        """Make a meeting."""
        wish = await read_wish(request, MeetingWish)
        return shown(await sources.first_able(lambda source: source.create_meeting(wish)), 201)

    @router.post("/calls/{call_id}/hangup")
    async def hang_up(call_id: str) -> Response:
        """End a call for all who are in it."""
        source, known_as = sources.able(call_id, "hangUp")
        await source.hang_up(known_as)
        return _done()

    @router.post("/calls/{call_id}/tones")
    async def send_tones(request: Request, call_id: str) -> Response:
        """Let our side press keys."""
        wish = await read_wish(request, TonesWish)
        source, known_as = sources.able(call_id, "sendTones")
        await source.send_tones(known_as, wish.tones.upper())
        return _done()

    @router.post("/calls/{call_id}/bots")
    async def place_bot(request: Request, call_id: str) -> Response:
        """Bring a bot into a call."""
        wish = await read_wish(request, BotWish)
        placed = await sources.place_bot(call_id, wish.bot)
        return JSONResponse({"id": placed}, 201)


def _add_people(router: APIRouter, parts: Parts) -> None:
    sources = parts.sources

    @router.post("/users/{user_id}/session")
    async def user_session(user_id: str) -> Response:
        """Give the page what it signs in to /rtc with, as that user."""
        for source in sources:
            if source.side == "service":
                return shown(source.user_session(user_id))
        raise ConsoleRefusedError.not_possible(
            "a page joins by the call service's signalling, and none runs in this process"
        )

    @router.post("/calls/{call_id}/people")
    async def invite(request: Request, call_id: str) -> Response:
        """Ring a user into a call."""
        wish = await read_wish(request, InviteWish)
        source, known_as = sources.able(call_id, "invite")
        await source.invite(known_as, wish.user)
        return _done()

    @router.post("/calls/{call_id}/participants/{participant_id}/{action}")
    async def to_person(call_id: str, participant_id: str, action: str) -> Response:
        """Mute somebody, unmute, admit or remove them."""
        wanted = next((each for each in TO_PEOPLE if each == action), None)
        if wanted is None:
            raise ConsoleRefusedError.not_found(f"expected one of {', '.join(TO_PEOPLE)}")
        source, known_as = sources.able(call_id, wanted)
        does = {
            "mute": source.mute,
            "unmute": source.unmute,
            "admit": source.admit,
            "remove": source.remove,
        }[wanted]
        await does(known_as, participant_id)
        return _done()

    @router.put("/calls/{call_id}/routes")
    async def set_route(request: Request, call_id: str) -> Response:
        """Say whether one hears another."""
        wish = await read_wish(request, RouteWish)
        source, known_as = sources.able(call_id, "setRoute")
        await source.set_route(known_as, wish)
        return _done()


def _add_plugins(router: APIRouter, parts: Parts) -> None:
    sources = parts.sources

    @router.post("/calls/{call_id}/plugins")
    async def add_plugin(request: Request, call_id: str) -> Response:
        """Put a plugin on a stream."""
        wish = await read_wish(request, PluginWish)
        source, known_as = sources.able_to_add(call_id, wish)
        added: dict[str, Any] = listed("plugins", await source.add_plugin(known_as, wish))
        return JSONResponse(added, 201)

    @router.patch("/calls/{call_id}/plugins/{key}")
    async def set_plugin(request: Request, call_id: str, key: str) -> Response:
        """Switch a plugin, or change its parameters."""
        change = await read_wish(request, PluginChange)
        source, known_as = sources.able_with(call_id, key)
        return shown(await source.set_plugin(known_as, key, change))

    @router.delete("/calls/{call_id}/plugins/{key}")
    async def remove_plugin(call_id: str, key: str) -> Response:
        """Take a plugin out."""
        source, known_as = sources.able_with(call_id, key)
        await source.remove_plugin(known_as, key)
        return _done()


def _add_recording(router: APIRouter, parts: Parts) -> None:
    sources = parts.sources

    @router.post("/calls/{call_id}/recording")
    async def start_recording(call_id: str) -> Response:
        """Record a call from now on."""
        source, known_as = sources.able(call_id, "startRecording")
        recording = await source.start_recording(known_as)
        return shown(with_addresses(recording, parts.sign_ins), 201)

    @router.delete("/calls/{call_id}/recording")
    async def stop_recording(call_id: str) -> Response:
        """Stop all recordings of a call."""
        source, known_as = sources.able(call_id, "stopRecording")
        await source.stop_recording(known_as)
        return _done()
