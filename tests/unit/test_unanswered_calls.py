"""A call whose creation was never answered: found by the lineage in the address it tells to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from mixminus.control.client.models import CallInfo
from mixminus.control.client.webhook import Caller
from mixminus.control.graph.notifications import build_envelope
from mixminus.control.host.parts import Peer
from mixminus.control.host.web import _add_error_bodies, _add_webhook
from mixminus.control.store.host_base import HostCallRow
from mixminus.control.store.opening import open_host_store
from tests.host_kit import TENANT, notification
from tests.kept_kit import OWN, KeptWorld, kept_world_of
from tests.support import eventually

LINEAGE = "0d9f3a52-7c1e-4b44-9a57-5b6a2f1c8e30"
CALL_ID = "0000-9001"
PATH = f"/api/calls/{OWN}/{LINEAGE}"


class _Validator:
    """Takes the token for the name of the tenant."""

    async def validate(self, authorization: str | None, now_s: float) -> Caller:
        return Caller(str(authorization), "issuer")


@asynccontextmanager
async def webhook_of(path: Path) -> AsyncIterator[tuple[KeptWorld, httpx2.AsyncClient]]:
    """A host with a store in a file, its webhook, and a call whose media the service has."""
    app = FastAPI()
    _add_error_bodies(app)
    async with kept_world_of(await open_host_store(None, path, OWN)) as world:
        world.service.known[CALL_ID] = {
            "id": CALL_ID,
            "state": "establishing",
            "tenantId": TENANT,
            "mediaConfig": {"@odata.type": "#microsoft.graph.serviceHostedMediaConfig"},
        }
        host: Any = SimpleNamespace(
            webhook_counters=world.counters,
            validator=_Validator(),
            calls=world.calls,
            inbox=world.inbox,
            keeping=world.keeping,
        )
        _add_webhook(app, host)
        client = httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app),
            base_url="https://host",
            headers={"Authorization": TENANT},
        )
        async with client:
            yield world, client


async def asked_for(world: KeptWorld, **changes: Any) -> None:
    """Leave what a host leaves that is killed between its request for a call and the answer."""
    members = {"call_id": None, "lineage": LINEAGE, "media": "service", "tenant_id": TENANT}
    keep = world.keeping.new(
        **{**members, **changes},
        state="establishing",
        resource={},
        peer=Peer(None),
        joining={"kind": "create", "body": {}},
    )
    await world.keeping.store.add_call(keep.row)


POST = build_envelope([notification(CALL_ID, state="established")], "https://host/api/calls")


async def test_its_row_is_found_by_the_address_of_its_first_word(tmp_path: Path) -> None:
    async with webhook_of(tmp_path / "host.db") as (world, client):
        await asked_for(world)
        found: list[tuple[HostCallRow, CallInfo]] = []
        world.calls.on_found = lambda row, info: found.append((row, info))
        address = f"/api/calls/{OWN}/{LINEAGE.upper()}"
        assert (await client.post(address, json=POST)).status_code == 202
        await eventually(lambda: found)
        assert [(row.lineage, info.id) for row, info in found] == [(LINEAGE, CALL_ID)]
        assert len(world.calls) == 0
        assert [row.lineage for row in await world.keeping.store.living()] == [LINEAGE]


async def test_a_call_that_was_given_up_is_hung_up(tmp_path: Path) -> None:
    async with webhook_of(tmp_path / "host.db") as (world, client):
        await asked_for(world)
        (row,) = await world.keeping.store.living()
        await world.keeping.close_row(row, "its creation was never answered")
        assert (await client.post(PATH, json=POST)).status_code == 202
        await eventually(lambda: world.service.deleted == [CALL_ID])
        assert len(world.calls) == 0


@pytest.mark.parametrize(
    "whose", [{"tenant_id": "another"}, {"call_id": "0000-9002"}], ids=["tenant", "call"]
)
async def test_the_address_reaches_no_row_of_another(tmp_path: Path, whose: dict[str, str]) -> None:
    async with webhook_of(tmp_path / "host.db") as (world, client):
        await asked_for(world, **whose)
        (before,) = await world.keeping.store.living()
        found: list[HostCallRow] = []
        world.calls.on_found = lambda row, info: found.append(row)
        assert (await client.post(PATH, json=POST)).status_code == 202
        # As before there were lineages in addresses: a call of ours that nobody asked for.
        await eventually(lambda: world.calls.get(CALL_ID) is not None)
        assert found == []
        assert world.service.deleted == []
        assert await world.keeping.store.lineage(LINEAGE) == before


@pytest.mark.parametrize(
    "part", ["x", LINEAGE.replace("-", ""), f"%7B{LINEAGE}%7D", f"{LINEAGE}/x"]
)
async def test_an_address_with_another_end_takes_nothing(tmp_path: Path, part: str) -> None:
    async with webhook_of(tmp_path / "host.db") as (world, client):
        answer = await client.post(f"/api/calls/{OWN}/{part}", json=POST)
        assert answer.status_code == 404
        assert answer.json()["error"]["code"] == "itemNotFound"
        assert world.counters.received == 0
        assert await world.keeping.store.waiting(OWN) == ()


async def test_each_call_that_is_kept_has_an_address_of_its_own() -> None:
    async with kept_world_of() as world:
        call = await world.calls.create(user="John", media="service")
        (body,) = world.service.created
        assert body["callbackUri"] == f"https://localhost:1/api/calls/{call.lineage}"
        world.ring("0000-9002")
        ringing = world.calls.get("0000-9002")
        assert ringing is not None
        await ringing.answer(media="service")
        (answered,) = [body for action, body in world.service.acted if action == "answer"]
        assert answered["callbackUri"] == f"https://localhost:1/api/calls/{ringing.lineage}"
        world.say("0000-9002", "terminated")
