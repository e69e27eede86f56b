"""Gain: louder or softer, cut at full scale."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import Field

from ...pcm import FRAME_SAMPLES, AudioFrame, Pcm
from .settings import PluginSettings, factor_of_db, to_pcm


class Gain:
    """Make a stream louder or softer; a change at run time is faded over one frame."""

    class Config(PluginSettings):
        """Settings of the gain."""

        gain_db: float = Field(6.0, ge=-60.0, le=30.0, description="above 0 is louder")

    def __init__(self, **settings: Any) -> None:
        self._config = self.Config(**settings)
        self._factor = self._target = factor_of_db(self._config.gain_db)

    def set(self, **parameters: Any) -> None:
        """Go to another gain within the next frame."""
        self._config = self._config.changed(parameters)
        self._target = factor_of_db(self._config.gain_db)

    def process(self, frame: AudioFrame) -> Pcm:
        """Return *frame* times the gain.

        Shape:  (320,) int16 in and out; saturates.
        """
        if self._factor == self._target:
            return to_pcm(frame * self._factor)
        curve = np.linspace(self._factor, self._target, FRAME_SAMPLES + 1)[1:]
        self._factor = self._target
        return to_pcm(frame * curve)
