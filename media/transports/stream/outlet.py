"""What goes out: each tick's frame in the far end's format, and other messages between."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Final

from ...pcm import FLAG_SILENCE, FRAME_BYTES
from ...ring import FrameRing
from .dialect import Dialect, StreamFormat
from .framing import FrameWriter
from .pace import Pace

FRESH_FRAMES: Final = 3
"""60 ms: what is older when the socket takes bytes again is dropped, never sent."""
SILENT_FRAME: Final = bytes(FRAME_BYTES)


@dataclass(slots=True, eq=False)
class Outgoing:
    """What waits for the socket. Audio may be dropped while it does, other messages never."""

    text: str
    frames: int = 0


class Outlet:
    """One leg's render frames as messages, in order with all else that is sent.

    Thread: the loop's.
    """

    def __init__(self, ring: FrameRing, form: StreamFormat, lead_frames: int) -> None:
        self._ring = ring
        self._writer = FrameWriter(form)
        self._waiting: deque[Outgoing] = deque()
        self._lead_frames = lead_frames
        self.pace = Pace(lead_frames)
        self.sends_silence = True
        """False: silent frames do not go out. To a far end that plays none, silence is nothing."""
        self.ready = asyncio.Event()
        """Set while something waits."""
        self.lead_sent = self.silence_unsent = 0
        self.dropped_stale = self.dropped_ahead = self.unsent = self.cleared = 0
        self._cleared_at: int | None = None
        ring.clear()

    def begin(self, form: StreamFormat) -> None:
        """Begin anew over another socket, perhaps in another format."""
        self._writer = FrameWriter(form)
        self._waiting.clear()
        self.pace.clear()
        self._ring.clear()
        self._cleared_at = None

    def set_format(self, form: StreamFormat) -> None:
        """Send in another format from now on."""
        self._writer = FrameWriter(form)

    def discard(self) -> None:
        """Throw away what was rendered: nobody is there for it."""
        self.unsent += self._ring.clear()

    def collect(self, dialect: Dialect, now: int) -> None:
        """Take what was rendered, but nothing that went stale before it could be sent.

        Units:  now in 100 ns ticks of the engine's clock.
        """
        while (record := self._ring.read_record()) is not None:
            timestamp, flags, _, frame = record
            is_silent = bool(flags & FLAG_SILENCE)
            if self._cleared_at is not None:
                # The first frame after the clearing is the end of what was cleared here, faded out:
                # behind a new lead it would be a click, long after the far end has stopped.
                if timestamp >= self._cleared_at:
                    self._cleared_at = None
                frame, is_silent = SILENT_FRAME, True
            self._put(dialect, frame, is_silent, now)
        self._drop_stale()
        if self._waiting:
            self.ready.set()

    def put(self, text: str) -> None:
        """Send a message after all that waits now."""
        self._waiting.append(Outgoing(text))
        self.ready.set()

    def take(self) -> Outgoing | None:
        """Return the next message, or None: then ``ready`` says when there is one."""
        if self._waiting:
            return self._waiting.popleft()
        self.ready.clear()
        return None

    def clear(self, now: int) -> None:
        """Drop all audio that has not gone out, and take the far end's as dropped, too.

        Units:  now in 100 ns ticks of the engine's clock.
        """
        self._cleared_at = now
        self.cleared += self._ring.clear()
        self.cleared += self.drop_waiting()
        self.pace.clear()

    def drop_waiting(self) -> int:
        """Drop the audio that has not gone out yet; return how many frames."""
        kept = deque(item for item in self._waiting if not item.frames)
        dropped = len(self._waiting) - len(kept)
        self._waiting = kept
        self.pace.take_back(dropped)
        return dropped

    def _put(self, dialect: Dialect, frame: bytes, is_silent: bool, now: int) -> None:
        if is_silent and not self.sends_silence:
            self.pace.rest()
            self.silence_unsent += 1
            return
        extra, goes = self.pace.plan(is_silent, now)
        self.lead_sent += extra
        for _ in range(extra):
            self._append(dialect, SILENT_FRAME)
        if goes:
            self._append(dialect, frame)
        elif is_silent:
            self.silence_unsent += 1
        else:
            self.dropped_ahead += 1

    def _append(self, dialect: Dialect, frame: bytes) -> None:
        self._waiting.append(Outgoing(dialect.write_audio(self._writer.push(frame)), 1))

    def _drop_stale(self) -> None:
        if len(self._waiting) <= FRESH_FRAMES + self._lead_frames:
            return
        audio = [item for item in self._waiting if item.frames]
        for item in audio[: max(0, len(audio) - FRESH_FRAMES - self._lead_frames)]:
            self._waiting.remove(item)
            self.pace.take_back(1)
            self.dropped_stale += 1
