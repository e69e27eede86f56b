"""The far end of a telephony stream, played by the test: its socket, its service, and a session."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import numpy as np

from mixminus.media.pcm import FRAME_SAMPLES, AudioFrame, Pcm
from mixminus.media.session import MediaSession
from mixminus.media.transports.message_socket import SocketClosedError
from mixminus.media.transports.stream import (
    AcsDialect,
    AcsService,
    Audio,
    StreamTransport,
    TwilioDialect,
    TwilioService,
    open_stream,
)
from tests.manual import ManualPlatform
from tests.support import eventually

RATE_MS = 20


def constant(value: int, samples: int = FRAME_SAMPLES) -> Pcm:
    return np.full(samples, value, np.int16)


class FakeSocket:
    """A MessageSocket whose far end is the test, and which can take nothing for a while."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.inbox: asyncio.Queue[bytes | str | ConnectionError] = asyncio.Queue()
        self.open = asyncio.Event()
        self.open.set()
        self.is_shut = False
        """Whether sending fails, as it does once the far end has closed."""
        self.closed_with: tuple[int, str] | None = None

    async def receive(self) -> bytes | str:
        message = await self.inbox.get()
        if isinstance(message, ConnectionError):
            raise message
        return message

    async def send(self, message: bytes | str) -> None:
        await self.open.wait()
        if self.is_shut:
            raise SocketClosedError("the socket is closed")
        assert isinstance(message, str)
        self.sent.append(message)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        self.closed_with = self.closed_with or (code, reason)

    def break_off(self, code: int | None = None) -> None:
        self.inbox.put_nowait(SocketClosedError("the network broke", code))


Service = AcsService | TwilioService


@dataclass
class Far:
    """One call of a service whose ticks are the test's, and what its bot hears."""

    platform: ManualPlatform
    session: MediaSession
    service: Service
    socket: FakeSocket
    transport: StreamTransport
    heard: list[AudioFrame] = field(default_factory=list)
    marks: list[tuple[str, bool]] = field(default_factory=list)
    media: list[bool] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    reader: asyncio.Task[None] | None = None
    time_ms: float = 1_700_000_000_000.0

    @classmethod
    async def open(cls, service: Service, *, resume_s: float = 10.0, lead_frames: int = 2) -> Far:
        platform = ManualPlatform()
        platform.tick()  # From here on the engine's clock is the ticks'.
        session = MediaSession(platform, mp_uri="wss://localhost:1/streams")
        socket = FakeSocket()
        for message in service.write_start():
            socket.inbox.put_nowait(message)
        dialect = AcsDialect() if isinstance(service, AcsService) else TwilioDialect()
        transport = StreamTransport(
            platform,
            session.legs.link,
            session,
            await open_stream(socket, dialect),
            lead_frames=lead_frames,
            resume_s=resume_s,
        )
        session.attach(transport)
        far = cls(platform, session, service, socket, transport)
        session.audio.on_mark(lambda name, played: far.marks.append((name, played)))
        session.audio.on_media(far.media.append)
        session.audio.on_tone(far.keys.append)
        far.reader = asyncio.create_task(far._read())
        return far

    async def _read(self) -> None:
        async for frame in self.session.audio:
            self.heard.append(frame)

    async def say(
        self, pcm: Pcm | bytes, *, speaker: str | None = None, silent: bool = False
    ) -> None:
        """Send one message of audio, at the call's time, and let it be taken."""
        payload = pcm if isinstance(pcm, bytes) else pcm.tobytes()
        await self.tell(
            self.service.write_audio(payload, time_ms=self.time_ms, speaker=speaker, silent=silent)
        )

    async def tell(self, *messages: str) -> None:
        before = self.transport.counters()["messages_in"]
        for message in messages:
            self.socket.inbox.put_nowait(message)
        wanted = before + len(messages)
        await eventually(lambda: self.transport.counters()["messages_in"] == wanted)

    async def tick(self, count: int = 1) -> None:
        for _ in range(count):
            self.platform.tick()
            self.time_ms += RATE_MS
            for _ in range(6):
                await asyncio.sleep(0)

    def sent(self) -> list[Audio | str]:
        """What the bot's side sent: audio, and other messages by their name."""
        result: list[Audio | str] = []
        for message in self.socket.sent:
            said = self.service.parse(message)
            assert said is not None
            result.append(said if isinstance(said, Audio) else getattr(said, "name", str(said)))
        return result

    def sent_pcm(self) -> Pcm:
        """The audio that was sent, one after the other. For 16 kHz."""
        payloads = [said.payload for said in self.sent() if isinstance(said, Audio)]
        return np.frombuffer(b"".join(payloads), np.int16)

    async def close(self) -> None:
        await self.session.close()
        if self.reader is not None:
            await self.reader
