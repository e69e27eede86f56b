"""Recorder: one stream to a file, in a store with quota, retention and recovery."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from pydantic import Field

from ...pcm import FRAME_SAMPLES, AudioFrame
from ...recorder.errors import RecordingError
from ...recorder.options import EndReason, RecordingOptions
from ...recorder.recording import Recording
from ...recorder.store import RecordingStore, StoreLimits
from ...recorder.tracks import Format
from ..contract import Emit, PluginContext, store_nothing
from .settings import PluginSettings, ignore_event

NOBODY: Final = AudioFrame.of(np.zeros(FRAME_SAMPLES, np.int16))

_stores: Final[dict[tuple[Path, StoreLimits], RecordingStore]] = {}
_stores_lock: Final = threading.Lock()


@dataclass(frozen=True, slots=True)
class _Tick:
    """One frame as a recording takes it."""

    timestamp: int
    mixed: AudioFrame
    own: AudioFrame
    speakers: Mapping[int, AudioFrame]


class StreamRecorder:
    """Record the stream that it sits on, as far as the call's recording gate is open.

    Each stream is a recording of its own, in a directory that is made for it: a file ``speaker-ID``
    (with ``segments.jsonl``, when they spoke), ``own`` or ``mixed``. What was said while the gate
    was shut is silence. Event ``recorded`` tells directory, reason, seconds and error at the end.
    """

    listens: Final = True

    class Config(PluginSettings):
        """Settings of the recorder."""

        directory: Path = Field(description="of all recordings; made when it is not there")
        format: Format = "wav"
        quota_mb: int = Field(10_240, ge=1, description="of the whole directory")
        max_duration_min: float = Field(240.0, gt=0.0)
        retention_days: float = Field(30.0, gt=0.0, description="then recordings are removed")

    def __init__(self, **settings: Any) -> None:
        self._config = self.Config(**settings)
        self._emit: Emit = ignore_event
        self._context: PluginContext | None = None
        self._recording: Recording | None = None
        self._is_over = False

    def open(self, context: PluginContext) -> None:
        """Learn whose stream it is. The first frame that may be stored begins the recording.

        Raises: RuntimeError where no gate can be asked, as in a child process.
        """
        if context.may_store is store_nothing:
            raise RuntimeError("nothing says whether this call may be recorded: no recording gate")
        self._context = context
        self._emit = context.emit

    def set(self, **parameters: Any) -> None:
        """End the recording; the next frame begins another with these settings."""
        self._config = self._config.changed(parameters)
        if not self._is_over:
            self._end(EndReason.STOPPED, None)
            self._recording, self._is_over = None, False

    def process(self, frame: AudioFrame) -> None:
        """Write *frame*, if it may be.

        Shape:  (320,) int16.
        """
        context = self._context
        if context is None or self._is_over or not context.may_store(frame.timestamp):
            return
        try:
            if self._recording is None:
                self._recording = self._begin(context)
            self._recording.write(_tick_of(frame, context))
        except (RecordingError, OSError) as exc:
            # A full disk or quota ends the recording, not the call; what is there is completed.
            reason = EndReason.QUOTA if isinstance(exc, RecordingError) else EndReason.FAILED
            self._end(reason, str(exc))

    def close(self) -> None:
        """Complete the files."""
        self._end(EndReason.CALL_ENDED, None)

    def _begin(self, context: PluginContext) -> Recording:
        options = RecordingOptions(
            formats=(self._config.format,),
            mixed=_track_of(context) == "mixed",
            speakers=_track_of(context) == "speakers",
            own=_track_of(context) == "own",
        )
        info = {"call_id": context.call_id, "stream": context.stream, "plugin": context.name}
        return Recording(_store_of(self._config).create(), options, info)

    def _end(self, reason: EndReason, error: str | None) -> None:
        if self._is_over:
            return
        self._is_over = True
        if self._recording is None:
            if error is not None:
                self._emit("recorded", {"directory": None, "reason": reason, "error": error})
            return
        report = self._recording.close(reason, error)
        self._emit(
            "recorded",
            {
                "directory": str(report.directory),
                "reason": str(report.reason),
                "duration_s": report.duration_s,
                "error": report.error,
            },
        )


def _store_of(config: StreamRecorder.Config) -> RecordingStore:
    """Return the store of a directory: one for all streams, so that they share its quota."""
    limits = StoreLimits(
        quota_bytes=config.quota_mb * 2**20,
        max_duration_s=config.max_duration_min * 60,
        retention_s=config.retention_days * 24 * 3600,
    )
    with _stores_lock:
        return _stores.setdefault(
            (config.directory.absolute(), limits), RecordingStore(config.directory, limits)
        )


def _track_of(context: PluginContext) -> str:
    if context.stream in ("speaker", "inbound") and context.source_id is not None:
        return "speakers"
    return "own" if context.stream == "own" else "mixed"


def _tick_of(frame: AudioFrame, context: PluginContext) -> _Tick:
    track = _track_of(context)
    speakers: dict[int, AudioFrame] = {}
    if track == "speakers" and context.source_id is not None:
        speakers[context.source_id] = frame
    return _Tick(
        timestamp=frame.timestamp,
        mixed=frame if track == "mixed" else NOBODY,
        own=frame if track == "own" else NOBODY,
        speakers=speakers,
    )
