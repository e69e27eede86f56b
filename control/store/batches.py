"""Works that wait for the store: grouped into transactions, refused at once while it is away."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, TypeVar

from .base import StoreAwayError, StoreError
from .stats import StoreStats

if TYPE_CHECKING:
    from .engine import Database, Transaction

T = TypeVar("T")

log = logging.getLogger("mixminus.control.store")

MOST_WORKS: Final = 64
"""In one transaction: more gain little, and the first of them waits for the last."""
FIRST_PROBE_S: Final = 0.1
"""How long after the store went away it is looked at; then twice as long each time."""
LONGEST_PROBE_S: Final = 1.0
STEADY_S: Final = 5.0
"""Who goes away again sooner was not really back, as a disk that has room for small works alone."""
RETRY_AFTER_S: Final = 2.0
"""When it is worth to ask again: probes come more often."""


class Work:
    """One work and what came of it. Thread: the store's while it runs, else the loop's."""

    __slots__ = ("_call", "error", "future", "is_in_doubt", "result")

    def __init__(self, call: Callable[[Transaction], Any], future: asyncio.Future[Any]) -> None:
        self._call, self.future = call, future
        self.is_in_doubt = False
        """Whether its outcome is told later."""
        self.result: Any = None
        self.error: BaseException | None = None

    def run(self, db: Transaction) -> None:
        """Do it; it counts as done once its transaction is committed. Raises: what it raises."""
        self.error = None
        self.result = self._call(db)

    def fail(self, error: BaseException) -> None:
        """Say that nothing of it is written."""
        self.error = error

    def doubt(self) -> None:
        """Say that nobody knows yet whether it is written: :meth:`settle` will say so."""
        self.is_in_doubt = True

    def settle(self, error: BaseException | None = None) -> None:
        """Say what came of a work in doubt: it is written, or *error*."""
        if error is not None:
            self.error = error
        self.is_in_doubt = False

    def answer(self) -> None:
        """Tell who waits. Thread: the loop's."""
        if self.future.done():
            return  # Nobody waits any more.
        if self.error is None:
            self.future.set_result(self.result)
        else:
            self.future.set_exception(self.error)


class Batches:
    """The works of one store, in order. Thread: the loop's.

    One batch runs at a time, in *thread*; what comes meanwhile is the next.
    """

    def __init__(
        self, database: Database, thread: ThreadPoolExecutor, stats: StoreStats, *, stuck_s: float
    ) -> None:
        self._database, self._thread, self._stats = database, thread, stats
        self._stuck_s = stuck_s
        self._waiting: deque[Work] = deque()
        self._running: asyncio.Task[None] | None = None
        self._began_s = 0.0
        self._watch: asyncio.TimerHandle | None = None
        self._probe: asyncio.Task[None] | None = None
        self._wait_s = FIRST_PROBE_S
        self._back_s = -STEADY_S
        self._doubtful: list[Work] = []
        self._back = asyncio.Event()
        self._back.set()
        self._closed = False
        self.most_works = MOST_WORKS
        self.away: StoreError | None = None

    async def run(self, call: Callable[[Transaction], T]) -> T:
        """Do *call* in a transaction with others that wait. Raises: as ``Engine._run``."""
        if self._closed:
            raise StoreError("the store is closed")
        if self.away is not None:
            self._stats.refused += 1
            raise _again(self.away)
        work = Work(call, asyncio.get_running_loop().create_future())
        self._waiting.append(work)
        self._stats.waiting = len(self._waiting)
        self._start()
        done: T = await work.future
        return done

    async def until_back(self) -> None:
        """Wait until the store is not away, or closed."""
        await self._back.wait()

    async def drain(self) -> None:
        """Take nothing more, and do what waits."""
        self._closed = True
        if self._probe is not None:
            self._probe.cancel()
            await asyncio.gather(self._probe, return_exceptions=True)
        while self._running is not None:
            await asyncio.wait([self._running])

    def close(self) -> None:
        """Tell what the database settled last, and let go of those who wait for it."""
        self._answer()
        self._back.set()

    def _start(self) -> None:
        if self._running is None and self._waiting:
            self._running = asyncio.get_running_loop().create_task(
                self._work_off(), name="store transactions"
            )

    async def _work_off(self) -> None:
        try:
            while batch := self._take():
                await self._do(batch)
        finally:
            # No await between the last look at what waits and this.
            self._running = None

    def _take(self) -> list[Work]:
        batch: list[Work] = []
        while self._waiting and len(batch) < self.most_works:
            work = self._waiting.popleft()
            if not work.future.done():  # Cancelled before it was begun.
                batch.append(work)
        self._stats.waiting = len(self._waiting)
        return batch

    async def _do(self, batch: Sequence[Work]) -> None:
        stats = self._stats
        began_s = time.perf_counter()
        gone: StoreError | None = None
        try:
            await self._in_thread(self._database.commit, batch)
        except StoreError as error:
            gone = error
            for work in batch:
                if not work.is_in_doubt:
                    work.fail(_again(error))
                    stats.refused += 1
        except Exception as error:  # A bug of the engine's: those who wait are told.
            log.exception("the store failed in a way nobody foresaw")
            for work in batch:
                if not work.is_in_doubt:
                    work.fail(error)
        else:
            stats.transactions += 1
            stats.works += len(batch)
            stats.failed += sum(work.error is not None for work in batch)
            stats.largest = max(stats.largest, len(batch))
            stats.taken.observe(time.perf_counter() - began_s)
        self._doubtful += batch
        if gone is not None:
            self._go_away(gone)
        elif self.away is not None and self._probe is None:
            self._come_back()  # It was slow, not away.
        self._answer()

    def _answer(self) -> None:
        """Tell those of whose works it is known what came of them."""
        known = [work for work in self._doubtful if not work.is_in_doubt]
        self._doubtful = [work for work in self._doubtful if work.is_in_doubt]
        for work in known:
            work.answer()

    async def _in_thread(self, do: Callable[..., None], *arguments: Any) -> None:
        """Run what may hang, and watch it."""
        loop = asyncio.get_running_loop()
        self._began_s = time.monotonic()
        self._watch = loop.call_later(self._stuck_s, self._look)
        try:
            await loop.run_in_executor(self._thread, do, *arguments)
        finally:
            self._watch.cancel()

    def _look(self) -> None:
        """See how long what runs has been running. Of all waiting only this one may be slow."""
        loop = asyncio.get_running_loop()
        running_s = time.monotonic() - self._began_s
        self._watch = loop.call_later(
            max(0.05, self._stuck_s - running_s % self._stuck_s), self._look
        )
        if running_s < self._stuck_s:
            return
        self._database.break_off()
        if self.away is None:
            words = f"the store has not answered for {running_s:.1f} s"
            self._refuse(StoreAwayError(words, RETRY_AFTER_S))

    def _go_away(self, error: StoreError) -> None:
        self._refuse(error)
        if isinstance(error, StoreAwayError) and self._probe is None and not self._closed:
            self._probe = asyncio.get_running_loop().create_task(
                self._look_again(), name="store connection"
            )

    def _refuse(self, error: StoreError) -> None:
        """Refuse all that waits, and what comes."""
        if self.away is None:
            is_news = time.monotonic() - self._back_s >= STEADY_S
            log.log(logging.WARNING if is_news else logging.DEBUG, "%s", error)
            self._stats.away_count += 1
            if is_news:
                self._wait_s = FIRST_PROBE_S
        self.away, self._stats.is_away = error, True
        self._back.clear()
        for work in self._waiting:
            work.fail(_again(error))
            work.answer()
            self._stats.refused += 1
        self._waiting.clear()
        self._stats.waiting = 0

    async def _look_again(self) -> None:
        """Probe until the database is back, one probe at a time."""
        while True:
            # Half of the wait is chance: those of a server that returns do not come at once.
            await asyncio.sleep(self._wait_s * random.uniform(0.5, 1.0))  # noqa: S311
            self._wait_s = min(2 * self._wait_s, LONGEST_PROBE_S)
            try:
                await self._in_thread(self._database.probe)
            except StoreAwayError as error:
                if str(error) != str(self.away):
                    log.debug("%s", error)
                self.away = error
            except StoreError as error:
                # As long as this process runs: somebody has to see to it.
                log.exception("the store is lost")
                self.away = error
                self._answer()
                return
            else:
                self._probe = None
                self._come_back()
                self._answer()
                return

    def _come_back(self) -> None:
        log.info("the store is back")
        self.away, self._stats.is_away = None, False
        self._back_s = time.monotonic()
        self._back.set()
        self._start()


def _again(error: StoreError) -> StoreError:
    """Return *error* anew: one that is raised twice would carry both tracebacks."""
    if isinstance(error, StoreAwayError):
        again: StoreError = StoreAwayError(str(error), error.retry_after_s)
    else:
        again = type(error)(str(error))
    again.__cause__ = error.__cause__
    return again
