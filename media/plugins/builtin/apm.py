"""WebRTC's audio processing module as livekit's wheel carries it: echo, gain, noise."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from ...pcm import FRAME_BYTES, SAMPLE_RATE_HZ, Pcm
from .settings import HALF_BYTES, require

EXTRA: Final = "aec"
BLOCK_SAMPLES: Final = HALF_BYTES // 2


def require_apm() -> None:
    """Check that livekit is installed. Raises: ValueError naming the extra."""
    require("livekit", EXTRA)


class Apm:
    """One audio processing module, for one stream.

    Raises: RuntimeError when the module refuses a block, which it never did on whole ones.
    Thread: one at a time. Making the first of a process starts livekit's runtime (0.3 s).
    """

    def __init__(
        self,
        *,
        echo_cancellation: bool = False,
        auto_gain: bool = False,
        noise_suppression: bool = False,
    ) -> None:
        from livekit.rtc import AudioFrame as Block
        from livekit.rtc.apm import AudioProcessingModule

        self._block = Block
        self._module = AudioProcessingModule(
            echo_cancellation=echo_cancellation,
            auto_gain_control=auto_gain,
            noise_suppression=noise_suppression,
        )

    def process(self, frame: Pcm) -> Pcm:
        """Return *frame* as the module makes it.

        Shape:  (320,) int16 in and out.
        """
        pcm = bytearray(frame.tobytes())
        out = bytearray()
        for start in (0, HALF_BYTES):
            block = self._cut(pcm, start)
            self._module.process_stream(block)
            out += block.data.cast("B")
        return np.frombuffer(out, np.int16)

    def hear_reference(self, frame: Pcm) -> None:
        """Take what the far end is given to play: its echo is looked for in what comes later.

        Shape:  (320,) int16.
        """
        pcm = bytearray(frame.tobytes())
        for start in range(0, FRAME_BYTES, HALF_BYTES):
            self._module.process_reverse_stream(self._cut(pcm, start))

    def _cut(self, pcm: bytearray, start: int) -> Any:
        return self._block(pcm[start : start + HALF_BYTES], SAMPLE_RATE_HZ, 1, BLOCK_SAMPLES)
