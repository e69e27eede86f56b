"""Notifications about calls that a host does not know: who they are about is asked, not guessed.

A host that started again has calls at the service; so has one whose creation was answered to
nobody. Their notifications wait here until the service has said what the call is.
"""

from __future__ import annotations

import asyncio
import logging
import re
import uuid
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from ..client.errors import CLIENT_ERRORS
from ..client.models import CallInfo
from ..graph.notifications import Notification, normal_id

log = logging.getLogger("mixminus.control.host")

MAX_ASKING: Final = 64
MAX_WAITING: Final = 256
MAX_NOBODY: Final = 1024
"""Ids that the service did not know: word of them is dropped without asking again."""
_UNDASHED: Final = re.compile(r"[0-9A-Fa-f]{32}\Z")


class Strangers:
    """The calls that are being asked about. Thread: the loop's."""

    def __init__(
        self,
        ask: Callable[[str, str], Awaitable[CallInfo | None]],
        adopt: Callable[[CallInfo, str, list[Notification]], None],
    ) -> None:
        self._ask = ask
        self._adopt = adopt
        self._waiting: dict[str, list[Notification]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._nobody: OrderedDict[str, None] = OrderedDict()
        self.unknown = 0
        """How many calls the service did not know either."""

    def is_nobody(self, call_id: str) -> bool:
        """Whether the service said that it knows no such call."""
        return normal_id(call_id) in self._nobody

    def take(self, notification: Notification, tenant_id: str) -> bool:
        """Keep *notification* until its call is known; False when there are too many."""
        key = normal_id(notification.call_id)
        waiting = self._waiting.get(key)
        if waiting is not None:
            if len(waiting) >= MAX_WAITING:
                return False
            waiting.append(notification)
            return True
        if len(self._waiting) >= MAX_ASKING:
            return False
        self._waiting[key] = [notification]
        task = asyncio.create_task(
            self._find(key, plain_id(notification), tenant_id), name=f"stranger {key}"
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def close(self) -> None:
        """Ask no more. Again is no error."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _find(self, key: str, call_id: str, tenant_id: str) -> None:
        try:
            call = await self._ask(call_id, tenant_id)
        except CLIENT_ERRORS as exc:
            log.warning("call %s is not ours, and nobody says whose: %s", call_id, exc)
            return
        finally:
            waiting = self._waiting.pop(key)
        if call is None or not call.id:
            self.unknown += 1
            self._nobody[key] = None
            if len(self._nobody) > MAX_NOBODY:
                self._nobody.popitem(last=False)
            return
        self._adopt(call, tenant_id, waiting)


def plain_id(notification: Notification) -> str:
    """Return the call's id as the service writes it; URLs have it upper-case and undashed, too."""
    call_id, data = notification.call_id, notification.resource_data
    shown = data.get("id") if isinstance(data, Mapping) else None
    if isinstance(shown, str) and normal_id(shown) == normal_id(call_id):
        return shown
    if _UNDASHED.match(call_id):
        return str(uuid.UUID(call_id))
    return call_id
