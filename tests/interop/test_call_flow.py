"""A call from the bot to a caller and back: service and host over real sockets, real WebRTC."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from mixminus.control.client.requests import GraphRequestError
from mixminus.control.host import Bot, BotHost, HostedCall
from mixminus.control.host.hostfile import HostFile
from mixminus.control.service.service import CallService
from mixminus.control.service.settings import ServiceSettings
from mixminus.control.settings import HostSettings
from mixminus.control.state_dir import StateDirInUseError
from mixminus.control.tls import LocalAuthority, client_context
from mixminus.media.descriptor import MediaSessionDescriptor
from mixminus.media.pcm import Pcm, level_dbov
from mixminus.media.platform import MediaPlatform
from tests.interop.caller import SILENCE, TONE, TestCaller
from tests.support import eventually

pytestmark = pytest.mark.alone

NOBODY = "00000000-0000-0000-0000-000000000000"


class World:
    """A service, a host with a bot, and John."""

    def __init__(self, platform: MediaPlatform, bot: Bot, state_dir: Path) -> None:
        self.platform = platform
        self.bot = bot
        self.state_dir = state_dir
        self.service: CallService
        self.host: BotHost
        self.john: TestCaller

    async def call_john(self) -> HostedCall:
        call = await self.host.calls.create(user="John")
        await eventually(lambda: call.is_over or call.state.value == "established", 15.0)
        return call

    async def admin(
        self, method: str, path: str = "", body: Any = None, token: str | None = None
    ) -> httpx2.Response:
        host = HostFile.load(self.state_dir)
        async with httpx2.AsyncClient(
            verify=client_context(host.ca_file), trust_env=False, timeout=20.0
        ) as http:
            return await http.request(
                method,
                f"{host.url}/mixminus/v1/calls{path}",
                json=body,
                headers={"Authorization": f"Bearer {token or host.token}"},
            )


def sockets_and_threads() -> tuple[int, int]:
    """How many sockets this process has, and how many threads of the engine."""
    links = [os.readlink(fd) for fd in Path("/proc/self/fd").iterdir() if fd.is_symlink()]
    names = [comm.read_text().strip() for comm in Path("/proc/self/task").glob("*/comm")]
    sockets = sum(link.startswith("socket:") for link in links)
    return sockets, sum(name.startswith("mixminus") for name in names)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    tasks_before = asyncio.all_tasks()
    counts_before = sockets_and_threads()
    async with AsyncExitStack() as stack:
        platform = await stack.enter_async_context(MediaPlatform())
        world = World(platform, Bot("test bot"), tmp_path)
        settings = ServiceSettings(state_dir=tmp_path)
        world.service = await stack.enter_async_context(CallService(settings, platform=platform))
        dev = world.service.dev_file
        world.host = await stack.enter_async_context(
            BotHost(
                world.bot, HostSettings.from_dev_file(dev, state_dir=tmp_path), platform=platform
            )
        )
        world.john = await stack.enter_async_context(TestCaller(dev, "John", platform))
        await eventually(lambda: world.john.event("registered"))
        yield world
    me = asyncio.current_task()

    def left() -> set[asyncio.Task[Any]]:
        return asyncio.all_tasks() - tasks_before - {me}

    try:
        await eventually(lambda: not left())
    except AssertionError:
        raise AssertionError(f"expected no task to be left, got {left()}") from None
    await eventually(
        lambda: sockets_and_threads() <= counts_before, what="no socket or thread to be left"
    )


def is_loud(frame: Pcm) -> bool:
    return level_dbov(frame) > -30.0


@pytest.fixture
def echo(world: World) -> list[Pcm]:
    """An echo bot; the list is what it hears."""
    heard: list[Pcm] = []

    @world.bot.on_call
    async def echo(call: HostedCall) -> None:
        async for frame in call.audio:
            heard.append(frame)
            await call.audio.send((frame * -0.5).astype(np.int16))

    return heard


async def over(world: World, call: HostedCall) -> dict[str, Any]:
    """Wait for both ends of a call to be over; return the host's report."""
    async with asyncio.timeout(10):
        await call.wait_closed()
    await eventually(lambda: world.service.book.living == 0, 10.0)
    answer = await world.admin("GET", f"/{call.id}")
    report: dict[str, Any] = answer.json()
    return report


async def test_an_echo_comes_back_and_the_caller_hangs_up(world: World, echo: list[Pcm]) -> None:
    world.john.say = TONE
    call = await world.call_john()
    await eventually(lambda: world.john.hears(is_loud), 15.0, "John to hear himself")
    level_db = level_dbov(np.concatenate(world.john.heard[-5:]))
    assert level_db == pytest.approx(level_dbov(TONE) - 6.0, abs=1.0)
    await world.john.hang_up()
    report = await over(world, call)
    states = [entry["state"] for entry in report["states"]]
    assert states == ["establishing", "established", "terminating", "terminated"]
    assert (report["resultInfo"]["code"], report["resultInfo"]["subcode"]) == (200, 4521)
    assert report["error"] is None
    assert report["notifications"]["received"] >= 4
    assert report["notifications"]["refused"] == 0
    assert report["audio"]["sent"] > 5
    assert report["transport"]["frames_in"] > 5
    assert report["engine"]["ticks"] > 0
    assert report["latenessUs"]
    for leg in report["legs"].values():
        kinds = ("voice", "silence", "concealed", "skipped")
        assert leg["ticks"] == sum(leg[kind] for kind in kinds)


async def test_the_bot_hangs_up(world: World, echo: list[Pcm]) -> None:
    call = await world.call_john()
    await call.hang_up()
    report = await over(world, call)
    assert (report["resultInfo"]["code"], report["resultInfo"]["subcode"]) == (200, 7000)
    await eventually(lambda: world.john.event("ended"))
    assert len(world.host.calls) == 0


async def test_the_bot_never_hears_itself(world: World) -> None:
    heard: list[Pcm] = []

    @world.bot.on_call
    async def talk(call: HostedCall) -> None:
        async for frame in call.audio:
            heard.append(frame)
            await call.audio.send(TONE)

    world.john.say = SILENCE
    call = await world.call_john()
    await eventually(lambda: world.john.hears(is_loud, 25), 15.0, "John to hear the bot")
    assert level_dbov(np.concatenate(heard)) <= -60.0
    await world.john.hang_up()
    await over(world, call)


async def test_a_bots_exception_ends_its_call_and_the_next_one_works(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[str] = []

    @world.bot.on_call
    async def fail_once(call: HostedCall) -> None:
        calls.append(call.id)
        async for frame in call.audio:
            if len(calls) == 1:
                raise ZeroDivisionError("the bot's own bug")
            await call.audio.send(frame)

    world.john.say = TONE
    call = await world.host.calls.create(user="John")
    report = await over(world, call)
    assert report["error"] == "ZeroDivisionError: the bot's own bug"
    assert "Traceback" in caplog.text
    await eventually(lambda: world.john.event("ended"))
    world.john.heard.clear()
    again = await world.call_john()
    await eventually(lambda: world.john.hears(is_loud), 15.0, "the second call's echo")
    await again.hang_up()
    assert (await over(world, again))["error"] is None


async def test_a_wrong_secret_gets_no_media(
    world: World, echo: list[Pcm], monkeypatch: pytest.MonkeyPatch
) -> None:
    written = MediaSessionDescriptor.to_blob

    def spoiled(self: MediaSessionDescriptor) -> str:
        blob = json.loads(written(self))
        blob["mixminus"]["secret"] = "A" * 43
        return json.dumps(blob)

    monkeypatch.setattr(MediaSessionDescriptor, "to_blob", spoiled)
    call = await world.host.calls.create(user="John")
    report = await over(world, call)
    assert report["resultInfo"]["code"] == 500
    assert "refused" in report["resultInfo"]["message"]
    assert world.host.links_refused == 1
    assert world.john.event("ring") is None
    assert echo == []


async def test_no_secret_reaches_a_log(
    world: World, echo: list[Pcm], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    caplog.set_level(logging.DEBUG, "mixminus")
    call = await world.call_john()
    assert call.session is not None
    session = json.loads(call.session.media_configuration())
    await call.hang_up()
    await over(world, call)
    dev = world.service.dev_file
    secrets = [session["mixminus"]["secret"], dev.client_secret, world.host.admin_token]
    secrets += [user.token for user in dev.users]
    for canary in (*secrets, "Bearer", "eyJ", "ice-pwd", "a=fingerprint"):
        assert canary not in caplog.text
    assert call.id in caplog.text, "what is no secret is there"


async def test_ending_the_host_ends_its_calls(world: World, echo: list[Pcm]) -> None:
    call = await world.call_john()
    await world.host.__aexit__(None, None, None)
    assert call.is_over
    await eventually(lambda: world.john.event("ended"))
    await eventually(lambda: world.service.book.living == 0)
    assert not (world.state_dir / "host.json").exists()


async def test_an_unknown_user_is_graphs_404(world: World) -> None:
    with pytest.raises(GraphRequestError) as caught:
        await world.host.calls.create(user=NOBODY)
    assert caught.value.status == 404
    assert NOBODY in caught.value.message
    assert len(world.host.calls) == 0


async def test_the_admin_api_makes_shows_and_ends_calls(world: World, echo: list[Pcm]) -> None:
    created = await world.admin("POST", body={"user": "john"})
    assert created.status_code == 201
    call_id = created.json()["callId"]
    call = world.host.calls.get(call_id)
    assert call is not None
    await eventually(lambda: call.state.value == "established", 15.0)
    listed = (await world.admin("GET")).json()["value"]
    assert [entry["callId"] for entry in listed] == [call_id]
    assert (await world.admin("DELETE", f"/{call_id}")).status_code == 204
    ended = (await world.admin("GET", f"/{call_id}")).json()
    assert ended["state"] == "terminated"
    assert (await world.admin("DELETE", f"/{call_id}")).status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "says"),
    [
        ("POST", "", {"user": "Nobody"}, 404, "no user 'Nobody'"),
        ("POST", "", {"user": NOBODY}, 404, NOBODY),
        ("POST", "", {"user": 7}, 400, "user: Input should be a valid string"),
        ("POST", "", ["John"], 400, "should be an object"),
        ("POST", "", {}, 400, "expected one of user, users, phone, meeting, joinUrl"),
        ("POST", "", {"user": "John", "passcode": "x"}, 400, "a passcode only with"),
        ("POST", "", {"phone": "1425"}, 400, "expected a number like +14255550123"),
        ("POST", "", {"joinUrl": "https://x/y"}, 400, "expected https://teams.microsoft.com"),
        ("GET", f"/{NOBODY}", None, 404, "Call not found."),
        ("PUT", "", None, 405, "no PUT"),
    ],
)
async def test_the_admin_api_says_what_was_wrong(
    world: World, method: str, path: str, body: Any, status: int, says: str
) -> None:
    answer = await world.admin(method, path, body)
    assert answer.status_code == status
    assert says in answer.json()["error"]["message"]


async def test_the_admin_api_wants_its_token(world: World) -> None:
    for method, path in (("POST", ""), ("GET", ""), ("GET", "/x"), ("DELETE", "/x")):
        answer = await world.admin(method, path, token="x")
        assert answer.status_code == 401
        assert answer.json()["error"]["code"] == "unauthenticated"
    mode = (world.state_dir / "host.json").stat().st_mode & 0o777
    assert mode == 0o600


async def test_a_host_with_a_certificate_of_its_own_is_found(world: World, tmp_path: Path) -> None:
    dev = world.service.dev_file
    certificate = LocalAuthority(world.state_dir).issue("localhost", directory=tmp_path / "certs")
    settings = HostSettings.from_dev_file(
        dev,
        state_dir=tmp_path / "other",
        cert_file=certificate.cert_file,
        key_file=certificate.key_file,
    )
    async with BotHost(Bot(), settings, platform=world.platform) as host:
        found = HostFile.load(settings.state_dir)
        assert (found.url, found.ca_file) == (host.url, dev.ca_file)
        async with httpx2.AsyncClient(
            verify=client_context(found.ca_file), trust_env=False
        ) as http:
            assert (await http.get(f"{found.url}/healthz")).json()["role"] == "bot host"


async def test_one_state_directory_is_one_hosts(world: World, tmp_path: Path) -> None:
    dev = world.service.dev_file
    first, second = (
        HostSettings.from_dev_file(dev, state_dir=tmp_path / "other", instance=name)
        for name in ("one", "two")
    )
    async with BotHost(Bot(), first, platform=world.platform) as host:
        with pytest.raises(StateDirInUseError, match="give this one a state_dir of its own"):
            async with BotHost(Bot(), second, platform=world.platform):
                raise AssertionError("a second host started")
        assert HostFile.load(first.state_dir).url == host.url
    async with BotHost(Bot(), second, platform=world.platform):
        pass


async def test_a_post_with_a_bad_token_is_refused(world: World) -> None:
    context = client_context(world.service.dev_file.ca_file)
    body: dict[str, Any] = {"value": []}
    async with httpx2.AsyncClient(verify=context, trust_env=False) as http:
        for headers in ({}, {"Authorization": "Bearer a.b.c"}):
            answer = await http.post(f"{world.host.url}/api/calls", json=body, headers=headers)
            assert answer.status_code == 401
            assert answer.json()["error"]["code"] == "InvalidAuthenticationToken"
        health = (await http.get(f"{world.host.url}/healthz")).json()
        missing = await http.get(f"{world.host.url}/nothing")
    assert world.host.webhook_counters.refused == 2
    assert health["status"] == "ok"
    assert missing.status_code == 404
    assert missing.json()["error"]["code"] == "itemNotFound"


@pytest.fixture
def context(world: World) -> ssl.SSLContext:
    return client_context(world.service.dev_file.ca_file)


async def test_a_link_that_proves_nothing_is_refused(world: World, context: ssl.SSLContext) -> None:
    uri = world.host.url.replace("https", "wss") + "/media"
    hello = {"type": "hello", "version": 1, "session": NOBODY, "epoch": 1, "proof": "0" * 64}
    async with connect(uri, ssl=context, proxy=None) as socket:
        assert json.loads(await socket.recv())["type"] == "challenge"
        await socket.send(json.dumps(hello))
        with pytest.raises(ConnectionClosed) as caught:
            await socket.recv()
    assert caught.value.rcvd is not None
    assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (4401, "refused")
    assert world.host.links_refused == 1


async def test_a_web_page_gets_no_media_link(world: World, context: ssl.SSLContext) -> None:
    uri = world.host.url.replace("https", "wss") + "/media"
    with pytest.raises(InvalidStatus, match="403"):
        async with connect(uri, ssl=context, proxy=None, origin="https://evil.example"):  # type: ignore[arg-type]
            pass
