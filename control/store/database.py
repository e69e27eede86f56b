"""One SQLite file: opened, migrated, and used from one thread of its own."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, Self

from .base import StoreAwayError, StoreError
from .batches import RETRY_AFTER_S, Work
from .engine import Engine, Transaction, names
from .migrations import MIGRATIONS, TABLES, tables_gone

PATIENCE_MS: Final = 1_000
"""How long another program may hold the file, a backup say, before the store counts as away."""
STUCK_S: Final = 5.0
"""After this a disk that says nothing counts as away."""

# Nothing is written, and it may pass by itself. The low byte of an extended code is its kind.
PASSING: Final = frozenset(
    (
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_PROTOCOL,
    )
)
HELD: Final = frozenset((sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL))
DAMAGED: Final = frozenset((sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB))


class SqliteFile:
    """The connection to one file. Thread: the store's."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path, self.connection = path, connection
        self._file = _identity(path)
        self.told: list[str | None] = []
        """Whom the running transaction is to wake."""
        self.on_commit: Callable[[Sequence[str | None]], None] = lambda told: None

    def commit(self, works: Sequence[Work]) -> None:
        """Do *works* in one transaction, each in a savepoint of its own. Raises: StoreAwayError."""
        db = self.connection
        self.told.clear()
        self._expect_in_place()
        try:
            # IMMEDIATE: a transaction that reads first would fail on its first write, not wait.
            db.execute("BEGIN IMMEDIATE")
            for work in works:
                self._do(work)
            db.execute("COMMIT")
        except sqlite3.Error as error:
            self._undo()
            problem = self._problem(error)
            if isinstance(problem, StoreAwayError):
                raise problem from error
            for work in works:
                if work.error is None:
                    work.fail(problem)
        except BaseException:
            self._undo()
            raise
        if self.told:
            self.on_commit(tuple(self.told))

    def _do(self, work: Work) -> None:
        db, told = self.connection, len(self.told)
        db.execute("SAVEPOINT work")
        try:
            work.run(db)
        except Exception as error:  # Its own: it is undone, and who asked for it is told.
            if not db.in_transaction:
                raise  # A full disk, say, has undone the others too.
            problem: Exception = error
            if isinstance(error, sqlite3.Error):
                problem = self._problem(error)
                if isinstance(problem, StoreAwayError):
                    raise
                problem.__cause__ = error
            db.execute("ROLLBACK TO work")
            del self.told[told:]
            work.fail(problem)
        db.execute("RELEASE work")

    def _undo(self) -> None:
        self.told.clear()
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")

    def probe(self) -> None:
        """Write to the file what is there already. Raises: StoreAwayError."""
        db = self.connection
        self._expect_in_place()
        try:
            version = db.execute("PRAGMA user_version").fetchone()[0]
            db.execute("BEGIN IMMEDIATE")
            # A page is written, so that a full disk shows.
            db.execute(f"PRAGMA user_version = {int(version)}")
            db.execute("COMMIT")
        except sqlite3.Error as error:
            self._undo()
            problem = self._problem(error)
            raise StoreAwayError(str(problem), RETRY_AFTER_S) from error

    def _expect_in_place(self) -> None:
        """See that the path still names this file: what goes to another is lost with the process.

        Raises: StoreAwayError.
        """
        if _identity(self.path) != self._file:
            raise StoreAwayError(
                f"the store {self.path} is away: the file was removed, moved or replaced under this"
                " program: put that very file back, or start the program again to begin anew",
                RETRY_AFTER_S,
            )

    def _problem(self, error: sqlite3.Error) -> StoreError:
        """Say what *error* means: may it pass, is the file damaged, or was the statement wrong."""
        kind = code(error)
        if kind in PASSING:
            return StoreAwayError(f"the store {self.path} is away: {error}", RETRY_AFTER_S)
        if kind in DAMAGED:
            return StoreError(damaged(f"the store {self.path} failed", error))
        return StoreError(f"the store failed: {error}")

    def break_off(self) -> None:
        """Do nothing: a disk that hangs cannot be given up."""

    def close(self) -> None:
        """Let go of the files. Again is no error."""
        self.connection.close()


class SqliteDatabase(Engine):
    """An SQLite file (WAL, every commit on the disk)."""

    _database: SqliteFile

    def __init__(
        self, database: SqliteFile, thread: ThreadPoolExecutor, instance: str | None
    ) -> None:
        super().__init__(database, thread, stuck_s=STUCK_S)
        self._instance = instance
        database.on_commit = self._committed
        self._loop = asyncio.get_running_loop()

    @classmethod
    async def open(cls, path: Path, instance: str | None = None) -> Self:
        """Open or make the file, mode 0600, and bring it to the present version.

        *instance* is the name of the host whose file it is.
        Raises: StoreError when it is no database, damaged, or of a later version.
        """
        thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="mixminus-store")
        try:
            file = await asyncio.get_running_loop().run_in_executor(thread, open_file, path)
        except BaseException:
            thread.shutdown(wait=False)
            raise
        return cls(file, thread, instance)

    def _tell(self, db: Transaction, instance: str | None) -> None:
        """Wake this host, if it is meant, once the transaction is committed."""
        self._database.told.append(instance)

    def _committed(self, told: Sequence[str | None]) -> None:
        """Wake who is to be. Thread: the store's."""
        if names(told, self._instance):
            self._loop.call_soon_threadsafe(self._wake)


def open_file(path: Path) -> SqliteFile:
    """Open the database, recover what a crash left in its log, and migrate it.

    Raises: StoreError; then nothing was changed.
    """
    try:
        expect_whole(path)
        # The secrets in it are this user's alone; SQLite gives its journal files the same mode.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        db = sqlite3.connect(
            path, isolation_level=None, check_same_thread=False, timeout=PATIENCE_MS / 1000
        )
    except (sqlite3.Error, OSError) as error:
        said = getattr(error, "strerror", None) or str(error)
        raise StoreError(f"cannot open the store {path}: {said}{_access(path)}") from error
    try:
        _prepare(db, path)
    except sqlite3.Error as error:
        db.close()
        kind, said = code(error), f"cannot open the store {path}"
        if kind in DAMAGED:
            raise StoreError(damaged(said, error)) from error
        if kind in HELD:
            raise StoreAwayError(f"{said}: another program holds it ({error})") from error
        if kind == sqlite3.SQLITE_FULL:
            raise StoreError(f"{said}: {error}: make room on its disk") from error
        raise StoreError(f"{said}: {error}{_access(path)}") from error
    except BaseException:
        db.close()
        raise
    return SqliteFile(path, db)


def _identity(path: Path) -> tuple[int, int] | None:
    """Return which file *path* names; None: none that can be reached."""
    try:
        there = path.stat()
    except OSError:
        return None
    return there.st_dev, there.st_ino


def _access(path: Path) -> str:
    """Return what to do where the file, or its directory, may not be written to; "": it may."""
    for one in (path.parent, path):
        if one.exists() and not os.access(one, os.W_OK):
            return f": {one} has to be writable to user {os.geteuid()}"
    return f": {path} has to be a file, or nothing yet" if path.is_dir() else ""


def expect_whole(path: Path) -> None:
    """Refuse an empty file beside a log: SQLite would begin anew and drop the log.

    Raises: StoreError; OSError.
    """
    wal = path.with_name(path.name + "-wal")
    if wal.exists() and wal.stat().st_size and not (path.exists() and path.stat().st_size):
        raise StoreError(
            f"cannot open the store {path}: it is empty or gone, but its log {wal.name} is there:"
            " bring the file back, from a backup say, or move the log away to begin anew"
        )


def code(error: sqlite3.Error) -> int:
    """Return the kind of *error*: the low byte of its code; 0 when it is not SQLite's own."""
    return (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF


def damaged(said: str, error: Exception) -> str:
    """Say what to do with a file that is no database, or not any more."""
    return (
        f"{said}: the file is damaged or no database ({error}): nothing was changed; bring it"
        " back from a backup, or move it away with its -wal to begin anew"
    )


def _prepare(db: sqlite3.Connection, path: Path) -> None:
    # Before the mode is set: a file that is not ours, or of later, stays as it is.
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    if version > len(MIGRATIONS):
        raise StoreError(
            f"{path} is of version {version}, this program knows up to {len(MIGRATIONS)}:"
            " nothing was changed; use the program that wrote it, or a newer one"
        )
    db.execute("PRAGMA journal_mode = WAL")
    # FULL: an acknowledged call survives a power cut. NORMAL may lose the last commits in WAL.
    db.execute("PRAGMA synchronous = FULL")
    db.execute("PRAGMA foreign_keys = ON")
    db.text_factory = _text
    for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
        db.executescript(f"BEGIN IMMEDIATE; {script} PRAGMA user_version = {number}; COMMIT;")
    rows = db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
    if gone := TABLES.difference(row[0] for row in rows):
        raise StoreError(tables_gone(str(path), gone))


def _text(data: bytes) -> str:
    """Read a text also where its bytes are damaged: one bad row is no end to a list."""
    return data.decode("utf-8", "surrogateescape")
