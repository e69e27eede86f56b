"""One connection to PostgreSQL, and the transactions on it."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, LiteralString, Protocol

import psycopg
from psycopg import errors
from psycopg.adapt import Dumper
from psycopg.pq import PipelineStatus, TransactionStatus

from ..base import StoreAwayError, StoreError
from ..batches import RETRY_AFTER_S, Work
from ..engine import Parameters, Rows
from .address import Address
from .holding import one
from .migrating import migrate
from .migrations import SCHEMA
from .sql import translate

STATEMENT_MS: Final = 5_000
"""How long a statement may take."""
LOCK_MS: Final = 1_000
"""How long it may wait for who writes the same rows: as SQLite waits for its one file."""
NEXT_LOCK_MS: Final = 50
"""The same, once a lock was waited for in vain: those behind it have waited long enough."""
IDLE_MS: Final = 30_000
"""After this the server gives up a transaction whose client says nothing."""
TRIES: Final = 10
"""How often a transaction is tried that others got in the way of."""
SETTLE_S: Final = 3.0
"""How long to wait for the server to end the session whose transaction is in doubt."""

# The server notices within half a minute that a client's machine is gone, and frees its locks.
_SETTINGS: Final[LiteralString] = (
    f"SET search_path = {SCHEMA}; SET statement_timeout = {STATEMENT_MS};"
    f" SET lock_timeout = {LOCK_MS}; SET idle_in_transaction_session_timeout = {IDLE_MS};"
    " SET client_encoding = 'UTF8'; SET synchronous_commit = 'on';"
    " SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3"
)
# Reading a whole small table would be in the way of everybody who writes a row of it.
SHARING: Final = b"SET enable_seqscan = off"
_HURRY: Final[LiteralString] = f"SET LOCAL lock_timeout = {NEXT_LOCK_MS}"
_BEGIN: Final = b"BEGIN ISOLATION LEVEL SERIALIZABLE"
_WRITTEN: Final = b"SELECT pg_current_xact_id_if_assigned()::text"
_LATE: Final = (errors.LockNotAvailable, errors.QueryCanceled)
_OTHERS: Final = (errors.SerializationFailure, errors.DeadlockDetected)


class LostError(Exception):
    """The connection broke and what ran on it is undone. The message says why, cleaned."""


class InDoubtError(Exception):
    """The connection broke as the transaction ``xid`` was committed: it may be written."""

    def __init__(self, message: str, xid: str) -> None:
        super().__init__(message)
        self.xid = xid


class _WorkFailedError(Exception):
    """One of several works failed: they are all undone, to be done one by one."""


class Hold(Protocol):
    """What a session holds of the database for as long as it lives."""

    def take(self, connection: psycopg.Connection, name: str) -> None:
        """Take it. Raises: StoreError when another has it."""
        ...

    def expect_own(self, connection: psycopg.Connection) -> None:
        """See that it was nobody else's meanwhile. Raises: StoreError."""
        ...


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
    """A :class:`~..engine.Transaction`; in a *pipeline*, answers come when they are looked at."""

    def __init__(
        self, connection: psycopg.Connection, pipeline: psycopg.Pipeline | None = None
    ) -> None:
        self._connection, self._pipeline = connection, pipeline

    def execute(self, sql: str, parameters: Parameters = (), /) -> Rows:
        cursor = self._connection.execute(translate(sql), parameters)
        return cursor if self._pipeline is None else _Found(cursor, self._pipeline)

    def executemany(self, sql: str, parameters: Sequence[Parameters], /) -> None:
        statement = translate(sql)
        for row in parameters:
            self._connection.execute(statement, row)


class Session:
    """A connection with its *hold* on the database. Thread: the store's, but for ``break_off``."""

    def __init__(self, address: Address, token: str) -> None:
        """Connect; *token* tells this store's sessions from others'. Raises: psycopg.Error."""
        self._address = address
        parameters = address.with_name(token)
        self._name: str = parameters["application_name"]
        self._lock = threading.Lock()
        self._is_sound = True
        self._connection = psycopg.connect(**parameters, autocommit=True)
        self._socket: socket.socket | None = socket.socket(
            fileno=os.dup(self._connection.pgconn.socket)
        )

    def prepare(self, hold: Hold, *, is_shared: bool) -> None:
        """Take the hold and migrate the database.

        Raises: StoreError when it is another's, of a later version, or nothing may be made in it;
            psycopg.Error when the connection breaks.
        """
        connection = self._connection
        connection.adapters.register_dumper(bool, _TruthDumper)
        connection.execute(_SETTINGS)
        hold.take(connection, self._name)
        migrate(connection, self._address)
        if is_shared:
            connection.execute(SHARING)
        hold.expect_own(connection)

    def is_committed(self, xid: str) -> bool:
        """Say what came of the transaction *xid* of an earlier session of this store.

        Raises: psycopg.Error when the server cannot say, or not yet.
        """
        until_s = time.monotonic() + SETTLE_S
        while True:
            try:
                status = one(self._connection, b"SELECT pg_xact_status(%s::xid8)", (xid,))
            except errors.InvalidParameterValue:
                return False  # Of the future: this server, a former replica, never had it.
            if status != "in progress":
                return bool(status == "committed")
            # The server has not noticed yet that we are gone.
            self._connection.execute(
                b"SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                b" WHERE application_name = %s AND pid <> pg_backend_pid()",
                (self._name,),
            )
            if time.monotonic() > until_s:
                raise psycopg.OperationalError(f"transaction {xid} is still in progress")
            time.sleep(0.05)

    def probe(self) -> None:
        """See whether the server answers. Raises: LostError."""
        try:
            self._connection.execute(b"SELECT 1")
        except psycopg.Error as error:
            raise LostError(self._address.clean(error)) from error

    def transact(self, works: Sequence[Work]) -> None:
        """Do *works* as one transaction, each undone alone where it fails.

        Raises: LostError, InDoubtError; StoreAwayError: nothing was written.
        """
        do = self._at_once if len(works) > 1 else self._alone
        for number in range(TRIES):
            try:
                self._try(works, do)
            except _WorkFailedError:
                do = self._one_by_one
            except _OTHERS as error:
                words = self._address.clean(error)
                # The more often, the longer: the others want to be done too.
                time.sleep(random.uniform(0.0, 0.005 * 2 ** min(number, 5)))  # noqa: S311
            else:
                return
        for work in works:
            work.fail(StoreAwayError(f"others were in the way {TRIES} times: {words}"))

    def _try(self, works: Sequence[Work], do: Callable[[Sequence[Work]], None]) -> None:
        connection, xid = self._connection, None
        if not self._is_sound:
            raise LostError("the connection is out of step")
        try:
            try:
                do(works)
                # Known before it is committed, so that its outcome can be asked for.
                xid = one(connection, _WRITTEN)
                _expect_commit(connection.execute(b"COMMIT"))
            except BaseException:
                self._roll_back()
                raise
        except _OTHERS as error:
            if self._is_sound:
                raise
            raise self._broken(error, xid) from error
        except _AloneFailedError as failed:
            if not self._is_sound:
                raise LostError("the connection is out of step") from failed
            works[0].fail(failed.error)
        except psycopg.Error as error:
            if self._is_sound and _is_short(error):
                words = f"the store at {self._address.shown} is away: {self._address.clean(error)}"
                raise StoreAwayError(words, RETRY_AFTER_S) from error
            if self._is_sound and not isinstance(error, errors.ReadOnlySqlTransaction):
                raise StoreAwayError(str(self._problem(error)), RETRY_AFTER_S) from error
            # A server that only reads has lost its place to another: find that one.
            raise self._broken(error, xid) from error

    def _broken(self, error: Exception, xid: str | None) -> Exception:
        words = self._address.clean(error)
        return LostError(words) if xid is None else InDoubtError(words, xid)

    def _at_once(self, works: Sequence[Work]) -> None:
        """Do all, one way there and back for what need not be looked at before the end."""
        connection = self._connection
        try:
            with connection.pipeline() as pipeline:
                connection.execute(_BEGIN)
                for work in works:
                    work.run(_Transaction(connection, pipeline))
        except Exception as error:
            if self._concerns_all(error):
                raise
            raise _WorkFailedError from error

    def _alone(self, works: Sequence[Work]) -> None:
        """Do the only one: what fails in it is known to be its own."""
        connection = self._connection
        try:
            with connection.pipeline() as pipeline:
                connection.execute(_BEGIN)
                works[0].run(_Transaction(connection, pipeline))
        except Exception as error:
            if self._concerns_all(error):
                raise
            raise _AloneFailedError(self._problem(error)) from error

    def _one_by_one(self, works: Sequence[Work]) -> None:
        """Do each in a savepoint, so that one which fails is undone alone."""
        connection = self._connection
        connection.execute(_BEGIN)
        for work in works:
            connection.execute(b"SAVEPOINT work")
            try:
                work.run(_Transaction(connection))
            except Exception as error:
                if self._concerns_all(error):
                    raise
                connection.execute(b"ROLLBACK TO SAVEPOINT work")
                work.fail(self._problem(error))
                if isinstance(error, _LATE):
                    connection.execute(_HURRY)
            connection.execute(b"RELEASE SAVEPOINT work")

    def _concerns_all(self, error: Exception) -> bool:
        """Whether *error* is of the transaction or the connection, and not of one work."""
        if self._connection.closed:
            return True
        if not isinstance(error, psycopg.Error):
            return False
        return _is_short(error) or isinstance(error, (*_OTHERS, errors.ReadOnlySqlTransaction))

    def _problem(self, error: Exception) -> Exception:
        """Return what who asked for a work that failed with *error* is told."""
        if not isinstance(error, psycopg.Error):
            return error
        words = f"the store failed: {self._address.clean(error)}"
        late = isinstance(error, _LATE)
        problem = StoreAwayError(words, RETRY_AFTER_S) if late else StoreError(words)
        problem.__cause__ = error
        return problem

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


def _expect_commit(done: psycopg.Cursor) -> None:
    if done.statusmessage != "COMMIT":
        raise psycopg.OperationalError(f"COMMIT was answered with {done.statusmessage!r}")


def _is_short(error: psycopg.Error) -> bool:
    """Whether the server has no room: on its disk, in its memory."""
    return error.sqlstate is not None and error.sqlstate.startswith("53")


class _AloneFailedError(Exception):
    """The only work of a transaction failed with ``error``."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error
