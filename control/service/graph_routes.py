"""The Graph API's routes: they read requests and write responses, and do nothing else."""

from __future__ import annotations

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import JSONResponse

from .. import call_state as cs
from ..graph import errors
from ..graph.odata import ACTIONS, ROOTS, VERSIONS, select
from ..graph.resources import parse_call_request, with_context
from ..store.base import AppRow, Store
from .bodies import read_json
from .calls import CallBook
from .tokens import AccessTokens, Principal
from .urls import ServiceUrls

CALL_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"type": "object", "description": "A microsoft.graph.call."}
            }
        },
    }
}


class GraphRoutes:
    """Calls over HTTP, under both versions of the API."""

    def __init__(
        self, book: CallBook, store: Store, tokens: AccessTokens, urls: ServiceUrls
    ) -> None:
        self._book, self._store, self._tokens, self._urls = book, store, tokens, urls

    def add_to(self, app: FastAPI) -> None:
        """Put the routes into *app*."""
        for version in VERSIONS:
            for root in ROOTS[version]:
                app.include_router(self._router(version, root), prefix=f"/{version}/{root}")
        app.add_api_route(
            "/mixminus/v1/calls/{call_id}", self._report, methods=["GET"], tags=["mixminus"]
        )

    def _router(self, version: str, root: str) -> APIRouter:
        router = APIRouter(tags=[f"Graph {version}"])
        suffix = f"{version}_{root}".replace(".", "_")

        @router.post(
            "/calls", status_code=201, operation_id=f"createCall_{suffix}", openapi_extra=CALL_BODY
        )
        async def create(request: Request) -> Response:
            """Create a call."""
            principal = self._principal(request)
            app = await self._app(principal)
            asked = parse_call_request(await read_json(request))
            if asked.tenant_id not in (None, principal.tenant_id):
                raise errors.tenant_mismatch()
            principal.require(asked.roles)
            resource = await self._book.create(asked, app)
            location = f"{self._urls.graph}/{version}/communications/calls/{resource['id']}"
            body = with_context(resource, self._urls.graph, version)
            return JSONResponse(body, 201, headers={"Location": location})

        @router.get("/calls/{call_id}", operation_id=f"getCall_{suffix}")
        async def get(call_id: str, request: Request) -> Response:
            """Get a call."""
            live = self._book.find(call_id, self._principal(request))
            body = with_context(live.row.resource, self._urls.graph, version)
            return JSONResponse(select(body, request.query_params.get("$select")))

        @router.delete("/calls/{call_id}", status_code=204, operation_id=f"deleteCall_{suffix}")
        async def delete(call_id: str, request: Request) -> Response:
            """Delete or hang up a call."""
            live = self._book.find(call_id, self._principal(request))
            await live.dispatch(cs.BotHungUp())
            return Response(status_code=204)

        if root == "communications":

            @router.post("/calls/{call_id}/keepAlive", operation_id=f"keepAlive_{suffix}")
            async def keep_alive(call_id: str, request: Request) -> Response:
                """Keep a call alive."""
                self._book.find(call_id, self._principal(request)).keep_alive()
                return Response(status_code=200)

        @router.api_route(
            "/calls/{call_id}/{rest:path}",
            methods=["GET", "POST", "PATCH", "DELETE"],
            include_in_schema=False,
        )
        async def other(call_id: str, rest: str, request: Request) -> Response:
            """Refuse what the documentation lists and this service does not carry."""
            principal = self._principal(request)
            action = rest.partition("/")[0]
            if action not in ACTIONS:
                raise errors.GraphError(
                    404, "itemNotFound", f"Resource not found for the segment '{action[:64]}'."
                )
            self._book.find(call_id, principal)
            raise errors.not_implemented(action)

        return router

    async def _report(self, call_id: str, request: Request) -> Response:
        """Report what happened in a call, and how fast."""
        return JSONResponse(await self._book.report(call_id, self._principal(request)))

    def _principal(self, request: Request) -> Principal:
        return self._tokens.check(request.headers.get("authorization"))

    async def _app(self, principal: Principal) -> AppRow:
        app = await self._store.app(principal.app_id)
        if app is None:
            raise errors.not_registered()
        if app.tenant_id != principal.tenant_id:
            raise errors.tenant_mismatch()
        return app
