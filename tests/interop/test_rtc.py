"""RTC signalling with a real WebSocket client: who may register, and what ends a socket."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError

from mixminus.control.service.rtc_messages import BURST_MESSAGES
from mixminus.control.service.service import CallService
from mixminus.control.tls import client_context
from tests.service_kit import (
    BAD_SDP,
    GOOD_SDP,
    phone_of,
    running_service,
    unregistered_phone,
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[CallService]:
    """One service for all that it turns away."""
    async with running_service(tmp_path_factory.mktemp("rtc")) as service:
        yield service


@pytest.mark.asyncio(loop_scope="module")
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
    service: CallService, sent: str | bytes, code: str, close_code: int
) -> None:
    async with unregistered_phone(service.dev_file) as phone:
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


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    "message",
    [
        {"type": "sing", "callId": "x"},
        {"type": "register", "token": "x"},
        {"type": "answer", "sdp": "x"},
        {"type": "answer", "callId": "x"},
        {"type": "answer", "callId": {}, "sdp": "x"},
        {"type": "call", "sdp": "x"},
        {"type": "join", "sdp": "x"},
        {"type": "tone", "callId": "x"},
        {"type": "share", "callId": "x", "action": "dance"},
    ],
)
async def test_message_that_is_not_known_ends_the_socket(
    service: CallService, message: dict[str, object]
) -> None:
    async with phone_of(service.dev_file) as phone:
        await phone.send(**message)
        assert (await phone.expect("error"))["code"] == "badMessage"
        assert await phone.close_code() == 4400


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    "kind",
    [
        *("answer", "decline", "hangup", "reoffer", "mute", "unmute", "hold", "resume"),
        *("tone", "share"),
    ],
)
async def test_unknown_call_is_an_error_that_the_socket_survives(
    service: CallService, kind: str
) -> None:
    async with phone_of(service.dev_file) as phone:
        for _ in range(2):
            await phone.send(type=kind, callId="unknown", sdp="x", tone="1", action="start")
            error = await phone.expect("error")
            assert (error["code"], error["callId"]) == ("unknownCall", "unknown")
            assert error["of"] == kind
        await phone.send(type="answer", callId="unknown", sdp="x" * 65_537)
        assert (await phone.expect("error"))["code"] == "badSdp"


async def test_what_cannot_be_called_or_joined_is_an_error_or_an_end(tmp_path: Path) -> None:
    async with running_service(tmp_path) as service, phone_of(service.dev_file) as phone:
        await phone.send(type="join", joinMeetingId="1", sdp=GOOD_SDP)
        error = await phone.expect("error")
        assert (error["of"], error["code"]) == ("join", "unknownMeeting")
        assert "callId" not in error
        meeting = service.dev_file.meetings[0]
        await phone.send(type="join", joinUrl=meeting.join_url, sdp=BAD_SDP)
        assert (await phone.expect("error"))["code"] == "badSdp"
        await phone.send(type="call", appId="nothing", sdp=GOOD_SDP)
        call_id = (await phone.expect("calling"))["callId"]
        assert (await phone.expect("ended"))["callId"] == call_id
        await phone.send(type="tone", callId=call_id, tone="x")
        assert (await phone.expect("error"))["code"] == "badTone"


async def test_device_does_all_that_a_call_allows(tmp_path: Path) -> None:
    async with running_service(tmp_path) as service, phone_of(service.dev_file) as phone:
        meeting = service.dev_file.meetings[0]
        await phone.send(
            type="join",
            joinMeetingId=meeting.join_meeting_id,
            passcode=meeting.passcode,
            sdp=GOOD_SDP,
        )
        joined = await phone.expect("joined")
        call = joined["callId"]
        assert (joined["participantId"], joined["inLobby"]) == (call, False)
        assert (await phone.expect("answered"))["callId"] == call
        for kind, told in (
            ("mute", {"type": "muted", "muted": True, "by": "self"}),
            ("unmute", {"type": "muted", "muted": False, "by": "self"}),
            ("hold", {"type": "held", "held": True, "by": "self"}),
            ("resume", {"type": "held", "held": False, "by": "self"}),
        ):
            await phone.send(type=kind, callId=call)
            assert await phone.expect(str(told["type"])) == told | {"callId": call}
        for action in ("start", "update", "stop"):
            await phone.send(type="share", callId=call, action=action)
            sharing = await phone.expect("sharing")
            assert sharing == {"type": "sharing", "callId": call, "action": action}
        for action in ("update", "stop"):
            await phone.send(type="share", callId=call, action=action)
            assert (await phone.expect("error"))["code"] == "notSharing"
        await phone.send(type="tone", callId=call, tone="1")
        await phone.send(type="join", threadId=meeting.thread_id, sdp=GOOD_SDP)
        assert (await phone.expect("error"))["code"] == "alreadyIn"
        await phone.send(type="reoffer", callId=call, sdp=GOOD_SDP)
        assert (await phone.expect("reanswered"))["sdp"] == f"answer to {GOOD_SDP}"
        await phone.send(type="hangup", callId=call)
        ended = await phone.expect("ended")
        assert (ended["callId"], ended["code"]) == (call, 200)


async def test_flood_of_messages_ends_the_socket(tmp_path: Path) -> None:
    async with running_service(tmp_path) as service, phone_of(service.dev_file) as phone:
        for _ in range(3 * BURST_MESSAGES):
            await phone.send(type="join", joinMeetingId="1", sdp="x")
        codes: list[str] = []
        with contextlib.suppress(ConnectionClosedError):
            async for text in phone.socket:
                codes.append(json.loads(text)["code"])
        assert codes[:-1] == ["unknownMeeting"] * (len(codes) - 1)
        assert codes[-1] == "tooFast"
        assert len(codes) > BURST_MESSAGES
        assert await phone.close_code() == 4429


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


async def test_stopping_the_service_tells_those_in_a_meeting_first(tmp_path: Path) -> None:
    async with contextlib.AsyncExitStack() as exits:
        service = await exits.enter_async_context(running_service(tmp_path))
        async with phone_of(service.dev_file) as phone:
            meeting = service.dev_file.meetings[0]
            await phone.send(type="join", threadId=meeting.thread_id, sdp=GOOD_SDP)
            await phone.expect("joined")
            await phone.expect("answered")
            await exits.aclose()
            await phone.expect("ended")
            assert await phone.close_code() == 1012
