"""Service-hosted media of one call: prompts into it, recordings and keys out of it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from mixminus.media.bridge import Leg
from mixminus.media.dtmf import ToneDetector, tone_pcm
from mixminus.media.pcm import FRAME_SAMPLES, AudioFrame, Pcm
from mixminus.media.platform import MediaPlatform
from mixminus.media.presses import Presses

from ...graph.enums import Tone
from ...graph.requests_common import MediaInfo
from .prompts import Prompts
from .recorder import (
    FRAMES_PER_S,
    MEDIA_TIMEOUT_S,
    Clip,
    RecordLimits,
    ResponseRecorder,
    beep_pcm,
)
from .voice import Voice

SAME_PRESS_S: Final = 2.0
"""A key that was signalled and is then found in the audio within 2 s is one press."""
LEAK_S: Final = 0.5
"""A gateway lets the beginning of a tone through before it takes it out of the audio and sends RFC
4733 events: a key that was found in the audio and is then signalled within this is one press."""
TONE_MS: Final = 200
"""How long a key that is sent is heard; receivers want 40 ms."""


@dataclass(frozen=True, slots=True)
class HostedCounters:
    """Frames said and heard, and keys found in the audio."""

    said_frames: int
    heard_frames: int
    found_keys: int


class ServiceHostedMedia:
    """Speaks and listens on one leg in an application's place.

    ``on_tone`` hears the name of each key found in the audio, while :meth:`listen` says so or a
    recording waits for one; what the call then passes back to :meth:`hear_tone` is known to be the
    same press. ``received_frames`` counts what came from everyone else in the call.
    One thing is said at a time; the leg must be ``paced`` and have no other writer or reader.
    Thread: the platform's loop. Close it whatever happens.
    """

    def __init__(
        self,
        platform: MediaPlatform,
        leg: Leg,
        prompts: Prompts,
        *,
        on_tone: Callable[[str], None],
        received_frames: Callable[[], int] | None = None,
    ) -> None:
        self.prompts = prompts
        self._leg, self._on_tone, self._received_frames = leg, on_tone, received_frames
        self._voice = Voice(platform, leg)
        self._listens = False
        self._detector: ToneDetector | None = None
        self._detected_from = 0
        self._heard_frames = 0
        self._found_keys = 0
        self._reported: deque[str] = deque(maxlen=16)
        self._presses = Presses(SAME_PRESS_S)
        self._recorder: ResponseRecorder | None = None
        self._recorded_from = 0
        self._clip: asyncio.Future[Clip] | None = None
        self._last_received = 0
        self._lifeless_frames = 0
        leg.render.clear()
        self._unsubscribe = platform.on_tick(self._read)

    def counters(self) -> HostedCounters:
        """Return the counts so far."""
        return HostedCounters(self._voice.said_frames, self._heard_frames, self._found_keys)

    async def play(self, infos: Sequence[MediaInfo], *, loop: bool = False) -> None:
        """Fetch *infos* and play them without a gap; return once the last sample was played.

        Raises: PromptError. Cancelled, it is silent within 40 ms.
        """
        await self._voice.say(await self.prompts.get_all(infos), loop=loop)

    async def play_pcm(self, pcm: Pcm) -> None:
        """Play samples; return once the last was played."""
        await self._voice.say([pcm])

    async def play_key(self, key: str) -> None:
        """Play the tone of a key."""
        await self.play_pcm(tone_pcm(key, TONE_MS))

    async def record(self, limits: RecordLimits, *, beep: bool) -> Clip:
        """Beep, then record what is heard until one of the limits is met."""
        if self._clip is not None:
            raise RuntimeError("a recording is under way")
        if beep:
            await self.play_pcm(beep_pcm())
        self._clip = asyncio.get_running_loop().create_future()
        # What was said before now, or over the prompt, is no answer to it.
        self._leg.render.clear()
        self._recorder = ResponseRecorder(limits)
        self._recorded_from = self._heard_frames
        self._lifeless_frames = 0
        self._tune()
        try:
            return await self._clip
        finally:
            self._recorder = self._clip = None
            self._tune()

    def listen(self, on: bool) -> None:
        """Look for keys in the audio, or no longer."""
        self._listens = on
        self._tune()

    def hear_tone(self, name: str) -> bool:
        """Hear that someone in the call pressed a key; False: its sound was reported already."""
        if self._reported and self._reported[0] == name:
            self._reported.popleft()
            return True
        key = Tone(name).key
        if key is not None:
            if not self._presses.take("signalled", key, self._now_s, LEAK_S):
                return False
            self._press(key, None)
        return True

    async def close(self) -> None:
        """Stop speaking and listening. Again is no error."""
        self._unsubscribe()
        self._voice.close()
        if self._clip is not None:
            self._clip.cancel()

    def _tune(self) -> None:
        wanted = self._listens or (self._recorder is not None and self._recorder.waits_for_keys)
        if wanted and self._detector is None:
            self._detector, self._detected_from = ToneDetector(), self._heard_frames
        elif not wanted:
            self._detector = None

    def _read(self) -> None:
        ring = self._leg.render
        while (frame := ring.read()) is not None:
            self._heard_frames += 1
            if self._recorder is not None:
                self._record(self._recorder, frame)
            if self._detector is not None:
                self._detect(self._detector, frame)

    def _record(self, recorder: ResponseRecorder, frame: AudioFrame) -> None:
        recorder.push(frame)
        self._lifeless_frames += 1
        if self._received_frames is not None and self._lifeless_frames % FRAMES_PER_S == 0:
            received = self._received_frames()
            if received != self._last_received:
                self._last_received, self._lifeless_frames = received, 0
            elif self._lifeless_frames >= MEDIA_TIMEOUT_S * FRAMES_PER_S:
                recorder.miss_media()
        self._look()

    def _detect(self, detector: ToneDetector, frame: AudioFrame) -> None:
        for found in detector.push(frame):
            self._found_keys += 1
            if not self._presses.take("audio", found.key, self._now_s):
                continue
            at_frame = self._detected_from + found.start_samples / FRAME_SAMPLES
            self._press(found.key, round((at_frame - self._recorded_from) * FRAME_SAMPLES))
            tone = Tone.of_key(found.key)
            assert tone is not None  # The detector knows the keypad's keys alone.
            self._reported.append(tone.value)
            self._on_tone(tone.value)

    @property
    def _now_s(self) -> float:
        return self._heard_frames / FRAMES_PER_S

    def _press(self, key: str, at_samples: int | None) -> None:
        if self._recorder is not None:
            self._recorder.press(key, at_samples)
            self._look()

    def _look(self) -> None:
        clip = None if self._recorder is None else self._recorder.clip
        if clip is not None and self._clip is not None and not self._clip.done():
            self._clip.set_result(clip)
