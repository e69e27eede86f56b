"""Captures of calls, and the virtual time in which they are said again."""

from .capture_file import CAPTURE_NAME, CaptureFile
from .format import CaptureError, Kind, Record, TickRecord, read_capture
from .index import CaptureIndex, end_time, index_capture, read_header_place
from .loop import VirtualLoop
from .platform import VirtualPlatform
from .transport import ReplayTransport

__all__ = [
    "CAPTURE_NAME",
    "CaptureError",
    "CaptureFile",
    "CaptureIndex",
    "Kind",
    "Record",
    "ReplayTransport",
    "TickRecord",
    "VirtualLoop",
    "VirtualPlatform",
    "end_time",
    "index_capture",
    "read_capture",
    "read_header_place",
]
