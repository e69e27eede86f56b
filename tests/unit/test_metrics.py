"""/metrics: who may see them, in which format; and what is counted of requests."""

from __future__ import annotations

import asyncio

import httpx2
import pytest
from fastapi import FastAPI, Response
from pydantic import SecretStr

from mixminus.control.operation.metrics import Families, HttpCounts, Metrics, add_metrics
from mixminus.control.operation.settings import OperationSettings
from mixminus.control.serving import Message, Receive, Scope, Send

TOKEN = "a token of sixteen"


class Legs:
    """A source: two legs, and what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def prepare(self) -> None:
        self.asked.append("prepare")

    def collect(self, families: Families) -> None:
        self.asked.append("collect")
        families.gauge("mixminus_legs", 2, codec="opus")

    def settle(self) -> None:
        self.asked.append("settle")


def client(app: FastAPI) -> httpx2.AsyncClient:
    transport = httpx2.ASGITransport(app=app)
    return httpx2.AsyncClient(transport=transport, base_url="https://here")


async def test_they_are_shown_in_the_format_that_is_asked_for() -> None:
    metrics, legs = Metrics(OperationSettings()), Legs()
    metrics.add_source(legs)
    metrics.add_source(legs)
    app = FastAPI()
    add_metrics(app, metrics)
    async with client(app) as http:
        plain = await http.get("/metrics")
        opened = await http.get(
            "/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"}
        )
    assert plain.status_code == 200
    assert plain.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert plain.headers["cache-control"] == "no-store"
    assert 'mixminus_legs{codec="opus"} 2.0' in plain.text.splitlines()
    assert "process_cpu_seconds_total" in plain.text
    assert opened.headers["content-type"].startswith("application/openmetrics-text")
    assert opened.text.endswith("# EOF\n")
    assert legs.asked == ["prepare", "collect"] * 2


@pytest.mark.parametrize(
    "header", [None, "Bearer", "Bearer another token", f"Basic {TOKEN}", TOKEN, "Bearer \xe4"]
)
async def test_without_the_token_nothing_is_shown(header: str | None) -> None:
    app = FastAPI()
    add_metrics(app, Metrics(OperationSettings(metrics_token=SecretStr(TOKEN))))
    headers = {} if header is None else {b"Authorization": header.encode("latin-1")}
    async with client(app) as http:
        refused = await http.get("/metrics", headers=headers)
        seen = await http.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    assert refused.status_code == 401
    assert "expected Authorization: Bearer" in refused.text
    assert "mixminus_" not in refused.text
    assert TOKEN not in refused.text
    assert seen.status_code == 200


async def test_there_are_none_when_they_are_off() -> None:
    app = FastAPI()
    add_metrics(app, Metrics(OperationSettings(metrics=False)))
    async with client(app) as http:
        assert (await http.get("/metrics")).status_code == 404


async def test_a_source_that_has_left_is_asked_no_more() -> None:
    metrics, legs = Metrics(), Legs()
    metrics.add_source(legs)
    metrics.remove_source(legs)
    metrics.remove_source(legs)
    text, _ = await metrics.render()
    assert b"mixminus_legs{" not in text
    assert legs.asked == []


async def test_the_loop_is_looked_at_until_it_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mixminus.control.operation.metrics.metrics.LOOK_S", 0.001)
    monkeypatch.setattr("mixminus.control.operation.metrics.metrics.SETTLE_LOOKS", 2)
    metrics, legs = Metrics(), Legs()
    metrics.add_source(legs)
    metrics.start()
    async with asyncio.timeout(10):
        while "settle" not in legs.asked:  # noqa: ASYNC110  The loop must turn.
            await asyncio.sleep(0.001)
    metrics.stop()
    metrics.stop()
    text, _ = await metrics.render()
    count = next(line for line in text.decode().splitlines() if "loop_lag_seconds_count" in line)
    assert float(count.split()[1]) >= 2
    assert not [handle for handle in asyncio.all_tasks() if handle is not asyncio.current_task()]


def counted(app: FastAPI) -> tuple[HttpCounts, httpx2.AsyncClient]:
    counts = HttpCounts(app, "host")
    transport = httpx2.ASGITransport(app=counts, raise_app_exceptions=False)
    return counts, httpx2.AsyncClient(transport=transport, base_url="https://here")


def shown(counts: HttpCounts) -> dict[str, float]:
    families = Families()
    counts.collect(families)
    return {
        ",".join((sample.name, *(v for k, v in sample.labels.items() if k != "role"))): sample.value
        for family in families.collect()
        for sample in family.samples
        if "_bucket" not in sample.name
    }


async def test_requests_are_counted_by_the_template_of_their_route() -> None:
    app = FastAPI()

    @app.get("/calls/{call_id}")
    async def get_call(call_id: str) -> Response:
        if call_id == "bad":
            raise RuntimeError("a bug")
        assert shown(counts)["mixminus_http_requests_in_flight"] == 1
        return Response(status_code=204)

    counts, http = counted(app)
    async with http:
        for path in ("/calls/1", "/calls/2", "/calls/bad", "/no/such/thing"):
            await http.get(path)
        await http.request("SCAN", "/calls/1")
    found = shown(counts)
    assert found["mixminus_http_requests_total,GET,/calls/{call_id},204"] == 2
    assert found["mixminus_http_requests_total,GET,/calls/{call_id},500"] == 1
    assert found["mixminus_http_requests_total,GET,none,404"] == 1
    assert found["mixminus_http_requests_total,other,/calls/{call_id},405"] == 1
    assert found["mixminus_http_request_seconds_count"] == 5
    assert found["mixminus_http_requests_in_flight"] == 0


async def test_who_goes_away_and_sockets_are_counted() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()

    counts = HttpCounts(app, "host")
    gone = asyncio.Event()

    async def receive() -> Message:
        await gone.wait()
        return {"type": "websocket.disconnect"}

    async def send(message: Message) -> None:
        raise AssertionError("nothing is sent")

    request = asyncio.create_task(counts({"type": "http", "method": "GET"}, receive, send))
    socket = asyncio.create_task(counts({"type": "websocket"}, receive, send))
    await asyncio.sleep(0)
    assert shown(counts)["mixminus_websockets"] == 1
    request.cancel()
    gone.set()
    await asyncio.gather(request, socket, return_exceptions=True)
    found = shown(counts)
    assert found["mixminus_http_requests_total,GET,none,499"] == 1
    assert found["mixminus_websockets"] == 0
    assert found["mixminus_http_requests_in_flight"] == 0
