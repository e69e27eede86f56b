"""Takes the store of one SQLite file as it is, for copying it elsewhere."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from .base import StoreError
from .checking import cannot_read, expect_there
from .database import DAMAGED, HELD, code, damaged, expect_whole, open_file


@contextmanager
def snapshot(path: Path) -> Iterator[sqlite3.Connection]:
    """Yield a copy of the store at *path*, of the present version; *path* itself stays as it is.

    No program may have it open, from now until the end: what it wrote would be in no copy.
    Raises: StoreError when one has, and when it is no store; NoStoreError.
    """
    expect_there(path)
    with tempfile.TemporaryDirectory(prefix="mixminus-store-") as directory:
        copied = Path(directory) / "copy.db"
        try:
            expect_whole(path)
            with closing(sqlite3.connect(path, isolation_level=None, timeout=1.0)) as held:
                if not held.execute("PRAGMA user_version").fetchone()[0]:
                    raise StoreError(f"{path} is no store of ours: its version is 0")
                # In this mode SQLite wants the file for itself alone, also from idle readers.
                held.execute("PRAGMA locking_mode = EXCLUSIVE")
                held.execute("BEGIN EXCLUSIVE")
                held.execute("COMMIT")
                with closing(sqlite3.connect(copied)) as target:
                    held.backup(target)
                yield from _opened(copied, path)
        except sqlite3.Error as error:
            if code(error) in HELD:
                raise StoreError(
                    f"the store {path} is in use by another program: stop that first ({error})"
                ) from error
            if code(error) in DAMAGED:
                raise StoreError(damaged(f"cannot read the store {path}", error)) from error
            raise StoreError(cannot_read(path, error)) from error


def _opened(copied: Path, path: Path) -> Iterator[sqlite3.Connection]:
    try:
        file = open_file(copied)
    except StoreError as error:
        raise StoreError(str(error).replace(str(copied), str(path))) from error
    try:
        yield file.connection
    finally:
        file.close()
