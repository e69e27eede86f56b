"""What the stores hold, read beside the processes that write them: SQLite's files, PostgreSQL."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias

import psycopg

from tests.chaos.findings import by_key
from tests.postgres_kit import PostgresServer

Row: TypeAlias = tuple[Any, ...]

CALL_PATH: Final = 3
"""Parts of a call's own path: communications/calls/{id}."""


class View(Protocol):
    """Asks a database, as an administrator would."""

    def ask(self, sql: str) -> list[Row]:
        """Return the rows of a query."""
        ...


@dataclass(frozen=True, slots=True)
class FileView:
    """A file of SQLite's."""

    path: Path

    def ask(self, sql: str) -> list[Row]:
        """Return the rows of a query, which may wait for a writer."""
        with closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True, timeout=30)) as base:
            return base.execute(sql).fetchall()

    def run(self, sql: str, values: Sequence[object] = ()) -> None:
        """Change something while nobody else has the file."""
        with closing(sqlite3.connect(self.path, timeout=30)) as base, base:
            base.execute(sql, values)


@dataclass(frozen=True, slots=True)
class ServerView:
    """A database of PostgreSQL's."""

    server: PostgresServer
    url: str

    def ask(self, sql: str) -> list[Row]:
        """Return the rows of a query."""
        with self.server.connect(self.url) as connection:
            connection.execute("SET search_path = mixminus")
            return connection.execute(sql.encode()).fetchall()


@dataclass(frozen=True, slots=True)
class ServiceCall:
    """A call as the service's store has it."""

    call_id: str
    state: str
    is_over: bool
    callback_uri: str
    resource: dict[str, Any]

    @property
    def thread(self) -> str | None:
        """The conversation that it is in, if that is a meeting."""
        chat = self.resource.get("chatInfo")
        return None if chat is None else chat.get("threadId")


@dataclass(frozen=True, slots=True)
class HostRow:
    """A call as the hosts' store has it."""

    lineage: str
    owner: str | None
    epoch: int
    call_id: str | None
    is_over: bool


def service_calls(view: View, *, living: bool = True) -> list[ServiceCall]:
    """Return the calls that the service's store has."""
    where = "WHERE is_over = 0" if living else ""
    rows = view.ask(f"SELECT call_id, state, is_over, callback_uri, resource FROM calls {where}")
    return [
        ServiceCall(call_id, state, bool(is_over), callback, _json(resource))
        for call_id, state, is_over, callback, resource in rows
    ]


def doubled_legs(calls: Sequence[ServiceCall]) -> list[str]:
    """Name conversations where more than one call of *calls* is established."""
    standing = by_key([call for call in calls if call.state == "established"], lambda c: c.thread)
    return [
        f"{thread}: {', '.join(call.call_id for call in doubled)}"
        for thread, doubled in standing.items()
        if thread is not None and doubled[1:]
    ]


def host_rows(view: View, *, living: bool = True) -> list[HostRow]:
    """Return the calls that the hosts' store has."""
    rows = view.ask("SELECT lineage, owner, epoch, call_id, is_over FROM host_calls")
    found = [
        HostRow(lineage, owner, epoch, call_id, bool(is_over))
        for lineage, owner, epoch, call_id, is_over in rows
    ]
    return [row for row in found if not row.is_over] if living else found


def outbox(view: View) -> list[tuple[str, str, str, dict[str, Any]]]:
    """Return (call id, message id, status, body) of each notification, in order."""
    rows = view.ask("SELECT call_id, message_id, status, body FROM outbox ORDER BY sequence")
    return [(call, message, status, _json(body)) for call, message, status, body in rows]


def told_states(view: View) -> dict[str, list[tuple[str, str]]]:
    """Return by call the states that its notifications tell, each with the notification's status.

    Those of what hangs under a call (its roster, its operations) are left out.
    """
    told: dict[str, list[tuple[str, str]]] = {}
    for call_id, _, status, body in outbox(view):
        for item in body["value"]:
            is_of_call = len(item["resourceUrl"].strip("/").split("/")) == CALL_PATH
            if is_of_call and item["resourceData"].get("state"):
                told.setdefault(call_id, []).append((item["resourceData"]["state"], status))
    return told


KEEP_SENT = (
    "CREATE TABLE chaos_sent (call_id TEXT, message_id TEXT)",
    "CREATE TRIGGER chaos_keep AFTER INSERT ON outbox"
    " BEGIN INSERT INTO chaos_sent VALUES (NEW.call_id, NEW.message_id); END",
)
"""The sender's journal: the outbox forgets what was sent, this is written in its transaction."""


def keep_sent(view: FileView) -> None:
    """Have the store of a service keep a journal of all that it is to send, from now on."""
    for step in KEEP_SENT:
        view.run(step)


def sent(view: View) -> dict[str, list[str]]:
    """Return by call the message ids that were to be sent, in order, since :func:`keep_sent`."""
    rows = view.ask("SELECT call_id, message_id FROM chaos_sent ORDER BY rowid")
    return {
        call: [row[1] for row in messages]
        for call, messages in by_key(rows, lambda row: row[0]).items()
    }


def unfinished(view: View) -> list[str]:
    """Name notifications that are not sent: they wait, or were given up."""
    return [f"{call}: {status}" for call, _, status, _ in outbox(view) if status != "sent"]


def answers(view: View) -> bool:
    """Say whether the database answers at all."""
    try:
        view.ask("SELECT 1")
    except (psycopg.Error, sqlite3.Error):
        return False
    return True


def _json(value: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(value) if isinstance(value, str) else value
    return found
