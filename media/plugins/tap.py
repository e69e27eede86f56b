"""A tap: a plugin that only listens. Frames wait for it, and nobody waits for it."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections import deque
from collections.abc import Mapping
from typing import Any, Final

from ..pcm import AudioFrame
from .config import Made
from .contract import PluginContext
from .errors import RAISED
from .local import LocalSlot, Spawn
from .slot import Tell

WAITING_FRAMES: Final = 250
"""What may wait for a slow one (5 s); then the oldest go, counted as bypassed."""


class TapSlot(LocalSlot):
    """A listener in a chain. It hears what is heard at its place.

    A coroutine runs on *loop*, any other in a thread of its own. Without a *loop*, offline, each
    frame is taken in before the next one comes.
    """

    def __init__(
        self,
        made: Made,
        context: PluginContext,
        tell: Tell,
        spawn: Spawn,
        loop: asyncio.AbstractEventLoop | None,
    ) -> None:
        super().__init__(made, context, tell, spawn)
        self._is_async = inspect.iscoroutinefunction(made.process)
        self._loop = loop
        self._own_loop = asyncio.new_event_loop() if loop is None and self._is_async else None
        self._waiting: deque[AudioFrame] = deque()
        self._wake = threading.Condition()
        self._news: asyncio.Event | None = None
        self._is_started = False

    def hear(self, frame: AudioFrame) -> None:
        """Let it have *frame*. Never waits, but offline."""
        if self._loop is None:
            self._hear_now(frame.copy())
            return
        if not self._is_started:
            self._is_started = True
            self._start(self._loop)
        with self._wake:
            if len(self._waiting) == WAITING_FRAMES:
                self._waiting.popleft()
                self.went_past()
            self._waiting.append(frame.copy())
            self._wake.notify()
        if self._news is not None:
            self._loop.call_soon_threadsafe(self._news.set)

    def set(self, parameters: Mapping[str, Any]) -> None:
        """Change parameters, from the next frame on. Raises: PluginConfigError."""
        self._changes.append(self._made.check_change(parameters))

    def close(self) -> None:
        """Use it no more: it hears what waits, then lets go."""
        was_closed = self.is_closed
        self.is_closed = True
        with self._wake:
            self._wake.notify()
        if self._news is not None and self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._news.set)
        if not self._is_started and not was_closed:
            self._spawn(self._close_tap, f"mixminus-close-{self.name}")

    def _close_tap(self) -> None:
        self._close()
        if self._own_loop is not None:
            self._own_loop.close()

    def _hear_now(self, frame: AudioFrame) -> None:
        self.took(0)
        try:
            result = self._taken(frame)
            if self._own_loop is not None:
                self._own_loop.run_until_complete(result)
        except RAISED as exc:
            # The boundary to someone else's code: it is told.
            self.failed(f"{type(exc).__name__}: {exc}")

    def _taken(self, frame: AudioFrame) -> Any:
        while self._changes:
            self._made.set(self._changes.popleft())
        return self._made.process(frame)

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._is_async:
            self._news = asyncio.Event()
            asyncio.run_coroutine_threadsafe(self._listen(), loop)
        else:
            threading.Thread(
                target=self._listen_here, name=f"mixminus-tap-{self.name}", daemon=True
            ).start()

    async def _listen(self) -> None:
        assert self._news is not None
        try:
            while not (self.is_closed and not self._waiting):
                if not self._waiting:
                    self._news.clear()
                    if not self._waiting and not self.is_closed:
                        await self._news.wait()
                    continue
                frame = self._waiting.popleft()
                self.took(0)
                try:
                    await self._taken(frame)
                except RAISED as exc:
                    if (task := asyncio.current_task()) is not None and task.cancelling():
                        raise  # The loop ends, not the plugin.
                    # The boundary to someone else's code: it is told.
                    self.failed(f"{type(exc).__name__}: {exc}")
                    if self.is_disabled:
                        self._waiting.clear()
        finally:
            self._spawn(self._close, f"mixminus-close-{self.name}")

    def _listen_here(self) -> None:
        while True:
            with self._wake:
                while not self._waiting and not self.is_closed:
                    self._wake.wait()
                if not self._waiting:
                    break
                frame = self._waiting.popleft()
            self._hear_now(frame)
        self._close()
