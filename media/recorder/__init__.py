"""Recordings of calls: each speaker and the mix on one timeline, on a disk that may fail."""

from .errors import (
    RecordingDurationError,
    RecordingError,
    RecordingGateError,
    RecordingQuotaError,
)
from .gate import RecordingGate
from .live import LiveRecording
from .options import EndReason, RecordingOptions, RecordingReport, TimelineFrame
from .recording import Recording
from .recovery import recover
from .rings import RingRecorder, RingTrack
from .segments import Segment, SegmentFinder, Speaker
from .store import DAY_S, RecordingStore, StoreLimits
from .tracks import FORMATS, Format
from .writer import WriterThread

__all__ = [
    "DAY_S",
    "FORMATS",
    "EndReason",
    "Format",
    "LiveRecording",
    "Recording",
    "RecordingDurationError",
    "RecordingError",
    "RecordingGate",
    "RecordingGateError",
    "RecordingOptions",
    "RecordingQuotaError",
    "RecordingReport",
    "RecordingStore",
    "RingRecorder",
    "RingTrack",
    "Segment",
    "SegmentFinder",
    "Speaker",
    "StoreLimits",
    "TimelineFrame",
    "WriterThread",
    "recover",
]
