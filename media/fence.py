"""The fence: who stood still says nothing more until it is sure that its calls are its own.

Who is frozen (SIGSTOP, a paused virtual machine) does not notice it. By the time it goes on another
instance may have its calls; what it would send then is from the past.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final

log = logging.getLogger("mixminus.media.fence")

STILL_NS: Final = 6_000_000_000
"""Two beats of 3 s. Others hold an instance for dead after 10 s: it must know of it before them."""

PULSE_S: Final = 0.5
"""How often the pulse is felt where nothing is sent."""


def boot_time_ns() -> int:
    """Return nanoseconds since the machine was started, also those in which it was suspended."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class Fence:
    """Shuts by itself when the process stood still for too long; opened from outside, by a proof.

    Whoever is about to send looks at :attr:`is_open`; each look is a pulse, so that none can slip
    through after a standstill, whichever task runs first. :meth:`keep` feels the pulse where nobody
    sends. *limit_ns* is how long the pulse may stand still, by *clock_ns*.
    Thread: the loop's.
    """

    def __init__(
        self, limit_ns: int = STILL_NS, *, clock_ns: Callable[[], int] = boot_time_ns
    ) -> None:
        if limit_ns <= 0:
            raise ValueError(f"limit_ns: expected more than 0, got {limit_ns}")
        self._limit_ns, self._clock_ns = limit_ns, clock_ns
        self._felt_ns = clock_ns()
        self._open = asyncio.Event()
        self._open.set()
        self._callbacks: list[Callable[[], None]] = []
        self.standstills = 0
        """How often this process stood still for too long, also while the fence was shut."""

    @property
    def is_open(self) -> bool:
        """Whether this process may send."""
        return self.pulse()

    def pulse(self) -> bool:
        """Note that the process runs; shut when it had not for too long. Returns whether open."""
        now_ns = self._clock_ns()
        still_ns, self._felt_ns = now_ns - self._felt_ns, now_ns
        if still_ns > self._limit_ns:
            self.shut(f"this process stood still for {still_ns / 1e9:.1f} s")
        return self._open.is_set()

    def shut(self, reason: str) -> None:
        """Have nothing sent until :meth:`open`."""
        self.standstills += 1
        if self._open.is_set():
            self._open.clear()
            log.warning("nothing is sent until the store was asked: %s", reason)
            for callback in tuple(self._callbacks):
                callback()

    def open(self, standstills: int) -> bool:
        """Let everything pass again, after the store took a write and said which calls are ours.

        *standstills* is how many there were before the store was asked: where there was one more
        since, the answer may be from the past, and the fence stays shut. Returns whether it is
        open.
        """
        self.pulse()
        if self.standstills == standstills:
            self._open.set()
        return self._open.is_set()

    async def wait_open(self) -> None:
        """Wait until this process may send."""
        while not self.pulse():
            await self._open.wait()

    def on_shut(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back, at once and in the loop, when it shuts; returns what takes this back."""
        self._callbacks.append(callback)
        return lambda: self._callbacks.remove(callback) if callback in self._callbacks else None

    async def keep(self) -> None:
        """Feel the pulse for ever, from now on: being quiet is not standing still."""
        self._felt_ns = self._clock_ns()
        while True:
            self.pulse()
            await asyncio.sleep(PULSE_S)
