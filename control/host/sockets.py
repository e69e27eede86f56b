"""An ASGI server's WebSocket, as media transports want it."""

from __future__ import annotations

import asyncio

from fastapi import WebSocket
from starlette.websockets import WebSocketDisconnect

from mixminus.media.transports.message_socket import SocketClosedError

NO_CLOSE_FRAME: int = 1005
"""What ASGI says when the far end closed without a word (RFC 6455 section 7.1.5)."""


class AsgiSocket:
    """A server's WebSocket as a MessageSocket; :attr:`over` is set when it can carry no more.

    Thread: the loop's.
    """

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket
        self.over = asyncio.Event()

    async def receive(self) -> bytes | str:
        """Wait for a message. Raises: SocketClosedError."""
        try:
            message = await self._websocket.receive()
        except RuntimeError as exc:
            raise self._closed("the WebSocket is closed") from exc
        if message["type"] == "websocket.disconnect":
            code = message.get("code", NO_CLOSE_FRAME)
            raise self._closed(f"the WebSocket was closed with {code}", code)
        data: bytes | None = message.get("bytes")
        text: str = message.get("text") or ""
        return text if data is None else data

    async def send(self, message: bytes | str) -> None:
        """Send a message. Raises: SocketClosedError."""
        try:
            if isinstance(message, str):
                await self._websocket.send_text(message)
            else:
                await self._websocket.send_bytes(message)
        except (WebSocketDisconnect, RuntimeError) as exc:
            raise self._closed("the WebSocket is closed") from exc

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the WebSocket. Again is no error."""
        try:
            await self._websocket.close(code, reason)
        except (WebSocketDisconnect, RuntimeError):
            return  # The far end was faster.
        finally:
            self.over.set()

    def _closed(self, message: str, code: int | None = None) -> SocketClosedError:
        self.over.set()
        return SocketClosedError(message, code)
