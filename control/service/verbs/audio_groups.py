"""Audio routing groups: private routes between participants.

Source: Microsoft Graph, audioRoutingGroup: list, get, create, update, delete.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...graph import errors
from ...graph.requests import RoutingGroup
from .people import expect_admitted, expect_group, member_of_body

if TYPE_CHECKING:
    from ..live_call import LiveCall

Json = dict[str, Any]

MAX_GROUPS = 100
"""Groups of one call: each costs a look at every routing of the conversation."""


def routing_groups(live: LiveCall) -> list[Json]:
    """Return all groups that this call made."""
    return [_resource(group_id, group) for group_id, group in _groups(live).items()]


def routing_group(live: LiveCall, group_id: str) -> Json:
    """Return one group.

    Raises: GraphError 404.
    """
    return _resource(group_id, _group(live, group_id))


async def create_routing_group(live: LiveCall, group: RoutingGroup) -> Json:
    """Route audio as *group* says.

    Raises: GraphError 400, 409 for an id that is in use.
    """
    _expect(live)
    groups = _groups(live)
    if group.id is None or group.id in groups:
        raise errors.conflict(f"id: the call has an audio routing group {group.id!a} already.")
    if len(groups) >= MAX_GROUPS:
        raise errors.conflict(f"The call has {MAX_GROUPS} audio routing groups already.")
    _check_present(live, group)
    live.conversation.set_group(live.member, group.id, group)
    return _resource(group.id, group)


async def update_routing_group(live: LiveCall, group_id: str, change: RoutingGroup) -> Json:
    """Route audio as the group says with *change* in it.

    Raises: GraphError 400, 404.
    """
    _expect(live)
    group = change.over(_group(live, group_id))
    _check_present(live, change)
    live.conversation.set_group(live.member, group_id, group)
    return _resource(group_id, group)


async def delete_routing_group(live: LiveCall, group_id: str) -> None:
    """Undo a group.

    Raises: GraphError 400, 404.
    """
    _expect(live)
    _group(live, group_id)
    live.conversation.remove_group(live.member, group_id)


def _expect(live: LiveCall) -> None:
    expect_group(live)
    expect_admitted(live, "audioRoutingGroups")


def _groups(live: LiveCall) -> dict[str, RoutingGroup]:
    return live.conversation.groups_of(live.member) if live.has_entered else {}


def _group(live: LiveCall, group_id: str) -> RoutingGroup:
    group = _groups(live).get(group_id)
    if group is None:
        raise errors.not_found("Audio routing group")
    return group


def _check_present(live: LiveCall, group: RoutingGroup) -> None:
    for name, ids in (("sources", group.sources), ("receivers", group.receivers)):
        for index, participant_id in enumerate(ids or ()):
            member_of_body(live, participant_id, f"{name}[{index}]")


def _resource(group_id: str, group: RoutingGroup) -> Json:
    return {
        "@odata.type": "#microsoft.graph.audioRoutingGroup",
        "id": group_id,
        "routingMode": group.mode,
        "sources": list(group.sources or ()),
        "receivers": list(group.receivers or ()),
    }
