"""The one boundary of the Graph API: request ids in, errors out in Graph's envelope."""

from __future__ import annotations

import logging
import math
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..graph import errors
from ..graph.errors import GraphError, error_body
from ..graph.odata import normal_path
from ..store.base import StoreAwayError, StoreError

log = logging.getLogger("mixminus.control.service")

IDS = "mixminus.request_ids"
METHODS = ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")
RETRY_AFTER_S = 5.0
"""When to try again what the store refused, if it did not say."""
CLIENT_ID_CHARS = 64
"""Longer client-request-ids are not echoed."""


class RequestIds:
    """ASGI middleware: gives a request its ids, spells its path as documented, catches our bugs."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = str(uuid.uuid4())
        ids = {
            "request-id": request_id,
            "client-request-id": _client_id(Headers(scope=scope)) or request_id,
        }
        # In place: who counts requests by their route finds it in the scope afterwards.
        scope.update({"path": normal_path(scope["path"]), IDS: ids})
        started = False

        async def send_with_ids(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                for name, value in ids.items():
                    headers[name] = value
            await send(message)

        try:
            await self._app(scope, receive, send_with_ids)
        except Exception:
            # A bug of ours: this request fails, the service lives.
            log.exception("%s %s failed, request-id %s", scope["method"], scope["path"], request_id)
            if started:
                raise
            failure = GraphError(500, "9999", "InternalServiceError")
            await _respond(failure, ids)(scope, receive, send_with_ids)


def add_error_handlers(app: FastAPI) -> None:
    """Make *app* answer every error in Graph's envelope."""
    app.add_middleware(RequestIds)

    @app.exception_handler(GraphError)
    async def graph_error(request: Request, error: GraphError) -> JSONResponse:
        return _respond(error, request.scope[IDS])

    @app.exception_handler(StoreError)
    async def store_error(request: Request, error: StoreError) -> JSONResponse:
        # That it is away the store itself says, once: not each request that comes meanwhile.
        level = logging.DEBUG if isinstance(error, StoreAwayError) else logging.ERROR
        log.log(level, "request-id %s: %s", request.scope[IDS]["request-id"], error)
        wait_s = error.retry_after_s if isinstance(error, StoreAwayError) else RETRY_AFTER_S
        headers = {"Retry-After": str(max(1, math.ceil(wait_s)))}
        unavailable = GraphError(
            503, "serviceNotAvailable", "The service is not available.", headers
        )
        return _respond(unavailable, request.scope[IDS])

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> JSONResponse:
        if error.status_code == 404:
            translated = errors.segment_not_found(request.url.path.rstrip("/").rpartition("/")[2])
        elif error.status_code == 405:
            translated = errors.not_allowed(request.method, _allowed(request))
        else:
            translated = GraphError(error.status_code, "invalidRequest", str(error.detail))
        return _respond(translated, request.scope[IDS])

    @app.exception_handler(RequestValidationError)
    async def validation_error(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return _respond(errors.invalid_argument(f"{where}: {first['msg']}."), request.scope[IDS])


def _allowed(request: Request) -> str:
    """Name the methods that a path knows: several routes may share it."""
    return ", ".join(
        method
        for method in METHODS
        if any(
            route.matches({**request.scope, "method": method})[0] is Match.FULL
            for route in request.app.routes
        )
    )


def _respond(error: GraphError, ids: Mapping[str, str]) -> JSONResponse:
    body: dict[str, Any] = error_body(
        error,
        request_id=ids["request-id"],
        client_request_id=ids["client-request-id"],
        now=datetime.now(UTC),
    )
    return JSONResponse(body, error.status, headers=error.headers)


def _client_id(headers: Headers) -> str | None:
    value = headers.get("client-request-id", "")
    usable = 0 < len(value) <= CLIENT_ID_CHARS and value.isascii() and value.isprintable()
    return value if usable else None
