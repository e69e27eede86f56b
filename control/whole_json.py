"""JSON of far ends, read so that all of its text can be written again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def read_json(body: bytes) -> Any:
    r"""Return what *body* says, with U+FFFD for each half of a surrogate pair that stands alone.

    A name that was cut to so many UTF-16 units may end in one: JSON spells it ``\ud83d``, no UTF-8
    can hold it (RFC 8259 section 8.2), and whoever shows it would fail.

    Raises: ValueError for what is no JSON; RecursionError when it is nested too deeply.
    """
    value = json.loads(body)
    # Only an escape can spell one: most bodies need no second look.
    return whole(value) if b"\\u" in body else value


def whole(value: Any) -> Any:
    """Return a copy of *value*, which is JSON, with U+FFFD for such halves."""
    if isinstance(value, str):
        if value.isascii():
            return value
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if isinstance(value, Mapping):
        return {whole(name): whole(held) for name, held in value.items()}
    if isinstance(value, list):
        return [whole(each) for each in value]
    return value
