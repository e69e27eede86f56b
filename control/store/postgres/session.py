"""One connection that holds the database for this service, and the transactions on it."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, LiteralString

import psycopg
from psycopg import errors
from psycopg.adapt import Dumper
from psycopg.pq import PipelineStatus, TransactionStatus

from ..base import StoreError
from ..engine import Parameters, Rows, T, Transaction
from .address import Address
from .migrations import MAKE_SCHEMA, MAKE_VERSION, MIGRATIONS, SCHEMA
from .sql import translate

STATEMENT_MS: Final = 5_000
"""How long a statement may take, with its wait for locks: as SQLite waits for its one."""
IDLE_MS: Final = 30_000
"""After this the server gives up a transaction whose client says nothing."""
HOLD_S: Final = 3.0
"""How long to wait for another session to let go of the database: one that has just ended."""
ASK_AGAIN_S: Final = 0.1
TRIES: Final = 10
"""How often a transaction is tried that others got in the way of."""

LOCK: Final = (0x6D69786D, 1)
"""The session lock of who holds the database: "mixm"."""
MIGRATION_LOCK: Final = (0x6D69786D, 2)

_SETTINGS: Final[LiteralString] = (
    f"SET search_path = {SCHEMA}; SET statement_timeout = {STATEMENT_MS};"
    f" SET lock_timeout = {STATEMENT_MS}; SET idle_in_transaction_session_timeout = {IDLE_MS};"
    " SET client_encoding = 'UTF8'; SET synchronous_commit = 'on'"
)
# NULL, which fails, where another service has taken the database.
_COUNT: Final = b"UPDATE holder SET commits = CASE WHEN instance = %s THEN %s::bigint END"
_OTHER: Final = b"""
    SELECT a.pid, a.application_name, coalesce(host(a.client_addr), 'this machine'),
        to_char(a.backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
    FROM pg_locks l JOIN pg_stat_activity a USING (pid)
    WHERE l.locktype = 'advisory' AND l.granted AND l.classid = %s AND l.objid = %s
        AND l.objsubid = 2
        AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


class LostError(Exception):
    """The connection broke and what ran on it is undone. The message says why, cleaned."""


class InDoubtError(Exception):
    """The connection broke as transaction number ``commits`` was committed: it may be written."""

    def __init__(self, message: str, commits: int, result: Any) -> None:
        super().__init__(message)
        self.commits, self.result = commits, result


class TakenOverError(StoreError):
    """Another service worked with the database meanwhile: this one's calls are not in it now."""


class _TruthDumper(Dumper):
    """Truth as the 0 or 1 that the tables have, as SQLite keeps it."""

    oid = psycopg.adapters.types["int2"].oid

    def dump(self, obj: bool) -> bytes:
        return b"1" if obj else b"0"


class _Found:
    """The rows of one statement of a pipeline: asked for when they are looked at."""

    def __init__(self, cursor: psycopg.Cursor, pipeline: psycopg.Pipeline) -> None:
        self._cursor, self._pipeline = cursor, pipeline
        self.fetchone, self.fetchall = cursor.fetchone, cursor.fetchall

    @property
    def rowcount(self) -> int:
        self._pipeline.sync()
        return self._cursor.rowcount

    def __iter__(self) -> Iterator[Any]:
        return iter(self._cursor)


class _Transaction:
    """A :class:`~..engine.Transaction` that notes whether it changed something."""

    def __init__(self, connection: psycopg.Connection, pipeline: psycopg.Pipeline) -> None:
        self._connection, self._pipeline = connection, pipeline
        self.has_written = False

    def execute(self, sql: str, parameters: Parameters = (), /) -> Rows:
        statement = translate(sql)
        self.has_written |= statement.writes
        return _Found(self._connection.execute(statement.sql, parameters), self._pipeline)

    def executemany(self, sql: str, parameters: Sequence[Parameters], /) -> None:
        statement = translate(sql)
        for row in parameters:
            self.has_written |= statement.writes
            self._connection.execute(statement.sql, row)


class Session:
    """A connection that holds the database's lock. Thread: the store's, but for ``break_off``.

    *instance* names the service for as long as it runs. Each transaction that writes counts up
    the row that names the holder: after a break it says what was committed, and where another
    service has taken the database over meanwhile, nothing more is written.
    """

    def __init__(self, address: Address, instance: str) -> None:
        """Connect. Raises: psycopg.Error when that fails."""
        self._address, self._instance = address, instance
        parameters = address.with_name(instance)
        self._name: str = parameters["application_name"]
        self._lock = threading.Lock()
        self._is_sound = True
        self._connection = psycopg.connect(**parameters, autocommit=True)
        self._socket: socket.socket | None = socket.socket(
            fileno=os.dup(self._connection.pgconn.socket)
        )

    def prepare(self) -> None:
        """Hold the database and migrate it.

        Raises: StoreError when it is held by another, of a later version, or nothing may be made
            in it; psycopg.Error when the connection breaks.
        """
        self._connection.adapters.register_dumper(bool, _TruthDumper)
        self._connection.execute(_SETTINGS)
        self._hold()
        self._migrate()

    def claim(self) -> None:
        """Say that from now on the database is this service's: its first session does."""
        self._connection.execute(
            b"INSERT INTO holder (instance, commits) VALUES (%s, 0) ON CONFLICT (is_only)"
            b" DO UPDATE SET instance = excluded.instance, commits = 0",
            (self._instance,),
        )

    def commits(self) -> int:
        """Return how many transactions of this service were committed.

        Raises: TakenOverError when another one has claimed the database since.
        """
        row = self._connection.execute(b"SELECT instance, commits FROM holder").fetchone()
        if row is None or row[0] != self._instance:
            raise self._taken_over()
        return int(row[1])

    def transact(self, work: Callable[[Transaction], T], commits: int) -> tuple[T, int]:
        """Do *work* as one transaction; return what it did and how many were committed now.

        *commits* is how many were before.
        Raises: LostError, InDoubtError; StoreError, TakenOverError: nothing was written.
        """
        for last in (*(False,) * (TRIES - 1), True):
            try:
                return self._try(work, commits)
            except (errors.SerializationFailure, errors.DeadlockDetected) as error:
                # Somebody else wrote to the same rows: by hand, for services hold the lock.
                if last:
                    raise StoreError(f"the store failed: {self._address.clean(error)}") from error
        raise AssertionError("unreachable")

    def _try(self, work: Callable[[Transaction], T], commits: int) -> tuple[T, int]:
        connection = self._connection
        may_be_written = False
        if not self._is_sound:
            raise LostError("the connection is out of step")
        try:
            try:
                # One way there and back for all that need not be looked at before the end.
                with connection.pipeline() as pipeline:
                    connection.execute(b"BEGIN ISOLATION LEVEL SERIALIZABLE")
                    transaction = _Transaction(connection, pipeline)
                    result = work(transaction)
                    if transaction.has_written:
                        commits += 1
                        connection.execute(_COUNT, (self._instance, commits))
                        may_be_written = True
                    done = connection.execute(b"COMMIT")
                _expect_commit(done)
            except BaseException:
                self._roll_back()
                raise
        except psycopg.Error as error:
            others = (errors.SerializationFailure, errors.DeadlockDetected)
            if self._is_sound and isinstance(error, others):
                raise
            if isinstance(error, errors.NotNullViolation) and error.diag.table_name == "holder":
                raise self._taken_over() from error
            words = self._address.clean(error)
            if self._is_sound and not isinstance(error, errors.ReadOnlySqlTransaction):
                raise StoreError(f"the store failed: {words}") from error
            # A server that only reads has lost its place to another: find that one.
            if may_be_written:
                raise InDoubtError(words, commits, result) from error
            raise LostError(words) from error
        return result, commits

    def _roll_back(self) -> None:
        """End what runs, if the connection still can; without it, the server does."""
        self._is_sound = False
        connection = self._connection
        # An answer that was cut off leaves the pipeline open: nothing more can be said on it.
        if connection.closed or connection.pgconn.pipeline_status != PipelineStatus.OFF:
            return
        connection.execute(b"ROLLBACK")
        self._is_sound = connection.info.transaction_status == TransactionStatus.IDLE

    def close(self) -> None:
        """Let go of the database. Again is no error."""
        with self._lock:
            if self._socket is not None:
                self._socket.close()
                self._socket = None
        self._connection.close()

    def break_off(self) -> None:
        """Break the connection from another thread: its server does not answer."""
        # Not connected any more: what was wanted.
        with self._lock, contextlib.suppress(OSError):
            if self._socket is not None:
                self._socket.shutdown(socket.SHUT_RDWR)

    def _taken_over(self) -> TakenOverError:
        return TakenOverError(
            f"another call service has worked with {self._address.shown} since: start this one"
            " again when the other has ended"
        )

    def _hold(self) -> None:
        """Take the lock; end what the server still has of an earlier session of this service."""
        connection, until_s = self._connection, time.monotonic() + HOLD_S
        while not _one(connection, b"SELECT pg_try_advisory_lock(%s, %s)", LOCK):
            other = connection.execute(_OTHER, LOCK).fetchone()
            if other is not None and other[1] == self._name:
                connection.execute(b"SELECT pg_terminate_backend(%s)", (other[0],))
            if time.monotonic() > until_s:
                who = "another session" if other is None else f"{other[1]!r} at {other[2]}"
                since = "" if other is None else f" since {other[3]}"
                raise StoreError(
                    f"{self._address.shown} is in use by {who}{since}: a database is one call"
                    " service's"
                )
            time.sleep(ASK_AGAIN_S)

    def _migrate(self) -> None:
        connection, shown = self._connection, self._address.shown
        try:
            version = _version(connection)
            if version > len(MIGRATIONS):
                raise StoreError(
                    f"{shown} is of version {version}, this program knows up to {len(MIGRATIONS)}"
                )
            if version < len(MIGRATIONS):
                _migrate(connection)
        except errors.InsufficientPrivilege as error:
            raise StoreError(
                f"{shown}: its user may not make or use the schema {SCHEMA}"
                f" ({self._address.clean(error)}): GRANT CREATE ON DATABASE to it"
            ) from error


def _expect_commit(done: psycopg.Cursor) -> None:
    if done.statusmessage != "COMMIT":
        raise psycopg.OperationalError(f"COMMIT was answered with {done.statusmessage!r}")


def _version(connection: psycopg.Connection) -> int:
    """Return the version of the tables; 0: there are none."""
    table = f"{SCHEMA}.version"
    if _one(connection, b"SELECT to_regclass(%s)", (table,)) is None:
        return 0
    return int(_one(connection, b"SELECT version FROM version", ()))


def _migrate(connection: psycopg.Connection) -> None:
    with connection.transaction():
        connection.execute(b"SELECT pg_advisory_xact_lock(%s, %s)", MIGRATION_LOCK)
        version = _version(connection)
        if version == 0:
            # Somebody else may have made it for a user who may not.
            if _one(connection, b"SELECT to_regnamespace(%s)", (SCHEMA,)) is None:
                connection.execute(MAKE_SCHEMA)
            connection.execute(MAKE_VERSION)
        for script in MIGRATIONS[version:]:
            connection.execute(script)
        connection.execute(b"UPDATE version SET version = %s", (len(MIGRATIONS),))


def _one(connection: psycopg.Connection, sql: bytes, parameters: Sequence[object]) -> Any:
    row = connection.execute(sql, parameters).fetchone()
    return None if row is None else row[0]
