"""What every transport is: it carries one leg until it is closed."""

from __future__ import annotations

import asyncio
from typing import Protocol


class RemoteProtocolError(ValueError):
    """The far end sent what its protocol does not allow."""


class Transport(Protocol):
    """Carries one leg's audio to and from a far end.

    Thread: the loop's.
    """

    @property
    def closed(self) -> asyncio.Future[str]:
        """Resolved once, with the reason, when the far end is gone or close() was called."""

    def counters(self) -> dict[str, int]:
        """Return frames in and out, and dropped by reason, so far."""

    async def close(self) -> None:
        """Tell the far end, and leave no task, thread or socket behind. Again is no error."""


class ClosedFuture:
    """The once-only reason of a transport's end."""

    def __init__(self) -> None:
        self.future: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def resolve(self, reason: str) -> None:
        """Say why it ended; only the first reason counts."""
        if not self.future.done():
            self.future.set_result(reason)


async def wait_connected(
    connected: asyncio.Future[None], closed: asyncio.Future[str], timeout_s: float
) -> None:
    """Wait for the one of both that comes first; both are left as they are.

    Raises: TimeoutError; ConnectionError with the reason when it was *closed*.
    """
    async with asyncio.timeout(timeout_s):
        await asyncio.wait((connected, closed), return_when=asyncio.FIRST_COMPLETED)
    if not connected.done():
        raise ConnectionError(closed.result())
