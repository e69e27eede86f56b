"""Small words to write JSON schemas with (OpenAPI 3.1, JSON Schema 2020-12)."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Any

from ..graph.fields import ID_PATTERN, MAX_URI_CHARS, TYPE_PREFIX

Schema = dict[str, Any]

NULL: Schema = {"type": "null"}
ANY_OBJECT: Schema = {"type": "object"}
TEXT: Schema = {"type": "string"}
BOOLEAN: Schema = {"type": "boolean"}
INTEGER: Schema = {"type": "integer"}
ID: Schema = {"type": "string", "pattern": ID_PATTERN}
HTTPS_URI: Schema = {
    "type": "string",
    "maxLength": MAX_URI_CHARS,
    "pattern": r"^[Hh][Tt][Tt][Pp][Ss]://[^\s/?#]+",
}


def ref(name: str) -> Schema:
    """Refer to a component."""
    return {"$ref": f"#/components/schemas/{name}"}


def nullable(schema: Schema) -> Schema:
    """Allow null beside *schema*."""
    return {"anyOf": [schema, NULL]}


def array(items: Schema, low: int = 0, high: int | None = None) -> Schema:
    """Describe a list."""
    schema: Schema = {"type": "array", "items": items}
    if low:
        schema["minItems"] = low
    if high is not None:
        schema["maxItems"] = high
    return schema


def whole(low: int, high: int) -> Schema:
    """Describe a whole number in a range."""
    return {"type": "integer", "minimum": low, "maximum": high}


def one_of(members: Iterable[StrEnum]) -> Schema:
    """Describe a member of an enumeration."""
    return {"type": "string", "enum": [member.value for member in members]}


def given_type(*names: str) -> Schema:
    """Describe an ``@odata.type`` that a request may leave out."""
    full = [TYPE_PREFIX + name for name in names]
    return {"enum": [*full, *(name.removeprefix("#") for name in full), None]}


def shown_type(*names: str) -> Schema:
    """Describe an ``@odata.type`` that a reply has."""
    return {"type": "string", "enum": [TYPE_PREFIX + name for name in names]}


def record(required: Iterable[str] = (), **properties: Schema) -> Schema:
    """Describe an object; types are open, so it may have more. ``odata_type`` is its type."""
    named = {_MEMBERS.get(name, name): schema for name, schema in properties.items()}
    schema: Schema = {"type": "object", "properties": named}
    needed = [_MEMBERS.get(name, name) for name in required]
    if needed:
        schema["required"] = needed
    return schema


_MEMBERS = {"odata_type": "@odata.type", "odata_context": "@odata.context"}
