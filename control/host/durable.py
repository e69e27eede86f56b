"""What one call keeps of itself in the host's store, so that another process can go on with it.

Nothing here is ever waited for by audio. What a call notes is written behind it, in order, as one
row; while the store is away the newest row waits, with all that was applied since, and is written
once the store is back. A row that another host has taken meanwhile is no longer written.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Protocol

from ..store.base import StoreAwayError, StoreError
from ..store.host_base import StaleOwnerError

if TYPE_CHECKING:
    from ..store.host_base import HostCallRow, HostStore

log = logging.getLogger("mixminus.control.host")

SETTLE_S: Final = 0.5
"""How long a call's handlers wait for its row: a slower store counts as one that is away."""
WRITTEN_S: Final = 5.0
"""How long one waits who wants to know it written, and nothing less."""
LONGEST_RETRY_S: Final = 2.0
"""How long a store that came back may wait for what was noted meanwhile."""


class Keeper(Protocol):
    """What a call's row needs of its host: the store, and who the host is."""

    @property
    def instance(self) -> str:
        """The host's name in the store."""
        ...

    @property
    def store(self) -> HostStore:
        """The store, while it is open."""
        ...

    def run(self, keep: CallKeep) -> asyncio.Task[None]:
        """Run :meth:`CallKeep.write` as a task that outlives the call."""
        ...

    def applied(self, sequences: Collection[int]) -> None:
        """Take note that those rows of the inbox are done with."""
        ...


class CallKeep:
    """The row of one call: what is noted of it, and when that is on the disk.

    Thread: the loop's.
    """

    def __init__(self, keeper: Keeper, row: HostCallRow, *, is_new: bool) -> None:
        self._keeper, self._row = keeper, row
        self._is_new = is_new
        self._noted, self._written = int(is_new), 0
        self._applied: list[int] = []
        self._waiters: list[asyncio.Future[None]] = []
        self._task: asyncio.Task[None] | None = None
        self._is_slow = self._has_ended = False
        self.is_away = False
        """Whether the store did not take what was noted, and it is tried again."""
        self.is_offered = False
        """Whether the call was offered to the other hosts: nothing is written then."""
        self.is_lost = False
        """Whether another host has the call now."""
        self.on_lost: Callable[[str], None] = lambda instance: None
        """Called once with the name of the host that has the call now."""

    @property
    def row(self) -> HostCallRow:
        """The row as it is to be: all of it is in the store once :meth:`written` said so."""
        return self._row

    @property
    def lineage(self) -> str:
        """The name of the call through all its rejoins."""
        return self._row.lineage

    @property
    def epoch(self) -> int:
        """Which owner or rejoin of the call this is."""
        return self._row.epoch

    @property
    def is_written(self) -> bool:
        """Whether all that was noted is in the store."""
        return self._written == self._noted

    def note(self, applied: int | None = None, **changes: Any) -> None:
        """Write *changes* of the row soon, and that row *applied* of the inbox is done with."""
        if self.is_lost:
            return
        if applied is not None:
            self._applied.append(applied)
        elif not changes:
            return
        self._row = replace(self._row, **changes)
        self._noted += 1
        self._start()

    async def settle(self) -> None:
        """Wait a little until what was noted so far is in the store; not while that is slow."""
        if self._is_slow or await self.written(SETTLE_S):
            return
        if not (self.is_away or self._is_held):
            self._is_slow = True
            log.warning(
                "call %s: the store takes longer than %.1f s: its handlers go on",
                self._row.call_id,
                SETTLE_S,
            )

    async def written(self, timeout_s: float = WRITTEN_S, *, past_offer: bool = False) -> bool:
        """Wait until what was noted so far is in the store; False when it is not, for now.

        It is not while the store is away, and will not be when another host has the call. While
        the call is offered that is open: with *past_offer* it is waited for what comes of it.
        """
        wanted = self._noted
        self._start()
        try:
            async with asyncio.timeout(timeout_s):
                while self._written < wanted and not (self.is_away or self.is_lost):
                    if self.is_offered and (self._has_ended or not past_offer):
                        break
                    await self._next_news()
        except TimeoutError:
            return False
        return self._written >= wanted

    async def offer(self) -> bool:
        """Offer the call to the other hosts; False when it could not be.

        From now on the row is nobody's, and nothing of it is written here.
        Raises: StoreError; then the call is still ours.
        """
        if not await self.written() or self._is_held:
            return False
        self.is_offered = True
        try:
            was_ours = await self._keeper.store.offer(
                self.lineage, self._keeper.instance, self.epoch
            )
        except BaseException:
            self.is_offered = False
            self._start()
            raise
        if not was_ours:
            self.is_offered = False
            await self._lose()
        return was_ours

    async def take_back(self) -> bool:
        """Take back a call that was offered; False when another host was first.

        Raises: StoreError; then it is still offered.
        """
        if not self.is_offered:
            return not self.is_lost
        claimed = await self._keeper.store.claim(self.lineage, self.epoch, self._keeper.instance)
        self.is_offered = False
        if claimed is None:
            await self._lose()
            return False
        self._row = replace(self._row, epoch=claimed.epoch, owner=claimed.owner)
        self._start()
        self._wake()
        return True

    def call_ended(self) -> None:
        """Let go of who waits for what comes of an offer: the call has ended here."""
        self._has_ended = True
        self._wake()

    def discard(self) -> None:
        """Write nothing more. What a store that was away did not take was never there."""
        self.is_lost = True
        if self._task is not None:
            self._task.cancel()
        self._wake()

    async def write(self) -> None:
        """Write until nothing is left to be written. Run by the keeper."""
        while not self.is_written and not self._is_held:
            number, row, applied = self._noted, self._row, tuple(self._applied)
            self._applied.clear()
            try:
                if self._is_new:
                    await self._keeper.store.add_call(row)
                    self._is_new = False
                    if applied:
                        await self._keeper.store.save_call(row, applied)
                else:
                    await self._keeper.store.save_call(row, applied)
            except StaleOwnerError:
                await self._lose()
            except StoreError as exc:
                self._applied[:0] = applied
                await self._wait_back(exc)
            else:
                self._written = number
                self.is_away = self._is_slow = False
                self._keeper.applied(applied)
            self._wake()

    @property
    def _is_held(self) -> bool:
        return self.is_offered or self.is_lost

    def _start(self) -> None:
        is_idle = self._task is None or self._task.done()
        if is_idle and not self.is_written and not self._is_held:
            self._task = self._keeper.run(self)

    async def _next_news(self) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        await waiter

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def _wait_back(self, exc: StoreError) -> None:
        if not self.is_away:
            # That it is away the store itself says, once for all calls.
            level = logging.DEBUG if isinstance(exc, StoreAwayError) else logging.WARNING
            name = self._row.call_id or f"of lineage {self.lineage}"
            log.log(level, "call %s: not written yet: %s", name, exc)
        self.is_away = True
        self._wake()
        wait_s = exc.retry_after_s if isinstance(exc, StoreAwayError) else LONGEST_RETRY_S
        await asyncio.sleep(min(wait_s, LONGEST_RETRY_S))

    async def _lose(self) -> None:
        self.is_lost = True
        owner = "another host"
        try:
            row = await self._keeper.store.lineage(self.lineage)
        except StoreError as exc:
            log.warning("call %s: who has it now is not known: %s", self._row.call_id, exc)
        else:
            if row is not None and row.owner is not None:
                owner = row.owner
        self._wake()
        self.on_lost(owner)
