"""A caller for tests: answers every ring over WebRTC, says a tone, remembers what it hears."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any, Self

import numpy as np
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from mixminus.control.devfile import DevFile
from mixminus.control.tls import client_context
from mixminus.media.pcm import FRAME_SAMPLES, SAMPLE_RATE_HZ, Pcm
from mixminus.media.platform import MediaPlatform
from mixminus.media.transports.webrtc import WebRtcTransport

TONE = np.round(8000 * np.sin(2 * np.pi * 400 * np.arange(FRAME_SAMPLES) / SAMPLE_RATE_HZ)).astype(
    np.int16
)
"""One frame of 400 Hz: eight whole periods, so that frames of it join without a step."""
SILENCE = np.zeros(FRAME_SAMPLES, np.int16)


class TestCaller:
    """A user's device over real sockets."""

    __test__ = False

    def __init__(self, dev: DevFile, user: str, platform: MediaPlatform) -> None:
        self._dev = dev
        self._user = dev.find_user(user)
        self._platform = platform
        self._exits = AsyncExitStack()
        self._socket: ClientConnection
        self.transport: WebRtcTransport | None = None
        self.say: Pcm = SILENCE
        self.heard: list[Pcm] = []
        self.events: list[dict[str, Any]] = []

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as exits:
            self._socket = await exits.enter_async_context(
                connect(
                    self._dev.rtc_url,
                    ssl=client_context(self._dev.ca_file),
                    proxy=None,
                    compression=None,
                )
            )
            bridge = self._platform.create_bridge()
            exits.callback(bridge.close)
            self._network = bridge.add_leg(101)
            self._application = bridge.add_leg(102, render_slots=64, paced=True)
            exits.callback(self._platform.on_tick(self._on_tick))
            exits.push_async_callback(self._end)
            await self._send(type="register", token=self._user.token)
            self._reader = asyncio.create_task(self._read(), name="test caller")
            self._exits = exits.pop_all()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._exits.aclose()

    def event(self, kind: str) -> dict[str, Any] | None:
        return next((event for event in self.events if event["type"] == kind), None)

    def hears(self, is_it: Callable[[Pcm], bool], frames: int = 5) -> bool:
        """Say whether the last *frames* it heard all are such."""
        return len(self.heard) >= frames and all(is_it(frame) for frame in self.heard[-frames:])

    async def hang_up(self) -> None:
        ring = self.event("ring")
        assert ring is not None
        await self._send(type="hangup", callId=ring["callId"])

    async def _send(self, **message: Any) -> None:
        await self._socket.send(json.dumps(message))

    async def _read(self) -> None:
        try:
            async for text in self._socket:
                message = json.loads(text)
                self.events.append(message)
                match message["type"]:
                    case "ring":
                        await self._drop_transport()
                        self.transport = WebRtcTransport(self._platform, self._network)
                        sdp = await self.transport.offer()
                        await self._send(type="answer", callId=message["callId"], sdp=sdp)
                    case "answered" if self.transport is not None:
                        await self.transport.accept(message["sdp"])
                    case "ended":
                        await self._drop_transport()
        except ConnectionClosed:
            return

    def _on_tick(self) -> None:
        self._application.source.write(self.say)
        while (frame := self._application.render.read()) is not None:
            self.heard.append(frame)

    async def _drop_transport(self) -> None:
        transport, self.transport = self.transport, None
        if transport is not None:
            await transport.close()

    async def _end(self) -> None:
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)
        await self._drop_transport()
