"""Echo cancellation: WebRTC's, from livekit's wheel (extra ``aec``)."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from typing import Any, Final, Literal, Self

import numpy as np
from pydantic import model_validator

from ...pcm import FRAME_SAMPLES, AudioFrame, Pcm
from ..contract import PluginContext
from .apm import Apm, require_apm
from .settings import PluginSettings
from .sidechain import HEARD_BY_THE_FAR_END, SOURCE, TARGET, Side, Sidechain, key_of

WAITING_FRAMES: Final = 3
"""References that may wait: more is a stall behind us, and the canceller finds its delay again."""

ECHO_SAMPLES: Final = 128
NOISE_SAMPLES: Final = 96
"""What the canceller and the suppressor hold back (measured: 127 to 128 and 95 to 96)."""

NO_SOUND: Final = np.zeros(FRAME_SAMPLES, np.int16)

references: Final = Sidechain()


class EchoCancellation:
    """Take the echo of what a far end was given to play out of what it says (WebRTC). Adds 8 ms.

    Put it on both streams of one far end: ``outbound`` and ``inbound`` of a leg, or ``own`` and
    each ``speaker`` (or the ``mix``) of a bot's session. The former is the reference and goes on as
    it is, the latter is cleaned. An echo may come 400 ms after its reference.
    """

    class Config(PluginSettings):
        """Settings of the cancellation."""

        role: Literal["auto", "reference", "clean"] = "auto"
        noise_suppression: bool = False
        auto_gain: bool = False
        group: str = ""

        @model_validator(mode="after")
        def _is_installed(self) -> Self:
            require_apm()
            return self

    def __init__(self, **settings: Any) -> None:
        self._config = self.Config(**settings)
        self._side: Side = SOURCE if self._config.role == "reference" else TARGET
        self._key: Hashable = None
        self._apm: Apm | None = None
        self._references: deque[Pcm] = deque(maxlen=WAITING_FRAMES)

    @property
    def latency_samples(self) -> int:
        """8 ms where it cleans, 6 more with noise suppression; 0 on the reference."""
        if self._side == SOURCE:
            return 0
        return ECHO_SAMPLES + (NOISE_SAMPLES if self._config.noise_suppression else 0)

    def open(self, context: PluginContext) -> None:
        """Learn which of the two streams this is, and meet the other."""
        if self._config.role == "auto":
            self._side = SOURCE if context.stream in HEARD_BY_THE_FAR_END else TARGET
        self._key = key_of(context, self._config.group)
        if self._side == TARGET:
            self._apm = _apm_of(self._config)
            references.join(self._key, self._references.append)

    def set(self, **parameters: Any) -> None:
        """Begin anew with other settings; role and group stay as they were when it was opened."""
        self._config = self._config.changed(parameters)
        if self._apm is not None:
            self._apm = _apm_of(self._config)

    def process(self, frame: AudioFrame) -> Pcm | None:
        """Return *frame* without echo; the reference is only listened to.

        Shape:  (320,) int16 in and out.
        """
        if self._side == SOURCE:
            references.publish(self._key, frame.copy())
            return None
        if self._apm is None:
            return None
        # Silence where no reference came: the module's own delay depends on getting one each time.
        self._apm.hear_reference(self._references.popleft() if self._references else NO_SOUND)
        return self._apm.process(frame)

    def close(self) -> None:
        """Part from the other stream, and give the module back."""
        references.leave(self._key, self._references.append)
        self._apm = None


def _apm_of(config: EchoCancellation.Config) -> Apm:
    return Apm(
        echo_cancellation=True,
        noise_suppression=config.noise_suppression,
        auto_gain=config.auto_gain,
    )
