"""The fleet in the console: which hosts run the bot, and which of them has which call."""

from __future__ import annotations

from typing import Any, Literal, TypedDict

from ...console.models import InstanceView, OwnedCallView
from ...store.base import StoreError
from ..fleet.fleet import HostFleet


class FleetViews(TypedDict):
    """The members of a ``BotView`` that are about a fleet."""

    instances: tuple[InstanceView, ...]
    owned_calls: tuple[OwnedCallView, ...]


async def fleet_views(fleet: HostFleet) -> FleetViews:
    """Return hosts and calls of *fleet*; nothing when the host is alone, or its store is away."""
    try:
        told = await fleet.describe()
    except StoreError:
        # The page is about the bot: it is shown all the same.
        return {"instances": (), "owned_calls": ()}
    if len(told["instances"]) < 2:
        return {"instances": (), "owned_calls": ()}
    return {
        "instances": tuple(_instance(one, told["instance"]) for one in told["instances"]),
        "owned_calls": tuple(_call(one) for one in told["calls"]),
    }


def _instance(one: dict[str, Any], asked: str) -> InstanceView:
    state: Literal["alive", "draining", "silent"] = "draining" if one["isDraining"] else "alive"
    return InstanceView(
        name=one["instance"],
        state=state if one["isAlive"] else "silent",
        is_asked=one["instance"] == asked,
        calls=one["rows"],
        capacity=one["capacity"],
        load_ratio=one["load"],
    )


def _call(one: dict[str, Any]) -> OwnedCallView:
    peer = one["peer"]
    return OwnedCallView(
        lineage=one["lineage"],
        call_id=one["callId"],
        owner=one["owner"],
        title=peer.get("displayName") or peer.get("id") or "",
        state=one["state"],
        epoch=one["epoch"],
    )
