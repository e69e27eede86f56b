"""What a metric is: its name, kind, labels and meaning. The catalogue is made of these."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

Kind: TypeAlias = Literal["counter", "gauge", "histogram", "summary"]

NAME: Final = re.compile(r"mixminus_[a-z][a-z0-9_]*\Z")


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """One metric. Raises: ValueError on a name that does not say its kind."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if NAME.match(self.name) is None:
            raise ValueError(f"expected mixminus_ and small letters, got {self.name!r}")
        if (self.kind == "counter") != self.name.endswith("_total"):
            raise ValueError(f"{self.name}: expected _total of a counter, and of nothing else")
        if self.kind in ("histogram", "summary") and not self.name.endswith("_seconds"):
            raise ValueError(f"{self.name}: expected _seconds of a {self.kind}")


def by_name(*groups: Iterable[MetricSpec]) -> dict[str, MetricSpec]:
    """Return all metrics of *groups* by name.

    Raises: ValueError on a name that is there twice.
    """
    found: dict[str, MetricSpec] = {}
    for group in groups:
        for spec in group:
            if spec.name in found:
                raise ValueError(f"{spec.name} is in the catalogue twice")
            found[spec.name] = spec
    return found
