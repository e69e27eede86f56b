"""What can end a recording, or keep it from beginning."""

from __future__ import annotations


class RecordingError(Exception):
    """A recording cannot begin or go on; the message says why. The call is none the worse."""


class RecordingQuotaError(RecordingError):
    """There is no room left for recordings: the quota of the directory is used up."""


class RecordingDurationError(RecordingError):
    """The recording is as long as one may be."""


class RecordingGateError(RecordingError):
    """Nothing of this call may be stored now: its recording gate is shut."""
