"""The keys that a caller presses, as a bot reads them."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final, Self

from ..client.models import ToneInfo

MAX_TONES: Final = 256
"""More keys than anyone presses before a bot reads them; the oldest go first."""


class Tones:
    """Keys pressed from now on; iterate until the call ends. Thread: the loop's."""

    def __init__(self) -> None:
        self._waiting: deque[ToneInfo] = deque(maxlen=MAX_TONES)
        self._wake = asyncio.Event()
        self._is_over = False

    def __aiter__(self) -> Self:
        """Iterate over the keys."""
        return self

    async def __anext__(self) -> ToneInfo:
        """Wait for the next key."""
        while not self._waiting:
            if self._is_over:
                raise StopAsyncIteration
            self._wake.clear()
            await self._wake.wait()
        return self._waiting.popleft()

    async def next(self, timeout_s: float | None = None) -> ToneInfo | None:
        """Wait for the next key; None when the call ended, or the time is up, before one came."""
        try:
            async with asyncio.timeout(timeout_s):
                return await anext(self, None)
        except TimeoutError:
            return None

    def put(self, tone: ToneInfo) -> None:
        """Hand over a key. The call's to do."""
        self._waiting.append(tone)
        self._wake.set()

    def close(self) -> None:
        """End the iteration after what waits. The call's to do. Again is no error."""
        self._is_over = True
        self._wake.set()
