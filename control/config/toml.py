"""Values as TOML writes them; the standard library only reads it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any


def toml_value(value: Any) -> str:
    """Return *value* as TOML on one line: text, numbers, booleans, paths, lists and tables.

    Raises: ValueError for what TOML has not (None), or what is none of these.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str | PurePath):
        # JSON's escapes are TOML's; only DEL has to be one there, too.
        return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, Mapping):
        inner = ", ".join(f"{toml_key(str(k))} = {toml_value(v)}" for k, v in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, Sequence):
        return f"[{', '.join(toml_value(one) for one in value)}]"
    raise ValueError(f"expected what TOML can write, got {type(value).__name__}")


def toml_key(name: str) -> str:
    """Return *name* as a key: bare if it can be, else quoted."""
    is_bare = name.isascii() and name.replace("-", "a").replace("_", "a").isalnum()
    return name if is_bare else toml_value(name)
