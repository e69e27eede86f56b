"""Acceptance check 8: a peer is killed with -9; its session ends in time and leaves nothing."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from mixminus.control.devfile import DevFile
from mixminus.control.host import Bot, BotHost, HostedCall
from mixminus.control.host.call import HANG_UP_GRACE_S, LINK_LOSS_GRACE_S
from mixminus.control.service.callers import Callers
from mixminus.control.service.service import CallService
from mixminus.control.service.settings import ServiceSettings
from mixminus.control.settings import HostSettings
from mixminus.control.tls import LocalAuthority
from mixminus.media.platform import MediaPlatform
from mixminus.media.session import MediaSession
from mixminus.media.transports import link_host
from mixminus.media.transports.stream import transport as stream_transport
from tests.interop.test_streams import running
from tests.linkserver import link_server
from tests.support import ROOT, eventually, open_sockets

pytestmark = pytest.mark.alone

LINK_S, ACS_S, CALLER_S = 15.0, 10.0, 10.0
"""The stated times: how long a far end whose socket broke has to come back."""
MARGIN_S = 5.0
"""For the machine the test runs on."""
START_S = 60.0


@asynccontextmanager
async def peer(kind: str, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process of its own; gone at the end, whatever happened."""
    command = (sys.executable, "-m", "tests.acceptance.peer", kind, *arguments)
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def kill(process: asyncio.subprocess.Process) -> float:
    """Kill it with -9; return when that was."""
    assert process.returncode is None, "it ended by itself"
    at_s = time.monotonic()
    process.kill()
    assert await process.wait() == -signal.SIGKILL
    return at_s


@dataclass
class Standing:
    """What runs in this process, to be compared with what ran before a peer came."""

    tasks: set[asyncio.Task[object]]
    threads: set[str]
    sockets: int

    @classmethod
    def now(cls) -> Standing:
        """Threads are the kernel's: those that C started count as well."""
        return cls(asyncio.all_tasks(), set(os.listdir("/proc/self/task")), open_sockets())


async def nothing_is_left_of(before: Standing) -> None:
    def is_so() -> bool:
        now = Standing.now()
        tasks, threads = now.tasks - before.tasks, now.threads - before.threads
        return len(tasks) == 0 and len(threads) == 0 and now.sockets == before.sockets

    try:
        await eventually(is_so, 10.0)
    except AssertionError:
        now = Standing.now()
        raise AssertionError(
            f"left: tasks {now.tasks - before.tasks}, threads {now.threads - before.threads}, "
            f"sockets {now.sockets - before.sockets}"
        ) from None


@pytest.mark.slow
@pytest.mark.parametrize("stated_s", [1.0, pytest.param(LINK_S, marks=pytest.mark.slow)])
async def test_08_a_killed_call_service_ends_the_session_of_its_link(
    stated_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Acceptance check 8, the media link: 15 s. The short one shortens it, all else is the same."""
    if stated_s == LINK_S:
        assert link_host.RESUME_NS == LINK_S * 1e9
    monkeypatch.setattr(link_host, "RESUME_NS", int(stated_s * 1e9))
    async with MediaPlatform() as platform, link_server(platform) as server:
        before = Standing.now()
        session = MediaSession(platform, mp_uri=server.mp_uri)
        grant = session.grant()
        assert grant is not None
        server.grants[session.session_id] = grant
        far = (server.mp_uri, session.session_id, grant.secret.hex())
        async with peer("link", *far) as process:
            await eventually(lambda: server.admitted, START_S)
            (transport,) = server.admitted
            session.attach(transport)
            reading = asyncio.create_task(_read_all(session))
            await eventually(lambda: transport.counters()["frames_in"] > 25)
            killed_s = await kill(process)
            reason = await asyncio.wait_for(session.transport_lost, stated_s + MARGIN_S)
            assert time.monotonic() - killed_s <= stated_s + MARGIN_S
            assert reason
            await session.close()
            assert await reading > 0
        await nothing_is_left_of(before)


async def _read_all(session: MediaSession) -> int:
    """A bot that reads until the call is over; returns how many frames it got."""
    count = 0
    async for frame in session.audio:
        count += 1
        session.audio.send_nowait(np.asarray(frame))
    return count


@pytest.mark.slow
async def test_08_a_killed_call_service_ends_the_calls_of_a_whole_bot_host(tmp_path: Path) -> None:
    """Acceptance check 8: 15 s for the link to come back, 5 s for news, 5 s for the hang-up."""
    bot = Bot("Bot")
    heard: list[int] = []

    @bot.on_call
    async def echo(call: HostedCall) -> None:
        async for frame in call.audio:
            heard.append(len(frame))
            call.audio.send_nowait(frame)

    command = ("-m", "mixminus.control", "service", "--state", str(tmp_path), "--quiet")
    process = await asyncio.create_subprocess_exec(sys.executable, *command, cwd=ROOT)
    try:
        await eventually((tmp_path / "dev.json").exists, START_S)
        dev = DevFile.load(tmp_path)
        meeting = next(row for row in dev.meetings if row.passcode is None)
        settings = HostSettings.from_dev_file(dev, state_dir=tmp_path / "bot")
        before = Standing.now()
        async with BotHost(bot, settings) as host:
            standing = Standing.now()
            call = await host.calls.join(join_meeting_id=meeting.join_meeting_id)
            await call.wait_media(20.0)
            await eventually(lambda: len(heard) > 25)
            killed_s = await kill(process)
            stated_s = LINK_S + LINK_LOSS_GRACE_S + HANG_UP_GRACE_S
            assert stated_s == 25.0
            await asyncio.wait_for(call.wait_closed(), stated_s + MARGIN_S)
            assert time.monotonic() - killed_s <= stated_s + MARGIN_S
            assert list(host.calls) == []
            await eventually(lambda: not (asyncio.all_tasks() - standing.tasks))
        # The loop's own pool, in which names are looked up, is nobody's session.
        await asyncio.get_running_loop().shutdown_default_executor()
        await nothing_is_left_of(before)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.mark.slow
async def test_08_a_killed_acs_stream_ends_its_call(tmp_path: Path) -> None:
    """Acceptance check 8, an ACS stream to a whole bot host: 10 s."""
    assert stream_transport.RESUME_S == ACS_S
    async with running(tmp_path) as world:
        ca_file = LocalAuthority(tmp_path).ca_file
        before = Standing.now()
        far = (world.url("acs"), str(tmp_path / "simulate"), str(ca_file))
        async with peer("acs", *far) as process:
            await eventually(lambda: world.calls, START_S)
            (call,) = world.calls
            await eventually(lambda: call.audio.position_frames > 25)
            killed_s = await kill(process)
            await asyncio.wait_for(call.wait_closed(), ACS_S + MARGIN_S)
            assert time.monotonic() - killed_s <= ACS_S + MARGIN_S
            assert call.state == "terminated"
            assert world.media == [False]
        assert len(world.host.streams) == 0
        await nothing_is_left_of(before)


@pytest.mark.slow
async def test_08_a_killed_webrtc_caller_leaves_the_meeting(tmp_path: Path) -> None:
    """Acceptance check 8, a person with WebRTC media and signalling: 10 s."""
    settings = ServiceSettings(state_dir=tmp_path, drain_s=0.0)
    assert settings.caller_grace_s == CALLER_S
    async with AsyncExitStack() as exits:
        platform = await exits.enter_async_context(MediaPlatform())
        service = await exits.enter_async_context(CallService(settings, platform=platform))
        meeting = service.dev_file.meetings[0]
        before = Standing.now()
        far = (str(tmp_path), meeting.join_meeting_id, meeting.passcode or "")
        async with peer("webrtc", *far) as process:
            await eventually(lambda: has_audio(service), START_S)
            killed_s = await kill(process)
            await eventually(lambda: not callers(service)._parties, CALLER_S + MARGIN_S)
            assert time.monotonic() - killed_s <= CALLER_S + MARGIN_S
        await nothing_is_left_of(before)
        media = service.book._services.edges.health()["media"]
        assert media["legs"] == media["routes"] == 0


def callers(service: CallService) -> Callers:
    found = service.book._services.callers
    assert isinstance(found, Callers)
    return found


def has_audio(service: CallService) -> bool:
    """Whether the only caller of the service is heard."""
    parties = callers(service)._parties.values()
    return any(party.counters().get("frames_in", 0) > 25 for party in parties)
