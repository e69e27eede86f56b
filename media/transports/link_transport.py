"""An admitted media link: a leg's frames over a WebSocket, both ways, in time or not at all.

What both ends do; the bot host's part is in link_host.py, the call service's in link_service.py.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable
from typing import Final

from ..bridge import Leg
from ..fence import Fence
from ..pcm import FRAME_NS
from ..platform import MediaPlatform
from ..quality import StreamQuality
from .base import ClosedFuture, RemoteProtocolError
from .link_connection import Connection
from .link_control import bye, bye_reason
from .link_frames import (
    KIND_AUDIO,
    KIND_BYE,
    MIXED_STREAM,
    THE_CALL,
    Record,
    messages_of,
    pack,
    parse_message,
)
from .link_streams import IDLE_NS, InStream, Timeline, attach_peer
from .message_socket import MessageSocket

FRESH_FRAMES: Final = 3
"""60 ms: what is older when the socket takes bytes again is dropped, never sent."""

MAX_STEP_NS: Final = 5 * FRAME_NS
MAX_WAITING_CONTROL: Final = 1024
"""Control records that wait for a socket: hundreds a second for all the time a link may be lost."""

COUNTED: Final = (
    "frames_in",
    "frames_out",
    "speaker_frames_in",
    "speaker_frames_out",
    "control_in",
    "control_out",
    "dropped_stale",
    "dropped_control",
    "missing",
    "out_of_order",
    "other_epoch",
    "other_stream",
    "unknown_kind",
    "malformed",
    "lost",
    "resumed",
)


class LinkTransport(ABC):
    """A leg's audio over an admitted media link, also over the socket that replaces a lost one.

    Thread: the platform's loop. Made by ``connect_link`` or ``accept_link``.

    In: each frame to the leg's peer, the same adaptive playout that RTP has: order, gaps, the delay
    that arrivals need and no more. Out: each tick's render frame, one message for all of a tick.
    A socket that is lost may be replaced within *resume_ns*; sequences go on, and what control
    records waited is sent then. ``on_media`` hears False and True of it. While *fence* is shut
    nothing is sent.
    """

    def __init__(
        self,
        platform: MediaPlatform,
        leg: Leg,
        socket: MessageSocket,
        *,
        epoch: int,
        resume_ns: int,
        fence: Fence | None = None,
    ) -> None:
        self.on_media: Callable[[bool], None] | None = None
        self._platform, self._leg, self._epoch = platform, leg, epoch
        self._resume_ns, self._fence = resume_ns, fence
        self._closed = ClosedFuture()
        self._closing: asyncio.Task[None] | None = None
        self._leaving: set[asyncio.Task[None]] = set()
        self._counts: Counter[str] = Counter(dict.fromkeys(COUNTED, 0))
        self._control: deque[Record] = deque()
        self._timeline = Timeline()
        self._quiet_ns = 0
        self._looked_at: int | None = None
        self._lost_why = ""
        self._has_said_bye = False
        leg.render.clear()
        self._skipped_frames = leg.render.counters().skipped
        self._mixed = InStream(attach_peer(platform, leg), self._counts, "frames_in")
        self._unsubscribe = platform.on_tick(self._on_tick)
        self._connection: Connection | None = self._connect(socket)
        platform.totals.links.follow_until(self.closed, self.counters)

    @property
    def closed(self) -> asyncio.Future[str]:
        """Resolved once, with the reason, when the far end is gone or close() was called."""
        return self._closed.future

    @property
    def has_said_bye(self) -> bool:
        """Whether it was the far end that ended the link, by a bye: it will not come again."""
        return self._has_said_bye

    @property
    def is_lost(self) -> bool:
        """Whether there is no socket now."""
        return self._connection is None

    def counters(self) -> dict[str, int]:
        """Return frames in and out, and those that were not, by reason."""
        return dict(self._counts)

    def quality(self) -> StreamQuality:
        """Return what the playout measured of the far end's frames; a frame is a packet here."""
        return self._mixed.peer.quality()

    async def close(self, said: str = "closed") -> None:
        """Say bye, *said* being the reason, and leave no task behind. Again is no error."""
        await asyncio.shield(self._begin_close(said))

    def _begin_close(self, said: str | None) -> asyncio.Task[None]:
        """End now, then close with a bye, or (None) without a word. The first call decides."""
        if self._closing is None:
            told = self._closed.future.done()
            self._end("closed here")
            self._closing = asyncio.create_task(self._close(said, told), name="media link close")
        return self._closing

    async def _close(self, said: str | None, told: bool) -> None:
        connection = self._connection
        if connection is not None:
            if said is None:
                await connection.close(1001, "left")
            else:
                last = None if told else b"".join((*self._due_control(), self._pack(bye(said))))
                await connection.close(1000, "", last)
        while self._leaving:
            await asyncio.wait(self._leaving)

    # ---- sockets that come and go ----------------------------------------------------------------

    def _connect(self, socket: MessageSocket) -> Connection:
        return Connection(
            socket,
            take=self._take_message,
            due=self._due,
            failed=self._failed,
            fence=self._fence,
        )

    def _failed(self, connection: Connection, reason: str | None) -> None:
        if reason is None:
            self._end("the media link failed")
        elif connection is self._connection:
            self._lose(reason)

    def _lose(self, reason: str, code: int = 1001, said: str = "lost") -> None:
        """Let go of the socket; the link lives on for as long as another may take its place."""
        if self._closed.future.done():
            return
        self._drop(code, said)
        self._counts["lost"] += 1
        self._quiet_ns = 0
        self._lost_why = reason
        self._when_lost()
        if self.on_media is not None:
            self.on_media(False)

    def _drop(self, code: int, reason: str) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.stop()
            self._leave(asyncio.create_task(connection.close(code, reason), name="media link drop"))

    def _leave(self, task: asyncio.Task[None]) -> None:
        """Have close() wait for *task*."""
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    def _go_on(self, socket: MessageSocket) -> None:
        """Carry on over another socket."""
        self._counts["resumed"] += 1
        self._quiet_ns = 0
        self._connection = self._connect(socket)
        self._when_resumed()
        if self.on_media is not None:
            self.on_media(True)

    @abstractmethod
    def _when_lost(self) -> None:
        """Do what follows from the loss of the socket."""

    @abstractmethod
    def _when_resumed(self) -> None:
        """Do what follows from another socket's being there."""

    def _end(self, reason: str) -> None:
        self._unsubscribe()
        self._closed.resolve(reason)
        if self._connection is not None:
            self._connection.stop()

    def _on_tick(self) -> None:
        now = self._platform.now()
        passed_ns = FRAME_NS if self._looked_at is None else 100 * (now - self._looked_at)
        self._looked_at = now
        # What waits in a socket while the loop stands still is not the far end's silence.
        self._pass_time(min(passed_ns, MAX_STEP_NS))

    def _pass_time(self, passed_ns: int) -> None:
        """Do what is to be done every tick. The loop may be woken more often, or less."""
        self._quiet_ns += passed_ns
        if self._connection is None:
            if self._quiet_ns > self._resume_ns:
                self._end(f"the media link was lost: {self._lost_why}")
            return
        self._connection.wake()
        if self._quiet_ns > IDLE_NS:
            self._lose("nothing came for 5 s")

    # ---- out -------------------------------------------------------------------------------------

    def _say(self, record: Record) -> None:
        """Send a control record after the audio that is due now, soon, and in order."""
        if len(self._control) >= MAX_WAITING_CONTROL:
            self._counts["dropped_control"] += 1
            return
        self._control.append(record)
        if self._connection is not None:
            self._connection.wake()

    def _due(self) -> list[bytes]:
        if self._fence is not None and not self._fence.is_open:
            # Control waits until it opens; of the audio, what is fresh then is sent.
            return []
        records = self._due_audio()
        if self._control:
            records += self._due_control()
        return messages_of(records)

    def _due_control(self) -> list[bytes]:
        due, self._control = self._control, deque()
        self._counts["control_out"] += len(due)
        return [self._pack(record) for record in due]

    def _pack(self, record: Record) -> bytes:
        return pack(record._replace(epoch=self._epoch))

    def _due_audio(self) -> list[bytes]:
        """Take what was rendered, but nothing that went stale while the socket was full."""
        ring = self._leg.render
        ring.skip_to(FRESH_FRAMES)
        records = []
        while (frame := ring.read_record()) is not None:
            timestamp, flags, speakers, payload = frame
            records.append(self._mixed_record(timestamp, flags, speakers, payload))
        self._counts["frames_out"] += len(records)
        skipped = ring.counters().skipped
        self._counts["dropped_stale"] += skipped - self._skipped_frames
        self._skipped_frames = skipped
        return records

    def _mixed_record(
        self, timestamp: int, flags: int, speakers: tuple[int, ...], payload: bytes
    ) -> bytes:
        return self._timeline.audio(self._epoch, MIXED_STREAM, timestamp, flags, speakers, payload)

    # ---- in --------------------------------------------------------------------------------------

    def _take_message(self, message: bytes | str) -> None:
        self._quiet_ns = 0
        try:
            records = parse_message(message)
        except RemoteProtocolError:
            self._counts["malformed"] += 1
            return
        for record in records:
            if self._closed.future.done():
                return  # What stands behind a goodbye is nobody's.
            self._take(record)

    def _take(self, record: Record) -> None:
        if record.epoch != self._epoch:
            self._counts["other_epoch"] += 1
        elif record.call != THE_CALL:
            self._counts["other_stream"] += 1
        elif record.kind == KIND_AUDIO:
            if record.stream == MIXED_STREAM:
                self._mixed.take(record)
            else:
                self._take_speaker(record)
        elif record.kind == KIND_BYE and record.stream == MIXED_STREAM:
            self._has_said_bye = True
            self._end(f"the far end said bye: {bye_reason(record) or 'no reason'}")
        else:
            try:
                known = self._take_control(record)
            except RemoteProtocolError:
                self._counts["malformed"] += 1
            else:
                self._counts["control_in" if known else "unknown_kind"] += 1

    @abstractmethod
    def _take_speaker(self, record: Record) -> None:
        """Take an audio record of another stream than the mixed one."""

    @abstractmethod
    def _take_control(self, record: Record) -> bool:
        """Take a control record; False: of a kind that this end does not know.

        Raises: RemoteProtocolError when it does not carry what its kind says.
        """
