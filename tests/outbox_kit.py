"""An outbox and receivers without sockets, disks or threads: for the notifier in virtual time."""

from __future__ import annotations

import asyncio
import json
import random
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from mixminus.control.service.notifier import Notifier
from mixminus.control.service.outbound import Outbound, OutboundError, Reply
from mixminus.control.service.settings import ServiceSettings
from mixminus.control.service.tokens import NotificationTokens
from mixminus.control.store.base import OutboxRow, Store, StoreAwayError


def now_s() -> float:
    return asyncio.get_running_loop().time()


class MemoryOutbox:
    """The outbox as the store keeps it; ``is_away`` lets it do nothing."""

    def __init__(self) -> None:
        self.written = 0
        self.pending: dict[str, deque[OutboxRow]] = defaultdict(deque)
        self.finished: dict[int, str] = {}
        self.is_away = False
        self.refused = 0
        self.settled = asyncio.Event()
        """Set while nothing waits."""

    def put(self, call_id: str, uri: str, *bodies: str, app_id: str = "app") -> None:
        for body in bodies:
            self.written += 1
            message_id = f"message {self.written}"
            row = OutboxRow(
                self.written,
                message_id,
                call_id,
                app_id,
                "tenant",
                uri,
                "chain",
                json.dumps({"value": [], "text": body}),
            )
            self.pending[call_id].append(row)
        self.settled.clear()

    def count(self, status: str) -> int:
        return sum(each == status for each in self.finished.values())

    async def calls_with_notifications(self) -> tuple[str, ...]:
        await self._transaction()
        return tuple(call_id for call_id, rows in self.pending.items() if rows)

    async def next_notification(self, call_id: str) -> OutboxRow | None:
        await self._transaction()
        return self._next(call_id)

    async def finish_notification(self, sequence: int, *, delivered: bool) -> OutboxRow | None:
        await self._transaction()
        (call_id,) = (
            rows[0].call_id
            for rows in self.pending.values()
            if rows and rows[0].sequence == sequence
        )
        self.pending[call_id].popleft()
        self.finished[sequence] = "sent" if delivered else "failed"
        if len(self.finished) == self.written:
            self.settled.set()
        return self._next(call_id)

    def _next(self, call_id: str) -> OutboxRow | None:
        return next(iter(self.pending[call_id]), None)

    async def _transaction(self) -> None:
        await asyncio.sleep(0.001)
        if self.is_away:
            self.refused += 1
            raise StoreAwayError("the disk is full")


@dataclass
class Web:
    """Receivers by host: each a function of the time since it was set, giving a behaviour.

    A behaviour is a status, "hang", "refuse", or "lost": taken, and the answer never comes.
    """

    behave: dict[str, Callable[[], int | str]] = field(default_factory=dict)
    took_s: dict[str, float] = field(default_factory=dict)
    taken: dict[str, list[tuple[float, str, str]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    """By host: when, the message's id and its body."""
    open: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    most_open: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    attempts: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    """By host, and by body."""

    async def post(
        self, url: str, body: str, headers: Mapping[str, str], timeout_s: float
    ) -> Reply:
        host, body = url.split("/")[2], json.loads(body)["text"]
        self.attempts[host] += 1
        self.attempts[body] += 1
        self.open[host] += 1
        self.most_open[host] = max(self.most_open[host], self.open[host])
        try:
            behaviour = self.behave.get(host, lambda: 202)()
            if behaviour == "refuse":
                await asyncio.sleep(0.001)
                raise OutboundError("ConnectError")
            if behaviour == "hang":
                await asyncio.sleep(timeout_s)
                raise OutboundError("timed out")
            await asyncio.sleep(self.took_s.get(host, 0.01))
            if behaviour == "lost" or (isinstance(behaviour, int) and 200 <= behaviour < 300):
                self.taken[host].append(
                    (now_s(), headers.get("X-Microsoft-Skype-Message-ID", body), body)
                )
            if behaviour == "lost":
                raise OutboundError("ReadError")
            assert isinstance(behaviour, int)
            return Reply(behaviour, "", b"", is_cut=False)
        finally:
            self.open[host] -= 1

    def bodies(self, host: str) -> list[str]:
        """What was taken, each message once, in the order of the first time."""
        return list({message: body for _, message, body in self.taken[host]}.values())


class NoTokens:
    def bearer(self, app_id: str, tenant_id: str) -> str:
        return "token"


def notifier_of(outbox: MemoryOutbox, web: Web, **settings: Any) -> Notifier:
    """A notifier with the settings that a service has by default, but for *settings*."""
    chosen = ServiceSettings(state_dir=Path("none"), **settings)
    return Notifier(
        cast(Store, outbox), cast(NotificationTokens, NoTokens()), cast(Outbound, web), chosen
    )


def during(begin_s: float, end_s: float, what: int | str, else_: int | str = 202) -> Any:
    """Behave as *what* between two times, counted from now."""
    start = now_s()
    return lambda: what if begin_s <= now_s() - start < end_s else else_


async def settled(outbox: MemoryOutbox, timeout_s: float) -> None:
    """Wait until nothing waits."""
    async with asyncio.timeout(timeout_s):
        await outbox.settled.wait()


def seeded(seed: int) -> random.Random:
    """Return chance, and let the notifier's own be the same each time."""
    random.seed(seed)
    return random.Random(seed)
