"""A process that is frozen and goes on: not a byte of audio before its fence is opened."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from mixminus.control.tls import client_context
from tests import link_by_the_page as page
from tests.linkfar import SECRET, SESSION
from tests.support import ROOT, eventually

pytestmark = [pytest.mark.slow, pytest.mark.alone]

FROZEN_S = 2.6
"""Longer than the 2 s that the process's fence allows."""
WAIT_S = 20.0


@dataclass
class Process:
    """The frozen one, what it says, and what it is told."""

    process: asyncio.subprocess.Process
    ca_file: Path

    async def hear(self, key: str) -> Any:
        """Return the value of the next line that has *key*."""
        assert self.process.stdout is not None
        async with asyncio.timeout(WAIT_S):
            while True:
                line = await self.process.stdout.readline()
                assert line, "the process has ended"
                told = json.loads(line)
                if key in told:
                    return told[key]

    async def ask(self, command: str, key: str) -> Any:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{command}\n".encode())
        await self.process.stdin.drain()
        return await self.hear(key)

    def is_frozen(self) -> bool:
        stat = Path(f"/proc/{self.process.pid}/stat").read_text()
        return stat.rpartition(")")[2].split()[0] == "T"

    async def freeze(self) -> None:
        """Stop the process for so long that it has to notice; return when it goes on."""
        self.process.send_signal(signal.SIGSTOP)
        await eventually(self.is_frozen, WAIT_S, "the process to stop")
        await page.until(asyncio.get_running_loop().time() + FROZEN_S)
        self.process.send_signal(signal.SIGCONT)


@asynccontextmanager
async def fenced_host(directory: Path) -> AsyncIterator[Process]:
    command = (sys.executable, "-m", "tests.fenced_host", str(directory))
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, cwd=ROOT)
    try:
        yield Process(process, directory / "ca.pem")
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGCONT)
            process.kill()
        await process.wait()


@asynccontextmanager
async def running(worker: page.Worker) -> AsyncIterator[None]:
    task = asyncio.create_task(worker.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await worker.socket.close()


async def test_a_frozen_host_hears_again_and_says_nothing_until_it_may(tmp_path: Path) -> None:
    async with fenced_host(tmp_path) as host:
        mp_uri = await host.hear("mp_uri")
        tls = client_context(host.ca_file)
        worker = page.Worker(await page.dial(mp_uri, tls, SECRET, SESSION))
        async with running(worker):
            await eventually(lambda: len(worker.heard) > 10, WAIT_S, "audio before")
            await host.freeze()
            assert await host.hear("shut") >= 1
            # Whatever was on its way is here: the host was still for longer than that takes.
            before, heard = len(worker.heard), await host.ask("heard", "heard")
            while await host.ask("heard", "heard") < heard + 25:
                assert len(worker.heard) == before, "it hears half a second, and says nothing"
            assert worker.reason is None, "nor goodbye"
            assert await host.ask("open", "opened")
            await eventually(lambda: len(worker.heard) > before + 10, WAIT_S, "audio after")
            sequences = [record.sequence for record in worker.heard]
            assert sequences == sorted(set(sequences))
            gap = sequences[before] - sequences[before - 1]
            assert gap * page.TICK >= 2, "nothing of what it would have said is made good"


async def test_a_frozen_host_takes_no_link_until_it_may(tmp_path: Path) -> None:
    async with fenced_host(tmp_path) as host:
        mp_uri = await host.hear("mp_uri")
        tls = client_context(host.ca_file)
        await host.freeze()
        await host.hear("shut")
        with pytest.raises(ConnectionClosed, match="1013"):
            await page.dial(mp_uri, tls, SECRET, SESSION)
        assert "put off" in await host.hear("refused")
        assert await host.ask("open", "opened")
        worker = page.Worker(await page.dial(mp_uri, tls, SECRET, SESSION))
        async with running(worker):
            await eventually(lambda: worker.heard, WAIT_S, "audio")
