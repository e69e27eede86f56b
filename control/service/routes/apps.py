"""What an application says about itself, and what it may ask beyond Graph."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from ...graph import errors
from ...graph.fields import Fields
from ...store.base import Store
from ..bodies import read_json
from ..openapi import described
from .base import Surface


def app_routes(surface: Surface, store: Store) -> APIRouter:
    """Return the routes below ``/mixminus/v1``."""
    router = APIRouter(prefix="/mixminus/v1", tags=["mixminus"])

    @router.get("/calls/{call_id}", **described("", "reportCall", 200, reply="callReport"))
    async def report(call_id: str, request: Request) -> Response:
        """Report what happened in a call, and how fast."""
        principal = surface.access.principal(request)
        return JSONResponse(await surface.book.report(call_id, principal))

    @router.put("/apps/{app_id}/webhook", **described("", "setWebhook", 204, body="webhookRequest"))
    async def set_webhook(app_id: str, request: Request) -> Response:
        """Say where the application is told of incoming calls; null: nowhere."""
        principal = surface.access.principal(request)
        if app_id != principal.app_id:
            raise errors.not_found("Application")
        app = await surface.access.app(principal)
        fields = Fields.of_body(await read_json(request))
        if "callbackUri" not in fields.value:
            raise fields.missing("callbackUri")
        uri = fields.https_uri("callbackUri")
        if uri is not None:
            await surface.book.expect_reachable("callbackUri", uri)
        await store.set_webhook(app.app_id, uri)
        return Response(status_code=204)

    return router
