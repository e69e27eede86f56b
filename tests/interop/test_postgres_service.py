"""Calls of a service whose store is in PostgreSQL: end to end, and over a restart of the server."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest

from mixminus.control.host import Bot, HostedCall
from mixminus.control.store.opening import SERVICE_FILE
from mixminus.media.pcm import level_dbov
from tests.metrics_kit import World, both_roles, echo_bot
from tests.postgres_kit import PostgresServer
from tests.service_kit import GraphHttp, Receiver, call_body, phone_of, running_service
from tests.support import eventually

pytestmark = [pytest.mark.slow, pytest.mark.alone]

PHONE = "+14255550123"
"""Picks up by itself, and is heard: a script of the service's."""
SETTINGS_URL = "MIXMINUS_SERVICE_STORE_URL"


@pytest.fixture
def url(postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database, which every service that is made now uses."""
    url = postgres.new_database()
    monkeypatch.setenv(SETTINGS_URL, url)
    return url


def count(postgres: PostgresServer, url: str, what: str) -> int:
    with postgres.connect(url) as connection:
        row = connection.execute(f"SELECT count(*) FROM mixminus.{what}".encode()).fetchone()
        assert row is not None
        return int(row[0])


async def ready(world: World) -> tuple[int, list[str]]:
    reply = await world.http.get(f"{world.service.urls.base}/readyz")
    return reply.status_code, reply.json()["reasons"]


async def test_a_call_is_made_heard_ended_and_recorded(
    tmp_path: Path, postgres: PostgresServer, url: str
) -> None:
    heard: list[float] = []
    bot = Bot("listens")

    @bot.on_call
    async def listen(call: HostedCall) -> None:
        async for frame in call.audio:
            heard.append(level_dbov(np.asarray(frame)))

    async with both_roles(tmp_path, bot) as world:
        call = await world.host.calls.create(phone=PHONE)
        async with asyncio.timeout(20):
            await call.wait_established()
        await eventually(lambda: any(level > -30 for level in heard), 20, "the phone to be heard")
        assert count(postgres, url, "calls WHERE is_over = 0") == 1
        await call.hang_up()
        async with asyncio.timeout(10):
            await call.wait_closed()
        await eventually(lambda: count(postgres, url, "calls WHERE is_over = 1") == 1)
        await eventually(lambda: count(postgres, url, "records") == 1, 10.0)
        await eventually(lambda: count(postgres, url, "outbox WHERE status = 'pending'") == 0)
        assert await ready(world) == (200, [])
    assert not (tmp_path / SERVICE_FILE).exists()


async def test_a_restarted_service_knows_what_was(tmp_path: Path, url: str) -> None:
    async with running_service(tmp_path) as service:
        secret, token = service.dev_file.client_secret, service.dev_file.users[0].token
        async with (
            Receiver(tmp_path) as receiver,
            GraphHttp(service.dev_file) as http,
            phone_of(service.dev_file) as phone,
        ):
            call_id = await http.created(call_body(receiver.url))
            await phone.expect("ring")
        meetings = await service.meetings.all()
    async with running_service(tmp_path) as again:
        assert again.dev_file.client_secret == secret
        assert again.dev_file.users[0].token == token
        assert await again.meetings.all() == meetings
        row = await again.store.call(call_id)
        assert row is not None
        assert row.is_over


async def test_audio_goes_on_while_the_server_restarts(
    tmp_path: Path, postgres: PostgresServer, url: str
) -> None:
    async with (
        both_roles(tmp_path, echo_bot()) as world,
        GraphHttp(world.service.dev_file) as anybody,
    ):
        call = await world.host.calls.create(phone=PHONE)
        async with asyncio.timeout(20):
            await call.wait_established()

        def played() -> int:
            return call.audio.counters().sent

        await eventually(lambda: played() > 10, 20, "the bot to be heard")
        postgres.stop()
        try:
            await eventually(lambda: is_away(world), 10.0)
            before = played()
            await expect_unavailable(anybody)
            await eventually(lambda: played() > before + 50, 20, "audio without a store")
            assert not call.is_over
            status = await world.http.get(f"{world.service.urls.base}/healthz")
            assert status.status_code == 200
        finally:
            postgres.start()
        await eventually(lambda: is_ready(world), 20.0)
        assert not call.is_over
        await call.hang_up()
        async with asyncio.timeout(10):
            await call.wait_closed()
        await eventually(lambda: count(postgres, url, "records") == 1, 10.0)


async def is_away(world: World) -> bool:
    return await ready(world) == (503, ["store"])


async def is_ready(world: World) -> bool:
    return (await ready(world))[0] == 200


async def expect_unavailable(http: GraphHttp) -> None:
    """Every answer that needs the store is 503 with the time to come again."""
    replies: list[httpx2.Response] = [
        await http.create(call_body("https://localhost:1/")),
        await http.http.get("/v1.0/communications/callRecords"),
    ]
    for reply in replies:
        assert reply.status_code == 503, reply.text
        assert int(reply.headers["Retry-After"]) >= 1
        assert reply.json()["error"]["code"] == "serviceNotAvailable"


async def test_notifications_come_in_order_none_lost_none_twice_over_restarts(
    tmp_path: Path, postgres: PostgresServer, url: str
) -> None:
    """Calls ring and end while the server comes and goes; the receiver was away meanwhile too."""
    async with (
        running_service(tmp_path, notify_longest_wait_s=0.5) as service,
        Receiver(tmp_path) as receiver,
        GraphHttp(service.dev_file) as http,
        phone_of(service.dev_file) as phone,
    ):
        receiver.gate.clear()
        made: list[str] = []
        for mode in ("fast", "immediate", "fast"):
            call_id = await http.created(call_body(receiver.url))
            made.append(call_id)
            await phone.expect("ring")
            await asyncio.to_thread(postgres.stop, mode)
            refused = await http.create(call_body(receiver.url))
            assert refused.status_code == 503
            await asyncio.to_thread(postgres.start)
            await eventually(lambda: is_hung_up(http, made[-1]), 20.0)
            await phone.expect("cancelled")
        assert receiver.taken == []
        receiver.gate.set()
        await eventually(lambda: len(terminated(receiver)) == len(made), 30.0)
        await eventually(lambda: count(postgres, url, "outbox WHERE status = 'pending'") == 0, 20.0)
        for call_id in made:
            assert receiver.states(call_id) == ["establishing", "terminating", "terminated"]
        assert count(postgres, url, "calls") == len(made)
        ids = Counter(one["x-microsoft-skype-message-id"] for one in receiver.headers)
        assert set(ids.values()) == {1}
        with postgres.connect(url) as connection:
            rows = connection.execute("SELECT message_id, status FROM mixminus.outbox").fetchall()
        assert {(message_id, "sent") for message_id in ids} == set(rows)


async def is_hung_up(http: GraphHttp, call_id: str) -> bool:
    reply = await http.http.delete(f"/v1.0/communications/calls/{call_id}")
    assert reply.status_code in (204, 503), reply.text
    return reply.status_code == 204


def terminated(receiver: Receiver) -> list[dict[str, Any]]:
    return [
        item["resourceData"]
        for body in receiver.taken
        for item in body["value"]
        if item["resourceData"].get("state") == "terminated"
    ]
