"""A socket with a stream on it: opened until its first word, in either role."""

from __future__ import annotations

import asyncio
import socket as sockets
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from websockets.asyncio.client import connect
from websockets.exceptions import InvalidHandshake, InvalidURI

from ..base import RemoteProtocolError
from ..message_socket import ClientSocket, MessageSocket
from .dialect import MAX_MESSAGE_CHARS, Dialect, Event, Started, Stopped

NORMAL_CODE: Final = 1000
UNSUPPORTED_CODE: Final = 1003
POLICY_CODE: Final = 1008
FAILED_CODE: Final = 1011
CLOSE_TIMEOUT_S: Final = 1.0
START_TIMEOUT_S: Final = 10.0
MAX_EARLY: Final = 256
"""Messages before the stream's first word: 5 s of audio that a sender began too soon with."""
PING_INTERVAL_S: Final = 10.0
QUEUE_MESSAGES: Final = 64
WRITE_LIMIT_BYTES: Final = 2048


class StreamError(ConnectionError):
    """A stream that could not be begun; *code* is how a WebSocket was closed, or would be."""

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class OpenStream:
    """A socket whose far end has said what it will send."""

    socket: MessageSocket
    dialect: Dialect
    started: Started
    early: int = 0
    """Messages that came before that, and were left out."""


async def open_stream(
    socket: MessageSocket, dialect: Dialect, *, timeout_s: float = START_TIMEOUT_S
) -> OpenStream:
    """Wait for the stream's first word.

    Raises: StreamError when it did not come, or is not to be carried; the socket is closed then,
            with 1003 for what is not supported.
    """
    early = 0
    said = "nothing came"
    event: Event | None = None
    try:
        async with asyncio.timeout(timeout_s):
            while early < MAX_EARLY:
                message = await socket.receive()
                event = dialect.parse(message)
                if isinstance(event, Started):
                    return OpenStream(socket, dialect, event, early)
                if isinstance(event, Stopped):
                    break
                early += 1
                said = f"{early} other messages came"
    except TimeoutError:
        pass
    except RemoteProtocolError as exc:
        await close_quietly(socket, UNSUPPORTED_CODE, "unsupported")
        raise StreamError(f"no {dialect.name} stream: {exc}", UNSUPPORTED_CODE) from None
    except ConnectionError as exc:
        await close_quietly(socket)
        raise StreamError(f"the {dialect.name} stream was lost before it began: {exc}") from exc
    if isinstance(event, Stopped):
        said = "it was stopped"
    await close_quietly(socket, POLICY_CODE, "no start")
    raise StreamError(
        f"expected the {dialect.name} stream's first word within {timeout_s:g} s, {said}",
        POLICY_CODE,
    )


async def close_quietly(socket: MessageSocket, code: int = NORMAL_CODE, reason: str = "") -> None:
    """Close a socket, whatever its far end does."""
    with suppress(ConnectionError, TimeoutError):
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await socket.close(code, reason)


async def connect_socket(
    uri: str,
    *,
    ssl_context: ssl.SSLContext,
    headers: Mapping[str, str] | None = None,
    timeout_s: float = 10.0,
) -> ClientSocket:
    """Connect to *uri*: the client's role, for streams that are fetched, and for simulators.

    Raises: StreamError with one line; it quotes no header.
    """
    try:
        parts = urlsplit(uri)
        host = parts.hostname
    except ValueError:
        host = None
    if host is None or parts.scheme != "wss":
        raise StreamError(f"expected a wss:// URL, got {uri[:80]!r}")
    try:
        connection = await connect(
            uri,
            ssl=ssl_context,
            additional_headers=dict(headers or {}),
            compression=None,
            proxy=None,
            user_agent_header="mixminus",
            open_timeout=timeout_s,
            close_timeout=CLOSE_TIMEOUT_S,
            ping_interval=PING_INTERVAL_S,
            ping_timeout=PING_INTERVAL_S,
            max_size=MAX_MESSAGE_CHARS,
            max_queue=QUEUE_MESSAGES,
            write_limit=WRITE_LIMIT_BYTES,
        )
    except (InvalidHandshake, InvalidURI) as exc:
        raise StreamError(f"{parts.netloc} takes no WebSocket there ({exc})") from exc
    except TimeoutError:
        raise StreamError(f"{parts.netloc} did not answer within {timeout_s:g} s") from None
    except OSError as exc:
        why = exc.reason if isinstance(exc, ssl.SSLError) else exc.strerror
        raise StreamError(f"cannot connect to {parts.netloc}: {why or exc}") from exc
    raw = connection.transport.get_extra_info("socket")
    raw.setsockopt(sockets.IPPROTO_TCP, sockets.TCP_NODELAY, 1)
    return ClientSocket(connection)
