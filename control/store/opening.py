"""Opens the store that settings name: a file of SQLite's, or a PostgreSQL database."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from .base import Store, StoreAwayError, StoreError
from .host_base import HostStore
from .sqlite import SqliteStore
from .sqlite_host import SqliteHostStore

if TYPE_CHECKING:
    from types import ModuleType

log = logging.getLogger("mixminus.control.store")

T = TypeVar("T")

SERVICE_FILE: Final = "service.db"
HOST_FILE: Final = "host.db"
"""The stores of both roles in their state directories, without a URL."""
START_WAIT_S: Final = 30.0
"""How long a start waits for a database that is not there yet: what is started together comes up
in any order."""
ASK_AGAIN_S: Final = 0.5


async def open_store(url: str | None, path: Path, *, wait_s: float = START_WAIT_S) -> Store:
    """Open the call service's PostgreSQL database at *url*, or without one the file *path*.

    Waits up to *wait_s* for a server that is not there yet, or a file that another program holds.
    Raises: StoreError when it cannot be used: the message says why, without a password.
    """
    if url is None:
        return await _when_there(lambda: SqliteStore.open(path), wait_s)
    return await _when_there(lambda: postgres_module("store").PostgresStore.open(url), wait_s)


async def open_host_store(
    url: str | None, path: Path, instance: str, *, wait_s: float = START_WAIT_S
) -> HostStore:
    """Open the store of the bot host named *instance*: PostgreSQL at *url*, or the file *path*.

    Waits up to *wait_s* for a server that is not there yet, or a file that another program holds.
    Raises: InstanceInUseError when a living host has the name; StoreError when it cannot be used:
        the message says why, without a password.
    """
    if url is None:
        return await _when_there(lambda: SqliteHostStore.open(path, instance), wait_s)
    return await _when_there(
        lambda: postgres_module("store").PostgresHostStore.open(url, instance), wait_s
    )


def postgres_module(name: str) -> ModuleType:
    """Return a module of ``store.postgres``. Raises: StoreError without psycopg."""
    try:
        return import_module(f".postgres.{name}", __package__)
    except ImportError as error:
        # Without a name: psycopg is there, but not the libpq that its binary wheel has.
        if (error.name or "psycopg").partition(".")[0] != "psycopg":
            raise
        raise StoreError(
            'the store in PostgreSQL wants psycopg: pip install "mixminus[postgres]"'
        ) from None


async def _when_there(open_it: Callable[[], Awaitable[T]], wait_s: float) -> T:
    until_s = time.monotonic() + wait_s
    has_told = False
    while True:
        try:
            return await open_it()
        except StoreAwayError as error:
            if time.monotonic() >= until_s:
                raise StoreError(str(error)) from error
            if not has_told:
                log.warning("%s; waiting up to %.0f s for it", error, wait_s)
                has_told = True
        await asyncio.sleep(ASK_AGAIN_S)
