"""Looks through a whole store, changing nothing: its version, its tables, rows nobody can read."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from .base import StoreError
from .database import DAMAGED, code, damaged, expect_whole
from .migrations import MIGRATIONS
from .rows import CorruptRowError, document

DOCUMENTS: Final[Mapping[str, Mapping[str, type[dict[Any, Any]] | type[list[Any]]]]] = {
    "apps": {"roles": list},
    "calls": {"resource": dict},
    "operations": {"members": dict},
    "conversations": {"organizer": list, "app_ids": list},
    "participants": {"stay": dict},
    "records": {"resource": dict, "participants": list, "sessions": list, "pstn_calls": list},
    "host_calls": {"resource": dict, "peer": dict, "joining": dict, "saved_state": dict},
    "host_inbox": {"body": dict},
    "host_requests": {"body": dict, "answer": dict},
}
"""The columns that hold JSON, and whether that is an object or an array."""


@dataclass(slots=True)
class Checked:
    """What was found: rows of each table, and what is wrong."""

    shown: str
    version: int
    known_version: int
    rows: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def check_file(path: Path) -> Checked:
    """Look through the SQLite file at *path*, also while a program uses it.

    Raises: StoreError when it is not there, no database, or of a later version.
    """
    if not path.is_file():
        raise StoreError(f"there is no store {path}")
    try:
        expect_whole(path)
        db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    except (sqlite3.Error, OSError) as error:
        raise StoreError(f"cannot read the store {path}: {error}") from error
    # Also what is no UTF-8 is to be told by its table and key.
    db.text_factory = lambda data: data.decode("utf-8", "surrogateescape")
    try:
        version: int = db.execute("PRAGMA user_version").fetchone()[0]
        checked = Checked(str(path), version, len(MIGRATIONS))
        expect_known(checked)
        checked.problems += [
            f"the file is damaged: {row[0]}"
            for row in db.execute("PRAGMA integrity_check")
            if row[0] != "ok"
        ]
        checked.problems += [
            f"the store's table {row[0]} has a row, rowid {row[1]}, whose {row[2]} is gone"
            for row in db.execute("PRAGMA foreign_key_check")
        ]
        for table in tables(db):
            checked.rows[table] = int(db.execute(_count(table)).fetchone()[0])
            columns = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
            if (statement := documents_of(table, columns)) is not None:
                checked.problems += unreadable(table, db.execute(statement))
    except sqlite3.Error as error:
        if code(error) in DAMAGED:
            raise StoreError(damaged(f"cannot read the store {path}", error)) from error
        raise StoreError(f"cannot read the store {path}: {error}") from error
    finally:
        db.close()
    return checked


def tables(db: sqlite3.Connection) -> list[str]:
    """Return the tables, those that others refer to first. Raises: sqlite3.Error."""
    found = db.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        " ORDER BY rowid"
    )
    return [row[0] for row in found]


def expect_known(checked: Checked) -> None:
    """Raises: StoreError when the store is of a later version, or no store of ours."""
    if checked.version > checked.known_version:
        raise StoreError(
            f"{checked.shown} is of version {checked.version}, this program knows up to"
            f" {checked.known_version}: nothing was changed; use the program that wrote it, or a"
            " newer one"
        )
    if checked.version == 0:
        raise StoreError(f"{checked.shown} is no store of ours: its version is 0")


def documents_of(table: str, columns: Sequence[str]) -> str | None:
    """Return what asks for the first column, the key, and those with JSON; None: it has none."""
    wanted = [name for name in DOCUMENTS.get(table, ()) if name in columns]
    if not wanted:
        return None
    key = "lineage" if "lineage" in columns and table == "host_calls" else columns[0]
    # The names are of our own tables.
    return f"SELECT {', '.join([key, *wanted])} FROM {table}"  # noqa: S608


def unreadable(table: str, rows: Iterable[Sequence[Any]]) -> list[str]:
    """Return what is wrong with *rows*, each a key and the table's JSON columns."""
    problems = []
    kinds = list(DOCUMENTS[table].values())
    for key, *texts in rows:
        for text, kind in zip(texts, kinds, strict=False):
            if text is None:
                continue
            try:
                document(table, repr(key), text, kind)
            except CorruptRowError as error:
                problems.append(str(error))
    return problems


def _count(table: str) -> str:
    return f"SELECT count(*) FROM {table}"  # noqa: S608
