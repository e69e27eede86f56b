"""Removing what bot hosts no longer need to know."""

from __future__ import annotations

import time

from .engine import Engine, Transaction
from .host_base import FORGET_AFTER_S


class HostForgetting(Engine):
    """The part of a :class:`~.host_base.HostStore` that removes old rows.

    The wall clock decides here, and only here: one that jumps by an hour makes a day's memory an
    hour shorter, or longer.
    """

    async def forget(self, after_s: float = FORGET_AFTER_S) -> int:
        """Remove what is older, and return how many rows.

        Inbox rows that are done with or about no living call, calls that are over, requests.
        """
        before_us = time.time_ns() // 1000 - round(after_s * 1e6)

        def work(db: Transaction) -> int:
            rows = db.execute(
                "DELETE FROM host_inbox WHERE received_us < ? AND (is_applied = 1"
                " OR NOT EXISTS (SELECT 1 FROM host_calls c WHERE c.is_over = 0"
                " AND (c.lineage = host_inbox.lineage OR c.call_id = host_inbox.call_id)))",
                (before_us,),
            ).rowcount
            rows += db.execute(
                "DELETE FROM host_calls WHERE is_over = 1 AND changed_us < ?", (before_us,)
            ).rowcount
            rows += db.execute(
                "DELETE FROM host_requests WHERE asked_us < ?", (before_us,)
            ).rowcount
            return rows

        return await self._run(work)
