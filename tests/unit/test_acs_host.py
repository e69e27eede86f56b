"""Call control of a host when the service does not do its part. The service is the test."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest

from mixminus.control.acs.client import AcsClient, AcsRequestError
from mixminus.control.acs.events import IncomingCall
from mixminus.control.acs.identifiers import Identifier
from mixminus.control.acs.signing import ConnectionString
from mixminus.control.host import acs as host_acs
from mixminus.control.host.acs import AcsSettings, HostAcs
from tests.support import eventually
from tests.unit.test_stream_call import stays, world_of

RESOURCE = ConnectionString("https://resource.example", bytes(32))
JOHN, BOT = Identifier.phone("+15551234567"), Identifier.phone("+15557654321")
RINGS = IncomingCall("event", "context", JOHN, BOT, None, "correlation")


@dataclass
class Service:
    """Answers every request with the same body, and remembers what was asked."""

    body: dict[str, Any] = field(default_factory=lambda: {"callConnectionId": "connection"})
    asked: list[str] = field(default_factory=list)

    def client(self) -> AcsClient:
        return AcsClient(
            RESOURCE,
            ssl_context=ssl.create_default_context(),
            transport=httpx2.MockTransport(self._answer),
        )

    def _answer(self, request: httpx2.Request) -> httpx2.Response:
        self.asked.append(f"{request.url.host}{request.url.path}")
        return httpx2.Response(200, json=self.body)

    def has_hung_up(self) -> bool:
        return any(asked.endswith("/connection:terminate") for asked in self.asked)


@asynccontextmanager
async def host_of(service: Service) -> AsyncIterator[HostAcs]:
    async with world_of() as world:
        stays(world)
        acs = HostAcs(
            AcsSettings(RESOURCE, ssl.create_default_context()),
            bot=world.bot,
            streams=world.streams,
            callback_uri=lambda: "https://bot.example/acs/callbacks",
        )
        await acs.client.close()
        acs.client = service.client()
        async with acs:
            yield acs


async def test_an_answered_call_whose_stream_never_comes_is_hung_up(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(host_acs, "SET_UP_S", 0.01)
    service = Service()
    async with host_of(service) as acs:
        acs.ring(RINGS)
        await eventually(service.has_hung_up)
        await eventually(lambda: "its stream did not come" in caplog.text)
        service.asked.clear()
    assert not service.has_hung_up(), "once is enough"


async def test_a_host_that_ends_hangs_up_what_has_no_stream_yet() -> None:
    service = Service()
    async with host_of(service) as acs:
        acs.ring(RINGS)
        await eventually(lambda: any(asked.endswith(":answer") for asked in service.asked))
        await eventually(lambda: acs._set_ups)
        assert not service.has_hung_up()
    assert service.has_hung_up()


async def test_a_next_page_elsewhere_is_not_asked_for() -> None:
    for link in ("@stranger.example/page?api-version=1", "https://stranger.example/page"):
        service = Service({"value": [], "nextLink": link})
        client = service.client()
        with pytest.raises(AcsRequestError, match="not of this resource"):
            await client.participants("connection")
        await client.close()
        assert all(asked.startswith("resource.example/") for asked in service.asked)


@pytest.mark.parametrize(
    "ask",
    [
        lambda client: client.answer("context", "https://bot.example"),
        lambda client: client.participants("connection"),
    ],
)
async def test_an_answer_that_names_somebody_unheard_of_is_an_answer(
    ask: Callable[[AcsClient], Any],
) -> None:
    """Else a call that was answered would be nobody's, and would never be hung up."""
    body = {
        "callConnectionId": "connection",
        "targets": [{"hologram": {}}, JOHN.to_json(), 7],
        "source": {"hologram": {}},
        "value": [{"identifier": {"hologram": {}}}, {"identifier": JOHN.to_json()}, 7],
    }
    client = Service(body).client()
    result = await ask(client)
    await client.close()
    assert (result if isinstance(result, tuple) else result.targets) == (JOHN,)
