"""Brings the tables of a PostgreSQL database to the present version."""

from __future__ import annotations

import psycopg
from psycopg import errors

from ..base import StoreError
from ..migrations import TABLES, tables_gone
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
        rows = connection.execute(
            b"SELECT tablename FROM pg_tables WHERE schemaname = %s", (SCHEMA,)
        )
        if gone := TABLES.difference(row[0] for row in rows):
            raise StoreError(tables_gone(address.shown, gone))
    except errors.InsufficientPrivilege as error:
        raise StoreError(
            f"{address.shown}: its user may not make or use the schema {SCHEMA}"
            f" ({address.clean(error)}): GRANT CREATE ON DATABASE to it"
        ) from error


def version(connection: psycopg.Connection) -> int:
    """Return the version of the tables; 0: there are none.

    Raises: StoreError when another program's tables are there, or what is left of ours;
        psycopg.Error.
    """
    table = f"{SCHEMA}.version"
    if one(connection, b"SELECT to_regclass(%s)", (table,)) is None:
        return 0
    try:
        found = connection.execute(b"SELECT v.version FROM mixminus.version v").fetchall()
    except errors.UndefinedColumn as error:
        raise _no_version("no column of that name") from error
    if len(found) != 1 or not isinstance(found[0][0], int):
        raise _no_version(f"{len(found)} rows: {[row[0] for row in found[:3]]!r}")
    return found[0][0]


def _no_version(got: str) -> StoreError:
    return StoreError(
        f"the schema {SCHEMA} there is no store of ours, or damaged: expected one number in its"
        f" table version, got {got}: nothing was changed; name another database in store_url, or"
        " bring this one back from a backup"
    )


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
