"""SIGTERM to real processes: not ready at once, then calls end, by themselves or at a deadline."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from mixminus.control.devfile import DevFile
from mixminus.control.host.hostfile import HostFile
from mixminus.control.tls import client_context
from tests.service_kit import GraphHttp, Phone, Receiver, call_body, phone_of
from tests.support import eventually

pytestmark = pytest.mark.slow

SOON_S = 20.0
"""What takes longer hangs: nothing here waits for more than a moment."""

HOSTED_BY_SERVICE = {"@odata.type": "#microsoft.graph.serviceHostedMediaConfig"}

COMMANDS = {
    "service": ("service",),
    "serve": ("serve",),
    "dev": ("dev", "--port", "0"),
}


@dataclass
class Running:
    """A process that serves: ``urls`` are of the roles that it has."""

    process: Process
    dev: DevFile
    urls: tuple[str, ...]

    async def statuses(self, path: str) -> set[int]:
        context = client_context(self.dev.ca_file)
        async with httpx2.AsyncClient(verify=context, trust_env=False) as http:
            return {(await http.get(url + path)).status_code for url in self.urls}

    async def until_ready_is(self, status: int) -> None:
        async def is_it() -> bool:
            return await self.statuses("/readyz") == {status}

        await eventually(is_it, SOON_S)

    async def end(self) -> tuple[int | None, str]:
        """Wait for the end of the process; return its exit code, and what it said."""
        async with asyncio.timeout(SOON_S):
            _, errors = await self.process.communicate()
        return self.process.returncode, errors.decode()


@asynccontextmanager
async def running(
    command: tuple[str, ...], state_dir: Path, *, drain_s: float
) -> AsyncIterator[Running]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "mixminus.control", *command, "--state", str(state_dir)),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "MIXMINUS_OPERATION_DRAIN_S": str(drain_s)},
    )
    try:
        has_host = command[0] != "service"
        last = state_dir / ("host.json" if has_host else "dev.json")
        await eventually(lambda: last.exists() or process.returncode is not None, 30.0)
        if process.returncode is not None:
            raise AssertionError((await process.communicate())[1].decode())
        dev = DevFile.load(state_dir)
        urls = [dev.graph_base_url]
        if has_host:
            urls.append(HostFile.load(state_dir).url)
        here = Running(process, dev, tuple(urls))
        await here.until_ready_is(200)
        yield here
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


@asynccontextmanager
async def with_a_call(here: Running, state_dir: Path) -> AsyncIterator[tuple[Phone, str]]:
    """An application's call that rings at John's phone for as long as nobody takes it."""
    async with (
        Receiver(state_dir) as receiver,
        GraphHttp(here.dev) as graph,
        phone_of(here.dev) as john,
    ):
        call_id = await graph.created(call_body(receiver.url, mediaConfig=HOSTED_BY_SERVICE))
        assert (await john.expect("ring"))["callId"] == call_id
        yield john, call_id


@pytest.mark.parametrize("name", COMMANDS)
async def test_a_call_that_stands_is_waited_for(name: str, tmp_path: Path) -> None:
    async with (
        running(COMMANDS[name], tmp_path, drain_s=600) as here,
        with_a_call(here, tmp_path) as (john, call_id),
    ):
        here.process.send_signal(signal.SIGTERM)
        await here.until_ready_is(503)
        assert await here.statuses("/healthz") == {200}
        async with GraphHttp(here.dev) as graph:
            refused = await graph.create(call_body("https://localhost:1/nobody"))
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "10")
            shown = await graph.http.get(f"/v1.0/communications/calls/{call_id}")
            assert shown.status_code == 200
        assert here.process.returncode is None
        await john.send(type="decline", callId=call_id)
        code, said = await here.end()
    assert code == 0, said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("number", "drain_s"),
    [
        pytest.param(signal.SIGTERM, 0.5, id="deadline"),
        pytest.param(signal.SIGINT, 600, id="Ctrl-C"),
    ],
)
async def test_calls_that_are_left_are_ended_in_order(
    number: signal.Signals, drain_s: float, tmp_path: Path
) -> None:
    async with (
        running(COMMANDS["service"], tmp_path, drain_s=drain_s) as here,
        with_a_call(here, tmp_path) as (john, _),
    ):
        here.process.send_signal(number)
        await john.expect("cancelled")
        code, said = await here.end()
    assert code == 0, said
    assert "Traceback" not in said
    assert not (tmp_path / "service.db-wal").exists(), "the store was closed"


async def test_a_second_signal_ends_the_waiting(tmp_path: Path) -> None:
    async with (
        running(COMMANDS["serve"], tmp_path, drain_s=600) as here,
        with_a_call(here, tmp_path) as (john, _),
    ):
        here.process.send_signal(signal.SIGTERM)
        await here.until_ready_is(503)
        here.process.send_signal(signal.SIGTERM)
        await john.expect("cancelled")
        code, said = await here.end()
    assert code == 0, said
    assert "calls left 1" in said.partition("stopping after")[2]


async def test_a_process_without_calls_is_gone_at_once(tmp_path: Path) -> None:
    async with running(COMMANDS["dev"], tmp_path, drain_s=600) as here:
        here.process.send_signal(signal.SIGTERM)
        assert (await here.end())[0] == 0
