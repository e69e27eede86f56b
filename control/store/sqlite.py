"""The store in one SQLite file: for one host."""

from __future__ import annotations

from .database import SqliteDatabase
from .tables import StoreTables


class SqliteStore(SqliteDatabase, StoreTables):
    """A :class:`~.base.Store` in an SQLite file."""
