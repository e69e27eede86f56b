"""The media operations of one call, one after another."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final

from ...graph.operations import Outcome

log = logging.getLogger("mixminus.control.ivr")

MAX_WAITING: Final = 100
"""Operations that may wait in one call: who adds more does not look at how they end."""


class QueueFullError(RuntimeError):
    """Too many operations wait already."""


@dataclass(frozen=True, slots=True)
class Job:
    """One operation: what does it, and what its end is called when it is not let finish.

    ``run`` is cancelled to stop it. ``failed`` is for a bug of ours.
    """

    operation_id: str
    run: Callable[[], Awaitable[Outcome]]
    canceled: Outcome
    terminated: Outcome
    failed: Outcome


class MediaQueue:
    """Runs jobs in the order in which they came, and hands on how each of them ended.

    Thread: the loop's.
    """

    def __init__(
        self,
        spawn: Callable[[Coroutine[Any, Any, Any]], asyncio.Task[None]],
        finish: Callable[[str, Outcome], Awaitable[None]],
    ) -> None:
        self._spawn, self._finish = spawn, finish
        self._waiting: deque[Job] = deque()
        self._running: asyncio.Task[Outcome] | None = None
        self._stop_outcome: Outcome | None = None
        self._current: Job | None = None
        self._worker: asyncio.Task[None] | None = None
        self._is_closed = False

    @property
    def waiting(self) -> int:
        """Jobs that have not begun."""
        return len(self._waiting)

    def expect_room(self) -> None:
        """Refuse a job that would be one too many. Raises: QueueFullError."""
        if len(self._waiting) >= MAX_WAITING:
            raise QueueFullError(f"expected at most {MAX_WAITING} operations that wait")

    def put(self, job: Job) -> None:
        """Run *job* after all that came before.

        Raises: RuntimeError when the queue is closed.
        """
        if self._is_closed:
            raise RuntimeError("the queue is closed")
        self._waiting.append(job)
        if self._worker is None:
            self._worker = self._spawn(self._work())

    async def cancel(self) -> None:
        """Cancel the running job and all that wait; return when each one's end is told."""
        await self._end(lambda job: job.canceled)

    async def close(self) -> None:
        """Cancel all because the call ends, and take no more. Again is no error."""
        self._is_closed = True
        await self._end(lambda job: job.terminated)

    async def _end(self, outcome_of: Callable[[Job], Outcome]) -> None:
        waiting = tuple(self._waiting)
        self._waiting.clear()
        current, running = self._current, self._running
        if current is not None and running is not None:
            if self._stop_outcome is None:
                self._stop_outcome = outcome_of(current)
            running.cancel()
            await asyncio.wait({running})
            # The worker may not have come to it yet; whoever is first tells.
            await self._finish(current.operation_id, self._outcome(current, running))
        for job in waiting:
            await self._finish(job.operation_id, outcome_of(job))

    async def _work(self) -> None:
        try:
            while self._waiting:
                job = self._current = self._waiting.popleft()
                self._stop_outcome = None
                running = self._running = asyncio.create_task(
                    _outcome_of(job), name=f"operation {job.operation_id}"
                )
                try:
                    await asyncio.wait({running})
                finally:
                    # This worker's own cancellation stops what it runs, and waits for it.
                    running.cancel()
                    await asyncio.gather(running, return_exceptions=True)
                await self._finish(job.operation_id, self._outcome(job, running))
        finally:
            self._current = self._running = self._worker = None

    def _outcome(self, job: Job, running: asyncio.Task[Outcome]) -> Outcome:
        if running.cancelled():
            return self._stop_outcome or job.canceled
        return running.result()


async def _outcome_of(job: Job) -> Outcome:
    try:
        return await job.run()
    except Exception:
        # The boundary of a job: a bug of ours is this operation's end, and not the call's.
        log.exception("operation %s failed", job.operation_id)
        return job.failed
