"""What there is to look at: the settings as far as they are good, and what runs here already."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from ..config.errors import ConfigError, Problem
from ..config.section import SettingsSection, is_public
from ..config.sections import CONSOLE, HOST, OPERATION, SERVICE
from ..config.sources import SettingsSources
from ..console.settings import ConsoleSettings
from ..operation.settings import OperationSettings
from ..service.settings import ServiceSettings
from ..settings import HostSettings
from .findings import Finding, Level

CHECK: Final = "settings"
SectionT = TypeVar("SectionT", bound=SettingsSection)


@dataclass(slots=True)
class Situation:
    """The settings that checks go by; where they are wrong, the defaults, and ``problems``."""

    path: Path | None
    problems: list[Problem]
    host: HostSettings
    service: ServiceSettings
    console: ConsoleSettings
    operation: OperationSettings
    missing: frozenset[str]
    """Which keys of ``host`` have to be said and are not: then it has no credentials of its own."""
    secret_files: dict[str, Path] = field(default_factory=dict)

    @property
    def is_configured(self) -> bool:
        """Whether a host has credentials of its own, to be used at its Graph."""
        return not self.missing

    @classmethod
    def read(cls, config: Path | None, state_dir: Path | None) -> Situation:
        """Read the settings; *state_dir* is the command line's, for both roles. Never raises."""
        try:
            sources, problems = SettingsSources.examine(config)
        except ConfigError as error:
            sources, problems = SettingsSources(None, {}), list(error.problems)
        host, missing = _section(sources, HOST, HostSettings, problems)
        service, _ = _section(sources, SERVICE, ServiceSettings, problems)
        console, _ = _section(sources, CONSOLE, ConsoleSettings, problems)
        operation, _ = _section(sources, OPERATION, OperationSettings, problems)
        if state_dir is not None:
            host = host.model_copy(update={"state_dir": state_dir})
            service = service.model_copy(update={"state_dir": state_dir})
        return cls(
            path=sources.path,
            problems=problems,
            host=host,
            service=service,
            console=console,
            operation=operation,
            missing=missing,
            secret_files=sources.secret_files(),
        )


def check_settings(situation: Situation) -> Iterator[Finding]:
    """Judge what was read: each problem is a finding, and so is a secret that all may read."""
    remedy = "`mixminus config example` lists all keys, docs/settings.md explains them."
    for problem in situation.problems:
        yield Finding(CHECK, Level.ERROR, str(problem), remedy, {"where": problem.where})
    for where, path in situation.secret_files.items():
        if is_public(path):
            found = f"{where}: everybody on this machine may read {path}"
            yield Finding(CHECK, Level.WARNING, found, f"`chmod 600 {path}`")
    if not situation.problems:
        read = "no file" if situation.path is None else str(situation.path)
        names = [name for name in os.environ if name.upper().startswith("MIXMINUS_")]
        plural = "s" * (len(names) != 1)
        found = f"{read} and {len(names)} variable{plural} MIXMINUS_... are good"
        yield Finding(CHECK, Level.OK, found, details={"variables": sorted(names)})


def _section(
    sources: SettingsSources, table: str, model: type[SectionT], problems: list[Problem]
) -> tuple[SectionT, frozenset[str]]:
    """Return the settings of *table*, or its defaults when they are wrong; and what is missing."""
    try:
        made, missing = sources.partial(table)
    except ConfigError as error:
        problems += [one for one in error.problems if one not in problems]
        required = [name for name, one in model.model_fields.items() if one.is_required()]
        values: dict[str, Any] = dict.fromkeys(required, "not set")
        return model.of_values(values), frozenset(required)
    assert isinstance(made, model)
    return made, missing
