"""Level meter: how loud a stream is, told several times a second."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import Field

from ...pcm import FRAME_MS, FULL_SCALE, SILENCE_DBOV, AudioFrame
from ..contract import Emit, PluginContext
from .settings import PluginSettings, ignore_event


class LevelMeter:
    """Tell the level of a stream as event ``level``; the audio goes on as it is.

    The event's value: ``rms_dbov`` and ``peak_dbov`` (0 is full scale, -127 silence) and
    ``clipped_samples`` at full scale, of the time since the last one.
    """

    class Config(PluginSettings):
        """Settings of the meter."""

        interval_ms: int = Field(
            200, ge=FRAME_MS, le=60_000, description="between events, in whole frames of 20 ms"
        )

    def __init__(self, **settings: Any) -> None:
        self._config = self.Config(**settings)
        self._emit: Emit = ignore_event
        self._energy = 0.0
        self._peak = self._clipped = self._frames = 0

    def open(self, context: PluginContext) -> None:
        """Learn whom to tell."""
        self._emit = context.emit

    def set(self, **parameters: Any) -> None:
        """Tell more or less often."""
        self._config = self._config.changed(parameters)

    def process(self, frame: AudioFrame) -> None:
        """Count *frame* in.

        Shape:  (320,) int16.
        """
        samples = frame.astype(np.int32)
        self._energy += float(np.mean(samples * samples))
        self._peak = max(self._peak, int(samples.max()), -int(samples.min()))
        self._clipped += int(np.count_nonzero((samples >= 32767) | (samples <= -32768)))
        self._frames += 1
        if (self._frames + 1) * FRAME_MS > self._config.interval_ms:
            self._emit(
                "level",
                {
                    "rms_dbov": _dbov((self._energy / self._frames) ** 0.5),
                    "peak_dbov": _dbov(float(self._peak)),
                    "clipped_samples": self._clipped,
                },
            )
            self._energy = 0.0
            self._peak = self._clipped = self._frames = 0


def _dbov(amplitude: float) -> float:
    if amplitude <= 0.0:
        return SILENCE_DBOV
    return max(SILENCE_DBOV, round(20.0 * float(np.log10(amplitude / FULL_SCALE)), 1))
