"""File injector: an announcement or music, mixed into a stream or in its place."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from pydantic import Field, FilePath, field_validator

from ...pcm import FRAME_MS, FRAME_SAMPLES, AudioFrame, Pcm
from ...pipeline import load_audio, open_audio
from ..contract import Emit, PluginContext
from .settings import PluginSettings, factor_of_db, ignore_event, to_pcm

KEPT_FILES: Final = 8
"""Decoded files that are kept for the next streams: 10 minutes, the most of one, are 19 MB."""


class FileInjector:
    """Play an audio file into a stream; event ``played`` tells when its end was passed."""

    makes_sound: Final = True

    class Config(PluginSettings):
        """Settings of the injector."""

        file: FilePath = Field(description="wav, flac, ogg, mp3, m4a or webm, at most 10 minutes")
        gain_db: float = Field(0.0, ge=-60.0, le=20.0)
        start_ms: int = Field(0, ge=0, le=3_600_000, description="after the stream began")
        loop: bool = False
        replace: bool = Field(False, description="nothing else is heard while the file plays")

        @field_validator("file")
        @classmethod
        def _is_audio(cls, file: Path) -> Path:
            open_audio(file).close()
            return file.absolute()

    def __init__(self, **settings: Any) -> None:
        self._config = self.Config(**settings)
        self._pcm: Pcm = np.zeros(0, np.int16)
        self._place_samples = 0
        self._wait_frames = self._config.start_ms // FRAME_MS
        self._emit: Emit = ignore_event

    def open(self, context: PluginContext) -> None:
        """Decode the file. Raises: AudioFileError when it is broken."""
        self._emit = context.emit
        self._pcm = _load(self._config.file)

    def set(self, **parameters: Any) -> None:
        """Change settings; another file begins at its start."""
        before, self._config = self._config, self._config.changed(parameters)
        if before.file != self._config.file:
            self._pcm, self._place_samples = _load(self._config.file), 0

    def process(self, frame: AudioFrame) -> Pcm | None:
        """Return *frame* with the file's next 20 ms in it.

        Shape:  (320,) int16 in and out; saturates.
        """
        if self._wait_frames > 0:
            self._wait_frames -= 1
            return None
        if self._place_samples >= self._pcm.size:
            return None
        sound = self._next_frame() * factor_of_db(self._config.gain_db)
        return to_pcm(sound if self._config.replace else frame + sound)

    def _next_frame(self) -> Pcm:
        start = self._place_samples
        self._place_samples += FRAME_SAMPLES
        if self._place_samples >= self._pcm.size:
            if self._config.loop:
                self._place_samples %= self._pcm.size
                return self._pcm.take(np.arange(start, start + FRAME_SAMPLES), mode="wrap")
            self._emit("played", str(self._config.file))
        frame = np.zeros(FRAME_SAMPLES, np.int16)
        rest = self._pcm[start : start + FRAME_SAMPLES]
        frame[: rest.size] = rest
        return frame


def _load(file: Path) -> Pcm:
    return _load_once(file, file.stat().st_mtime_ns)


@lru_cache(maxsize=KEPT_FILES)
def _load_once(file: Path, changed_ns: int) -> Pcm:
    pcm = load_audio(file)
    pcm.flags.writeable = False
    return pcm
