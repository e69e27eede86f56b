"""The tables' SQL as PostgreSQL and psycopg want it."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

_PARTS: Final = re.compile(
    r"(?P<text>'[^']*')"
    r"|(?P<cast>::\w+)"
    r"|:(?P<name>[a-z_]+)"
    r"|(?P<mark>\?\d*)"
    r"|(?P<percent>%)"
)


@lru_cache(maxsize=256)
def translate(sql: str) -> bytes:
    """Return *sql*, which has SQLite's placeholders, in PostgreSQL's words.

    Raises: ValueError for a numbered placeholder, which psycopg has not.
    """
    return _PARTS.sub(_part, sql).encode()


def _part(found: re.Match[str]) -> str:
    if found["text"] or found["percent"]:
        return found[0].replace("%", "%%")
    if found["name"]:
        return f"%({found['name']})s"
    if found["mark"]:
        if found["mark"] != "?":
            raise ValueError(f"expected ? or :name, got {found['mark']}")
        return "%s"
    return found[0]
