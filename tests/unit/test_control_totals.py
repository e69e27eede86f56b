"""What the control side counts for operators: calls, plugins, notifications, requests, keys."""

from __future__ import annotations

import ssl
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest

from mixminus.control.call_state import ResultInfo
from mixminus.control.call_totals import CallTotals
from mixminus.control.client.keys import KeyCache, KeysUnavailableError
from mixminus.control.client.requests import GraphClient, GraphConnectionError
from mixminus.control.client.tokens import ClientCredentials, TokenError
from mixminus.control.graph.enums import CallState
from mixminus.control.plugin_totals import MAX_NAMES, OTHER, PluginTotals
from mixminus.control.service.notifier import Notifier
from mixminus.control.service.outbound import OutboundError, Reply
from mixminus.control.service.settings import ServiceSettings
from mixminus.control.store.base import CallRow, OutboxBacklog
from mixminus.control.store.migrations import MIGRATIONS
from mixminus.control.store.sqlite import SqliteStore
from mixminus.media.plugins.events import PluginMetrics
from tests.support import eventually

CALL = CallRow("call-1", "app", "tenant", "https://bot/", "establishing", False, {"id": "call-1"})


async def no_sleep(_: float) -> None:
    return None


class Tokens:
    async def token(self, *, tenant_id: str | None = None, refresh: bool = False) -> str:
        return "token"


def test_calls_are_counted_by_how_they_began_and_ended() -> None:
    totals = CallTotals()
    totals.begin(is_incoming=True)
    totals.begin(is_incoming=False)
    totals.enter(CallState.ESTABLISHING, 0.1)
    totals.enter(CallState.ESTABLISHED, 0.3)
    totals.end(ResultInfo(200, 7000), 65.0)
    totals.end(None, 2.0, bot_failed=True)
    assert totals.begun == {"incoming": 1, "outgoing": 1}
    assert totals.ended == {"200": 1, "none": 1}
    assert totals.failed_bots == 1
    assert sum(totals.setup.distribution().counts) == 1
    assert totals.setup.distribution().sum_s == pytest.approx(0.3)
    assert totals.length.distribution().sum_s == pytest.approx(67.0)


def metrics(frames: int, time_us: float = 0.0, p99_us: float = 0.0, **more: int) -> PluginMetrics:
    counts = dict.fromkeys(
        ("bypassed", "errors", "overruns", "host_stalls", "disabled", "restarts"), 0
    )
    return PluginMetrics(
        frames=frames,
        **{**counts, **more},
        is_active=True,
        time_p50_us=p99_us / 2,
        time_p99_us=p99_us,
        time_total_us=time_us,
    )


def test_a_plugin_keeps_what_it_did_on_streams_that_are_over() -> None:
    totals = PluginTotals()
    living = [{"gain": metrics(10, 50.0, 9.0)}, {"gain": metrics(4, 10.0, 30.0, errors=2)}]
    before = totals.sums(living)["gain"]
    assert (before.counts["frames"], before.counts["errors"], before.time_us) == (14, 2, 60.0)
    assert (before.p50_us, before.p99_us) == (15.0, 30.0)
    totals.add(living.pop())
    after = totals.sums(living)["gain"]
    assert (after.counts, after.time_us) == (before.counts, before.time_us)
    assert after.p99_us == 9.0  # Of what is slow now.


def test_names_without_end_become_one() -> None:
    totals = PluginTotals()
    for number in range(2 * MAX_NAMES):
        totals.add({f"plugin-{number}": metrics(1)})
        totals.sums([])
    sums = totals.sums([{"plugin-0": metrics(5)}, {"one more": metrics(7)}])
    assert len(sums) == MAX_NAMES + 1
    assert sums["plugin-0"].counts["frames"] == 6
    assert sums[OTHER].counts["frames"] == MAX_NAMES + 7


async def test_the_outbox_knows_how_long_its_oldest_waits(tmp_path: Path) -> None:
    before_us = time.time_ns() // 1000
    store = await SqliteStore.open(tmp_path / "test.db")
    assert await store.outbox_backlog() == OutboxBacklog(0, None)
    await store.save_call(CALL, ["one", "two"])
    first = await store.next_notification("call-1")
    assert first is not None
    assert first.created_us is not None
    assert before_us <= first.created_us <= time.time_ns() // 1000
    assert await store.outbox_backlog() == OutboxBacklog(2, first.created_us)
    await store.finish_notification(first.sequence, delivered=True)
    assert (await store.outbox_backlog()).pending == 1
    await store.close()


async def test_what_an_earlier_version_left_in_the_outbox_has_no_age(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("mixminus.control.store.database.MIGRATIONS", MIGRATIONS[:2])
        patch.setattr("mixminus.control.store.database.TABLES", frozenset({"calls", "outbox"}))
        old = await SqliteStore.open(tmp_path / "test.db")
        await old._run(_write_as_before)
        await old.close()
    store = await SqliteStore.open(tmp_path / "test.db")
    left = await store.next_notification("call-1")
    assert left is not None
    assert left.created_us is None
    assert await store.outbox_backlog() == OutboxBacklog(1, None)
    await store.close()


def _write_as_before(db: Any) -> None:
    db.execute(
        "INSERT INTO calls (call_id, app_id, tenant_id, callback_uri, state, is_over, resource)"
        " VALUES ('call-1', 'app', 'tenant', 'https://bot/', 'established', 0, '{}')"
    )
    db.execute(
        "INSERT INTO outbox (message_id, call_id, status, body) VALUES ('m', 'call-1', 'pending',"
        " 'left')"
    )


class NoTokens:
    def bearer(self, app_id: str, tenant_id: str) -> str:
        return "token"


class Answers:
    """A way out on which each post is answered as told."""

    def __init__(self, *answers: int | None) -> None:
        self.answers = list(answers)

    async def post(self, *_: object) -> Reply:
        answer = self.answers.pop(0)
        if answer is None:
            raise OutboundError("timed out")
        return Reply(answer, "", b"", False)


async def test_attempts_and_what_came_of_them_are_counted(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "test.db")
    way_out: Any = Answers(500, None, 202, 202)
    settings = ServiceSettings(state_dir=tmp_path, notify_first_wait_s=0.001)
    tokens: Any = NoTokens()
    notifier = Notifier(store, tokens, way_out, settings)
    await store.save_call(CALL, ["{}", "{}"])
    notifier.wake("call-1")
    await eventually(lambda: notifier.counts.delivered == 2)
    counts = notifier.counts
    assert (counts.refused, counts.given_up) == (2, 0)
    assert sum(counts.lag.distribution().counts) == 2
    assert 0 < counts.lag.distribution().sum_s < 60
    await notifier.close()

    impatient = ServiceSettings(
        state_dir=tmp_path, notify_first_wait_s=0.01, notify_give_up_s=0.0001
    )
    way_out.answers = [410]
    notifier = Notifier(store, tokens, way_out, impatient)
    await store.save_call(CALL, ["{}"])
    notifier.wake("call-1")
    await eventually(lambda: notifier.counts.given_up == 1)
    assert sum(notifier.counts.lag.distribution().counts) == 0
    await notifier.close()
    await store.close()


def context() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


async def test_requests_to_graph_are_counted_attempt_by_attempt() -> None:
    answers: list[httpx2.Response | Exception] = [
        httpx2.Response(503, headers={"Retry-After": "0"}),
        httpx2.ConnectError("refused"),
        httpx2.Response(200, json={}),
        httpx2.ConnectError("refused"),
    ]

    def handle(_: httpx2.Request) -> httpx2.Response:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    client = GraphClient(
        "https://graph.example",
        Tokens(),
        ssl_context=context(),
        sleep=no_sleep,
        transport=httpx2.MockTransport(handle),
    )
    await client.request("GET", "/a")
    with pytest.raises(GraphConnectionError):
        await client.request("POST", "/b")
    assert client.answers == {
        ("GET", "503"): 1,
        ("GET", "unreachable"): 1,
        ("GET", "200"): 1,
        ("POST", "unreachable"): 1,
    }
    assert sum(client.times.distribution().counts) == 4
    await client.close()


async def test_fetches_of_keys_and_tokens_that_failed_are_counted() -> None:
    def refuse(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(500)

    keys = KeyCache(
        "https://issuer.example",
        ssl_context=context(),
        transport=httpx2.MockTransport(refuse),
    )
    assert keys.age_s is None
    with pytest.raises(KeysUnavailableError):
        await keys.get("some key")
    assert (keys.fetches, keys.failed_fetches, keys.age_s) == (1, 1, None)
    await keys.close()

    # Port 1 of this machine: nobody listens there.
    tokens = ClientCredentials("https://127.0.0.1:1/tenant", "app", "secret")
    with pytest.raises(TokenError):
        await tokens.token()
    assert (tokens.counts.cached, tokens.counts.fetched, tokens.counts.failed) == (0, 0, 1)
    await tokens.close()
