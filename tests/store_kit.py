"""A place for a store on either engine: what it holds stays until the test ends."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Protocol

from mixminus.control.store.base import Store
from mixminus.control.store.host_base import HostStore
from mixminus.control.store.opening import open_host_store, open_store
from tests.postgres_kit import PostgresServer


class Place(Protocol):
    """Where a store can be opened, and opened again."""

    async def open(self) -> Store:
        """Open what is there."""
        ...

    async def open_host(self, instance: str) -> HostStore:
        """Open what is there for the host of that name."""
        ...

    def run(self, sql: str) -> None:
        """Run *sql* beside the store, as an administrator would."""
        ...

    def fail_outbox(self) -> None:
        """Let every notification that is written fail with "disk"."""
        ...


class SqlitePlace:
    """A file."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "test.db"

    async def open(self) -> Store:
        return await open_store(None, self.path)

    async def open_host(self, instance: str) -> HostStore:
        return await open_host_store(None, self.path, instance)

    def run(self, sql: str) -> None:
        other = sqlite3.connect(self.path)
        other.executescript(sql)
        other.close()

    def fail_outbox(self) -> None:
        self.run(
            "CREATE TRIGGER fail BEFORE INSERT ON outbox BEGIN SELECT RAISE(ABORT, 'disk'); END"
        )


class PostgresPlace:
    """A database of its own."""

    def __init__(self, server: PostgresServer) -> None:
        self.server, self.url = server, server.new_database()

    async def open(self) -> Store:
        return await open_store(self.url, Path("no file"))

    async def open_host(self, instance: str) -> HostStore:
        return await open_host_store(self.url, Path("no file"), instance)

    def run(self, sql: str) -> None:
        with self.server.connect(self.url) as connection:
            connection.execute("SET search_path = mixminus")
            connection.execute(sql.encode())

    def fail_outbox(self) -> None:
        self.run(
            "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS"
            " $$BEGIN RAISE EXCEPTION 'disk'; END$$;"
            " CREATE TRIGGER fail BEFORE INSERT ON outbox EXECUTE FUNCTION fail()"
        )
