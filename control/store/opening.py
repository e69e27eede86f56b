"""Opens the store that settings name: a file of SQLite's, or a PostgreSQL database."""

from __future__ import annotations

from pathlib import Path

from .base import Store, StoreError
from .sqlite import SqliteStore


async def open_store(url: str | None, path: Path) -> Store:
    """Open the PostgreSQL database at *url*, or without one the SQLite file *path*.

    Raises: StoreError when it cannot be used: the message says why, without a password.
    """
    if url is None:
        return await SqliteStore.open(path)
    try:
        from .postgres.store import PostgresStore
    except ImportError as error:
        # Without a name: psycopg is there, but not the libpq that its binary wheel has.
        if (error.name or "psycopg").partition(".")[0] != "psycopg":
            raise
        raise StoreError(
            'the store in PostgreSQL wants psycopg: pip install "mixminus[postgres]"'
        ) from None
    return await PostgresStore.open(url)
