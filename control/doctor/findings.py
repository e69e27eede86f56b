"""What a check found: how bad it is, what there is, and how to mend it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Level(StrEnum):
    """How bad a finding is. Only an error makes ``mixminus doctor`` fail."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. What is not ok says how to mend it."""

    check: str
    """What was looked at, in one or two words: ``real-time permission``."""
    level: Level
    found: str
    """What there is, in one line, without secrets."""
    remedy: str = ""
    """What to do; several lines where it depends on how the process is run."""
    details: dict[str, Any] = field(default_factory=dict)
    """Numbers and lists for programs."""

    def __post_init__(self) -> None:
        """Refuse a complaint without a way out."""
        if self.level is not Level.OK and not self.remedy:
            raise ValueError(f"{self.check}: expected a remedy beside a {self.level}")

    def to_json(self) -> dict[str, Any]:
        """Return the finding as JSON."""
        return {
            "check": self.check,
            "level": self.level.value,
            "found": self.found,
            "remedy": self.remedy,
            "details": self.details,
        }


def worst(findings: Iterable[Finding]) -> Level:
    """Return the worst level of *findings*; OK when there are none."""
    order = list(Level)
    return max((finding.level for finding in findings), key=order.index, default=Level.OK)
