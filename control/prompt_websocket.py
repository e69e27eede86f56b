"""A WebSocket protocol for uvicorn that buffers little, so that late audio can still be dropped."""

from __future__ import annotations

import asyncio
import socket
from typing import Final

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

SEND_BUFFER_BYTES: Final = 16 * 1024
"""What the kernel holds cannot be taken back: room for what 0.3 s of a media link has in flight.
Left alone it grows to megabytes, a minute of audio."""

WRITE_LIMIT_BYTES: Final = 1024
"""asyncio's own buffer on top; its default of 64 KiB is two seconds of audio."""


class PromptWebSocketProtocol(WebSocketsSansIOProtocol):
    """uvicorn's ``websockets-sansio`` protocol whose ``send`` waits once little is unsent."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection over from HTTP."""
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=WRITE_LIMIT_BYTES)
        raw = transport.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
