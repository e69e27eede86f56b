"""Adding up the counters of things that come and go: a total never goes down."""

from __future__ import annotations

import asyncio
import itertools
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Final, TypeAlias

Read: TypeAlias = Callable[[], Mapping[str, int]]
"""Tells what was counted so far; may be called in any thread, also after the end."""
Each: TypeAlias = Callable[[object, Mapping[str, int]], None]
"""Called with a thing that is followed, and what it has counted."""
Totals: TypeAlias = dict[str, int]

READS_A_TURN: Final = 32
"""After how many the loop's other work has its turn: a peer's counters take 10 us to read, so that
those of 500 at once would hold it up for a fourth of a tick, and on a busy machine for two."""


class Tally:
    """The counts of all things of a kind together, of those that are and those that were.

    Nothing is done while they count: they are asked when somebody asks, and once at their end.
    Of what they tell, *names* are added up.
    Thread: the loop's; only the ends of what :meth:`follow` follows may come in any.
    """

    def __init__(self, *names: str) -> None:
        self._names = names
        self._living: dict[int, tuple[Read, weakref.ref[object] | None]] = {}
        self._keys = itertools.count()
        self._ends: deque[tuple[int, Mapping[str, int]]] = deque()
        self._ended = dict.fromkeys(names, 0)
        self._told = dict.fromkeys(names, 0)

    def __len__(self) -> int:
        """Count those that are."""
        self._settle()
        return len(self._living)

    def add(self, read: Read) -> Callable[[], None]:
        """Count what *read* says, until what this returns is called; again is no error."""
        key = self._enter(read, None)

        def end() -> None:
            if self._living.pop(key, None) is not None:
                self._add(self._ended, read())

        return end

    def follow(self, owner: object, read: Read) -> None:
        """Count what *read* says until nobody has *owner* any more; *read* must not have it."""
        key = self._enter(read, weakref.ref(owner))
        weakref.finalize(owner, self._over, key, read).atexit = False

    def follow_until(self, closed: asyncio.Future[str], read: Read) -> None:
        """Count what *read* says until *closed* is done."""
        end = self.add(read)
        closed.add_done_callback(lambda _: end())

    def totals(self) -> Totals:
        """Return the sums by name: none is ever less than it was at the call before."""
        sums = self._begin()
        for _ in self._read(sums, None):
            pass
        return self._tell(sums)

    async def gather(self, each: Each | None = None) -> Totals:
        """Return the same, and let the loop go on meanwhile; *each* sees what is followed."""
        sums = self._begin()
        for number in self._read(sums, each):
            if number % READS_A_TURN == 0:
                await asyncio.sleep(0)
        return self._tell(sums)

    def _enter(self, read: Read, owner: weakref.ref[object] | None) -> int:
        self._settle()
        key = next(self._keys)
        self._living[key] = read, owner
        return key

    def _begin(self) -> Totals:
        self._settle()
        return self._ended.copy()

    def _read(self, sums: Totals, each: Each | None) -> Iterator[int]:
        # What ends meanwhile can still be read, and is not among those that had ended.
        for number, (read, reference) in enumerate(tuple(self._living.values()), 1):
            counts = read()
            self._add(sums, counts)
            owner = None if each is None or reference is None else reference()
            if each is not None and owner is not None:
                each(owner, counts)
            yield number

    def _add(self, sums: Totals, counts: Mapping[str, int]) -> None:
        for name in self._names:
            sums[name] += counts[name]

    def _tell(self, sums: Totals) -> Totals:
        # One number of two that belong together may be a moment older than the other.
        for name, value in sums.items():
            self._told[name] = max(value, self._told[name])
        return self._told.copy()

    def _over(self, key: int, read: Read) -> None:
        # In whatever thread the garbage is collected: only this one call, which is atomic.
        self._ends.append((key, read()))

    def _settle(self) -> None:
        while self._ends:
            key, counts = self._ends.popleft()
            if self._living.pop(key, None) is not None:
                self._add(self._ended, counts)
