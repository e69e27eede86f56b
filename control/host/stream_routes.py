"""Where telephony streams come in: ``/streams/acs`` and ``/streams/twilio``, or with a token."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from fastapi import FastAPI, WebSocket

from mixminus.media.transports.stream import FAILED_CODE, POLICY_CODE, StreamError

from ..client.keys import KeysUnavailableError
from .replies import RequestRefusedError
from .sockets import AsgiSocket
from .stream_auth import StreamRefusedError
from .streams import STREAMS_PATH, Kind

if TYPE_CHECKING:
    from .host import BotHost

log = logging.getLogger("mixminus.control.host")


def add_streams(app: FastAPI, host: BotHost) -> None:
    """Add the routes of *host* for streams to *app*."""

    @app.websocket(f"{STREAMS_PATH}/acs")
    async def acs(websocket: WebSocket) -> None:
        """Take a stream of Azure Communication Services."""
        await _take(host, websocket, "acs", None)

    @app.websocket(f"{STREAMS_PATH}/acs/{{token}}")
    async def acs_by_token(websocket: WebSocket, token: str) -> None:
        """The same, of a call that is expected."""
        await _take(host, websocket, "acs", token)

    @app.websocket(f"{STREAMS_PATH}/twilio")
    async def twilio(websocket: WebSocket) -> None:
        """Take a stream of Twilio's."""
        await _take(host, websocket, "twilio", None)

    @app.websocket(f"{STREAMS_PATH}/twilio/{{token}}")
    async def twilio_by_token(websocket: WebSocket, token: str) -> None:
        """The same, of a call that is expected."""
        await _take(host, websocket, "twilio", token)


async def _take(host: BotHost, websocket: WebSocket, kind: Kind, token: str | None) -> None:
    streams = host.streams
    if refusal := streams.refusal(kind, token, websocket.headers):
        streams.counters.busy += 1
        error = RequestRefusedError(
            503, "serviceNotAvailable", refusal.message, retry_after_s=refusal.retry_after_s
        )
        await websocket.send_denial_response(error.response())
        return
    # Only an accepted WebSocket can be closed with a code; nothing of it is read before the check.
    await websocket.accept()
    socket = AsgiSocket(websocket)
    try:
        ticket = await streams.admit(kind, token, websocket.headers, websocket.url.path)
    except StreamRefusedError as exc:
        streams.counters.refused += 1
        log.warning("%s stream refused: %s", kind, exc)
        await socket.close(POLICY_CODE, "refused")
        return
    except KeysUnavailableError as exc:
        streams.counters.failed += 1
        log.warning("%s stream not checked: %s", kind, exc)
        await socket.close(FAILED_CODE, "try again")
        return
    try:
        call = await streams.take(kind, socket, websocket.headers, ticket)
    except StreamError as exc:
        streams.counters.failed += 1
        log.warning("%s stream failed: %s", kind, exc)
        return
    try:
        # The server closes the socket when this returns: its transport says when it is done with.
        await socket.over.wait()
    finally:
        if call.is_over:
            await call.wait_closed()
