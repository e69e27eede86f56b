"""A bot host's calls with a store: one in memory, that a test may take away, or hand to others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from mixminus.control.graph.notifications import Notification
from mixminus.control.host.inbox import CallInbox
from mixminus.control.host.keeping import HostKeeping
from mixminus.control.host.webhook_counters import WebhookCounters
from mixminus.control.store.base import StoreAwayError
from mixminus.control.store.host_base import (
    HostCallRow,
    Inbound,
    InboxRow,
    Receipt,
    StaleOwnerError,
)
from tests.host_kit import TENANT, World

OWN = "host-a"
OTHER = "host-b"


class MemoryStore:
    """What a HostStore does, in dicts. While ``away`` is set it takes nothing."""

    def __init__(self) -> None:
        self.calls: dict[str, HostCallRow] = {}
        self.inbox: dict[int, tuple[InboxRow, str]] = {}
        self.done: list[int] = []
        self.away: StoreAwayError | None = None
        self.after_receive: Callable[[], object] = lambda: None
        self.gate = asyncio.Event()
        self.gate.set()

    async def _answer(self) -> None:
        await asyncio.sleep(0)
        await self.gate.wait()
        if self.away is not None:
            raise self.away

    async def add_call(self, row: HostCallRow) -> None:
        await self._answer()
        self.calls.setdefault(row.lineage, row)

    async def save_call(self, row: HostCallRow, applied: Sequence[int] = ()) -> None:
        await self._answer()
        held = self.calls.get(row.lineage)
        if held is None or (held.owner, held.epoch) != (row.owner, row.epoch):
            raise StaleOwnerError(f"call {row.call_id} is not {row.owner}'s")
        self.calls[row.lineage] = row
        self.done += applied

    async def call_of(self, call_id: str) -> HostCallRow | None:
        await self._answer()
        found = [row for row in self.calls.values() if row.call_id == call_id]
        return min(found, key=lambda row: row.is_over, default=None)

    async def lineage(self, lineage: str) -> HostCallRow | None:
        await self._answer()
        return self.calls.get(lineage)

    async def claim(self, lineage: str, epoch: int, by: str) -> HostCallRow | None:
        await self._answer()
        held = self.calls[lineage]
        if held.is_over or held.epoch != epoch:
            return None
        self.calls[lineage] = replace(held, epoch=epoch + 1, owner=by)
        return self.calls[lineage]

    async def offer(self, lineage: str, owner: str, epoch: int) -> bool:
        await self._answer()
        held = self.calls[lineage]
        if (held.owner, held.epoch) != (owner, epoch):
            return False
        self.calls[lineage] = replace(held, owner=None)
        return True

    async def receive(self, messages: Sequence[Inbound], instance: str) -> Receipt:
        await self._answer()
        local, handed_on, duplicates = [], 0, 0
        known = {row.message_id for row, _ in self.inbox.values()}
        for message in messages:
            if message.message_id in known:
                duplicates += 1
                continue
            call = next((r for r in self.calls.values() if r.call_id == message.call_id), None)
            addressee = (call and call.owner) or message.to or instance
            row = InboxRow(
                len(self.inbox) + 1,
                message.message_id,
                message.call_id,
                None if call is None else call.lineage,
                message.tenant_id,
                message.body,
            )
            self.inbox[row.sequence] = (row, addressee)
            if addressee == instance:
                local.append(row)
            else:
                handed_on += 1
        self.after_receive()
        return Receipt(tuple(local), handed_on, duplicates)

    async def waiting(self, instance: str) -> tuple[InboxRow, ...]:
        await self._answer()
        rows = (row for row, addressee in self.inbox.values() if addressee == instance)
        return tuple(row for row in rows if row.sequence not in self.done)

    async def applied(self, sequence: int) -> None:
        await self._answer()
        self.done.append(sequence)

    def on_wake(self, callback: Callable[[], None]) -> Callable[[], None]:
        return lambda: None

    async def close(self) -> None:
        pass

    def row(self, call_id: str) -> HostCallRow:
        (row,) = [row for row in self.calls.values() if row.call_id == call_id]
        return row

    def take(self, call_id: str, by: str = OTHER) -> None:
        """Let another host claim a call."""
        row = self.row(call_id)
        self.calls[row.lineage] = replace(row, owner=by, epoch=row.epoch + 1)


class KeptWorld(World):
    """A host whose calls are kept."""

    def __init__(self, store: Any) -> None:
        self.store = store

        async def open_store() -> Any:
            return store

        self.keeping = HostKeeping(OWN, "app", open_store)
        super().__init__(self.keeping)
        self.counters = WebhookCounters()
        self.inbox = CallInbox(self.keeping, self.calls, self.counters)

    async def post(self, *notifications: Notification, message_id: str | None = None) -> None:
        await self.inbox.take(notifications, TENANT, message_id)

    async def crash(self) -> None:
        """Forget all calls without a word, as a process does that is killed."""
        for call in self.calls:
            if call.keep is not None:
                call.keep.discard()
            call.let_go("killed")
            await call.wait_closed()


@asynccontextmanager
async def kept_world_of(store: Any | None = None) -> AsyncIterator[KeptWorld]:
    """A host with a store, and the proof that nothing of it is left running."""
    before = asyncio.all_tasks()
    world = KeptWorld(MemoryStore() if store is None else store)
    await world.keeping.open()
    yield world
    world.service.fail = None
    await world.inbox.close()
    await world.calls.close()
    await world.keeping.close()
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    assert not left, f"left running: {left}"
