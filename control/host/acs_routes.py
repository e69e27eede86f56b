"""What Azure posts to a bot host: Event Grid's calls that ring, and CloudEvents of its calls."""

from __future__ import annotations

import hmac
import logging
import time
from typing import TYPE_CHECKING, Any, Final

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from ..acs.events import EventError, IncomingCall, Validation, parse_call_events, parse_incoming
from ..client.keys import KeysUnavailableError
from ..operation.call_context import concerning
from .replies import RequestRefusedError, read_body
from .stream_auth import AcsTokens, StreamRefusedError

if TYPE_CHECKING:
    from .acs import HostAcs

log = logging.getLogger("mixminus.control.host")

CALLBACK_PATH: Final = "/acs/callbacks"
EVENTS_PATH: Final = "/acs/events"


def add_acs(app: FastAPI, acs: HostAcs, tokens: AcsTokens) -> None:
    """Add the routes of call control to *app*."""

    @app.post(f"{EVENTS_PATH}/{{token}}")
    async def incoming(request: Request, token: str) -> Response:
        """Take what Event Grid delivers; the URL that it was given holds the token."""
        wanted = acs.settings.events_token
        if wanted is None or not hmac.compare_digest(token.encode(), wanted.encode()):
            acs.counters.refused += 1
            raise RequestRefusedError(404, "itemNotFound", "no such subscription")
        try:
            events = parse_incoming(await read_body(request))
        except EventError as exc:
            raise RequestRefusedError(400, "invalidRequest", str(exc)) from None
        reply: dict[str, Any] = {}
        for event in events:
            match event:
                case Validation():
                    reply = event.reply()
                case IncomingCall():
                    acs.ring(event)
        return JSONResponse(reply)

    @app.post(CALLBACK_PATH)
    async def callbacks(request: Request) -> Response:
        """Take what became of calls: checked, taken in, answered at once."""
        try:
            await tokens.check(request.headers.get("Authorization"), time.time())
        except StreamRefusedError as exc:
            acs.counters.refused += 1
            log.warning("a callback was refused: %s", exc)
            raise RequestRefusedError(401, "InvalidAuthenticationToken", str(exc)) from None
        except KeysUnavailableError as exc:
            raise RequestRefusedError(
                503, "serviceNotAvailable", str(exc), retry_after_s=exc.retry_after_s
            ) from None
        try:
            events = parse_call_events(await read_body(request))
        except EventError as exc:
            raise RequestRefusedError(400, "invalidRequest", str(exc)) from None
        for event in events:
            with concerning(event.connection_id):
                acs.take(event)
        return Response(status_code=200)
