"""A recording of a running call: its session's listener, its gate, and a thread that writes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final, Protocol, TypeAlias

from .gate import RecordingGate
from .options import EndReason, RecordingOptions, RecordingReport, TimelineFrame
from .recording import Recording
from .segments import Speaker
from .store import RecordingStore
from .writer import WriterThread

log = logging.getLogger("mixminus.media.recorder")

ASK_FRAMES: Final = 50
"""Who the speakers are is asked once a second."""

Describe: TypeAlias = Callable[[int], Speaker | None]
"""Who a source is; None while nobody knows."""


class FrameListener(Protocol):
    """Every tick of a session, as ``MediaSession.listen`` gives them."""

    def __aiter__(self) -> AsyncIterator[TimelineFrame]:
        """Iterate until the session is over."""

    @property
    def dropped(self) -> int:
        """Ticks that went before they were read."""

    def close(self) -> None:
        """Listen no more; what waits can still be read."""


class LiveRecording:
    """Records a session from now on, until stopped, until the call ends, or the disk says no.

    What is said while *gate* is shut is not stored: the files are silent there.
    Raises: RecordingGateError when it is shut now; RecordingQuotaError; OSError.
    Thread: the loop's; what it writes, a thread of its own does.
    """

    def __init__(
        self,
        listener: FrameListener,
        recording: Recording,
        gate: RecordingGate,
        describe: Describe = lambda source_id: None,
    ) -> None:
        self.id = recording.id
        self.paused = False
        """While true, what is said is left out: the files are silent there."""
        self._listener = listener
        self._recording = recording
        self._gate = gate
        self._describe = describe
        self._loop = asyncio.get_running_loop()
        self.done: asyncio.Future[RecordingReport] = self._loop.create_future()
        """What came of it, however it ended; never an exception."""
        self._known: dict[int, Speaker | None] = {}
        self._frames = 0
        self._dropped = 0
        self._reason = EndReason.CALL_ENDED
        self._writer: WriterThread[TimelineFrame] = WriterThread(recording, self._ended)
        self._pump = asyncio.create_task(self._take(), name=f"recording {self.id}")
        self._pump.add_done_callback(self._pump_done)

    @classmethod
    async def begin(
        cls,
        listen: Callable[[], FrameListener],
        store: RecordingStore,
        gate: RecordingGate,
        options: RecordingOptions,
        *,
        info: Mapping[str, Any],
        describe: Describe,
    ) -> LiveRecording:
        """Make the files, in a thread, then listen.

        Raises: RecordingGateError when the gate is shut; RecordingQuotaError; OSError; what
                *listen* raises, and then nothing is left behind.
        """
        gate.expect_open()
        making = asyncio.create_task(
            asyncio.to_thread(lambda: Recording(store.create(), options, info))
        )
        try:
            recording = await asyncio.shield(making)
        except asyncio.CancelledError:
            # The thread goes on; what it made must not stay open.
            making.add_done_callback(_close_unwanted)
            raise
        try:
            listener = listen()
        except BaseException:
            # The session ended meanwhile: there is nothing to be kept.
            await asyncio.to_thread(_discard, store, recording)
            raise
        return cls(listener, recording, gate, describe)

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.done.done()

    @property
    def lost_frames(self) -> int:
        """Ticks that the loop or the disk was too slow for: silence in the files."""
        return self._writer.lost + self._listener.dropped

    async def stop(self, reason: EndReason = EndReason.STOPPED) -> RecordingReport:
        """Store what was said until now, complete the files; return what came of it.

        Again: the same.
        """
        if not self._pump.done():
            self._reason = reason
            self._listener.close()
            await asyncio.wait([self._pump])
        # By the loop's own threads, so that a loop in virtual time knows what it waits for.
        await asyncio.to_thread(self._writer.join)
        return await asyncio.shield(self.done)

    async def _take(self) -> None:
        try:
            async for frame in self._listener:
                if self._writer.is_over:
                    break
                if self._gate.admits(frame.timestamp) and not self.paused:
                    self._meet(frame)
                    self._writer.put(frame)
        finally:
            self._listener.close()
            self._writer.stop(self._reason)

    def _meet(self, frame: TimelineFrame) -> None:
        """Ask who the speakers are. A roster may know of them later, or of others by their id."""
        is_time = self._frames % ASK_FRAMES == 0
        self._frames += 1
        for source_id in frame.speakers:
            if source_id not in self._known or is_time:
                speaker = self._describe(source_id)
                if speaker is not None and speaker != self._known.get(source_id):
                    self._recording.name_speaker(speaker)
                self._known[source_id] = speaker
        dropped = self._listener.dropped
        if dropped != self._dropped:
            self._recording.count_lost(dropped - self._dropped)
            self._dropped = dropped

    def _ended(self, report: RecordingReport) -> None:
        # The writer's thread.
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._tell, report)

    def _tell(self, report: RecordingReport) -> None:
        self._listener.close()
        if report.error is not None:
            log.error("recording %s ended (%s): %s", self.id, report.reason, report.error)
        if not self.done.done():
            self.done.set_result(report)

    def _pump_done(self, pump: asyncio.Task[None]) -> None:
        if not pump.cancelled() and (error := pump.exception()) is not None:
            log.error("recording %s", self.id, exc_info=error)


def _discard(store: RecordingStore, recording: Recording) -> None:
    recording.close(EndReason.CALL_ENDED)
    store.remove(recording.id)


def _close_unwanted(making: asyncio.Task[Recording]) -> None:
    if not making.cancelled() and making.exception() is None:
        making.result().close(EndReason.FAILED, "nobody waited for it")
