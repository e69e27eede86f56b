"""The console of a process with both roles: one for both, and no secret in anything it says."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import httpx2
from pydantic import SecretStr
from websockets.asyncio.client import connect

from mixminus.control.console.console import Console
from mixminus.control.console.settings import ConsoleSettings
from mixminus.control.host import Bot, BotHost
from mixminus.control.service.service import CallService
from mixminus.control.service.settings import ServiceSettings
from mixminus.control.settings import HostSettings
from mixminus.control.tls import client_context
from mixminus.media.platform import MediaPlatform
from tests.console_kit import BEARER, TOKEN, LiveLine

READS = (
    "calls",
    "events",
    "engine",
    "users",
    "bots",
    "meetings",
    "plugins",
    "recordings",
    "session",
)
JSON = {**BEARER, "Content-Type": "application/json"}


async def test_both_roles_are_one_console_that_tells_no_secret(tmp_path: Path) -> None:
    console = Console(ConsoleSettings(token=SecretStr(TOKEN), http_port=0), tmp_path)
    async with (
        MediaPlatform() as platform,
        CallService(
            ServiceSettings(state_dir=tmp_path), platform=platform, console=console
        ) as service,
        BotHost(
            Bot(),
            HostSettings.from_dev_file(service.dev_file, state_dir=tmp_path),
            platform=platform,
            console=console,
        ) as host,
        console,
        httpx2.AsyncClient(verify=client_context(tmp_path / "ca.pem"), trust_env=False) as http,
    ):
        api = f"{console.url}/api"

        # At the service's own address it is the same, to the same names; the API is beside it.
        https = service.urls.base
        assert (await http.get(f"{https}/console/api/calls", headers=BEARER)).json() == {
            "calls": []
        }
        assert (await http.get(f"{https}/console/api/calls")).status_code == 401
        rebound = await http.get(f"{https}/console", headers={"Host": "evil.example"})
        assert rebound.status_code == 403
        foreign = await http.post(
            f"{https}/console/api/meetings", headers={**JSON, "Origin": "https://evil.example"}
        )
        assert foreign.status_code == 403
        assert (await http.get(f"{https}/v1.0/communications/calls/x")).status_code == 401
        assert (await http.get(f"{https}/healthz")).status_code == 200
        plain = console.url.removesuffix("/console")
        assert (await http.get(f"{plain}/phone")).status_code == 200
        assert (await http.get(f"{plain}/v1.0/communications/calls/x")).status_code == 404
        led = await http.get(f"{host.url}/console")
        assert (led.status_code, led.headers["location"]) == (307, console.url)

        # A call of the host in a meeting of the service: one row, until it is hung up.
        made = await http.post(f"{api}/meetings", headers=JSON, json={"subject": "<b>Standup</b>"})
        wish = {"joinUrl": made.json()["joinUrl"]}
        joined = await http.post(f"{api}/calls", headers=JSON, json=wish)
        assert joined.status_code == 201
        (call,) = host.calls
        async with asyncio.timeout(20):
            await call.wait_established()
        (row,) = (await http.get(f"{api}/calls", headers=BEARER)).json()["calls"]
        assert row["sides"] == ["service", "host"]
        assert call.id in row["callIds"]

        said = [(await http.get(f"{api}/{path}", headers=BEARER)).text for path in READS]
        said.append((await http.get(f"{api}/calls/{call.id}", headers=BEARER)).text)
        assert json.loads(said[-1])["blob"] is not None
        async with connect(f"{api.replace('http', 'ws', 1)}/live", proxy=None) as socket:
            await socket.send(json.dumps({"type": "hello", "token": TOKEN}))
            line = LiveLine(socket)
            said.append(json.dumps(await line.next("snapshot")))
            await line.say(type="watch", calls="all", detail=row["id"])
            said.append(json.dumps(await line.next("detail")))
            assert set((await line.next("meters"))["legs"]) == set(row["legs"])

        session = call.session
        assert session is not None
        blob = session.media_configuration()
        (secret,) = re.findall(r'"secret": ?"([^"]+)"', blob)
        secrets = {
            "the console's token": TOKEN,
            "the application's secret": service.dev_file.client_secret,
            "the host's admin token": host.admin_token,
            "the blob": blob,
            "the link's secret": secret,
            **{f"the token of {user.display_name}": user.token for user in service.dev_file.users},
        }
        for name, secret_text in secrets.items():
            assert len(secret_text) >= 16, name
            assert not [text[:80] for text in said if secret_text in text], name
        assert not [text[:80] for text in said if re.search(r"eyJ[\w-]{8,}\.", text)]

        ended = await http.post(f"{api}/calls/{row['id']}/hangup", headers=JSON)
        assert ended.status_code == 204
        async with asyncio.timeout(20):
            await call.wait_closed()
    assert not (tmp_path / "console.json").exists()


async def test_a_host_alone_has_its_own_console(tmp_path: Path) -> None:
    console = Console(ConsoleSettings(token=SecretStr(TOKEN)), tmp_path)
    settings = HostSettings(
        tenant_id="tenant",
        app_id="app",
        client_secret=SecretStr("a secret"),
        state_dir=tmp_path,
    )
    async with (
        BotHost(Bot(), settings, console=console) as host,
        console,
        httpx2.AsyncClient(verify=client_context(tmp_path / "ca.pem"), trust_env=False) as http,
    ):
        assert console.url == f"{host.url}/console"
        session = await http.get(f"{console.url}/api/session", headers=BEARER)
        assert session.json()["sides"] == ["host"]
        refused = await http.post(f"{console.url}/api/users/u/session", headers=JSON)
        assert refused.json()["error"]["code"] == "notPossible"
