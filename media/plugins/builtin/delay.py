"""Delay: the same samples, later."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from pydantic import Field

from ...pcm import FRAME_SAMPLES, SAMPLE_RATE_HZ, AudioFrame, Pcm
from .settings import PluginSettings, to_pcm

MAX_DELAY_MS: Final = 2000.0
MAX_SAMPLES: Final = int(MAX_DELAY_MS * SAMPLE_RATE_HZ / 1000)


class Delay:
    """Hold a stream back, exact to the sample (1/16 ms); a change at run time is cross-faded."""

    class Config(PluginSettings):
        """Settings of the delay."""

        delay_ms: float = Field(
            100.0, ge=0.0, le=MAX_DELAY_MS, description="rounded to a sample, 1/16 ms"
        )

    def __init__(self, **settings: Any) -> None:
        # All that was heard within the longest delay, so that a longer one has something to say.
        self._past: Pcm = np.zeros(MAX_SAMPLES + FRAME_SAMPLES, np.int16)
        self._config = self.Config(**settings)
        self.latency_samples = self._target_samples = _samples(self._config)

    def set(self, **parameters: Any) -> None:
        """Go to another delay within the next frame."""
        self._config = self._config.changed(parameters)
        self._target_samples = _samples(self._config)

    def process(self, frame: AudioFrame) -> Pcm:
        """Return what came ``latency_samples`` before *frame*, silence before the first.

        Shape:  (320,) int16 in and out.
        """
        self._past[:-FRAME_SAMPLES] = self._past[FRAME_SAMPLES:]
        self._past[-FRAME_SAMPLES:] = frame
        came = self._tap(self.latency_samples)
        if self._target_samples == self.latency_samples:
            return came
        share = np.linspace(0.0, 1.0, FRAME_SAMPLES)
        later = self._tap(self._target_samples)
        self.latency_samples = self._target_samples
        return to_pcm(came * (1.0 - share) + later * share)

    def _tap(self, delay_samples: int) -> Pcm:
        start = MAX_SAMPLES - delay_samples
        return self._past[start : start + FRAME_SAMPLES].copy()


def _samples(config: Delay.Config) -> int:
    return round(config.delay_ms * SAMPLE_RATE_HZ / 1000)
