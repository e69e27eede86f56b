"""The fence before Graph: a host that stood still asks for nothing until its calls are its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final
from urllib.parse import unquote, urlsplit

from mixminus.media.fence import Fence

from ...client.requests import GraphConnectionError

LONGEST_WAIT_S: Final = 60.0
"""How long a request is held up at most, should the store not answer: then it is not sent."""


def call_id_of(url: str) -> str | None:
    """Return the id of the call that a request to *url* is about."""
    parts = urlsplit(url).path.split("/")
    for place, part in enumerate(parts[:-1]):
        if part == "calls" and place > 0 and parts[place - 1] == "communications":
            return unquote(parts[place + 1]) or None
    return None


class GraphGate:
    """Holds requests up while the fence is shut, once it is armed with one. Thread: the loop's."""

    def __init__(self) -> None:
        self._fence: Fence | None = None
        self._is_left: Callable[[str], bool] = lambda call_id: False

    def arm(self, fence: Fence, is_left: Callable[[str], bool]) -> None:
        """Begin to hold up what *fence* shuts out; *is_left* knows the calls that were let go."""
        self._fence, self._is_left = fence, is_left

    async def __call__(self, method: str, url: str) -> None:
        """Return when a request to *url* may be sent.

        Raises: GraphConnectionError when it would change a call that was let go: another instance
                has that by now, perhaps under the same id. Also when the fence does not open within
                a minute.
        """
        fence = self._fence
        if fence is None:
            return
        if not fence.is_open:
            try:
                async with asyncio.timeout(LONGEST_WAIT_S):
                    await fence.wait_open()
            except TimeoutError:
                raise GraphConnectionError(
                    f"not sent: this host stood still, and its store did not answer for"
                    f" {LONGEST_WAIT_S:g} s"
                ) from None
        call_id = call_id_of(url)
        if method != "GET" and call_id is not None and self._is_left(call_id):
            raise GraphConnectionError(f"not sent: call {call_id} was let go by this host")
