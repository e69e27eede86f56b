"""A caller for tests: rings and is rung over WebRTC, says tones, remembers what it hears."""

from __future__ import annotations

import asyncio
import json
import secrets
import uuid
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self

import numpy as np
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from mixminus.control.devfile import DevFile
from mixminus.control.store.base import UserRow
from mixminus.control.store.opening import SERVICE_FILE
from mixminus.control.store.sqlite import SqliteStore
from mixminus.control.tls import client_context
from mixminus.media.pcm import FRAME_SAMPLES, SAMPLE_RATE_HZ, Pcm
from mixminus.media.pipeline import FilePlayer
from mixminus.media.platform import MediaPlatform
from mixminus.media.transports.aiortc_transport import AiortcTransport
from tests.signals import sine
from tests.support import eventually

TONE = np.round(8000 * np.sin(2 * np.pi * 400 * np.arange(FRAME_SAMPLES) / SAMPLE_RATE_HZ)).astype(
    np.int16
)
"""One frame of 400 Hz: eight whole periods, so that frames of it join without a step."""
SILENCE = np.zeros(FRAME_SAMPLES, np.int16)
REPLY_S = 15.0


class TestCaller:
    """A user's device over real sockets and real WebRTC: one call at a time.

    It answers every ring by itself; it can also get into a call::

        async with TestCaller(service.dev_file, "John", platform) as john:
            await john.join_meeting(join_meeting_id=meeting.join_meeting_id, passcode="...")
            john.say_tone(500)                  # from now on, without a gap, whatever the loop does
            pcm = await john.listen(1.0)        # what is heard during the next second, int16
            assert tone_dbov(pcm, 700) > -30    # tests.signals: the level of one frequency
            assert tone_dbov(pcm, 500) < -60    # its own voice does not come back
            await john.press("1")
            await john.ask("mute"); await john.told("muted")
            await john.hang_up()                # waits for the service's `ended`

    ``call_app`` and ``join_meeting`` return once audio can flow (in the lobby: silence), or raise
    AssertionError with what the service said. ``say`` is one frame, repeated with each turn of the
    loop: good enough to be heard, with holes on a busy machine; ``say_tone`` is exact. ``heard`` is
    all that was heard so far, ``events`` all messages of the service.

    Cost: five callers and the service they are in take 35 % of one core together (measured), codecs
    included. Give all callers and the service the same *platform*. Of who speaks, tones of 300,
    500, 700, 1100 and 1300 Hz are easily told apart. Opus adds noise of its own, some -55 dBov at
    other frequencies than those it is given: to show that an own voice does not come back at
    -60 dB, let it speak alone.
    """

    __test__ = False

    def __init__(self, dev: DevFile, user: str, platform: MediaPlatform) -> None:
        self._dev = dev
        self._user = dev.find_user(user)
        self._platform = platform
        self._exits = AsyncExitStack()
        self._socket: ClientConnection
        self._player: FilePlayer | None = None
        self.transport: AiortcTransport | None = None
        self.call_id: str | None = None
        self.answers = True
        self.say: Pcm = SILENCE
        self.heard: list[Pcm] = []
        self.events: list[dict[str, Any]] = []
        self._first_event = 0

    @property
    def user_id(self) -> str:
        """The id of the user whose device this is."""
        return self._user.id

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
            self._application = bridge.add_leg(102, source_slots=64, render_slots=64, paced=True)
            exits.callback(self._platform.on_tick(self._on_tick))
            exits.push_async_callback(self._end)
            await self._send(type="register", token=self._user.token)
            self._reader = asyncio.create_task(self._read(), name="test caller")
            self._exits = exits.pop_all()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._exits.aclose()

    # ---- calls -----------------------------------------------------------------------------------

    async def call_app(self, app_id: str, *, policy_recording: bool = False) -> str:
        """Ring an application and wait until it answers; return what the signalling calls it."""
        await self._begin("call", appId=app_id, policyRecording=policy_recording)
        return await self._connected()

    async def join_meeting(self, **where: str | None) -> dict[str, Any]:
        """Join by join_meeting_id (and passcode), thread_id or join_url; return ``joined``."""
        names = {"join_meeting_id": "joinMeetingId", "thread_id": "threadId", "join_url": "joinUrl"}
        given = {names.get(key, key): value for key, value in where.items() if value is not None}
        await self._begin("join", **given)
        await self._connected()
        return await self.told("joined")

    async def hang_up(self) -> None:
        """Leave, and wait until the service says that it is over."""
        await self.ask("hangup")
        await self.told("ended")

    async def ask(self, kind: str, **fields: Any) -> None:
        """Send a message about the call: mute, unmute, hold, resume, share (action=...)."""
        assert self.call_id is not None, "expected a call"
        await self._send(type=kind, callId=self.call_id, **fields)

    async def press(self, keys: str) -> None:
        """Press keys, as signalled tones."""
        for key in keys:
            await self.ask("tone", tone=key)

    async def told(self, kind: str) -> dict[str, Any]:
        """Wait for the service's last word of that type in the present call; return it."""
        await eventually(lambda: self._last(kind), REPLY_S, f"{kind}")
        found = self._last(kind)
        assert found is not None
        return found

    # ---- audio -----------------------------------------------------------------------------------

    def say_tone(self, hz: int, amplitude: float = 8000.0) -> None:
        """Say a sine of a whole number of Hz from now on, without a gap; 0 Hz is silence."""
        if self._player is not None:
            self._player.close()
        one_second = sine(hz, SAMPLE_RATE_HZ, 1.0, amplitude)
        self._player = FilePlayer(
            self._platform, self._application.source, one_second, loop=True, depth_frames=10
        )

    async def listen(self, seconds: float = 0.5) -> Pcm:
        """Return what is heard from now on, *seconds* of it: (n,) int16 at 16 kHz."""
        start = len(self.heard)
        frames = round(seconds * SAMPLE_RATE_HZ / FRAME_SAMPLES)
        await eventually(
            lambda: len(self.heard) >= start + frames, REPLY_S + 3 * seconds, f"{frames} frames"
        )
        return np.concatenate(self.heard[start : start + frames])

    def hears(self, is_it: Callable[[Pcm], bool], frames: int = 5) -> bool:
        """Say whether the last *frames* it heard all are such."""
        return len(self.heard) >= frames and all(is_it(frame) for frame in self.heard[-frames:])

    def event(self, kind: str) -> dict[str, Any] | None:
        """Return the first message of that type, if there was one."""
        return next((event for event in self.events if event["type"] == kind), None)

    # ---- inside ----------------------------------------------------------------------------------

    async def _begin(self, kind: str, **fields: Any) -> None:
        await eventually(lambda: self.event("registered"))
        await self._drop_transport()
        self._first_event = len(self.events)
        self.call_id = None
        self.transport = AiortcTransport(self._platform, self._network)
        await self._send(type=kind, sdp=await self.transport.offer(), **fields)

    async def _connected(self) -> str:
        over = ("error", "ended")
        await eventually(
            lambda: self._last("answered") or any(self._last(kind) for kind in over),
            REPLY_S + 15.0,
            "an answer",
        )
        refused = [event for event in self._present() if event["type"] in over]
        assert not refused, refused
        assert self.transport is not None
        await self.transport.connected(REPLY_S)
        assert self.call_id is not None
        return self.call_id

    def _last(self, kind: str) -> dict[str, Any] | None:
        return next((event for event in reversed(self._present()) if event["type"] == kind), None)

    def _present(self) -> list[dict[str, Any]]:
        """The messages since the present call began."""
        return self.events[self._first_event :]

    async def _send(self, **message: Any) -> None:
        await self._socket.send(json.dumps(message))

    async def _read(self) -> None:
        try:
            async for text in self._socket:
                message = json.loads(text)
                match message["type"]:
                    case "ring" if self.answers:
                        await self._drop_transport()
                        self._first_event = len(self.events)
                        self.call_id = message["callId"]
                        self.transport = AiortcTransport(self._platform, self._network)
                        sdp = await self.transport.offer()
                        await self._send(type="answer", callId=message["callId"], sdp=sdp)
                    case "calling" | "joined":
                        self.call_id = message["callId"]
                    case "answered" if self.transport is not None:
                        await self.transport.accept(message["sdp"])
                    case "ended":
                        await self._drop_transport()
                    case _:
                        pass
                self.events.append(message)
        except ConnectionClosed:
            return

    def _on_tick(self) -> None:
        if self._player is None:
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
        if self._player is not None:
            self._player.close()
        await self._drop_transport()


async def add_users(state_dir: Path, *names: str) -> None:
    """Put more users into the directory of a service that is yet to be started there.

    A fresh service knows John, Bob and Alice; each caller of a group needs a user of its own.
    """
    store = await SqliteStore.open(state_dir / SERVICE_FILE)
    try:
        for name in names:
            await store.add_user(UserRow(str(uuid.uuid4()), name, secrets.token_urlsafe(32)))
    finally:
        await store.close()
