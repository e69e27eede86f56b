"""RTC signalling: a caller's device registers, rings and is rung, exchanges SDP.

docs/rtc-signalling.md is the definition; rtc_messages.py reads what devices say.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
from collections.abc import Mapping
from typing import Any, Final, Protocol, assert_never

from fastapi import WebSocket, WebSocketDisconnect

from ..operation.call_context import Concern, concerning
from . import rtc_messages as rtc
from .directory import Directory
from .rtc_messages import ProtocolError, RtcError
from .switchboard import Device, Switchboard

log = logging.getLogger("mixminus.control.rtc")

USER_AGENT_CHARS: Final = 256
WAITING_MESSAGES: Final = 64
"""A device that leaves more than this unread is dropped."""

TOKEN_CHARS: Final = 4096

_numbers = itertools.count(1)


class Callers(Protocol):
    """What devices can have done. All raise RtcError."""

    async def answer(self, device: Device, call_id: str, sdp: str) -> None:
        """Take a ringing call."""

    async def decline(self, device: Device, call_id: str) -> None:
        """Refuse a ringing call."""

    async def hang_up(self, device: Device, call_id: str) -> None:
        """Leave a call."""

    async def reoffer(self, device: Device, call_id: str, sdp: str) -> None:
        """Carry a call over a new connection."""

    async def call_app(
        self, device: Device, app_id: str, sdp: str, *, policy_recording: bool
    ) -> str:
        """Ring an application; return the call's id."""

    async def join_meeting(
        self,
        device: Device,
        *,
        join_meeting_id: str | None,
        passcode: str | None,
        thread_id: str | None,
        join_url: str | None,
        sdp: str,
    ) -> str:
        """Join a meeting; return the call's id."""

    async def tone(self, device: Device, call_id: str, key: str) -> None:
        """Press a key."""

    async def mute(self, device: Device, call_id: str, *, muted: bool) -> None:
        """Mute or unmute."""

    async def hold(self, device: Device, call_id: str, *, held: bool) -> None:
        """Hold or resume."""

    async def share(self, device: Device, call_id: str, action: rtc.ShareAction) -> None:
        """Start, change or end the sharing of content."""


class SocketDevice:
    """A device at the other end of a WebSocket."""

    def __init__(self, user_id: str, user_agent: str | None = None) -> None:
        self._number = next(_numbers)
        self._user_id = user_id
        self._user_agent = user_agent
        self.waiting: asyncio.Queue[dict[str, Any]] = asyncio.Queue(WAITING_MESSAGES)
        self.is_too_slow = asyncio.Event()

    @property
    def number(self) -> int:
        """What tells this device from all others of this run."""
        return self._number

    @property
    def user_id(self) -> str:
        """Whose it is."""
        return self._user_id

    @property
    def user_agent(self) -> str | None:
        """What it calls itself, for the call record."""
        return self._user_agent

    def send(self, message: Mapping[str, Any]) -> None:
        """Send a message, in order; one that does not fit ends the connection."""
        try:
            self.waiting.put_nowait(dict(message))
        except asyncio.QueueFull:
            self.is_too_slow.set()


class RtcEndpoint:
    """Serves the signalling sockets."""

    def __init__(
        self, directory: Directory, switchboard: Switchboard, callers: Callers, register_s: float
    ) -> None:
        self._directory, self._switchboard, self._callers = directory, switchboard, callers
        self._register_s = register_s

    async def serve(self, socket: WebSocket) -> None:
        """Serve one device until its socket ends, one way or another."""
        await socket.accept()
        try:
            device = await self._registered(socket)
        except ProtocolError as error:
            await _refuse(socket, error)
        except WebSocketDisconnect:
            return
        else:
            await self._serve_device(socket, device)

    async def _registered(self, socket: WebSocket) -> SocketDevice:
        try:
            async with asyncio.timeout(self._register_s):
                message = await _receive(socket)
        except TimeoutError:
            raise ProtocolError(
                rtc.NOT_REGISTERED_IN_TIME, "notRegistered", "expected register in time"
            ) from None
        if message["type"] != "register":
            raise ProtocolError(rtc.BAD_MESSAGE, "notRegistered", "expected register first")
        user = self._directory.authenticate(rtc.text_of(message, "token", TOKEN_CHARS))
        if user is None:
            raise ProtocolError(rtc.BAD_TOKEN, "badToken", "this token is no user's")
        device = SocketDevice(user.user_id, _user_agent(socket))
        shown = {"id": user.user_id, "displayName": user.display_name}
        device.send({"type": "registered", "user": shown})
        return device

    async def _serve_device(self, socket: WebSocket, device: SocketDevice) -> None:
        """Read and write at once until either ends."""
        tasks = {
            asyncio.create_task(self._read(socket, device), name="rtc read"),
            asyncio.create_task(_write(socket, device), name="rtc write"),
            asyncio.create_task(device.is_too_slow.wait(), name="rtc too slow"),
        }
        self._switchboard.register(device)
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._switchboard.unregister(device)
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
        if device.is_too_slow.is_set():
            await _refuse(socket, ProtocolError(rtc.TOO_SLOW, "tooSlow", "messages were not read"))
        for result in results:
            if isinstance(result, ProtocolError):
                await _refuse(socket, result)
            elif isinstance(result, Exception) and not isinstance(result, WebSocketDisconnect):
                raise result

    async def _read(self, socket: WebSocket, device: SocketDevice) -> None:
        limit = rtc.RateLimit(rtc.BURST_MESSAGES, rtc.MESSAGES_PER_S)
        loop = asyncio.get_running_loop()
        while True:
            message = await _receive(socket)
            if not limit.take(loop.time()):
                raise ProtocolError(
                    rtc.TOO_SLOW, "tooFast", f"expected at most {rtc.MESSAGES_PER_S:g} a second"
                )
            try:
                request = rtc.parse_request(message)
                with concerning(Concern(getattr(request, "call_id", None))):
                    await self._obey(device, request)
            except RtcError as error:
                device.send(_error(message, error))

    async def _obey(self, device: SocketDevice, request: rtc.Request) -> None:
        """Do what a registered device asks for."""
        callers = self._callers
        match request:
            case rtc.Answer(call_id, sdp):
                await callers.answer(device, call_id, sdp)
            case rtc.Decline(call_id):
                await callers.decline(device, call_id)
            case rtc.HangUp(call_id):
                await callers.hang_up(device, call_id)
            case rtc.Reoffer(call_id, sdp):
                await callers.reoffer(device, call_id, sdp)
            case rtc.CallApp(app_id, sdp, policy_recording):
                await callers.call_app(device, app_id, sdp, policy_recording=policy_recording)
            case rtc.JoinMeeting(join_meeting_id, passcode, thread_id, join_url, sdp):
                await callers.join_meeting(
                    device,
                    join_meeting_id=join_meeting_id,
                    passcode=passcode,
                    thread_id=thread_id,
                    join_url=join_url,
                    sdp=sdp,
                )
            case rtc.Tone(call_id, key):
                await callers.tone(device, call_id, key)
            case rtc.Mute(call_id, muted):
                await callers.mute(device, call_id, muted=muted)
            case rtc.Hold(call_id, held):
                await callers.hold(device, call_id, held=held)
            case rtc.Share(call_id, action):
                await callers.share(device, call_id, action)
                device.send({"type": "sharing", "callId": call_id, "action": action})
            case _:
                assert_never(request)


def _error(message: dict[str, Any], error: RtcError) -> dict[str, Any]:
    body = {"type": "error", "of": message["type"], "code": error.code, "message": error.message}
    return body | ({"callId": message["callId"]} if "callId" in message else {})


async def _write(socket: WebSocket, device: SocketDevice) -> None:
    while True:
        await socket.send_text(json.dumps(await device.waiting.get()))


async def _receive(socket: WebSocket) -> dict[str, Any]:
    """Read one message: a JSON object with a type."""
    event = await socket.receive()
    if event["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(event.get("code", 1000))
    return rtc.read_message(event.get("text"))


async def _refuse(socket: WebSocket, error: ProtocolError) -> None:
    """Say what was wrong, and close; the device may be gone by then."""
    body = {"type": "error", "code": error.code, "message": error.message}
    try:
        await socket.send_text(json.dumps(body))
        await socket.close(error.close_code, error.code)
    except (RuntimeError, WebSocketDisconnect, OSError):
        log.debug("a device was gone before it could be told: %s", error.code)


def _user_agent(socket: WebSocket) -> str | None:
    """Return the device's User-Agent header, cut to what a record keeps."""
    value = socket.headers.get("user-agent", "")[:USER_AGENT_CHARS]
    return value if value.isprintable() else None
