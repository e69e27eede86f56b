"""Which calls are to be taken over now: those of dead hosts, and those that are offered."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Final

from ...store.host_base import HostCallRow, HostStore
from .placement import preferred, takes_calls
from .watching import DEAD_AFTER_S, BeatWatch

log = logging.getLogger("mixminus.control.host")

STRAY_LOOKS: Final = 20
"""Every so many looks all living rows are gone through: for those of an owner that is no instance,
and for our own that nobody here stands for."""

FORGET_LOOKS: Final = 600
"""Every so many looks what is done with for long is removed from the store."""

GONE_S: Final = 86_400.0
"""How long an instance is silent until its row is removed: one that is started again has a new one.
What a frozen one had is another's long before."""


class Takeover:
    """One host's part in taking over calls.

    Whoever comes first for a call is worked out by each alike, so that many calls are spread over
    those who live; from the second look on anybody takes what is still there: the first may be
    about to die, too. *start* brings one call back, in a task; *holds* says whether a row's call
    stands here or is being brought back. Thread: the loop's.
    """

    def __init__(
        self,
        own: str,
        watch: BeatWatch,
        *,
        store: Callable[[], HostStore],
        start: Callable[[HostCallRow], None],
        holds: Callable[[HostCallRow], bool],
        may_take: Callable[[], bool],
    ) -> None:
        self._own, self._watch = own, watch
        self._store, self._start, self._holds = store, start, holds
        self._may_take = may_take
        self._looks = 0
        self._dead: frozenset[str] = frozenset()
        self._seen: set[tuple[str, int]] = set()
        self._stray: set[tuple[str, int]] = set()
        self.taken = 0
        """How many calls of others were begun to be taken over."""
        self.readdressed = 0
        """How many notifications of calls that came in to dead hosts were taken over."""

    async def begin(self) -> int:
        """Bring back all calls that are ours in the store; returns how many. At the start.

        Raises: StoreError.
        """
        rows = await self._store().living(self._own)
        for row in rows:
            self._start(row)
        return len(rows)

    async def look(self) -> None:
        """Look at what the store says of hosts and calls, and take what is to be taken.

        Raises: StoreError.
        """
        self._looks += 1
        store = self._store()
        dead = self._watch.dead
        for instance in sorted(self._dead - dead):
            log.info("%s: beats again, or is gone from the store", instance)
        rows: list[HostCallRow] = []
        if self._may_take():
            rows += await store.living(None)
            for instance in sorted(dead):
                left = await store.living(instance)
                if instance not in self._dead:
                    log.warning(
                        "%s: no beat for %.0f s: it is held for dead, and its calls, %d, are taken"
                        " over",
                        *(instance, DEAD_AFTER_S, len(left)),
                    )
                rows += left
                if preferred(instance, self._takers()) == self._own:
                    # What came in and was given to it, and that it has not even begun with.
                    self.readdressed += await store.readdress(instance, self._own)
        self._dead = dead
        if self._looks % FORGET_LOOKS == 0:
            await store.forget()
            if self._may_take():
                await self._forget_dead(rows)
        if self._looks % STRAY_LOOKS == 0:
            rows += await self._strays(await store.living())
        self._take(rows)

    async def _forget_dead(self, rows: Iterable[HostCallRow]) -> None:
        """Remove the instances that were silent for a day and have no call: nobody starts them."""
        owners = {row.owner for row in rows}
        for one in self._watch.rows:
            still_s = self._watch.still_s(one.instance)
            if one.instance != self._own and still_s >= GONE_S and one.instance not in owners:
                log.info("%s: silent for a day: it is removed from the store", one.instance)
                await self._store().leave(one.instance, one.incarnation)

    def _take(self, rows: Iterable[HostCallRow]) -> None:
        takers = self._takers()
        seen = set()
        for row in rows:
            mark = (row.lineage, row.epoch)
            seen.add(mark)
            if self._holds(row):
                continue
            is_ours = row.owner == self._own or preferred(row.lineage, takers) == self._own
            if is_ours or mark in self._seen:
                self.taken += row.owner != self._own
                self._start(row)
        self._seen = seen

    def _takers(self) -> list[str]:
        return [row.instance for row in self._watch.living if takes_calls(row)]

    async def _strays(self, rows: Iterable[HostCallRow]) -> list[HostCallRow]:
        """Return living rows that nobody stands for, twice in a row: a call may be on its way."""
        known = {row.instance for row in self._watch.rows}
        may_take = self._may_take()
        found = {}
        for row in rows:
            if row.owner == self._own:
                is_stray = row.call_id is not None and not self._holds(row)
            else:
                is_stray = may_take and row.owner is not None and row.owner not in known
            if is_stray:
                found[row.lineage, row.epoch] = row
        twice = [row for mark, row in found.items() if mark in self._stray]
        self._stray = set(found)
        return twice
