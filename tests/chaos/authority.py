"""Stands before the token authority and the signing keys of a service: it can be away."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Self

import httpx2

from mixminus.control.devfile import DevFile
from mixminus.control.serving import AsgiApp, HttpsServer, Message, Receive, Scope, Send
from mixminus.control.tls import LOCAL_HOSTS, LocalAuthority, client_context
from tests.chaos.processes import free_port


class AuthorityDoor:
    """Passes requests on to the service, with its own address in what comes back."""

    def __init__(self, dev: DevFile, authority: Path, own: Path) -> None:
        self._certificate = LocalAuthority(authority).issue(*LOCAL_HOSTS, directory=own)
        self._dev, self._own = dev, own
        self._service = dev.graph_base_url
        self._server: HttpsServer | None = None
        self._http = httpx2.AsyncClient(verify=client_context(dev.ca_file), trust_env=False)
        self.port = free_port()
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        """Where it is."""
        return f"https://localhost:{self.port}"

    def dev_file(self) -> Path:
        """Write a dev.json whose tokens and keys are had here; return it."""
        moved = {
            name: str(getattr(self._dev, name)).replace(self._service, self.url)
            for name in ("authority", "open_id_config_url")
        }
        return self._dev.model_copy(update=moved).save(self._own)

    async def __aenter__(self) -> Self:
        await self.come_back()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.go_away()
        await self._http.aclose()

    async def go_away(self) -> None:
        """Refuse connections from now on."""
        server, self._server = self._server, None
        if server is not None:
            await server.stop()

    async def come_back(self) -> float:
        """Listen again; return when, on the monotonic clock."""
        app: AsgiApp = self._serve
        self._server = HttpsServer(app, certificate=self._certificate, port=self.port)
        await self._server.start()
        return time.monotonic()

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        body = b""
        while True:
            message: Message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        self.asked.append(scope["path"])
        query = scope["query_string"].decode()
        url = f"{self._service}{scope['path']}" + (f"?{query}" if query else "")
        kept = (b"content-type", b"authorization", b"accept")
        headers = {name.decode(): text.decode() for name, text in scope["headers"] if name in kept}
        reply = await self._http.request(scope["method"], url, content=body, headers=headers)
        answer = reply.content.replace(self._service.encode(), self.url.encode())
        kind = reply.headers.get("content-type", "application/json").encode()
        start = [(b"content-type", kind), (b"content-length", str(len(answer)).encode())]
        await send({"type": "http.response.start", "status": reply.status_code, "headers": start})
        await send({"type": "http.response.body", "body": answer})
