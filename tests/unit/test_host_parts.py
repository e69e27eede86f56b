"""What a bot host gives to others: prompt files, its webhook, the tokens of other tenants."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from pydantic import ValidationError

from mixminus.control.client.bodies import Prompt
from mixminus.control.client.requests import GraphClient
from mixminus.control.host import prompts as prompts_module
from mixminus.control.host.calls import HostCalls
from mixminus.control.host.errors import UnknownMeetingError
from mixminus.control.host.prompts import PromptFiles
from mixminus.control.host.registration import WebhookRegistration
from mixminus.control.host.wishing import CallWish
from tests.host_kit import TENANT, World, notification, world_of
from tests.support import eventually

CALLBACK = "https://localhost:1/api/calls"


# Prompt files.


@pytest.fixture
def files() -> PromptFiles:
    return PromptFiles(lambda: "https://bot.example")


def test_a_file_has_one_address_until_it_changes(files: PromptFiles, tmp_path: Path) -> None:
    path = tmp_path / "hello.wav"
    path.write_bytes(b"one")
    first = files.prompt(path)
    assert files.prompt(path) is first
    assert first.uri.startswith("https://bot.example/prompts/")
    assert first.uri.endswith(".wav")
    assert files.find(first.uri.rpartition("/")[2]) == path.resolve()
    path.write_bytes(b"three")
    second = files.prompt(path)
    assert (second.uri, second.resource_id) != (first.uri, first.resource_id)


def test_addresses_and_prompts_are_left_as_they_are(files: PromptFiles) -> None:
    prompt = Prompt("https://cdn.contoso.com/beep.wav", "id")
    assert files.prompt(prompt) is prompt
    assert files.prompt("https://cdn.contoso.com/beep.wav").uri == prompt.uri
    assert files.find("beep.wav") is None


def test_only_files_are_served(files: PromptFiles, tmp_path: Path) -> None:
    for path in (tmp_path / "nothing.wav", tmp_path):
        with pytest.raises(FileNotFoundError):
            files.prompt(path)


def test_the_least_used_files_go_first(
    files: PromptFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prompts_module, "MAX_FILES", 2)
    paths = [tmp_path / name for name in ("a.wav", "b.wav", "c.wav")]
    for path in paths:
        path.write_bytes(b"x")
    a, b = files.prompt(paths[0]), files.prompt(paths[1])
    files.prompt(paths[0])
    files.prompt(paths[2])
    assert files.find(a.uri.rpartition("/")[2]) is not None
    assert files.find(b.uri.rpartition("/")[2]) is None


# The webhook.


class Tokens:
    async def token(self, *, tenant_id: str | None = None, refresh: bool = False) -> str:
        return "t"


class Service:
    """A service that answers as told, the last answer for ever."""

    def __init__(self, *answers: httpx2.Response | Exception) -> None:
        self.answers = list(answers)
        self.requests: list[httpx2.Request] = []
        self.slept_s: list[float] = []

    def handle(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)
        await asyncio.sleep(0)

    def graph(self) -> GraphClient:
        return GraphClient(
            "https://service.example",
            Tokens(),
            ssl_context=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
            sleep=self.sleep,
            transport=httpx2.MockTransport(self.handle),
        )


async def test_the_webhook_is_put_beside_graph() -> None:
    service = Service(httpx2.Response(204))
    registration = WebhookRegistration(service.graph(), "app/1", sleep=service.sleep)
    await registration.start(CALLBACK)
    await registration.close()
    (request,) = service.requests
    assert request.method == "PUT"
    assert request.url.raw_path == b"/mixminus/v1/apps/app%2F1/webhook"
    assert json.loads(request.content) == {"callbackUri": CALLBACK}


async def test_a_service_that_is_not_there_yet_is_tried_until_it_is() -> None:
    service = Service(*[httpx2.ConnectError("refused")] * 9, httpx2.Response(204))
    registration = WebhookRegistration(service.graph(), "app", sleep=service.sleep)
    await registration.start(CALLBACK)
    await eventually(lambda: len(service.requests) == 10)
    await registration.close()
    # Four attempts each, and between them a wait that doubles.
    assert [s for s in service.slept_s if s >= 0.5] == [0.5, 1.0]


async def test_a_refusal_is_final(caplog: pytest.LogCaptureFixture) -> None:
    body = {"error": {"code": "8523", "message": "callbackUri: refused"}}
    service = Service(httpx2.Response(400, json=body))
    registration = WebhookRegistration(service.graph(), "app", sleep=service.sleep)
    await registration.start(CALLBACK)
    await registration.close()
    assert len(service.requests) == 1
    assert "callbackUri: refused" in caplog.text


# What the commands may wish for.


@pytest.mark.parametrize(
    ("wish", "says"),
    [
        ({}, "expected one of user"),
        ({"user": "John", "phone": "+1425"}, "expected one of user"),
        ({"user": ""}, "user"),
        ({"user": "John", "guestName": "x"}, "only with a meeting"),
        ({"phone": "+1", "passcode": "x"}, "only with a joinMeetingId"),
        ({"user": "John", "media": "none"}, "media"),
        ({"user": "John", "more": 1}, "more"),
        ({"users": ["John", 7]}, "users"),
    ],
)
def test_wishes_are_checked(wish: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        CallWish.model_validate_json(json.dumps(wish))


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with world_of() as world:
        yield world


async def test_meetings_are_known_by_name(world: World) -> None:
    calls = HostCalls(
        platform=world.platform,
        client=world.service,
        bot=world.bot,
        users={},
        meetings={"Weekly sync": "https://teams.microsoft.com/meet/1234567?p=x"},
        addresses=world.calls._addresses,
    )
    call = await calls.join(meeting="weekly SYNC", media="service")
    (body,) = world.service.created
    assert body["meetingInfo"]["joinMeetingId"] == "1234567"
    assert call.peer.id == "1234567"
    with pytest.raises(UnknownMeetingError, match="known are Weekly sync"):
        await calls.join(meeting="Monthly sync")
    world.service.on_delete = lambda call_id: calls.deliver(
        notification(call_id, state="terminated"), TENANT
    )
    await calls.close()
    assert call.end_reason == "ended by the service"
