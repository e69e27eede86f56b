"""Copies the store of an SQLite file into a PostgreSQL database, and looks through one."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg import sql

from ..base import StoreError
from ..checking import Checked, documents_of, expect_known, tables, unreadable
from ..copying import snapshot
from ..migrations import TABLES, tables_gone
from .address import Address, parse
from .holding import one
from .migrating import version
from .migrations import MIGRATIONS, SCHEMA
from .store import PostgresDatabase

_OWN: Final = frozenset(("version", "holder"))
"""Tables that SQLite has not: they are about the database itself."""
_COUNT: Final = "SELECT count(*) FROM {}"


async def copy_store(path: Path, url: str) -> dict[str, int]:
    """Copy the store at *path* to the database at *url*; return the rows of each table.

    All of it is there afterwards, or nothing. Tables of which *path* has rows have to be empty
    there. Neither may be in use.
    Raises: StoreError; then nothing has changed but that the tables may have been made.
    """
    with snapshot(path) as source:
        address = parse(url)
        # It holds the database for as long as rows are written, and has made the tables.
        holder = await PostgresDatabase.open(url)
        try:
            with psycopg.connect(**address.with_name("copies")) as target:
                target.execute(b"SET search_path = mixminus; SET client_encoding = 'UTF8'")
                names = tables(source)
                for table in names:
                    _copy(source, target, table)
                counts = _expect_same(source, target, names)
        except psycopg.Error as error:
            raise StoreError(
                f"{address.shown}: nothing was copied: {address.clean(error)}"
            ) from error
        finally:
            await holder.close()
    return counts


def check_database(url: str) -> Checked:
    """Look through the database at *url*, also while programs use it. Raises: StoreError."""
    address = parse(url)
    try:
        with psycopg.connect(**address.with_name("checks")) as connection:
            connection.execute(b"SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            return _check(connection, address)
    except psycopg.Error as error:
        raise StoreError(f"cannot read {address.shown}: {address.clean(error)}") from error


def _check(connection: psycopg.Connection, address: Address) -> Checked:
    checked = Checked(address.shown, version(connection), len(MIGRATIONS))
    expect_known(checked)
    connection.execute(b"SET search_path = mixminus")
    columns: dict[str, list[str]] = {}
    for table, column in connection.execute(
        b"SELECT table_name, column_name FROM information_schema.columns"
        b" WHERE table_schema = %s ORDER BY table_name, ordinal_position",
        (SCHEMA,),
    ):
        columns.setdefault(table, []).append(column)
    if gone := TABLES.difference(columns) if checked.version == len(MIGRATIONS) else ():
        checked.problems.append(tables_gone(address.shown, gone))
    for table, names in columns.items():
        if table in _OWN:
            continue
        checked.rows[table] = _count(connection, table)
        if (statement := documents_of(table, names)) is not None:
            rows = connection.execute(statement.encode())
            checked.problems += unreadable(table, rows)
    return checked


def _copy(source: sqlite3.Connection, target: psycopg.Connection, table: str) -> None:
    """Copy one table. Raises: StoreError; psycopg.Error."""
    columns = [row[1] for row in source.execute(f"PRAGMA table_info({table})")]
    statement = sql.SQL("SELECT {} FROM {}").format(
        sql.SQL(", ").join(map(sql.Identifier, columns)), sql.Identifier(table)
    )
    rows = source.execute(statement.as_string(None))
    first = rows.fetchone()
    if first is None:
        return
    there = _count(target, table)
    if there:
        raise StoreError(
            f"the table {table} there has {there} rows already: nothing was copied; a store is"
            " copied into an empty one"
        )
    into = sql.SQL("COPY {} ({}) FROM STDIN").format(
        sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, columns))
    )
    with target.cursor() as cursor, cursor.copy(into) as copy:
        for row in _readable(table, columns, first, rows):
            copy.write_row(row)
    _go_on_counting(source, target, table, columns[0])


def _readable(
    table: str, columns: Sequence[str], first: tuple[Any, ...], rest: sqlite3.Cursor
) -> Iterator[tuple[Any, ...]]:
    """Yield rows whose texts PostgreSQL can keep. Raises: StoreError."""
    row = first
    while row is not None:
        for name, value in zip(columns, row, strict=True):
            if isinstance(value, str) and ("\0" in value or not _is_utf8(value)):
                raise StoreError(
                    f"the table {table} has a row, {columns[0]} {row[0]!r}, whose {name} is no"
                    " text that PostgreSQL keeps (U+0000, or no UTF-8): nothing was copied"
                )
        yield row
        row = rest.fetchone()


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _go_on_counting(
    source: sqlite3.Connection, target: psycopg.Connection, table: str, key: str
) -> None:
    """Let numbers go on where the source was: those of rows that are gone do not come again."""
    counted = source.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)).fetchone()
    if counted is not None:
        target.execute(
            b"SELECT setval(pg_get_serial_sequence(%s, %s), %s)",
            (f"{SCHEMA}.{table}", key, counted[0]),
        )


def _expect_same(
    source: sqlite3.Connection, target: psycopg.Connection, names: Sequence[str]
) -> dict[str, int]:
    """Return the rows of each table. Raises: StoreError where there are others; psycopg.Error."""
    counts = {}
    for table in names:
        here = source.execute(_COUNT.format(table)).fetchone()[0]
        # Of a table that was not copied: the service's and a host's may go into one database.
        there = _count(target, table) if here else 0
        if here != there:
            raise StoreError(
                f"the table {table}: expected {here} rows there, got {there}: nothing was copied"
            )
        counts[table] = there
    return counts


def _count(connection: psycopg.Connection, table: str) -> int:
    return int(one(connection, _COUNT.format(table).encode()))
