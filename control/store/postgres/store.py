"""The store in a PostgreSQL database: goes on by itself when the server was away."""

from __future__ import annotations

import asyncio
import logging
import random
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final, Self

import psycopg

from ..base import StoreError
from ..engine import Engine, T, Transaction
from ..tables import StoreTables
from .address import Address, parse
from .session import InDoubtError, LostError, Session, TakenOverError

log = logging.getLogger("mixminus.control.store")

FIRST_WAIT_S: Final = 0.25
"""How long after a failed connection the next is tried; then twice as long each time."""
LONGEST_WAIT_S: Final = 5.0
OPERATION_S: Final = 10.0
"""After this a server that says nothing is given up: its own limits are shorter."""
TEND_S: Final = 0.25
"""How often the connection is looked after."""


class _WaitForOutcomeError(Exception):
    """Whether the transaction was written will be known once the server is back."""

    def __init__(self, outcome: Future[Any]) -> None:
        super().__init__("in doubt")
        self.outcome = outcome


class Line:
    """The connection of one service: made, and made again with growing waits after it broke.

    Thread: the store's; ``is_due``, ``busy_s`` and ``break_off`` any.
    """

    def __init__(self, address: Address) -> None:
        self._address = address
        self._instance = uuid.uuid4().hex
        self._session: Session | None = None
        self._breakable: Session | None = None
        self._has_claimed = False
        self._commits = 0
        self._away: str | None = None
        self._for_ever: str | None = None
        """Why nothing will be done any more: closed, or taken over."""
        self._wait_s, self._next_try_s = FIRST_WAIT_S, 0.0
        self._doubt: tuple[InDoubtError, Future[Any]] | None = None
        self._busy_since_s: float | None = None
        self._lock = threading.Lock()

    def open(self) -> None:
        """Connect for the first time. Raises: StoreError."""
        try:
            self._connect()
        except psycopg.Error as error:
            raise StoreError(self._cannot_open(error)) from error

    def transact(self, work: Callable[[Transaction], T]) -> T:
        """Do *work* as one transaction; on a new connection, when the old one has broken.

        Raises: StoreError; then nothing was written. _WaitForOutcomeError.
        """
        self._busy_since_s = time.monotonic()
        try:
            for _ in range(2):
                session = self._session or self._restored()
                try:
                    result, self._commits = session.transact(work, self._commits)
                except LostError as error:
                    lost = str(error)
                    self._lose(error)
                except InDoubtError as error:
                    lost = str(error)
                    if self._is_written(error):
                        settled: T = error.result
                        return settled
                else:
                    return result
            raise self._gone(lost)
        except TakenOverError as error:
            self._for_ever = str(error)
            self._drop()
            raise
        finally:
            self._busy_since_s = None

    def _is_written(self, error: InDoubtError) -> bool:
        """Say whether the transaction in doubt is in the store.

        Raises: _WaitForOutcomeError when the server is away.
        """
        self._lose(error)
        outcome: Future[bool] = Future()
        outcome.set_running_or_notify_cancel()
        self._doubt = error, outcome
        try:
            self._restored()
        except StoreError:
            if self._doubt is None:
                raise  # Taken over: known, and for ever.
            raise _WaitForOutcomeError(outcome) from error
        return self._commits >= error.commits

    def restore(self) -> None:
        """Connect again if it is time to; whether that worked shows at the next transaction."""
        if self.is_due:
            self._busy_since_s = time.monotonic()
            try:
                self._restored()
            except StoreError as error:
                log.debug("%s", error)
            finally:
                self._busy_since_s = None

    def close(self) -> None:
        """Let go of the database; what is in doubt stays so."""
        self._for_ever = "the store is closed"
        self._settle(StoreError("the store was closed before it was known what is written"))
        self._drop()

    @property
    def is_due(self) -> bool:
        """Whether there is no connection, and it is time to try again."""
        return (
            self._session is None
            and self._for_ever is None
            and time.monotonic() >= self._next_try_s
        )

    @property
    def busy_s(self) -> float:
        """How long what runs has been running; 0 when nothing does."""
        since_s = self._busy_since_s
        return 0.0 if since_s is None else time.monotonic() - since_s

    def break_off(self) -> None:
        """Break the connection: its server does not answer."""
        with self._lock:
            session = self._breakable
        if session is not None:
            session.break_off()

    def _restored(self) -> Session:
        """Return a new session. Raises: StoreError when there is none, or not yet."""
        if self._for_ever is not None:
            raise StoreError(self._for_ever)
        if self._away is not None and not self.is_due:
            raise StoreError(self._away)
        try:
            session = self._connect()
        except psycopg.Error as error:
            raise self._gone(self._address.clean(error)) from error
        except TakenOverError as error:
            self._for_ever = str(error)
            self._settle(error)
            log.exception("the store is lost")
            raise
        except StoreError as error:
            raise self._gone(str(error)) from error
        log.info("the store at %s is back", self._address.shown)
        return session

    def _connect(self) -> Session:
        session = Session(self._address, self._instance)
        with self._lock:
            self._breakable = session
        try:
            session.prepare()
            if not self._has_claimed:
                session.claim()
                self._has_claimed = True
            self._commits = session.commits()
        except BaseException:
            session.close()
            raise
        self._session = session
        self._away, self._wait_s, self._next_try_s = None, FIRST_WAIT_S, 0.0
        self._settle()
        return session

    def _settle(self, problem: StoreError | None = None) -> None:
        """Say what came of the transaction in doubt: a *problem*, or what is in the store."""
        if self._doubt is None:
            return
        error, outcome = self._doubt
        self._doubt = None
        if problem is None and self._commits < error.commits:
            problem = StoreError(f"the store failed: {error}")
        if problem is None:
            outcome.set_result(error.result)
        else:
            outcome.set_exception(problem)

    def _lose(self, error: Exception) -> None:
        log.warning("the store at %s is away: %s", self._address.shown, error)
        self._drop()

    def _drop(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None

    def _gone(self, words: str) -> StoreError:
        """Return why nothing can be done now, and let the next try wait."""
        # Half of the wait is chance: the services of a server that returns do not come at once.
        self._next_try_s = time.monotonic() + self._wait_s * random.uniform(0.5, 1.0)  # noqa: S311
        self._wait_s = min(2 * self._wait_s, LONGEST_WAIT_S)
        self._away = f"the store at {self._address.shown} is away: {words}"
        return StoreError(self._away)

    def _cannot_open(self, error: psycopg.Error) -> str:
        return f"cannot open the store {self._address.shown}: {self._address.clean(error)}"


class PostgresDatabase(Engine):
    """A PostgreSQL database, held by this service alone.

    One thread of its own does all the work, so the loop never waits for the server. While that is
    away every operation raises StoreError at once, and the connection is tried for again and
    again. A transaction that was being committed as the connection broke is answered when it is
    known what came of it.
    """

    def __init__(self, line: Line, thread: ThreadPoolExecutor) -> None:
        self._line, self._thread = line, thread
        self._closed = False
        self._tending = asyncio.create_task(self._tend(), name="store connection")

    @classmethod
    async def open(cls, url: str) -> Self:
        """Connect to the database at *url*, hold it and bring it to the present version.

        Raises: StoreError when it cannot be used; the message has no password.
        """
        line = Line(parse(url))
        thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="mixminus-store")
        try:
            await asyncio.get_running_loop().run_in_executor(thread, line.open)
        except BaseException:
            thread.submit(line.close)
            thread.shutdown(wait=False)
            raise
        return cls(line, thread)

    async def close(self) -> None:
        """Finish what runs and let go of the database. Again is no error."""
        if self._closed:
            return
        self._closed = True
        # Looked after until it is closed: what runs may hang.
        await asyncio.get_running_loop().run_in_executor(self._thread, self._line.close)
        self._tending.cancel()
        await asyncio.gather(self._tending, return_exceptions=True)
        self._thread.shutdown(wait=False)

    async def _run(self, work: Callable[[Transaction], T]) -> T:
        """Do *work* in the store's thread as one transaction."""
        if self._closed:
            raise StoreError("the store is closed")
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._thread, self._line.transact, work)
        except _WaitForOutcomeError as doubt:
            outcome: Future[T] = doubt.outcome
        return await asyncio.wrap_future(outcome)

    async def _tend(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(TEND_S)
            if self._line.busy_s > OPERATION_S:
                self._line.break_off()
            elif self._line.is_due:
                await loop.run_in_executor(self._thread, self._line.restore)


class PostgresStore(PostgresDatabase, StoreTables):
    """A :class:`~..base.Store` in a PostgreSQL database."""
