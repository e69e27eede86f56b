"""All frames of a session on one timeline: each ring is read once a tick, for all who listen.

The mix comes from the application leg's render ring, everything else from taps. All of them carry
the tick's time, so they are put together by it and never by when the loop came to read them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Protocol, Self

import numpy as np

from ..bridge import Leg, Tap
from ..pcm import FLAG_SILENCE, FLAG_SKIPPED, FRAME_SAMPLES, FRAME_TICKS, AudioFrame

TAP_SLOTS: Final = 64
"""1.3 s: as much as the loop may stand still before a listener misses a frame."""

NOBODY: Final[Mapping[int, AudioFrame]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class SessionFrame:
    """One tick of a session. The frames are shared by all listeners, and cannot be written to.

    ``mixed`` is what the bot hears, ``own`` what it says, ``speakers`` what each person says, by
    source id: empty where the transport brings none. With speakers, ``mixed`` is their sum,
    limited where that would not fit 16 bits.
    Units:  timestamp in 100 ns ticks of the engine's clock; the same in each of the frames.
    """

    timestamp: int
    mixed: AudioFrame
    speakers: Mapping[int, AudioFrame]
    own: AudioFrame


class Consumer(Protocol):
    """Who gets each tick's frames from the hub."""

    def take(
        self,
        timestamp: int,
        mixed: AudioFrame,
        speakers: Mapping[int, AudioFrame],
        own: AudioFrame | None,
    ) -> None:
        """Take one tick; called in order, every 20 ms of the timeline once."""


class Hub:
    """Reads a session's rings while anybody wants their frames.

    Thread: the loop's.
    """

    def __init__(self, application: Leg) -> None:
        self._application = application
        self._consumers: list[Consumer] = []
        self._own: _Line | None = None
        self._own_wanted: set[Consumer] = set()
        self._speakers: dict[int, _Line] = {}
        self._ending: list[tuple[int, _Line]] = []
        self._taps_speakers = False
        self._legs: dict[int, Leg] = {}
        self._last: int | None = None

    def add(self, consumer: Consumer, *, own: bool = False) -> Callable[[], None]:
        """Give *consumer* every tick from now on. Returns what ends that; again is no error."""
        if not self._consumers:
            # What was said before anyone listened is nobody's.
            self._application.render.clear()
            self._last = None
        else:
            self.pump()
        self._consumers.append(consumer)
        if own:
            self._own_wanted.add(consumer)
            if self._own is None:
                self._own = _Line(self._application)

        def remove() -> None:
            if consumer in self._consumers:
                self._consumers.remove(consumer)
            self._own_wanted.discard(consumer)
            if not self._own_wanted and self._own is not None:
                self._own.close()
                self._own = None
            if not self._consumers:
                self._drop_ending()

        return remove

    def tap_speakers(self, wanted: bool) -> None:
        """Take each speaker's frames beside the mix, or no more."""
        self._taps_speakers = wanted
        for source_id, leg in self._legs.items():
            if wanted and source_id not in self._speakers:
                self._speakers[source_id] = _Line(leg)
        if not wanted:
            for line in self._speakers.values():
                line.close()
            self._speakers.clear()

    def open_speaker(self, source_id: int, leg: Leg) -> None:
        """Know of a speaker's leg."""
        self._legs[source_id] = leg
        if self._taps_speakers:
            self._speakers[source_id] = _Line(leg)

    def close_speaker(self, source_id: int) -> None:
        """Forget a speaker once all that they said was taken. Call it before the leg closes."""
        self._legs.pop(source_id, None)
        line = self._speakers.pop(source_id, None)
        if line is not None and not self._consumers:
            line.close()  # Speakers are also wanted for their plugins alone: then nobody reads it.
        elif line is not None:
            line.is_ending = True
            self._ending.append((source_id, line))

    def pump(self) -> None:
        """Take what the engine made since the last call, tick by tick."""
        if not self._consumers:
            return
        while (mixed := self._application.render.read()) is not None:
            timestamp = mixed.timestamp
            # Ticks that were overwritten before the loop came: the timeline has them all the same.
            if self._last is not None:
                for missed in range(self._last + FRAME_TICKS, timestamp, FRAME_TICKS):
                    self._emit(missed, skipped_frame(missed))
            self._emit(timestamp, mixed)
            self._last = timestamp

    def close(self) -> None:
        """Take no more. Again is no error."""
        self.tap_speakers(False)
        self._drop_ending()
        if self._own is not None:
            self._own.close()
            self._own = None
        self._consumers.clear()
        self._own_wanted.clear()

    def _drop_ending(self) -> None:
        for _, line in self._ending:
            line.close()
        self._ending.clear()

    def _emit(self, timestamp: int, mixed: AudioFrame) -> None:
        own = None if self._own is None else self._own.take(timestamp)
        speakers = NOBODY
        if self._speakers or self._ending:
            speakers = MappingProxyType(self._take_speakers(timestamp))
        # Shared by all: what one of them scribbled over, a recording would keep.
        mixed.flags.writeable = False
        if own is not None:
            own.flags.writeable = False
        for frame in speakers.values():
            frame.flags.writeable = False
        for consumer in tuple(self._consumers):
            consumer.take(timestamp, mixed, speakers, own)

    def _take_speakers(self, timestamp: int) -> dict[int, AudioFrame]:
        taken: dict[int, AudioFrame] = {}
        for source_id, line in tuple(self._ending):
            frame = line.take(timestamp)
            if frame is not None:
                taken[source_id] = frame
            elif line.is_spent:
                line.close()
                self._ending.remove((source_id, line))
        for source_id, line in self._speakers.items():
            frame = line.take(timestamp)
            if frame is not None:
                taken[source_id] = frame
        return taken


class _Line:
    """One tap, read by the ticks of the timeline."""

    def __init__(self, leg: Leg) -> None:
        self._tap: Tap = leg.tap(TAP_SLOTS)
        self._next: AudioFrame | None = None
        self._has_begun = False
        self.is_ending = False

    @property
    def is_spent(self) -> bool:
        """Whether nothing more waits, nor will come."""
        return self.is_ending and self._next is None and self._tap.ring.depth_frames == 0

    def take(self, timestamp: int) -> AudioFrame | None:
        """Return the frame of that tick; None before the first and after the last.

        One that was overwritten is a skipped one.
        """
        while True:
            frame, self._next = self._next, None
            if frame is None:
                frame = self._tap.ring.read()
            if frame is None:
                return skipped_frame(timestamp) if self._is_missed else None
            if frame.timestamp > timestamp:
                self._next = frame
                return skipped_frame(timestamp) if self._has_begun else None
            self._has_begun = True
            if frame.timestamp == timestamp:
                return frame

    def close(self) -> None:
        self._tap.close()

    @property
    def _is_missed(self) -> bool:
        return self._has_begun and not self.is_ending


class Listener:
    """Every tick of a session: iterate, or read without waiting. Made by ``MediaSession.listen``.

    Ticks wait for a slow reader, at most *slots* of them; then the oldest go, and ``dropped``
    counts them. Iteration ends after what waits once the session is over, or after ``close``.
    Thread: the loop's.
    """

    def __init__(self, slots: int) -> None:
        if slots < 1:
            raise ValueError(f"slots: expected at least 1, got {slots}")
        self._frames: deque[SessionFrame] = deque()
        self._slots = slots
        self._ready = asyncio.Event()
        self._is_over = False
        self._detach: Callable[[], None] = lambda: None
        self.dropped = 0
        """Ticks that went before they were read."""

    def __aiter__(self) -> Self:
        """Iterate over the ticks."""
        return self

    async def __anext__(self) -> SessionFrame:
        """Wait for the next tick."""
        while not self._frames:
            if self._is_over:
                raise StopAsyncIteration
            self._ready.clear()
            await self._ready.wait()
        return self._frames.popleft()

    @property
    def waiting(self) -> int:
        """How many ticks wait to be read."""
        return len(self._frames)

    def read_nowait(self) -> SessionFrame | None:
        """Return the oldest tick that waits, or None."""
        return self._frames.popleft() if self._frames else None

    def take(
        self,
        timestamp: int,
        mixed: AudioFrame,
        speakers: Mapping[int, AudioFrame],
        own: AudioFrame | None,
    ) -> None:
        """Take one tick. The hub's to call."""
        if len(self._frames) >= self._slots:
            self._frames.popleft()
            self.dropped += 1
        if own is None:
            # The tap began with the tick under way: before it, nothing is known of the bot.
            own = skipped_frame(timestamp)
        self._frames.append(SessionFrame(timestamp, mixed, speakers, own))
        self._ready.set()

    def attach(self, detach: Callable[[], None]) -> None:
        """Know what takes this listener off. The session's to call."""
        self._detach = detach

    def close(self) -> None:
        """Listen no more. Again is no error."""
        self._is_over = True
        self._detach()
        self._ready.set()


def skipped_frame(timestamp: int) -> AudioFrame:
    """Return what stands for a tick of which nothing is known."""
    silence = np.zeros(FRAME_SAMPLES, np.int16)
    return AudioFrame.of(silence, timestamp, FLAG_SKIPPED | FLAG_SILENCE)
