"""The routes of call records: they read requests and write pages of records, nothing else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from ...graph import errors
from ...graph.enums import Role
from ...graph.errors import GraphError
from ...graph.odata import VERSIONS, EntityType, QueryOptions, parse_options
from ...store.base import RecordRow
from ..access import Access
from ..openapi import EXPAND, SELECT, described
from ..openapi_records import FILTER, PREFER, SKIP_TOKEN
from ..tokens import Principal
from ..urls import ServiceUrls
from . import shape
from .build import microseconds
from .members import NAMESPACE
from .options import apply_filter, page_options, parse_moment, rendered
from .paging import MAX_PARTICIPANTS, MAX_SESSIONS, Preferences, SkipTokens, next_link
from .records import Records

Json = dict[str, Any]
Route = Callable[..., Awaitable[Response]]

PATH: Final = "/communications/callRecords"
LOG_DAYS: Final = 90
"""The longest range that one report covers."""
LOG_ROWS: Final = 1000
_LOG_ROW = EntityType(f"{NAMESPACE}.callLogRow", frozenset())
_RANGE = "fromDateTime={starts},toDateTime={ends}"
_RANGE_AS_SENT = "fromDateTime={starts}toDateTime={ends}"
"""What Microsoft's own Python client makes of it: its URL templates (std-uritemplate 2.0) lose the
comma."""


class RecordRoutes:
    """Call records over HTTP, under both versions of the API."""

    def __init__(
        self, records: Records, access: Access, urls: ServiceUrls, tokens: SkipTokens
    ) -> None:
        self._records, self._access, self._urls, self._tokens = records, access, urls, tokens

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter()
        for version in VERSIONS:
            router.include_router(self._versioned(version), prefix=f"/{version}")
        return router

    def _versioned(self, version: str) -> APIRouter:
        router = APIRouter(tags=[f"Graph {version}"])
        suffix = version.replace(".", "_")

        def route(path: str, operation: str, reply: str, *query: Json) -> Callable[[Route], Route]:
            described_as = described(suffix, operation, 200, reply=reply, query=(*query, PREFER))
            return router.get(PATH + path, **described_as)

        @route("", "listCallRecords", "callRecords", SELECT, FILTER, SKIP_TOKEN)
        async def list_records(request: Request) -> Response:
            """List call records."""
            return await _Answer(self, request, version).records()

        @router.get(f"{PATH}/getPstnCalls({_RANGE_AS_SENT})", include_in_schema=False)
        @route(f"/getPstnCalls({_RANGE})", "getPstnCalls", "phoneCalls", SKIP_TOKEN)
        async def pstn_calls(starts: str, ends: str, request: Request) -> Response:
            """Report the phone calls of the application."""
            answer = _Answer(self, request, version)
            return await answer.phone_log("getPstnCalls", starts, ends)

        @router.get(f"{PATH}/getDirectRoutingCalls({_RANGE_AS_SENT})", include_in_schema=False)
        @route(f"/getDirectRoutingCalls({_RANGE})", "getDirectRoutingCalls", "phoneCalls")
        async def routed_calls(starts: str, ends: str, request: Request) -> Response:
            """Report calls over direct routing: this service has none."""
            answer = _Answer(self, request, version)
            return await answer.phone_log("getDirectRoutingCalls", starts, ends)

        @route("/{record_id}", "getCallRecord", "callRecord", SELECT, EXPAND)
        async def get_record(record_id: str, request: Request) -> Response:
            """Get a call record."""
            answer = _Answer(self, request, version)
            if "(" in record_id:
                raise errors.bad_request(
                    "Expected getPstnCalls or getDirectRoutingCalls with"
                    " (fromDateTime={date},toDateTime={date})."
                )
            return await answer.record(record_id)

        @route(
            "/{record_id}/sessions",
            "listCallRecordSessions",
            "recordSessions",
            SELECT,
            EXPAND,
            SKIP_TOKEN,
        )
        async def list_sessions(record_id: str, request: Request) -> Response:
            """List the sessions of a call record."""
            return await _Answer(self, request, version).sessions(record_id)

        @route(
            "/{record_id}/sessions/{session_id}",
            "getCallRecordSession",
            "recordSession",
            SELECT,
            EXPAND,
        )
        async def get_session(record_id: str, session_id: str, request: Request) -> Response:
            """Get a session of a call record."""
            return await _Answer(self, request, version).session(record_id, session_id)

        @route(
            "/{record_id}/sessions/{session_id}/segments",
            "listCallRecordSegments",
            "recordSegments",
            SELECT,
        )
        async def list_segments(record_id: str, session_id: str, request: Request) -> Response:
            """List the segments of a session."""
            return await _Answer(self, request, version).segments(record_id, session_id)

        @route(
            "/{record_id}/participants_v2",
            "listCallRecordParticipants",
            "recordPeople",
            SELECT,
            SKIP_TOKEN,
        )
        async def list_participants(record_id: str, request: Request) -> Response:
            """List the participants of a call record."""
            return await _Answer(self, request, version).participants(record_id)

        @route("/{record_id}/organizer_v2", "getCallRecordOrganizer", "recordPerson", SELECT)
        async def get_organizer(record_id: str, request: Request) -> Response:
            """Get the organizer of a call record."""
            return await _Answer(self, request, version).organizer(record_id)

        return router


class _Answer:
    """One request about records: who asks, for what, and what it is answered."""

    def __init__(self, routes: RecordRoutes, request: Request, version: str) -> None:
        self._records, self._tokens = routes._records, routes._tokens
        self._base = f"{routes._urls.graph}/{version}"
        self._principal: Principal = routes._access.principal(request)
        self._params = list(request.query_params.multi_items())
        self._preferences = Preferences.parse(request.headers.getlist("prefer"))

    # ---- records ---------------------------------------------------------------------------------

    async def records(self) -> Response:
        self._require(Role.CALL_RECORDS_READ)
        rest, page = page_options(self._params, "filter", "skiptoken")
        options = parse_options(rest, shape.LISTED)
        query = apply_filter(self._records.query(self._principal), page.get("filter"))
        scope = ("records", self._principal.app_id, page.get("filter", ""))
        after = self._tokens.read(scope, page.get("skiptoken"))
        size = self._preferences.page_size(MAX_SESSIONS)
        found = await self._records.page(replace(query, after=after), size + 1)
        body: Json = {"@odata.context": self._context(PATH[1:] + shape.bracket(options))}
        if len(found) > size:
            kept = rendered(options)
            if "filter" in page:
                kept["$filter"] = page["filter"]
            token = self._tokens.sign(scope, found[size - 1][0])
            body["@odata.nextLink"] = next_link(f"{self._base}{PATH}", kept, token)
        body["value"] = [options.apply(resource) for _, resource in found[:size]]
        return self._send(body)

    async def record(self, record_id: str) -> Response:
        record = await self._find(record_id)
        options = parse_options(self._params, shape.RECORD)
        expand = options.expand
        context = self._context(f"{PATH[1:]}('{record_id}')")
        resource = {name: record.resource[name] for name in shape.RECORD.properties}
        body: Json = {
            "@odata.context": self._context(f"{PATH[1:]}{shape.bracket(options)}/$entity")
        }
        body |= options.apply(resource)
        # The organizer is always expanded, unless members were selected and it was not.
        if options.select is None or "organizer_v2" in expand:
            organizer = record.resource["organizer_v2"]
            body["organizer_v2@odata.context"] = f"{context}/organizer_v2/$entity"
            body["organizer_v2"] = (
                expand.get("organizer_v2", QueryOptions()).apply(organizer) if organizer else None
            )
        if options.select is None or "participants_v2" in expand:
            body["participants_v2@odata.context"] = f"{context}/participants_v2/$entity"
        if "participants_v2" in expand:
            inner = expand["participants_v2"]
            people = [inner.apply(person) for person in record.participants]
            self._put(body, record_id, "participants_v2", people, inner, MAX_PARTICIPANTS)
        if "sessions" in expand:
            inner = expand["sessions"]
            sessions = [shape.session(session, inner) for session in record.sessions]
            self._put(body, record_id, "sessions", sessions, inner, MAX_SESSIONS)
        return self._send(body)

    # ---- what hangs under a record ---------------------------------------------------------------

    async def sessions(self, record_id: str) -> Response:
        record = await self._find(record_id)
        rest, page = page_options(self._params, "skiptoken")
        options = parse_options(rest, shape.SESSION)
        shown = [shape.session(session, options) for session in record.sessions]
        return self._page(record_id, "sessions", shown, options, page, MAX_SESSIONS)

    async def session(self, record_id: str, session_id: str) -> Response:
        record = await self._find(record_id)
        options = parse_options(self._params, shape.SESSION)
        path = f"{PATH[1:]}('{record_id}')/sessions{shape.bracket(options)}/$entity"
        shown = shape.session(_of_id(record, session_id), options)
        return self._send({"@odata.context": self._context(path)} | shown)

    async def segments(self, record_id: str, session_id: str) -> Response:
        record = await self._find(record_id)
        options = parse_options(self._params, shape.SEGMENT)
        path = f"{PATH[1:]}('{record_id}')/sessions('{session_id}')/segments"
        segments = [options.apply(item) for item in _of_id(record, session_id)["segments"]]
        context = self._context(path + shape.bracket(options))
        return self._send({"@odata.context": context, "value": segments})

    async def participants(self, record_id: str) -> Response:
        record = await self._find(record_id)
        rest, page = page_options(self._params, "skiptoken")
        options = parse_options(rest, shape.PARTICIPANT)
        shown = [options.apply(person) for person in record.participants]
        return self._page(record_id, "participants_v2", shown, options, page, MAX_PARTICIPANTS)

    async def organizer(self, record_id: str) -> Response:
        record = await self._find(record_id)
        options = parse_options(self._params, shape.ORGANIZER)
        organizer = record.resource["organizer_v2"]
        if organizer is None:
            raise errors.not_found("Organizer")
        path = f"{PATH[1:]}('{record_id}')/organizer_v2{shape.bracket(options)}/$entity"
        return self._send({"@odata.context": self._context(path)} | options.apply(organizer))

    async def phone_log(self, name: str, from_text: str, to_text: str) -> Response:
        """Answer getPstnCalls or getDirectRoutingCalls; of the latter kind there are none here."""
        self._require(Role.CALL_RECORDS_READ, Role.PSTN_CALLS_READ)
        rest, page = page_options(self._params, "skiptoken")
        parse_options(rest, _LOG_ROW)
        starts, _ = parse_moment(from_text, "fromDateTime")
        ends, _ = parse_moment(to_text, "toDateTime")
        _check_range(starts, ends)
        is_pstn = name.casefold() == "getpstncalls"
        scope = ("phone log", self._principal.app_id, name.casefold(), from_text, to_text)
        skip = self._tokens.read(scope, page.get("skiptoken"))
        rows: tuple[Json, ...] = ()
        if is_pstn:
            rows = await self._records.pstn_calls(
                replace(
                    self._records.query(self._principal),
                    started_from_us=microseconds(starts),
                    started_to_us=microseconds(ends),
                )
            )
        shown = rows[skip : skip + LOG_ROWS]
        row_type = "pstnCallLogRow" if is_pstn else "directRoutingLogRow"
        body: Json = {
            "@odata.context": self._context(f"Collection({NAMESPACE}.{row_type})"),
            "@odata.count": len(shown),
        }
        if skip + LOG_ROWS < len(rows):
            call = f"{name}(fromDateTime={from_text},toDateTime={to_text})"
            token = self._tokens.sign(scope, skip + LOG_ROWS)
            body["@odata.nextLink"] = next_link(f"{self._base}{PATH}/{call}", {}, token)
        return self._send(body | {"value": list(shown)})

    # ---- helpers ---------------------------------------------------------------------------------

    def _put(
        self,
        body: Json,
        record_id: str,
        name: str,
        items: list[Json],
        options: QueryOptions,
        maximum: int,
    ) -> None:
        """Put the first page of an expanded collection into *body*."""
        size = self._preferences.page_size(maximum)
        if len(items) > size:
            body[f"{name}@odata.nextLink"] = self._next(record_id, name, options, size)
        body[name] = items[:size]

    def _page(
        self,
        record_id: str,
        name: str,
        items: list[Json],
        options: QueryOptions,
        page: dict[str, str],
        maximum: int,
    ) -> Response:
        """Answer one page of a collection under a record."""
        start = self._tokens.read((name, record_id), page.get("skiptoken"))
        end = start + self._preferences.page_size(maximum)
        path = f"{PATH[1:]}('{record_id}')/{name}{shape.bracket(options)}"
        body: Json = {"@odata.context": self._context(path)}
        if end < len(items):
            body["@odata.nextLink"] = self._next(record_id, name, options, end)
        return self._send(body | {"value": items[start:end]})

    def _next(self, record_id: str, name: str, options: QueryOptions, position: int) -> str:
        token = self._tokens.sign((name, record_id), position)
        return next_link(f"{self._base}{PATH}/{record_id}/{name}", rendered(options), token)

    async def _find(self, record_id: str) -> RecordRow:
        self._require(Role.CALL_RECORDS_READ)
        return await self._records.find(record_id, self._principal)

    def _require(self, *any_of: Role) -> None:
        if not self._principal.has_any(frozenset(any_of)):
            raise errors.insufficient_permissions()

    def _context(self, path: str) -> str:
        return f"{self._base}/$metadata#{path}"

    def _send(self, body: Json) -> JSONResponse:
        preferences = self._preferences
        if not preferences.all_enum_members:
            body = shape.within_sentinel(body)
        if preferences.omit_nulls:
            # A collection that is empty is not left out: the list itself was asked for.
            body = shape.without_nulls(body) | ({"value": []} if body.get("value") == [] else {})
        return JSONResponse(body, headers=preferences.applied())


def _of_id(record: RecordRow, session_id: str) -> Json:
    for item in record.sessions:
        if item["id"] == session_id:
            return item
    raise GraphError(404, "itemNotFound", "Session not found.")


def _check_range(starts: datetime, ends: datetime) -> None:
    if not starts <= ends <= starts + timedelta(days=LOG_DAYS):
        raise errors.bad_request(
            f"fromDateTime, toDateTime: expected a range of at most {LOG_DAYS} days."
        )
