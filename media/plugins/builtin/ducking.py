"""Ducking: a stream goes softer while somebody speaks on another."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Final, Literal

import numpy as np
from pydantic import Field

from ...pcm import FRAME_MS, FRAME_SAMPLES, AudioFrame, Pcm, level_dbov
from ..contract import Emit, PluginContext
from .settings import PluginSettings, ignore_event, to_pcm
from .sidechain import HEARD_BY_THE_FAR_END, SOURCE, TARGET, Side, Sidechain, key_of
from .speech import WebRtcDetector

SPEECH_AGGRESSIVENESS: Final = 2
SPEECH_FRAMES: Final = 5
"""So many frames in a row are a voice: the first four of any noise are to WebRTC's detector."""

voices: Final = Sidechain()


class Ducking:
    """Make a stream softer while there is speech on another, and tell so as event ``ducked``.

    Put it on both: by itself it listens on what people say (``inbound``, ``speaker``, ``mix``) and
    makes softer what they hear (``outbound``, ``own``), as for a bot's music; ``role`` says
    otherwise, as for a speaker under an interpreter. ``group`` keeps pairs of one call apart.
    """

    class Config(PluginSettings):
        """Settings of the ducking."""

        role: Literal["auto", "listen", "duck"] = "auto"
        reduction_db: float = Field(12.0, gt=0.0, le=60.0, description="how much softer")
        threshold_dbov: float = Field(
            -45.0, ge=-90.0, le=0.0, description="speech below this level does not count"
        )
        attack_ms: int = Field(60, ge=FRAME_MS, le=2000, description="until it is softer")
        hold_ms: int = Field(400, ge=0, le=10_000, description="softer after the last speech")
        release_ms: int = Field(400, ge=FRAME_MS, le=10_000, description="until it is back")
        group: str = ""

    def __init__(self, **settings: Any) -> None:
        self._config = self.Config(**settings)
        self._side: Side = SOURCE if self._config.role == "listen" else TARGET
        self._key: Hashable = None
        self._detector = WebRtcDetector(SPEECH_AGGRESSIVENESS)
        self._emit: Emit = ignore_event
        self._speech_frames = 0
        self._hold_ms = 0
        self._gain_db = 0.0

    def open(self, context: PluginContext) -> None:
        """Learn which of the two streams this is, and meet the other."""
        self._emit = context.emit
        if self._config.role == "auto":
            self._side = TARGET if context.stream in HEARD_BY_THE_FAR_END else SOURCE
        self._key = key_of(context, self._config.group)
        if self._side == TARGET:
            voices.join(self._key, self._hear)

    def set(self, **parameters: Any) -> None:
        """Change settings; role and group stay as they were when it was opened."""
        self._config = self._config.changed(parameters)

    def process(self, frame: AudioFrame) -> Pcm | None:
        """Return *frame*, softer while somebody speaks.

        Shape:  (320,) int16 in and out.
        """
        if self._side == SOURCE:
            is_loud = level_dbov(frame) >= self._config.threshold_dbov
            is_voice = self._detector.is_speech(frame) and is_loud
            self._speech_frames = self._speech_frames + 1 if is_voice else 0
            if self._speech_frames >= SPEECH_FRAMES:
                voices.publish(self._key, frame)
            return None
        target_db = -self._config.reduction_db if self._hold_ms > 0 else 0.0
        self._hold_ms = max(0, self._hold_ms - FRAME_MS)
        if target_db == self._gain_db == 0.0:
            return None
        before_db, self._gain_db = self._gain_db, self._next_gain_db(target_db)
        if (before_db == 0.0) != (self._gain_db == 0.0):
            self._emit("ducked", self._gain_db != 0.0)
        curve = 10.0 ** (np.linspace(before_db, self._gain_db, FRAME_SAMPLES + 1)[1:] / 20.0)
        return to_pcm(frame * curve)

    def close(self) -> None:
        """Part from the other stream."""
        voices.leave(self._key, self._hear)

    def _hear(self, frame: Pcm) -> None:
        self._hold_ms = self._config.hold_ms + FRAME_MS

    def _next_gain_db(self, target_db: float) -> float:
        is_down = target_db < self._gain_db
        ramp_ms = self._config.attack_ms if is_down else self._config.release_ms
        step_db = self._config.reduction_db * FRAME_MS / ramp_ms
        if is_down:
            return max(target_db, self._gain_db - step_db)
        return min(target_db, self._gain_db + step_db)
