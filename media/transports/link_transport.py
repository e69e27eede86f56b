"""An admitted media link: a leg's frames over a WebSocket, both ways, in time or not at all."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Final, Protocol

from ..bridge import Leg
from ..pcm import FRAME_SAMPLES, FRAME_TICKS, KNOWN_FLAGS
from ..peer import PeerSettings
from ..platform import MediaPlatform
from ..quality import StreamQuality
from .base import ClosedFuture, RemoteProtocolError
from .link_frames import (
    KIND_AUDIO,
    KIND_BYE,
    MAX_REASON_BYTES,
    MIXED_STREAM,
    U32,
    U64,
    Record,
    bye_reason,
    pack_message,
    parse_message,
)

log = logging.getLogger("mixminus.media.link")

FRESH_FRAMES: Final = 3
"""60 ms: what is older when the socket takes bytes again is dropped, never sent."""

IDLE_TICKS: Final = 250
"""Both ends send 50 messages a second, so 5 s without one is a dead far end."""

CLOSE_TIMEOUT_S: Final = 1.0
THE_CALL: Final = 0
"""One connection carries one call's session; the header has room for more."""

LINK_PEER: Final = PeerSettings(payload_types={0: "pcm16k"}, codec=None, secure=False)
"""Frames come in as they are, and this peer is never sent to: a WebSocket is no datagram."""


class SocketClosedError(ConnectionError):
    """The socket under a link is closed; *code* is the WebSocket's close code, if one came."""

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


class MessageSocket(Protocol):
    """A WebSocket as the link sees it; ``websockets`` and ASGI servers are adapted to it."""

    async def receive(self) -> bytes | str:
        """Wait for a message. Raises: ConnectionError when the far end is gone."""

    async def send(self, message: bytes | str) -> None:
        """Send, waiting while the far end takes nothing. Raises: ConnectionError as receive."""

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the WebSocket. Again is no error."""


class LinkTransport:
    """A leg's audio over an admitted media link, made by ``connect_link`` or ``accept_link``.

    Thread: the platform's loop.

    In: each frame to the leg's peer, the same adaptive playout that RTP has: order, gaps, the delay
    that arrivals need and no more. Out: each tick's render frame, one message for all of a tick.
    """

    def __init__(
        self, platform: MediaPlatform, leg: Leg, socket: MessageSocket, *, epoch: int
    ) -> None:
        self._leg = leg
        self._socket = socket
        self._epoch = epoch
        self._closed = ClosedFuture()
        self._closing: asyncio.Task[None] | None = None
        self._ticked = asyncio.Event()
        self._idle_ticks = 0
        self._first_timestamp: int | None = None
        self._next_sequence: int | None = None
        self._counts = dict.fromkeys(
            (
                "frames_in",
                "frames_out",
                "dropped_stale",
                "missing",
                "out_of_order",
                "other_epoch",
                "other_stream",
                "unknown_kind",
                "malformed",
            ),
            0,
        )
        leg.render.clear()
        self._peer = platform.make_peer(LINK_PEER)
        leg.attach(self._peer)
        self._unsubscribe = platform.on_tick(self._on_tick)
        self._tasks = (
            asyncio.create_task(self._run(self._send_audio()), name="media link send"),
            asyncio.create_task(self._run(self._receive()), name="media link receive"),
        )

    @property
    def closed(self) -> asyncio.Future[str]:
        """Resolved once, with the reason, when the far end is gone or close() was called."""
        return self._closed.future

    def counters(self) -> dict[str, int]:
        """Return frames in and out, and those that were not, by reason."""
        return dict(self._counts)

    def quality(self) -> StreamQuality:
        """Return what the playout measured of the far end's frames; a frame is a packet here."""
        return self._peer.quality()

    async def close(self) -> None:
        """Say bye, close the socket, and leave no task behind. Again is no error."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._close(), name="media link close")
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        told = self._closed.future.done()
        self._end("closed here")
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        with suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                if not told:
                    await self._socket.send(pack_message([self._bye("closed")]))
                await self._socket.close(1000, "")

    def _end(self, reason: str) -> None:
        self._unsubscribe()
        self._closed.resolve(reason)

    async def _run(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except ConnectionError as exc:
            self._end(f"the media link was lost: {exc}")
        except Exception:
            # A bug of ours ends this call's link with a report; the process and other calls live.
            log.exception("a media link failed")
            self._end("the media link failed")

    def _on_tick(self) -> None:
        self._ticked.set()
        self._idle_ticks += 1
        if self._idle_ticks > IDLE_TICKS:
            self._end("the media link was lost: nothing came for 5 s")

    # ---- out -------------------------------------------------------------------------------------

    async def _send_audio(self) -> None:
        while True:
            await self._ticked.wait()
            self._ticked.clear()
            records = self._due_records()
            if records:
                await self._socket.send(pack_message(records))
                self._counts["frames_out"] += len(records)

    def _due_records(self) -> list[Record]:
        """Take what was rendered, but nothing that went stale while the socket was full."""
        ring = self._leg.render
        before = ring.counters().skipped
        ring.skip_to(FRESH_FRAMES)
        records = []
        while (frame := ring.read_record()) is not None:
            records.append(self._audio(*frame))
        self._counts["dropped_stale"] += ring.counters().skipped - before
        return records

    def _audio(
        self, timestamp: int, flags: int, speakers: tuple[int, ...], payload: bytes
    ) -> Record:
        if self._first_timestamp is None:
            self._first_timestamp = timestamp
        return Record(
            kind=KIND_AUDIO,
            flags=flags & KNOWN_FLAGS,
            call=THE_CALL,
            epoch=self._epoch,
            stream=MIXED_STREAM,
            # One number a tick of the timeline: a dropped frame leaves a hole that is seen.
            sequence=(timestamp - self._first_timestamp) // FRAME_TICKS & U32,
            timestamp=timestamp & U64,
            speakers=speakers,
            payload=payload,
        )

    def _bye(self, reason: str) -> Record:
        return Record(
            kind=KIND_BYE,
            flags=0,
            call=THE_CALL,
            epoch=self._epoch,
            stream=MIXED_STREAM,
            sequence=0,
            timestamp=0,
            speakers=(),
            payload=reason.encode()[:MAX_REASON_BYTES],
        )

    # ---- in --------------------------------------------------------------------------------------

    async def _receive(self) -> None:
        while not self._closed.future.done():
            message = await self._socket.receive()
            self._idle_ticks = 0
            try:
                records = parse_message(message)
            except RemoteProtocolError:
                self._counts["malformed"] += 1
                continue
            for record in records:
                self._take(record)

    def _take(self, record: Record) -> None:
        if record.epoch != self._epoch:
            self._counts["other_epoch"] += 1
        elif record.call != THE_CALL or record.stream != MIXED_STREAM:
            self._counts["other_stream"] += 1
        elif record.kind == KIND_AUDIO:
            self._take_audio(record)
        elif record.kind == KIND_BYE:
            self._end(f"the far end said bye: {bye_reason(record) or 'no reason'}")
        else:
            self._counts["unknown_kind"] += 1

    def _take_audio(self, record: Record) -> None:
        if self._next_sequence is not None:
            ahead = (record.sequence - self._next_sequence) & U32
            if ahead > U32 // 2:
                # A WebSocket keeps order; to the playout a step back would be another stream.
                self._counts["out_of_order"] += 1
                return
            self._counts["missing"] += ahead
        self._next_sequence = (record.sequence + 1) & U32
        self._counts["frames_in"] += 1
        self._peer.push(
            record.payload,
            sequence=record.sequence,
            # Sequence counts the sender's ticks, sent or not: media time without a clock's wobble.
            timestamp_samples=record.sequence * FRAME_SAMPLES & U32,
            flags=record.flags & KNOWN_FLAGS,
            speakers=record.speakers,
        )
