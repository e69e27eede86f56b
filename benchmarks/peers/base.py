"""What every adapter can do: start what is measured, give it legs, say what it says of itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self

Address = tuple[str, int]


RATE_HZ = 16_000
BIT_RATE = 32_000


@dataclass(frozen=True, slots=True)
class Setting:
    """How all that is compared is set."""

    complexity: int = 5
    bit_rate: ClassVar[int] = BIT_RATE
    rate_hz: ClassVar[int] = RATE_HZ

    def __str__(self) -> str:
        return f"{self.kind()}, c{self.complexity}"

    @classmethod
    def kind(cls) -> str:
        """Return what is the same in all settings that are compared."""
        return f"{RATE_HZ // 1000} kHz mono, {BIT_RATE // 1000} kb/s"


PAYLOAD_TYPE = 96
"""Opus, in everything that is sent here over RTP."""


class Measured(Protocol):
    """A mixer (or relay) in its own process. Use it as a context manager: it ends with it."""

    name: str
    setting: str
    """What of rate, bit rate and complexity it runs with, as printed."""
    complexity: int
    """The one of its Opus encoders."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *error: object) -> None: ...

    @property
    def pids(self) -> tuple[int, ...]:
        """The processes whose CPU time is its cost."""

    def facts(self) -> dict[str, Any]:
        """What it says of itself: versions, ticks, delays; empty where it says nothing."""


class RtpMeasured(Measured, Protocol):
    """One that plain RTP legs can join."""

    def add_rtp_legs(self, far: Sequence[Address], room: int = 0) -> list[Address]:
        """Join one leg for each far address; return where each is to send."""


class WebRtcMeasured(Measured, Protocol):
    """One that WebRTC legs can join."""

    def add_webrtc_legs(self, offers: Sequence[str], room: int = 0) -> list[str]:
        """Join one leg for each offer; return the answers."""
