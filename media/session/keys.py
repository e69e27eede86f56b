"""Keys that are pressed at the far end: told by the transport, or heard in the audio, each once."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final, Self

import numpy as np

from ..dtmf import KEYS, ToneDetector, tone_pcm
from ..pcm import FRAME_MS, FRAME_SAMPLES, AudioFrame, Pcm
from ..presses import Presses
from .callbacks import Callbacks

MAX_TONES: Final = 256
"""More keys than anyone presses before a bot reads them; the oldest go first."""
MIN_TONE_MS: Final = 40
MAX_TONE_MS: Final = 10_000
"""Receivers ignore what is shorter (Q.24); and nobody holds a key for longer."""
TONE_DBOV: Final = -13.0
TICKS_PER_S: Final = 10_000_000
MIX: Final = 0
"""Where the mix is listened to: no speaker has this id."""


class ToneStream:
    """Keys pressed from now on: iterate until the session is over, or ``close``.

    Thread: the loop's.
    """

    def __init__(self) -> None:
        self._waiting: deque[str] = deque(maxlen=MAX_TONES)
        self._wake = asyncio.Event()
        self._is_over = False
        self._detach: Callable[[], None] = lambda: None

    def __aiter__(self) -> Self:
        """Iterate over the keys."""
        return self

    async def __anext__(self) -> str:
        """Wait for the next key: 0-9, *, #, A-D."""
        while not self._waiting:
            if self._is_over:
                raise StopAsyncIteration
            self._wake.clear()
            await self._wake.wait()
        return self._waiting.popleft()

    def put(self, key: str) -> None:
        """Hand over a key. The socket's to do."""
        self._waiting.append(key)
        self._wake.set()

    def attach(self, detach: Callable[[], None]) -> None:
        """Know what takes this stream off. The socket's to do."""
        self._detach = detach

    def close(self) -> None:
        """End the iteration after what waits. Again is no error."""
        self._detach()
        self._is_over = True
        self._wake.set()


class KeyEar:
    """Hears keys on every path there is, and tells each press once.

    Thread: the loop's.
    """

    def __init__(self) -> None:
        self.callbacks: Callbacks[[str]] = Callbacks("pressed keys")
        self._streams: list[ToneStream] = []
        self._presses = Presses()
        self._detectors: dict[int, ToneDetector] = {}

    def told(self, key: str, now_ticks: int) -> None:
        """Hear of a key that the transport told of. Units: 100 ns."""
        self._take("transport", key, now_ticks)

    def listen(self, mixed: AudioFrame, speakers: Mapping[int, AudioFrame]) -> None:
        """Look for keys in one tick of audio: of each speaker where there are any, else the mix."""
        frames = speakers or {MIX: mixed}
        for source_id in tuple(self._detectors):
            if source_id not in frames:
                del self._detectors[source_id]
        for source_id, frame in frames.items():
            detector = self._detectors.setdefault(source_id, ToneDetector())
            for heard in detector.push(np.asarray(frame)):
                self._take("audio", heard.key, mixed.timestamp)

    def deafen(self) -> None:
        """Look no more; what was begun is forgotten."""
        self._detectors.clear()

    def stream(self) -> ToneStream:
        """Return the keys from now on."""
        stream = ToneStream()
        self._streams.append(stream)

        def detach() -> None:
            if stream in self._streams:
                self._streams.remove(stream)

        stream.attach(detach)
        return stream

    def close(self) -> None:
        """End all streams."""
        for stream in tuple(self._streams):
            stream.close()

    def _take(self, path: str, key: str, now_ticks: int) -> None:
        if not self._presses.take(path, key, now_ticks / TICKS_PER_S):
            return
        self.callbacks.call(key)
        for stream in self._streams:
            stream.put(key)


def check_keys(keys: str, duration_ms: int) -> str:
    """Return *keys* as they are sent.

    Raises: ValueError on one that telephones do not have, on none, and on a duration out of range.
    """
    upper = keys.upper()
    if not upper or any(key not in KEYS for key in upper):
        raise ValueError(f"expected keys of {KEYS}, got {keys!r}")
    if not MIN_TONE_MS <= duration_ms <= MAX_TONE_MS:
        raise ValueError(f"duration_ms: expected {MIN_TONE_MS} to {MAX_TONE_MS}, got {duration_ms}")
    return upper


def key_frames(key: str, duration_ms: int, pause_ms: int) -> list[Pcm]:
    """Return the tone of *key* and the pause after it as whole frames, the pause filling up."""
    tone = tone_pcm(key, duration_ms, level_dbov=TONE_DBOV)
    frames = -(-(duration_ms + pause_ms) // FRAME_MS)
    whole = np.zeros(frames * FRAME_SAMPLES, np.int16)
    whole[: tone.size] = tone
    return list(whole.reshape(-1, FRAME_SAMPLES))
