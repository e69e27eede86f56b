"""What settings there are: as rows, a commented TOML file, Markdown tables and a JSON Schema."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Final, Literal, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from .file import FILE_NAME
from .section import FILE_SUFFIX, SettingsSection, is_secret
from .sections import OF_PROCESS, TABLES, sections
from .toml import toml_value

WIDTH: Final = 96
LONG: Final = 70
"""A default of more characters than this is left out of the tables: the example has it."""

NAMES: Final[Mapping[Any, str]] = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true or false",
    Path: "path",
    SecretStr: "secret",
    Any: "table",
}
SAMPLES: Final = {"whole number": "0", "number": "0.0", "true or false": "false", "path": '"PATH"'}


@dataclass(frozen=True, slots=True)
class Key:
    """One setting, as it is documented."""

    table: str
    name: str
    variable: str
    kind: str
    limits: str
    default: Any
    """What it is when nobody says it; ``...`` when somebody has to."""
    meaning: str
    is_secret: bool

    @property
    def in_file(self) -> str:
        """What it is called in the file: a secret is only named there by its file."""
        return f"{self.name}_file" if self.is_secret else self.name

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        is_required = self.default is ...
        return {
            "table": self.table,
            "name": self.name,
            "variable": self.variable,
            "kind": self.kind,
            "limits": self.limits,
            "default": None if is_required else self.default,
            "required": is_required,
            "isSecret": self.is_secret,
            "meaning": self.meaning,
        }


def keys(table: str) -> list[Key]:
    """Return the settings of *table* in the order of its model. Raises: KeyError for no table."""
    model = sections()[table]
    return [_key(table, model, name, field) for name, field in model.model_fields.items()]


def plain(value: Any) -> Any:
    """Return *value* of a setting as text, numbers, lists and tables."""
    if isinstance(value, BaseModel):
        return plain(value.model_dump(exclude_defaults=True))
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items() if one is not None}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(one) for one in value]
    return str(value) if isinstance(value, Path) else value


def example() -> str:
    """Return a settings file that says nothing yet: all keys as comments, with their defaults."""
    lines = [
        f"# {FILE_NAME}: the settings of mixminus, each with its default, as a comment.",
        "# An argument of the command stands above the environment, that above this file.",
        "# Secrets are not written here: name the file that has one, or set its variable.",
    ]
    for table in sections():
        lines += ["", "", f"# {TABLES[table]}", f"[{table}]"]
        for key in keys(table):
            also = f" Or {key.variable}."
            if key.is_secret:
                also = f" Or {key.variable}, or {key.variable}{FILE_SUFFIX}."
            lines += ["", *_wrapped(key.meaning + also), f"#{key.in_file} = {_sample(key)}"]
    return "\n".join(lines) + "\n"


def markdown() -> str:
    """Return the reference of all settings: what docs/settings.md has between its marks."""
    lines: list[str] = []
    for table, model in sections().items():
        lines += [
            f"## [{table}]",
            "",
            f"{TABLES[table]} Variables: `{model.model_config['env_prefix']}...`",
            "",
            "| key | value | default | meaning |",
            "|---|---|---|---|",
            *(_row(key) for key in keys(table)),
            "",
        ]
    lines += ["## Of the process", "", "| variable | meaning |", "|---|---|"]
    lines += [f"| `{name}` | {_code(meaning)} |" for name, meaning in OF_PROCESS.items()]
    return "\n".join(lines) + "\n"


def schema() -> dict[str, Any]:
    """Return the JSON Schema of the file. Nothing in it is required: the environment may say it."""
    shared: dict[str, Any] = {}
    tables: dict[str, Any] = {}
    for table, model in sections().items():
        one = model.model_json_schema(ref_template="#/$defs/{model}")
        shared |= one.pop("$defs", {})
        one.pop("required", None)
        properties = {}
        for name, described in one["properties"].items():
            if name in model.secrets():
                properties[f"{name}_file"] = {
                    "type": "string",
                    "description": f"The path of a file that has it. {_one_line(described)}",
                }
            else:
                properties[name] = {**described, "description": _one_line(described)}
        tables[table] = {**one, "properties": properties, "description": TABLES[table]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": FILE_NAME,
        "type": "object",
        "additionalProperties": False,
        "properties": tables,
        "$defs": shared,
    }


def _key(table: str, model: type[SettingsSection], name: str, field: FieldInfo) -> Key:
    return Key(
        table=table,
        name=name,
        variable=model.variable(name),
        kind=_kind(field.annotation),
        limits=_limits(field),
        default=... if field.is_required() else plain(field.get_default(call_default_factory=True)),
        meaning=" ".join((field.description or "").split()),
        is_secret=is_secret(field),
    )


def _kind(annotation: Any) -> str:
    """Return what values of *annotation* are, in words."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        return " or ".join(_kind(one) for one in inner if one is not NoneType)
    if origin is Literal:
        return " or ".join(f"`{one}`" for one in inner)
    if origin is tuple:
        return f"list of {_plural(_kind(inner[0]))}"
    if origin is dict:
        return f"table of {_plural(_kind(inner[1]))}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "table"
    return NAMES[annotation]


def _plural(kind: str) -> str:
    if kind.startswith("list of "):
        return f"lists of {kind.removeprefix('list of ')}"
    return kind if kind == "text" or kind.startswith("`") else f"{kind}s"


def _limits(field: FieldInfo) -> str:
    least = most = ""
    for one in field.metadata:
        # What pydantic makes of Field's arguments has each under its name.
        if (bound := getattr(one, "ge", None)) is not None:
            least = f"{bound!r} or more"
        elif (bound := getattr(one, "gt", None)) is not None:
            least = f"more than {bound!r}"
        elif (bound := getattr(one, "le", None)) is not None:
            most = f"at most {bound!r}"
        elif (bound := getattr(one, "lt", None)) is not None:
            most = f"less than {bound!r}"
        elif (bound := getattr(one, "min_length", None)) is not None:
            is_text = _kind(field.annotation) in ("text", "secret")
            of_what = "characters" if is_text else "of them"
            least = "not empty" if bound == 1 else f"at least {bound} {of_what}"
    return ", ".join(filter(None, (least, most))).replace("_", "")


def _row(key: Key) -> str:
    if key.default is ...:
        default = "required"
    elif key.default is None:
        default = ""
    else:
        text = toml_value(key.default)
        default = f"`{text}`" if len(text) <= LONG else "see the example"
    name = f"`{key.name}`"
    if key.is_secret:
        name += f"<br>`{key.in_file}`"
    kind = ", ".join(filter(None, (key.kind, key.limits)))
    cells = (name, kind, default, _code(key.meaning))
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _sample(key: Key) -> str:
    if key.is_secret:
        return toml_value(f"/run/secrets/{key.name}")
    if key.default is ... or key.default is None:
        return SAMPLES.get(key.kind, '""')
    return toml_value(key.default)


def _wrapped(text: str) -> Iterator[str]:
    yield from (f"# {line}" for line in textwrap.wrap(text.replace("``", ""), WIDTH))


def _one_line(described: Mapping[str, Any]) -> str:
    return " ".join(str(described.get("description", "")).split())


def _code(meaning: str) -> str:
    """Return a docstring's ``code`` as Markdown's."""
    return meaning.replace("``", "`")
