"""What a fault run found: goals beside what was measured, and whether the run may pass."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeAlias

Kind: TypeAlias = Literal["invariant", "figure"]
"""An invariant fails the run when it is missed; a figure of time is told and marked."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One goal and what came of it; ``is_met`` None: not measured, ``why`` says so."""

    what: str
    kind: Kind
    goal: str
    measured: Any
    is_met: bool | None
    why: str = ""


@dataclass
class Outcome:
    """What one scenario did and found."""

    scenario: str
    seed: int
    findings: list[Finding] = field(default_factory=list)
    series: dict[str, list[float]] = field(default_factory=dict)
    """Seconds, by what they are of: the report draws them."""
    notes: list[str] = field(default_factory=list)
    took_s: float = 0.0
    error: str | None = None
    """Why the scenario could not be run to its end."""

    def expect_none(self, what: str, found: Iterable[object]) -> None:
        """Add an invariant: that *found* is empty. What is found is named, five at most."""
        some = [str(one) for one in found]
        why = "; ".join(some[:5])
        self.findings.append(Finding(what, "invariant", "0", len(some), not some, why))

    def expect(self, what: str, goal: str, measured: object, *, is_met: bool) -> None:
        """Add an invariant."""
        self.findings.append(Finding(what, "invariant", goal, measured, is_met))

    def figure(self, what: str, measured: float | None, most: float, unit: str = "s") -> None:
        """Add a figure that shall be at most *most*; None: nothing was measured."""
        goal = f"<= {most:g} {unit}"
        if measured is None or math.isnan(measured):
            self.findings.append(Finding(what, "figure", goal, None, None, "nothing to measure"))
            return
        value = round(measured, 3)
        self.findings.append(Finding(what, "figure", goal, value, measured <= most))

    def skip(self, what: str, why: str) -> None:
        """Say that something could not be looked at here, and why."""
        self.findings.append(Finding(what, "invariant", "", None, None, why))

    @property
    def verdict(self) -> str:
        """``failed``, ``missed`` (figures only), ``not run`` or ``passed``."""
        if self.error is not None or any(
            finding.is_met is False and finding.kind == "invariant" for finding in self.findings
        ):
            return "failed"
        if any(finding.is_met is False for finding in self.findings):
            return "missed"
        if all(finding.is_met is None for finding in self.findings):
            return "not run"
        return "passed"

    def as_json(self) -> dict[str, Any]:
        """Return all of it for report.json."""
        return {**asdict(self), "verdict": self.verdict}


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the nearest-rank percentile of *values*; NaN of none."""
    if not values:
        return math.nan
    ordered = sorted(values)
    rank = math.ceil(percent / 100 * len(ordered))
    return ordered[min(len(ordered), max(1, rank)) - 1]


def by_key(items: Iterable[Any], key: Callable[[Any], Any]) -> dict[Any, list[Any]]:
    """Group *items*, each group in the order of *items*."""
    groups: dict[Any, list[Any]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups
