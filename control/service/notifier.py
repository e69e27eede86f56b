"""The outbox on its way: each call's notifications in order, no call waiting for another's."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ..histogram import LAG_BOUNDS_S, TimeHistogram
from ..journal import Journal
from ..journal_titles import envelope_title
from ..operation.call_context import call_task, concern_of, step
from ..store.base import OutboxRow, Store, StoreError
from .guard import AddressRefusedError
from .outbound import Outbound, OutboundError
from .receivers import Receiver, Receivers
from .settings import ServiceSettings
from .store_wait import StoreWait
from .tokens import NotificationTokens

log = logging.getLogger("mixminus.control.notifier")
T = TypeVar("T")


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
    waits, and the later ones of its call wait. After ``notify_give_up_s`` it is given up, and the
    call's later ones get one attempt each, until one is taken. Redeliveries carry the same
    X-Microsoft-Skype-Message-ID, and come of an answer that was lost, or of a crash between the
    answer and its writing: not of a store that was away meanwhile.

    A receiver has ``notify_connections`` connections at once, fewer while it does not answer; who
    waits for one that is back goes on at once.
    Thread: the loop's.
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
        self._receivers = Receivers(settings.notify_connections)
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

    @property
    def silent_receivers(self) -> int:
        """How many receivers did not answer when they were tried last."""
        return self._receivers.silent

    async def _work(self, call_id: str) -> None:
        has_given_up = False
        try:
            while call_id in self._woken:
                self._woken.discard(call_id)
                row = await self._patiently(call_id, lambda: self._store.next_notification(call_id))
                while row is not None:
                    delivered = await self._deliver(row, attempts=1 if has_given_up else None)
                    has_given_up = not delivered
                    self._count(row, delivered=delivered)
                    row = await self._finish(row, delivered=delivered)
        finally:
            # No await between the last look at _woken and this: a wake-up cannot fall between.
            del self._workers[call_id]

    async def _finish(self, row: OutboxRow, *, delivered: bool) -> OutboxRow | None:
        """Write what became of *row*, however long that takes: it is not sent again for that."""
        finish = self._store.finish_notification
        return await self._patiently(row.call_id, lambda: finish(row.sequence, delivered=delivered))

    async def _patiently(self, call_id: str, work: Callable[[], Awaitable[T]]) -> T:
        """Do *work* in the store, as soon as that does it."""
        wait = StoreWait()
        while True:
            try:
                return await work()
            except StoreError as error:
                wait.note(log, f"call {call_id}: what is told of it", error)
                await wait.pause()

    def _count(self, row: OutboxRow, *, delivered: bool) -> None:
        self.counts.delivered += delivered
        self.counts.given_up += not delivered
        if delivered and row.created_us is not None:
            self.counts.lag.observe(max(0.0, time.time() - row.created_us / 1e6))

    async def _deliver(self, row: OutboxRow, attempts: int | None) -> bool:
        """Send until a 2xx comes, the attempts are used up or the time is over."""
        now_s = asyncio.get_running_loop().time
        deadline_s = now_s() + self._settings.notify_give_up_s
        wait_s = self._settings.notify_first_wait_s
        attempt = 0
        async with self._receivers.use(row.app_id, row.callback_uri) as receiver:
            while True:
                attempt += 1
                problem = await self._attempt(row, attempt, receiver)
                if problem is None:
                    return True
                self.counts.refused += 1
                # Half of the wait is chance: receivers that return are not met by all at once.
                pause_s = wait_s * random.uniform(0.5, 1.0)  # noqa: S311
                wait_s = min(2 * wait_s, self._settings.notify_longest_wait_s)
                if attempt == attempts or now_s() + pause_s > deadline_s:
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
                await receiver.pause(pause_s)

    async def _attempt(self, row: OutboxRow, attempt: int, receiver: Receiver) -> str | None:
        """Send once, when there is a connection for it; return why it was not taken, or None."""
        async with receiver.connection():
            began_s = time.monotonic()
            try:
                status = await self._post(row)
            except AddressRefusedError as error:
                problem: str | None = str(error)
            except OutboundError as error:
                problem = str(error)
                receiver.did_not_answer()
            except Exception as error:
                # The boundary to the HTTP client: what nobody foresaw ends no call's queue.
                log.exception("call %s: a notification could not be sent", row.call_id)
                problem = type(error).__name__
            else:
                problem = None if 200 <= status < 300 else f"status {status}"
                receiver.answered()
            took_ms = (time.monotonic() - began_s) * 1000
        self._note(row, attempt, problem, took_ms)
        return problem

    def _note(self, row: OutboxRow, attempt: int, problem: str | None, took_ms: float) -> None:
        """Write an attempt down: the body with the first, for later ones are the same."""
        body = _read(row.body) if attempt == 1 else None
        what = envelope_title(body) if attempt == 1 else f"notification, attempt {attempt}"
        lag = "" if row.created_us is None else f", {time.time() - row.created_us / 1e6:.3f} s old"
        came = f"taken in {took_ms:.0f} ms" if problem is None else f"not taken ({problem})"
        self._journal.record(
            "notification", row.call_id, f"{what}: {came}{lag}", body, direction="out"
        )

    async def _post(self, row: OutboxRow) -> int:
        """Send one notification once; return the status of the answer.

        Raises: OutboundError; AddressRefusedError.
        """
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Authorization": f"Bearer {self._tokens.bearer(row.app_id, row.tenant_id)}",
            "Scenario-Id": row.chain_id,
            "X-Microsoft-Skype-Chain-ID": row.chain_id,
            "X-Microsoft-Skype-Message-ID": row.message_id,
        }
        timeout_s = self._settings.notify_timeout_s
        with step("notification", "client", headers):
            reply = await self._outbound.post(row.callback_uri, row.body, headers, timeout_s)
        return reply.status


def _read(body: str) -> dict[str, Any] | str:
    """Return a body for whoever looks; one that something damaged is shown as it is."""
    try:
        found: dict[str, Any] = json.loads(body)
    except ValueError:
        return body
    return found
