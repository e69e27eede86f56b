"""``/metrics``, and the counting of requests, for whatever role serves them."""

from __future__ import annotations

import time
from collections import Counter
from typing import Final

from fastapi import FastAPI, Request, Response

from ...histogram import REQUEST_BOUNDS_S, TimeHistogram
from ...serving import AsgiApp, Message, Receive, Scope, Send
from .families import Families
from .metrics import Metrics

PATH: Final = "/metrics"
METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})
CANCELLED_CODE: Final = "499"
"""Of a request whose client went away before an answer began: nginx's word for it."""


def add_metrics(app: FastAPI, metrics: Metrics) -> None:
    """Let *app* answer Prometheus, unless the settings have it off."""
    if not metrics.is_on:
        return

    @app.get(PATH, tags=["mixminus"], response_class=Response)
    async def get_metrics(request: Request) -> Response:
        """Say how everything is, as Prometheus reads it."""
        if not metrics.is_allowed(request.headers.get("authorization")):
            return Response(
                "expected Authorization: Bearer with the token of the setting metrics_token\n",
                401,
                {"WWW-Authenticate": "Bearer"},
                media_type="text/plain",
            )
        text, content_type = await metrics.render(request.headers.get("accept", ""))
        return Response(text, headers={"Content-Type": content_type, "Cache-Control": "no-store"})


class HttpCounts:
    """An ASGI application that counts what *app* answers. Thread: the loop's."""

    def __init__(self, app: AsgiApp, role: str) -> None:
        self._app, self._role = app, role
        self._requests: Counter[tuple[str, str, str]] = Counter()
        self._times = TimeHistogram(REQUEST_BOUNDS_S)
        self._in_flight = self._sockets = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a connection on, and count what becomes of it."""
        if scope["type"] == "websocket":
            self._sockets += 1
            try:
                await self._app(scope, receive, send)
            finally:
                self._sockets -= 1
        elif scope["type"] == "http":
            await self._count(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def prepare(self) -> None:
        """Need nothing beforehand."""

    def settle(self) -> None:
        """Forget nothing."""

    def collect(self, families: Families) -> None:
        """Say what was answered so far."""
        role = self._role
        for (method, route, code), count in self._requests.items():
            families.count(
                "mixminus_http_requests_total",
                count,
                role=role,
                method=method,
                route=route,
                code=code,
            )
        families.histogram("mixminus_http_request_seconds", self._times.distribution(), role=role)
        families.gauge("mixminus_http_requests_in_flight", self._in_flight, role=role)
        families.gauge("mixminus_websockets", self._sockets, role=role)

    async def _count(self, scope: Scope, receive: Receive, send: Send) -> None:
        began_s = time.perf_counter()
        code = CANCELLED_CODE

        async def note(message: Message) -> None:
            nonlocal code
            if message["type"] == "http.response.start":
                code = str(message["status"])
            await send(message)

        self._in_flight += 1
        try:
            await self._app(scope, receive, note)
        finally:
            self._in_flight -= 1
            self._times.observe(time.perf_counter() - began_s)
            method = scope["method"] if scope["method"] in METHODS else "other"
            self._requests[method, _route_of(scope), code] += 1


def _route_of(scope: Scope) -> str:
    """Return the route's template: a path of its own for each call would be a line for each."""
    route = scope.get("route")
    path = getattr(route, "path", None)
    return path if isinstance(path, str) else "none"
