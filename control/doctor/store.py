"""The databases that the settings name: there, whole, of a version that this program knows."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from ..store.base import StoreError
from ..store.database import DAMAGED, HELD, code, expect_whole
from ..store.migrations import MIGRATIONS
from .findings import Finding, Level
from .storage import size

CHECK: Final = "store"
LARGE_BYTES: Final = 256 * 2**20
"""Above this a file is not read through: that takes more than a second."""
PATIENCE_S: Final = 1.0
BACKUP: Final = "Bring it back from a backup, or move it away with its -wal to begin anew."
NEWER: Final = "Use the program that wrote it, or a newer one: nothing is changed meanwhile."


def check_file(what: str, path: Path) -> Finding:
    """Judge a store in a file of SQLite's, without a change to it; one that is not there is made.

    Thread: any; reads the file through.
    """
    details: dict[str, Any] = {"what": what, "path": str(path)}
    if not path.exists() and not path.with_name(path.name + "-wal").exists():
        return Finding(CHECK, Level.OK, f"{what}: {path} is to be made", details=details)
    try:
        expect_whole(path)
        version, problem = _read(path)
    except StoreError as error:
        return Finding(CHECK, Level.ERROR, f"{what}: {error}", BACKUP, details)
    except OSError as error:
        remedy = "Let the user of this program read and write it."
        return Finding(CHECK, Level.ERROR, f"{what}: {path}: {error.strerror}", remedy, details)
    except sqlite3.Error as error:
        found = f"{what}: {path}: {error}"
        if code(error) in HELD:
            remedy = "End the program that holds it; until then everything is answered with 503."
            return Finding(CHECK, Level.WARNING, found, remedy, details)
        if code(error) in DAMAGED:
            return Finding(CHECK, Level.ERROR, found, BACKUP, details)
        remedy = "Let the user of this program read and write it and its directory."
        return Finding(CHECK, Level.ERROR, found, remedy, details)
    details |= {"version": version, "knownVersion": len(MIGRATIONS)}
    if problem is not None:
        return Finding(CHECK, Level.ERROR, f"{what}: {path} is damaged: {problem}", BACKUP, details)
    if version > len(MIGRATIONS):
        found = f"{what}: {path} is of version {version}, this program knows {len(MIGRATIONS)}"
        return Finding(CHECK, Level.ERROR, found, NEWER, details)
    found = f"{what}: {path}, version {version}, {size(path.stat().st_size)}"
    return Finding(CHECK, Level.OK, found, details=details)


def _read(path: Path) -> tuple[int, str | None]:
    """Return the version of a file, and what is wrong with it."""
    db = sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=PATIENCE_S)
    try:
        version: int = db.execute("PRAGMA user_version").fetchone()[0]
        problem = None
        if version <= len(MIGRATIONS) and path.stat().st_size < LARGE_BYTES:
            (said,) = db.execute("PRAGMA quick_check(1)").fetchone()
            problem = None if said == "ok" else str(said)
    finally:
        db.close()
    return version, problem


def check_server(what: str, url: str) -> Finding:
    """Judge a store in PostgreSQL, without a change to it. Thread: any; waits for the server."""
    try:
        from ..store.postgres.looking import look
    except ImportError as error:
        remedy = '`pip install "mixminus[postgres]"`'
        return Finding(CHECK, Level.ERROR, f"{what}: PostgreSQL wants psycopg ({error})", remedy)
    try:
        seen = look(url)
    except StoreError as error:
        remedy = "See the settings' page for the form of store_url."
        return Finding(CHECK, Level.ERROR, f"{what}: {error}", remedy)
    details = {"what": what, "url": seen.shown, **seen.details}
    if seen.problem is not None:
        level = Level.WARNING if seen.is_minor else Level.ERROR
        return Finding(CHECK, level, f"{what}: {seen.shown}: {seen.problem}", seen.remedy, details)
    found = f"{what}: {seen.shown}, PostgreSQL {seen.server}, version {seen.version}"
    return Finding(CHECK, Level.OK, found, details=details)
