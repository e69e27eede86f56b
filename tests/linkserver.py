"""A bot host's end of the media link for tests: a real TLS WebSocket server on loopback."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import trustme
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from mixminus.media.platform import MediaPlatform
from mixminus.media.transports.link import HostLink, LinkError, LinkGrant, accept_link
from mixminus.media.transports.message_socket import SocketClosedError


class ServerSocket:
    """``websockets``' server connection as a MessageSocket."""

    def __init__(self, connection: ServerConnection) -> None:
        self.connection = connection

    async def receive(self) -> bytes | str:
        try:
            return await self.connection.recv()
        except ConnectionClosed as exc:
            raise SocketClosedError(str(exc), exc.rcvd.code if exc.rcvd else None) from exc

    async def send(self, message: bytes | str) -> None:
        try:
            await self.connection.send(message)
        except ConnectionClosed as exc:
            raise SocketClosedError(str(exc)) from exc

    async def close(self, code: int = 1000, reason: str = "") -> None:
        await self.connection.close(code, reason)


@dataclass
class LinkServer:
    """Where the server listens, whom it admits, and what came of it."""

    mp_uri: str
    client_context: ssl.SSLContext
    grants: dict[str, LinkGrant]
    admitted: list[HostLink] = field(default_factory=list)
    resumed: list[HostLink] = field(default_factory=list)
    sockets: list[ServerSocket] = field(default_factory=list)
    errors: list[LinkError] = field(default_factory=list)


@asynccontextmanager
async def link_server(
    platform: MediaPlatform, *, timeout_s: float = 5.0
) -> AsyncIterator[LinkServer]:
    authority = trustme.CA()
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(server_context)
    client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(client_context)
    state = LinkServer("", client_context, {})

    async def serve_one(connection: ServerConnection) -> None:
        authorize: Callable[[str], LinkGrant | None] = state.grants.get
        socket = ServerSocket(connection)
        state.sockets.append(socket)
        try:
            admitted = await accept_link(platform, socket, authorize, timeout_s=timeout_s)
        except LinkError as exc:
            state.errors.append(exc)
            return
        (state.resumed if admitted.is_resumed else state.admitted).append(admitted.link)
        ends: tuple[asyncio.Future[Any], ...] = (admitted.over, admitted.link.closed)
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if admitted.link.closed.done():
            await admitted.link.close()

    async with serve(
        serve_one, "127.0.0.1", 0, ssl=server_context, compression=None, close_timeout=1
    ) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        state.mp_uri = f"wss://localhost:{port}/media"
        yield state
