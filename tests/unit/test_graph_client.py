"""Requests to Graph: tokens renewed once, waits as told, errors as values, calls kept alive."""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx2
import pytest

from mixminus.control.client.bodies import AppHosted, call_body
from mixminus.control.client.calls import KEEP_ALIVE_EVERY_S, KEEP_ALIVE_RETRY_S, CallsClient
from mixminus.control.client.models import Identity
from mixminus.control.client.requests import (
    MAX_ATTEMPTS,
    GraphClient,
    GraphConnectionError,
    GraphRequestError,
)
from mixminus.control.client.tokens import authority_of

Answer = httpx2.Response | Exception


class Tokens:
    """Numbered tokens, of one tenant or another."""

    def __init__(self) -> None:
        self.number = 1

    async def token(self, *, tenant_id: str | None = None, refresh: bool = False) -> str:
        self.number += refresh
        return f"{tenant_id or 't'}{self.number}"


class Graph:
    """A Graph that answers as told, one answer after the other, the last for ever."""

    def __init__(self) -> None:
        self.answers: list[Answer | Callable[[httpx2.Request], Answer]] = []
        self.requests: list[httpx2.Request] = []
        self.slept_s: list[float] = []

    def handle(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if callable(answer):
            answer = answer(request)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)


@pytest.fixture
def graph() -> Graph:
    return Graph()


@pytest.fixture
async def client(graph: Graph) -> AsyncIterator[GraphClient]:
    client = GraphClient(
        "https://graph.example/",
        Tokens(),
        version="beta",
        ssl_context=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
        sleep=graph.sleep,
        transport=httpx2.MockTransport(graph.handle),
    )
    yield client
    await client.close()


def error(status: int, code: str, message: str, **headers: str) -> httpx2.Response:
    body = {"error": {"code": code, "message": message, "innerError": {"date": "x"}}}
    return httpx2.Response(status, json=body, headers={"request-id": "r1", **headers})


async def test_a_request_has_its_version_token_and_ids(client: GraphClient, graph: Graph) -> None:
    graph.answers = [httpx2.Response(200, json={"id": "c1"})]
    response = await client.request("POST", "/communications/calls", {"a": 1}, scenario_id="s1")
    assert response.body == {"id": "c1"}
    (request,) = graph.requests
    assert str(request.url) == "https://graph.example/beta/communications/calls"
    assert request.headers["Authorization"] == "Bearer t1"
    assert request.headers["Scenario-Id"] == "s1"
    assert request.headers["Client-Request-Id"]
    assert json.loads(request.content) == {"a": 1}


async def test_a_401_gets_one_new_token(client: GraphClient, graph: Graph) -> None:
    graph.answers = [error(401, "InvalidAuthenticationToken", "old"), httpx2.Response(204)]
    assert (await client.request("DELETE", "/x")).body is None
    assert [r.headers["Authorization"] for r in graph.requests] == ["Bearer t1", "Bearer t2"]


async def test_a_second_401_is_the_answer(client: GraphClient, graph: Graph) -> None:
    graph.answers = [error(401, "InvalidAuthenticationToken", "no")]
    with pytest.raises(GraphRequestError, match="401 InvalidAuthenticationToken: no"):
        await client.request("GET", "/x")
    assert len(graph.requests) == 2


@pytest.mark.parametrize("status", [429, 503])
async def test_throttling_waits_as_told(client: GraphClient, graph: Graph, status: int) -> None:
    graph.answers = [
        error(status, "", "", **{"Retry-After": "7"}),
        error(status, "", "", **{"Retry-After": "100000"}),
        error(status, "", "", **{"Retry-After": "soon"}),
        httpx2.Response(200, json={}),
    ]
    await client.request("POST", "/x", {})
    assert graph.slept_s[:2] == [7.0, 60.0]
    assert 1.0 <= graph.slept_s[2] <= 2.0


async def test_throttling_has_an_end(client: GraphClient, graph: Graph) -> None:
    graph.answers = [error(503, "serviceNotAvailable", "full", **{"Retry-After": "1"})]
    with pytest.raises(GraphRequestError) as caught:
        await client.request("GET", "/x")
    assert caught.value.status == 503
    assert len(graph.requests) == MAX_ATTEMPTS


async def test_a_broken_connection_is_tried_again_where_that_is_safe(
    client: GraphClient, graph: Graph
) -> None:
    graph.answers = [httpx2.ConnectError("refused"), httpx2.Response(200, json={})]
    await client.request("GET", "/x")
    graph.requests.clear()
    graph.answers = [httpx2.ReadError("broke off")]
    with pytest.raises(GraphConnectionError, match="broke off"):
        await client.request("POST", "/x", {})
    assert len(graph.requests) == 1, "a second POST might make a second call"


@pytest.mark.parametrize(
    ("response", "code", "message"),
    [
        (error(404, "8522", "Call not found."), "8522", "Call not found."),
        (
            error(
                403,
                "UnknownError",
                '{"errorCode":"7503","message":"Application is not registered in our store."}',
            ),
            "7503",
            "Application is not registered in our store.",
        ),
        (error(500, "UnknownError", "no JSON"), "UnknownError", "no JSON"),
        (httpx2.Response(502, text="<html>"), "", "Bad Gateway"),
        (httpx2.Response(400, json=["x"]), "", "Bad Request"),
        (httpx2.Response(302, headers={"Location": "https://x"}), "", "Found"),
    ],
)
async def test_error_bodies_are_understood(
    client: GraphClient, graph: Graph, response: httpx2.Response, code: str, message: str
) -> None:
    graph.answers = [response]
    with pytest.raises(GraphRequestError) as caught:
        await client.request("POST", "/x", {})
    assert (caught.value.code, caught.value.message) == (code, message)


async def test_a_success_must_be_json(client: GraphClient, graph: Graph) -> None:
    graph.answers = [httpx2.Response(200, text="<html>")]
    with pytest.raises(GraphRequestError, match="not JSON"):
        await client.request("GET", "/x")


async def test_a_created_call_needs_an_id(client: GraphClient, graph: Graph) -> None:
    graph.answers = [httpx2.Response(201, json={"state": "establishing"})]
    with pytest.raises(GraphRequestError, match="not a call with an id"):
        await CallsClient(client).post({})


async def test_a_call_that_is_gone_is_no_error(client: GraphClient, graph: Graph) -> None:
    calls = CallsClient(client)
    graph.answers = [error(404, "8522", "Call not found.")]
    assert await calls.get("c1") is None
    assert not await calls.delete("c1")
    assert not await calls.keep_alive("c/../1")
    assert graph.requests[-1].url.raw_path.endswith(b"/calls/c%2F..%2F1/keepAlive")


async def test_other_errors_of_a_call_are_errors(client: GraphClient, graph: Graph) -> None:
    calls = CallsClient(client)
    graph.answers = [error(403, "7504", "no")]
    for ask in (calls.get, calls.delete, calls.keep_alive):
        with pytest.raises(GraphRequestError, match="7504"):
            await ask("c1")


async def test_keep_alive_goes_on_through_failures_until_the_call_is_gone(
    client: GraphClient, graph: Graph
) -> None:
    graph.answers = [
        httpx2.Response(200),
        error(500, "9999", "InternalServiceError"),
        httpx2.Response(200),
        error(404, "8522", "Call not found."),
    ]
    waits_s: list[float] = []

    async def sleep(seconds: float) -> None:
        waits_s.append(seconds)

    alive: list[bool] = []
    await CallsClient(client).keep_alive_until_gone(
        "c1", on_alive=lambda: alive.append(True), sleep=sleep
    )
    assert len(alive) == 2, "each time that the service took it"
    often = KEEP_ALIVE_EVERY_S
    assert waits_s == [often, often, KEEP_ALIVE_RETRY_S, often]


async def test_each_tenant_has_its_tokens(client: GraphClient, graph: Graph) -> None:
    graph.answers = [error(401, "InvalidAuthenticationToken", "old"), httpx2.Response(204)]
    await CallsClient(client).for_tenant("other").delete("c1")
    assert [r.headers["Authorization"] for r in graph.requests] == [
        "Bearer other1",
        "Bearer other2",
    ]


@pytest.mark.parametrize("status", [502, 504])
async def test_a_gateway_that_does_not_know_is_asked_again_where_that_is_safe(
    client: GraphClient, graph: Graph, status: int
) -> None:
    graph.answers = [error(status, "", ""), httpx2.Response(200, json={"id": "c1"})]
    assert await CallsClient(client).get("c1") is not None
    graph.answers = [error(status, "", "")]
    graph.requests.clear()
    with pytest.raises(GraphRequestError):
        await CallsClient(client).post({})
    assert len(graph.requests) == 1


async def test_a_503_without_a_time_may_have_made_a_call(client: GraphClient, graph: Graph) -> None:
    graph.answers = [error(503, "serviceNotAvailable", "?")]
    with pytest.raises(GraphRequestError):
        await CallsClient(client).post({})
    assert len(graph.requests) == 1


async def test_keep_alive_may_be_sent_twice(client: GraphClient, graph: Graph) -> None:
    graph.answers = [httpx2.ReadError("broke off"), httpx2.Response(200)]
    assert await CallsClient(client).keep_alive("c1")


async def test_collections_are_read_to_their_end(client: GraphClient, graph: Graph) -> None:
    further = "https://graph.example/beta/communications/calls/c1/participants?$skiptoken=a%20b"
    graph.answers = [
        httpx2.Response(200, json={"value": [{"id": "p1"}], "@odata.nextLink": further}),
        httpx2.Response(200, json={"value": [{"id": "p2"}, "x"]}),
    ]
    assert [p.id for p in await CallsClient(client).participants("c1")] == ["p1", "p2"]
    assert str(graph.requests[1].url) == further


@pytest.mark.parametrize(
    "link", ["https://evil.example/x", "https://graph.example.evil/x", "http://graph.example/x"]
)
async def test_tokens_go_to_no_one_else(client: GraphClient, graph: Graph, link: str) -> None:
    graph.answers = [httpx2.Response(200, json={"value": [], "@odata.nextLink": link})]
    with pytest.raises(GraphRequestError, match="someone else's"):
        await CallsClient(client).participants("c1")
    with pytest.raises(ValueError, match=r"expected a URL of https://graph\.example"):
        await client.request("GET", link)
    assert len(graph.requests) == 1


async def test_a_recording_is_fetched_with_its_own_token(client: GraphClient, graph: Graph) -> None:
    graph.answers = [httpx2.Response(200, content=b"RIFF")]
    assert await client.fetch("https://file.location/1", "rec", limit_bytes=4) == b"RIFF"
    assert graph.requests[0].headers["Authorization"] == "Bearer rec"
    with pytest.raises(GraphRequestError, match="expected at most 3 bytes"):
        await client.fetch("https://file.location/1", "rec", limit_bytes=3)
    with pytest.raises(ValueError, match="expected an https URL"):
        await client.fetch("http://file.location/1", "rec", limit_bytes=3)
    graph.answers = [httpx2.Response(404)]
    with pytest.raises(GraphRequestError, match="404"):
        await client.fetch("https://file.location/1", "rec", limit_bytes=4)
    graph.answers = [httpx2.ConnectError("refused")]
    with pytest.raises(GraphConnectionError, match="refused"):
        await client.fetch("https://file.location/1", "rec", limit_bytes=4)


async def test_answers_of_another_shape_are_errors(client: GraphClient, graph: Graph) -> None:
    graph.answers = [httpx2.Response(200, json=[1])]
    calls = CallsClient(client)
    for ask in (calls.get("c1"), calls.participants("c1"), calls.operation("c1", "o1")):
        with pytest.raises(GraphRequestError, match="no JSON object"):
            await ask
    graph.answers = [httpx2.Response(200, json={"value": None})]
    with pytest.raises(GraphRequestError, match="no collection"):
        await calls.participants("c1")


@pytest.mark.parametrize(
    ("tenant_id", "expected"),
    [
        (None, "https://login.example/home"),
        ("HOME", "https://login.example/home"),
        ("other", "https://login.example/other"),
        ("a/../b?c", "https://login.example/a%2F..%2Fb%3Fc"),
    ],
)
def test_the_authority_of_a_tenant_has_it_in_its_path(tenant_id: str | None, expected: str) -> None:
    assert authority_of("https://login.example/home", tenant_id) == expected


def test_the_body_of_a_call_is_as_documented() -> None:
    body: dict[str, Any] = call_body(
        callback_uri="https://bot.contoso.com/callback",
        media=AppHosted("{}"),
        targets=[Identity.user("112f7296-5fa4-42ca-bae8-6a692b15d4b8", "John")],
        source=Identity.application("2891555a-92ff-42e6-80fa-6e1300c6b5c6", "Calling Bot"),
        tenant_id="t",
    )
    assert body["@odata.type"] == "#microsoft.graph.call"
    assert body["source"]["identity"]["application"] == {
        "@odata.type": "#microsoft.graph.identity",
        "displayName": "Calling Bot",
        "id": "2891555a-92ff-42e6-80fa-6e1300c6b5c6",
    }
    assert body["targets"][0]["identity"]["user"]["displayName"] == "John"
    assert body["requestedModalities"] == ["audio"]
    assert body["mediaConfig"] == {
        "@odata.type": "#microsoft.graph.appHostedMediaConfig",
        "blob": "{}",
    }
