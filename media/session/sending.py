"""The bot's way into the call: room, order, marks, keys, and delay that is given back."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from ..bridge import Leg
from ..pcm import FLAG_SILENCE, FRAME_SAMPLES, Pcm
from ..platform import MediaPlatform
from .pauses import PauseFinder, is_quiet
from .shorten import Shortener
from .silence import SendGate

MAX_TARGET_FRAMES: Final = 5
ROOM_FRAMES: Final = 4
"""Frames that may wait to be played: 60 ms of standing still, and the one that is due. More while
the playout wants more; so who is ahead of the call gives that back by itself."""
RESERVE_SENDS: Final = 50
"""Frames that waited before each of so many sends (1 s) are no reserve. What the playout wants
against stalls is its target, which follows them (native/playout.c)."""
TONE_DEPTH_FRAMES: Final = 3
"""How far ahead a key's tone is written where the bot sends nothing: 60 ms of standing still."""

_SILENT: Final = np.zeros(FRAME_SAMPLES, np.int16)


@dataclass(frozen=True, slots=True)
class SentCounters:
    """What became of the bot's frames on their way to the call."""

    sent: int
    silence_unsent: int
    refused: int
    no_room: int
    cleared: int


@dataclass(slots=True)
class _Flush:
    """A flush that the engine has still to do: up to which frame, what had been flushed before."""

    upto: int
    flushed: int


class Sender:
    """Writes the bot's frames into the application leg's source ring.

    Thread: the loop's.
    """

    def __init__(self, platform: MediaPlatform, leg: Leg) -> None:
        self._platform = platform
        self._leg = leg
        self._sent = self._silence_unsent = self._cleared = 0
        self.refused = self.no_room = 0
        self._reserve: deque[int] = deque(maxlen=RESERVE_SENDS)
        self._marks: deque[tuple[str, int]] = deque()
        self._flush: _Flush | None = None
        self._tones: deque[Pcm] = deque()
        self._gate: SendGate | None = None
        self._pauses: PauseFinder | None = None
        self._delayed_sends = 0
        self._shortener: Shortener | None = None

    @property
    def silence_suppression(self) -> bool:
        """Whether silence goes out as nothing."""
        return self._gate is not None

    @silence_suppression.setter
    def silence_suppression(self, on: bool) -> None:
        if on != self.silence_suppression:
            self._gate = SendGate() if on else None

    @property
    def waiting_frames(self) -> int:
        """Frames that were taken and that the call has not."""
        return self._leg.source.depth_frames

    @property
    def room_frames(self) -> int:
        """How many more would be taken now."""
        return max(0, self._room - self.waiting_frames)

    @property
    def position_frames(self) -> int:
        """Frames that were taken and have left towards the far end since, cleared ones excepted."""
        return self._sent + self._silence_unsent - self.waiting_frames - self._cleared

    @property
    def accepted_frames(self) -> int:
        """Frames that were taken in all."""
        return self._sent + self._silence_unsent

    @property
    def cleared_frames(self) -> int:
        """Of those taken, the ones that a flush dropped."""
        return self._cleared

    @property
    def tick_count(self) -> int:
        """Ticks since the leg was made."""
        return self._leg.counters().ticks

    @property
    def is_flushing(self) -> bool:
        """Whether a flush is still to be done by the engine."""
        return self._flush is not None

    @property
    def is_sending_tones(self) -> bool:
        """Whether keys wait to be heard."""
        return bool(self._tones)

    def counters(self) -> SentCounters:
        """Return the counts so far."""
        return SentCounters(
            sent=self._sent,
            silence_unsent=self._silence_unsent,
            refused=self.refused,
            no_room=self.no_room,
            cleared=self._cleared,
        )

    def try_write(
        self,
        frame: Pcm,
        mark: str | None = None,
        *,
        answers: bool = False,
        ahead_frames: int = 0,
    ) -> bool:
        """Take *frame* if there is room. While keys are sent, they are heard instead of it.

        Who can flush what it has sent may keep up to *ahead_frames* waiting, and so outlive a
        longer stall of the loop than the room for others allows.
        *answers*: the bot reads a frame, then sends this one, and so on. Then having to wait for
        room does not mean that it is ahead of the call: it is behind.
        """
        waiting_frames = self.waiting_frames
        if waiting_frames >= ahead_frames and waiting_frames >= self._room:
            if not answers:
                self.stay_ahead()
            return False
        if self._can_go(frame, waiting_frames):
            self._silence_unsent += 1
        else:
            self._take(frame)
        if mark is not None:
            self._marks.append((mark, self._written))
        return True

    def stay_ahead(self) -> None:
        """Who sends is ahead of the call: what waits was sent to wait."""
        self._reserve.clear()
        self._delayed_sends = 0

    def queue_tones(self, frames: Sequence[Pcm]) -> None:
        """Have *frames* be heard from now on, instead of what the bot sends meanwhile."""
        self._tones.extend(frames)

    def flush(self) -> None:
        """Drop what waits, at the next tick. What is taken from now on is played."""
        self._tones.clear()
        self._reserve.clear()
        self._delayed_sends, self._shortener = 0, None
        if self._flush is None:
            self._flush = _Flush(self._written, self._flushed)
        else:
            self._flush.upto = self._written
        self._leg.flush()

    def on_tick(self) -> list[tuple[str, bool]]:
        """Look what the call has taken; return the marks that were passed, or cleared."""
        taken = self._written - self.waiting_frames
        resolved: list[tuple[str, bool]] = []
        if self._flush is not None and taken >= self._flush.upto:
            resolved += self._settle(self._flush)
        while self._flush is None and self._marks and self._marks[0][1] <= taken:
            resolved.append((self._marks.popleft()[0], True))
        while self._tones and self.room_frames and self.waiting_frames < TONE_DEPTH_FRAMES:
            self._write(self._tones.popleft())
            self._sent += 1
        return resolved

    def close(self) -> list[tuple[str, bool]]:
        """Give up the marks that were not reached; return them."""
        left = [(name, False) for name, _ in self._marks]
        self._marks.clear()
        self._tones.clear()
        return left

    @property
    def _room(self) -> int:
        # More than the playout wants, or it would never begin.
        return max(ROOM_FRAMES, self._leg.counters().target_frames + 1)

    @property
    def _written(self) -> int:
        return self._leg.source.counters().written

    @property
    def _flushed(self) -> int:
        return self._leg.counters().flushed

    def _write(self, frame: Pcm) -> None:
        flags = 0
        if self._gate is not None and not self._gate.is_speech(frame):
            frame, flags = _SILENT, FLAG_SILENCE
        self._leg.source.write(frame, self._platform.now(), flags)

    def _settle(self, flush: _Flush) -> list[tuple[str, bool]]:
        self._flush = None
        dropped = self._flushed - flush.flushed
        self._cleared += dropped
        reached = []
        while self._marks and self._marks[0][1] <= flush.upto:
            name, at = self._marks.popleft()
            reached.append((name, at <= flush.upto - dropped))
        return reached

    def _can_go(self, frame: Pcm, waiting_frames: int) -> bool:
        """Say whether *frame* is a pause where more has been waiting than need."""
        self._reserve.append(waiting_frames)
        spare_frames = min(self._reserve)
        if not spare_frames or len(self._reserve) < RESERVE_SENDS // 2:
            self._pauses, self._delayed_sends = None, 0
            return False
        # By the time that this is known to be delay, it is known what a pause sounds like here.
        self._pauses = self._pauses or PauseFinder()
        is_pause = self._pauses.is_pause(frame) and not self._tones
        # The playout takes one a tick, so a target of one is met with none waiting here.
        is_delay = spare_frames >= self._leg.counters().target_frames
        is_delay = is_delay and len(self._reserve) == RESERVE_SENDS
        self._delayed_sends = self._delayed_sends + 1 if is_delay else 0
        return is_pause and is_delay

    def _take(self, frame: Pcm) -> None:
        # No pause came for half a second more: then it is taken out of the sound itself.
        shorten = self._delayed_sends > RESERVE_SENDS // 2 and not self._tones
        if self._tones:
            frame = self._tones.popleft()
        if shorten or self._shortener is not None:
            shortener = self._shortener = self._shortener or Shortener()
            out = shortener.push(frame, shorten=shorten)
            if out is None:
                self._silence_unsent += 1
                return
            if not shorten and (is_quiet(frame) or shortener.is_even):
                # What is left of a pause need not be heard.
                self._shortener = None
            frame = out
        self._write(frame)
        self._sent += 1
