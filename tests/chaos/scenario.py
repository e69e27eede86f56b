"""What a scenario is, and what it is given."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, TypeAlias

from tests.chaos.findings import Outcome
from tests.postgres_kit import PostgresServer


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one scenario: where its files are, its chance, how much of it is wanted."""

    directory: Path
    random: Random
    outcome: Outcome
    is_quick: bool
    postgres: Callable[[], Awaitable[PostgresServer]]
    """Return the server of this run. Raises: NoPostgresError."""

    def pick(self, full: int, quick: int) -> int:
        """Return how many: in the full form, or in the quick one."""
        return quick if self.is_quick else full

    def seconds(self, full: float, quick: float) -> float:
        """Return how long, in seconds."""
        return quick if self.is_quick else full


Play: TypeAlias = Callable[[Run], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True)
class Scenario:
    """A fault: its name, what it is in a line, and what plays it."""

    name: str
    title: str
    play: Play
    is_in_quick: bool = False
