"""A settings file checked by itself: names, values, and the plugins that it has."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from mixminus.media.plugins.config import PluginSpec
from mixminus.media.plugins.contract import Stream
from mixminus.media.plugins.errors import PluginError

from ..host.plugins import STREAMS as HOST_STREAMS
from ..plugin_settings import expect_streams
from ..service.leg_plugins import STREAMS as SERVICE_STREAMS
from .checks import check_file, place
from .errors import ConfigError, Problem
from .file import parse_file
from .problems import problems_of
from .sections import HOST, SERVICE, sections

STREAMS: Final[Mapping[str, tuple[Stream, ...]]] = {HOST: HOST_STREAMS, SERVICE: SERVICE_STREAMS}
"""Where plugins may sit, for each table that has some."""

ELSEWHERE: Final = "not said here"
"""Stands for a key that is needed and that the environment may say, not this file."""


def problems_in(path: Path) -> list[Problem]:
    """Return all that is wrong with the settings file *path*, in its own order; [] when it is good.

    What has to be set and is not is no fault of the file: the environment may say it. Files that
    it names need not be there.
    Thread: any but a loop's: plugins are imported, and one instance of each is made.
    """
    try:
        tables = parse_file(path)
    except ConfigError as error:
        return list(error.problems)
    problems = check_file(tables, str(path))
    if problems:
        return problems
    for table, keys in tables.items():
        problems += _problems_of_table(path, table, keys)
    return problems


def _problems_of_table(path: Path, table: str, keys: Mapping[str, Any]) -> list[Problem]:
    model = sections()[table]
    needed = (name for name, field in model.model_fields.items() if field.is_required())
    files = {f"{name}_file" for name in model.secrets()}
    said = {key: value for key, value in keys.items() if key not in files}
    values = {**dict.fromkeys(needed, ELSEWHERE), **said}
    try:
        made = model.of_values(values)
    except ValidationError as error:
        origins = {key: place(str(path), table, key) for key in keys}
        return problems_of(error, table, model, origins)
    specs: tuple[PluginSpec, ...] = getattr(made, "plugins", ())
    return [
        Problem(place(str(path), table, "plugins"), message)
        for spec in specs
        if (message := _plugin_problem(spec, STREAMS[table])) is not None
    ]


def _plugin_problem(spec: PluginSpec, streams: tuple[Stream, ...]) -> str | None:
    try:
        expect_streams([spec], streams)
        spec.validate()
    except PluginError as error:
        return str(error)
    return None
