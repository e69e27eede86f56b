"""Send-side silence suppression: which frames of the bot are worth being sent. Pure.

A bot that sends its pauses as audio is taken for somebody who speaks: it becomes the dominant
speaker, and opens everybody's gates with its noise.
"""

from __future__ import annotations

from typing import Final

from ..pcm import Pcm, level_dbov

SPEECH_DBOV: Final = -50.0
"""As the bridge has it (native/bridge.c): above the noise of a room, below quiet speech."""
HANGOVER_FRAMES: Final = 20
"""400 ms: the words and breaths of one sentence stay one piece."""


class SendGate:
    """Tells speech from silence, frame by frame. It opens in the first loud frame, never late.

    Thread: one at a time.
    """

    def __init__(self, speech_dbov: float = SPEECH_DBOV) -> None:
        self._speech_dbov = speech_dbov
        self._hangover_frames = 0

    def is_speech(self, frame: Pcm) -> bool:
        """Say whether *frame*, the next one, is to be heard.

        Shape:  (320,) int16.
        """
        if level_dbov(frame) > self._speech_dbov:
            self._hangover_frames = HANGOVER_FRAMES
            return True
        if not self._hangover_frames:
            return False
        self._hangover_frames -= 1
        return True
