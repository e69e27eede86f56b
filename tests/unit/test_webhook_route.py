"""The webhook's route: what is no notification gets 400, and never comes near the store."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import httpx2
import pytest
from fastapi import FastAPI

from mixminus.control.client.webhook import Caller
from mixminus.control.host.host import BotHost
from mixminus.control.host.web import _add_error_bodies, _add_webhook
from mixminus.control.host.webhook_counters import WebhookCounters

GOOD = "/communications/calls/0c1f-a2"


class Host:
    """What the route needs of a host; ``taken`` is what went to the store."""

    def __init__(self) -> None:
        self.webhook_counters = WebhookCounters()
        self.taken: list[Any] = []
        self.validator = SimpleNamespace(validate=self._validate)
        self.calls = SimpleNamespace(judge=lambda notification, tenant_id: None)
        self.inbox = SimpleNamespace(take=self._take)

    async def _validate(self, *_: object) -> Caller:
        return Caller("tenant", "issuer")

    async def _take(
        self, notifications: list[Any], *_: object, instance: str, **__: object
    ) -> None:
        self.taken += [(notification, instance) for notification in notifications]


def post_of(url: str, **data: Any) -> dict[str, Any]:
    item = {"changeType": "updated", "resourceUrl": url, "resourceData": {"id": "0c1f-a2", **data}}
    return {"value": [item]}


async def posted(host: Host, path: str, body: dict[str, Any]) -> httpx2.Response:
    app = FastAPI()
    _add_error_bodies(app)
    _add_webhook(app, cast(BotHost, host))
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="https://host.test") as http:
        return await http.post(path, json=body)


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        ("/api/calls", post_of("/communications/calls/a\0b"), "expected ids, got 'a\\x00b'"),
        ("/api/calls/a", post_of(f"{GOOD}/\x85"), "expected ids"),
        ("/api/calls", post_of("/communications/calls/" + "a" * 513), "expected ids"),
        ("/api/calls", post_of(GOOD, id="\0"), "resourceData.id: expected an id"),
        ("/api/calls/a%00b", post_of(GOOD), "expected the name of a host in the address"),
        ("/api/calls/" + "a" * 513, post_of(GOOD), "expected the name of a host in the address"),
    ],
)
async def test_an_id_that_is_none_is_refused_before_the_store(
    path: str, body: dict[str, Any], says: str
) -> None:
    host = Host()
    reply = await posted(host, path, body)
    assert reply.status_code == 400, reply.text
    assert says in reply.json()["error"]["message"]
    assert host.taken == []
    assert (host.webhook_counters.malformed, host.webhook_counters.received) == (1, 0)


async def test_any_text_may_stand_where_no_id_does() -> None:
    host = Host()
    reply = await posted(host, "/api/calls/b", post_of(GOOD, subject="a\0b " * 200))
    assert reply.status_code == 202, reply.text
    ((notification, instance),) = host.taken
    assert (notification.call_id, instance) == ("0c1f-a2", "b")
