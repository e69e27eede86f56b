"""What a database gives to the tables of the store: transactions, off the loop."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

from .base import StoreError
from .batches import Batches, Work
from .stats import StoreStats

T = TypeVar("T")

Parameters = Sequence[Any] | Mapping[str, Any]

log = logging.getLogger("mixminus.control.store")


class Rows(Protocol):
    """What a statement found, or how many rows it changed (``rowcount``)."""

    @property
    def rowcount(self) -> int:
        """How many rows were found or changed."""
        ...

    def fetchone(self) -> Any:
        """Return the next row, a tuple; None after the last."""
        ...

    def fetchall(self) -> list[Any]:
        """Return all rows that are left."""
        ...

    def __iter__(self) -> Iterator[Any]: ...


class Transaction(Protocol):
    """A transaction that runs. An ``sqlite3.Connection`` is one as it is.

    The SQL is what SQLite and PostgreSQL both know, with SQLite's placeholders ``?`` and
    ``:name`` and its ``json_extract`` of a member that is a text; truth is 0 or 1. A placeholder
    that is compared with NULL has its type from a CAST.
    """

    def execute(self, sql: str, parameters: Parameters = ..., /) -> Rows:
        """Run one statement."""
        ...

    def executemany(self, sql: str, parameters: Sequence[Parameters], /) -> Any:
        """Run one statement for each entry of *parameters*."""
        ...


class Database(Protocol):
    """One connection's work, in the store's thread."""

    def commit(self, works: Sequence[Work]) -> None:
        """Do *works* in one transaction, each undone alone where it fails; say how it went.

        Raises: StoreAwayError: none of them is written, unless it waits for its outcome;
            StoreError: nor will anything be, as long as this process runs.
        """
        ...

    def probe(self) -> None:
        """See whether the database can be written to again. Raises: as :meth:`commit`."""
        ...

    def close(self) -> None:
        """Let go of the database. Again is no error."""
        ...

    def break_off(self) -> None:
        """End what runs too long, if that can be done. Thread: the loop's."""
        ...


class Engine(ABC):
    """A database of the store's tables; SQLite's or PostgreSQL's. Thread: the loop's.

    One thread of its own does all the work, so the loop never waits for the disk or a server.
    Works that wait while a transaction is committed run together in the next one, in their order.
    While the database is locked, full or away everything is refused at once, and it is looked at
    again and again until it can be written to.
    """

    def __init__(self, database: Database, thread: ThreadPoolExecutor, *, stuck_s: float) -> None:
        """*stuck_s*: who says nothing for so long is away."""
        self._database, self._thread = database, thread
        self.stats = StoreStats()
        self._batches = Batches(database, thread, self.stats, stuck_s=stuck_s)
        self._closed = False
        self._listeners: list[Callable[[], None]] = []

    async def _run(self, work: Callable[[Transaction], T]) -> T:
        """Do *work* in the engine's thread, in a transaction; return once that is committed.

        *work* may run again from its beginning, when nothing of the first time is left.
        Raises: StoreError; then nothing is written. StoreAwayError: it may be tried again. What
            *work* itself raised: then nothing of this one work is written.
        """
        return await self._batches.run(work)

    @property
    def away(self) -> StoreError | None:
        """Why everything is refused now; None: nothing is. No StoreAwayError: for ever."""
        return self._batches.away

    async def until_back(self) -> None:
        """Wait until the store answers again; at once when it does. Also ends at its close."""
        await self._batches.until_back()

    def group(self, most_works: int) -> None:
        """Let no transaction have more than *most_works* from now on; 1 shows what grouping gains.

        Raises: ValueError below 1.
        """
        if most_works < 1:
            raise ValueError(f"most_works: expected 1 or more, got {most_works}")
        self._batches.most_works = most_works

    @abstractmethod
    def _tell(self, db: Transaction, instance: str | None) -> None:
        """Wake the host named *instance*, or all, once the transaction of *db* is committed."""

    def on_wake(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call *callback* in the loop when something is there for this host; return what ends it.

        It may be called for nothing, and more than once.
        """
        self._listeners.append(callback)

        def remove() -> None:
            if callback in self._listeners:
                self._listeners.remove(callback)

        return remove

    def _wake(self) -> None:
        for callback in tuple(self._listeners):
            try:
                callback()
            except Exception:  # A listener's own bug: the store and the others go on.
                log.exception("a listener of the store failed")

    async def close(self) -> None:
        """Finish what runs and let go of the database. Again is no error."""
        if self._closed:
            return
        self._closed = True
        # What waits is done first; after it what is still in doubt is told so.
        await self._batches.drain()
        await asyncio.get_running_loop().run_in_executor(self._thread, self._database.close)
        self._batches.close()
        self._thread.shutdown(wait=False)


def names(instances: Iterable[str | None], own: str | None) -> bool:
    """Say whether *own* is among *instances*, where None is everybody."""
    return own is not None and any(one is None or one == own for one in instances)
