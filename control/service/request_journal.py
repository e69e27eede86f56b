"""Requests to the Graph API, as they came and were answered, for the journal."""

from __future__ import annotations

import json
import time
from typing import Any, Final

from ..journal import Journal
from ..journal_titles import call_of_path, request_title
from ..serving import AsgiApp, Message, Receive, Scope, Send

MAX_BODY_BYTES: Final = 16 * 1024
"""Of each direction: what is longer is left out."""
ROOT: Final = "/communications/calls"


class RequestJournal:
    """An application that writes down what is asked below ``/communications/calls``.

    All else goes straight on to *app*. Bodies are kept whole or not at all; headers never.
    """

    def __init__(self, app: AsgiApp, journal: Journal) -> None:
        self._app, self._journal = app, journal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http" or ROOT not in scope["path"]:
            await self._app(scope, receive, send)
            return
        asked, answered = _Body(), _Body()
        status: int | None = None
        began_s = time.monotonic()

        async def heard() -> Message:
            message = await receive()
            if message["type"] == "http.request":
                asked.add(message.get("body", b""))
            return message

        async def said(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            elif message["type"] == "http.response.body":
                answered.add(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, heard, said)
        finally:
            self._record(scope, status, (time.monotonic() - began_s) * 1000, asked, answered)

    def _record(
        self, scope: Scope, status: int | None, ms: float, asked: _Body, answered: _Body
    ) -> None:
        path = scope["path"][scope["path"].index(ROOT) :]
        request, reply = asked.parsed(), answered.parsed()
        call_id = call_of_path(path)
        if call_id is None and isinstance(reply, dict) and isinstance(reply.get("id"), str):
            call_id = reply["id"]
        bodies = {"request": request, "response": reply}
        body = {name: value for name, value in bodies.items() if value is not None}
        title = request_title(scope["method"], path, status, ms)
        self._journal.record("request", call_id, title, body or None, direction="in")


class _Body:
    """A body as it passes by, as long as it is short."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._bytes = 0

    def add(self, part: bytes) -> None:
        self._bytes += len(part)
        if self._bytes <= MAX_BODY_BYTES:
            self._parts.append(part)
        else:
            self._parts.clear()

    def parsed(self) -> Any:
        """Return the JSON; what is none, or too long, as how long it was."""
        if not self._bytes:
            return None
        if self._bytes <= MAX_BODY_BYTES:
            try:
                return json.loads(b"".join(self._parts))
            except (ValueError, RecursionError):
                pass  # Said below: it is not to be shown, for nobody could take secrets out of it.
        return {"leftOut": f"{self._bytes} bytes"}
