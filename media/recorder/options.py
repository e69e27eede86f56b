"""What is recorded, within which limits, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Protocol

from ..pcm import AudioFrame
from .tracks import FORMATS, Format

MAX_SPEAKERS: Final = 64
"""Speakers with a file of their own in one recording: each costs a file that stays open."""


class TimelineFrame(Protocol):
    """One tick of a call, as a session's listener hands it out. Units: 100 ns ticks."""

    @property
    def timestamp(self) -> int:
        """When it was, on the engine's timeline."""

    @property
    def mixed(self) -> AudioFrame:
        """What the bot hears."""

    @property
    def speakers(self) -> Mapping[int, AudioFrame]:
        """Each speaker alone, by source id."""

    @property
    def own(self) -> AudioFrame:
        """What the bot says."""


@dataclass(frozen=True, slots=True)
class RecordingOptions:
    """What is recorded: the mix, each speaker alone, what the bot says; and as which files.

    Raises: ValueError when that is nothing, or on a format that there is not.
    """

    formats: tuple[Format, ...] = ("wav",)
    mixed: bool = True
    speakers: bool = True
    own: bool = False
    max_speakers: int = MAX_SPEAKERS

    def __post_init__(self) -> None:
        wrong = [name for name in self.formats if name not in FORMATS]
        if wrong or not self.formats or len(set(self.formats)) != len(self.formats):
            raise ValueError(f"formats: expected some of {', '.join(FORMATS)}, got {self.formats}")
        if not (self.mixed or self.speakers or self.own):
            raise ValueError("expected something to record: mixed, speakers or own")
        if self.max_speakers < 1:
            raise ValueError(f"max_speakers: expected at least 1, got {self.max_speakers}")


class EndReason(StrEnum):
    """Why a recording ended."""

    STOPPED = "stopped"
    CALL_ENDED = "callEnded"
    MAX_DURATION = "maxDuration"
    QUOTA = "quota"
    FAILED = "failed"
    RECOVERED = "recovered"
    """The process that made it ended without a word; its files were completed afterwards."""


@dataclass(frozen=True, slots=True)
class RecordingReport:
    """What came of a recording.

    ``files`` are complete; a recording that failed may have left others, which the next start of
    the host completes. ``lost_frames`` came too fast for the disk and are silence in the files.
    """

    id: str
    directory: Path
    reason: EndReason
    duration_s: float
    files: tuple[Path, ...] = ()
    lost_frames: int = 0
    error: str | None = None
    info: Mapping[str, Any] = field(default_factory=dict)
