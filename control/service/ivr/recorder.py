"""A recorded response: what the caller says from the beep on, and when that is enough."""

from __future__ import annotations

import io
import wave
from collections import deque
from dataclasses import dataclass
from typing import Final

import numpy as np

from mixminus.media.dtmf import edges
from mixminus.media.pcm import (
    FRAME_MS,
    FRAME_SAMPLES,
    FRAME_TICKS,
    FULL_SCALE,
    SAMPLE_RATE_HZ,
    AudioFrame,
    Pcm,
    level_dbov,
)

from ...graph.operations import RecordReason

SPEECH_DBOV: Final = -45.0
"""A frame as loud as this is speech: quiet talkers are at -35 dBov, a line's noise below -55."""
SPEECH_FRAMES: Final = 3
WINDOW_FRAMES: Final = 5
"""Three of five frames (100 ms) make speech begin or go on: a click is one."""

MEDIA_TIMEOUT_S: Final = 5.0
"""So long without a frame from anyone in the call, and there is nothing to record."""

BEEP_HZ: Final = 1000.0
BEEP_MS: Final = 250
BEEP_LEVEL: Final = 0.2

FRAMES_PER_S: Final = 1000 // FRAME_MS


@dataclass(frozen=True, slots=True)
class Clip:
    """What was recorded, and why it ended there."""

    reason: RecordReason
    pcm: Pcm

    def to_wav(self) -> bytes:
        """Return a WAV file: PCM of 16 bit, mono, 16 kHz."""
        file = io.BytesIO()
        with wave.open(file, "wb") as writer:
            writer.setnchannels(1)
            writer.setsampwidth(2)
            writer.setframerate(SAMPLE_RATE_HZ)
            writer.writeframes(self.pcm.astype("<i2", copy=False).tobytes())
        return file.getvalue()


@dataclass(frozen=True, slots=True)
class RecordLimits:
    """When a recording ends by itself. ``stop_keys`` are characters of the keypad."""

    initial_silence_s: float
    max_silence_s: float
    max_duration_s: float
    stop_keys: frozenset[str] = frozenset()


class ResponseRecorder:
    """Takes frames until one of the limits is met; time is counted in frames.

    A tick that was not read is silence in the clip, by the frames' timestamps. The limits are
    looked at in this order: stop tone, duration, initial silence, silence after speech.
    Thread: one at a time.
    """

    def __init__(self, limits: RecordLimits) -> None:
        self._limits = limits
        self._max_samples = round(limits.max_duration_s * SAMPLE_RATE_HZ)
        self._pieces: list[Pcm] = []
        self._samples = 0
        self._origin: int | None = None
        self._recent: deque[bool] = deque(maxlen=WINDOW_FRAMES)
        self._has_spoken = False
        self._quiet_frames = 0
        self.clip: Clip | None = None
        """The result, once there is one."""

    @property
    def samples(self) -> int:
        """Samples recorded so far."""
        return self._samples

    @property
    def waits_for_keys(self) -> bool:
        """Whether some key would end it."""
        return bool(self._limits.stop_keys)

    def push(self, frame: AudioFrame) -> None:
        """Record the frame of the next tick. After the end nothing is recorded."""
        if self._origin is None:
            self._origin = frame.timestamp
        due = (frame.timestamp - self._origin) // FRAME_TICKS * FRAME_SAMPLES
        # At most what may still be recorded: a clock that jumped costs no memory.
        missing_samples = min(due, self._max_samples) - self._samples
        for _ in range(missing_samples // FRAME_SAMPLES):
            self._take(np.zeros(FRAME_SAMPLES, np.int16), is_loud=False)
        self._take(np.asarray(frame), is_loud=level_dbov(frame) >= SPEECH_DBOV)

    def press(self, key: str, at_samples: int | None = None) -> bool:
        """Hear a key; if it is a stop tone, end here, or where its tone began. Say whether it was.

        Units:  at_samples counts from the clip's first sample.
        """
        if self.clip is not None or key not in self._limits.stop_keys:
            return False
        self._end(RecordReason.STOP_TONE, at_samples)
        return True

    def miss_media(self) -> None:
        """Hear that nobody in the call sends anything."""
        self._end(RecordReason.MEDIA_TIMEOUT)

    def _take(self, pcm: Pcm, *, is_loud: bool) -> None:
        if self.clip is not None:
            return
        self._pieces.append(pcm)
        self._samples += pcm.size
        self._recent.append(is_loud)
        if sum(self._recent) >= SPEECH_FRAMES:
            self._has_spoken = True
            self._quiet_frames = 0
        else:
            self._quiet_frames += 1
        limits = self._limits
        quiet_s = self._quiet_frames / FRAMES_PER_S
        if self._samples >= self._max_samples:
            self._end(RecordReason.MAX_DURATION, self._max_samples)
        elif not self._has_spoken and quiet_s >= limits.initial_silence_s:
            self._end(RecordReason.INITIAL_SILENCE)
        elif self._has_spoken and quiet_s >= limits.max_silence_s:
            self._end(RecordReason.MAX_SILENCE)

    def _end(self, reason: RecordReason, at_samples: int | None = None) -> None:
        if self.clip is None:
            whole = np.concatenate(self._pieces) if self._pieces else np.zeros(0, np.int16)
            self.clip = Clip(reason, whole if at_samples is None else whole[: max(0, at_samples)])


def beep_pcm() -> Pcm:
    """Return the beep before a recording: a quarter of a second of 1 kHz, faded in and out."""
    samples = BEEP_MS * SAMPLE_RATE_HZ // 1000
    time_s = np.arange(samples) / SAMPLE_RATE_HZ
    wave_form = BEEP_LEVEL * FULL_SCALE * np.sin(2 * np.pi * BEEP_HZ * time_s) * edges(samples, 5.0)
    return np.round(wave_form).astype(np.int16)
