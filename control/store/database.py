"""One SQLite file: opened, migrated, and used from one thread of its own."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

from .base import StoreError
from .engine import Engine, T, Transaction
from .migrations import MIGRATIONS


class SqliteDatabase(Engine):
    """An SQLite file (WAL, every commit on the disk).

    One thread of its own does all the work, so the loop never waits for the disk.
    """

    def __init__(self, connection: sqlite3.Connection, thread: ThreadPoolExecutor) -> None:
        self._connection = connection
        self._thread = thread
        self._closed = False

    @classmethod
    async def open(cls, path: Path) -> Self:
        """Open or make the file, mode 0600, and bring it to the present version.

        Raises: StoreError when it is no database, or of a later version.
        """
        thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="mixminus-store")
        try:
            connection = await asyncio.get_running_loop().run_in_executor(thread, _connect, path)
        except (sqlite3.Error, OSError) as error:
            thread.shutdown(wait=False)
            raise StoreError(f"cannot open the store {path}: {error}") from error
        except BaseException:
            thread.shutdown(wait=False)
            raise
        return cls(connection, thread)

    async def close(self) -> None:
        """Finish what runs and let go of the files. Again is no error."""
        if self._closed:
            return
        self._closed = True
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, self._connection.close)
        self._thread.shutdown(wait=False)

    async def _run(self, work: Callable[[Transaction], T]) -> T:
        """Do *work* in the store's thread as one transaction."""
        if self._closed:
            raise StoreError("the store is closed")
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._transact, work)

    def _transact(self, work: Callable[[Transaction], T]) -> T:
        db = self._connection
        try:
            # IMMEDIATE: a transaction that reads first would fail on its first write, not wait.
            db.execute("BEGIN IMMEDIATE")
            try:
                result = work(db)
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise StoreError(f"the store failed: {error}") from error
        return result


def _connect(path: Path) -> sqlite3.Connection:
    """Open the database and migrate it."""
    # The secrets in it are this user's alone; SQLite gives its journal files the same mode.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5.0)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        # FULL: an acknowledged call survives a power cut. NORMAL may lose the last commits in WAL.
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA foreign_keys = ON")
        _migrate(db, path)
    except BaseException:
        db.close()
        raise
    return db


def _migrate(db: sqlite3.Connection, path: Path) -> None:
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    if version > len(MIGRATIONS):
        raise StoreError(
            f"{path} is of version {version}, this program knows up to {len(MIGRATIONS)}"
        )
    for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
        db.executescript(f"BEGIN IMMEDIATE; {script} PRAGMA user_version = {number}; COMMIT;")
