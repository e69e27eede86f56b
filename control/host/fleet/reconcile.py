"""Whether service, store and engine agree on which calls there are: every difference is listed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ...client.calls import CallsClient
from ...client.errors import CLIENT_ERRORS
from ...graph.enums import CallState
from ...graph.notifications import normal_id
from ...store.host_base import HostCallRow

AT_ONCE: Final = 16
"""How many calls the service is asked about at a time."""


@dataclass(frozen=True, slots=True)
class EngineCall:
    """A call as it stands in this process: ``has_media`` is whether its session is open here."""

    call_id: str
    media: str
    has_media: bool


def differences(
    rows: Iterable[HostCallRow],
    engine: Iterable[EngineCall],
    service: Mapping[str, str | None],
    *,
    own: str,
) -> list[dict[str, Any]]:
    """Return what does not agree, as JSON; nothing when all is well.

    *rows* are the living calls of the store, of all hosts; *engine* those of the host *own*;
    *service* the states that the service told, by call id, None for a call that it does not know.
    """
    found: list[dict[str, Any]] = []
    by_id = {normal_id(row.call_id): row for row in rows if row.call_id is not None}
    told = {normal_id(call_id): state for call_id, state in service.items()}
    here = {normal_id(call.call_id): call for call in engine}

    def add(call_id: str | None, what: str, row: HostCallRow | None) -> None:
        owner, lineage = (None, None) if row is None else (row.owner, row.lineage)
        found.append({"callId": call_id, "lineage": lineage, "owner": owner, "difference": what})

    for row in rows:
        if row.call_id is None:
            add(None, "in the store, and its creation is not answered", row)
    for key, row in by_id.items():
        if row.owner is None:
            add(row.call_id, "in the store, and nobody's: it is offered", row)
        elif row.owner == own and key not in here:
            add(row.call_id, "in the store as ours, and not in this process", row)
        if key in told and told[key] in (None, CallState.TERMINATED.value):
            add(row.call_id, "in the store, and not at the service", row)
    for key, call in here.items():
        kept = by_id.get(key)
        if kept is None:
            add(call.call_id, "in this process, and not in the store", None)
        elif kept.owner not in (own, None):
            add(call.call_id, f"in this process, and {kept.owner}'s in the store", kept)
        if call.media == "app" and not call.has_media:
            add(call.call_id, "in this process, and its media are closed", kept)
        if told.get(key, "") is None:
            add(call.call_id, "in this process, and not at the service", kept)
    return found


async def ask_service(
    calls: Mapping[str, str], client_of: Callable[[str], CallsClient]
) -> tuple[dict[str, str | None], list[str]]:
    """Ask the service how *calls* (tenant ids by call id) stand: their states, and what failed."""
    room, failed = asyncio.Semaphore(AT_ONCE), []
    states: dict[str, str | None] = {}

    async def look(call_id: str, tenant_id: str) -> None:
        async with room:
            try:
                info = await client_of(tenant_id).get(call_id)
            except CLIENT_ERRORS as exc:
                failed.append(f"{call_id}: {exc}")
                return
        states[call_id] = None if info is None else str(info.raw.get("state"))

    await asyncio.gather(*(look(*item) for item in calls.items()))
    return states, failed
