"""Automatic gain control: speakers at one level, whoever is near or far from a microphone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Literal

from pydantic import field_validator
from webrtc_noise_gain import AudioProcessor

from ...pcm import AudioFrame, Pcm
from ..contract import PluginContext
from .apm import Apm, require_apm
from .settings import PluginSettings, in_halves, keep_engine

TARGET_DBFS: Final = 3
"""webrtc-noise-gain takes 1 to 31 here, and 1.3.0 gives the same for each (measured)."""

Engine = Literal["webrtc", "apm"]


class Agc:
    """Bring a voice to a good level (WebRTC).

    ``engine="webrtc"`` (webrtc-noise-gain) makes a quiet voice up to 12 dB louder. ``"apm"`` (extra
    ``aec``) brings voices of -26 to -56 dBov to -23 dBov, by some 3 dB a second.
    """

    class Config(PluginSettings):
        """Settings of the gain control."""

        engine: Engine = "webrtc"

        @field_validator("engine")
        @classmethod
        def _is_installed(cls, engine: Engine) -> Engine:
            if engine == "apm":
                require_apm()
            return engine

    def __init__(self, **settings: Any) -> None:
        self._config = self.Config(**settings)
        self._level: Callable[[AudioFrame], Pcm] | None = None

    def open(self, context: PluginContext) -> None:
        """Make the engine."""
        self._level = _level_of(self._config.engine)

    def set(self, **parameters: Any) -> None:
        """Change settings. Raises: ValueError for another engine."""
        changed = self._config.changed(parameters)
        keep_engine(self._config.engine, changed.engine)
        self._config = changed

    def process(self, frame: AudioFrame) -> Pcm | None:
        """Return *frame*, louder or softer.

        Shape:  (320,) int16 in and out.
        """
        return None if self._level is None else self._level(frame)

    def close(self) -> None:
        """Give the engine back."""
        self._level = None


def _level_of(engine: Engine) -> Callable[[AudioFrame], Pcm]:
    if engine == "apm":
        return Apm(auto_gain=True).process
    processor = AudioProcessor(TARGET_DBFS, 0)
    return lambda frame: in_halves(processor, frame)
