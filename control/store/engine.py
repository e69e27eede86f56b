"""What a database gives to the tables of the store: transactions, off the loop."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeVar

T = TypeVar("T")

Parameters = Sequence[Any] | Mapping[str, Any]


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


class Engine(ABC):
    """A database of the store's tables; SQLite's or PostgreSQL's. Thread: the loop's."""

    @abstractmethod
    async def _run(self, work: Callable[[Transaction], T]) -> T:
        """Do *work* in the engine's thread, as one transaction.

        *work* may run again from its beginning, when nothing of the first time is left.
        Raises: StoreError; then nothing is written.
        """

    @abstractmethod
    async def close(self) -> None:
        """Finish what runs and let go of the database. Again is no error."""
