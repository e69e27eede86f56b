"""Who waits for something of a call: its next state, its keys, its operations, its end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from ..client.models import ToneInfo
from ..remote_state import RemoteCall, merge_remote
from .errors import CallEndedError
from .tones import Tones


class CallWaits:
    """The waiting of one call's bot, and the word that ends it all.

    The notification of the end waits in the queue like all others, behind a handler that may well
    wait for what never comes now: so it is told here first. Thread: the loop's.
    """

    def __init__(self, call: Callable[[], RemoteCall]) -> None:
        self._call = call
        self.ended = asyncio.Event()
        self.last_word: Mapping[str, Any] | None = None
        """What the service said with the end of the call."""
        self.handler_task: asyncio.Task[None] | None = None
        """Who runs the handlers of updates: it cannot wait for an update."""
        self._tones: list[Tones] = []
        self._waiters: list[asyncio.Future[None]] = []

    @property
    def is_ending(self) -> bool:
        """Whether the end was told, whether or not the handlers have seen it."""
        return self.ended.is_set() or self.last_word is not None

    @property
    def is_in_handler(self) -> bool:
        """Whether it is a handler of updates that asks."""
        return asyncio.current_task() is self.handler_task

    def tones(self) -> Tones:
        """Return the keys that are pressed from now on."""
        tones = Tones()
        self._tones.append(tones)
        if self.is_ending:
            tones.close()
        return tones

    def hear(self, tone: ToneInfo) -> None:
        """Hand a key to all who read them."""
        for tones in self._tones:
            tones.put(tone)

    def say_last_word(self, data: Mapping[str, Any]) -> None:
        """Let go everyone: the call is over, as *data* says. Again is no error."""
        self.last_word = self.last_word or data
        for tones in self._tones:
            tones.close()
        self.wake()

    def wake(self) -> None:
        """Have all who wait look again."""
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def until(self, check: Callable[[], bool], timeout_s: float | None) -> None:
        """Wait until *check* is true.

        Raises: CallEndedError; TimeoutError; RuntimeError in a handler of updates.
        """
        async with asyncio.timeout(timeout_s):
            while not check():
                if self.is_ending:
                    raise self.over("there is nothing to wait for")
                if self.is_in_handler:
                    raise RuntimeError("a handler of updates cannot wait for the next one")
                waiter = asyncio.get_running_loop().create_future()
                self._waiters.append(waiter)
                await waiter

    async def ends_within(self, seconds: float) -> bool:
        """Wait for the end at most so long, in a handler not at all; say whether it has come."""
        if not self.is_ending and not self.is_in_handler:
            try:
                async with asyncio.timeout(seconds):
                    await self.ended.wait()
            except TimeoutError:
                return self.is_ending
        return self.is_ending

    def over(self, what: str) -> CallEndedError:
        """Return the error of someone who wants something of a call that is over."""
        call = self._call()
        if self.last_word is not None:
            call = merge_remote(call, self.last_word)
        return CallEndedError(what, call.result)
