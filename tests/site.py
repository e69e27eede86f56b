"""A web server of somebody's: real HTTPS, with the answers that a test gives it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Self

from mixminus.control.serving import HttpsServer, Receive, Scope, Send
from mixminus.control.tls import LOCAL_HOSTS, LocalAuthority

Answer = tuple[int, dict[str, str], bytes | AsyncIterator[bytes]]


class Site:
    """An HTTPS server whose answers the test gives, and what it was asked."""

    def __init__(self, state_dir: Path, hosts: tuple[str, ...] = LOCAL_HOSTS) -> None:
        self.answers: dict[str, Answer] = {}
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self._server = HttpsServer(self._serve, certificate=LocalAuthority(state_dir).issue(*hosts))
        self.port = 0

    async def __aenter__(self) -> Self:
        self.port = await self._server.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._server.stop()

    def url(self, path: str, host: str = "localhost") -> str:
        return f"https://{host}:{self.port}{path}"

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        headers = {k.decode(): v.decode() for k, v in scope["headers"]}
        self.asked.append((scope["method"], scope["path"], headers))
        status, sent, body = self.answers.get(scope["path"], (404, {}, b""))
        raw = [(k.encode(), v.encode()) for k, v in sent.items()]
        await send({"type": "http.response.start", "status": status, "headers": raw})
        if isinstance(body, bytes):
            await send({"type": "http.response.body", "body": body})
            return
        async for chunk in body:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
