"""Call records, with what their subscribers are told written beside them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from .base import RecordQuery, RecordRow
from .conversation_tables import forget_conversation
from .engine import Engine, Transaction
from .rows import document, readable

# What of a RecordQuery is None asks for nothing.
_FOUND = (
    "SELECT position, resource, pstn_calls FROM records"
    " WHERE tenant_id = :tenant_id AND position > :after AND ended_us >= :ended_since_us"
    " AND record_id IN (SELECT record_id FROM record_apps WHERE app_id = :app_id)"
    " AND (CAST(:started_from_us AS BIGINT) IS NULL OR started_us >= :started_from_us)"
    " AND (CAST(:started_to_us AS BIGINT) IS NULL OR started_us <= :started_to_us)"
    " AND (CAST(:person_id AS TEXT) IS NULL OR record_id IN"
    " (SELECT record_id FROM record_people WHERE person_id = :person_id))"
)


class RecordTables(Engine):
    """The part of a :class:`~.base.Store` that keeps call records."""

    async def save_record(
        self, record: RecordRow, changes: Sequence[tuple[str, str]], now_us: int
    ) -> None:
        """Write *record* in the place of an older version of it, and what subscribers are told."""

        def work(db: Transaction) -> None:
            db.execute(
                "INSERT INTO records (record_id, tenant_id, started_us, ended_us, resource,"
                " participants, sessions, pstn_calls) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (record_id) DO UPDATE SET started_us = excluded.started_us,"
                " ended_us = excluded.ended_us, resource = excluded.resource,"
                " participants = excluded.participants, sessions = excluded.sessions,"
                " pstn_calls = excluded.pstn_calls",
                (
                    record.record_id,
                    record.tenant_id,
                    record.started_us,
                    record.ended_us,
                    json.dumps(record.resource),
                    json.dumps(record.participants),
                    json.dumps(record.sessions),
                    json.dumps(record.pstn_calls) if record.pstn_calls else None,
                ),
            )
            forget_conversation(db, record.record_id)
            name = (record.record_id,)
            db.execute("DELETE FROM record_apps WHERE record_id = ?", name)
            db.execute("DELETE FROM record_people WHERE record_id = ?", name)
            db.executemany(
                "INSERT INTO record_apps VALUES (?, ?)",
                [(record.record_id, app_id) for app_id in record.app_ids],
            )
            db.executemany(
                "INSERT INTO record_people VALUES (?, ?)",
                [(record.record_id, person) for person in {p["id"] for p in record.participants}],
            )
            db.executemany(
                "INSERT INTO changes (subscription_id, created_us, body)"
                " SELECT subscription_id, ?, ? FROM subscriptions WHERE subscription_id = ?",
                [(now_us, body, subscription_id) for subscription_id, body in changes],
            )

        await self._run(work)

    async def record(self, record_id: str) -> RecordRow | None:
        """Return the record of that id."""

        def work(db: Transaction) -> RecordRow | None:
            row = db.execute(
                "SELECT tenant_id, started_us, ended_us, resource, participants, sessions,"
                " pstn_calls FROM records WHERE record_id = ?",
                (record_id,),
            ).fetchone()
            if row is None:
                return None
            key = f"record_id {record_id!r}"
            tenant_id, started_us, ended_us, resource, participants, sessions, pstn_calls = row
            apps = db.execute(
                "SELECT app_id FROM record_apps WHERE record_id = ? ORDER BY app_id", (record_id,)
            )
            return RecordRow(
                record_id,
                tenant_id,
                tuple(app_id for (app_id,) in apps),
                started_us,
                ended_us,
                document("records", key, resource, dict),
                tuple(document("records", key, participants, list)),
                tuple(document("records", key, sessions, list)),
                tuple(document("records", key, pstn_calls or "[]", list)),
            )

        return await self._run(work)

    async def records(
        self, query: RecordQuery, limit: int
    ) -> tuple[tuple[int, dict[str, Any]], ...]:
        """Return up to *limit* records' positions and resources, the oldest first."""

        def work(db: Transaction) -> tuple[tuple[int, dict[str, Any]], ...]:
            found: list[tuple[int, dict[str, Any]]] = []
            values = {**asdict(query), "limit": limit}
            # Again for those that cannot be read: a page is short only at the end.
            while len(found) < limit and (
                rows := db.execute(f"{_FOUND} ORDER BY position LIMIT :limit", values).fetchall()
            ):
                found += readable(rows, _numbered)
                values |= {"after": rows[-1][0], "limit": limit - len(found)}
            return tuple(found)

        return await self._run(work)

    async def pstn_calls(self, query: RecordQuery) -> tuple[dict[str, Any], ...]:
        """Return the log rows of the phone calls in the records of *query*, the oldest first."""

        def work(db: Transaction) -> tuple[dict[str, Any], ...]:
            rows = db.execute(
                f"{_FOUND} AND pstn_calls IS NOT NULL ORDER BY started_us, position",
                asdict(query),
            )
            return tuple(row for found in readable(rows, _pstn_calls) for row in found)

        return await self._run(work)

    async def forget_records(self, ended_before_us: int) -> int:
        """Remove records of calls that ended before that; return how many."""

        def work(db: Transaction) -> int:
            values = (ended_before_us,)
            return db.execute("DELETE FROM records WHERE ended_us < ?", values).rowcount

        return await self._run(work)


def _numbered(row: tuple[int, str, str | None]) -> tuple[int, dict[str, Any]]:
    position, resource, _ = row
    return position, document("records", f"position {position}", resource, dict)


def _pstn_calls(row: tuple[int, str, str]) -> list[dict[str, Any]]:
    position, _, found = row
    rows: list[dict[str, Any]] = document("records", f"position {position}", found, list)
    return rows
