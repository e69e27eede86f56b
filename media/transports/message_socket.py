"""A WebSocket as transports see it: messages in and out, and how it was closed."""

from __future__ import annotations

from typing import Protocol

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed


class SocketClosedError(ConnectionError):
    """The socket under a transport is closed; *code* is the WebSocket's close code, if one came."""

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


class MessageSocket(Protocol):
    """A WebSocket; ``websockets`` and ASGI servers are adapted to it."""

    async def receive(self) -> bytes | str:
        """Wait for a message. Raises: ConnectionError when the far end is gone."""

    async def send(self, message: bytes | str) -> None:
        """Send, waiting while the far end takes nothing. Raises: ConnectionError as receive."""

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the WebSocket. Again is no error."""


class ClientSocket:
    """``websockets``' client as a MessageSocket."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    async def receive(self) -> bytes | str:
        """Wait for a message. Raises: SocketClosedError."""
        try:
            return await self._connection.recv()
        except ConnectionClosed as exc:
            raise _closed(exc) from exc

    async def send(self, message: bytes | str) -> None:
        """Send a message. Raises: SocketClosedError."""
        try:
            await self._connection.send(message)
        except ConnectionClosed as exc:
            raise _closed(exc) from exc

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the socket. Again is no error."""
        await self._connection.close(code, reason)

    def drop(self) -> None:
        """Drop the connection as a broken network does: without a word."""
        self._connection.transport.abort()


def _closed(exc: ConnectionClosed) -> SocketClosedError:
    code = exc.rcvd.code if exc.rcvd is not None else None
    said = "without a close frame" if code is None else f"with code {code}"
    return SocketClosedError(f"the far end closed the socket {said}", code)
