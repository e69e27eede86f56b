"""Calls of bot hosts: who owns each, in which epoch, and what it takes to go on with it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import EllipsisType
from typing import Any, Final

from .engine import Engine, Transaction
from .host_base import HostCallRow, StaleOwnerError
from .inbox_tables import mark_applied
from .rows import CorruptRowError, document, readable

_CALLS: Final = (
    "SELECT lineage, epoch, owner, app_id, tenant_id, call_id, media, state, is_over, resource,"
    " peer, joining, saved_state, reason FROM host_calls"
)


@dataclass(frozen=True, slots=True)
class _Values:
    """A row as the table has it."""

    lineage: str
    epoch: int
    owner: str
    columns: tuple[Any, ...]


class HostCallTables(Engine):
    """The part of a :class:`~.host_base.HostStore` that keeps calls."""

    async def add_call(self, row: HostCallRow) -> None:
        """Add a call. Again is no error. Raises: StaleOwnerError; ValueError without an owner."""
        values, now_us = _values(row), time.time_ns() // 1000

        def work(db: Transaction) -> None:
            added = db.execute(
                "INSERT INTO host_calls (app_id, tenant_id, call_id, media, state, is_over,"
                " resource, peer, joining, saved_state, reason, lineage, epoch, owner, changed_us)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (lineage) DO NOTHING",
                (*values.columns, values.lineage, values.epoch, values.owner, now_us),
            )
            if added.rowcount != 1:
                _update(db, values, now_us)

        await self._fenced(work)

    async def save_call(self, row: HostCallRow, applied: Sequence[int] = ()) -> None:
        """Write a call and that those rows of the inbox are applied.

        Raises: StaleOwnerError when it has another owner or epoch; ValueError without an owner.
        """
        values, now_us = _values(row), time.time_ns() // 1000

        def work(db: Transaction) -> None:
            _update(db, values, now_us)
            mark_applied(db, applied)

        await self._fenced(work)

    async def _fenced(self, work: Callable[[Transaction], None]) -> None:
        """Do *work*, and count it when it is refused. Raises: StaleOwnerError."""
        try:
            await self._run(work)
        except StaleOwnerError:
            self.stats.stale += 1
            raise

    async def call_of(self, call_id: str) -> HostCallRow | None:
        """Return the call that has that id at the service; of several one that is not over."""

        def work(db: Transaction) -> HostCallRow | None:
            return _first(
                db, "WHERE call_id = ? ORDER BY is_over, position DESC LIMIT 1", (call_id,)
            )

        return await self._run(work)

    async def lineage(self, lineage: str) -> HostCallRow | None:
        """Return the call of that lineage."""

        def work(db: Transaction) -> HostCallRow | None:
            return _first(db, "WHERE lineage = ?", (lineage,))

        return await self._run(work)

    async def living(self, owner: str | EllipsisType | None = ...) -> tuple[HostCallRow, ...]:
        """Return the calls that are not over: all, those of *owner*, or with None the offered."""
        values: tuple[str, ...] = ()
        whose = ""
        if owner is None:
            whose = " AND owner IS NULL"
        elif isinstance(owner, str):
            whose, values = " AND owner = ?", (owner,)

        def work(db: Transaction) -> tuple[HostCallRow, ...]:
            rows = db.execute(f"{_CALLS} WHERE is_over = 0{whose} ORDER BY position", values)
            return tuple(readable(rows, _call))

        return await self._run(work)

    async def claim(self, lineage: str, epoch: int, by: str) -> HostCallRow | None:
        """Make the call *by*'s, one epoch on; None when it has another epoch or is over."""
        now_us = time.time_ns() // 1000

        def work(db: Transaction) -> HostCallRow | None:
            seen = db.execute(
                "SELECT owner FROM host_calls WHERE lineage = ? AND epoch = ? AND is_over = 0",
                (lineage, epoch),
            ).fetchone()
            if seen is None:
                return None
            changed = db.execute(
                "UPDATE host_calls SET owner = ?, epoch = epoch + 1, changed_us = ?"
                " WHERE lineage = ? AND epoch = ? AND is_over = 0",
                (by, now_us, lineage, epoch),
            )
            if changed.rowcount != 1:
                return None
            if seen[0] is not None and seen[0] != by:
                self._tell(db, seen[0])
            return _first(db, "WHERE lineage = ?", (lineage,))

        return await self._run(work)

    async def offer(self, lineage: str, owner: str, epoch: int) -> bool:
        """Make the call nobody's and wake all; False when it is not *owner*'s at that epoch."""
        now_us = time.time_ns() // 1000

        def work(db: Transaction) -> bool:
            changed = db.execute(
                "UPDATE host_calls SET owner = NULL, changed_us = ?"
                " WHERE lineage = ? AND owner = ? AND epoch = ? AND is_over = 0",
                (now_us, lineage, owner, epoch),
            )
            if changed.rowcount == 1:
                self._tell(db, None)
            return changed.rowcount == 1

        was_owned = await self._run(work)
        self.stats.stale += not was_owned
        return was_owned


def _values(row: HostCallRow) -> _Values:
    """Raises: ValueError."""
    if row.owner is None:
        raise ValueError(f"call {row.lineage}: expected the owner who writes it, got None")
    columns = (
        row.app_id,
        row.tenant_id,
        row.call_id,
        row.media,
        row.state,
        row.is_over,
        json.dumps(row.resource),
        json.dumps(row.peer),
        json.dumps(row.joining),
        None if row.saved_state is None else json.dumps({"value": row.saved_state}),
        row.reason,
    )
    return _Values(row.lineage, row.epoch, row.owner, columns)


def _update(db: Transaction, values: _Values, now_us: int) -> None:
    """Write a row that is there, if it is still its owner's. Raises: StaleOwnerError."""
    changed = db.execute(
        "UPDATE host_calls SET app_id = ?, tenant_id = ?, call_id = ?, media = ?, state = ?,"
        " is_over = ?, resource = ?, peer = ?, joining = ?, saved_state = ?, reason = ?,"
        " changed_us = ? WHERE lineage = ? AND owner = ? AND epoch = ?",
        (*values.columns, now_us, values.lineage, values.owner, values.epoch),
    )
    if changed.rowcount == 1:
        return
    found = db.execute(
        "SELECT owner, epoch FROM host_calls WHERE lineage = ?", (values.lineage,)
    ).fetchone()
    if found is None:
        is_now = "is not in the store"
    else:
        is_now = f"is {'nobody' if found[0] is None else found[0]}'s in epoch {found[1]}"
    raise StaleOwnerError(
        f"call {values.lineage}: expected it to be {values.owner}'s in epoch {values.epoch}, but"
        f" it {is_now}: nothing was written"
    )


def _first(db: Transaction, where: str, values: Sequence[object]) -> HostCallRow | None:
    row = db.execute(f"{_CALLS} {where}", values).fetchone()
    return None if row is None else _call(row)


def _call(row: tuple[Any, ...]) -> HostCallRow:
    """Raises: CorruptRowError."""
    (lineage, epoch, owner, app_id, tenant_id, call_id, media, state, is_over) = row[:9]
    resource, peer, joining, saved_state, reason = row[9:]
    key = f"lineage {lineage!r}"
    saved = {"value": None}
    if saved_state is not None:
        saved = document("host_calls", key, saved_state, dict)
        if "value" not in saved:
            raise CorruptRowError(
                f"the store's table host_calls has a row that cannot be read, {key}: expected a"
                f" saved_state with a value, got {', '.join(saved) or 'nothing'}"
            )
    return HostCallRow(
        lineage=lineage,
        epoch=epoch,
        owner=owner,
        app_id=app_id,
        tenant_id=tenant_id,
        call_id=call_id,
        media=media,
        state=state,
        is_over=bool(is_over),
        resource=document("host_calls", key, resource, dict),
        peer=document("host_calls", key, peer, dict),
        joining=document("host_calls", key, joining, dict),
        saved_state=saved["value"],
        reason=reason,
    )
