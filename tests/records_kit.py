"""For the tests of call records: conversations that never were, and who is told of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs

from mixminus.control.service.records.history import ConversationHistory
from mixminus.control.serving import AsgiApp, HttpsServer, Message, Receive, Scope, Send
from mixminus.control.tls import LOCAL_HOSTS, LocalAuthority
from mixminus.media.bridge import LegCounters

T0 = datetime(2024, 5, 1, 10, 0, 0, 250_000, UTC)
TENANT = "tenant-id"


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def identity(kind: str, name: str, **members: Any) -> dict[str, Any]:
    """An identitySet as the roster has it."""
    return {
        "@odata.type": "#microsoft.graph.identitySet",
        kind: {
            "@odata.type": "#microsoft.graph.identity",
            "id": f"{name}-id",
            "displayName": name,
            **members,
        },
    }


BOT = identity("application", "Bot")
JOHN = identity("user", "John")
ALICE = identity("user", "Alice")
PHONE = {"phone": {"id": "+14255550123", "displayName": "Phone"}}


def counters(**counts: int) -> LegCounters:
    zero = dict.fromkeys(LegCounters.__dataclass_fields__, 0)
    return LegCounters(**{**zero, **counts})


def history(
    kind: str = "peerToPeer",
    organizer: dict[str, Any] | None = BOT,
    record_id: str = "record-id",
    app_id: str = "Bot-id",
) -> ConversationHistory:
    made = ConversationHistory(record_id, kind, TENANT, organizer, "https://join")
    made.app_joined(app_id)
    return made


def call_of_two(record_id: str = "record-id", app_id: str = "Bot-id") -> ConversationHistory:
    """A bot called John; they talked for ten seconds."""
    made = history(record_id=record_id, app_id=app_id)
    made.joined("p-bot", BOT, "application", "link", at(0), source_id=1)
    made.joined("p-john", JOHN, "user", "webrtc", at(2), "Mozilla/5.0 (X11)", 2)
    leg = counters(voice=90, silence=5, concealed=5, skipped=7)
    made.left("p-john", at(12), None, leg, {"frames_in": 100, "packets_in": 42})
    made.left("p-bot", at(12), None, counters(voice=100), {"frames_in": 100})
    made.ended(at(12))
    return made


def group_of(
    count: int, record_id: str = "record-id", app_id: str = "Bot-id"
) -> ConversationHistory:
    """A meeting of a bot and so many users."""
    made = history("meeting", JOHN, record_id, app_id)
    made.joined("p-bot", BOT, "application", "service", at(0))
    for number in range(count):
        user = identity("user", f"User {number}")
        made.joined(f"p-{number}", user, "user", "webrtc", at(1 + number))
    made.ended(at(1000))
    return made


class Subscriber:
    """A receiver of change notifications: a real HTTPS server, that validates as it is told.

    ``reply`` decides the status of each delivery (from its count, starting at 1); ``echo`` what a
    validation token is answered with: status, content type, body. ``gate``, while cleared, holds
    deliveries back.
    """

    def __init__(self, state_dir: Path, reply: Callable[[int], int] = lambda count: 202) -> None:
        self._reply = reply
        self.echo: Callable[[str], tuple[int, str, str]] = lambda token: (
            200,
            "text/plain; charset=utf-8",
            token,
        )
        self.gate = asyncio.Event()
        self.gate.set()
        self.attempts = 0
        self.tokens: list[str] = []
        self.taken: list[dict[str, Any]] = []
        certificate = LocalAuthority(state_dir).issue(*LOCAL_HOSTS)
        app: AsgiApp = self._serve
        self._server = HttpsServer(app, certificate=certificate)
        self.port = 0

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}/changes?key=1"

    async def __aenter__(self) -> Self:
        self.port = await self._server.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        self.gate.set()
        await self._server.stop()

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        body = b""
        while True:
            message: Message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        query = parse_qs(scope["query_string"].decode())
        assert query["key"] == ["1"]
        if "validationToken" in query:
            self.tokens += query["validationToken"]
            status, content_type, text = self.echo(self.tokens[-1])
            await _respond(send, status, content_type, text)
            return
        await self.gate.wait()
        self.attempts += 1
        status = self._reply(self.attempts)
        if 200 <= status < 300:
            self.taken.append(json.loads(body))
        await _respond(send, status, "text/plain", "")


async def _respond(send: Send, status: int, content_type: str, text: str) -> None:
    headers = [(b"content-type", content_type.encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})
