"""Emptying a host that is to stop: what another host can go on with is offered to it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Final, Protocol

from ...store.base import StoreError
from ...store.host_base import HostCallRow, HostStore

log = logging.getLogger("mixminus.control.host")

LOOK_S: Final = 0.25
"""How often it is looked whether somebody has taken a call that is offered."""
NOBODY_S: Final = 8.0
"""How long a call is offered before it is taken back: the others look each second."""
AGAIN_S: Final = 5.0
"""How long until a call that nobody took is offered again."""
OVERLAP_S: Final = 10.0
"""How long a call that was taken goes on here: the service ends it when the other has joined."""


class Kept(Protocol):
    """What a call keeps of itself: ``CallKeep``."""

    @property
    def row(self) -> HostCallRow:
        """The row."""
        ...

    @property
    def is_lost(self) -> bool:
        """Whether another host has the call."""
        ...

    async def offer(self) -> bool:
        """Offer it."""
        ...

    async def take_back(self) -> bool:
        """Take it back."""
        ...


class Movable(Protocol):
    """A call that may go on at another host: ``HostedCall``."""

    id: str

    @property
    def keep(self) -> Kept | None:
        """What it keeps of itself."""
        ...

    @property
    def is_over(self) -> bool:
        """Whether it has ended here."""
        ...

    def let_go(self, reason: str) -> None:
        """End it here alone."""
        ...

    async def wait_ended(self) -> None:
        """Wait until it has."""
        ...


class Moving:
    """Offers the calls of a host that drains. *takers* are the others that may take one.

    Thread: the loop's.
    """

    def __init__(
        self,
        *,
        calls: Callable[[], Iterable[Movable]],
        can_move: Callable[[Movable], bool],
        store: Callable[[], HostStore],
        takers: Callable[[], tuple[str, ...]],
    ) -> None:
        self._calls, self._can_move = calls, can_move
        self._store, self._takers = store, takers
        self.moved = 0
        """How many calls went on elsewhere."""

    async def run(self) -> None:
        """Offer what can be moved, again and again, until cancelled."""
        busy: dict[str, asyncio.Task[None]] = {}
        try:
            while True:
                busy = {key: task for key, task in busy.items() if not task.done()}
                if self._takers():
                    for call in self._calls():
                        if call.id not in busy and self._can_move(call):
                            busy[call.id] = asyncio.create_task(
                                self.move(call), name=f"move {call.id}"
                            )
                await asyncio.sleep(LOOK_S)
        finally:
            for task in busy.values():
                task.cancel()
            await asyncio.gather(*busy.values(), return_exceptions=True)

    async def move(self, call: Movable) -> None:
        """Offer one call, and let go of it once somebody has it; else it stays."""
        keep = call.keep
        assert keep is not None
        try:
            if not await keep.offer():
                return
            taker = await self._await_taker(call, keep)
            if taker is None and not call.is_over and await keep.take_back():
                await asyncio.sleep(AGAIN_S)
                return
        except StoreError as exc:
            log.warning("call %s: offering it: %s", call.id, exc)
            await asyncio.sleep(AGAIN_S)
            return
        if taker is None:
            return
        self.moved += 1
        if keep.row.media == "app":
            # Until the other leg stands the caller hears this one; then the service ends it.
            try:
                async with asyncio.timeout(OVERLAP_S):
                    await call.wait_ended()
            except TimeoutError:
                log.warning("call %s: %s took it, and it was not ended", call.id, taker)
        log.info("call %s: goes on at %s", call.id, taker)
        call.let_go(f"moved to {taker}")

    async def _await_taker(self, call: Movable, keep: Kept) -> str | None:
        """Return who took the call; None when nobody did in time, or before it ended."""
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + NOBODY_S
        while True:
            row = await self._store().lineage(keep.row.lineage)
            if row is None or row.is_over:
                return None
            if row.owner is not None:
                return row.owner
            if call.is_over or loop.time() >= deadline_s:
                return None
            await asyncio.sleep(LOOK_S)
