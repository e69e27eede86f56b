"""One thing that is said: its samples, its gain and fades, how much of it was really played."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from typing import Final, Literal, Protocol, TypeAlias

import numpy as np

from ..pcm import FRAME_MS, FRAME_SAMPLES, SAMPLE_RATE_HZ, Pcm

ClipOutcome: TypeAlias = Literal["played", "cleared"]
"""How a clip ended: its last sample went into the call, or it was cut short."""

MAX_GAIN_DB: Final = 60.0
MAX_FADE_MS: Final = 60_000
SAMPLES_PER_MS: Final = FRAME_SAMPLES // FRAME_MS

RAMP_SAMPLES: Final = 80
"""5 ms: what begins in the middle of a word begins without a click."""
RAMP: Final = np.arange(1, RAMP_SAMPLES + 1) / RAMP_SAMPLES


class SampleSource(Protocol):
    """Where a clip's samples come from: a track, or a feed."""

    @property
    def left_samples(self) -> int | None:
        """Samples that are still to come; None when that is not known, or for ever."""

    @property
    def buffered_samples(self) -> int | None:
        """Samples that are here to be taken; None for ever."""

    @property
    def is_over(self) -> bool:
        """Whether the last sample was given out."""

    def take(self, samples: int) -> Pcm:
        """Return the next *samples*; nothing when they are not here yet, fewer at the end."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A clip's loudness over its length.

    Units:  gain_db -60 to 60, saturating; fades are linear, up to 60 s.
    Raises: ValueError on numbers out of range.
    """

    gain_db: float = 0.0
    fade_in_ms: int = 0
    fade_out_ms: int = 0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.gain_db) and abs(self.gain_db) <= MAX_GAIN_DB):
            raise ValueError(f"gain_db: expected -60 to 60, got {self.gain_db}")
        for name, fade_ms in (("fade_in_ms", self.fade_in_ms), ("fade_out_ms", self.fade_out_ms)):
            if not 0 <= fade_ms <= MAX_FADE_MS:
                raise ValueError(f"{name}: expected 0 to {MAX_FADE_MS}, got {fade_ms}")

    @property
    def is_plain(self) -> bool:
        """Whether it leaves every sample as it is."""
        return not (self.gain_db or self.fade_in_ms or self.fade_out_ms)

    def apply(self, pcm: Pcm, at_samples: int, left_samples: int | None) -> Pcm:
        """Return *pcm*, which begins at *at_samples* of the clip, *left_samples* before its end."""
        if self.is_plain or not pcm.size:
            return pcm
        gain = np.full(pcm.size, 10.0 ** (self.gain_db / 20.0))
        index = np.arange(pcm.size)
        if fade_in := self.fade_in_ms * SAMPLES_PER_MS:
            gain *= np.minimum(1.0, (at_samples + index) / fade_in)
        if (fade_out := self.fade_out_ms * SAMPLES_PER_MS) and left_samples is not None:
            gain *= np.minimum(1.0, (left_samples - 1 - index) / fade_out)
        shaped: Pcm = np.clip(np.rint(pcm * gain), -32768, 32767).astype(np.int16)
        return shaped


def ramped(pcm: Pcm) -> Pcm:
    """Return *pcm* beginning from silence, within 5 ms."""
    out = pcm.copy()
    out[:RAMP_SAMPLES] = np.rint(out[:RAMP_SAMPLES] * RAMP[: out.size]).astype(np.int16)
    return out


def ended_softly(pcm: Pcm) -> Pcm:
    """Return the first 5 ms of *pcm*, fading, and then silence."""
    out = np.zeros_like(pcm)
    out[:RAMP_SAMPLES] = np.rint(pcm[:RAMP_SAMPLES] * (1.0 - RAMP)).astype(np.int16)
    return out


class Clip:
    """One file, array or feed in a player's queue. Made by ``Player.enqueue`` and ``Player.feed``.

    ``done`` is resolved once with how it ended, or with what was wrong with it: AudioFileError
    for a file that is none, whatever a feed's producer raised. From then on ``position_samples``
    is final: exactly what went into the call.
    Thread: the loop's.
    """

    def __init__(self, name: str, shape: Shape, mark: str | None) -> None:
        self.name = name
        self.mark = mark
        self.done: asyncio.Future[ClipOutcome] = asyncio.get_running_loop().create_future()
        self.position_samples = 0
        """Samples of this clip that were played, at 16 kHz, each round of a loop counted."""
        self._shape = shape
        self._source: SampleSource | None = None
        self._error: BaseException | None = None
        self._taken_samples = 0
        self._is_cleared = False
        self.was_mark_sent = False
        """Whether the socket has its mark, and tells of it."""

    @property
    def position_ms(self) -> float:
        """How much of it was played."""
        return self.position_samples * 1000.0 / SAMPLE_RATE_HZ

    # What the player calls.

    @property
    def source(self) -> SampleSource | None:
        """Where its samples come from; None while a file is being read."""
        return self._source

    @property
    def is_cleared(self) -> bool:
        """Whether it was cut short."""
        return self._is_cleared

    @property
    def is_given_out(self) -> bool:
        """Whether the player has taken its last sample, or there is none to come."""
        if self._source is None:
            return self._error is not None
        return self._source.is_over

    def begin(self, source: SampleSource) -> None:
        """Have *source* as its samples."""
        self._source = source

    def fail(self, error: BaseException) -> None:
        """Say what is wrong with it; what came before is still played."""
        self._error = error

    def take(self, samples: int) -> Pcm:
        """Return its next samples as they are to be heard: as ``SampleSource.take`` does."""
        if self._source is None:
            return np.empty(0, np.int16)
        left_samples = self._source.left_samples
        pcm = self._source.take(samples)
        shaped = self._shape.apply(pcm, self._taken_samples, left_samples)
        self._taken_samples += pcm.size
        return shaped

    def cut(self) -> None:
        """Take no more of it."""
        self._is_cleared = True

    def finish(self) -> None:
        """Tell whoever waits how it ended. Again is no error."""
        if self.done.done():
            return
        if self._error is not None and not self._is_cleared:
            self.done.set_exception(self._error)
            # Nobody has to ask: the player logs it.
            self.done.exception()
            return
        was_played = self.is_given_out and self.position_samples == self._taken_samples
        self.done.set_result("played" if was_played and not self._error else "cleared")
