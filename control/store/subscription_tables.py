"""Subscriptions, and the changes that wait for them."""

from __future__ import annotations

from dataclasses import astuple

from .base import ChangeRow, SubscriptionRow
from .engine import Engine, Transaction

# Both name the members of SubscriptionRow in their order.
_SUBSCRIPTIONS = (
    "SELECT subscription_id, app_id, tenant_id, resource, person_id, change_type,"
    " notification_url, lifecycle_url, client_state, expires_us FROM subscriptions"
)
_INSERT = (
    "INSERT INTO subscriptions (subscription_id, app_id, tenant_id, resource, person_id,"
    " change_type, notification_url, lifecycle_url, client_state, expires_us)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


class SubscriptionTables(Engine):
    """The part of a :class:`~.base.Store` that keeps subscriptions and their outbox."""

    async def add_subscription(self, subscription: SubscriptionRow, limit: int) -> bool:
        """Add *subscription* unless its tenant has *limit* of them; say whether it was added."""

        def work(db: Transaction) -> bool:
            values = (subscription.tenant_id,)
            count = "SELECT count(*) FROM subscriptions WHERE tenant_id = ?"
            if db.execute(count, values).fetchone()[0] >= limit:
                return False
            db.execute(_INSERT, astuple(subscription))
            return True

        return await self._run(work)

    async def subscription(self, subscription_id: str) -> SubscriptionRow | None:
        """Return the subscription of that id."""

        def work(db: Transaction) -> SubscriptionRow | None:
            row = db.execute(
                f"{_SUBSCRIPTIONS} WHERE subscription_id = ?",
                (subscription_id,),
            ).fetchone()
            return None if row is None else SubscriptionRow(*row)

        return await self._run(work)

    async def subscriptions(self, tenant_id: str) -> tuple[SubscriptionRow, ...]:
        """Return a tenant's subscriptions, in the order in which they were made."""

        def work(db: Transaction) -> tuple[SubscriptionRow, ...]:
            rows = db.execute(
                f"{_SUBSCRIPTIONS} WHERE tenant_id = ? ORDER BY position",
                (tenant_id,),
            )
            return tuple(SubscriptionRow(*row) for row in rows)

        return await self._run(work)

    async def renew_subscription(
        self, subscription_id: str, *, expires_us: int, notification_url: str
    ) -> None:
        """Give a subscription another end and address; of one that has gone: nothing."""

        def work(db: Transaction) -> None:
            db.execute(
                "UPDATE subscriptions SET expires_us = ?, notification_url = ?"
                " WHERE subscription_id = ?",
                (expires_us, notification_url, subscription_id),
            )

        await self._run(work)

    async def remove_subscription(self, subscription_id: str) -> None:
        """Remove a subscription and what waits for it."""

        def work(db: Transaction) -> None:
            db.execute("DELETE FROM subscriptions WHERE subscription_id = ?", (subscription_id,))

        await self._run(work)

    async def forget_subscriptions(self, expired_before_us: int) -> int:
        """Remove subscriptions that expired before that, with what waits for them."""

        def work(db: Transaction) -> int:
            values = (expired_before_us,)
            return db.execute("DELETE FROM subscriptions WHERE expires_us < ?", values).rowcount

        return await self._run(work)

    async def subscriptions_with_changes(self) -> tuple[str, ...]:
        """Return the ids of the subscriptions for which changes wait."""

        def work(db: Transaction) -> tuple[str, ...]:
            rows = db.execute(
                "SELECT subscription_id FROM changes GROUP BY subscription_id"
                " ORDER BY min(sequence)"
            )
            return tuple(subscription_id for (subscription_id,) in rows)

        return await self._run(work)

    async def next_change(self, subscription_id: str) -> ChangeRow | None:
        """Return the oldest change that waits for a subscription."""

        def work(db: Transaction) -> ChangeRow | None:
            row = db.execute(
                "SELECT sequence, subscription_id, notification_url, created_us, body"
                " FROM changes JOIN subscriptions USING (subscription_id)"
                " WHERE subscription_id = ? ORDER BY sequence LIMIT 1",
                (subscription_id,),
            ).fetchone()
            return None if row is None else ChangeRow(*row)

        return await self._run(work)

    async def finish_change(self, sequence: int) -> None:
        """Say that a change was delivered, or given up: it is removed."""

        def work(db: Transaction) -> None:
            db.execute("DELETE FROM changes WHERE sequence = ?", (sequence,))

        await self._run(work)
