"""Who speaks when: stretches of speech of one speaker, from the loudness of their frames. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..pcm import FRAME_MS, FRAME_SAMPLES, FULL_SCALE, Pcm

SPEECH_DBOV: Final = -45.0
"""A frame as loud as this is speech: quiet talkers are at -35 dBov, a line's noise below -55."""
SPEECH_POWER: Final = (FULL_SCALE * 10.0 ** (SPEECH_DBOV / 20.0)) ** 2
MIN_SPEECH_FRAMES: Final = 3
"""60 ms: a click is shorter, a syllable longer."""
HANGOVER_FRAMES: Final = 25
"""Half a second: what people pause within a sentence."""


@dataclass(frozen=True, slots=True)
class Speaker:
    """Who a source is: ``who`` is the participant's id, where a roster knows one."""

    source_id: int
    who: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Segment:
    """One stretch of speech. Units: frames of the recording, ``end_frame`` is the first after."""

    source_id: int
    start_frame: int
    end_frame: int

    def labelled(self, speaker: Speaker) -> dict[str, Any]:
        """Return what a line of ``segments.jsonl`` holds."""
        return {
            "who": speaker.who,
            "name": speaker.name,
            "source_id": self.source_id,
            "start_s": seconds(self.start_frame),
            "end_s": seconds(self.end_frame),
        }


def seconds(frames: int) -> float:
    """Return the duration of so many frames."""
    return round(frames * FRAME_MS / 1000, 3)


class SegmentFinder:
    """The segments of one speaker, from all their frames in order. Thread: one at a time."""

    def __init__(self, source_id: int, first_frame: int = 0) -> None:
        self._source_id = source_id
        self._next_frame = first_frame
        self._start_frame = 0
        self._last_loud_frame = 0
        self._loud_frames = 0

    @property
    def open_segment(self) -> Segment | None:
        """The segment that has begun and not ended, as far as it is known."""
        if self._loud_frames < MIN_SPEECH_FRAMES:
            return None
        return Segment(self._source_id, self._start_frame, self._last_loud_frame + 1)

    def push(self, pcm: Pcm) -> list[Segment]:
        """Hear the next frames; return the segments that have ended.

        Shape:  pcm (n * 320,) int16.
        """
        return self.push_loudness(is_loud(pcm))

    def push_loudness(self, loud: NDArray[np.bool_]) -> list[Segment]:
        """Hear whether each of the next frames is loud; return the segments that have ended."""
        ended: list[Segment] = []
        if self._loud_frames or loud.any():
            for index in np.flatnonzero(loud):
                frame = self._next_frame + int(index)
                if self._loud_frames and frame - self._last_loud_frame > HANGOVER_FRAMES:
                    ended += self.finish()
                if not self._loud_frames:
                    self._start_frame = frame
                self._loud_frames += 1
                self._last_loud_frame = frame
            after = self._next_frame + loud.size
            if self._loud_frames and after - 1 - self._last_loud_frame > HANGOVER_FRAMES:
                ended += self.finish()
        self._next_frame += loud.size
        return ended

    def finish(self) -> list[Segment]:
        """End the segment that is open, if one is; a click is none."""
        segment = self.open_segment
        self._loud_frames = 0
        return [] if segment is None else [segment]


def is_loud(pcm: Pcm) -> NDArray[np.bool_]:
    """Say of each frame of *pcm* whether it is as loud as speech. Shape: (n * 320,) to (n,)."""
    frames = pcm.reshape(-1, FRAME_SAMPLES).astype(np.float32)
    loud: NDArray[np.bool_] = np.einsum("ij,ij->i", frames, frames) >= SPEECH_POWER * FRAME_SAMPLES
    return loud
