"""Clips in a row, cut into frames; and what became of each frame that was sent."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from ..pcm import FRAME_SAMPLES, Pcm
from .clip import Clip, ramped


@dataclass(frozen=True, slots=True)
class Part:
    """Which samples of a frame are whose."""

    clip: Clip
    start: int
    samples: int
    is_last: bool
    """No sample of the clip comes after these."""


@dataclass(slots=True)
class ProgramFrame:
    """A frame of the program. ``serial`` is its place among all that were sent."""

    pcm: Pcm
    parts: tuple[Part, ...]
    serial: int = 0

    @property
    def marked(self) -> Clip | None:
        """The first clip that ends here and has a mark: a frame carries one."""
        ended = (part.clip for part in self.parts if part.is_last)
        return next((clip for clip in ended if clip.mark is not None), None)

    def without(self, clips: Collection[Clip]) -> ProgramFrame | None:
        """Return this frame with *clips* silenced; None when nothing of it is left."""
        kept = tuple(part for part in self.parts if part.clip not in clips)
        if not kept:
            return None
        if len(kept) == len(self.parts):
            return self
        pcm = np.zeros(FRAME_SAMPLES, np.int16)
        for part in kept:
            span = slice(part.start, part.start + part.samples)
            pcm[span] = self.pcm[span]
        return ProgramFrame(pcm, kept)


class Program:
    """The clips that are to be played, in order, sample after sample without a gap.

    Pure: no clock, no loop. Thread: one at a time.
    """

    def __init__(self) -> None:
        self._queue: deque[Clip] = deque()
        self._again: deque[ProgramFrame] = deque()
        self._begun: ProgramFrame | None = None
        self._filled = 0
        self._ramps = False

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to play, now or later."""
        return not self._queue and not self._again and self._begun is None

    @property
    def has_begun(self) -> bool:
        """Whether a frame lacks samples still, and waits for them until it is due."""
        return self._begun is not None

    @property
    def clips(self) -> set[Clip]:
        """All clips of which something is to be played."""
        return {*self._queue, *(part.clip for frame in self._cut_frames for part in frame.parts)}

    @property
    def head(self) -> Clip | None:
        """The clip whose samples come next."""
        return self._queue[0] if self._queue else None

    @property
    def ready_samples(self) -> float:
        """Samples that are here to be played; infinite in an endless loop or a file being read."""
        samples = float(sum(part.samples for frame in self._cut_frames for part in frame.parts))
        for clip in self._queue:
            ready = None if clip.source is None else clip.source.buffered_samples
            samples += float("inf") if ready is None else ready
        return samples

    def add(self, clip: Clip) -> None:
        """Play *clip* after all others."""
        self._queue.append(clip)

    def take_back(self, frames: Sequence[ProgramFrame]) -> None:
        """Send *frames*, which were not played after all, before everything else."""
        self._again.extendleft(reversed(frames))
        self._ramps = self._ramps or bool(frames)

    def drop(self, clips: Collection[Clip]) -> None:
        """Play no more of *clips*."""
        self._queue = deque(clip for clip in self._queue if clip not in clips)
        left = (frame.without(clips) for frame in self._again)
        self._again = deque(frame for frame in left if frame is not None)
        if self._begun is not None:
            self._begun = self._begun.without(clips)
            self._filled = 0 if self._begun is None else self._filled

    def next_frame(self, *, is_due: bool) -> ProgramFrame | None:
        """Return the next frame, None when the next samples are not here (or there are none).

        A frame that is not full waits for what may come until it *is_due*; then the rest of it is
        silence. A clip that fails or has no sample is passed over.
        """
        frame = self._again.popleft() if self._again else self._cut(is_due)
        if frame is not None and self._ramps:
            self._ramps = False
            frame.pcm = ramped(frame.pcm)
        return frame

    @property
    def _cut_frames(self) -> list[ProgramFrame]:
        return [*self._again, *([] if self._begun is None else [self._begun])]

    def _cut(self, is_due: bool) -> ProgramFrame | None:
        frame = self._begun or ProgramFrame(np.zeros(FRAME_SAMPLES, np.int16), ())
        while self._queue and self._filled < FRAME_SAMPLES:
            clip = self._queue[0]
            taken = clip.take(FRAME_SAMPLES - self._filled)
            is_last = clip.is_given_out
            if not taken.size and not is_last:
                break
            # Also an empty part: its clip ends when this frame does.
            frame.parts += (Part(clip, self._filled, taken.size, is_last),)
            frame.pcm[self._filled : self._filled + taken.size] = taken
            self._filled += taken.size
            if is_last:
                self._queue.popleft()
        if frame.parts and (is_due or self._filled == FRAME_SAMPLES):
            self._begun, self._filled = None, 0
            return frame
        self._begun = frame if frame.parts else None
        return None


class Flight:
    """The frames that were sent and are not known to be played or dropped.

    Serials are the output's own count of frames sent, by whomever: a frame has left when those sent
    less those that wait have come up to it, and *waiting* is read once, so no tick between two
    reads puts it out of step.
    """

    def __init__(self) -> None:
        self._frames: deque[ProgramFrame] = deque()

    def __len__(self) -> int:
        """How many there are."""
        return len(self._frames)

    @property
    def samples(self) -> int:
        """Samples of clips in them."""
        return sum(part.samples for frame in self._frames for part in frame.parts)

    @property
    def marked(self) -> set[Clip]:
        """The clips whose marks they carry."""
        return {frame.marked for frame in self._frames if frame.marked is not None}

    @property
    def clips(self) -> set[Clip]:
        """Whose they are."""
        return {part.clip for frame in self._frames for part in frame.parts}

    def push(self, frame: ProgramFrame, serial: int) -> None:
        """Note that *frame* was sent, as the output's frame number *serial*."""
        frame.serial = serial
        self._frames.append(frame)

    def land(self, gone_frames: int) -> list[ProgramFrame]:
        """Take out and return the frames that are among the first *gone_frames* sent."""
        landed = []
        while self._frames and self._frames[0].serial <= gone_frames:
            landed.append(self._frames.popleft())
        return landed

    def recall(self) -> list[ProgramFrame]:
        """Take out and return all that is left: it was dropped."""
        frames = list(self._frames)
        self._frames.clear()
        return frames
