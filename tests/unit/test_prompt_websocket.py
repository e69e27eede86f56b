"""The server's WebSocket: a far end that reads nothing is noticed soon, not after minutes."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

from websockets.asyncio.client import connect

from mixminus.control.prompt_websocket import SEND_BUFFER_BYTES, WRITE_LIMIT_BYTES
from mixminus.control.serving import HttpsServer
from mixminus.control.tls import LocalAuthority, client_context
from tests.support import eventually


async def test_what_cannot_be_taken_back_is_little(tmp_path: Path) -> None:
    protocols: list[Any] = []
    ended = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        protocols.append(send.__self__)
        await receive()
        ended.set()

    authority = LocalAuthority(tmp_path)
    server = HttpsServer(app, certificate=authority.issue("localhost"))
    port = await server.start()
    try:
        async with connect(
            f"wss://localhost:{port}/", ssl=client_context(authority.ca_file), proxy=None
        ):
            await eventually(lambda: protocols)
            transport = protocols[0].transport
            assert transport.get_write_buffer_limits()[1] == WRITE_LIMIT_BYTES
            raw = transport.get_extra_info("socket")
            # The kernel keeps twice what was asked for, as its own bookkeeping needs room.
            assert raw.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) <= 2 * SEND_BUFFER_BYTES
            assert raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        await asyncio.wait_for(ended.wait(), 5)
    finally:
        await server.stop()
