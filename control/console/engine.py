"""How the engine was in the last second, as the console draws it."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Final, Literal

from pydantic.alias_generators import to_camel

from mixminus.media.load import Health
from mixminus.media.platform import MediaPlatform
from mixminus.media.vitals import RecentTicks

from ..operation.admission import Admission
from .models import Engine
from .views import iso

LOOK_BACK_S: Final = 1.0

HEALTH_NAMES: Final[dict[Health, Literal["Normal", "HeavilyLoaded", "Overloaded"]]] = {
    Health.NORMAL: "Normal",
    Health.HEAVILY_LOADED: "HeavilyLoaded",
    Health.OVERLOADED: "Overloaded",
}


def engine_view(platform: MediaPlatform, admission: Admission, calls: int) -> Engine:
    """Return how *platform* was in the last second; *calls* are those of the role that asks.

    Thread: the loop's.
    """
    recent: RecentTicks = platform.recent(LOOK_BACK_S)
    beat, counts, load = platform.heartbeat(), platform.tick_counts(), admission.load
    reasons = []
    if admission.draining:
        reasons.append("draining")
    if admission.health is not Health.NORMAL:
        reasons.append(load.of)
    if not beat.ticks_advance:
        reasons.append("no tick in the last second")
    return Engine(
        at=iso(datetime.now(UTC)),
        ticks_per_s=round(recent.ticks_per_s, 1),
        late_ticks=counts["late_ticks"],
        skipped_ticks=counts["skipped_ticks"],
        lateness_p50_ms=_ms(recent.lateness_p50_us),
        lateness_p99_ms=_ms(recent.lateness_p99_us),
        lateness_max_ms=_ms(recent.lateness_max_us),
        tick_p50_ms=_ms(recent.tick_time_p50_us),
        tick_p99_ms=_ms(recent.tick_time_p99_us),
        tick_max_ms=_ms(recent.tick_time_max_us),
        busy_ratio=round(max(recent.tick_thread_shares, default=0.0), 4),
        packet_ratio=round(recent.packet_thread_share, 4),
        loop_ratio=round(recent.loop_share, 4),
        load_ratio=round(load.ratio, 4),
        health=HEALTH_NAMES[admission.health],
        draining=admission.draining,
        reasons=tuple(reasons),
        legs=beat.legs,
        calls=calls,
        tick_threads=platform.tick_threads,
        scheduling=platform.scheduling,
        isa=platform.isa,
        frames_mixed=beat.frames_mixed,
        frames_received=beat.frames_received,
        frames_sent=beat.frames_sent,
        capacity={
            "of": load.of,
            **{to_camel(name): value for name, value in asdict(admission.capacity).items()},
        },
    )


def _ms(microseconds: float) -> float:
    return round(microseconds / 1000, 3)
