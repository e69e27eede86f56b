"""The thread that writes: who hands it something never waits, the disk never holds up a call."""

from __future__ import annotations

import contextvars
import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Final, Generic, Protocol, TypeVar

from av.error import FFmpegError

from .errors import RecordingDurationError, RecordingError, RecordingQuotaError
from .options import EndReason, RecordingReport

log = logging.getLogger("mixminus.media.recorder")

QUEUE_ITEMS: Final = 1500
"""Half a minute of ticks: what a disk may stand still before frames are lost, and counted."""
WAKE_S: Final = 0.1
"""How long what was handed over waits at most: to wake up each tick would cost more."""

Item_contra = TypeVar("Item_contra", contravariant=True)
Item = TypeVar("Item")


class Sink(Protocol[Item_contra]):
    """What a thread writes to: a recording, a capture."""

    id: str

    def write(self, item: Item_contra, /) -> None:
        """Write one item. Raises: OSError, RecordingError."""

    def count_lost(self, frames: int) -> None:
        """Count items that had no room in the queue."""

    def close(
        self, reason: EndReason = EndReason.STOPPED, error: str | None = None
    ) -> RecordingReport:
        """Complete it. Again: the same."""


class WriterThread(Generic[Item]):
    """Writes to one sink until it is told to stop, or the sink can take no more.

    *on_end* is called once, in this thread, with what came of it.
    Thread: the methods are any thread's.
    """

    def __init__(
        self,
        sink: Sink[Item],
        on_end: Callable[[RecordingReport], None],
        *,
        queue_items: int = QUEUE_ITEMS,
    ) -> None:
        self._sink = sink
        self._on_end = on_end
        self._queue_items = queue_items
        self._queue: deque[Item] = deque()
        self._wake = threading.Event()
        self._reason: EndReason | None = None
        self._is_over = False
        self.lost = 0
        """Items that found the queue full."""
        self._told_lost = 0
        # Not a daemon: a process that ends waits until the files are complete.
        self._thread = threading.Thread(
            target=contextvars.copy_context().run, args=(self._run,), name=f"recorder {sink.id}"
        )
        self._thread.start()

    @property
    def is_over(self) -> bool:
        """Whether the sink has ended."""
        return self._is_over

    def put(self, item: Item) -> bool:
        """Hand over one item; False, and counted, when the disk is too far behind. Never waits."""
        if self._is_over or self._reason is not None:
            return False
        if len(self._queue) >= self._queue_items:
            self.lost += 1
            return False
        self._queue.append(item)
        return True

    def stop(self, reason: EndReason) -> None:
        """Write what waits, then complete the sink. Returns at once; again is no error."""
        if self._reason is None:
            self._reason = reason
        self._wake.set()

    def join(self) -> None:
        """Wait for the end. Not on the loop."""
        self._thread.join()

    def _run(self) -> None:
        try:
            report = self._write_all()
        finally:
            self._is_over = True
            self._queue.clear()
        self._on_end(report)

    def _write_all(self) -> RecordingReport:
        try:
            while True:
                reason = self._reason
                self._drain()
                if reason is not None:
                    return self._sink.close(reason)
                self._wake.wait(WAKE_S)
        except RecordingQuotaError as exc:
            return self._close(EndReason.QUOTA, exc)
        except RecordingDurationError as exc:
            return self._close(EndReason.MAX_DURATION, exc)
        except (OSError, FFmpegError, RecordingError) as exc:
            return self._close(EndReason.FAILED, exc)
        except Exception as exc:
            # A bug of ours must not leave files open and the call waiting for an end of them.
            log.exception("recording %s", self._sink.id)
            return self._close(EndReason.FAILED, exc)

    def _close(self, reason: EndReason, exc: Exception) -> RecordingReport:
        return self._sink.close(reason, f"{type(exc).__name__}: {exc}")

    def _drain(self) -> None:
        while self._queue:
            self._sink.write(self._queue.popleft())
            if self.lost != self._told_lost:
                lost = self.lost
                self._sink.count_lost(lost - self._told_lost)
                self._told_lost = lost
