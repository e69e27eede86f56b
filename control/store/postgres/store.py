"""The store in a PostgreSQL database: goes on by itself when the server was away."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Self

from ..engine import Engine, Transaction
from ..host_tables import HostTables
from ..tables import StoreTables
from .address import parse
from .line import Line
from .listening import EVERYBODY, Listener

STUCK_S: Final = 10.0
"""After this a server that says nothing is given up: its own limits are shorter."""


class PostgresDatabase(Engine):
    """A PostgreSQL database: a call service's alone, or one that hosts share.

    While the server is away every operation raises StoreAwayError at once, and the connection is
    tried for again and again. A transaction that was being committed as the connection broke is
    answered when it is known what came of it.
    """

    def __init__(self, line: Line, thread: ThreadPoolExecutor) -> None:
        super().__init__(line, thread, stuck_s=STUCK_S)
        self._listener: Listener | None = None

    @classmethod
    async def open(cls, url: str, instance: str | None = None) -> Self:
        """Connect to the database at *url* and bring it to the present version.

        Without *instance* it is held alone, by a call service. With one it is shared with that
        service and with hosts of other names.
        Raises: StoreAwayError when there is no server yet; StoreError when it cannot be used,
            InstanceInUseError when another host has the name. No message has the password.
        """
        address = parse(url)
        line = Line(address, instance)
        thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="mixminus-store")
        try:
            await asyncio.get_running_loop().run_in_executor(thread, line.open)
        except BaseException:
            thread.submit(line.close)
            thread.shutdown(wait=False)
            raise
        store = cls(line, thread)
        if instance is not None:
            store._listener = Listener(address, instance, store._wake)
        return store

    def _tell(self, db: Transaction, instance: str | None) -> None:
        """Wake the host named *instance*, or all, once the transaction of *db* is committed."""
        told = EVERYBODY if instance is None else instance
        db.execute("SELECT pg_notify('mixminus_hosts', ?)", (told,))

    async def close(self) -> None:
        """Finish what runs and let go of the database. Again is no error."""
        if self._listener is not None:
            await self._listener.close()
        await super().close()


class PostgresStore(PostgresDatabase, StoreTables):
    """A :class:`~..base.Store` in a PostgreSQL database."""


class PostgresHostStore(PostgresDatabase, HostTables):
    """A :class:`~..host_base.HostStore` in a PostgreSQL database, shared with other hosts."""
