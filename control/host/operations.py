"""Waiting for operations: each ends by a notification, by a GET where that is lost, or not at all.

Notifications are taken in the moment they come: they may come before the answer that names the
operation, and a handler that waits for one must not wait behind itself.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from ..client.errors import CLIENT_ERRORS
from ..client.models import Operation, read_operation
from ..graph.notifications import normal_id
from ..remote_state import RemoteOperation
from .errors import CallEndedError, OperationFailedError

log = logging.getLogger("mixminus.control.host")

CHECK_EVERY_S: Final = 60.0
"""How long an operation may be silent before the service is asked; a record takes up to 120 s."""


class OperationWaits:
    """Who waits for which operation of one call. Thread: the loop's."""

    def __init__(
        self,
        find: Callable[[str], RemoteOperation | None],
        fetch: Callable[[str], Awaitable[None]],
        ended: Callable[[str], CallEndedError],
    ) -> None:
        self._find = find
        self._fetch = fetch
        self._ended = ended
        self._is_over = False
        self._news: dict[str, list[asyncio.Future[None]]] = {}

    async def wait(self, operation: Operation) -> Operation:
        """Return *operation* once it has completed.

        Raises: OperationFailedError; CallEndedError when the call ends first.
        """
        if not operation.id:
            # Nothing to be told about: the answer was all.
            return operation
        held = self._find(operation.id)
        while held is None or not held.is_final:
            if self._is_over:
                raise self._ended(operation.type)
            await self._news_of(operation)
            held = self._find(operation.id)
        done = read_operation(held.data)
        if done.status == "failed":
            raise OperationFailedError(done)
        return done

    def tell(self, operation_id: str) -> None:
        """Wake who waits for that operation: there is news of it."""
        for waiter in self._news.pop(normal_id(operation_id), []):
            if not waiter.done():
                waiter.set_result(None)

    def close(self) -> None:
        """Wake everyone: nothing more comes. Again is no error."""
        self._is_over = True
        for key in tuple(self._news):
            self.tell(key)

    async def _news_of(self, operation: Operation) -> None:
        waiter = asyncio.get_running_loop().create_future()
        waiters = self._news.setdefault(normal_id(operation.id), [])
        waiters.append(waiter)
        try:
            async with asyncio.timeout(CHECK_EVERY_S):
                await waiter
        except TimeoutError:
            try:
                await self._fetch(operation.id)
            except CLIENT_ERRORS as exc:
                log.warning("operation %s: %s", operation.id, exc)
        finally:
            if waiter in waiters:
                waiters.remove(waiter)
            if not waiters:
                self._news.pop(normal_id(operation.id), None)
