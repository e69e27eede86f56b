"""An event loop whose clock goes on by itself whenever everybody waits: seconds cost nothing."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _Selector(selectors.DefaultSelector):
    """Looks at sockets without waiting, and lets time pass instead."""

    def __init__(self, loop_of: list[VirtualLoop]) -> None:
        super().__init__()
        self._loop_of = loop_of

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("everybody waits, and nothing is to come")
        ready = super().select(0)
        if not ready:
            self._loop_of[0].now_s += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop in virtual time. For what waits for time and for each other, not for threads."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        loop_of: list[VirtualLoop] = []
        super().__init__(_Selector(loop_of))
        loop_of.append(self)

    def time(self) -> float:
        return self.now_s


def run_virtually(work: Coroutine[Any, Any, T]) -> T:
    """Run *work* in virtual time, and return what it returns."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work)
