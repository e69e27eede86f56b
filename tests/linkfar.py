"""A media link whose far end is the test: the socket, its messages, and what is heard of them."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

import numpy as np

from mixminus.media.bridge import Bridge, Leg
from mixminus.media.fence import Fence
from mixminus.media.pcm import FRAME_SAMPLES, FRAME_TICKS, AudioFrame, Pcm
from mixminus.media.platform import MediaPlatform
from mixminus.media.transports.base import SpeakerLegs
from mixminus.media.transports.link import HostLink, LinkGrant, accept_link
from mixminus.media.transports.link_frames import (
    KIND_AUDIO,
    Record,
    pack_message,
    parse_message,
)
from mixminus.media.transports.link_hello import parse_challenge, write_hello
from tests.manual import ManualPlatform
from tests.support import eventually

SECRET = bytes(range(32))
SESSION = "70d48ceb-0000-4e3a-9ee4-7d1b1d9e1a5c"


def constant(value: int) -> Pcm:
    return np.full(FRAME_SAMPLES, value, np.int16)


def grant(leg: Leg, *, ttl_s: float = 60.0, speakers: SpeakerLegs | None = None) -> LinkGrant:
    return LinkGrant(SECRET, leg, time.monotonic_ns() + int(ttl_s * 1e9), speakers)


def two_legs(platform: MediaPlatform, *, relay: bool = False) -> tuple[Bridge, Leg, Leg]:
    """A bridge with a leg for the link and one for whoever is behind it."""
    bridge = platform.create_bridge()
    return bridge, bridge.add_leg(1, relay=relay), bridge.add_leg(2, render_slots=64)


class FakeSocket:
    """A MessageSocket whose far end is the test, and which can take nothing for a while."""

    def __init__(self) -> None:
        self.sent: list[bytes | str] = []
        self.inbox: asyncio.Queue[bytes | str | ConnectionError] = asyncio.Queue()
        self.open = asyncio.Event()
        self.open.set()
        self.waiting = False
        self.closed_with: tuple[int, str] | None = None

    async def receive(self) -> bytes | str:
        message = await self.inbox.get()
        if isinstance(message, ConnectionError):
            raise message
        return message

    async def send(self, message: bytes | str) -> None:
        self.waiting = True
        await self.open.wait()
        self.waiting = False
        self.sent.append(message)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        self.closed_with = (code, reason)

    def has_sent(self, records: int) -> bool:
        return len(self.records()) == records

    def records(self) -> list[Record]:
        return [
            record
            for message in self.sent
            if isinstance(message, bytes)
            for record in parse_message(message)
        ]


def audio(sequence: int, value: int = 1, **fields: int) -> Record:
    base = {"kind": KIND_AUDIO, "flags": 0, "call": 0, "epoch": 1, "stream": 0}
    return Record(
        **{**base, **fields},
        sequence=sequence,
        timestamp=sequence * FRAME_TICKS,
        speakers=(7,),
        payload=constant(value).tobytes(),
    )


async def open_link(
    platform: ManualPlatform,
    leg: Leg,
    granted: LinkGrant | None = None,
    *,
    epoch: int = 1,
    attempt: int = 1,
    fence: Fence | None = None,
) -> tuple[FakeSocket, HostLink]:
    """Connect once more, if *granted* has been used before."""
    socket = FakeSocket()
    granted = granted or grant(leg)
    accepting = asyncio.create_task(accept_link(platform, socket, lambda _: granted, fence=fence))
    await eventually(lambda: socket.sent)
    challenge = socket.sent.pop()
    socket.inbox.put_nowait(
        write_hello(SECRET, parse_challenge(challenge), SESSION, epoch, attempt)
    )
    admitted = await accepting
    del socket.sent[0]
    return socket, admitted.link


@dataclass
class Far:
    """The far end of a link whose ticks are the test's, and what the leg behind it hears."""

    platform: ManualPlatform
    socket: FakeSocket
    transport: HostLink
    leg: Leg
    listener: Leg
    heard: list[AudioFrame] = field(default_factory=list)

    @classmethod
    async def open(cls) -> Far:
        platform = ManualPlatform()
        _, leg, listener = two_legs(platform, relay=True)
        return cls(platform, *await open_link(platform, leg), leg, listener)

    async def say(self, *records: Record) -> None:
        before = self.transport.counters()["frames_in"]
        self.socket.inbox.put_nowait(pack_message(records))
        await eventually(lambda: self.transport.counters()["frames_in"] == before + len(records))

    def tick(self, count: int = 1) -> None:
        for _ in range(count):
            self.platform.tick()
            while (frame := self.listener.render.read()) is not None:
                self.heard.append(frame)
