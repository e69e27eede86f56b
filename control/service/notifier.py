"""The outbox on its way: each call's notifications in order, no call waiting for another's."""

from __future__ import annotations

import asyncio
import logging
import random
import time

from ..store.base import OutboxRow, Store, StoreError
from .guard import AddressRefusedError
from .outbound import Outbound, OutboundError
from .settings import ServiceSettings
from .tokens import NotificationTokens

log = logging.getLogger("mixminus.control.notifier")

STORE_WAIT_S = 1.0
"""How long a worker waits after the store failed."""


class Notifier:
    """Delivers what the outbox holds, at least once, with a worker for each call that has some.

    A notification is done when the receiver answers 2xx; until then it is sent again with growing
    waits, and the later ones of its call wait. When it was given up, the call's later ones get
    one attempt each. Redeliveries carry the same X-Microsoft-Skype-Message-ID.
    """

    def __init__(
        self,
        store: Store,
        tokens: NotificationTokens,
        outbound: Outbound,
        settings: ServiceSettings,
    ) -> None:
        self._store, self._tokens, self._outbound = store, tokens, outbound
        self._settings = settings
        self._workers: dict[str, asyncio.Task[None]] = {}
        self._woken: set[str] = set()

    async def start(self) -> None:
        """Take up what an earlier run left undelivered."""
        for call_id in await self._store.calls_with_notifications():
            self.wake(call_id)

    def wake(self, call_id: str) -> None:
        """Say that the outbox has something of this call."""
        self._woken.add(call_id)
        if call_id not in self._workers:
            task = asyncio.create_task(self._work(call_id), name=f"notify {call_id}")
            self._workers[call_id] = task

    async def drain(self, timeout_s: float) -> None:
        """Wait until all is delivered, but not longer than *timeout_s*."""
        if self._workers:
            await asyncio.wait(tuple(self._workers.values()), timeout=timeout_s)

    async def close(self) -> None:
        """Stop; what was not delivered stays in the outbox. Again is no error."""
        workers = tuple(self._workers.values())
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)

    async def _work(self, call_id: str) -> None:
        has_given_up = False
        try:
            while call_id in self._woken:
                self._woken.discard(call_id)
                try:
                    while (row := await self._store.next_notification(call_id)) is not None:
                        delivered = await self._deliver(row, attempts=1 if has_given_up else None)
                        has_given_up = not delivered
                        await self._store.finish_notification(row.sequence, delivered=delivered)
                except StoreError:
                    log.exception("call %s: its notifications wait for the store", call_id)
                    await asyncio.sleep(STORE_WAIT_S)
                    self._woken.add(call_id)
        finally:
            # No await between the last look at _woken and this: a wake-up cannot fall between.
            del self._workers[call_id]

    async def _deliver(self, row: OutboxRow, attempts: int | None) -> bool:
        """Send until a 2xx comes, the attempts are used up or the time is over."""
        deadline = time.monotonic() + self._settings.notify_give_up_s
        wait_s = self._settings.notify_first_wait_s
        attempt = 0
        while True:
            attempt += 1
            problem = await self._post(row)
            if problem is None:
                return True
            # Half of the wait is chance, so that receivers that return are not met by all at once.
            pause_s = wait_s * random.uniform(0.5, 1.0)  # noqa: S311
            wait_s = min(2 * wait_s, self._settings.notify_longest_wait_s)
            if attempt == attempts or time.monotonic() + pause_s > deadline:
                log.warning(
                    "call %s: notification given up after %d attempts: %s",
                    row.call_id,
                    attempt,
                    problem,
                )
                return False
            # Once is news; how often is told when it is given up.
            level = logging.INFO if attempt == 1 else logging.DEBUG
            log.log(level, "call %s: notification not taken (%s), again", row.call_id, problem)
            await asyncio.sleep(pause_s)

    async def _post(self, row: OutboxRow) -> str | None:
        """Send one notification once; return why it was not taken, or None."""
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Authorization": f"Bearer {self._tokens.bearer(row.app_id, row.tenant_id)}",
            "Scenario-Id": row.chain_id,
            "X-Microsoft-Skype-Chain-ID": row.chain_id,
            "X-Microsoft-Skype-Message-ID": row.message_id,
        }
        timeout_s = self._settings.notify_timeout_s
        try:
            reply = await self._outbound.post(row.callback_uri, row.body, headers, timeout_s)
        except (AddressRefusedError, OutboundError) as error:
            return str(error)
        return None if reply.is_success else f"status {reply.status}"
