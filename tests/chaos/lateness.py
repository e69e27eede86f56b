"""How late ticks began: a run's fault half beside its own fault-free half."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.chaos.findings import Outcome, percentile

RATIO = 1.5
"""By how much a fault may worsen the p99.9 of lateness."""


@dataclass
class Lateness:
    """Microseconds of lateness of one process, tick by tick, in two halves."""

    process: str
    calm_us: list[float] = field(default_factory=list)
    fault_us: list[float] = field(default_factory=list)

    def add(
        self, at_begin: Sequence[float], at_turn: Sequence[float], at_end: Sequence[float]
    ) -> None:
        """Add a calm half and one under the fault: what was remembered as each began and ended."""
        self.calm_us += at_turn[len(at_begin) :]
        self.fault_us += at_end[len(at_turn) :]

    def judge(self, outcome: Outcome) -> None:
        """Add the ratio of both halves to *outcome*, and how late the worst ticks were."""
        calm, fault = (percentile(half, 99.9) for half in (self.calm_us, self.fault_us))
        ratio = fault / calm if self.calm_us and self.fault_us and calm > 0 else None
        what = f"{self.process}: tick lateness p99.9, fault half over fault-free half"
        outcome.figure(what, ratio, RATIO, "x")
        late = sum(one > 20_000 for one in self.fault_us)
        before = sum(one > 20_000 for one in self.calm_us)
        outcome.notes.append(
            f"{self.process}: lateness p99.9 {calm:.0f} us calm, {fault:.0f} us under the fault;"
            f" late by more than 20 ms: {before} of {len(self.calm_us)},"
            f" {late} of {len(self.fault_us)}"
        )
