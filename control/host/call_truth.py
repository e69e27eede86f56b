"""Whether what is known of a call is still so: keepAlive, and GET where word may have been lost."""

from __future__ import annotations

import asyncio
import logging
import random
from abc import abstractmethod
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, Final

from ..client.calls import CallsClient
from ..client.errors import CLIENT_ERRORS
from ..graph.enums import CallState
from ..remote_state import CallMirror
from .parts import News
from .runner import GONE_GRACE_S
from .waits import CallWaits

log = logging.getLogger("mixminus.control.host")

LOOK_EVERY_S: Final = 60.0
"""How often the service is asked how a call stands: what was lost is made good then."""
LOOK_JITTER: Final = 0.2
"""How much sooner or later, so that a thousand calls do not ask at once."""
SILENCE_S: Final = 10.0
"""How long nothing may come of a call in a state that should pass."""
PASSING: Final = frozenset(
    {CallState.ESTABLISHING, CallState.REDIRECTING, CallState.TRANSFERRING, CallState.TERMINATING}
)


class CallTruth:
    """How one call finds out what it was not told. Thread: the loop's."""

    id: str
    is_owned: bool
    _client: CallsClient
    _mirror: CallMirror
    _waits: CallWaits
    _queue: asyncio.Queue[News]
    _doubt: asyncio.Event
    _received: int
    _queued: int

    @property
    @abstractmethod
    def state(self) -> CallState:
        """What the call is in now."""

    @abstractmethod
    def _end(self, reason: str) -> None:
        """Begin the end, once."""

    @abstractmethod
    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Run *work* until the call's end."""

    def take_participants(self, participants: Sequence[Mapping[str, Any]]) -> None:
        """Take over who is in the call, as a GET said before anything was told here."""
        if participants:
            self._queue.put_nowait(News(participants=list(participants), is_latest=True))

    def _start_truth(self) -> None:
        self._spawn(self._settle_doubts(), "doubts")
        self._spawn(self._look_again(), "reconcile")
        if self.is_owned:
            self._spawn(self._keep_alive(), "keepAlive")

    async def _settle_doubts(self) -> None:
        """Fetch the truth whenever what was told cannot be, or may not be, all of it."""
        while True:
            await self._doubt.wait()
            self._doubt.clear()
            queued = self._queued
            participants: list[Any] | None = None
            try:
                call = await self._client.get(self.id)
                if call is not None and self._mirror.roster.is_known:
                    people = await self._client.participants(self.id)
                    participants = [person.raw for person in people]
            except CLIENT_ERRORS as exc:
                log.warning("call %s: looking after it: %s", self.id, exc)
                continue
            if call is None:
                await self._be_gone()
                return
            is_latest = queued == self._queued
            await self._queue.put(
                News(call=call.raw, participants=participants, is_latest=is_latest)
            )

    async def _look_again(self) -> None:
        """Doubt what is known each minute, and where nothing comes of a state that should pass."""
        loop = asyncio.get_running_loop()
        # The first look at any time within the minute: many calls may have begun together.
        due_s = loop.time() + _within(LOOK_JITTER, 1.0) * LOOK_EVERY_S
        heard = -1
        while True:
            await asyncio.sleep(SILENCE_S)
            is_stuck = self._received == heard and self.state in PASSING
            heard = self._received
            if is_stuck or loop.time() >= due_s:
                self._doubt.set()
                due_s = loop.time() + _within(1 - LOOK_JITTER, 1.0) * LOOK_EVERY_S

    async def _keep_alive(self) -> None:
        # Each time the service is also asked how things stand: what was lost is made good then.
        await self._client.keep_alive_until_gone(self.id, on_alive=self._doubt.set)
        await self._be_gone()

    async def _be_gone(self) -> None:
        if not await self._waits.ends_within(GONE_GRACE_S):
            self._end("the service no longer knows the call")


def _within(least: float, most: float) -> float:
    return random.uniform(least, most)  # noqa: S311 - spreads load, hides nothing
