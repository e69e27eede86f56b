"""Waiting for a store that is away: growing, with chance, and told once."""

from __future__ import annotations

import asyncio
import logging
import random
from typing import Final

from ..store.base import StoreAwayError, StoreError

FIRST_WAIT_S: Final = 0.1
LONGEST_WAIT_S: Final = 1.0
"""No longer: what waits is to be written soon after the store is back."""
PATIENCE_S: Final = 30.0
"""How long a store is tried that is there and refuses: a fault of what is written, most likely."""


class StoreWait:
    """The waits of one piece of work between its attempts to write.

    Thread: the loop's.
    """

    def __init__(self) -> None:
        self._wait_s = FIRST_WAIT_S
        self._since_s: float | None = None
        self._last: StoreError | None = None

    def note(self, log: logging.Logger, what: str, error: StoreError) -> None:
        """Log that *what* waits; the first time alone."""
        if self._since_s is None:
            self._since_s = asyncio.get_running_loop().time()
            # The store itself says aloud that it is away.
            log.debug("%s waits for the store: %s", what, error)
        self._last = error

    @property
    def is_hopeless(self) -> bool:
        """Whether the store was there for half a minute, and took it at no attempt."""
        if self._since_s is None or isinstance(self._last, StoreAwayError):
            return False
        return asyncio.get_running_loop().time() - self._since_s > PATIENCE_S

    async def pause(self) -> None:
        """Wait until the next attempt."""
        # Half of the wait is chance: all that waits does not come at once.
        wait_s = self._wait_s * random.uniform(0.5, 1.0)  # noqa: S311
        self._wait_s = min(2 * self._wait_s, LONGEST_WAIT_S)
        await asyncio.sleep(wait_s)

    def over(self) -> None:
        """Begin anew: it was written."""
        self._wait_s, self._since_s, self._last = FIRST_WAIT_S, None, None
