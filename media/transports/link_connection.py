"""One WebSocket under a media link: a task that reads it and one that writes it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Final

from ..fence import Fence
from .message_socket import MessageSocket

log = logging.getLogger("mixminus.media.link")

CLOSE_TIMEOUT_S: Final = 1.0


class Connection:
    """Hands each message of *socket* to *take*, and sends what *due* gives whenever it is woken.

    *failed* is called once: with a reason when the socket is gone, with None when *take* or *due*
    failed by a bug of ours, which is logged. While *fence* is shut nothing is sent.
    Neither task is left after :meth:`close`.
    Thread: the loop's.
    """

    def __init__(
        self,
        socket: MessageSocket,
        *,
        take: Callable[[bytes | str], None],
        due: Callable[[], list[bytes]],
        failed: Callable[[Connection, str | None], None],
        fence: Fence | None = None,
    ) -> None:
        self._socket, self._take, self._due, self._failed = socket, take, due, failed
        self._fence = fence
        self._woken = asyncio.Event()
        self._is_closed = False
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when this socket is closed, by whoever it was."""
        self._tasks = (
            asyncio.create_task(self._run(self._send), name="media link send"),
            asyncio.create_task(self._run(self._receive), name="media link receive"),
        )

    def wake(self) -> None:
        """Send what is due, soon."""
        self._woken.set()

    async def close(self, code: int, reason: str, last: bytes | None = None) -> None:
        """Stop both tasks, send *last* if the socket takes it in time, and close the socket."""
        self.stop()
        await asyncio.wait(self._tasks)
        try:
            with suppress(ConnectionError, TimeoutError):
                async with asyncio.timeout(CLOSE_TIMEOUT_S):
                    if last is not None and self._may_send:
                        await self._socket.send(last)
                    await self._socket.close(code, reason)
        finally:
            if not self.over.done():
                self.over.set_result(None)

    def stop(self) -> None:
        """Take and send nothing from now on."""
        self._is_closed = True
        for task in self._tasks:
            # The one that found out ends by itself.
            if task is not asyncio.current_task():
                task.cancel()

    async def _run(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            await work()
        except ConnectionError as exc:
            self._fail(str(exc))
        except Exception:
            # A bug of ours ends this call's link with a report; the process and other calls live.
            log.exception("a media link failed")
            self._fail(None)

    def _fail(self, reason: str | None) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._failed(self, reason)

    async def _send(self) -> None:
        while not self._is_closed:
            await self._woken.wait()
            self._woken.clear()
            for message in self._due():
                # Looked at once more for each: the last one may have waited for long.
                if self._may_send:
                    await self._socket.send(message)

    @property
    def _may_send(self) -> bool:
        return self._fence is None or self._fence.is_open

    async def _receive(self) -> None:
        while not self._is_closed:
            message = await self._socket.receive()
            if not self._is_closed:
                self._take(message)
