"""A real Prometheus lints what is exposed, and each panel of the dashboard has data in it."""

from __future__ import annotations

import asyncio
import json
import math
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest

from mixminus.control.host import Bot, HostedCall
from mixminus.control.softphone import BotTarget, Softphone, SoftphoneOptions
from mixminus.control.tls import client_context
from mixminus.media.plugins.config import PluginSpec
from tests.debian import try_install
from tests.metrics_kit import World, both_roles
from tests.support import ROOT, eventually

pytestmark = pytest.mark.slow

DASHBOARD = ROOT / "deploy/grafana/mixminus.json"
RULES = ROOT / "deploy/prometheus"
TOKEN = "a token of sixteen"
DATA_S = 60.0
"""How long all panels may take to have data: RTCP comes each few seconds."""


@pytest.fixture(scope="module", autouse=True)
def _prometheus() -> None:
    if shutil.which("promtool") is None:
        problem = try_install("prometheus")
        if problem is not None:
            pytest.skip(f"no Prometheus here: {problem}")


def promtool(*arguments: str, stdin: str | None = None) -> None:
    command = ["promtool", *arguments]
    done = subprocess.run(
        command, input=stdin, capture_output=True, text=True, timeout=60, check=False
    )
    # Its lint says what it minds on stderr, with another code than 0.
    assert (done.returncode, done.stderr.replace("SUCCESS", "").strip()) == (0, ""), done.stdout


def test_the_alerts_are_rules_and_fire_when_they_should() -> None:
    promtool("check", "rules", str(RULES / "alerts.yml"))
    promtool("test", "rules", str(RULES / "alerts.test.yml"))
    for name in ("prometheus.yml", "compose.yml"):
        promtool("check", "config", "--syntax-only", str(RULES / name))


def bot() -> Bot:
    bot = Bot("echo")

    @bot.on_incoming_call
    async def take(call: HostedCall) -> None:
        await call.answer()

    @bot.on_call
    async def echo(call: HostedCall) -> None:
        async for frame in call.audio:
            await call.audio.send(frame)

    return bot


@asynccontextmanager
async def prometheus(directory: Path, world: World) -> AsyncIterator[httpx2.AsyncClient]:
    """Run a Prometheus that scrapes both roles' process each second; yield a client of its API."""
    target = world.host.url.removeprefix("https://")
    (directory / "token").write_text(TOKEN)
    config = directory / "prometheus.json"  # JSON is YAML.
    job = {
        "job_name": "mixminus",
        "scheme": "https",
        "tls_config": {"ca_file": str(world.service.dev_file.ca_file)},
        "authorization": {"credentials_file": str(directory / "token")},
        "static_configs": [{"targets": [target]}],
    }
    settings = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(RULES / "alerts.yml")],
        "scrape_configs": [job],
    }
    config.write_text(json.dumps(settings))
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with (directory / "prometheus.log").open("w") as log:
        process = await asyncio.create_subprocess_exec(
            "prometheus",
            f"--config.file={config}",
            f"--storage.tsdb.path={directory / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{port}",
            stdout=log,
            stderr=log,
        )
        try:
            async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}/api/v1") as api:
                yield api
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()


async def ask(api: httpx2.AsyncClient, expression: str) -> list[float]:
    """Return the values that a query has now, but for those that are none."""
    try:
        reply = await api.get("/query", params={"query": expression})
    except httpx2.TransportError:
        return []  # It does not listen yet.
    if reply.status_code == 503:
        return []
    body: dict[str, Any] = reply.json()
    assert body["status"] == "success", (expression, body)
    values = [float(series["value"][1]) for series in body["data"]["result"]]
    return [value for value in values if not math.isnan(value)]


def questions() -> dict[str, str]:
    """Return what the dashboard asks, as Grafana would ask it, by panel and reference."""
    found = {}
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel.get("targets", ()):
            expression = target["expr"].replace("$__rate_interval", "1m")
            expression = expression.replace("$job", ".*").replace("$instance", ".*")
            found[f"{panel['title']}, {target['refId']}"] = expression
    return found


async def test_each_panel_has_data_while_a_caller_talks_to_a_bot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIXMINUS_OPERATION_METRICS_TOKEN", TOKEN)
    plugins = (PluginSpec("gain", "mix"),)
    speech = np.round(8000 * np.sin(2 * np.pi * 400 * np.arange(16_000) / 16_000)).astype(np.int16)
    async with AsyncExitStack() as stack:
        world = await stack.enter_async_context(both_roles(tmp_path, bot(), plugins=plugins))
        api = await stack.enter_async_context(prometheus(tmp_path, world))

        async def scraped() -> bool:
            return await ask(api, "up") == [1.0]

        await eventually(scraped, 30, "the first scrape")
        dev = world.service.dev_file
        options = SoftphoneOptions(
            rtc_url=dev.rtc_url,
            token=dev.users[0].token,
            ssl_context=client_context(dev.ca_file),
            target=BotTarget(dev.app_id),
            play=speech,
        )
        phone = Softphone(options, lambda event, fields: None)
        calling = asyncio.create_task(phone.run())
        stack.callback(calling.cancel)
        missing = questions()
        assert len(missing) > 50

        async def complete() -> bool:
            for name, expression in tuple(missing.items()):
                if await ask(api, expression):
                    del missing[name]
            return not missing

        try:
            await eventually(complete, DATA_S, "data of all panels")
        except AssertionError:
            pytest.fail(f"without data: {missing}")
        rules = (await api.get("/rules")).json()["data"]["groups"]
        states = {rule["name"]: rule["health"] for group in rules for rule in group["rules"]}
        assert set(states.values()) == {"ok"}
        authorized = {"Authorization": f"Bearer {TOKEN}"}
        exposed = await world.http.get(f"{world.service.urls.base}/metrics", headers=authorized)
        promtool("check", "metrics", stdin=exposed.text)
        opened = await world.http.get(
            f"{world.host.url}/metrics",
            headers={**authorized, "Accept": "application/openmetrics-text; version=1.0.0"},
        )
        assert opened.text.endswith("# EOF\n")
        phone.stop()
        report = await calling
    assert report.succeeded
