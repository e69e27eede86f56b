"""Looks through a whole store, changing nothing: its version, its tables, rows nobody can read."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from .base import NoStoreError, StoreError
from .database import DAMAGED, code, damaged, expect_whole
from .migrations import MIGRATIONS, TABLES, tables_gone
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

    Raises: NoStoreError when it is not there; StoreError when it is no database, or of a later
        version.
    """
    expect_there(path)
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
        names = tables(db)
        if gone := TABLES.difference(names) if version == len(MIGRATIONS) else ():
            checked.problems.append(tables_gone(str(path), gone))
        for table in names:
            checked.rows[table] = int(db.execute(_count(table)).fetchone()[0])
            columns = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
            if (statement := documents_of(table, columns)) is not None:
                checked.problems += unreadable(table, db.execute(statement))
    except sqlite3.Error as error:
        if code(error) in DAMAGED:
            raise StoreError(damaged(f"cannot read the store {path}", error)) from error
        raise StoreError(cannot_read(path, error)) from error
    finally:
        db.close()
    return checked


def expect_there(path: Path) -> None:
    """Raises: NoStoreError when *path* is no file."""
    if path.is_dir():
        raise NoStoreError(f"{path} is a directory: name the file in it, service.db or host.db")
    if not path.is_file():
        raise NoStoreError(f"there is no store {path}")


def cannot_read(path: Path, error: sqlite3.Error) -> str:
    """Say why the store at *path* cannot be read, and what to do about it."""
    if code(error) == sqlite3.SQLITE_CANTOPEN and not os.access(path.parent, os.W_OK):
        # SQLite wants its -shm file beside the database, even to read it.
        return (
            f"cannot read the store {path}: its directory cannot be written to, which SQLite wants"
            " also to read: copy it elsewhere, with its -wal if it has one"
        )
    return f"cannot read the store {path}: {error}"


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
    kinds = DOCUMENTS[table]
    for key, *texts in rows:
        for text, (name, kind) in zip(texts, kinds.items(), strict=False):
            if text is None:
                continue
            try:
                found = document(table, repr(key), text, kind)
            except CorruptRowError as error:
                problems.append(str(error))
                continue
            if name == "saved_state" and "value" not in found:
                problems.append(
                    f"the store's table {table} has a row that cannot be read, {key!r}: expected a"
                    f" {name} with a value, got {', '.join(found) or 'nothing'}"
                )
    return problems


def _count(table: str) -> str:
    return f"SELECT count(*) FROM {table}"  # noqa: S608
