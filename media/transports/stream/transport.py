"""A session's audio over a telephony stream: any dialect, either role, through lost sockets."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any, Final

from ...bridge import Leg
from ...platform import MediaPlatform
from ...quality import StreamQuality
from ..base import CAPABILITIES, SEND_TONES, ClosedFuture, RemoteProtocolError, SpeakerLegs
from ..message_socket import SocketClosedError
from .connection import CLOSE_TIMEOUT_S, NORMAL_CODE, OpenStream, close_quietly
from .dialect import (
    Audio,
    Event,
    KeyPressed,
    MarkPlayed,
    Started,
    Stopped,
    StreamFormat,
    check_mark_name,
)
from .outlet import Outlet
from .pace import LEAD_FRAMES
from .speakers import Inlets

log = logging.getLogger("mixminus.media.stream")

RESUME_S: Final = 10.0
"""How long a far end that comes back has for it."""
QUIET_TICKS: Final = 2 * 10_000_000
"""2 s without audio of a sender that never pauses: the way is lost."""
MAX_MARKS: Final = 256
MAX_CHANGES: Final = 16
"""Of format, on one socket. Each costs milliseconds of the loop; a far end may need one."""
LARGEST: Final = ("jitter_ms", "delay_ms", "target_ms")
"""Of several speakers' qualities the worst counts; of counts the sum."""


@dataclass(slots=True)
class _Mark:
    name: str
    position_frames: int


class StreamTransport:
    """A session's transport over a stream; see :class:`..base.SessionTransport`.

    In: each frame to a playout, the mix's or its speaker's, on a timeline that pauses of the sender
    are part of. Out: each tick's render frame, with a small lead. Speakers come apart when the far
    end sends them so: that is agreed upon before the stream begins, so ``want_speakers`` has
    no effect. Marks of a dialect without any are answered by
    what the far end must have played at 50 frames a second.

    When the socket is lost and the dialect resumes, ``resume`` takes the next one within
    ``resume_s``; the timeline goes on meanwhile.
    Thread: the platform's loop.
    """

    capabilities = CAPABILITIES - {SEND_TONES}

    def __init__(
        self,
        platform: MediaPlatform,
        leg: Leg,
        speakers: SpeakerLegs,
        stream: OpenStream,
        *,
        lead_frames: int = LEAD_FRAMES,
        resume_s: float = RESUME_S,
    ) -> None:
        self.on_tone: Callable[[str], None] | None = None
        self.on_media: Callable[[bool], None] | None = None
        self.on_mark: Callable[[str, bool], None] | None = None
        self._platform = platform
        self._resume_s = resume_s
        self._stream: OpenStream | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._carriers: tuple[asyncio.Task[None], ...] = ()
        """Those of the socket there is now; sockets that are being closed have theirs, too."""
        self._closed = ClosedFuture()
        self._closing: asyncio.Task[None] | None = None
        self._giving_up: asyncio.TimerHandle | None = None
        self._is_up = True
        self._is_complained = False
        self._marks: deque[_Mark] = deque()
        self._heard_at = platform.now()
        self._frames_in = self._frames_out = self._messages_in = self._early = 0
        self._malformed = self._ignored = self._reconnects = 0
        self._outlet = Outlet(leg.render, stream.started.format, lead_frames)
        self._inlets = Inlets(platform, leg, speakers, stream.started.format)
        self._take_stream(stream)
        self._unsubscribe = platform.on_tick(self._on_tick)
        platform.totals.streams.follow_until(self.closed, self.counters)

    @property
    def closed(self) -> asyncio.Future[str]:
        """Resolved once, with the reason, when the far end is gone or close() was called."""
        return self._closed.future

    @property
    def is_connected(self) -> bool:
        """Whether there is a socket now."""
        return self._stream is not None

    def speaker_ids(self) -> dict[str, int]:
        """Return the source ids of all speakers that came apart, by the far end's names."""
        return self._inlets.source_ids()

    def counters(self) -> dict[str, int]:
        """Return frames in and out, and what else became of frames and messages.

        ``unsent`` frames found no socket, or a far end that only talks.
        """
        inlets, out = self._inlets.inlets, self._outlet
        return {
            "frames_in": self._frames_in,
            "frames_out": self._frames_out,
            "messages_in": self._messages_in,
            "early": self._early,
            "malformed": self._malformed,
            "ignored": self._ignored,
            "reframed": sum(inlet.reframed for inlet in inlets),
            "paused_frames": sum(inlet.paused_frames for inlet in inlets),
            "displaced_speakers": self._inlets.displaced,
            "refused_speakers": self._inlets.refused_frames,
            "reconnects": self._reconnects,
            "lead_frames": out.lead_sent,
            "silence_unsent": out.silence_unsent,
            "dropped_stale": out.dropped_stale,
            "dropped_ahead": out.dropped_ahead,
            "unsent": out.unsent,
            "cleared": out.cleared,
        }

    def quality(self) -> StreamQuality:
        """Return what the playouts measured; a frame is a packet here, and none is ever lost.

        With speakers apart, counts are those of all of them, delays the largest.
        """
        mixed, *speakers = [inlet.peer.quality() for inlet in self._inlets.inlets]
        return _sum_of(speakers) if speakers else mixed

    @property
    def sends_silence(self) -> bool:
        """Whether frames flagged silence go out; see :class:`..base.SessionTransport`."""
        return self._outlet.sends_silence

    @sends_silence.setter
    def sends_silence(self, on: bool) -> None:
        self._outlet.sends_silence = on

    # ---- what the session asks for ---------------------------------------------------------------

    def want_speakers(self, wanted: bool) -> None:
        """Do nothing: whether speakers come apart was agreed upon before the stream began."""

    def send_tone(self, key: str, duration_ms: int) -> None:
        """Raise RuntimeError: no dialect has a message for it, so keys go in the audio."""
        raise RuntimeError("a stream takes no keys: their tones are sent as audio")

    def send_mark(self, name: str) -> None:
        """Ask to hear when the audio sent so far was played.

        Raises: ValueError on a name.

        While 256 wait for their answer, one more is told as not played at once.
        """
        check_mark_name(name)
        is_full = len(self._marks) >= MAX_MARKS
        if is_full or self._stream is None or not self._stream.started.takes_audio:
            self._tell_mark(name, False)
            return
        dialect = self._stream.dialect
        self._outlet.collect(dialect, self._platform.now())
        self._marks.append(_Mark(name, self._outlet.pace.sent_frames))
        if (text := dialect.write_mark(name)) is not None:
            self._outlet.put(text)

    def clear(self) -> None:
        """Have the far end drop what it has not played; its marks are answered now."""
        self._outlet.cleared += self._outlet.drop_waiting()
        self._answer_marks()
        self._outlet.clear(self._platform.now())
        if self._stream is not None and self._stream.started.takes_audio:
            self._outlet.put(self._stream.dialect.write_clear())

    # ---- sockets come and go ---------------------------------------------------------------------

    def resume(self, stream: OpenStream) -> None:
        """Go on over *stream*, in place of the socket that was lost or is about to be.

        Raises: RuntimeError when the transport is closed.
        """
        if self._closed.future.done():
            raise RuntimeError("the stream is over")
        self._let_go_of_socket()
        self._reconnects += 1
        self._inlets.set_format(stream.started.format)
        self._outlet.begin(stream.started.format)
        self._take_stream(stream)

    async def close(self) -> None:
        """Close the socket, and leave no task behind. Again is no error."""
        if self._closing is None:
            # At once: the session's legs are gone before the first task of the end runs.
            self._end("closed here")
            self._closing = asyncio.create_task(self._close(), name="stream close")
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        self._let_go_of_socket()
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _take_stream(self, stream: OpenStream) -> None:
        if self._giving_up is not None:
            self._giving_up.cancel()
            self._giving_up = None
        self._stream = stream
        self._format, self._changes = stream.started.format, 0
        self._is_complained = False
        self._heard_at = self._platform.now()
        self._early += stream.early
        for track in stream.started.tracks:
            self._inlets.expect(track)
        self._carriers = (
            self._spawn(self._run(stream, self._send), "stream send"),
            self._spawn(self._run(stream, self._receive), "stream receive"),
        )
        self._set_up(True)

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _run(self, stream: OpenStream, work: Callable[[OpenStream], Awaitable[None]]) -> None:
        try:
            await work(stream)
        except ConnectionError as exc:
            code = exc.code if isinstance(exc, SocketClosedError) else None
            if self._stream is stream:
                self._lose_socket(stream, str(exc), is_clean=code == NORMAL_CODE)
        except Exception:
            # A bug of ours ends this call's stream with a report; the process and other calls live.
            log.exception("a stream failed")
            self._end("the stream failed")

    def _lose_socket(self, stream: OpenStream, reason: str, *, is_clean: bool) -> None:
        name = stream.dialect.name
        if is_clean or not stream.dialect.resumes:
            self._end(f"the {name} stream ended: {reason}")
        self._let_go_of_socket()
        if self._closed.future.done():
            return
        log.warning("%s stream: its socket was lost (%s): waiting for another", name, reason)
        gone = f"the {name} stream was lost, and did not come back: {reason}"
        self._giving_up = asyncio.get_running_loop().call_later(self._resume_s, self._end, gone)

    def _let_go_of_socket(self) -> None:
        stream, self._stream = self._stream, None
        if stream is None:
            return
        current = asyncio.current_task()
        for task in self._carriers:
            if task is not current:
                task.cancel()
        self._outlet.unsent += self._outlet.drop_waiting()
        self._answer_marks()
        self._spawn(close_quietly(stream.socket), "stream socket close")
        if not self._closed.future.done():
            self._set_up(False)

    def _end(self, reason: str) -> None:
        self._unsubscribe()
        if self._giving_up is not None:
            self._giving_up.cancel()
            self._giving_up = None
        if not self._closed.future.done():
            self._answer_marks()
        self._closed.resolve(reason)

    def _set_up(self, is_up: bool) -> None:
        if is_up is not self._is_up:
            self._is_up = is_up
            if self.on_media is not None:
                self.on_media(is_up)

    # ---- out -------------------------------------------------------------------------------------

    def _on_tick(self) -> None:
        stream, now = self._stream, self._platform.now()
        if stream is None:
            self._outlet.discard()
            return
        if stream.started.takes_audio:
            self._outlet.collect(stream.dialect, now)
        else:
            self._outlet.discard()
        if not stream.dialect.marks:
            played = self._outlet.pace.played_frames(now)
            while self._marks and self._marks[0].position_frames <= played:
                self._tell_mark(self._marks.popleft().name, True)
        is_steady = stream.dialect.steady or not self._inlets.has_speakers
        if is_steady and now - self._heard_at > QUIET_TICKS:
            self._set_up(False)

    async def _send(self, stream: OpenStream) -> None:
        """Send what waits, in its order: the one writer of the socket."""
        while True:
            item = self._outlet.take()
            if item is None:
                await self._outlet.ready.wait()
                continue
            try:
                await stream.socket.send(item.text)
            except ConnectionError:
                # Only receiving tells how the far end closed (a clean end is no loss): it learns
                # that now, if at all, and ends this task then.
                await asyncio.wait(self._carriers[1:], timeout=CLOSE_TIMEOUT_S)
                raise
            self._frames_out += item.frames

    # ---- in --------------------------------------------------------------------------------------

    async def _receive(self, stream: OpenStream) -> None:
        while True:
            message = await stream.socket.receive()
            self._messages_in += 1
            try:
                event = stream.dialect.parse(message)
            except RemoteProtocolError as exc:
                self._malformed += 1
                if not self._is_complained:
                    # Once a socket: the rest is counted.
                    self._is_complained = True
                    log.warning("%s stream: %s", stream.dialect.name, exc)
                continue
            self._take(event)

    def _take(self, event: Event) -> None:
        if self._closed.future.done():
            return
        match event:
            case Audio():
                self._heard_at = self._platform.now()
                self._frames_in += self._inlets.take(event, self._heard_at)
                self._set_up(True)
            case KeyPressed():
                if self.on_tone is not None:
                    self.on_tone(event.key)
            case MarkPlayed():
                self._take_mark(event)
            case Stopped():
                self._end(event.reason)
            case Started():
                self._change_format(event.format)
            case _:
                self._ignored += 1

    def _change_format(self, form: StreamFormat) -> None:
        """Said again on one socket: what comes from now on is in that format."""
        if form == self._format:
            return
        self._changes += 1
        if self._changes > MAX_CHANGES:
            self._end(f"the far end changed its format more than {MAX_CHANGES} times")
            return
        self._format = form
        self._inlets.set_format(form)
        self._outlet.set_format(form)

    # ---- marks -----------------------------------------------------------------------------------

    def _take_mark(self, event: MarkPlayed) -> None:
        for mark in self._marks:
            if mark.name == event.name:
                self._marks.remove(mark)
                self._tell_mark(mark.name, event.played is not False)
                return
        # One that a clear answered before the far end did.
        self._ignored += 1

    def _answer_marks(self) -> None:
        """Answer all marks by what the far end must have played: nobody else will."""
        played = self._outlet.pace.played_frames(self._platform.now())
        marks, self._marks = self._marks, deque()
        for mark in marks:
            self._tell_mark(mark.name, mark.position_frames <= played)

    def _tell_mark(self, name: str, played: bool) -> None:
        if self.on_mark is not None:
            self.on_mark(name, played)


def _sum_of(parts: list[StreamQuality]) -> StreamQuality:
    """Return the counts of all *parts*, and their largest delays."""
    changes: dict[str, Any] = {}
    for name in StreamQuality.__dataclass_fields__:
        values = [getattr(part, name) for part in parts]
        if isinstance(values[0], int):
            changes[name] = sum(values)
        elif name in LARGEST:
            changes[name] = max((value for value in values if value is not None), default=None)
    return replace(parts[0], **changes)
