"""Calls that are asked for at one host, and made at another that has less to do."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final, TypeAlias

from ...store.base import StoreError
from ...store.host_base import HostStore, RequestRow

log = logging.getLogger("mixminus.control.host")

Json: TypeAlias = dict[str, Any]

ANSWER_S: Final = 30.0
"""How long the other host has: a call that is asked for takes a few requests."""
TAKE_S: Final = 4.0
"""How long it has to begin: then the call is made on the spot."""
LOOK_S: Final = 0.5
"""How often the answer is looked for; the store also wakes us."""


class AskedTooLongError(TimeoutError):
    """The other host has begun, and not said what came of it."""


class Asking:
    """Requests between hosts. *make* makes a call here: it returns the answer, an error's too.

    Thread: the loop's.
    """

    def __init__(
        self,
        own: str,
        *,
        store: Callable[[], HostStore],
        make: Callable[[Json], Awaitable[Json]],
    ) -> None:
        self._own, self._store, self._make = own, store, make
        self._woken = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    def wake(self) -> None:
        """Look for answers at once."""
        self._woken.set()

    async def ask(self, instance: str, body: Json) -> Json | None:
        """Have *instance* do what *body* says; None when it did not even begin.

        Raises: StoreError; AskedTooLongError when what came of it is not known.
        """
        store, loop = self._store(), asyncio.get_running_loop()
        request_id = str(uuid.uuid4())
        await store.ask(RequestRow(request_id, instance, self._own, body, None))
        began_s = loop.time()
        try:
            while (waited_s := loop.time() - began_s) < ANSWER_S:
                answer = await store.answered(request_id)
                if answer is not None:
                    return answer
                if waited_s >= TAKE_S and await store.withdraw(request_id):
                    log.warning("%s does not take calls now: on the spot, then", instance)
                    return None
                await self._look_soon()
        except asyncio.CancelledError:
            # Whoever asked has gone: what has not begun is not to be.
            with suppress(StoreError):
                await store.withdraw(request_id)
            raise
        raise AskedTooLongError(f"{instance} did not say within {ANSWER_S:g} s what came of it")

    async def serve(self) -> None:
        """Begin what others have asked of this host. Raises: StoreError."""
        store = self._store()
        for row in await store.asked(self._own):
            if await store.take_request(row.request_id, self._own):
                task = asyncio.create_task(self._do(row), name=f"request {row.request_id}")
                self._tasks.add(task)
                task.add_done_callback(self._done)

    async def close(self) -> None:
        """Wait for what was begun."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _do(self, row: RequestRow) -> None:
        answer = await self._make(row.body)
        await self._store().answer(row.request_id, answer)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or (error := task.exception()) is None:
            return
        if isinstance(error, StoreError):
            log.warning("%s: not answered: %s", task.get_name(), error)
        else:
            log.error("%s failed", task.get_name(), exc_info=error)

    async def _look_soon(self) -> None:
        self._woken.clear()
        try:
            async with asyncio.timeout(LOOK_S):
                await self._woken.wait()
        except TimeoutError:
            return
