"""Running a bot's handlers for one call: whose fault a failure is, and the end of all of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, Protocol

from mixminus.media.session import SessionClosedError

from ..client.requests import GraphRequestError
from ..operation.call_context import call_task, concern_of
from .errors import CallEndedError, OperationFailedError
from .waits import CallWaits

log = logging.getLogger("mixminus.control.host")

BOT_GRACE_S: Final = 3.0
"""How long a handler may go on after the end of its call, to write its last words."""
GONE_GRACE_S: Final = 1.0
"""A 404 and the notification of the end, which says why, race each other: the second may be this
late. With ``BOT_GRACE_S`` a call that is gone is cleaned up within 5 s."""
GONE_CODES: Final = frozenset({"8522", "8528"})
"""What Graph says when it knows no such call, or no longer."""


class BotCall(Protocol):
    """A call that handlers are given: Graph's, or a stream's."""

    id: str


class BotRunner:
    """The handlers of one call's bot. Thread: the loop's."""

    def __init__(self, call: BotCall, waits: CallWaits) -> None:
        self._call = call
        self._waits = waits
        self._concern = concern_of(call.id)
        self._tasks: list[asyncio.Task[None]] = []
        self.error: str | None = None

    async def run(self, handler: Callable[..., Awaitable[None]] | None, *more: Any) -> bool:
        """Run one of the bot's handlers; False when it failed: that ends its call and no more."""
        if handler is None:
            return True
        try:
            await handler(self._call, *more)
        except (SessionClosedError, CallEndedError, OperationFailedError) as exc:
            # It was busy with the call when that ended.
            return await self._waits.ends_within(GONE_GRACE_S) or self._blame(exc)
        except GraphRequestError as exc:
            is_gone = exc.code in GONE_CODES and await self._waits.ends_within(GONE_GRACE_S)
            return is_gone or self._blame(exc)
        except Exception as exc:
            return self._blame(exc)
        return True

    def start(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Run *work* as a task of the bot, which may outlive the call a little."""
        task = call_task(self._concern, work, f"{name} {self._call.id}")
        self._tasks.append(task)
        return task

    async def close(self) -> None:
        """Wait for the bot's tasks, and cancel those that go on too long after the end."""
        if not self._tasks:
            return
        _, busy = await asyncio.wait(self._tasks, timeout=BOT_GRACE_S)
        if busy:
            log.warning("call %s: the bot goes on after its end: cancelled", self._call.id)
        for task in busy:
            task.cancel()
        await asyncio.gather(*busy, return_exceptions=True)

    def _blame(self, exc: Exception) -> bool:
        self.error = f"{type(exc).__name__}: {exc}"
        log.error("call %s: the bot failed: %s", self._call.id, self.error, exc_info=exc)
        return False
