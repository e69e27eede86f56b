"""Who may work with a database: one call service, and beside it hosts with names of their own."""

from __future__ import annotations

import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import psycopg

from ..base import StoreError
from ..host_base import InstanceInUseError
from .address import Address

HOLD_S: Final = 3.0
"""How long to wait for another session to let go of a lock: one that has just ended."""
ASK_AGAIN_S: Final = 0.1

LOCK: Final = (0x6D69786D, 1)
"""The session lock of the call service: "mixm"."""
MIGRATION_LOCK: Final = (0x6D69786D, 2)
INSTANCE_LOCKS: Final = 0x6D697868
"""The session locks of hosts, each by its name: "mixh"."""

_OTHER: Final = b"""
    SELECT a.pid, a.application_name, coalesce(host(a.client_addr), 'this machine'),
        to_char(a.backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
    FROM pg_locks l JOIN pg_stat_activity a USING (pid)
    WHERE l.locktype = 'advisory' AND l.granted AND l.classid = %s AND l.objid = %s
        AND l.objsubid = 2
        AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


class TakenOverError(StoreError):
    """Another service worked with the database meanwhile: this one's calls are not in it now."""


class Alone:
    """A call service's hold: no other one works with the database. Thread: the store's.

    *token* names the service for as long as it runs. Where another one has claimed the database
    while this one was cut off, it is found out before anything more is written.
    """

    def __init__(self, address: Address, token: str) -> None:
        self._address, self._token = address, token
        self._has_claimed = False

    def take(self, connection: psycopg.Connection, name: str) -> None:
        """Hold the database. Raises: StoreError when another does; psycopg.Error."""
        other = _take(connection, LOCK, name)
        if other is not None:
            raise StoreError(
                f"{self._address.shown} is in use by {other}: a database is one call service's"
            )

    def expect_own(self, connection: psycopg.Connection) -> None:
        """See that nobody else had the tables since. The first time: say whose they are.

        Raises: TakenOverError; psycopg.Error.
        """
        if not self._has_claimed:
            connection.execute(
                b"INSERT INTO holder (instance) VALUES (%s) ON CONFLICT (is_only)"
                b" DO UPDATE SET instance = excluded.instance",
                (self._token,),
            )
            self._has_claimed = True
            return
        row = connection.execute(b"SELECT instance FROM holder").fetchone()
        if row is None or row[0] != self._token:
            raise TakenOverError(
                f"another call service has worked with {self._address.shown} since: start this"
                " one again when the other has ended"
            )


class Shared:
    """A host's hold: others work with the database too, but under names of their own."""

    def __init__(self, address: Address, instance: str) -> None:
        self._address, self._instance = address, instance

    def take(self, connection: psycopg.Connection, name: str) -> None:
        """Hold the instance's name. Raises: InstanceInUseError; psycopg.Error."""
        # A number that is no secret and the same everywhere; positive, as pg_locks shows it.
        key = (INSTANCE_LOCKS, zlib.crc32(self._instance.encode()) & 0x7FFF_FFFF)
        other = _take(connection, key, name)
        if other is not None:
            raise InstanceInUseError(
                f"the instance {self._instance!r} of {self._address.shown} is in use by {other}:"
                " give each host a name of its own (host.instance)"
            )

    def expect_own(self, connection: psycopg.Connection) -> None:
        """Nothing to see: each row says whose it is, and every write looks there."""


def _take(connection: psycopg.Connection, key: Sequence[int], name: str) -> str | None:
    """Take a lock; end what the server still has of an earlier session with this *name*.

    Returns who has it; None: it is taken.
    """
    until_s = time.monotonic() + HOLD_S
    while not one(connection, b"SELECT pg_try_advisory_lock(%s, %s)", key):
        other = holder(connection, key)
        if other is not None and other.name == name:
            connection.execute(b"SELECT pg_terminate_backend(%s)", (other.pid,))
        if time.monotonic() > until_s:
            return "another session" if other is None else other.said
        time.sleep(ASK_AGAIN_S)
    return None


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lock: a session of the server's."""

    pid: int
    name: str
    address: str
    since: str

    @property
    def said(self) -> str:
        """Who it is, in words."""
        return f"{self.name!r} at {self.address} since {self.since}"


def holder(connection: psycopg.Connection, key: Sequence[int]) -> Holder | None:
    """Return who holds the session lock *key*; None: nobody, or somebody who has just ended."""
    row = connection.execute(_OTHER, key).fetchone()
    return None if row is None else Holder(*row)


def one(connection: psycopg.Connection, sql: bytes, parameters: Sequence[object] = ()) -> Any:
    """Return the first column of the first row; None: there is none."""
    row = connection.execute(sql, parameters).fetchone()
    return None if row is None else row[0]
