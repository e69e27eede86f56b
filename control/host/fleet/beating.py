"""Saying that this host lives, and being sure of its calls before it says anything else."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from mixminus.media.fence import Fence

from ...store.base import StoreError
from ...store.host_base import HostStore, StaleOwnerError
from .watching import BEAT_S

log = logging.getLogger("mixminus.control.host")

SHUT_RETRY_S: Final = 0.5
"""How soon the store is asked again while nothing may be sent."""


class Beating:
    """The beats of one instance, and the opening of its fence.

    *say* writes a beat; *look* checks which calls are still ours and lets go of the others: after
    a standstill the fence opens only when both have succeeded. Thread: the loop's.
    """

    def __init__(
        self,
        fence: Fence,
        *,
        say: Callable[[], Awaitable[None]],
        look: Callable[[], Awaitable[None]],
        on_stolen: Callable[[StaleOwnerError], None],
    ) -> None:
        self._fence, self._say, self._look, self._on_stolen = fence, say, look, on_stolen
        self._wake = asyncio.Event()
        self.is_away = False
        """Whether the store did not take the last beat."""
        self.beats = 0
        """How many were written."""

    def hurry(self) -> None:
        """Beat at once: something has changed that others should know."""
        self._wake.set()

    async def run(self) -> None:
        """Beat until cancelled, or until another process has this instance's name."""
        off = self._fence.on_shut(self.hurry)
        try:
            while await self._beat():
                await self._rest()
        finally:
            off()

    async def _beat(self) -> bool:
        self._fence.pulse()
        standstills = self._fence.standstills
        try:
            await self._say()
            if not self._fence.is_open:
                await self._look()
                if self._fence.open(standstills):
                    log.info("the store was asked: everything is sent again")
        except StaleOwnerError as exc:
            self._on_stolen(exc)
            return False
        except StoreError as exc:
            if not self.is_away:
                log.warning("the other hosts do not hear of this one: %s", exc)
            self.is_away = True
        else:
            self.beats += 1
            self.is_away = False
        return True

    async def _rest(self) -> None:
        try:
            async with asyncio.timeout(BEAT_S if self._fence.is_open else SHUT_RETRY_S):
                await self._wake.wait()
        except TimeoutError:
            return
        self._wake.clear()


def sayer(
    store: Callable[[], HostStore],
    instance: str,
    incarnation: str,
    *,
    load: Callable[[], float],
    calls: Callable[[], int],
    is_draining: Callable[[], bool],
) -> Callable[[], Awaitable[None]]:
    """Return what writes one beat of *instance*, with how it stands at that moment."""

    async def say() -> None:
        await store().beat(
            instance,
            incarnation,
            load=round(min(max(load(), 0.0), 9.99), 4),
            calls=calls(),
            is_draining=is_draining(),
        )

    return say
