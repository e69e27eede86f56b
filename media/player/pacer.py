"""Frames of a program into a socket, tick by tick; and what became of each of them."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

import numpy as np

from ..pcm import FRAME_SAMPLES, Pcm
from ..session import AudioSocket
from .clip import Clip, ended_softly
from .feed import FeedSource, Preroll
from .program import Flight, Part, Program, ProgramFrame

DUE_FRAMES: Final = 2
"""A frame that lacks samples goes out when so many wait before it: 40 ms of standing still."""

AHEAD_FRAMES: Final = 8
"""What is kept waiting where there is something to say: 160 ms of standing still leave no hole.
No delay for who interrupts: what waits is flushed."""

SILENT: Final = np.zeros(FRAME_SAMPLES, np.int16)


class Pacer:
    """Sends a program's frames as there is room for them, and says what was played.

    ``on_end`` is called with each clip whose last sample was played, or dropped by a flush;
    ``on_mark`` with each mark. The last frame of a row is followed by one of silence, so that its
    end is never repeated as concealment.
    Thread: the loop's.
    """

    def __init__(
        self,
        socket: AudioSocket,
        on_end: Callable[[Clip], None],
        on_mark: Callable[[str, bool], None],
    ) -> None:
        self.program = Program()
        self.preroll = Preroll()
        self.position_samples = 0
        self._socket = socket
        self._on_end, self._on_mark = on_end, on_mark
        self._flight = Flight()
        self._cleared: set[Clip] = set()
        self._is_clearing = self._is_paused = False
        self._seen_cleared = socket.sender.cleared_frames
        self._endings: list[Pcm] = []
        self._dry_since: int | None = None
        """The tick after which nothing waited, and nothing came since."""
        self._stop_marks = socket.on_mark(self._take_mark)

    @property
    def is_idle(self) -> bool:
        """Whether everything was played, and its end is silence."""
        return self.program.is_empty and not len(self._flight) and not self._endings

    @property
    def is_paused(self) -> bool:
        """Whether nothing is sent."""
        return self._is_paused

    @property
    def clips(self) -> set[Clip]:
        """All clips of which something is to be played, or is on its way."""
        return self.program.clips | self._flight.clips

    @property
    def ready_samples(self) -> float:
        """Samples that are on their way or here to be sent; infinite in an endless loop."""
        return self._flight.samples + self.program.ready_samples

    def clear(self, clips: Collection[Clip]) -> set[Clip]:
        """Play no more of *clips*; return those whose end is known only after the next tick."""
        self.program.drop(clips)
        in_flight = self._flight.clips & set(clips)
        if in_flight:
            self._is_clearing = True
            self._cleared |= in_flight
            self._socket.flush()
        return in_flight

    def pause(self) -> None:
        """Send no more; what was sent is played, and fades into silence."""
        self._is_paused = True
        frame = self.program.next_frame(is_due=True) if self._endings else None
        if frame is not None:
            # It is heard from its beginning again: what fades out here is no loss.
            self.program.take_back([frame])
            self._endings = [ended_softly(frame.pcm), SILENT]
        self.fill()

    def resume(self) -> None:
        """Go on."""
        self._is_paused = False
        self._endings = self._endings[-1:]
        self.fill()

    def end(self) -> set[Clip]:
        """Give everything up; return the clips that were not at their end. Again is no error."""
        self._stop_marks()
        left = self.clips | self._cleared
        self.program.drop(left)
        self._flight.recall()
        self._cleared.clear()
        self._endings.clear()
        return left

    def settle(self) -> None:
        """Take note of what was played, and of what a flush has dropped."""
        sender = self._socket.sender
        if sender.is_flushing:
            return
        waiting_frames = sender.waiting_frames
        accepted_frames = sender.accepted_frames
        dropped_frames = sender.cleared_frames - self._seen_cleared
        if not self._is_clearing and not dropped_frames:
            self._land(self._flight.land(accepted_frames - waiting_frames))
            return
        self._seen_cleared = sender.cleared_frames
        self._land(self._flight.land(accepted_frames - dropped_frames))
        self._take_in(self._flight.recall())

    def fill(self, *, ticked: bool = False) -> None:
        """Send what there is room for."""
        socket = self._socket
        if not socket.active or socket.sender.is_flushing:
            # While a flush waits for its tick nothing follows, so that what it drops is the last.
            return
        # What waits is there on purpose: files are ahead of the call, feeds have a pre-roll.
        socket.sender.stay_ahead()
        if self._is_paused:
            self._send_endings()
            return
        while socket.waiting_frames < AHEAD_FRAMES:
            frame = self.program.next_frame(is_due=socket.waiting_frames <= DUE_FRAMES)
            if frame is None:
                if ticked:
                    self._run_dry()
                return
            self._send(frame)

    def _take_in(self, dropped: list[ProgramFrame]) -> None:
        """A flush is done: *dropped* was not played."""
        if not self._is_clearing:
            # It was not us who flushed: those frames are nobody's to send again.
            self._cleared = {part.clip for frame in dropped for part in frame.parts if part.is_last}
            dropped = []
        self._is_clearing = False
        left = (frame.without(self._cleared) for frame in dropped)
        self.program.take_back([frame for frame in left if frame is not None])
        self._endings.clear()
        cleared, self._cleared = self._cleared, set()
        for clip in cleared:
            clip.cut()
            self._on_end(clip)

    def _land(self, frames: list[ProgramFrame]) -> None:
        for frame in frames:
            for part in frame.parts:
                self._land_part(part)

    def _land_part(self, part: Part) -> None:
        clip = part.clip
        clip.position_samples += part.samples
        self.position_samples += part.samples
        if isinstance(clip.source, FeedSource):
            buffered_frames = clip.source.buffered_samples // FRAME_SAMPLES
            self.preroll.played(buffered_frames + self._socket.waiting_frames)
        if part.is_last and clip not in self._cleared:
            self._on_end(clip)
            if clip.mark is not None and not clip.was_mark_sent:
                # A frame carries one mark; this one was the second.
                self._on_mark(clip.mark, True)

    def _send(self, frame: ProgramFrame) -> None:
        sender, marked = self._socket.sender, frame.marked
        mark = None if marked is None else marked.mark
        sent = sender.try_write(frame.pcm, mark, ahead_frames=AHEAD_FRAMES)
        assert sent, "there was room for a frame, and only this thread takes it"
        if marked is not None:
            marked.was_mark_sent = True
        self._flight.push(frame, sender.accepted_frames)
        self._endings = [SILENT]
        self._dry_since = None

    def _send_endings(self) -> None:
        while self._endings and self._socket.waiting_frames < AHEAD_FRAMES:
            self._socket.sender.try_write(self._endings.pop(0), ahead_frames=AHEAD_FRAMES)

    def _run_dry(self) -> None:
        """Nothing can be sent at this tick: a feed has a hole, or the row is at its end."""
        if self.program.has_begun:
            return
        head = self.program.head
        source = None if head is None else head.source
        if not (isinstance(source, FeedSource) and source.is_live):
            self._send_endings()
        elif self._socket.waiting_frames:
            self._dry_since = None
        elif self._dry_since is None:
            # What comes before the next tick is in time still.
            self._dry_since = self._socket.sender.tick_count
        else:
            source.miss(self._socket.sender.tick_count - self._dry_since)

    def _take_mark(self, name: str, played: bool) -> None:
        again = self._flight.marked - self._cleared if self._is_clearing else set()
        if not played and any(clip.mark == name for clip in again):
            return  # Another clip was cleared: this one is sent again, with its mark.
        self._on_mark(name, played)
