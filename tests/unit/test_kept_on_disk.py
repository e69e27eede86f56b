"""A host's calls in a real store, and what the webhook says while that is away."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from mixminus.control.client.webhook import Caller, TokenRefusedError
from mixminus.control.graph.enums import CallState
from mixminus.control.graph.notifications import Notification, build_envelope
from mixminus.control.host.call import HostedCall
from mixminus.control.host.web import _add_error_bodies, _add_webhook
from mixminus.control.store.base import StoreAwayError
from mixminus.control.store.opening import open_host_store
from tests.host_kit import TENANT, notification
from tests.kept_kit import OWN, KeptWorld, kept_world_of
from tests.support import eventually


async def test_a_killed_hosts_call_goes_on_with_what_was_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "host.db"
    async with kept_world_of(await open_host_store(None, path, OWN)) as world:
        call = await world.calls.create(user="John", media="service")
        await world.post(notification(call.id, state="established"), message_id="1")
        await eventually(lambda: call.state is CallState.ESTABLISHED)
        await call.save_state({"turn": 3})
        # Acknowledged, and the process is killed before it is applied.
        await world.crash()
        await world.post(notification(call.id, subject="later"), message_id="2")
        call_id, lineage = call.id, call.lineage
        assert lineage is not None
    ran: list[object] = []
    async with kept_world_of(await open_host_store(None, path, OWN)) as world:

        @world.bot.on_rejoined
        async def again(call: HostedCall) -> None:
            ran.append(call.saved_state)
            await call.wait_ended()

        store = world.keeping.store
        (row,) = await store.living(OWN)
        assert (row.call_id, row.state) == (call_id, "established")
        claimed = await store.claim(lineage, row.epoch, OWN)
        assert claimed is not None
        world.service.known[call_id] = {"id": call_id, "state": "established"}
        info = await world.service.get(call_id)
        assert info is not None
        call = await world.calls.resume(claimed, info)
        await world.inbox.sweep()
        await eventually(lambda: call.info.raw.get("subject") == "later")
        await eventually(lambda: ran == [{"turn": 3}])

        async def none_waits() -> bool:
            return await store.waiting(OWN) == ()

        await eventually(none_waits)
        await world.post(notification(call_id, subject="later"), message_id="2")
        assert world.counters.repeated == 1
        world.say(call_id, "terminated")
        await call.wait_closed()
        await eventually(lambda: call.keep is not None and call.keep.is_written)
        assert await store.living() == ()


@pytest.mark.slow
async def test_a_locked_file_holds_up_nothing_and_is_caught_up_with(tmp_path: Path) -> None:
    path = tmp_path / "host.db"
    updates: list[str] = []
    async with kept_world_of(await open_host_store(None, path, OWN)) as world:

        @world.bot.on_update
        async def note(call: HostedCall) -> None:
            updates.append(call.state.value)

        call = await world.calls.create(user="John")
        assert call.lineage is not None
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        world.say(call.id, "ringing")
        world.say(call.id, "established")
        await eventually(lambda: updates == ["ringing", "established"])
        with pytest.raises(StoreAwayError):
            await world.post(notification(call.id, state="terminating"), message_id="1")
        assert call.state is CallState.ESTABLISHED
        other.execute("ROLLBACK")
        other.close()

        async def is_written() -> bool:
            row = await world.keeping.store.lineage(call.lineage or "")
            return row is not None and row.state == "established"

        await world.keeping.store.until_back()
        await eventually(is_written)
        await world.post(notification(call.id, state="terminating"), message_id="1")
        await eventually(lambda: call.state is CallState.TERMINATING)


class _Validator:
    """Who says "good" is the service."""

    async def validate(self, authorization: str | None, now_s: float) -> Caller:
        if authorization != "Bearer good":
            raise TokenRefusedError("no")
        return Caller(TENANT, "issuer")


@pytest.fixture
async def webhook() -> AsyncIterator[tuple[KeptWorld, httpx2.AsyncClient]]:
    app = FastAPI()
    _add_error_bodies(app)
    async with kept_world_of() as world:
        host: Any = SimpleNamespace(
            webhook_counters=world.counters,
            validator=_Validator(),
            calls=world.calls,
            inbox=world.inbox,
            keeping=world.keeping,
        )
        _add_webhook(app, host)
        transport = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(transport=transport, base_url="https://host") as client:
            client.headers["Authorization"] = "Bearer good"
            yield world, client


def post_of(told: Notification) -> dict[str, Any]:
    return build_envelope([told], "https://host/api/calls")


async def test_a_post_to_any_hosts_address_is_taken_once(
    webhook: tuple[KeptWorld, httpx2.AsyncClient],
) -> None:
    world, client = webhook
    call = await world.calls.create(user="John")
    body = post_of(notification(call.id, state="established"))
    headers = {"X-Microsoft-Skype-Message-ID": "m1"}
    for path in ("/api/calls", f"/api/calls/{OWN}", "/api/calls/host-b"):
        assert (await client.post(path, json=body, headers=headers)).status_code == 202
    await eventually(lambda: call.state is CallState.ESTABLISHED)
    assert (world.counters.received, world.counters.repeated, world.counters.taken) == (3, 2, 1)


async def test_a_post_is_not_acknowledged_while_the_store_is_away(
    webhook: tuple[KeptWorld, httpx2.AsyncClient],
) -> None:
    world, client = webhook
    call = await world.calls.create(user="John")
    body = post_of(notification(call.id, state="established"))
    headers = {"X-Microsoft-Skype-Message-ID": "m1"}
    world.store.away = StoreAwayError("locked", retry_after_s=2.0)
    answer = await client.post("/api/calls", json=body, headers=headers)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
    assert answer.json()["error"]["code"] == "serviceNotAvailable"
    assert world.counters.unkept == 1
    assert call.state is CallState.ESTABLISHING
    world.store.away = None
    assert (await client.post("/api/calls", json=body, headers=headers)).status_code == 202
    await eventually(lambda: call.state is CallState.ESTABLISHED)


async def test_a_post_of_another_tenants_call_is_refused_and_not_kept(
    webhook: tuple[KeptWorld, httpx2.AsyncClient],
) -> None:
    world, client = webhook
    call = await world.calls.create(user="John")
    call.tenant_id = "another"
    answer = await client.post(
        "/api/calls", json=post_of(notification(call.id, state="established"))
    )
    assert answer.status_code == 403
    assert world.store.inbox == {}
    call.tenant_id = TENANT
