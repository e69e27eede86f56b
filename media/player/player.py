"""The player: what a bot says, from files, samples and live feeds, and how much of it was heard."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, Final

from ..pcm import SAMPLE_RATE_HZ
from ..pipeline import AudioFileError, Track
from ..pipeline.track import check_loop
from ..session import AudioSocket, SessionClosedError
from ..session.audio_socket import check_mark
from ..session.callbacks import Callbacks
from .clip import SAMPLES_PER_MS, Clip, ClipOutcome, Shape
from .feed import ChunkReader, FeedSource
from .load import PlayerSource, check_source, is_ready, name_of, read_samples
from .pacer import Pacer

log = logging.getLogger("mixminus.media.player")

MAX_FILE_SECONDS: Final = 600.0
"""Ten minutes, 19 MB decoded: what is longer is a feed's to bring piece by piece."""
FEED_AHEAD_SAMPLES: Final = 30 * SAMPLE_RATE_HZ
"""A producer that is faster than speech waits when so much of its sound does."""
BREATH_SAMPLES: Final = SAMPLE_RATE_HZ
"""A producer that never waits must not hold the loop up: after each second of sound, others run."""
LOW_MS: Final = 1000


class Player:
    """Plays into one audio socket: files, samples and feeds, each right after the one before.

    ``await player.play("hello.wav")`` returns when it was heard; ``enqueue`` and ``feed`` return at
    once, a :class:`Clip`. ``clear`` is for who is interrupted: silent within 40 ms, and the clips
    then know to the frame how much of them went out. Nothing plays while the socket is not active;
    what is to be said waits for it. A bot that sends frames itself does so when nothing plays.

    Pacing is by the socket's ticks: no task, no timer.
    Units:  max_file_s of decoded audio in one file.
    Thread: the loop's. ``close`` it with its call.
    """

    def __init__(self, socket: AudioSocket, *, max_file_s: float = MAX_FILE_SECONDS) -> None:
        self._socket = socket
        self._max_file_s = max_file_s
        self._work: dict[Clip, asyncio.Task[None]] = {}
        self._room = asyncio.Event()
        self._low: list[_LowWater] = []
        self._on_mark: Callbacks[[str, bool]] = Callbacks("marks")
        self._is_closed = False
        self._stop_ticks: Callable[[], None] | None = None
        self._pacer = Pacer(socket, self._finish, self._on_mark.call)
        self._stop_status = socket.on_send_status(self._take_status)

    # ---- what is known ---------------------------------------------------------------------------

    @property
    def is_playing(self) -> bool:
        """Whether something is being said, or waits to be."""
        return bool(self._pacer.clips)

    @property
    def is_paused(self) -> bool:
        """Whether ``pause`` holds everything."""
        return self._pacer.is_paused

    @property
    def position_samples(self) -> int:
        """Samples of clips that were handed to the call, in all; to the frame."""
        return self._pacer.position_samples

    @property
    def remaining_ms(self) -> float:
        """How much there is to play without anything more coming; infinite in an endless loop."""
        return self._pacer.ready_samples / SAMPLES_PER_MS

    def on_mark(self, callback: Callable[[str, bool], None]) -> Callable[[], None]:
        """Call back with the name of each mark, and whether it was reached; False: cleared.

        Reached means heard where the transport can tell, else handed on. Returns what takes it off.
        """
        return self._on_mark.add(callback)

    def on_low_on_frames(
        self, callback: Callable[[float], None], threshold_ms: float = LOW_MS
    ) -> Callable[[], None]:
        """Call back with ``remaining_ms`` when less than *threshold_ms* remains.

        Once, and again when more came in between. Returns what takes it off.
        Raises: ValueError unless threshold_ms is over 0.
        """
        if not threshold_ms > 0:
            raise ValueError(f"threshold_ms: expected more than 0, got {threshold_ms}")
        water = _LowWater(callback, threshold_ms)
        self._low.append(water)

        def remove() -> None:
            if water in self._low:
                self._low.remove(water)

        return remove

    # ---- what can be done ------------------------------------------------------------------------

    async def play(
        self,
        source: PlayerSource,
        *,
        loop: bool | int = 1,
        gain_db: float = 0.0,
        fade_in_ms: int = 0,
        fade_out_ms: int = 0,
        rate_hz: int = SAMPLE_RATE_HZ,
        mark: str | None = None,
    ) -> ClipOutcome:
        """Play *source* after what is queued; return how it ended, once it has.

        Cancelled, it is cleared. Raises: as :meth:`enqueue`; AudioFileError on a bad file.
        """
        clip = self.enqueue(
            source,
            loop=loop,
            gain_db=gain_db,
            fade_in_ms=fade_in_ms,
            fade_out_ms=fade_out_ms,
            rate_hz=rate_hz,
            mark=mark,
        )
        try:
            return await asyncio.shield(clip.done)
        except asyncio.CancelledError:
            self._clear({clip})
            raise

    def enqueue(
        self,
        source: PlayerSource,
        *,
        loop: bool | int = 1,
        gain_db: float = 0.0,
        fade_in_ms: int = 0,
        fade_out_ms: int = 0,
        rate_hz: int = SAMPLE_RATE_HZ,
        mark: str | None = None,
    ) -> Clip:
        """Play *source* after what is queued: a file's name, a file's bytes, or int16 samples.

        Shape:  samples (n,) int16 or their bytes, at rate_hz; a file says its own rate.
        Units:  loop: how often in all, True for ever. gain_db -60 to 60, fades up to 60 s.
                *mark* names the moment of its last sample, for ``on_mark``.
        Raises: ValueError, TypeError on what cannot be played or a number out of range;
                SessionClosedError when the call is over. What is wrong with a file's content comes
                by ``clip.done``: the clips after it, and the call, go on.
        """
        check_source(source, rate_hz)
        check_loop(loop)
        clip = self._new_clip(name_of(source), Shape(gain_db, fade_in_ms, fade_out_ms), mark)
        if is_ready(source, rate_hz):
            clip.begin(Track([read_samples(source, rate_hz, self._max_file_s)], loop=loop))
        else:
            self._start(clip, self._load(clip, source, loop, rate_hz))
        self._pacer.fill()
        return clip

    def feed(
        self,
        chunks: AsyncIterator[Any],
        *,
        rate_hz: int = 24_000,
        channels: int = 1,
        gain_db: float = 0.0,
        fade_in_ms: int = 0,
        fade_out_ms: int = 0,
        mark: str | None = None,
    ) -> Clip:
        """Play what *chunks* gives, as it comes, after what is queued: a synthesiser, a radio.

        Shape:  chunks of int16, bytes of any length (half a sample waits for its other half) or
                arrays (n,), (n, 2) of two channels.
        Units:  rate_hz 4,000 to 192,000.
        Raises: ValueError on a rate, a number of channels, or a shape; SessionClosedError.

        It begins when 60 ms have come; each hole that comes too soon makes that longer, ten calm
        seconds make it shorter. A producer that is ahead of the call waits when 30 s of its sound
        do. What it raises comes by ``clip.done``, after what it gave was played. A clip that is
        cleared closes it.
        """
        reader = ChunkReader(rate_hz, channels)
        clip = self._new_clip("a feed", Shape(gain_db, fade_in_ms, fade_out_ms), mark)
        source = FeedSource(self._pacer.preroll)
        clip.begin(source)
        self._start(clip, self._read(clip, chunks, reader, source))
        return clip

    def clear(self) -> None:
        """Say nothing more: what plays fades out within 5 ms, what waits is dropped, also far away.

        The last sample goes out 40 ms later at most. Each clip's ``done`` is resolved once its
        position is known: with the next tick. What is enqueued from now on is not touched.
        """
        self._clear(self._pacer.clips)

    def pause(self) -> None:
        """Hold everything, from the next frame that was not sent on: silent within 180 ms."""
        if not self._pacer.is_paused and not self._is_closed:
            self._pacer.pause()

    def resume(self) -> None:
        """Go on with the sample at which ``pause`` took hold."""
        if self._pacer.is_paused and not self._is_closed:
            self._pacer.resume()

    async def close(self) -> None:
        """Clear everything and leave no task behind. Again is no error."""
        self._is_closed = True
        tasks = tuple(self._work.values())
        self._end()
        self._stop_status()
        await asyncio.gather(*tasks, return_exceptions=True)

    # ---- clips -----------------------------------------------------------------------------------

    def _new_clip(self, name: str, shape: Shape, mark: str | None) -> Clip:
        check_mark(mark)
        if self._is_closed or self._socket.closed:
            raise SessionClosedError("the session is closed")
        clip = Clip(name, shape, mark)
        self._pacer.program.add(clip)
        for water in self._low:
            water.rise()
        if self._stop_ticks is None:
            self._stop_ticks = self._socket.on_tick(self._on_tick)
        return clip

    def _start(self, clip: Clip, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name=f"player: {clip.name}")
        self._work[clip] = task
        task.add_done_callback(lambda done: self._work_done(clip, done))

    def _work_done(self, clip: Clip, task: asyncio.Task[None]) -> None:
        self._work.pop(clip, None)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            # A bug of ours, or of a feed's end: the clip ends with it, the player goes on.
            log.error("playing %s failed", clip.name, exc_info=error)
            self._pacer.program.drop({clip})
            clip.fail(error)
            self._finish(clip)

    async def _load(self, clip: Clip, source: PlayerSource, loop: bool | int, rate_hz: int) -> None:
        try:
            pcm = await asyncio.to_thread(read_samples, source, rate_hz, self._max_file_s)
        except AudioFileError as exc:
            log.warning("cannot play %s", exc)
            self._pacer.program.drop({clip})
            clip.fail(exc)
            self._finish(clip)
        else:
            clip.begin(Track([pcm], loop=loop))
        self._pacer.fill()

    async def _read(
        self, clip: Clip, chunks: AsyncIterator[Any], reader: ChunkReader, source: FeedSource
    ) -> None:
        breath = 0
        try:
            async for chunk in chunks:
                pcm = reader.push(chunk)
                source.push(pcm)
                breath += pcm.size
                self._pacer.fill()
                if breath >= BREATH_SAMPLES:
                    breath = 0
                    await asyncio.sleep(0)
                while source.buffered_samples > FEED_AHEAD_SAMPLES:
                    self._room.clear()
                    await self._room.wait()
            source.push(reader.flush())
        except Exception as exc:
            # The boundary to a producer's code: what it gave is played, then its error is told.
            log.warning("a feed failed: %s: %s", type(exc).__name__, exc)
            clip.fail(exc)
        finally:
            source.end()
            self._pacer.fill()
            close = getattr(chunks, "aclose", None)
            if close is not None:
                await close()

    def _clear(self, clips: set[Clip]) -> None:
        clips = {clip for clip in clips if not clip.done.done()}
        for clip in clips:
            clip.cut()
            if (task := self._work.get(clip)) is not None:
                task.cancel()
        for clip in clips - self._pacer.clear(clips):
            self._finish(clip)

    def _finish(self, clip: Clip) -> None:
        if clip.done.done():
            return
        clip.finish()
        if clip.mark is not None and clip.is_cleared and not clip.was_mark_sent:
            self._on_mark.call(clip.mark, False)

    def _take_status(self, _: bool) -> None:
        if self._socket.closed:
            self._end()
        else:
            self._pacer.fill()

    # ---- ticks -----------------------------------------------------------------------------------

    def _on_tick(self) -> None:
        self._pacer.settle()
        self._pacer.fill(ticked=True)
        self._room.set()
        remaining_ms = self.remaining_ms if self._low else 0.0
        if self._pacer.is_idle and self._stop_ticks is not None:
            self._stop_ticks()
            self._stop_ticks = None
        for water in tuple(self._low):
            water.look(remaining_ms)

    def _end(self) -> None:
        """The call is over: everything ends here."""
        if self._stop_ticks is not None:
            self._stop_ticks()
            self._stop_ticks = None
        for clip in self._pacer.end():
            clip.cut()
            self._finish(clip)
        for task in tuple(self._work.values()):
            task.cancel()


class _LowWater:
    """One who wants to know when little is left."""

    def __init__(self, callback: Callable[[float], None], threshold_ms: float) -> None:
        self._callbacks: Callbacks[[float]] = Callbacks("running low on frames")
        self._callbacks.add(callback)
        self._threshold_ms = threshold_ms
        self._is_armed = False

    def rise(self) -> None:
        """Something was put into the queue."""
        self._is_armed = True

    def look(self, remaining_ms: float) -> None:
        """Tell, once, when there is little."""
        if remaining_ms >= self._threshold_ms:
            self._is_armed = True
        elif self._is_armed:
            self._is_armed = False
            self._callbacks.call(remaining_ms)
