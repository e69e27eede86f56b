"""Noise suppression: WebRTC's, from webrtc-noise-gain."""

from __future__ import annotations

from typing import Any, Final, Literal

from webrtc_noise_gain import AudioProcessor

from ...pcm import AudioFrame, Pcm
from .settings import PluginSettings, in_halves

LEVELS: Final = {6: 1, 12: 2, 18: 3, 21: 4}
"""WebRTC's four levels by the most that each takes off the noise, in dB (its noise suppressor's
documentation; measured on white noise in pauses: 6.0, 11.6, 16.8 and 19.8 dB)."""


class NoiseSuppression:
    """Take steady noise off a voice (WebRTC); rumble below 100 Hz goes as well. Adds 6 ms."""

    class Config(PluginSettings):
        """Settings of the suppression."""

        suppression_db: Literal[6, 12, 18, 21] = 12

    latency_samples: Final = 96
    """The suppressor's window overlaps by 96 samples; measured: exactly that."""

    def __init__(self, **settings: Any) -> None:
        self._config = self.Config(**settings)
        self._processor = AudioProcessor(0, LEVELS[self._config.suppression_db])

    def set(self, **parameters: Any) -> None:
        """Begin anew with another level; the noise is learned again within a second."""
        self._config = self._config.changed(parameters)
        self._processor = AudioProcessor(0, LEVELS[self._config.suppression_db])

    def process(self, frame: AudioFrame) -> Pcm:
        """Return *frame* with less noise, 6 ms late.

        Shape:  (320,) int16 in and out.
        """
        return in_halves(self._processor, frame)
