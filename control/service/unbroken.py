"""Work on one call: begun it is done to its end, whoever stops waiting for it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from ..operation.call_context import Concern, call_task

T = TypeVar("T")


class Unbroken:
    """Tasks that a waiter's cancellation does not reach: the store and what is here stay one.

    Thread: the loop's.
    """

    def __init__(self, concern: Concern) -> None:
        self._concern, self._name = concern, f"event of call {concern.call_id}"
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Begin *work*."""
        task = call_task(self._concern, work, self._name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Do *work* and return what it returns; cancelling this cancels the waiting alone."""
        return await asyncio.shield(self.start(work))

    async def wait(self) -> None:
        """Wait until all that was begun is done, however it ends."""
        await asyncio.gather(*self._tasks, return_exceptions=True)
