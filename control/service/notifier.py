"""The outbox on its way: each call's notifications in order, no call waiting for another's."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import time
from dataclasses import dataclass, field

from ..histogram import LAG_BOUNDS_S, TimeHistogram
from ..journal import Journal
from ..journal_titles import envelope_title
from ..operation.call_context import call_task, concern_of, step
from ..store.base import OutboxRow, Store, StoreError
from .guard import AddressRefusedError
from .outbound import Outbound, OutboundError
from .settings import ServiceSettings
from .tokens import NotificationTokens

log = logging.getLogger("mixminus.control.notifier")

STORE_WAIT_S = 1.0
"""How long a worker waits after the store failed."""


@dataclass(slots=True)
class NotifierCounts:
    """What became of notifications: ``refused`` are attempts, the others notifications.

    ``lag`` is from the change in the store until the receiver took its notification.
    """

    delivered: int = 0
    given_up: int = 0
    refused: int = 0
    lag: TimeHistogram = field(default_factory=lambda: TimeHistogram(LAG_BOUNDS_S))


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
        journal: Journal | None = None,
    ) -> None:
        self._store, self._tokens, self._outbound = store, tokens, outbound
        self._settings = settings
        self._journal = Journal("service") if journal is None else journal
        self._workers: dict[str, asyncio.Task[None]] = {}
        self._woken: set[str] = set()
        self.counts = NotifierCounts()

    async def start(self) -> None:
        """Take up what an earlier run left undelivered."""
        for call_id in await self._store.calls_with_notifications():
            self.wake(call_id)

    def wake(self, call_id: str) -> None:
        """Say that the outbox has something of this call."""
        self._woken.add(call_id)
        if call_id not in self._workers:
            self._workers[call_id] = call_task(
                concern_of(call_id), self._work(call_id), f"notify {call_id}"
            )

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
                        self._count(row, delivered=delivered)
                        await self._store.finish_notification(row.sequence, delivered=delivered)
                except StoreError:
                    log.exception("call %s: its notifications wait for the store", call_id)
                    await asyncio.sleep(STORE_WAIT_S)
                    self._woken.add(call_id)
        finally:
            # No await between the last look at _woken and this: a wake-up cannot fall between.
            del self._workers[call_id]

    def _count(self, row: OutboxRow, *, delivered: bool) -> None:
        self.counts.delivered += delivered
        self.counts.given_up += not delivered
        if delivered and row.created_us is not None:
            self.counts.lag.observe(max(0.0, time.time() - row.created_us / 1e6))

    async def _deliver(self, row: OutboxRow, attempts: int | None) -> bool:
        """Send until a 2xx comes, the attempts are used up or the time is over."""
        deadline = time.monotonic() + self._settings.notify_give_up_s
        wait_s = self._settings.notify_first_wait_s
        attempt = 0
        while True:
            attempt += 1
            began_s = time.monotonic()
            problem = await self._post(row)
            self._note(row, attempt, problem, (time.monotonic() - began_s) * 1000)
            if problem is None:
                return True
            self.counts.refused += 1
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

    def _note(self, row: OutboxRow, attempt: int, problem: str | None, took_ms: float) -> None:
        """Write an attempt down: the body with the first, for later ones are the same."""
        body = json.loads(row.body) if attempt == 1 else None
        what = envelope_title(body) if attempt == 1 else f"notification, attempt {attempt}"
        lag = "" if row.created_us is None else f", {time.time() - row.created_us / 1e6:.3f} s old"
        came = f"taken in {took_ms:.0f} ms" if problem is None else f"not taken ({problem})"
        self._journal.record(
            "notification", row.call_id, f"{what}: {came}{lag}", body, direction="out"
        )

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
            with step("notification", "client", headers):
                reply = await self._outbound.post(row.callback_uri, row.body, headers, timeout_s)
        except (AddressRefusedError, OutboundError) as error:
            return str(error)
        return None if reply.is_success else f"status {reply.status}"
