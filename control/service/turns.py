"""Who changes a call next: one after another, and no request behind one that waits."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager


class Turns:
    """A fair lock that knows two kinds of waiters: those who may wait as long as it takes, and not.

    While its holder waits for something itself (:meth:`hold_up`), those who may not are refused.
    Thread: the loop's.
    """

    def __init__(self) -> None:
        self._is_taken = False
        self._waiting: deque[tuple[asyncio.Future[None], bool]] = deque()
        self._problem: Callable[[], Exception] | None = None

    def expect_none_waits(self) -> None:
        """Refuse who may not wait while the holder does.

        Raises: what :meth:`hold_up` was given.
        """
        if self._problem is not None:
            raise self._problem()

    def hold_up(self, problem: Callable[[], Exception]) -> None:
        """Refuse all who may not wait, those who do so already too; *problem* makes the error."""
        self._problem = problem
        for turn, may_wait in self._waiting:
            if not may_wait and not turn.done():
                turn.set_exception(problem())

    def go_on(self) -> None:
        """Refuse nobody any more. Again is no error."""
        self._problem = None

    @asynccontextmanager
    async def turn(self, *, may_wait: bool) -> AsyncIterator[None]:
        """Have a turn for the block, after all who came before.

        Raises: what :meth:`hold_up` was given, unless *may_wait*.
        """
        if not may_wait:
            self.expect_none_waits()
        if self._is_taken:
            await self._wait(may_wait)
        self._is_taken = True
        try:
            yield
        finally:
            self._pass_on()

    async def _wait(self, may_wait: bool) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((turn, may_wait))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                # It was this one's turn already: it is the next one's now.
                self._pass_on()
            raise

    def _pass_on(self) -> None:
        while self._waiting:
            turn, _ = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._is_taken = False
