"""Named timers of one call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Timers:
    """What shall happen after a while, by name; each name has one.

    Thread: the loop's.
    """

    def __init__(self) -> None:
        self._handles: dict[str, asyncio.TimerHandle] = {}

    def __getitem__(self, name: str) -> asyncio.TimerHandle:
        """Return a timer that was set."""
        return self._handles[name]

    def set(self, name: str, seconds: float, callback: Callable[[], None]) -> None:
        """Call *callback* in that time, unless it is cancelled or set anew first."""
        self.cancel(name)
        loop = asyncio.get_running_loop()
        self._handles[name] = loop.call_later(max(0.0, seconds), callback)

    def cancel(self, name: str) -> None:
        """Take back a timer. One that is not there is no error."""
        handle = self._handles.pop(name, None)
        if handle is not None:
            handle.cancel()

    def cancel_all(self) -> None:
        """Take back all. Again is no error."""
        for name in tuple(self._handles):
            self.cancel(name)
