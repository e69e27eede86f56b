"""Who receives notifications: each with so many connections at once, and a memory of silence."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

PROBES: Final = 4
"""Connections at once to a receiver that did not answer at all: it is looked for, not besieged."""


@dataclass(slots=True, eq=False)
class Receiver:
    """One application's receiver at one address (scheme, host and port).

    While it answers nothing, few connections at once look for it; the first answer brings all who
    wait for it back at once.
    Thread: the loop's.
    """

    connections: int
    in_flight: int = 0
    users: int = 0
    """Who has to do with it now; without any it is forgotten."""
    is_silent: bool = False
    """Whether the last that was heard of it is that it did not answer."""
    _queue: deque[asyncio.Future[None]] = field(default_factory=deque)
    _back: asyncio.Event = field(default_factory=asyncio.Event)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[None]:
        """Have one of its connections for the block, after who asked before."""
        await self._acquire()
        try:
            yield
        finally:
            self.in_flight -= 1
            self._hand_out()

    def answered(self) -> None:
        """Note that it answered, whatever it said."""
        if self.is_silent:
            self.is_silent = False
            self._back.set()
            self._back = asyncio.Event()
            self._hand_out()

    def did_not_answer(self) -> None:
        """Note that nothing came from it."""
        self.is_silent = True

    async def pause(self, wait_s: float) -> None:
        """Wait that long, or until it answers after a silence."""
        back = self._back
        try:
            async with asyncio.timeout(wait_s):
                await back.wait()
        except TimeoutError:
            return

    @property
    def waiting(self) -> int:
        """How many wait for a connection."""
        return sum(not each.done() for each in self._queue)

    @property
    def _limit(self) -> int:
        return min(PROBES, self.connections) if self.is_silent else self.connections

    async def _acquire(self) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        self._hand_out()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                # Handed out and not wanted any more: the next one's.
                self.in_flight -= 1
                self._hand_out()
            raise

    def _hand_out(self) -> None:
        while self._queue and self.in_flight < self._limit:
            turn = self._queue.popleft()
            if not turn.done():
                self.in_flight += 1
                turn.set_result(None)


class Receivers:
    """All receivers that somebody has to do with now, by application and address."""

    def __init__(self, connections: int) -> None:
        self._connections = connections
        self._known: dict[tuple[str, str], Receiver] = {}

    def __len__(self) -> int:
        """How many are known now."""
        return len(self._known)

    @property
    def silent(self) -> int:
        """How many did not answer when they were tried last."""
        return sum(receiver.is_silent for receiver in self._known.values())

    @asynccontextmanager
    async def use(self, app_id: str, uri: str) -> AsyncIterator[Receiver]:
        """Have to do with the receiver of *app_id* at *uri* for the block."""
        parts = urlsplit(uri)
        key = app_id, f"{parts.scheme}://{parts.netloc}".casefold()
        receiver = self._known.setdefault(key, Receiver(self._connections))
        receiver.users += 1
        try:
            yield receiver
        finally:
            receiver.users -= 1
            if not receiver.users:
                del self._known[key]
