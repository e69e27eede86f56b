"""The speakers of a conversation apart: taps of their legs, read once a tick for all feeds."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

import numpy as np

from mixminus.media.bridge import Leg, Tap
from mixminus.media.pcm import FLAG_SILENCE, FLAG_SKIPPED
from mixminus.media.platform import MediaPlatform
from mixminus.media.transports.link import SpeakerFrame

FRESH_FRAMES: Final = 3
"""60 ms: what is older when somebody takes it is stale."""


class SpeakerTaps:
    """Who speaks in one bridge, and who wants to hear whom apart.

    A leg is tapped once, however many want it. Who speaks on several legs at once is one stream:
    their sum.
    Thread: the platform's loop.
    """

    def __init__(self, platform: MediaPlatform) -> None:
        self._platform = platform
        self._feeds: dict[str, Feed] = {}
        self._taps: dict[int, dict[Leg, Tap]] = {}
        self._unsubscribe: Callable[[], None] = lambda: None

    @property
    def are_wanted(self) -> bool:
        """Whether anybody wants speakers apart, so that :meth:`route` has something to do."""
        return bool(self._feeds)

    def open(self, listener_id: str) -> Feed:
        """Give that participant the speakers apart, from the next :meth:`route` on."""
        before = self._feeds.get(listener_id)
        if before is not None:
            before.close()
        if not self._feeds:
            self._unsubscribe = self._platform.on_tick(self._read)
        feed = self._feeds[listener_id] = Feed(lambda: self._closed(listener_id))
        return feed

    def route(
        self, voices: Mapping[int, Sequence[Leg]], heard: Mapping[str, Collection[int]]
    ) -> None:
        """Say on which legs each speaker speaks now, by source id, and whom each listener hears.

        Who was heard once stays a stream, silent while not heard, until it is not in *voices*.
        """
        wanted: set[int] = set()
        for listener_id, feed in self._feeds.items():
            feed.route(heard.get(listener_id, ()), voices)
            wanted |= feed.known
        for source_id in self._taps.keys() - wanted:
            for tap in self._taps.pop(source_id).values():
                tap.close()
        for source_id in wanted:
            self._tap(source_id, voices[source_id])

    def close(self) -> None:
        """Let go of all taps; the feeds give nothing more. Again is no error."""
        for feed in tuple(self._feeds.values()):
            feed.close()

    def _closed(self, listener_id: str) -> None:
        del self._feeds[listener_id]
        if not self._feeds:
            self._unsubscribe()
            self.route({}, {})

    def _tap(self, source_id: int, legs: Sequence[Leg]) -> None:
        taps = self._taps.setdefault(source_id, {})
        for leg in taps.keys() - set(legs):
            taps.pop(leg).close()
        for leg in legs:
            if leg not in taps:
                taps[leg] = leg.tap()

    def _read(self) -> None:
        for source_id, taps in self._taps.items():
            frames: list[SpeakerFrame] = []
            for tap in taps.values():
                frames += _frames_of(source_id, tap)
            for frame in frames if len(taps) == 1 else _summed(frames):
                for feed in self._feeds.values():
                    feed.put(frame)


class Feed:
    """The speakers that one participant may hear, apart. Made by :meth:`SpeakerTaps.open`.

    Thread: the platform's loop. Source: the media layer's ``SpeakerFeed``.
    """

    def __init__(self, on_close: Callable[[], None]) -> None:
        self.known: set[int] = set()
        self.dropped_frames = 0
        self._on_close = on_close
        self._heard: frozenset[int] = frozenset()
        self._waiting: dict[int, deque[SpeakerFrame]] = {}
        self._ended: list[int] = []
        self._is_closed = False

    def take(self) -> Sequence[SpeakerFrame]:
        """Return what came since the last call, at most the newest 60 ms of each, in order."""
        frames = [frame for waiting in self._waiting.values() for frame in waiting]
        for waiting in self._waiting.values():
            waiting.clear()
        return frames

    def take_ended(self) -> Sequence[int]:
        """Return who ended since the last call, by source id."""
        ended, self._ended = self._ended, []
        return ended

    def route(self, heard: Collection[int], present: Collection[int]) -> None:
        """Hear these from now on, and know who is still there."""
        self._heard = frozenset(heard)
        self.known |= self._heard
        gone = self.known.difference(present)
        self.known -= gone
        self._ended += sorted(gone)
        for source_id in gone:
            self._waiting.pop(source_id, None)

    def put(self, frame: SpeakerFrame) -> None:
        """Take in a frame of any speaker."""
        source_id = frame.source_id
        if source_id not in self.known:
            return
        if source_id not in self._heard:
            frame = frame._replace(
                flags=frame.flags & FLAG_SKIPPED | FLAG_SILENCE, speakers=(), payload=b""
            )
        waiting = self._waiting.get(source_id)
        if waiting is None:
            waiting = self._waiting[source_id] = deque(maxlen=FRESH_FRAMES)
        self.dropped_frames += len(waiting) == FRESH_FRAMES
        waiting.append(frame)

    def close(self) -> None:
        """Give nothing more. Again is no error."""
        if not self._is_closed:
            self._is_closed = True
            self.known.clear()
            self._waiting.clear()
            self._on_close()


def _frames_of(source_id: int, tap: Tap) -> list[SpeakerFrame]:
    """Return what waits in *tap*. What is flagged silent adds nothing to a mix, and goes empty."""
    frames = []
    while (record := tap.ring.read_record()) is not None:
        timestamp, flags, speakers, payload = record
        frames.append(
            SpeakerFrame(
                source_id, timestamp, flags, speakers, b"" if flags & FLAG_SILENCE else payload
            )
        )
    return frames


def _summed(frames: Sequence[SpeakerFrame]) -> list[SpeakerFrame]:
    """Add up the frames of each tick."""
    by_tick: dict[int, SpeakerFrame] = {}
    for frame in frames:
        other = by_tick.get(frame.timestamp)
        if other is not None:
            frame = _sum(other, frame)
        by_tick[frame.timestamp] = frame
    return [by_tick[timestamp] for timestamp in sorted(by_tick)]


def _sum(one: SpeakerFrame, other: SpeakerFrame) -> SpeakerFrame:
    if not one.payload or not other.payload:
        # Silent is what both are: else what is heard stands for both.
        return one if one.payload or not other.payload else other
    total = np.frombuffer(one.payload, np.int16).astype(np.int32)
    total += np.frombuffer(other.payload, np.int16)
    summed: np.ndarray[tuple[int], np.dtype[np.int16]] = np.clip(total, -32768, 32767).astype(
        np.int16
    )
    speakers = tuple(dict.fromkeys((*one.speakers, *other.speakers)))
    return one._replace(flags=one.flags & other.flags, speakers=speakers, payload=summed.tobytes())
