"""Our HTTPS server inside the running loop, and the service command around it."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest

from mixminus.control.cli import run
from mixminus.control.devfile import DevFile
from mixminus.control.service.service import CallService
from mixminus.control.service.settings import ServiceSettings
from mixminus.control.serving import (
    HttpsServer,
    PortInUseError,
    Receive,
    Scope,
    Send,
    listening_socket,
)
from mixminus.control.state_dir import StateDirInUseError
from mixminus.control.tls import LOCAL_HOSTS, LocalAuthority, client_context
from tests.support import eventually


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


async def test_stop_leaves_no_task_and_frees_the_port(tmp_path: Path) -> None:
    before = asyncio.all_tasks()
    authority = LocalAuthority(tmp_path)
    server = HttpsServer(hello, certificate=authority.issue(*LOCAL_HOSTS))
    port = await server.start()
    context = client_context(authority.ca_file)
    async with httpx2.AsyncClient(verify=context, trust_env=False) as http:
        for host in ("localhost", "127.0.0.1"):
            assert (await http.get(f"https://{host}:{port}/")).content == b"hello"
        # The client's idle connections do not hold the stop up.
        await server.stop()
        await server.stop()
        with pytest.raises(httpx2.ConnectError):
            await http.get(f"https://127.0.0.1:{port}/")
    listening_socket("127.0.0.1", port).close()
    await eventually(lambda: asyncio.all_tasks() == before)


async def test_a_reply_never_waits_for_an_acknowledgement(tmp_path: Path) -> None:
    """Head and body of a reply are two writes: with Nagle's algorithm the second waits 40 ms."""
    nodelay: list[int] = []

    class Watched(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            sock = transport.get_extra_info("socket")
            nodelay.append(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            transport.close()

    loop = asyncio.get_running_loop()
    server = await loop.create_server(Watched, sock=listening_socket("127.0.0.1", 0))
    port = server.sockets[0].getsockname()[1]
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    await eventually(lambda: nodelay)
    assert all(nodelay)
    writer.close()
    await writer.wait_closed()
    server.close()
    await server.wait_closed()


async def test_request_under_way_is_finished_at_the_stop(tmp_path: Path) -> None:
    entered, go = asyncio.Event(), asyncio.Event()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        entered.set()
        await go.wait()
        await hello(scope, receive, send)

    authority = LocalAuthority(tmp_path)
    server = HttpsServer(slow, certificate=authority.issue(*LOCAL_HOSTS))
    port = await server.start()
    context = client_context(authority.ca_file)
    async with httpx2.AsyncClient(verify=context, trust_env=False) as http:
        request = asyncio.create_task(http.get(f"https://localhost:{port}/"))
        await entered.wait()
        stop = asyncio.create_task(server.stop())
        go.set()
        assert (await request).content == b"hello"
        await stop


async def test_port_in_use_is_one_clear_error(tmp_path: Path) -> None:
    certificate = LocalAuthority(tmp_path).issue(*LOCAL_HOSTS)
    with listening_socket("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        server = HttpsServer(hello, certificate=certificate, port=port)
        with pytest.raises(PortInUseError, match=f"port {port} on 127.0.0.1 is in use"):
            await server.start()
        await server.stop()


def test_service_command_says_that_its_port_is_in_use(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with listening_socket("127.0.0.1", 0) as taken:
        port = str(taken.getsockname()[1])
        assert run(["service", "--state", str(tmp_path), "--port", port, "--quiet"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"mixminus: port {port} on 127.0.0.1 is in use"
    assert not (tmp_path / "dev.json").exists()


def test_service_command_refuses_an_address_that_is_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["service", "--state", str(tmp_path), "--bind", "nowhere"]) == 2
    assert "expected an address" in capsys.readouterr().err


async def test_state_directory_serves_one_service_at_a_time(tmp_path: Path) -> None:
    settings = ServiceSettings(state_dir=tmp_path)
    async with CallService(settings):
        with pytest.raises(StateDirInUseError):
            async with CallService(settings):
                raise AssertionError("a second service started")
    async with CallService(settings):
        pass


@pytest.mark.slow
async def test_service_command_runs_until_it_is_told_to_stop(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "mixminus.control", "service", "--state", str(tmp_path), "--quiet"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        await eventually((tmp_path / "dev.json").exists, 20.0)
        dev = DevFile.load(tmp_path)
        async with httpx2.AsyncClient(verify=client_context(dev.ca_file), trust_env=False) as http:
            health = (await http.get(f"{dev.graph_base_url}/healthz")).json()
        assert health["status"] == "ok"
    finally:
        process.send_signal(signal.SIGTERM)
        out, errors = await process.communicate()
    assert (process.returncode, out, errors) == (0, b"", b"")
    port = urlsplit(dev.rtc_url).port
    assert port is not None
    listening_socket("127.0.0.1", port).close()
