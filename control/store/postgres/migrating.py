"""Brings the tables of a PostgreSQL database to the present version."""

from __future__ import annotations

import psycopg
from psycopg import errors

from ..base import StoreError
from .address import Address
from .holding import MIGRATION_LOCK, one
from .migrations import MAKE_SCHEMA, MAKE_VERSION, MIGRATIONS, SCHEMA


def migrate(connection: psycopg.Connection, address: Address) -> None:
    """Make what is missing. One at a time does it, whoever comes.

    Raises: StoreError when the tables are of a later version or may not be made; psycopg.Error.
    """
    try:
        found = version(connection)
        if found > len(MIGRATIONS):
            raise StoreError(
                f"{address.shown} is of version {found}, this program knows up to"
                f" {len(MIGRATIONS)}: nothing was changed; use the program that wrote it, or a"
                " newer one"
            )
        if found < len(MIGRATIONS):
            _migrate(connection)
    except errors.InsufficientPrivilege as error:
        raise StoreError(
            f"{address.shown}: its user may not make or use the schema {SCHEMA}"
            f" ({address.clean(error)}): GRANT CREATE ON DATABASE to it"
        ) from error


def version(connection: psycopg.Connection) -> int:
    """Return the version of the tables; 0: there are none."""
    table = f"{SCHEMA}.version"
    if one(connection, b"SELECT to_regclass(%s)", (table,)) is None:
        return 0
    return int(one(connection, b"SELECT version FROM mixminus.version"))


def _migrate(connection: psycopg.Connection) -> None:
    with connection.transaction():
        connection.execute(b"SELECT pg_advisory_xact_lock(%s, %s)", MIGRATION_LOCK)
        found = version(connection)
        if found == 0:
            # Somebody else may have made it for a user who may not.
            if one(connection, b"SELECT to_regnamespace(%s)", (SCHEMA,)) is None:
                connection.execute(MAKE_SCHEMA)
            connection.execute(MAKE_VERSION)
        for script in MIGRATIONS[found:]:
            connection.execute(script)
        connection.execute(b"UPDATE version SET version = %s", (len(MIGRATIONS),))
