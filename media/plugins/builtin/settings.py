"""What the built-in plugins share: settings that refuse what they do not know, and samples."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from ...pcm import FRAME_BYTES, Pcm

if TYPE_CHECKING:
    from webrtc_noise_gain import AudioProcessor

HALF_BYTES: Final = FRAME_BYTES // 2
"""10 ms, the block of WebRTC's audio processing: a frame is two."""


class PluginSettings(BaseModel):
    """The settings of one plugin: ranges are checked, an unknown name is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    def changed(self, parameters: dict[str, Any]) -> Self:
        """Return these settings with *parameters* in place of some, checked as a whole."""
        return type(self)(**{**self.model_dump(), **parameters})


def keep_engine(now: str, wanted: str) -> None:
    """Check that a change leaves the engine: to load one takes longer than a frame.

    Raises: ValueError.
    """
    if wanted != now:
        raise ValueError(
            f"engine: expected {now}, as it was opened, got {wanted}: add another plugin instead"
        )


def ignore_event(name: str, value: Any) -> None:
    """Tell nobody: what ``emit`` is until a plugin is opened."""


def require(module: str, extra: str) -> None:
    """Check that *module* is installed, without importing it.

    Raises: ValueError naming the extra that brings it.
    """
    if find_spec(module) is None:
        raise ValueError(f"needs the package {module}: pip install mixminus[{extra}]")


def to_pcm(wave: NDArray[np.floating[Any]]) -> Pcm:
    """Return *wave*, in units of one int16 step, rounded and cut at full scale."""
    pcm: Pcm = np.clip(np.rint(wave), -32768, 32767).astype(np.int16)
    return pcm


def factor_of_db(gain_db: float) -> float:
    """Return what samples are multiplied by for *gain_db*."""
    return float(10.0 ** (gain_db / 20.0))


def in_halves(processor: AudioProcessor, frame: Pcm) -> Pcm:
    """Return what *processor* makes of *frame*, 10 ms at a time.

    Shape:  (320,) int16 in and out; the result is read-only.
    """
    pcm = frame.tobytes()
    halves = (pcm[:HALF_BYTES], pcm[HALF_BYTES:])
    return np.frombuffer(b"".join(processor.Process10ms(half).audio for half in halves), np.int16)
