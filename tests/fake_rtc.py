"""A small call service for softphones: its signalling, and a far end with real WebRTC."""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import trustme
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from mixminus.control.softphone import SoftphoneOptions
from mixminus.media.pcm import Pcm
from mixminus.media.platform import MediaPlatform
from mixminus.media.transports.aiortc_transport import AiortcTransport
from tests.signals import sine
from tests.support import eventually

TOKEN = "the-users-token"
NOT_YET = "(not yet)"
"""The refusal that is no reply at all."""


@dataclass
class FakeService:
    """Rings whoever registers *rings* times, takes calls and joins, and echoes times -0.5.

    ``refusals`` answer a message of that type with an error of that code; ``in_lobby`` is what a
    join is told. ``heard`` is all that the far end heard, frame by frame.
    """

    platform: MediaPlatform
    url: str = ""
    client_context: ssl.SSLContext = field(default_factory=ssl.create_default_context)
    rings: int = 1
    losing: tuple[str, dict[str, Any]] = ("cancelled", {"reason": "answeredElsewhere"})
    refusals: dict[str, str] = field(default_factory=dict)
    in_lobby: bool = False
    takes_sockets: bool = True
    received: list[dict[str, Any]] = field(default_factory=list)
    heard: list[Pcm] = field(default_factory=list)
    sockets: list[ServerConnection] = field(default_factory=list)
    transports: list[AiortcTransport] = field(default_factory=list)
    rung: int = 0

    @property
    def kinds(self) -> list[str]:
        """The types of what was received, in order, without the registering."""
        return [message["type"] for message in self.received]

    async def serve(self, socket: ServerConnection) -> None:
        if not self.takes_sockets:
            await socket.close(1012)
            return
        self.sockets.append(socket)
        try:
            register = json.loads(await socket.recv())
            if register.get("token") != TOKEN:
                await self.say("error", code="badToken", message="this token is no user's")
                await socket.close(4401, "badToken")
                return
            await self.say("registered", user={"id": "1", "displayName": "John"})
            await self._ring()
            async for text in socket:
                message = json.loads(text)
                self.received.append(message)
                await self._reply(message)
        except ConnectionClosed:
            return

    async def close(self) -> None:
        for transport in self.transports:
            await transport.close()

    async def media_flow(self) -> None:
        """Wait until audio came from the softphone: both ends know that they are connected."""
        await eventually(lambda: self.transports[-1].counters()["frames_in"], 15.0)

    async def say(self, kind: str, **fields: Any) -> None:
        await self.sockets[-1].send(json.dumps({"type": kind, **fields}))

    async def _ring(self) -> None:
        if self.rung < self.rings:
            await self.say("ring", callId=f"call-{self.rung}", **{"from": {"displayName": "Echo"}})
            self.rung += 1

    async def _reply(self, message: dict[str, Any]) -> None:
        kind, call_id = message["type"], message.get("callId")
        if kind in self.refusals:
            code = self.refusals[kind]
            if code == NOT_YET:
                return
            named = {} if call_id is None else {"callId": call_id}
            await self.say("error", of=kind, code=code, message="no luck", **named)
            return
        match kind:
            case "answer" if self.rung < self.rings:
                losing, fields = self.losing
                await self.say(losing, callId=call_id, **fields)
                await self._ring()
            case "answer":
                await self.say("answered", callId=call_id, sdp=await self._echo(message["sdp"]))
            case "call":
                await self.say("calling", callId="c")
                await self.say("answered", callId="c", sdp=await self._echo(message["sdp"]))
            case "join":
                joined = {"participantId": "p", "inLobby": self.in_lobby}
                await self.say("joined", callId="p", **joined)
                await self.say("answered", callId="p", sdp=await self._echo(message["sdp"]))
            case "reoffer":
                await self.say("reanswered", callId=call_id, sdp=await self._echo(message["sdp"]))
            case "mute" | "unmute":
                await self.say("muted", callId=call_id, muted=kind == "mute", by="self")
            case "hold" | "resume":
                await self.say("held", callId=call_id, held=kind == "hold")
            case "share":
                await self.say("sharing", callId=call_id, action=message["action"])
            case "hangup":
                await self.say("ended", callId=call_id, code=200, subcode=4521)
            case _:
                pass

    async def _echo(self, offer: str) -> str:
        bridge = self.platform.create_bridge()
        network, bot = bridge.add_leg(1), bridge.add_leg(2)

        def echo() -> None:
            while (frame := bot.render.read()) is not None:
                self.heard.append(frame)
                bot.source.write((frame * -0.5).astype(np.int16))

        self.platform.on_tick(echo)
        self.transports.append(AiortcTransport(self.platform, network))
        return await self.transports[-1].answer(offer)


@asynccontextmanager
async def fake_service() -> AsyncIterator[FakeService]:
    authority = trustme.CA()
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(server_context)
    client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(client_context)
    async with MediaPlatform() as platform:
        service = FakeService(platform, client_context=client_context)
        async with serve(service.serve, "127.0.0.1", 0, ssl=server_context) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            service.url = f"wss://localhost:{port}/rtc"
            try:
                yield service
            finally:
                await service.close()


class Log:
    """Events as the softphone told them."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, event: str, fields: dict[str, Any]) -> None:
        json.dumps(fields)
        self.events.append((event, fields))

    @property
    def names(self) -> list[str]:
        """What happened, in order, but for what only says that nothing does."""
        return [name for name, _ in self.events if name not in ("progress", "waiting")]

    def of(self, name: str) -> list[dict[str, Any]]:
        return [fields for event, fields in self.events if event == name]


def options(service: FakeService, tmp_path: Path, **changes: Any) -> SoftphoneOptions:
    given: dict[str, Any] = {
        "rtc_url": service.url,
        "token": TOKEN,
        "ssl_context": service.client_context,
        "play": np.concatenate([np.zeros(4000, np.int16), sine(440, 16_000, 0.25)]),
        "heard_file": tmp_path / "heard.wav",
        "played_file": tmp_path / "played.wav",
        "duration_s": 2.0,
    }
    return SoftphoneOptions(**{**given, **changes})
