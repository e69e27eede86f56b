"""The operations of calls that run: written with their call, removed with what tells their end."""

from __future__ import annotations

import json

from .conversation_base import OperationRow
from .engine import Engine, Transaction
from .rows import document, readable


class OperationTables(Engine):
    """The part of a :class:`~.base.Store` that keeps operations."""

    async def running_operations(self, call_id: str) -> tuple[OperationRow, ...]:
        """Return a call's operations whose end was not told, in the order of their revisions."""

        def work(db: Transaction) -> tuple[OperationRow, ...]:
            rows = db.execute(
                "SELECT operation_id, call_id, kind, client_context, status, revision, members"
                " FROM operations WHERE call_id = ? ORDER BY revision",
                (call_id,),
            )
            return tuple(readable(rows, _operation))

        return await self._run(work)


def write_operations(
    db: Transaction, begun: tuple[OperationRow, ...], ended: tuple[str, ...]
) -> None:
    """Write which operations run, and which no longer do, within a transaction."""
    db.executemany(
        "INSERT INTO operations (operation_id, call_id, kind, client_context, status, revision,"
        " members) VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            (
                row.operation_id,
                row.call_id,
                row.kind,
                row.client_context,
                row.status,
                row.revision,
                json.dumps(row.members),
            )
            for row in begun
        ],
    )
    db.executemany("DELETE FROM operations WHERE operation_id = ?", [(each,) for each in ended])


def _operation(row: tuple[str, str, str, str | None, str, int, str]) -> OperationRow:
    key = f"operation_id {row[0]!r}"
    return OperationRow(*row[:6], document("operations", key, row[6], dict))
