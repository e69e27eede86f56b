"""A Graph that answers the bot's client with what the documentation shows."""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2

from mixminus.control.client.bodies import Prompt
from mixminus.control.client.calls import CallsClient
from mixminus.control.client.models import Identity
from mixminus.control.client.requests import GraphClient

CALL = "57dab8b1-894c-409a-b240-bd8beae78896"
OPERATION = "0fe0623f-d628-42ed-b4bd-8ac290072cc5"
PARTICIPANT = "7d7d5d5e-1b6d-4a3f-9b9b-6f8d3c0c5a11"
CONTEXT = "d45324c1-fcb5-430a-902c-f20af696537c"
CALLBACK = "https://bot.contoso.com/callback"
TENANT = "aa67bd4c-8475-432d-bd41-39f255720e0a"
BEEP = Prompt("https://cdn.contoso.com/beep.wav", "f8971b04-b53e-418c-9222-c82ce681a582")
COOL = Prompt("https://cdn.contoso.com/cool.wav", "86dc814b-c172-4428-9112-60f8ecae1edb")
JOHN = Identity.user("112f7296-5fa4-42ca-bae8-6a692b15d4b8", "John")
ALICE = Identity.user("278405a3-f568-4b3e-b684-009193463064", "Alice")
BOT = Identity.application("2891555a-92ff-42e6-80fa-6e1300c6b5c6", "Calling Bot")
INSTANCE = Identity.application_instance("3d913abb-aec0-4964-8fa6-3c6850c4f278", "Calling Bot")
PHONE = Identity.phone("+12345678901")


class Tokens:
    async def token(self, *, tenant_id: str | None = None, refresh: bool = False) -> str:
        return "token"


class Documented:
    """A Graph that answers with what it is given, and keeps what it was asked."""

    def __init__(self) -> None:
        self.answer = httpx2.Response(200)
        self.requests: list[httpx2.Request] = []

    def handle(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        return self.answer

    @property
    def asked(self) -> tuple[str, str, Any]:
        (request,) = self.requests
        assert request.headers["Authorization"] == "Bearer token"
        path = request.url.raw_path.decode().removeprefix("/beta/communications")
        return request.method, path, json.loads(request.content) if request.content else None


@asynccontextmanager
async def documented_calls() -> AsyncIterator[tuple[CallsClient, Documented]]:
    """A client, and the Graph that it asks."""
    graph = Documented()
    client = GraphClient(
        "https://graph.microsoft.com",
        Tokens(),
        version="beta",
        ssl_context=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
        transport=httpx2.MockTransport(graph.handle),
    )
    yield CallsClient(client), graph
    await client.close()
