"""A stream's audio to Pcm16K frames and back, and where each frame belongs in time."""

from __future__ import annotations

from typing import Final

import numpy as np

from ...pcm import FRAME_BYTES, FRAME_MS, FRAME_SAMPLES, SAMPLE_RATE_HZ, Pcm
from ...pipeline.resample import FrameCutter, Resampler
from . import mulaw
from .dialect import StreamFormat

BYTES_A_SAMPLE: Final = {"pcm": 2, "mulaw": 1}

PAUSE_MS: Final = 60.0
"""So much between two frames' times, and the sender paused; less is a clock that is not exact."""
LATE_MS: Final = 200.0
"""The same for a sender that tells no times: so far apart do frames come only after a pause."""
STEP_MS: Final = 1000.0
"""A sender's clock that moves by so much more than ours was set, and says nothing of pauses."""
FOLLOW: Final = 1 / 256
"""By how much of a difference the reckoning follows with each frame: 5 s for a slow drift."""


def frame_bytes(form: StreamFormat) -> int:
    """Return what 20 ms are in that format."""
    return form.rate_hz * FRAME_MS // 1000 * BYTES_A_SAMPLE[form.encoding]


class FrameReader:
    """One speaker's payloads, of any size, to whole Pcm16K frames; what is left over waits.

    Thread: one at a time.
    """

    def __init__(self, form: StreamFormat) -> None:
        self._form = form
        self._whole_bytes = frame_bytes(form)
        self._resampler: Resampler | None = None
        if form.rate_hz != SAMPLE_RATE_HZ:
            self._resampler = Resampler(form.rate_hz, 1, SAMPLE_RATE_HZ, 1)
        self._cutter = FrameCutter()
        self._passes = form.encoding == "pcm" and self._resampler is None
        self._odd = b""
        self._left_samples = 0

    def is_whole(self, payload: bytes) -> bool:
        """Say whether *payload* is the 20 ms that the format promises."""
        return len(payload) == self._whole_bytes

    def push(self, payload: bytes) -> list[bytes]:
        """Return the frames that are complete now, each 640 bytes of Pcm16K.

        An odd byte is kept for a payload that is odd, too: the two are one stream cut anywhere.
        Before a payload of whole samples it is dropped: there one was cut short.
        """
        if self._passes and not self._left_samples and len(payload) == FRAME_BYTES:
            self._odd = b""
            return [payload]
        pcm = mulaw.decode(payload) if self._form.encoding == "mulaw" else self._samples(payload)
        if self._resampler is not None:
            pcm = self._resampler.push(pcm)
        self._left_samples = (self._left_samples + pcm.size) % FRAME_SAMPLES
        return [frame.tobytes() for frame in self._cutter.push(pcm)]

    def _samples(self, payload: bytes) -> Pcm:
        if len(payload) % 2 == 0:
            self._odd = b""
        elif self._odd:
            payload, self._odd = self._odd + payload, b""
        else:
            payload, self._odd = payload[:-1], payload[-1:]
        return np.frombuffer(payload, np.dtype("<i2")).astype(np.int16, copy=False)


class FrameWriter:
    """Pcm16K frames to payloads of 20 ms in a stream's own format. Thread: one at a time."""

    def __init__(self, form: StreamFormat) -> None:
        self._encodes = form.encoding == "mulaw"
        self._resampler: Resampler | None = None
        if form.rate_hz != SAMPLE_RATE_HZ:
            self._resampler = Resampler(SAMPLE_RATE_HZ, 1, form.rate_hz, 1)

    def push(self, frame: bytes) -> bytes:
        """Return *frame* (640 bytes) as the far end wants it."""
        if self._resampler is None and not self._encodes:
            return frame
        pcm = np.frombuffer(frame, np.int16)
        if self._resampler is not None:
            pcm = self._resampler.push(pcm)
        return mulaw.encode(pcm) if self._encodes else pcm.tobytes()


class MediaTime:
    """Tells pauses of a sender that numbers no frames: by its times, else by when frames come.

    Units:  milliseconds; *now_ms* of our clock. Pure; one for each speaker.

    A pause is what the playout must know of: the next frame is not late, it belongs later.
    """

    def __init__(self) -> None:
        self._due_ms: float | None = None
        """The sender's time at which the next frame is due."""
        self._due_here_ms: float | None = None
        """Our time at which it is due, had it come as quickly as the quickest."""
        self._came_ms = 0.0

    def place(self, frames: int, time_ms: float | None, now_ms: float) -> int:
        """Return how many frames of pause lie before the *frames* that came now."""
        here_ms = 0.0 if self._due_here_ms is None else now_ms - self._due_here_ms
        since_ms = now_ms - self._came_ms if self._due_here_ms is not None else 0.0
        if time_ms is None or self._due_ms is None:
            late_ms = min(here_ms, since_ms)
            pause_ms = late_ms if late_ms > LATE_MS else 0.0
            if time_ms is not None:
                self._due_ms = time_ms
        else:
            pause_ms = self._by_sender(time_ms, since_ms)
        pause_frames = round(pause_ms / FRAME_MS)
        moved_ms = (pause_frames + frames) * FRAME_MS
        if self._due_ms is not None:
            self._due_ms += moved_ms
        left_ms = here_ms - pause_frames * FRAME_MS
        # The earliest arrival counts: one that is early shows how long the others took.
        follow_ms = left_ms if left_ms < 0 else left_ms * FOLLOW
        base_ms = now_ms if self._due_here_ms is None else self._due_here_ms
        self._due_here_ms = base_ms + follow_ms + moved_ms
        self._came_ms = now_ms
        return pause_frames

    def _by_sender(self, time_ms: float, since_ms: float) -> float:
        assert self._due_ms is not None
        ahead_ms = time_ms - self._due_ms
        if ahead_ms > since_ms + STEP_MS or ahead_ms < -STEP_MS:
            self._due_ms = time_ms
            return 0.0
        if ahead_ms <= PAUSE_MS:
            self._due_ms += ahead_ms * FOLLOW
            return 0.0
        return ahead_ms
