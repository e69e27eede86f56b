"""The connection of one store: made, and made again after it broke."""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Sequence
from typing import Final

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.pq import PGconn, Ping

from ..base import StoreAwayError, StoreError
from ..batches import RETRY_AFTER_S, Work
from .address import Address
from .holding import Alone, Shared, TakenOverError
from .session import InDoubtError, LostError, Session

log = logging.getLogger("mixminus.control.store")

PING_S: Final = 2
"""How long a server may take to say whether it lets anybody in."""


class Line:
    """A store's connection to its PostgreSQL. Thread: the store's; ``break_off`` any.

    When the connection breaks as a transaction is committed, its works are answered once the
    server has said what came of it.
    """

    def __init__(self, address: Address, instance: str | None) -> None:
        self._address = address
        # Tells this store's sessions from those of an earlier process with the same name.
        self._token = uuid.uuid4().hex
        self._is_shared = instance is not None
        self._hold = Alone(address, self._token) if instance is None else Shared(address, instance)
        self._session: Session | None = None
        self._breakable: Session | None = None
        self._for_ever: StoreError | None = None
        """Why nothing will be done any more: closed, or taken over."""
        self._doubt: tuple[InDoubtError, Sequence[Work]] | None = None
        self._lock = threading.Lock()

    def open(self) -> None:
        """Connect for the first time.

        Raises: StoreAwayError when there is no server, or it lets nobody in yet; StoreError.
        """
        try:
            self._session = self._connect()
        except psycopg.Error as error:
            words = f"cannot open the store {self._address.shown}: {self._address.clean(error)}"
            if is_away(self._address):
                remedy = "start the server, or mend host and port in store_url"
                raise StoreAwayError(f"{words}: {remedy}", RETRY_AFTER_S) from error
            raise StoreError(
                f"{words}: the server is there: mend user, password or database in store_url"
            ) from error

    def commit(self, works: Sequence[Work]) -> None:
        """Do *works* as one transaction; on a new connection, when the old one has broken.

        Raises: StoreAwayError; works that it does not concern are in doubt. TakenOverError.
        """
        try:
            for _ in range(2):
                session = self._session or self._restored()
                try:
                    session.transact(works)
                except LostError as error:
                    lost = str(error)
                    self._lose(error)
                except InDoubtError as error:
                    lost = str(error)
                    self._lose(error)
                    if self._is_written(error, works):
                        return
                else:
                    return
        except TakenOverError as error:
            self._give_up(error)
            raise
        raise self._gone(lost)

    def _is_written(self, error: InDoubtError, works: Sequence[Work]) -> bool:
        """Say whether a transaction in doubt is in the store.

        Raises: StoreAwayError when the server is away: *works* will be told later.
        """
        try:
            return self._restored().is_committed(error.xid)
        except psycopg.Error as problem:
            self._drop()
            self._leave_in_doubt(error, works)
            raise self._gone(self._address.clean(problem)) from problem
        except StoreAwayError:
            self._leave_in_doubt(error, works)
            raise

    def _leave_in_doubt(self, error: InDoubtError, works: Sequence[Work]) -> None:
        self._doubt = error, works
        for work in works:
            work.doubt()

    def probe(self) -> None:
        """Connect again. Raises: StoreAwayError when that fails; TakenOverError."""
        try:
            if self._session is not None:
                try:
                    self._session.probe()
                except LostError as error:
                    self._lose(error)
                else:
                    return
            self._settle(self._restored())
        except TakenOverError as error:
            self._give_up(error)
            raise

    def _settle(self, session: Session) -> None:
        """Say what came of the transaction in doubt, and tell who waits for that."""
        if self._doubt is None:
            return
        error, works = self._doubt
        try:
            is_written = session.is_committed(error.xid)
        except psycopg.Error as problem:
            self._lose(problem)
            raise self._gone(self._address.clean(problem)) from problem
        self._doubt = None
        for work in works:
            work.settle(None if is_written else StoreAwayError(f"the store failed: {error}"))

    def _give_up(self, error: StoreError) -> None:
        """Do nothing any more, and say so to those who wait."""
        self._for_ever = error
        self._drop()
        if self._doubt is not None:
            works, self._doubt = self._doubt[1], None
            for work in works:
                work.settle(type(error)(str(error)))

    def close(self) -> None:
        """Let go of the database; what is in doubt stays so."""
        if self._for_ever is None:
            self._give_up(StoreError("the store was closed before it was known what is written"))
        self._drop()

    def break_off(self) -> None:
        """Break the connection: its server does not answer."""
        with self._lock:
            session = self._breakable
        if session is not None:
            session.break_off()

    def _restored(self) -> Session:
        """Return a new session. Raises: StoreAwayError when there is none; TakenOverError."""
        if self._for_ever is not None:
            raise type(self._for_ever)(str(self._for_ever))
        try:
            self._session = self._connect()
        except psycopg.Error as error:
            raise self._gone(self._address.clean(error)) from error
        except TakenOverError:
            raise
        except StoreError as error:  # Held by another, say, who may let go of it.
            raise self._gone(str(error)) from error
        return self._session

    def _connect(self) -> Session:
        session = Session(self._address, self._token)
        with self._lock:
            self._breakable = session
        try:
            session.prepare(self._hold, is_shared=self._is_shared)
        except BaseException:
            session.close()
            raise
        return session

    def _lose(self, error: Exception) -> None:
        log.info("the store at %s broke off: %s", self._address.shown, self._address.clean(error))
        self._drop()

    def _drop(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None

    def _gone(self, words: str) -> StoreAwayError:
        return StoreAwayError(f"the store at {self._address.shown} is away: {words}", RETRY_AFTER_S)


def is_away(address: Address) -> bool:
    """Whether the server is not there, or lets nobody in yet; whatever its language is."""
    parameters = {**address.parameters, "connect_timeout": PING_S}
    found = PGconn.ping(make_conninfo(**parameters).encode())
    return found in (Ping.REJECT, Ping.NO_RESPONSE)
