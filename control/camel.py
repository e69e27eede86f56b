"""Names of Python as JSON has them. Pure."""

from __future__ import annotations

from typing import Any


def camel_keys(value: Any) -> Any:
    """Return *value* with each key of each object in camelCase: ``late_ticks`` is ``lateTicks``.

    Values are left alone, and keys that are no Python names: ``@odata.type``, ``callId``.
    """
    if isinstance(value, dict):
        return {camel(key): camel_keys(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [camel_keys(item) for item in value]
    return value


def camel(name: str) -> str:
    """Return a snake_case *name* in camelCase."""
    first, *rest = name.split("_")
    return first + "".join(word[:1].upper() + word[1:] for word in rest)
