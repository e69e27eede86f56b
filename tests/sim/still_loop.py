"""Virtual time that stands still while a store works: seconds cost nothing, SQL is real.

``tests.virtual_time`` jumps to the next timer whenever nothing is ready; a transaction in a thread
would then take as long as the next timer is away. Here a transaction is done in the loop itself,
some turns of it after it was asked for, and is told some turns after that: what happens meanwhile
comes from a seed and not from the machine, and no thread waits for another.
"""

from __future__ import annotations

import asyncio
import math
import random
import selectors
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import Context
from typing import Any, TypeVar, TypeVarTuple, Unpack

from mixminus.control.store.batches import Batches

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

GRID_S = 0.25
"""Timers are due on this grid: what is due in one instant then shares transactions."""
LOOK_S = 0.05
"""How long, in real time, a look at a thread that works takes at most."""
MOST_TURNS = 4
"""Turns of the loop before a transaction is done, and again until that is told: at most."""
LAST_LOOK_S = 10.0
"""How long, in real time, a thread that nobody counted may take when all else waits for it."""


class _Selector(selectors.DefaultSelector):
    """Waits for threads in real time while some work, and else lets virtual time pass."""

    def __init__(self, loop_of: list[StillLoop]) -> None:
        super().__init__()
        self._loop_of = loop_of

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        loop = self._loop_of[0]
        if not loop.working:
            ready = super().select(LAST_LOOK_S if timeout is None else 0)
            if not ready and timeout is None:
                raise RuntimeError("everybody waits, and nothing is to come")
            if not ready and timeout is not None:
                loop.now_s += timeout
            return ready
        began_s = time.monotonic()
        ready = super().select(LOOK_S if timeout is None else min(timeout, LOOK_S))
        if not ready:
            # A thread that waits for a timer of the loop must not wait for ever: time goes on.
            loop.now_s += time.monotonic() - began_s
        return ready


class StillLoop(asyncio.SelectorEventLoop):
    """A loop in virtual time; it stands while threads work, which ``working`` counts."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.working = 0
        loop_of: list[StillLoop] = []
        super().__init__(_Selector(loop_of))
        loop_of.append(self)

    def time(self) -> float:
        return self.now_s

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        if when > self.now_s:
            when = math.ceil(when / GRID_S) * GRID_S
        return super().call_at(when, callback, *args, context=context)


@contextmanager
def transactions_in_loop(chance: random.Random) -> Iterator[None]:
    """Have every transaction done by the loop, in turns of *chance*, in the place of a thread."""
    original = Batches._in_thread

    async def in_loop(self: Batches, do: Callable[..., None], *arguments: Any) -> None:
        for _ in range(chance.randrange(MOST_TURNS)):
            await asyncio.sleep(0)
        try:
            do(*arguments)
        finally:
            for _ in range(chance.randrange(MOST_TURNS)):
                await asyncio.sleep(0)

    Batches._in_thread = in_loop  # type: ignore[method-assign]
    try:
        yield
    finally:
        Batches._in_thread = original  # type: ignore[method-assign]


@contextmanager
def threads_work() -> Iterator[None]:
    """Say that a thread works: the opening of a file, a certificate."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, StillLoop)
    loop.working += 1
    try:
        yield
    finally:
        loop.working -= 1


def run_still(work: Coroutine[Any, Any, T], seed: int) -> T:
    """Run *work* in virtual time that stands while stores work; return what it returns."""
    chance = random.Random(seed)
    with transactions_in_loop(chance), asyncio.Runner(loop_factory=StillLoop) as runner:
        return runner.run(work)
