"""Captures of calls, and the virtual time in which they are said again."""

from .capture_file import CAPTURE_NAME, CaptureFile
from .format import CaptureError, Kind, Record, TickRecord, read_capture
from .loop import VirtualLoop
from .platform import VirtualPlatform
from .transport import ReplayTransport

__all__ = [
    "CAPTURE_NAME",
    "CaptureError",
    "CaptureFile",
    "Kind",
    "Record",
    "ReplayTransport",
    "TickRecord",
    "VirtualLoop",
    "VirtualPlatform",
    "read_capture",
]
