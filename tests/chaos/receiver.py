"""An application's webhook that can be away, slow or in trouble, and writes down what came."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, TypeAlias

from mixminus.control.serving import AsgiApp, HttpsServer, Message, Receive, Scope, Send
from mixminus.control.tls import LOCAL_HOSTS, LocalAuthority
from tests.chaos.findings import by_key
from tests.chaos.processes import free_port

Mood: TypeAlias = Literal["well", "slow", "failing", "leading elsewhere"]

SLOW_S = 3.0
STATUS: dict[Mood, int] = {"well": 202, "slow": 202, "failing": 500, "leading elsewhere": 302}


@dataclass(frozen=True, slots=True)
class Came:
    """One post: when, of which call, with which message id, and what was answered."""

    at_s: float
    call_id: str
    message_id: str
    state: str | None
    status: int

    @property
    def was_taken(self) -> bool:
        """Whether it was answered with 2xx."""
        return 200 <= self.status < 300


class Webhook:
    """A real HTTPS server on a port of its own, which it keeps while it is away."""

    def __init__(self, authority: Path, own: Path) -> None:
        self._certificate = LocalAuthority(authority).issue(*LOCAL_HOSTS, directory=own)
        self._server: HttpsServer | None = None
        self.port = free_port()
        self.mood: Mood = "well"
        self.came: list[Came] = []

    @property
    def url(self) -> str:
        """What a call has as its callbackUri."""
        return f"https://localhost:{self.port}/api/calls"

    async def __aenter__(self) -> Self:
        await self.come_back()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.go_away()

    async def go_away(self) -> None:
        """Refuse connections from now on, as a machine that is down."""
        server, self._server = self._server, None
        if server is not None:
            await server.stop()

    async def come_back(self) -> float:
        """Listen again; return when, on the monotonic clock."""
        app: AsgiApp = self._serve
        self._server = HttpsServer(app, certificate=self._certificate, port=self.port)
        await self._server.start()
        return time.monotonic()

    def taken(self) -> dict[str, list[Came]]:
        """Return by call what was taken, in the order of its coming."""
        return by_key([one for one in self.came if one.was_taken], lambda one: one.call_id)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        body = b""
        while True:
            message: Message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        mood = self.mood
        if mood == "slow":
            await asyncio.sleep(SLOW_S)
        status = STATUS[mood]
        self._note(json.loads(body), dict(scope["headers"]), status)
        headers = [(b"location", b"https://localhost:1/")] if status == 302 else []
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    def _note(self, envelope: dict[str, Any], headers: dict[bytes, bytes], status: int) -> None:
        item = envelope["value"][0]
        path = item["resourceUrl"].strip("/").split("/")
        data = item["resourceData"]
        state = data.get("state") if isinstance(data, dict) and len(path) == 3 else None
        message_id = headers[b"x-microsoft-skype-message-id"].decode()
        self.came.append(Came(time.monotonic(), path[2], message_id, state, status))


def disordered(came: list[Came], sent: list[str]) -> list[str]:
    """Name messages of one call that came out of the order *sent*, or not at all, or unasked."""
    firsts = list(dict.fromkeys(one.message_id for one in came if one.was_taken))
    problems = [f"{one} never came" for one in sent if one not in firsts]
    problems += [f"{one} was never sent" for one in firsts if one not in sent]
    expected = [one for one in sent if one in firsts]
    if [one for one in firsts if one in sent] != expected:
        problems.append("the order is another")
    return problems
