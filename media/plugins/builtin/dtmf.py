"""DTMF detection: which keys of a telephone are heard in a stream."""

from __future__ import annotations

from typing import Any

from ...dtmf import ToneDetector
from ...pcm import AudioFrame
from ..contract import Emit, PluginContext
from .settings import PluginSettings, ignore_event


class DtmfDetection:
    """Tell each key that is heard as event ``tone`` (its value is the key); the audio goes on.

    For streams whose far end sends tones as sound; what comes as telephone-event is told by the
    call itself.
    """

    class Config(PluginSettings):
        """The detection has no settings: its limits are those of ITU-T Q.24."""

    def __init__(self, **settings: Any) -> None:
        self.Config(**settings)
        self._detector = ToneDetector()
        self._emit: Emit = ignore_event

    def open(self, context: PluginContext) -> None:
        """Learn whom to tell."""
        self._emit = context.emit

    def process(self, frame: AudioFrame) -> None:
        """Listen to *frame*.

        Shape:  (320,) int16.
        """
        for heard in self._detector.push(frame):
            self._emit("tone", heard.key)
