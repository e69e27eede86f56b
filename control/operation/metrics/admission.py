"""What admission tells: health, load, whether the process is on its way out."""

from __future__ import annotations

from mixminus.media.load import Health

from ..admission import Admission
from .families import Families


class AdmissionSource:
    """Tells of one process's admission. Thread: the loop's."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission

    async def prepare(self) -> None:
        """Need nothing beforehand."""

    def settle(self) -> None:
        """Forget nothing."""

    def collect(self, families: Families) -> None:
        """Say how things stand."""
        admission = self._admission
        for health in Health:
            families.state("mixminus_health", health is admission.health, state=health.value)
        families.state("mixminus_load_ratio", admission.load.ratio)
        families.state("mixminus_draining", admission.draining)
        for reason, count in admission.refusals.items():
            families.count("mixminus_admission_refusals_total", count, reason=reason)
        capacity = admission.capacity
        for of, share in (
            ("tick_thread", capacity.tick_thread_share),
            ("packet_thread", capacity.packet_thread_share),
            ("loop", capacity.loop_share),
            ("process", capacity.process_share),
        ):
            families.state("mixminus_busy_limit_ratio", share, of=of)
