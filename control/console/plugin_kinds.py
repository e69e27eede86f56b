"""The plugins that an operator may choose from, and what their parameters are."""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel

from mixminus.media.plugins.config import PluginSpec
from mixminus.media.plugins.contract import PluginFactory
from mixminus.media.plugins.errors import PluginError
from mixminus.media.plugins.events import PluginEvent, PluginMetrics
from mixminus.media.plugins.registry import list_plugins, resolve
from mixminus.media.plugins.values import keywords_of

from ..plugin_totals import describe_metrics
from .models import Json, PluginKind
from .source import ConsoleRefusedError

KEPT_EVENTS: Final = 20
"""Events of one plugin on one stream that are shown, the newest."""

_SECRET: Final = re.compile("key|token|secret|password|credential", re.IGNORECASE)

_JSON_TYPES: Final[Mapping[Any, str]] = {
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    list: "array",
    tuple: "array",
    dict: "object",
}


def plugin_kinds(streams: Sequence[str], specs: Iterable[PluginSpec] = ()) -> list[PluginKind]:
    """Return the plugins that have a name, and those of the settings, for *streams*.

    One that cannot be loaded here (an extra that is not installed) is left out, and so is one that
    must be given a path: files of this machine are the settings' to name, not the console's.
    Imports: not for the loop's thread the first time.
    """
    names = [info.name for info in list_plugins()]
    kinds = []
    for name in names:
        try:
            factory = resolve(name)
        except PluginError:
            continue
        schema = schema_of(factory)
        if path_parameters(schema) & {*schema.get("required", ())}:
            continue
        title, _, rest = (inspect.getdoc(factory) or name).partition("\n")
        kinds.append(
            PluginKind(
                name=name,
                title=title.strip(),
                description=rest.strip() or None,
                streams=tuple(streams),
                schema=without_paths(schema),
            )
        )
    for spec in specs:
        # By its name, which is all that comes back: what it stands for is the settings' to say.
        if spec.name not in names:
            kinds.append(
                PluginKind(
                    name=spec.name,
                    title=spec.reference,
                    streams=(spec.on,),
                    schema=without_paths(spec_schema(spec)),
                )
            )
            names.append(spec.name)
    return kinds


@lru_cache(maxsize=256)
def schema_of(factory: PluginFactory) -> Json:
    """Return the JSON Schema of a plugin's configuration: its model's, else of its keywords."""
    model = getattr(factory, "Config", None)
    if inspect.isclass(model) and issubclass(model, BaseModel):
        shown: Json = model.model_json_schema()
        return shown
    properties: Json = {}
    try:
        hints = get_type_hints(factory.__init__ if inspect.isclass(factory) else factory)
    except (NameError, TypeError):
        hints = {}  # Names that only a type checker sees: any value is taken.
    for name, parameter in keywords_of(factory, skip=0 if inspect.isclass(factory) else 1).items():
        shown = _schema_of_type(hints.get(name, Any))
        if _is_plain(parameter.default):
            shown["default"] = parameter.default
        properties[name] = shown
    return {"type": "object", "properties": properties}


def path_parameters(schema: Mapping[str, Any]) -> set[str]:
    """Return the parameters that are paths of this machine."""
    return {
        name
        for name, members in schema.get("properties", {}).items()
        for choice in (members, *members.get("anyOf", ()))
        if str(choice.get("format", "")).endswith("path")
    }


def without_paths(schema: Json) -> Json:
    """Return a schema without the parameters that are paths."""
    paths = path_parameters(schema)
    if not paths:
        return schema
    kept = {name: value for name, value in schema["properties"].items() if name not in paths}
    return {**schema, "properties": kept}


def expect_no_paths(parameters: Mapping[str, Any], schema: Mapping[str, Any]) -> None:
    """Refuse parameters that name files of this machine.

    Raises: ConsoleRefusedError.
    """
    for name in path_parameters(schema) & parameters.keys():
        raise ConsoleRefusedError.invalid(
            f"{name}: a path of this machine is set in the settings, not in the console"
        )


def spec_schema(spec: PluginSpec) -> Json:
    """Return the schema of what *spec* names; empty of one in a child: it is not loaded here."""
    if spec.isolation == "process":
        return {}
    try:
        return schema_of(
            spec.factory() if not isinstance(spec.plugin, str) else _named(spec.plugin)
        )
    except PluginError:
        return {}


def shown_parameters(spec: PluginSpec, schema: Mapping[str, Any]) -> Json:
    """Return the parameters in force: those that were set, over the defaults.

    Without those whose names sound like secrets.
    """
    properties: Mapping[str, Mapping[str, Any]] = schema.get("properties", {})
    defaults = {
        name: members["default"] for name, members in properties.items() if "default" in members
    }
    given = {name: value for name, value in spec.config.items() if _is_json(value)}
    return {
        name: value for name, value in {**defaults, **given}.items() if not _SECRET.search(name)
    }


def shown_metrics(all_metrics: Sequence[PluginMetrics]) -> dict[str, int | float]:
    """Return what a plugin did on its streams together: counts added up, times of the slowest."""
    shown: dict[str, int | float] = {}
    for metrics in all_metrics:
        for name, value in describe_metrics(metrics).items():
            if isinstance(value, bool):
                continue
            is_time = name.startswith("time")
            shown[name] = max(shown.get(name, 0), value) if is_time else shown.get(name, 0) + value
    return shown


def shown_event(event: PluginEvent, at: str) -> Json:
    """Return an event as it is listed."""
    shown: Json = {"at": at, "kind": event.kind, "detail": event.detail}
    if event.kind == "value":
        shown["value"] = event.value if _is_json(event.value) else repr(event.value)[:200]
    return shown


@lru_cache(maxsize=256)
def _named(reference: str) -> PluginFactory:
    return resolve(reference)


def _schema_of_type(wanted: Any) -> Json:
    origin, arguments = get_origin(wanted), get_args(wanted)
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin in (Union, types.UnionType):
        choices = [choice for choice in arguments if choice is not type(None)]
        return _schema_of_type(choices[0]) if len(choices) == 1 else {}
    if inspect.isclass(wanted) and issubclass(wanted, Path):
        return {"type": "string", "format": "path"}
    found = _JSON_TYPES.get(origin or wanted)
    return {} if found is None else {"type": found}


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float | str)


def _is_json(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and _is_json(item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return all(map(_is_json, value))
    return _is_plain(value)
