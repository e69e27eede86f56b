"""An event loop whose time is virtual: it goes on when there is nothing left to do, at once."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from typing import Any, Final

THREAD_PATIENCE_S: Final = 30.0
"""How long time stands still for work in a thread; one that never ends must not stop the world."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """Timers are due one after the other without waiting; ``time()`` begins at 0.

    While work of ``run_in_executor`` or ``to_thread`` is under way, time stands still: what it took
    on this machine makes no difference. The same callbacks in the same order, each time.
    """

    def __init__(self) -> None:
        self._virtual_s = 0.0
        self._threads_busy = 0
        super().__init__(_Selector(self))

    def time(self) -> float:
        """Return the virtual time, seconds."""
        return self._virtual_s

    def advance(self, seconds: float) -> None:
        """Let time go on. The selector's to call, when nothing else is to be done."""
        self._virtual_s += seconds

    @property
    def is_waiting_for_threads(self) -> bool:
        """Whether work in a thread is under way."""
        return self._threads_busy > 0

    def run_in_executor(  # type: ignore[override]
        self, executor: Executor | None, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """Run *func* in a thread; time stands still until it is done."""
        future = super().run_in_executor(executor, func, *args)
        self._threads_busy += 1
        future.add_done_callback(self._thread_done)
        return future

    def _thread_done(self, _: asyncio.Future[Any]) -> None:
        self._threads_busy -= 1


class _Selector(selectors.BaseSelector):
    """The machine's selector, which does not wait for timers."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self._real = selectors.DefaultSelector()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = self._real.select(0)
        if ready or timeout == 0:
            return ready
        if self._loop.is_waiting_for_threads:
            ready = self._real.select(THREAD_PATIENCE_S)
            if ready:
                return ready
        if timeout is None:
            # No timer: only a thread or a socket can go on.
            return self._real.select(THREAD_PATIENCE_S)
        self._loop.advance(timeout)
        return []

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.modify(fileobj, events, data)

    def close(self) -> None:
        self._real.close()

    def get_key(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.get_key(fileobj)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._real.get_map()
