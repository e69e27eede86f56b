"""How loaded a process is, of what it can carry: a number, and a word that does not flicker."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from math import exp
from typing import Final

from .vitals import RecentTicks


class Health(Enum):
    """What the load means for new calls, in the words of Microsoft's media SDK.

    Source: MediaPlatformHealthStatus.
    """

    NORMAL = "normal"
    HEAVILY_LOADED = "heavilyLoaded"
    """The load should not grow: whoever spreads calls over hosts looks elsewhere first."""
    OVERLOADED = "overloaded"
    """New calls are refused."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """How much of each resource is all that the process can carry: a load of 1.

    Shares are of one core's time. What each is by default was measured (docs/operations.md): at
    that point the next call takes from those that are there.
    """

    tick_thread_share: float = 0.85
    packet_thread_share: float = 0.75
    loop_share: float = 0.90
    process_share: float = 0.90
    tick_time_p99_ms: float = 20.0


@dataclass(frozen=True, slots=True)
class Thresholds:
    """From which load on a process is heavily loaded, and overloaded; *gap* lower it is no more."""

    heavily_loaded: float = 0.70
    overloaded: float = 0.85
    gap: float = 0.05


@dataclass(frozen=True, slots=True)
class Load:
    """How much of its capacity a process uses: 0 is nothing, 1 all. *of* names the scarcest."""

    ratio: float
    of: str


NO_LOAD: Final = Load(0.0, "nothing")

RISE_S: Final = 3.0
FALL_S: Final = 10.0
"""The load follows what is measured with these time constants: up soon, down slowly."""
FIRST_S: Final = 1.0
"""What the first measurement is taken to be about."""


def load_of(recent: RecentTicks, capacity: Capacity) -> Load:
    """Return the load that *recent* shows: that of the scarcest resource."""
    ratios = {
        "tick threads": max(recent.tick_thread_shares, default=0.0) / capacity.tick_thread_share,
        "packet thread": recent.packet_thread_share / capacity.packet_thread_share,
        "event loop": recent.loop_share / capacity.loop_share,
        "processors": recent.process_share / capacity.process_share,
        "tick time": recent.tick_time_p99_us / 1000.0 / capacity.tick_time_p99_ms,
    }
    of = max(ratios, key=lambda name: ratios[name])
    return Load(ratios[of], of)


class LoadGauge:
    """Smooths loads as they are measured, and says what they mean, with hysteresis.

    Raises: ValueError unless 0 < gap < heavily_loaded < overloaded.
    """

    def __init__(self, thresholds: Thresholds) -> None:
        t = thresholds
        if not 0 < t.gap < t.heavily_loaded < t.overloaded:
            raise ValueError(
                "expected 0 < gap < heavily_loaded < overloaded,"
                f" got {t.gap:g}, {t.heavily_loaded:g}, {t.overloaded:g}"
            )
        self._thresholds = thresholds
        self._at_s: float | None = None
        self.load = NO_LOAD
        """Smoothed."""
        self.health = Health.NORMAL

    def take(self, measured: Load, now_s: float) -> Health:
        """Take a measured load; return the health from now on."""
        before = self.load.ratio
        # The first one is not believed more than others: a process that starts computes a lot.
        seconds = FIRST_S if self._at_s is None else max(now_s - self._at_s, 0.0)
        constant_s = RISE_S if measured.ratio > before else FALL_S
        ratio = before + (measured.ratio - before) * (1.0 - exp(-seconds / constant_s))
        self._at_s = now_s
        self.load = Load(ratio, measured.of)
        self.health = self._judge(ratio)
        return self.health

    def _judge(self, ratio: float) -> Health:
        t, now = self._thresholds, self.health
        overloaded = t.overloaded - (t.gap if now is Health.OVERLOADED else 0.0)
        heavily = t.heavily_loaded - (0.0 if now is Health.NORMAL else t.gap)
        if ratio >= overloaded:
            return Health.OVERLOADED
        return Health.HEAVILY_LOADED if ratio >= heavily else Health.NORMAL
