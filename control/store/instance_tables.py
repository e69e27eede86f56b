"""The bot hosts that share a store, and how each of them stands."""

from __future__ import annotations

from .engine import Engine, Transaction
from .host_base import InstanceRow, OtherApplicationError, StaleOwnerError


class InstanceTables(Engine):
    """The part of a :class:`~.host_base.HostStore` that knows the hosts."""

    async def register(self, row: InstanceRow) -> None:
        """Announce an instance, in the place of an earlier one of that name.

        Raises: OtherApplicationError.
        """

        def work(db: Transaction) -> None:
            if row.app_id:
                _expect_own(db, row)
            # Its beat goes on from the earlier one's: who watches that sees that it lives.
            db.execute(
                "INSERT INTO host_instances (instance, incarnation, url, capacity, load, calls,"
                " is_draining, beat, app_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (instance) DO UPDATE SET incarnation = excluded.incarnation,"
                " url = excluded.url, capacity = excluded.capacity, load = excluded.load,"
                " calls = excluded.calls, is_draining = excluded.is_draining,"
                " app_id = excluded.app_id, beat = host_instances.beat + 1",
                (
                    row.instance,
                    row.incarnation,
                    row.url,
                    row.capacity,
                    float(row.load),
                    row.calls,
                    row.is_draining,
                    row.beat,
                    row.app_id or None,
                ),
            )

        await self._run(work)

    async def beat(
        self, instance: str, incarnation: str, *, load: float, calls: int, is_draining: bool
    ) -> None:
        """Say that an instance lives, and how it stands. Raises: StaleOwnerError."""

        def work(db: Transaction) -> None:
            done = db.execute(
                "UPDATE host_instances SET beat = beat + 1, load = ?, calls = ?, is_draining = ?"
                " WHERE instance = ? AND incarnation = ?",
                (float(load), calls, is_draining, instance, incarnation),
            )
            if done.rowcount != 1:
                raise StaleOwnerError(
                    f"the instance {instance!r} is not this process's any more: another one has"
                    " its name, or it was taken out of the store"
                )

        await self._run(work)

    async def leave(self, instance: str, incarnation: str) -> None:
        """Remove an instance, unless another incarnation has the name by now."""

        def work(db: Transaction) -> None:
            db.execute(
                "DELETE FROM host_instances WHERE instance = ? AND incarnation = ?",
                (instance, incarnation),
            )

        await self._run(work)

    async def instances(self) -> tuple[InstanceRow, ...]:
        """Return all instances that did not leave, dead ones too, by their names."""

        def work(db: Transaction) -> tuple[InstanceRow, ...]:
            rows = db.execute(
                "SELECT instance, incarnation, url, capacity, load, calls, is_draining, beat,"
                " coalesce(app_id, '') FROM host_instances ORDER BY instance"
            )
            return tuple(_instance(row) for row in rows)

        return await self._run(work)


def _expect_own(db: Transaction, row: InstanceRow) -> None:
    """Raises: OtherApplicationError when not all is of the application of *row*."""
    # Both are few: instances never are many, and calls that are over do not count.
    calls = db.execute(
        "SELECT app_id, count(*) FROM host_calls WHERE is_over = 0 AND lower(app_id) <> lower(?)"
        " GROUP BY app_id ORDER BY app_id LIMIT 1",
        (row.app_id,),
    ).fetchone()
    host = db.execute(
        "SELECT app_id, instance FROM host_instances WHERE instance <> ?"
        " AND lower(app_id) <> lower(?) ORDER BY instance LIMIT 1",
        (row.instance, row.app_id),
    ).fetchone()
    if calls is None and host is None:
        return
    if calls is not None:
        found = f"calls of {calls[0]} that are not over ({calls[1]})"
    else:
        found = f"the host {host[1]!r} of {host[0]}"
    raise OtherApplicationError(
        f"the host's store is of another application: expected hosts and calls of {row.app_id}"
        f" (host.app_id), got {found}: nothing was changed; give each application a store of its"
        " own (host.state_dir, host.store_url)"
    )


def _instance(row: tuple[str, str, str, int, float, int, int, int, str]) -> InstanceRow:
    instance, incarnation, url, capacity, load, calls, is_draining, beat, app_id = row
    return InstanceRow(
        instance, incarnation, url, capacity, load, calls, bool(is_draining), beat, app_id
    )
