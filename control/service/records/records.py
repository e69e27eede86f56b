"""Call records: made when a conversation ends, kept for thirty days, seen by who took part."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from ...graph.errors import GraphError
from ...store.base import RecordQuery, RecordRow, Store, StoreError
from ..settings import ServiceSettings
from ..store_wait import StoreWait
from ..subscriptions import Subscriptions
from ..tokens import Principal
from .build import build_record, microseconds
from .history import ConversationHistory

Json = dict[str, Any]
log = logging.getLogger("mixminus.control.records")


class Records:
    """The call records of one service."""

    def __init__(
        self,
        store: Store,
        subscriptions: Subscriptions,
        settings: ServiceSettings,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store, self._subscriptions, self._settings = store, subscriptions, settings
        self._clock = clock

    async def add(self, history: ConversationHistory) -> None:
        """Make the record of a conversation that is over, and tell its subscribers.

        A conversation that no application was in, or nobody, leaves none: nobody may see it. Waits
        for a store that is away.
        Raises: StoreError when it is there, and does not take it.
        """
        if not history.app_ids or not history.stays:
            return
        wait = StoreWait()
        while True:
            try:
                await self._add(history)
            except StoreError as error:
                wait.note(log, f"call record {history.id}", error)
                if wait.is_hopeless:
                    raise
                await wait.pause()
            else:
                return

    async def _add(self, history: ConversationHistory) -> None:
        now = self._clock()
        earlier = await self._store.record(history.id)
        version = 1 if earlier is None else int(earlier.resource["version"]) + 1
        record = build_record(history, version=version, now=now)
        changes = await self._subscriptions.changes_of(record)
        await self._store.save_record(record, changes, microseconds(now))
        log.info("call record %s, version %d", record.record_id, version)
        for subscription_id, _ in changes:
            self._subscriptions.wake(subscription_id)
        await self._store.forget_records(self._oldest_us())

    async def find(self, record_id: str, principal: Principal) -> RecordRow:
        """Return a record that *principal* may see.

        Raises: GraphError 404, also when it is another's, or too old.
        """
        record = await self._store.record(record_id)
        if (
            record is None
            or record.tenant_id != principal.tenant_id
            or principal.app_id not in record.app_ids
            or record.ended_us < self._oldest_us()
        ):
            raise GraphError(404, "itemNotFound", "Call record not found.")
        return record

    def query(self, principal: Principal) -> RecordQuery:
        """Return the query for all records that *principal* may see."""
        return RecordQuery(principal.tenant_id, principal.app_id, self._oldest_us())

    async def page(self, query: RecordQuery, limit: int) -> tuple[tuple[int, Json], ...]:
        """Return up to *limit* records' positions and resources, the oldest first."""
        return await self._store.records(query, limit)

    async def pstn_calls(self, query: RecordQuery) -> tuple[Json, ...]:
        """Return the log rows of the phone calls in the records of *query*, the oldest first."""
        return await self._store.pstn_calls(query)

    def _oldest_us(self) -> int:
        return microseconds(self._clock()) - round(self._settings.records_keep_s * 1e6)
