"""RTC signalling with a real WebSocket client: who may register, and what ends a socket."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from websockets.asyncio.client import connect

from mixminus.control.tls import client_context
from tests.service_kit import phone_of, running_service, unregistered_phone


@pytest.mark.parametrize(
    ("sent", "code", "close_code"),
    [
        ('{"type": "register", "token": "guess"}', "badToken", 4401),
        ('{"type": "register"}', "badMessage", 4400),
        ('{"type": "register", "token": 7}', "badMessage", 4400),
        ('{"type": "answer", "callId": "x", "sdp": "y"}', "notRegistered", 4400),
        ('{"type": "\\ud800"}', "notRegistered", 4400),
        ('{"type": "register", "token": "\\ud800"}', "badToken", 4401),
        ("register", "badMessage", 4400),
        ("[]", "badMessage", 4400),
        ("[" * 50_000, "badMessage", 4400),
        (b"\x00", "badMessage", 4400),
    ],
)
async def test_socket_that_does_not_register_is_closed(
    tmp_path: Path, sent: str | bytes, code: str, close_code: int
) -> None:
    async with (
        running_service(tmp_path) as service,
        unregistered_phone(service.dev_file) as phone,
    ):
        await phone.socket.send(sent)
        assert (await phone.expect("error"))["code"] == code
        assert await phone.close_code() == close_code


async def test_silent_socket_is_closed_in_time(tmp_path: Path) -> None:
    async with (
        running_service(tmp_path, register_s=0.05) as service,
        unregistered_phone(service.dev_file) as phone,
    ):
        assert (await phone.expect("error"))["code"] == "notRegistered"
        assert await phone.close_code() == 4408


async def test_message_over_the_cap_ends_the_socket(tmp_path: Path) -> None:
    async with running_service(tmp_path) as service, phone_of(service.dev_file) as phone:
        await phone.socket.send("x" * (128 * 1024 + 1))
        assert await phone.close_code() == 1009


@pytest.mark.parametrize(
    "message",
    [
        {"type": "sing", "callId": "x"},
        {"type": "register", "token": "x"},
        {"type": "answer", "sdp": "x"},
        {"type": "answer", "callId": "x"},
        {"type": "answer", "callId": {}, "sdp": "x"},
    ],
)
async def test_message_that_is_not_known_ends_the_socket(
    tmp_path: Path, message: dict[str, object]
) -> None:
    async with running_service(tmp_path) as service, phone_of(service.dev_file) as phone:
        await phone.send(**message)
        assert (await phone.expect("error"))["code"] == "badMessage"
        assert await phone.close_code() == 4400


@pytest.mark.parametrize("kind", ["answer", "decline", "hangup", "reoffer"])
async def test_unknown_call_is_an_error_that_the_socket_survives(tmp_path: Path, kind: str) -> None:
    async with running_service(tmp_path) as service, phone_of(service.dev_file) as phone:
        for _ in range(2):
            await phone.send(type=kind, callId="unknown", sdp="x")
            error = await phone.expect("error")
            assert (error["code"], error["callId"]) == ("unknownCall", "unknown")
        await phone.send(type="answer", callId="unknown", sdp="x" * 65_537)
        assert (await phone.expect("error"))["code"] == "badSdp"


async def test_token_opens_its_own_users_line_alone(tmp_path: Path) -> None:
    async with running_service(tmp_path) as service:
        dev = service.dev_file
        assert len({user.token for user in dev.users}) == len(dev.users) >= 3
        for user in dev.users:
            async with unregistered_phone(dev) as phone:
                await phone.send(type="register", token=user.token)
                shown = await phone.expect("registered")
                assert shown["user"] == {"id": user.id, "displayName": user.display_name}


async def test_stopping_the_service_closes_its_sockets(tmp_path: Path) -> None:
    async with running_service(tmp_path) as service:
        context = client_context(service.dev_file.ca_file)
        socket = await connect(service.dev_file.rtc_url, ssl=context, proxy=None)
        token = service.dev_file.users[0].token
        await socket.send(json.dumps({"type": "register", "token": token}))
        await socket.recv()
    await socket.wait_closed()
    assert socket.close_code == 1012
