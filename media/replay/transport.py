"""A session's transport whose far end is a capture: it says again what was said then."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from ..platform import MediaPlatform
from ..quality import StreamQuality
from ..session import MediaSession
from ..transports.base import CLEAR, SEND_TONES, SPEAKERS, TONES
from .format import TickRecord


class ReplayTransport:
    """Writes a capture's ticks into the legs of a session, each before the tick that it is due in.

    The link leg gets the mix, and when speakers are wanted each gets their own leg.
    Thread: the loop's.
    """

    def __init__(self, platform: MediaPlatform, session: MediaSession) -> None:
        self.capabilities = frozenset({SPEAKERS, TONES, SEND_TONES, CLEAR})
        self.sends_silence = True
        self.on_tone: Callable[[str], None] | None = None
        self.on_media: Callable[[bool], None] | None = None
        self.on_mark: Callable[[str, bool], None] | None = None
        self.keys_sent: list[str] = []
        self.names: dict[int, str] = {}
        self._platform = platform
        self._session = session
        self._link = session.legs.link
        self._wants_speakers = False
        self._speaking: set[int] = set()
        self._closed: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._frames = 0

    @property
    def closed(self) -> asyncio.Future[str]:
        """Resolved once, when close() was called."""
        return self._closed

    def feed(self, tick: TickRecord) -> None:
        """Say what was said in one tick; the engine's next one takes it."""
        now = self._platform.now()
        self._frames += 1
        self._link.source.write(tick.mixed, now, tick.mixed.frame_flags)
        speakers: Mapping[int, object] = tick.speakers if self._wants_speakers else {}
        for source_id in self._speaking - set(speakers):
            self._session.close_speaker(source_id)
        self._speaking = set(speakers)
        if not self._wants_speakers:
            return
        for source_id, frame in tick.speakers.items():
            leg = self._session.open_speaker(source_id, self.names.get(source_id))
            leg.source.write(frame, now, frame.frame_flags)

    def counters(self) -> dict[str, int]:
        """Return the frames in."""
        return {"frames_in": self._frames}

    async def close(self) -> None:
        """End the transport. Again is no error."""
        if not self._closed.done():
            self._closed.set_result("the capture is over")

    def want_speakers(self, wanted: bool) -> None:
        """Say each speaker's own audio too, or no more."""
        self._wants_speakers = wanted

    def send_tone(self, key: str, duration_ms: int) -> None:
        """Remember a key that the bot pressed."""
        self.keys_sent.append(key)

    def send_mark(self, name: str) -> None:
        """Do nothing: marks are told as played when they are handed over."""

    def clear(self) -> None:
        """Do nothing: nobody has played anything."""

    def quality(self) -> StreamQuality:
        """Return that of a network that loses nothing: what was lost then is in the frames."""
        return StreamQuality(
            codec="pcm16k",
            received_packets=self._frames,
            lost_packets=0,
            discarded_packets=0,
            jitter_ms=0.0,
            round_trip_ms=None,
            far_loss_ratio=None,
            far_jitter_ms=None,
            sent_packets=0,
            sent_octets=0,
            ticks=self._frames,
            voice_ticks=self._frames,
            fec_ticks=0,
            concealed_ticks=0,
            comfort_ticks=0,
            silence_ticks=0,
            skipped_ticks=0,
            delay_ms=0.0,
            target_ms=0.0,
            drift_ppm=None,
        )
