"""The store of a bot host in one SQLite file: for one host, without a server."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from .database import SqliteDatabase
from .host_tables import HostTables
from .instance_lock import InstanceLock


class SqliteHostStore(SqliteDatabase, HostTables):
    """A :class:`~.host_base.HostStore` in an SQLite file."""

    _lock: InstanceLock

    @classmethod
    async def open(cls, path: Path, instance: str | None = None) -> Self:
        """Open or make the file for the host named *instance*.

        Raises: InstanceInUseError when a living host has the name; StoreError; ValueError
            without a name.
        """
        if instance is None:
            raise ValueError("expected the name of the host whose file it is, got None")
        lock = InstanceLock(path, instance)
        try:
            store = await super().open(path, instance)
        except BaseException:
            lock.close()
            raise
        store._lock = lock
        return store

    async def close(self) -> None:
        """Finish what runs, let go of the file and the name. Again is no error."""
        await super().close()
        self._lock.close()
