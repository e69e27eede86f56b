"""A bot host that finds a call of before in its store: real service, real store, real commands."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx2
from typer.testing import CliRunner

from mixminus.control.cli.app import build
from mixminus.control.host import Bot, BotHost, HostedCall
from mixminus.control.settings import HostSettings
from mixminus.control.store.host_base import HostCallRow
from mixminus.control.store.opening import open_host_store
from mixminus.control.tls import client_context
from mixminus.media.platform import MediaPlatform
from tests.interop.test_calls import world
from tests.service_kit import phone_of
from tests.support import eventually


def row_of(host: HostSettings, call_id: str | None, lineage: str, **members: Any) -> HostCallRow:
    standard: dict[str, Any] = {
        "lineage": lineage,
        "epoch": 4,
        "owner": host.instance_name,
        "app_id": host.app_id,
        "tenant_id": host.tenant_id,
        "call_id": call_id,
        "media": "service",
        "state": "established",
        "is_over": False,
        "resource": {},
        "peer": {"id": "john", "displayName": "John"},
        "joining": {"kind": "create", "body": {}, "inDefaultMix": True},
        "saved_state": {"turn": 3},
    }
    return HostCallRow(**{**standard, **members})


async def asked(*arguments: str, exit_code: int = 0) -> dict[str, Any]:
    """Run a ``mixminus`` command in a thread, as another process would; return its JSON."""

    def run() -> Any:
        return CliRunner().invoke(build(), [*arguments, "--json"])

    result = await asyncio.to_thread(run)
    assert result.exit_code == exit_code, result.output
    told: dict[str, Any] = json.loads(result.stdout)
    return told


async def test_call_of_before_is_gone_on_with_and_one_that_is_gone_is_closed(
    tmp_path: Path,
) -> None:
    """And the commands tell who has which call, and that all agree; then that they do not."""
    state_dir = tmp_path / "host"
    state_dir.mkdir()
    back: list[tuple[Any, bool]] = []
    bot = Bot("echo")

    @bot.on_rejoined
    async def on_rejoined(call: HostedCall) -> None:
        back.append((call.saved_state, call.is_rejoined))
        await call.wait_ended()

    async with world(tmp_path / "service") as w, phone_of(w.service.dev_file) as john:
        call_id = await w.established(john)
        settings = HostSettings.from_dev_file(w.service.dev_file, state_dir=state_dir)
        store = await open_host_store(None, state_dir / "host.db", settings.instance_name)
        await store.add_call(row_of(settings, call_id, "there"))
        await store.add_call(row_of(settings, "no-such-call", "gone"))
        await store.close()
        async with (
            MediaPlatform() as platform,
            BotHost(bot, settings, platform=platform) as host,
        ):
            (call,) = host.calls
            assert (call.id, call.lineage, call.epoch) == (call_id, "there", 5)
            await eventually(lambda: back == [({"turn": 3}, True)])
            gone = await host.keeping.store.lineage("gone")
            assert gone is not None
            assert (gone.is_over, gone.reason) == (True, "over at the service")

            state = ("--state", str(state_dir))
            (one,) = (await asked("fleet", "instances", *state))["instances"]
            assert (one["instance"], one["isAlive"]) == (settings.instance_name, True)
            assert (one["rows"], one["capacity"]) == (1, settings.capacity_calls)
            (told,) = (await asked("fleet", "calls", *state))["value"]
            assert (told["callId"], told["owner"]) == (call_id, settings.instance_name)
            same = await asked("fleet", "reconcile", *state)
            assert (same["differences"], same["store"], same["engine"]) == ([], 1, 1)
            await host.keeping.store.add_call(row_of(settings, "other", "x", owner="nobody"))
            found = await asked("fleet", "reconcile", *state, exit_code=1)
            assert [each["callId"] for each in found["differences"]] == ["other"]

            context = client_context(w.service.dev_file.ca_file)
            async with httpx2.AsyncClient(verify=context) as http:
                for path in ("/mixminus/v1/fleet", "/debug/reconcile"):
                    assert (await http.get(host.url + path)).status_code == 401
                bearer = {"Authorization": f"Bearer {host.admin_token}"}
                reply = await http.get(host.url + "/mixminus/v1/calls/other", headers=bearer)
                assert "nobody has it" in reply.json()["error"]["message"]
            # The word of the end goes to who made the call: here it is asked for.
            await john.send(type="hangup", callId=call_id)
            await w.over(call_id)
            call._doubt.set()
            await eventually(lambda: call.is_over)
