"""Serving an ASGI application over TLS inside the running event loop."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Any

import uvicorn

from .prompt_websocket import PromptWebSocketProtocol
from .tls import Certificate

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]

WS_MESSAGE_BYTES = 128 * 1024
"""The largest WebSocket message taken: an SDP of 64 kB with its JSON escapes fits."""

WS_QUEUE_MESSAGES = 16
"""Messages read ahead of the application, then TCP pushes back: 320 ms of a media link."""

BACKLOG = 512
GRACE_S = 3.0
"""How long stop() lets requests finish before it cancels them."""

LINGER_S = 0.2
"""How long stop() lets peers answer TLS's close before it drops their connections."""


class PortInUseError(OSError):
    """Another process listens on that port."""


def listening_socket(bind: str, port: int) -> socket.socket:
    """Return a socket bound to *bind* and *port* (0: any free one).

    Raises: PortInUseError, or OSError for an address that is not this machine's.
    """
    family = socket.AF_INET6 if ":" in bind else socket.AF_INET
    # Named by its protocol: only then does asyncio set TCP_NODELAY on what it accepts, without
    # which a reply's body waits 40 ms for the acknowledgement of its head.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((bind, port))
        # Listening at once, so that two servers cannot both hold the port.
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRINUSE:
            raise PortInUseError(errno.EADDRINUSE, f"port {port} on {bind} is in use") from None
        raise OSError(
            error.errno, f"cannot listen on {bind} port {port}: {error.strerror}"
        ) from None
    sock.setblocking(False)
    return sock


class _Server:
    """A server in the running loop; without a certificate one of plain HTTP."""

    def __init__(
        self,
        app: AsgiApp,
        *,
        certificate: Certificate | None,
        bind: str = "127.0.0.1",
        port: int = 0,
        sock: socket.socket | None = None,
    ) -> None:
        self._bind, self._port, self._socket = bind, port, sock
        self._config = uvicorn.Config(
            app,
            ssl_certfile=None if certificate is None else certificate.cert_file,
            ssl_keyfile=None if certificate is None else certificate.key_file,
            interface="asgi3",
            http="httptools",
            ws=PromptWebSocketProtocol,
            ws_max_size=WS_MESSAGE_BYTES,
            ws_max_queue=WS_QUEUE_MESSAGES,
            ws_per_message_deflate=False,
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
        )
        self._server = uvicorn.Server(self._config)
        self._main: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        """The port that is listened on; 0 before the start."""
        return self._port if self._socket is None else int(self._socket.getsockname()[1])

    async def start(self) -> int:
        """Listen and serve; return the port.

        Raises: PortInUseError; RuntimeError when it already ran.
        """
        if self._main is not None:
            raise RuntimeError("the server was already started")
        if self._socket is None:
            self._socket = listening_socket(self._bind, self._port)
        self._config.load()
        self._server.lifespan = self._config.lifespan_class(self._config)
        await self._server.startup(sockets=[self._socket])
        self._port = self.port
        self._main = asyncio.create_task(self._server.main_loop(), name="web server")
        return self._port

    async def stop(self) -> None:
        """Close all connections, WebSockets with code 1012, and wait until they are gone.

        Requests get a few seconds to finish. Calling it again is no error.
        """
        main, self._main = self._main, None
        sock, self._socket = self._socket, None
        if main is None:
            if sock is not None:
                sock.close()
            return
        self._server.should_exit = True
        await main
        for server in self._server.servers:
            server.close()
        state = self._server.server_state
        for connection in tuple(state.connections):
            connection.shutdown()
        if state.tasks:
            await asyncio.wait(tuple(state.tasks), timeout=GRACE_S)
        await self._until_disconnected(LINGER_S)
        for connection in tuple(state.connections):
            # A peer that does not answer TLS's close, as idle HTTP clients, would hold it for 30 s.
            # CPython 3.11.2 still names the protocol of a TLS transport that is gone by itself.
            with suppress(AttributeError):
                connection.transport.abort()
        tasks = tuple(state.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._until_disconnected(LINGER_S)

    async def _until_disconnected(self, timeout_s: float) -> None:
        """Wait until no connection is left; uvicorn has nothing that says so."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        connections = self._server.server_state.connections
        while connections and loop.time() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.005)


class HttpsServer(_Server):
    """An HTTPS and WebSocket server in the running loop. It touches no signal and no log set-up.

    WebSockets are served without compression; asyncio sets TCP_NODELAY on every connection.
    Thread: the loop's.
    """

    def __init__(
        self,
        app: AsgiApp,
        *,
        certificate: Certificate,
        bind: str = "127.0.0.1",
        port: int = 0,
        sock: socket.socket | None = None,
    ) -> None:
        super().__init__(app, certificate=certificate, bind=bind, port=port, sock=sock)


class LoopbackServer(_Server):
    """The same over plain HTTP, for browsers of this machine: it listens on 127.0.0.1 only."""

    def __init__(self, app: AsgiApp, *, port: int = 0) -> None:
        super().__init__(app, certificate=None, bind="127.0.0.1", port=port)
