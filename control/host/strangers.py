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
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from ..client.errors import CLIENT_ERRORS
from ..client.models import CallInfo
from ..graph.notifications import Notification, normal_id
from ..store.base import StoreError
from .letters import lineage_of, sequence_of

log = logging.getLogger("mixminus.control.host")

MAX_ASKING: Final = 64
MAX_WAITING: Final = 256
MAX_NOBODY: Final = 1024
"""Ids that the service did not know, or whose leg was replaced: word of them is dropped unasked."""
_UNDASHED: Final = re.compile(r"[0-9A-Fa-f]{32}\Z")


_Key = tuple[str, str]
"""A call's id and its tenant: what another tenant says of the same id is about another call."""


class Strangers:
    """The calls that are being asked about. Thread: the loop's.

    *adopt* takes over a call that there is, with its tenant, the lineage that its first word came
    for, and what waits for it; *release* what cannot be told from whose it is, for now; *drop* what
    is about nobody.
    """

    def __init__(
        self,
        ask: Callable[[str, str], Awaitable[CallInfo | None]],
        adopt: Callable[
            [CallInfo, str, str | None, Callable[[], list[Notification]]], Awaitable[None]
        ],
        release: Callable[[Sequence[Notification]], None],
        drop: Callable[[Notification], None],
    ) -> None:
        self._ask = ask
        self._adopt = adopt
        self._release = release
        self._drop = drop
        self._waiting: dict[_Key, list[Notification]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._nobody: OrderedDict[_Key, None] = OrderedDict()
        self.unknown = 0
        """How many calls the service did not know either."""

    def is_nobody(self, call_id: str, tenant_id: str) -> bool:
        """Whether the service said that *tenant_id* has no such call, or we have left it."""
        return _key(call_id, tenant_id) in self._nobody

    def leave(self, call_id: str, tenant_id: str) -> None:
        """Drop what comes about a call from now on, without asking: another leg took its place."""
        self._nobody[_key(call_id, tenant_id)] = None
        if len(self._nobody) > MAX_NOBODY:
            self._nobody.popitem(last=False)

    def take(self, notification: Notification, tenant_id: str) -> bool:
        """Keep *notification* until its call is known; False when there are too many."""
        key = _key(notification.call_id, tenant_id)
        waiting = self._waiting.get(key)
        if waiting is not None:
            if len(waiting) >= MAX_WAITING and sequence_of(notification) is None:
                return False
            waiting.append(notification)
            return True
        if len(self._waiting) >= MAX_ASKING:
            if sequence_of(notification) is not None:
                self._release([notification])
            return False
        self._waiting[key] = [notification]
        task = asyncio.create_task(
            self._find(key, plain_id(notification), tenant_id, lineage_of(notification)),
            name=f"stranger {key[0]}",
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

    async def _find(self, key: _Key, call_id: str, tenant_id: str, lineage: str | None) -> None:
        try:
            call = await self._ask(call_id, tenant_id)
            if call is not None and call.id:
                await self._adopt(call, tenant_id, lineage, lambda: self._waiting.pop(key, []))
                return
        except (*CLIENT_ERRORS, StoreError) as exc:
            log.warning("call %s is not ours, and nobody says whose: %s", call_id, exc)
            self._release(self._waiting.pop(key, []))
            return
        finally:
            waiting = self._waiting.pop(key, [])
        self.unknown += 1
        self.leave(*key)
        for notification in waiting:
            self._drop(notification)


def _key(call_id: str, tenant_id: str) -> _Key:
    return normal_id(call_id), tenant_id.casefold()


def plain_id(notification: Notification) -> str:
    """Return the call's id as the service writes it; URLs have it upper-case and undashed, too."""
    call_id, data = notification.call_id, notification.resource_data
    shown = data.get("id") if isinstance(data, Mapping) else None
    if isinstance(shown, str) and normal_id(shown) == normal_id(call_id):
        return shown
    if _UNDASHED.match(call_id):
        return str(uuid.UUID(call_id))
    return call_id
