"""Errors of the Graph API: one envelope and the request's ids, wherever they come from."""

from __future__ import annotations

import json
import uuid
from typing import Any

import httpx2
import pytest

from tests.service_kit import GraphHttp

pytestmark = pytest.mark.asyncio(loop_scope="module")


def error_of(reply: httpx2.Response) -> tuple[int, str]:
    """Check the envelope; return status and code."""
    (name, error), *rest = reply.json().items()
    assert (name, rest) == ("error", [])
    assert set(error) == {"code", "message", "innerError"}
    assert error["message"]
    inner = error["innerError"]
    assert set(inner) == {"date", "request-id", "client-request-id"}
    assert inner["request-id"] == reply.headers["request-id"]
    assert inner["client-request-id"] == reply.headers["client-request-id"]
    return reply.status_code, error["code"]


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/v1.0/communications/calls/unknown", (404, "8522")),
        ("DELETE", "/v1.0/communications/calls/unknown", (404, "8522")),
        ("POST", "/v1.0/communications/calls/unknown/keepAlive", (404, "8522")),
        ("POST", "/v1.0/communications/calls/unknown/playPrompt", (404, "8522")),
        ("POST", "/v1.0/communications/calls/unknown/sing", (404, "itemNotFound")),
        ("GET", "/v1.0/communications/nothing", (404, "itemNotFound")),
        ("POST", "/v1.0/app/calls", (404, "itemNotFound")),
        ("GET", "/v2.0/communications/calls", (404, "itemNotFound")),
        ("PUT", "/v1.0/communications/calls", (405, "notAllowed")),
        ("PATCH", "/beta/communications/calls/unknown", (405, "notAllowed")),
        ("GET", "/mixminus/v1/calls/unknown", (404, "8522")),
    ],
)
async def test_unknown_path_or_method_gets_the_envelope(
    shared_graph: GraphHttp, method: str, path: str, expected: tuple[int, str]
) -> None:
    reply = await shared_graph.http.request(method, path)
    assert error_of(reply) == expected
    if reply.status_code == 405:
        assert reply.headers["allow"]


@pytest.mark.parametrize(
    ("content", "content_type", "expected"),
    [
        (b"{", "application/json", (400, "BadRequest")),
        (b"", "application/json", (400, "BadRequest")),
        (b"\xff{}", "application/json", (400, "BadRequest")),
        (b'{"a": NaN}', "application/json", (400, "BadRequest")),
        (b"[" * 100_000, "application/json", (400, "BadRequest")),
        (b"[]", "application/json", (400, "8523")),
        (b"[" * 40 + b"]" * 40, "application/json", (400, "8523")),
        (b"{}", "text/plain", (415, "invalidRequest")),
        (b" " * (256 * 1024 + 1), "application/json", (413, "invalidRequest")),
    ],
)
async def test_unreadable_body_gets_the_envelope(
    shared_graph: GraphHttp, content: bytes, content_type: str, expected: tuple[int, str]
) -> None:
    reply = await shared_graph.http.post(
        "/v1.0/communications/calls", content=content, headers={"Content-Type": content_type}
    )
    assert error_of(reply) == expected


async def test_endless_body_is_cut_off_at_the_limit(shared_graph: GraphHttp) -> None:
    sent = 0

    async def endless() -> Any:
        nonlocal sent
        for _ in range(1000):
            sent += 100_000
            yield b" " * 100_000

    try:
        reply = await shared_graph.http.post(
            "/v1.0/communications/calls",
            content=endless(),
            headers={"Content-Type": "application/json"},
        )
    except httpx2.TransportError:
        pass  # The service may close before the client looked.
    else:
        assert error_of(reply) == (413, "invalidRequest")
    assert sent < 100_000_000


async def test_request_ids_are_echoed_and_fresh(shared_graph: GraphHttp) -> None:
    mine = str(uuid.uuid4())
    headers = {"client-request-id": mine}
    first = await shared_graph.http.get("/v1.0/communications/calls/x", headers=headers)
    second = await shared_graph.http.get("/v1.0/communications/calls/x", headers=headers)
    assert first.headers["client-request-id"] == second.headers["client-request-id"] == mine
    assert first.headers["request-id"] != second.headers["request-id"]
    long = await shared_graph.http.get(
        "/v1.0/communications/calls/x", headers={"client-request-id": "x" * 65}
    )
    assert long.headers["client-request-id"] == long.headers["request-id"]


async def test_segments_are_case_insensitive_and_may_carry_the_namespace(
    shared_graph: GraphHttp,
) -> None:
    for path in (
        "/V1.0/Communications/Calls/unknown/KEEPALIVE",
        "/beta/communications/calls/unknown/microsoft.graph.keepAlive",
    ):
        assert error_of(await shared_graph.http.post(path)) == (404, "8522")


async def test_openapi_lists_the_documented_requests(shared_graph: GraphHttp) -> None:
    reply = await shared_graph.http.get("/openapi.json")
    paths = json.loads(reply.content)["paths"]
    for path in (
        "/v1.0/communications/calls",
        "/v1.0/communications/calls/{call_id}",
        "/v1.0/communications/calls/{call_id}/keepAlive",
        "/beta/app/calls",
        "/healthz",
    ):
        assert path in paths


async def test_healthz_says_how_the_engine_is_and_no_secret(shared_graph: GraphHttp) -> None:
    reply = await shared_graph.http.get("/healthz", headers={"Authorization": ""})
    body = reply.json()
    assert body["status"] == "ok"
    assert body["engine"]["scheduling"] in ("fifo", "nice", "normal")
    dev = shared_graph.dev
    for secret in (dev.client_secret, *(user.token for user in dev.users)):
        assert secret not in reply.text
