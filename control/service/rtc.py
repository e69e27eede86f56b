"""RTC signalling: a caller's device registers, is rung, exchanges SDP.

docs/rtc-signalling.md is the definition.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
from collections.abc import Mapping
from typing import Any

from fastapi import WebSocket, WebSocketDisconnect

from .calls import CallBook
from .directory import Directory
from .live_call import LiveCall, RtcError
from .switchboard import Switchboard

log = logging.getLogger("mixminus.control.rtc")

SDP_CHARS = 64 * 1024
WAITING_MESSAGES = 64
"""A device that leaves more than this unread is dropped."""

BAD_MESSAGE = 4400
BAD_TOKEN = 4401
NOT_REGISTERED_IN_TIME = 4408
TOO_SLOW = 4429

_numbers = itertools.count(1)


class ProtocolError(Exception):
    """A message that the signalling does not know: the socket is closed."""

    def __init__(self, close_code: int, code: str, message: str) -> None:
        super().__init__(message)
        self.close_code, self.code, self.message = close_code, code, message


class SocketDevice:
    """A device at the other end of a WebSocket."""

    def __init__(self, user_id: str) -> None:
        self._number = next(_numbers)
        self._user_id = user_id
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

    def send(self, message: Mapping[str, Any]) -> None:
        """Send a message, in order; one that does not fit ends the connection."""
        try:
            self.waiting.put_nowait(dict(message))
        except asyncio.QueueFull:
            self.is_too_slow.set()


class RtcEndpoint:
    """Serves the signalling sockets."""

    def __init__(
        self, directory: Directory, switchboard: Switchboard, book: CallBook, register_s: float
    ) -> None:
        self._directory, self._switchboard, self._book = directory, switchboard, book
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
                NOT_REGISTERED_IN_TIME, "notRegistered", "expected register in time"
            ) from None
        if message["type"] != "register":
            raise ProtocolError(BAD_MESSAGE, "notRegistered", "expected register first")
        user = self._directory.authenticate(_text(message, "token"))
        if user is None:
            raise ProtocolError(BAD_TOKEN, "badToken", "this token is no user's")
        device = SocketDevice(user.user_id)
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
            await _refuse(socket, ProtocolError(TOO_SLOW, "tooSlow", "messages were not read"))
        for result in results:
            if isinstance(result, ProtocolError):
                await _refuse(socket, result)
            elif isinstance(result, Exception) and not isinstance(result, WebSocketDisconnect):
                raise result

    async def _read(self, socket: WebSocket, device: SocketDevice) -> None:
        while True:
            message = await _receive(socket)
            call_id = message.get("callId")
            try:
                live = self._book.ringing_or_answered(call_id, device)
                await _obey(live, device, message)
            except RtcError as error:
                shown = {"code": error.code, "message": error.message}
                device.send({"type": "error", "callId": call_id, **shown})


async def _obey(live: LiveCall | None, device: SocketDevice, message: dict[str, Any]) -> None:
    """Do what a registered device asks for."""
    kind = message["type"]
    if kind not in ("answer", "decline", "hangup", "reoffer"):
        raise ProtocolError(
            BAD_MESSAGE, "badMessage", "expected answer, decline, hangup or reoffer"
        )
    _text(message, "callId")
    sdp = _text(message, "sdp") if kind in ("answer", "reoffer") else ""
    if len(sdp) > SDP_CHARS:
        raise RtcError("badSdp", f"expected at most {SDP_CHARS} characters of SDP")
    if live is None:
        raise RtcError("unknownCall", "there is no such call for this user")
    match kind:
        case "answer":
            await live.answer(device, sdp)
        case "decline":
            await live.decline(device)
        case "hangup":
            await live.hang_up(device)
        case _:
            await live.reoffer(device, sdp)


async def _write(socket: WebSocket, device: SocketDevice) -> None:
    while True:
        await socket.send_text(json.dumps(await device.waiting.get()))


async def _receive(socket: WebSocket) -> dict[str, Any]:
    """Read one message: a JSON object with a type."""
    event = await socket.receive()
    if event["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(event.get("code", 1000))
    try:
        message = json.loads(event.get("text") or "")
    except (ValueError, RecursionError):
        message = None
    if not isinstance(message, dict):
        raise ProtocolError(BAD_MESSAGE, "badMessage", "expected a JSON object as text")
    _text(message, "type")
    return message


def _text(message: dict[str, Any], key: str) -> str:
    value = message.get(key)
    if not isinstance(value, str) or not value:
        raise ProtocolError(BAD_MESSAGE, "badMessage", f"{key}: expected a text")
    return value


async def _refuse(socket: WebSocket, error: ProtocolError) -> None:
    """Say what was wrong, and close; the device may be gone by then."""
    body = {"type": "error", "code": error.code, "message": error.message}
    try:
        await socket.send_text(json.dumps(body))
        await socket.close(error.close_code, error.code)
    except (RuntimeError, WebSocketDisconnect, OSError):
        log.debug("a device was gone before it could be told: %s", error.code)
