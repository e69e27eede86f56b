"""What the service itself says on a leg: silence, until it is given samples."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import numpy as np

from mixminus.media.bridge import Leg
from mixminus.media.pcm import FLAG_SILENCE, FRAME_SAMPLES, Pcm
from mixminus.media.pipeline import Track
from mixminus.media.platform import MediaPlatform

DEPTH_FRAMES: Final = 2
"""What waits to be played: 40 ms, which is how soon a voice that is stopped is silent."""

SILENT: Final = np.zeros(FRAME_SAMPLES, np.int16)


class Voice:
    """Writes a leg's source at every tick: the track that was started, else silence.

    Silence is written, not left out: a source that stops is concealed as if packets were lost.
    The leg must be ``paced`` and have no other writer.
    Thread: the platform's loop.
    """

    def __init__(self, platform: MediaPlatform, leg: Leg) -> None:
        self._platform, self._leg = platform, leg
        self._track: Track | None = None
        self._done: asyncio.Future[None] | None = None
        self._end_frame: int | None = None
        self._said_frames = 0
        self._unsubscribe = platform.on_tick(self._fill)
        self._fill()

    @property
    def said_frames(self) -> int:
        """Frames of tracks written so far."""
        return self._said_frames

    def start(self, pcms: Sequence[Pcm], *, loop: bool = False) -> asyncio.Future[None]:
        """Play *pcms*; what is returned is done once the last frame went into the call.

        It is cancelled when the voice is stopped before.
        Raises: RuntimeError while another track is played; ValueError when there is no sample.
        """
        if self._done is not None:
            raise RuntimeError("this voice is saying something already")
        self._track = Track(pcms, loop=loop)
        self._done = asyncio.get_running_loop().create_future()
        return self._done

    async def say(self, pcms: Sequence[Pcm], *, loop: bool = False) -> None:
        """Play *pcms* to their end; stop at once when cancelled.

        Raises: RuntimeError while another track is played; ValueError when there is no sample.
        """
        done = self.start(pcms, loop=loop)
        try:
            await done
        finally:
            if self._done is done:
                self.stop()

    def stop(self) -> None:
        """Be silent: within 40 ms, which is what waits already. Again is no error."""
        done, self._done, self._track, self._end_frame = self._done, None, None, None
        if done is not None:
            done.cancel()

    def move(self, leg: Leg) -> None:
        """Speak on *leg* from now on."""
        self._leg = leg
        self._end_frame = None
        if self._done is not None and self._track is None:
            self._finish()

    def close(self) -> None:
        """Stop, and write no more. Again is no error."""
        self._unsubscribe()
        self.stop()

    def _fill(self) -> None:
        ring = self._leg.source
        if self._end_frame is not None:
            counters = ring.counters()
            if counters.read + counters.skipped >= self._end_frame:
                self._finish()
        # A playout that wants more than two before it begins would never begin.
        depth_frames = max(DEPTH_FRAMES, self._leg.counters().target_frames)
        while ring.depth_frames < depth_frames:
            self._write()

    def _write(self) -> None:
        ring = self._leg.source
        if self._track is None:
            ring.write(SILENT, self._platform.now(), FLAG_SILENCE)
            return
        ring.write(self._track.next_frame(), self._platform.now())
        self._said_frames += 1
        if self._track.is_over:
            self._track = None
            self._end_frame = ring.counters().written

    def _finish(self) -> None:
        done, self._done, self._end_frame = self._done, None, None
        if done is not None and not done.done():
            done.set_result(None)


class LoopingVoice:
    """Plays *pcm* on *leg* again and again until it is closed. The leg must be ``paced``."""

    def __init__(self, platform: MediaPlatform, leg: Leg, pcm: Pcm) -> None:
        self._voice = Voice(platform, leg)
        self._voice.start([pcm], loop=True)

    def close(self) -> None:
        """Be silent within 40 ms and write no more. Again is no error."""
        self._voice.close()
