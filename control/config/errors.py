"""What is wrong with settings: each thing with the place that it came from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: where it was said, and what was expected. No secret is quoted."""

    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" if self.where else self.message


class ConfigError(ValueError):
    """Settings cannot be used; ``problems`` says all that is wrong, the message the first."""

    def __init__(self, *problems: Problem) -> None:
        if not problems:
            raise ValueError("expected at least one problem, got none")
        self.problems = problems
        more = len(problems) - 1
        super().__init__(
            f"{problems[0]} (and {more} more: see mixminus doctor)" if more else str(problems[0])
        )


class NoFileError(ConfigError):
    """The settings file that is named is not there."""
