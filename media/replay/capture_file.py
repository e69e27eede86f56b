"""Writing a capture into an entry of the recordings' store: the same modes, quota and locks."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, TypeAlias

from ..pcm import FRAME_TICKS
from ..recorder.manifest import finish_file
from ..recorder.options import EndReason, RecordingReport
from ..recorder.store import StoreEntry
from ..recorder.tracks import PART, make_private
from .format import MAGIC, CaptureError, Kind, Record, TickRecord, whole_bytes

CAPTURE_NAME: Final = "call.mmcap"
SYNC_TICKS: Final = FRAME_TICKS * 32
"""As a recording's blocks: a crash loses less than a second."""

Item: TypeAlias = Record | TickRecord


class CaptureFile:
    """The capture of one call, as a sink of a writer's thread.

    Raises: OSError when the file cannot be made.
    Thread: one at a time, never the loop's.
    """

    def __init__(self, entry: StoreEntry, header: Record) -> None:
        assert header.kind is Kind.HEADER
        self.id = entry.id
        self._entry = entry
        self._part = entry.directory / (CAPTURE_NAME + PART)
        self._max_ticks = int(entry.limits.max_duration_s * 10_000_000)
        self._synced_at = self._last = 0
        self._lost_frames = 0
        self._report: RecordingReport | None = None
        try:
            self._file = make_private(self._part)
            self._file.write(MAGIC + header.encode())
            self._sync()
        except BaseException:
            entry.release(is_complete=False)
            raise

    def write(self, item: Item, /) -> None:
        """Write one record or tick; what is past the longest duration is left out.

        Raises: OSError, RecordingQuotaError.
        """
        if item.time > self._max_ticks and item.kind is not Kind.END:
            return
        self._file.write(item.encode())
        self._last = max(self._last, item.time)
        if item.time - self._synced_at >= SYNC_TICKS:
            self._synced_at = item.time
            self._sync()

    def count_lost(self, frames: int) -> None:
        """Count items that had no room in the queue. Thread: any."""
        self._lost_frames += frames

    def close(
        self, reason: EndReason = EndReason.STOPPED, error: str | None = None
    ) -> RecordingReport:
        """Complete the file and give it its name; return what came of it. Again: the same."""
        if self._report is not None:
            return self._report
        files: tuple[Path, ...] = ()
        try:
            if reason is not EndReason.FAILED:
                self._file.flush()
                os.fdatasync(self._file.fileno())
                files = (finish_file(self._part),)
        except OSError as exc:
            reason, error = EndReason.FAILED, str(exc)
        try:
            self._file.close()
        except OSError:
            assert self._file.closed  # What could not be written was told already.
        self._entry.release(is_complete=reason is not EndReason.FAILED)
        self._report = RecordingReport(
            self.id,
            self._entry.directory,
            reason,
            self._last / 10_000_000,
            files,
            self._lost_frames,
            error,
        )
        return self._report

    def _sync(self) -> None:
        self._file.flush()
        os.fdatasync(self._file.fileno())
        self._entry.charge(self._file.tell())


def salvage_capture(part: Path) -> Path:
    """Complete a capture that a process left behind: up to its last whole record.

    Raises: OSError; CaptureError when there is nothing of one.
    """
    with part.open("r+b") as file:
        try:
            end = whole_bytes(file)
        except CaptureError:
            end = 0
        file.truncate(end)
        os.fdatasync(file.fileno())
    return finish_file(part)
