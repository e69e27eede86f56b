"""What bot hosts ask of each other: to make a call where there is room for it."""

from __future__ import annotations

import json
import time
from typing import Any

from .engine import Engine, Transaction
from .host_base import RequestRow
from .rows import document, readable


class RequestTables(Engine):
    """The part of a :class:`~.host_base.HostStore` that keeps requests between hosts."""

    async def ask(self, row: RequestRow) -> None:
        """Ask something of another instance, and wake it."""
        now_us = time.time_ns() // 1000

        def work(db: Transaction) -> None:
            db.execute(
                "INSERT INTO host_requests (request_id, instance, asked_by, is_taken, asked_us,"
                " body) VALUES (?, ?, ?, 0, ?, ?) ON CONFLICT (request_id) DO NOTHING",
                (row.request_id, row.instance, row.asked_by, now_us, json.dumps(row.body)),
            )
            self._tell(db, row.instance)

        await self._run(work)

    async def asked(self, instance: str) -> tuple[RequestRow, ...]:
        """Return what *instance* is asked and has not taken, in order."""

        def work(db: Transaction) -> tuple[RequestRow, ...]:
            rows = db.execute(
                "SELECT request_id, instance, asked_by, body FROM host_requests"
                " WHERE instance = ? AND is_taken = 0 ORDER BY position",
                (instance,),
            )
            return tuple(readable(rows, _request))

        return await self._run(work)

    async def take_request(self, request_id: str, instance: str) -> bool:
        """Begin what was asked; False when it was withdrawn or begun before."""

        def work(db: Transaction) -> bool:
            changed = db.execute(
                "UPDATE host_requests SET is_taken = 1"
                " WHERE request_id = ? AND instance = ? AND is_taken = 0",
                (request_id, instance),
            )
            return changed.rowcount == 1

        return await self._run(work)

    async def answer(self, request_id: str, answer: dict[str, Any]) -> None:
        """Say what came of a request, and wake who asked."""

        def work(db: Transaction) -> None:
            db.execute(
                "UPDATE host_requests SET answer = ?, is_taken = 1 WHERE request_id = ?",
                (json.dumps(answer), request_id),
            )
            found = db.execute(
                "SELECT asked_by FROM host_requests WHERE request_id = ?", (request_id,)
            ).fetchone()
            if found is not None:
                self._tell(db, found[0])

        await self._run(work)

    async def answered(self, request_id: str) -> dict[str, Any] | None:
        """Return what came of a request; None: nothing yet."""

        def work(db: Transaction) -> dict[str, Any] | None:
            found = db.execute(
                "SELECT answer FROM host_requests WHERE request_id = ?", (request_id,)
            ).fetchone()
            if found is None or found[0] is None:
                return None
            answer: dict[str, Any] = document(
                "host_requests", f"request_id {request_id!r}", found[0], dict
            )
            return answer

        return await self._run(work)

    async def withdraw(self, request_id: str) -> bool:
        """Ask no more; False when it was begun, or is done."""

        def work(db: Transaction) -> bool:
            gone = db.execute(
                "DELETE FROM host_requests WHERE request_id = ? AND is_taken = 0", (request_id,)
            )
            return gone.rowcount == 1

        return await self._run(work)


def _request(row: tuple[str, str, str, str]) -> RequestRow:
    """Raises: CorruptRowError."""
    request_id, instance, asked_by, body = row
    found = document("host_requests", f"request_id {request_id!r}", body, dict)
    return RequestRow(request_id, instance, asked_by, found)
