"""Looks at a PostgreSQL database, changing nothing: whether a store can be there."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import psycopg

from ..base import StoreError
from .address import Address, parse
from .holding import LOCK, holder, one
from .line import is_away
from .migrating import version
from .migrations import MIGRATIONS, SCHEMA

CONNECT_S: Final = 3
OLDEST_SERVER: Final = 140_000
"""PostgreSQL 14."""
STATEMENT_MS: Final = 3_000
# As text, and in English whatever the server speaks.
_SERVER: Final = b"SELECT current_setting('server_version')"
_MAY_MAKE: Final = b"SELECT has_database_privilege(current_database(), 'CREATE')"
_MAY_USE: Final = b"SELECT has_schema_privilege(%s, 'CREATE')"


@dataclass(slots=True)
class Seen:
    """What a look found. A ``problem`` has a ``remedy``; ``is_minor``: it works with it."""

    shown: str
    server: str = ""
    version: int = 0
    problem: str | None = None
    remedy: str = ""
    is_minor: bool = False
    details: dict[str, Any] = field(default_factory=dict)

    def say(self, problem: str, remedy: str, *, is_minor: bool = False) -> None:
        """Note the first problem."""
        if self.problem is None:
            self.problem, self.remedy, self.is_minor = problem, remedy, is_minor


def look(url: str) -> Seen:
    """Look at the database at *url*. Thread: any; waits up to 3 s for each of its hosts.

    Raises: StoreError when that is no URL.
    """
    address = parse(url)
    seen = Seen(address.shown)
    parameters = address.with_name("doctor")
    parameters["connect_timeout"] = CONNECT_S
    # One that only reads is told, not passed by.
    parameters["target_session_attrs"] = "any"
    try:
        with psycopg.connect(**parameters, autocommit=True) as connection:
            connection.execute(f"SET statement_timeout = {STATEMENT_MS}".encode())
            _examine(connection, seen)
    except psycopg.Error as error:
        _unreachable(address, error, seen)
    except StoreError as error:
        seen.say(str(error), "Name another database in store_url, or bring this one back.")
    return seen


def _unreachable(address: Address, error: psycopg.Error, seen: Seen) -> None:
    if is_away(address):
        remedy = "Start the server, or mend host and port in store_url."
    else:
        remedy = "The server is there: mend user, password or database in store_url."
    seen.say(address.clean(error), remedy)


def _examine(connection: psycopg.Connection, seen: Seen) -> None:
    seen.server = str(one(connection, _SERVER))
    seen.version = version(connection)
    held_by = holder(connection, LOCK)
    seen.details = {
        "server": seen.server,
        "version": seen.version,
        "knownVersion": len(MIGRATIONS),
        "heldBy": None if held_by is None else held_by.said,
    }
    if connection.info.server_version < OLDEST_SERVER:
        seen.say(f"it is PostgreSQL {seen.server}", "Use PostgreSQL 14 or newer.")
    if one(connection, b"SELECT pg_is_in_recovery()"):
        seen.say("it only reads: it is a replica", "Name the server that writes in store_url.")
    if seen.version > len(MIGRATIONS):
        seen.say(
            f"it is of version {seen.version}, this program knows up to {len(MIGRATIONS)}",
            "Use the program that wrote it, or a newer one: nothing is changed meanwhile.",
        )
    has_schema = one(connection, b"SELECT to_regnamespace(%s)", (SCHEMA,)) is not None
    if seen.version < len(MIGRATIONS) and not (
        one(connection, _MAY_USE, (SCHEMA,)) if has_schema else one(connection, _MAY_MAKE)
    ):
        seen.say(
            f"its user may not make the tables of schema {SCHEMA}",
            "`GRANT CREATE ON DATABASE` to the user, or make the schema with it as owner.",
        )
    for name in ("fsync", "full_page_writes"):
        if one(connection, b"SELECT current_setting(%s)", (name,)) != "on":
            seen.say(
                f"its {name} is off: a power cut may destroy it",
                f"`ALTER SYSTEM SET {name} = on`, and restart the server.",
                is_minor=True,
            )
