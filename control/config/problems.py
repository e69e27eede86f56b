"""What pydantic finds wrong with settings, said with the place that each value came from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from pydantic import SecretStr, ValidationError

from .errors import Problem
from .file import FILE_NAME
from .section import FILE_SUFFIX, SettingsSection

COMMAND_LINE: Final = "command line"
DEV_FILE: Final = "dev.json"
DEFAULT: Final = "default"
_UNNAMED: Final = frozenset((COMMAND_LINE, DEV_FILE, DEFAULT))
"""Origins that are no place of their own: there the key is named instead."""


def problems_of(
    error: ValidationError,
    table: str,
    model: type[SettingsSection],
    origins: Mapping[str, str],
) -> list[Problem]:
    """Return what pydantic found, each with where its value came from. No secret is quoted."""
    found = []
    for one in error.errors(include_url=False):
        key = str(one["loc"][0]) if one["loc"] else ""
        origin = origins.get(key, COMMAND_LINE)
        if one["type"] == "missing" and len(one["loc"]) == 1:
            found.append(
                Problem(f"[{table}] {key}", f"expected a value: set {_ways(model, table, key)}")
            )
            continue
        # What is wrong of several settings together has no place: its message names them.
        where = f"[{table}]" if not key else f"{table}.{key}" if origin in _UNNAMED else origin
        inner = "".join(f".{part}" for part in one["loc"][1:]).removeprefix(".")
        message = _message(one, is_secret=key in model.secrets())
        found.append(Problem(where, f"{inner}: {message}" if inner else message))
    return found


def _ways(model: type[SettingsSection], table: str, key: str) -> str:
    variable = model.variable(key)
    if key in model.secrets():
        return f"{variable}, {variable}{FILE_SUFFIX}, or {key}_file in [{table}] of {FILE_NAME}"
    return f"{variable}, or {key} in [{table}] of {FILE_NAME}"


def _message(error: Any, *, is_secret: bool) -> str:
    message = str(error["msg"]).removeprefix("Value error, ")
    message = re.sub(r"^Input should be", "expected", message)
    if error["type"] == "too_short" and is_secret:
        # What pydantic says of a secret's characters is "items".
        least, length = error["ctx"]["min_length"], error["ctx"]["actual_length"]
        return f"expected at least {least} characters, got {length}"
    if error["type"] == "extra_forbidden":
        return "no such key"
    if error["type"] == "too_short" and is_secret:
        # pydantic calls a secret's characters items.
        context = error["ctx"]
        return (
            f"expected at least {context['min_length']} characters, got {context['actual_length']}"
        )
    value = error.get("input")
    is_shown = isinstance(value, str | int | float) and not isinstance(value, SecretStr)
    if is_secret or not is_shown or "got" in message:
        return message
    return f"{message}, got {value!r:.40}"
