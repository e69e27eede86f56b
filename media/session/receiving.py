"""The call's way to the bot: frames that wait to be read, and what is heard in them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import numpy as np

from ..pcm import SILENCE_DBOV, AudioFrame, level_dbov
from .callbacks import Callbacks
from .dominant import DominantSpeaker
from .hub import NOBODY, Hub
from .keys import KeyEar
from .pauses import PauseFinder, is_quiet
from .shorten import Shortener

WAITING_FRAMES: Final = 16
"""320 ms: how far a reader may fall behind before the oldest frames go."""
BEHIND_READS: Final = 25
"""A reader with frames left over after each of so many reads (0.5 s) will not catch up."""

LONG_BEHIND_READS: Final = 50
"""1 s in which no pause came: then it is taken out of the sound itself."""


class Receiver:
    """Takes each tick from the hub once anybody wants it, and keeps it for the bot to read.

    Thread: the loop's.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._frames: deque[tuple[AudioFrame, Mapping[int, AudioFrame]]] = deque()
        self._stop: Callable[[], None] | None = None
        self._is_read = False
        self._behind_reads = 0
        self._pauses: PauseFinder | None = None
        self._shortener: Shortener | None = None
        self.received = self.silence_skipped = self.unread = 0
        self.unmixed = False
        self.ear = KeyEar()
        self._detects_tones = False
        self._dominant: DominantSpeaker | None = None
        self.on_dominant: Callbacks[[int | None]] = Callbacks("the dominant speaker")

    @property
    def waiting_frames(self) -> int:
        """Frames that wait to be read."""
        return len(self._frames)

    @property
    def dominant_speaker(self) -> int | None:
        """Who leads, once that is followed."""
        return None if self._dominant is None else self._dominant.speaker

    @property
    def detects_tones(self) -> bool:
        """Whether keys are looked for in the audio."""
        return self._detects_tones

    @detects_tones.setter
    def detects_tones(self, on: bool) -> None:
        self._detects_tones = on
        if on:
            self._listen()
        else:
            self.ear.deafen()

    def follow_dominant(self) -> None:
        """Find out who leads from now on. Again is no error."""
        if self._dominant is None:
            self._dominant = DominantSpeaker()
            self._listen()

    def try_read(self) -> AudioFrame | None:
        """Return the oldest frame that waits, the caller's own, or None."""
        if not self._is_read:
            self._is_read = True
            self._listen()
        if not self._frames:
            self._hub.pump()
        if not self._frames:
            return None
        taken = self._frames.popleft()
        if self._frames:
            self._behind_reads += 1
            self._pauses = self._pauses or PauseFinder()
            while self._is_pause(taken[0]) and self._behind_reads > BEHIND_READS and self._frames:
                self.silence_skipped += 1
                taken = self._frames.popleft()
        else:
            self._behind_reads, self._pauses = 0, None
        if self.unmixed:
            self._shortener = None
        elif self._shortener is not None or self._behind_reads > LONG_BEHIND_READS:
            return self._shortened(taken[0])
        self.received += 1
        return _own_copy(*taken)

    def take(
        self,
        timestamp: int,
        mixed: AudioFrame,
        speakers: Mapping[int, AudioFrame],
        own: AudioFrame | None,
    ) -> None:
        """Take one tick. The hub's to call."""
        if self._detects_tones:
            self.ear.listen(mixed, speakers)
        if self._dominant is not None and self._dominant.hear(_levels(mixed, speakers)):
            self.on_dominant.call(self._dominant.speaker)
        if not self._is_read:
            return
        if len(self._frames) == WAITING_FRAMES:
            self._frames.popleft()
            self.unread += 1
        self._frames.append((mixed, speakers if self.unmixed else NOBODY))

    def close(self) -> None:
        """Take no more, and end who waits for keys."""
        self.ear.close()
        if self._stop is not None:
            self._stop()

    def _shortened(self, frame: AudioFrame) -> AudioFrame | None:
        """Return the next frame of a sound that has no pause, a little of it left out."""
        shortener = self._shortener = self._shortener or Shortener()
        while (out := shortener.push(np.asarray(frame), shorten=bool(self._frames))) is None:
            self.silence_skipped += 1
            if not self._frames:
                return None
            frame = self._frames.popleft()[0]
        if not self._frames and (is_quiet(frame) or shortener.is_even):
            # What is left of a pause need not be heard.
            self._shortener = None
        self.received += 1
        return AudioFrame.of(out, frame.timestamp, frame.frame_flags, frame.active_speakers)

    def _is_pause(self, frame: AudioFrame) -> bool:
        return frame.is_silence or (self._pauses is not None and self._pauses.is_pause(frame))

    def _listen(self) -> None:
        if self._stop is None:
            self._stop = self._hub.add(self)


def _own_copy(mixed: AudioFrame, speakers: Mapping[int, AudioFrame]) -> AudioFrame:
    """Return the frame as the bot gets it: others of this session may have it, too."""
    frame = mixed.copy()
    if speakers:
        frame.unmixed = MappingProxyType({key: one.copy() for key, one in speakers.items()})
    return frame


def _levels(mixed: AudioFrame, speakers: Mapping[int, AudioFrame]) -> dict[int, float]:
    if speakers:
        return {
            key: SILENCE_DBOV if frame.is_silence else level_dbov(frame)
            for key, frame in speakers.items()
        }
    # All that a mix tells is who is in it.
    return dict.fromkeys(mixed.active_speakers, level_dbov(mixed) if mixed.active_speakers else 0)
