"""Requests about a call: what they do is logged as that call's; each is a line at debug level."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

from ..journal_titles import call_of_path
from ..serving import AsgiApp, Message, Receive, Scope, Send
from .call_context import Concern, enter_concern
from .traces import Traces

if TYPE_CHECKING:
    from opentelemetry.trace import Span

log = logging.getLogger("mixminus.control.http")

MAX_ID_CHARACTERS: Final = 128


class CallRequests:
    """An application that hands on to *app*, and knows which call each request is about.

    The path says it: ``.../calls/ID/...``. A request that makes a call is about it from when it
    has an id on. Thread: the loop's.
    """

    def __init__(self, app: AsgiApp, traces: Traces | None = None) -> None:
        self._app, self._traces = app, traces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection; it has a task of its own."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        call_id = call_of_path(scope["path"])
        is_an_id = call_id is not None and len(call_id) <= MAX_ID_CHARACTERS
        # Whatever the server's task was started from, it is about no other call.
        concern = Concern(call_id if is_an_id else None)
        enter_concern(concern)
        is_traced = self._traces is not None and self._traces.is_on
        if scope["type"] == "websocket" or not (is_traced or log.isEnabledFor(logging.DEBUG)):
            await self._app(scope, receive, send)
        elif is_traced and self._traces is not None:
            headers = {
                name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
            }
            with self._traces.request(scope["method"], headers) as concern.request:
                await self._serve(scope, receive, send, concern.request)
        else:
            await self._serve(scope, receive, send, None)

    async def _serve(self, scope: Scope, receive: Receive, send: Send, span: Span | None) -> None:
        began_s = time.perf_counter()
        status = 0

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = int(message["status"])
            await send(message)

        try:
            await self._app(scope, receive, note)
        finally:
            took_ms = (time.perf_counter() - began_s) * 1000
            # The route and not the path, in which a token may stand.
            route = getattr(scope.get("route"), "path", "no route")
            log.debug("%s %s: %s in %.1f ms", scope["method"], route, status or "left", took_ms)
            if span is not None:
                span.update_name(f"{scope['method']} {route}")
                span.set_attribute("http.response.status_code", status)
