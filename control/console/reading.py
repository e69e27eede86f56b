"""The console's routes that only read: calls, journal, engine, directory, recordings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from .addresses import API, detail_with_addresses, with_addresses
from .merge import MAX_RECORDINGS
from .replies import listed, number, shown
from .source import ConsoleRefusedError

if TYPE_CHECKING:
    from .parts import Parts

MOST_EVENTS: Final = 1000
FEW_EVENTS: Final = 200
MOST_BINS: Final = 4000
SOME_BINS: Final = 800
CAPTURE_EVENTS: Final = 500
MAX_SEQ: Final = 2**53


def reading_router(parts: Parts) -> APIRouter:
    """Return the routes."""
    router = APIRouter(prefix=API.rstrip("/"))
    _add_calls(router, parts)
    _add_directory(router, parts)
    _add_recordings(router, parts)
    _add_captures(router, parts)
    return router


def _add_calls(router: APIRouter, parts: Parts) -> None:
    sources, live = parts.sources, parts.live

    @router.get("/calls")
    async def calls() -> dict[str, Any]:
        """List the living calls and the last ended ones."""
        return listed("calls", sources.rows())

    @router.get("/calls/{call_id}")
    async def call(call_id: str) -> Response:
        """Return all that is known of a call."""
        detail = sources.detail(call_id)
        if detail is None:
            raise ConsoleRefusedError.not_found(f"no call {call_id[:80]}")
        return shown(detail_with_addresses(detail, parts.sign_ins))

    @router.get("/calls/{call_id}/events")
    async def events_of(request: Request, call_id: str) -> Response:
        """Return the journal of one call."""
        row = sources.row(call_id)
        return _events(parts, request, {row.id, *row.call_ids})

    @router.get("/events")
    async def events(request: Request) -> Response:
        """Return the journal."""
        return _events(parts, request, None)

    @router.get("/engine")
    async def engine() -> dict[str, Any]:
        """Return how the engine is, and was in the last two minutes."""
        now = sources.engine()
        return {
            "now": None if now is None else now.model_dump(mode="json", by_alias=True),
            **listed("history", live.history),
        }


def _events(parts: Parts, request: Request, call_ids: set[str] | None) -> Response:
    since = number(request, "since", -1, 0, MAX_SEQ)
    limit = number(request, "limit", FEW_EVENTS, 1, MOST_EVENTS)
    entries, has_forgotten = parts.journals.since(max(since, 0), call_ids)
    left_out = max(0, len(entries) - limit)
    # Without a number the last ones are asked for: then nothing is missed.
    missed = left_out + has_forgotten if since >= 0 else 0
    texts = ",".join(entry.json() for entry in entries[-limit:])
    body = f'{{"events":[{texts}],"seq":{parts.journals.seq},"missed":{missed}}}'
    return Response(body, media_type="application/json")


def _add_directory(router: APIRouter, parts: Parts) -> None:
    sources = parts.sources

    @router.get("/users")
    async def users() -> dict[str, Any]:
        """List the directory's users."""
        return listed("users", [user for source in sources for user in source.users()])

    @router.get("/bots")
    async def bots() -> dict[str, Any]:
        """List the bots that can be placed in calls."""
        return listed("bots", await sources.bots())

    @router.get("/meetings")
    async def meetings() -> dict[str, Any]:
        """List the meetings."""
        return listed("meetings", await sources.gathered(lambda source: source.meetings()))

    @router.get("/plugins")
    async def plugins() -> dict[str, Any]:
        """List the plugins that can be put on a stream, with the side that has it."""
        kinds = [
            {**kind.model_dump(mode="json", by_alias=True), "side": source.side}
            for source in sources
            for kind in await source.plugin_kinds()
        ]
        return {"plugins": kinds}


def _add_recordings(router: APIRouter, parts: Parts) -> None:
    sources, sign_ins = parts.sources, parts.sign_ins

    @router.get("/recordings")
    async def recordings() -> dict[str, Any]:
        """List what was recorded, newest first, each file with an address that can be played."""
        found = await sources.gathered(lambda source: source.recordings())
        found.sort(key=lambda recording: recording.started_at, reverse=True)
        return listed(
            "recordings", [with_addresses(each, sign_ins) for each in found[:MAX_RECORDINGS]]
        )

    @router.get("/recordings/{recording_id}/{name}/peaks")
    async def peaks(request: Request, recording_id: str, name: str) -> dict[str, Any]:
        """Return a file's waveform: the lowest and highest sample of each of its parts."""
        bins = number(request, "bins", SOME_BINS, 1, MOST_BINS)
        source = sources.by_key(recording_id)
        found = await source.peaks(recording_id, name, bins)
        # A short file has fewer parts than were asked for.
        return {"bins": len(found), "peaks": found}

    @router.get("/recordings/{recording_id}/{name}/audio")
    async def audio(recording_id: str, name: str) -> Response:
        """Return a file, or the range of it that was asked for."""
        file = await sources.by_key(recording_id).audio(recording_id, name)
        if not file.path.is_file():
            raise ConsoleRefusedError.not_found(f"{name[:120]} is no longer there")
        return FileResponse(file.path, media_type=file.media_type)

    @router.head("/recordings/{recording_id}/{name}/audio")
    async def audio_head(recording_id: str, name: str) -> Response:
        """Say how long a file is, and that it has ranges."""
        return await audio(recording_id, name)


def _add_captures(router: APIRouter, parts: Parts) -> None:
    sources = parts.sources

    @router.get("/captures")
    async def captures() -> dict[str, Any]:
        """List the captured calls, newest first."""
        found = await sources.gathered(lambda source: source.captures())
        found.sort(key=lambda capture: capture.started_at, reverse=True)
        return listed("captures", found[:MAX_RECORDINGS])

    @router.get("/captures/{capture_id}")
    async def capture(request: Request, capture_id: str) -> Response:
        """Return a capture's header and its newest events, or those after a number."""
        after = number(request, "after", -1, 0, MAX_SEQ)
        source = sources.by_key(capture_id)
        found = await source.capture(capture_id, None if after < 0 else after, CAPTURE_EVENTS)
        return shown(found)
