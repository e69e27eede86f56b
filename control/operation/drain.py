"""The end of a process that serves: no new calls, wait for those that stand, then leave."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Final, Literal

from .operation import Operation

log = logging.getLogger("mixminus.control.operation")

LOOK_S: Final = 0.1
"""How often it is looked whether calls are left."""


@dataclass(frozen=True, slots=True)
class Drained:
    """How the waiting ended, after how long, and how many calls were left then."""

    why: Literal["empty", "deadline", "insisted"]
    seconds: float
    calls_left: int


async def drain(
    operation: Operation, *, insisted: asyncio.Event, seconds: float | None = None
) -> Drained:
    """Refuse new calls from now on, and wait until those that stand have ended.

    At most *seconds*, by default ``drain_s`` of the settings, and not longer than until *insisted*
    is set. What is left then is the caller's to end: by leaving its host and service, which hang
    up in order.
    """
    loop = asyncio.get_running_loop()
    limit_s = operation.settings.drain_s if seconds is None else seconds
    began_s = loop.time()
    operation.admission.drain()
    if operation.busy:
        log.info("stopping: calls left %d, waiting up to %g s", operation.busy, limit_s)
    while True:
        waited_s = loop.time() - began_s
        left = operation.busy
        if not left:
            return _ended(Drained("empty", waited_s, 0))
        if insisted.is_set():
            return _ended(Drained("insisted", waited_s, left))
        if waited_s >= limit_s:
            return _ended(Drained("deadline", waited_s, left))
        try:
            async with asyncio.timeout(min(LOOK_S, limit_s - waited_s)):
                await insisted.wait()
        except TimeoutError:
            continue


def _ended(drained: Drained) -> Drained:
    if drained.calls_left:
        log.warning("stopping after %.1f s, calls left %d", drained.seconds, drained.calls_left)
    return drained
