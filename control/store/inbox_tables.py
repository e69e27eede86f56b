"""The inbox of bot hosts: each notification once, for the host that has its call."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

from .engine import Engine, Transaction
from .host_base import Inbound, InboxRow, Receipt
from .rows import document, readable


class InboxTables(Engine):
    """The part of a :class:`~.host_base.HostStore` that keeps what hosts were told."""

    async def receive(self, messages: Sequence[Inbound], instance: str) -> Receipt:
        """Put what *instance* was told into the inbox, each once, for the owner of its call."""
        now_us = time.time_ns() // 1000

        def work(db: Transaction) -> Receipt:
            local: list[InboxRow] = []
            handed_on = 0
            woken: set[str] = set()
            for message in messages:
                lineage, addressee = _addressee(db, message, instance)
                # All of it is fetched: a statement that is not at its end holds the transaction.
                added = db.execute(
                    "INSERT INTO host_inbox (message_id, call_id, lineage, instance, tenant_id,"
                    " is_applied, received_us, body) VALUES (?, ?, ?, ?, ?, 0, ?, ?)"
                    " ON CONFLICT (message_id) DO NOTHING RETURNING sequence",
                    (
                        message.message_id,
                        message.call_id,
                        lineage,
                        # A call that is offered has no owner: whoever claims it finds these.
                        instance if addressee is None else addressee,
                        message.tenant_id,
                        now_us,
                        json.dumps(message.body),
                    ),
                ).fetchall()
                if not added:
                    continue
                if addressee == instance:
                    row = (added[0][0], message.message_id, message.call_id, lineage)
                    local.append(InboxRow(*row, message.tenant_id, message.body))
                    continue
                handed_on += 1
                if addressee is not None:
                    woken.add(addressee)
            for other in sorted(woken):
                self._tell(db, other)
            return Receipt(tuple(local), handed_on, len(messages) - len(local) - handed_on)

        return await self._run(work)

    async def waiting(self, instance: str) -> tuple[InboxRow, ...]:
        """Return what is not applied of *instance*'s calls or addressed to it, in order."""

        def work(db: Transaction) -> tuple[InboxRow, ...]:
            # Who has a call now has all that was told of it, whoever had it when that came.
            rows = db.execute(_WAITING, (instance, instance))
            return tuple(readable(rows, _inbox_row))

        return await self._run(work)

    async def applied(self, sequence: int) -> None:
        """Say that a row of the inbox is done with, though it changed no call."""

        def work(db: Transaction) -> None:
            mark_applied(db, (sequence,))

        await self._run(work)

    async def readdress(self, dead: str, to: str) -> int:
        """Hand to *to* what was addressed to *dead* and is about no call; return how many."""

        def work(db: Transaction) -> int:
            changed = db.execute(
                "UPDATE host_inbox SET instance = ? WHERE is_applied = 0 AND instance = ?"
                " AND lineage IS NULL"
                " AND NOT EXISTS (SELECT 1 FROM host_calls c WHERE c.call_id = host_inbox.call_id)",
                (to, dead),
            ).rowcount
            if changed:
                self._tell(db, to)
            return changed

        return await self._run(work)


# Its call is found by its lineage; where that was not known as it came, by its id.
_WAITING = (
    "SELECT sequence, message_id, i.call_id, coalesce(i.lineage, c.lineage), i.tenant_id, body"
    " FROM host_inbox i LEFT JOIN host_calls c ON c.position ="
    " (SELECT f.position FROM host_calls f WHERE f.lineage = i.lineage"
    " OR (i.lineage IS NULL AND f.call_id = i.call_id)"
    " ORDER BY f.is_over, f.position DESC LIMIT 1)"
    " WHERE is_applied = 0 AND ((c.position IS NULL AND instance = ?) OR c.owner = ?)"
    " ORDER BY sequence"
)


def mark_applied(db: Transaction, sequences: Sequence[int]) -> None:
    """Say that those rows of the inbox are done with."""
    db.executemany(
        "UPDATE host_inbox SET is_applied = 1 WHERE sequence = ?",
        [(sequence,) for sequence in sequences],
    )


def _addressee(db: Transaction, message: Inbound, receiver: str) -> tuple[str | None, str | None]:
    """Return the lineage of a notification's call, and the instance that it is for.

    Neither is known of a call that is not in the store; a call that is offered is nobody's.
    """
    found = db.execute(
        "SELECT lineage, owner FROM host_calls WHERE call_id = ?"
        " ORDER BY is_over, position DESC LIMIT 1",
        (message.call_id,),
    ).fetchone()
    if found is None and message.lineage is not None:
        found = db.execute(
            "SELECT lineage, owner FROM host_calls WHERE lineage = ?"
            " AND lower(tenant_id) = lower(?) AND lower(app_id) = lower(coalesce(?, app_id))",
            (message.lineage, message.tenant_id, message.app_id),
        ).fetchone()
    if found is not None:
        return found[0], found[1]
    if message.to is None or message.to == receiver:
        return None, receiver
    known = db.execute(
        "SELECT instance FROM host_instances WHERE instance = ?", (message.to,)
    ).fetchone()
    # An instance that has left would never look.
    return None, receiver if known is None else message.to


def _inbox_row(row: tuple[int, str, str, str | None, str, str]) -> InboxRow:
    """Raises: CorruptRowError."""
    sequence, message_id, call_id, lineage, tenant_id, body = row
    found: dict[str, Any] = document("host_inbox", f"sequence {sequence}", body, dict)
    return InboxRow(sequence, message_id, call_id, lineage, tenant_id, found)
