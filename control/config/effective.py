"""The settings that are in effect: each value with where it came from, secrets masked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import SecretStr

from mixminus.media.plugins.config import PluginSpec

from .describe import plain
from .errors import ConfigError, Problem
from .sections import TABLES, sections
from .sources import SettingsSources
from .toml import toml_value

MASK: Final = "**********"
SECRET_LIKE: Final = re.compile(r"secret|token|passw|key|credential|authorization", re.IGNORECASE)
"""Members of a plugin's configuration that are taken for secrets: nothing says which ones are."""
UNSET: Final = "not set"


@dataclass(frozen=True, slots=True)
class Effective:
    """One setting in effect: its value without secrets, and where it came from."""

    value: Any
    origin: str
    is_missing: bool = False
    """Whether it has to be said, and nobody says it."""


def effective(sources: SettingsSources, table: str) -> dict[str, Effective]:
    """Return all settings of *table*. What has to be said and is not is marked, and no error.

    Raises: ConfigError for what is wrong; KeyError for no such table.
    """
    made, missing = sources.partial(table)
    return {
        key: Effective(None, UNSET, is_missing=True)
        if key in missing
        else Effective(masked(getattr(made, key)), sources.origin(table, key))
        for key in type(made).model_fields
    }


def masked(value: Any) -> Any:
    """Return *value* of a setting as text, numbers, lists and tables, without what is secret."""
    if isinstance(value, SecretStr):
        return MASK
    if isinstance(value, PluginSpec):
        config = {
            key: MASK if SECRET_LIKE.search(key) else plain(one)
            for key, one in value.config.items()
        }
        isolation = {} if value.isolation == "none" else {"isolation": value.isolation}
        return {"plugin": value.reference, "on": value.on, "config": config, **isolation}
    if isinstance(value, tuple):
        return [masked(one) for one in value]
    return plain(value)


def as_toml(tables: Mapping[str, Mapping[str, Effective]], *, with_origin: bool) -> str:
    """Return settings as a TOML file would say them; what is not set is a comment."""
    lines: list[str] = []
    for table, settings in tables.items():
        lines += ["", f"# {TABLES[table]}", f"[{table}]"] if lines else [f"[{table}]"]
        for key, one in settings.items():
            if one.is_missing:
                line = f"# {key}: {UNSET}, and it is needed"
            elif one.value is None:
                line = f"# {key}: {UNSET}"
            else:
                line = f"{key} = {toml_value(one.value)}"
            lines.append(f"{line}  # {one.origin}" if with_origin and not one.is_missing else line)
    return "\n".join(lines) + "\n"


def as_json(
    tables: Mapping[str, Mapping[str, Effective]], *, with_origin: bool
) -> dict[str, dict[str, Any]]:
    """Return settings as JSON: values, or objects of value and origin."""
    return {
        table: {
            key: {"value": one.value, "origin": one.origin} if with_origin else one.value
            for key, one in settings.items()
        }
        for table, settings in tables.items()
    }


def all_effective(sources: SettingsSources) -> dict[str, dict[str, Effective]]:
    """Return the settings of all tables.

    Raises: ConfigError with what is wrong in all of them.
    """
    found: dict[str, dict[str, Effective]] = {}
    problems: list[Problem] = []
    for table in sections():
        try:
            found[table] = effective(sources, table)
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(*problems)
    return found
