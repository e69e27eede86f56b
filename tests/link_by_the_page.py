"""A second implementation of the media link, both ends, written from docs/media-link.md alone.

Standard library and websockets. It has no playout, but plays a frame a tick as they come.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import re
import secrets
import ssl
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, WebSocketException

AUDIO, BYE, DTMF, MARK, MARK_DONE, CLEAR, STREAMS = range(1, 8)
SILENCE, MIXED, SPEAKERS = 1, 1, 2
HEADER = struct.Struct("<BBHIIIIHBBQ")
U32, FRAME_BYTES, MESSAGE_BYTES, MAX_MARKS, REFUSED, REPLACED = 2**32, 640, 65_536, 256, 4401, 4409
TICK, FRESH_FRAMES, HELLO_S, QUIET_S, RESUME_S, ADMITTED_S = 0.020, 3, 5.0, 5.0, 10.0, 60.0
PAYLOADS = {
    **dict.fromkeys((AUDIO, BYE), b".*"),
    DTMF: b"(.[\0-\xe9]|[\0-\x60]\xea)[0-9*#A-D]",
    MARK: b".{1,256}",
    MARK_DONE: b"[\0\1].{1,256}",
    CLEAR: b"",
    STREAMS: b".",
}


class Record(NamedTuple):
    kind: int
    payload: bytes = b""
    stream: int = 0
    sequence: int = 0
    flags: int = 0
    epoch: int = 1
    timestamp: int = 0
    speakers: tuple[int, ...] = ()
    call: int = 0


def pack(record: Record) -> bytes:
    kind, payload, stream, sequence, flags, epoch, timestamp, speakers, call = record
    numbers = (call, epoch, stream, sequence % U32, len(payload), len(speakers), 0, timestamp)
    ids = struct.pack(f"<{len(speakers)}I", *speakers)
    return HEADER.pack(1, kind, flags, *numbers) + ids + payload


def unpack(message: bytes | str) -> list[Record]:
    """The records of one message. Raises: ValueError, struct.error: to be left out whole."""
    if isinstance(message, str) or not message:
        raise ValueError("expected a binary message of whole records")
    found, at = list[Record](), 0
    while at < len(message):
        version, kind, flags, call, epoch, stream, sequence, size, count, _, timestamp = (
            HEADER.unpack_from(message, at)
        )
        start = at + HEADER.size + 4 * count
        at = start + size
        fits = kind != AUDIO or size in (0, FRAME_BYTES)
        if version != 1 or count > 8 or at > len(message) or not fits:
            raise ValueError("expected a whole record of version 1")
        ids = struct.unpack_from(f"<{count}I", message, start - 4 * count)
        payload = message[start:at]
        found.append(Record(kind, payload, stream, sequence, flags, epoch, timestamp, ids, call))
    return found


def proof_of(secret: bytes, nonce: str, session: str, epoch: int, attempt: int) -> str:
    message = f"mixminus media link 1\n{nonce}\n{session}\n{epoch}\n{attempt}"
    return hmac.new(secret, message.encode(), hashlib.sha256).hexdigest()


async def until(due: float) -> None:
    reached = asyncio.Event()
    asyncio.get_running_loop().call_at(due, reached.set)
    await reached.wait()


async def hello_of_service(
    socket: Any, secret: bytes, session: str, epoch: int = 1, attempt: int = 1
) -> None:
    challenge = json.loads(await socket.recv())
    assert (challenge["type"], challenge["version"]) == ("challenge", 1)
    proof = proof_of(secret, challenge["nonce"], session, epoch, attempt)
    hello = {"type": "hello", "version": 1, "session": session, "epoch": epoch}
    await socket.send(json.dumps({**hello, "attempt": attempt, "proof": proof}))
    assert json.loads(await socket.recv())["type"] == "welcome"


async def hello_of_host(
    socket: Any, secret_of: dict[str, bytes], is_due: Callable[..., bool] = lambda *_: True
) -> tuple[str, int, int] | None:
    """Returns session, epoch and attempt; None: refused and closed."""
    nonce = secrets.token_hex(32)
    await socket.send(json.dumps({"type": "challenge", "version": 1, "nonce": nonce}))
    with suppress(ValueError, TypeError, KeyError, TimeoutError):
        hello = json.loads(await asyncio.wait_for(socket.recv(), HELLO_S))
        session, epoch, attempt = hello["session"], hello["epoch"], hello["attempt"]
        expected = proof_of(secret_of[session], nonce, session, epoch, attempt)
        is_proven = hmac.compare_digest(expected, hello["proof"])
        if is_proven and hello["version"] == 1 and is_due(epoch, attempt):
            await socket.send(json.dumps({"type": "welcome"}))
            return session, epoch, attempt
    await socket.close(REFUSED, "refused")
    return None


@dataclass
class Worker:
    """One end of a call: says what it is given, a message a tick, and keeps what comes.

    ``voices`` is what each stream says from now on, 320 samples again and again; a stream without
    bytes is silent, one that is taken out has ended. Marks, clear and streams are a host's to say.
    """

    socket: Any = None
    epoch: int = 1
    sequence: int = 0
    voices: dict[int, bytes] = field(default_factory=lambda: {0: b""})
    heard: list[Record] = field(default_factory=list)
    control: list[Record] = field(default_factory=list)
    reason: str | None = None
    left_out: int = 0
    wanted: int = MIXED
    unanswered: list[bytes] = field(default_factory=list)
    claim: tuple[int, ...] = ()
    _asked: bytes = bytes([MIXED])
    _made: float = field(default_factory=time.monotonic)
    _last: dict[int, int] = field(default_factory=dict)
    _playing: list[Record] = field(default_factory=list)
    _outbox: list[Record] = field(default_factory=list)
    _sending: asyncio.Lock = field(default_factory=asyncio.Lock)
    _due: float = 0.0

    async def call(self, mp_uri: str, tls: ssl.SSLContext, secret: bytes, session: str) -> None:
        """Be the service: until a bye, a refusal, or 10 s without a socket."""
        attempt, pause, give_up = 0, 0.0, time.monotonic() + RESUME_S
        while self.reason is None and time.monotonic() < give_up:
            attempt += 1
            try:
                self.socket = await dial(mp_uri, tls, secret, session, self.epoch, attempt)
            except (OSError, WebSocketException) as exc:
                self.reason = "refused" if str(REFUSED) in str(exc) else None
                await until(asyncio.get_running_loop().time() + pause)
                pause = min(2 * pause or 0.1, 2.0)
            else:
                # The host sets its marks again.
                self._playing = [item for item in self._playing if item.kind == AUDIO]
                self._outbox = [item for item in self._outbox if item.kind != MARK_DONE]
                await self.run()
                pause, give_up = 0.0, time.monotonic() + RESUME_S

    async def serve(self, socket: Any, secret: bytes, session: str) -> None:
        """Be the host: one socket, until it is gone or another takes its place."""
        hello = await hello_of_host(socket, {session: secret}, self._admits)
        if hello is None:
            return
        if self.socket is not None:
            await self.socket.close(REPLACED, "replaced")
        self._last = self._last if hello[1] == self.epoch else {}
        self.socket, self.epoch = socket, hello[1]
        self._outbox = [item for item in self._outbox if item.kind == DTMF]
        self._outbox += [Record(STREAMS, self._asked), *(Record(MARK, n) for n in self.unanswered)]
        await self.run()

    def _admits(self, *claim: int) -> bool:
        in_time = bool(self.claim) or time.monotonic() - self._made <= ADMITTED_S
        is_due = in_time and self.reason is None and claim > self.claim and claim[0] >= self.epoch
        self.claim = claim if is_due else self.claim
        return is_due

    async def run(self) -> None:
        """Until the far end says bye, or the socket is gone."""
        socket, ticking = self.socket, asyncio.create_task(self._tick_on())
        try:
            with suppress(ConnectionClosed, TimeoutError):
                while self.reason is None:
                    async with asyncio.timeout(QUIET_S):
                        message = await socket.recv()
                    self._take(message)
        finally:
            ticking.cancel()
            await asyncio.gather(ticking, return_exceptions=True)

    async def say(self, kind: int, payload: bytes = b"", stream: int = 0) -> None:
        self.unanswered += [payload] * (kind == MARK)
        self._asked = payload if kind == STREAMS else self._asked
        self._outbox.append(Record(kind, payload, stream))
        await self._flush()
        if (kind, stream) == (BYE, 0):
            self.reason = "said bye"
            await self.socket.close(1000)

    def said(self, kind: int) -> list[bytes]:
        return [record.payload for record in self.control if record.kind == kind]

    def samples(self, stream: int = 0) -> list[int]:
        """The first sample of each frame heard on *stream*, 0 for one without payload."""
        frames = [record.payload for record in self.heard if record.stream == stream]
        return [struct.unpack_from("<h", frame)[0] if frame else 0 for frame in frames]

    async def _tick_on(self) -> None:
        loop = asyncio.get_running_loop()
        self._due = self._due or loop.time()
        while True:
            # The sequence goes on while the socket takes nothing, or is gone.
            stale = max(0, int((loop.time() - self._due) / TICK) - FRESH_FRAMES)
            self.sequence += stale
            self._tick()
            self._due += (stale + 1) * TICK
            await self._flush()
            await until(self._due)

    def _tick(self) -> None:
        """Play one frame of the far end, with the marks behind it, and say one."""
        if self._playing and self._playing[0].kind == AUDIO:
            del self._playing[0]
        while self._playing and self._playing[0].kind == MARK:
            self._answer(self._playing.pop(0), played=True)
        for stream, voice in self.voices.items():
            if stream and not self.wanted & SPEAKERS:
                continue
            pcm = voice if stream or self.wanted & MIXED else b""
            speakers, flags = (stream,) if stream and pcm else (), 0 if voice else SILENCE
            self._outbox.append(Record(AUDIO, pcm, stream, self.sequence, flags, 1, 0, speakers))
        self.sequence += 1

    def _answer(self, mark: Record, *, played: bool) -> None:
        self._outbox.append(Record(MARK_DONE, bytes([played]) + mark.payload))

    async def _flush(self) -> None:
        async with self._sending:
            message = b"".join(pack(r._replace(epoch=self.epoch)) for r in self._outbox)
            self._outbox.clear()
            if message:
                await self.socket.send(message)

    def _take(self, message: bytes | str) -> None:
        try:
            records = unpack(message)
        except (ValueError, struct.error):
            records, self.left_out = [], self.left_out + 1
        for record in records:
            ahead = record.sequence - self._last.get(record.stream, record.sequence - 1) - 1
            is_late = record.kind == AUDIO and ahead % U32 >= U32 // 2
            known = re.fullmatch(PAYLOADS.get(record.kind, b"(?!)"), record.payload, re.DOTALL)
            if record.call or record.epoch != self.epoch or is_late or not known:
                self.left_out += 1
            elif record.kind == AUDIO:
                self._last[record.stream] = record.sequence
                self.heard.append(record)
                self._playing.extend([record] if record.stream == 0 else [])
            elif record.kind == BYE and record.stream == 0:
                self.reason = record.payload.decode(errors="replace")
            else:
                self.control.append(record)
                self._obey(record)

    def _obey(self, record: Record) -> None:
        marks = [item for item in self._playing if item.kind == MARK]
        match record.kind:
            case 2:
                self._last.pop(record.stream, None)
            case 4 if len(marks) < MAX_MARKS:
                self._playing.append(record)
            case 4:
                self._answer(record, played=False)
            case 5 if record.payload[1:] in self.unanswered:
                self.unanswered.remove(record.payload[1:])
            case 6:
                self._playing.clear()
                for mark in marks:
                    self._answer(mark, played=False)
            case 7:
                self.wanted = record.payload[0]


def constant(value: int) -> bytes:
    return struct.pack("<320h", *[value] * 320)


async def dial(
    mp_uri: str, tls: ssl.SSLContext, secret: bytes, session: str, epoch: int = 1, attempt: int = 1
) -> Any:
    """The service's end: a socket that is admitted."""
    socket = await connect(mp_uri, ssl=tls, compression=None, proxy=None, max_size=MESSAGE_BYTES)
    async with asyncio.timeout(HELLO_S):
        await hello_of_service(socket, secret, session, epoch, attempt)
    return socket
