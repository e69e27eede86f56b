"""The inbox of a bot host: what it is told is in the store before it is acknowledged.

A notification is put into the store once, whoever sends it how often, and addressed to the host
that has its call. From there it goes to its call, which says in the transaction that changes its
row that it is applied. So none is lost with a process, and none is applied twice.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import uuid
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from typing import Final

from ..graph.notifications import (
    Notification,
    NotificationError,
    build_envelope,
    parse_envelope,
)
from ..operation.call_context import Concern, concerning, request_span
from ..store.base import StoreAwayError, StoreError
from ..store.host_base import Inbound, InboxRow
from .call_facts import Delivery, incoming_call
from .calls import HostCalls
from .keeping import HostKeeping
from .letters import Letter, sequence_of
from .strangers import plain_id
from .webhook_counters import WebhookCounters

log = logging.getLogger("mixminus.control.host")

SWEEP_EVERY_S: Final = 5.0
"""How long what another host put into the inbox waits at most, should nobody wake us."""
MAX_DONE: Final = 65_536
"""Numbers that are remembered as done: a look that began before may still show them."""
MAX_MESSAGE_ID_CHARS: Final = 200
MAX_WAITING: Final = 20_000
"""Notifications that wait here at once: one more is not accepted, so that it is sent again."""


class CallInbox:
    """Takes notifications into the store, and from there to the calls of this host.

    *place* says which host is to be told of a new call that comes in. Thread: the loop's.
    """

    def __init__(
        self,
        keeping: HostKeeping,
        calls: HostCalls,
        counters: WebhookCounters,
        *,
        place: Callable[[], str] | None = None,
    ) -> None:
        self._keeping, self._calls, self._counters = keeping, calls, counters
        self.place = place or (lambda: keeping.instance)
        self._taken: set[int] = set()
        self._done: OrderedDict[int, None] = OrderedDict()
        self._left = 0
        """How many waited in the store at the last look, and nobody here had taken them."""
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._unsubscribe: Callable[[], None] = lambda: None
        keeping.on_applied = self._be_done
        calls.on_released = self._release

    def start(self) -> None:
        """Look after what waits in the store, now and whenever there is word of it."""
        self._unsubscribe = self._keeping.store.on_wake(self._woken.set)
        self._task = asyncio.create_task(self._keep_sweeping(), name="inbox")

    async def close(self) -> None:
        """Look no more. Again is no error."""
        self._unsubscribe()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def take(
        self,
        notifications: Sequence[Notification],
        tenant_id: str,
        message_id: str | None,
        *,
        instance: str | None = None,
        lineage: str | None = None,
    ) -> None:
        """Put *notifications*, which came as the post *message_id*, into the store; hand them on.

        Without an id each is taken for a new one. *instance* is the host whose address it was
        posted to: that one asked for the call, should no host have it yet; *lineage* the call that
        the address was made for, should nobody know its id yet. Returns once they are in the store.
        Raises: StoreAwayError when it takes nothing now, StoreError; then none of them is taken.
        """
        if not notifications:
            return
        if self.waiting + len(notifications) > MAX_WAITING:
            raise StoreAwayError(f"the inbox is full: {self.waiting} notifications wait in it")
        post = _post_id(message_id)
        messages = [
            Inbound(
                f"{post}/{index}",
                plain_id(notification),
                tenant_id,
                build_envelope([notification], "")["value"][0],
                to=self._addressee(notification, instance),
                lineage=lineage,
                app_id=self._keeping.app_id,
            )
            for index, notification in enumerate(notifications)
        ]
        receipt = await self._keeping.store.receive(messages, self._keeping.instance)
        self._counters.repeated += receipt.duplicates
        self._counters.handed_on += receipt.handed_on
        for row in receipt.local:
            self._deliver(row)

    async def sweep(self) -> None:
        """Hand to the calls what waits in the store for this host.

        Raises: StoreError.
        """
        store = self._keeping.store
        rows = await store.waiting(self._keeping.instance)
        for row in rows:
            if self._is_known(row.sequence):
                continue
            notification = self._read(row)
            if notification is None:
                continue
            if incoming_call(notification) is not None and self._calls.get(row.call_id) is None:
                # It may have come in before a stop: then it is rung again, or over, and not new.
                kept = await store.call_of(row.call_id)
                if kept is not None:
                    if kept.is_over:
                        self._keeping.drop(row.sequence)
                    continue
            self._deliver(row)
        self._left = sum(not self._is_known(row.sequence) for row in rows)

    @property
    def waiting(self) -> int:
        """How many notifications wait: with calls here, or for one to be here."""
        return len(self._taken) + self._left

    def _addressee(self, notification: Notification, instance: str | None) -> str | None:
        return instance if incoming_call(notification) is None else self.place()

    async def _keep_sweeping(self) -> None:
        while True:
            self._woken.clear()
            try:
                await self.sweep()
            except StoreAwayError as exc:
                # Said once by the store itself.
                log.debug("what waits in the store is not looked at for now: %s", exc)
            except StoreError as exc:
                log.warning("what waits in the store is not looked at for now: %s", exc)
            try:
                async with asyncio.timeout(SWEEP_EVERY_S):
                    await self._woken.wait()
            except TimeoutError:
                continue

    def _deliver(self, row: InboxRow) -> None:
        if self._is_known(row.sequence) or (notification := self._read(row)) is None:
            return
        self._taken.add(row.sequence)
        letter = Letter.of(notification, row.sequence, row.lineage)
        with concerning(Concern(plain_id(letter), request=request_span())):
            delivery = self._calls.deliver(letter, row.tenant_id)
        match delivery:
            case Delivery.FOREIGN:
                self._counters.foreign += 1
                log.warning("a notification of another tenant was refused")
                self._keeping.drop(row.sequence)
            case Delivery.UNKNOWN:
                self._counters.unknown += 1
            case Delivery.BUSY:
                self._counters.busy += 1
                self._release([letter])
            case Delivery.FULL | Delivery.TAKEN:
                self._counters.taken += 1

    def _read(self, row: InboxRow) -> Notification | None:
        try:
            return parse_envelope({"value": [row.body]})[0]
        except NotificationError as exc:
            log.error("inbox row %d is no notification: %s", row.sequence, exc)  # noqa: TRY400
            self._keeping.drop(row.sequence)
            return None

    def _is_known(self, sequence: int) -> bool:
        return sequence in self._taken or sequence in self._done

    def _release(self, notifications: Sequence[Notification]) -> None:
        """Have them looked at again later: the store still has them."""
        for notification in notifications:
            sequence = sequence_of(notification)
            if sequence is not None and sequence in self._taken:
                self._taken.discard(sequence)
                self._left += 1

    def _be_done(self, sequences: Collection[int]) -> None:
        for sequence in sequences:
            self._taken.discard(sequence)
            self._done[sequence] = None
        while len(self._done) > MAX_DONE:
            self._done.popitem(last=False)


def _post_id(message_id: str | None) -> str:
    if not message_id:
        return str(uuid.uuid4())
    if len(message_id) <= MAX_MESSAGE_ID_CHARS:
        return message_id
    return hashlib.sha256(message_id.encode()).hexdigest()
