"""The plugins on callers' legs, as the console shows and changes them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from mixminus.media.plugins.errors import PluginConfigError, PluginError

from ...console.models import Json, PluginView
from ...console.plugin_choice import chosen_spec
from ...console.plugin_events import PluginEvents
from ...console.plugin_kinds import (
    expect_no_paths,
    shown_metrics,
    shown_parameters,
    spec_schema,
    without_paths,
)
from ...console.source import ConsoleRefusedError
from ...console.wishes import PluginChange, PluginWish
from ..leg_plugins import STREAMS, LegChain, LegPlugins
from ..member import Member
from ..rooms import Room
from .rows import is_bot, leg_key


def plugin_views(
    room: Room, plugins: LegPlugins, events: PluginEvents | None = None
) -> Iterator[PluginView]:
    """Return the plugins on all legs of a conversation."""
    for member in room.conversation.members.values():
        for chain in plugins.of(member):
            for name in chain.specs:
                yield plugin_view(member, chain, name, events)


def plugin_view(
    member: Member, chain: LegChain, name: str, events: PluginEvents | None = None
) -> PluginView:
    """Return one plugin on one leg."""
    slot, spec = chain.slot(name), chain.specs[name]
    schema = spec_schema(spec)
    return PluginView(
        key=f"s:{member.participant_id}:{chain.direction}:{name}",
        side="service",
        name=name,
        title=None if name == spec.reference else spec.reference,
        stream=chain.direction,
        leg_key=leg_key(member.participant_id),
        enabled=not slot.is_disabled,
        bypassed=slot.is_bypassed,
        parameters=shown_parameters(spec, schema),
        schema=without_paths(schema),
        metrics=shown_metrics([slot.metrics()]),
        events=()
        if events is None
        else events.of(chain.call_id, chain.direction, name, member.source_id),
    )


def find_plugin(room: Room, plugins: LegPlugins, key: str) -> tuple[Member, LegChain, str]:
    """Return whose plugin *key* means.

    Raises: ConsoleRefusedError.
    """
    side, _, rest = key.partition(":")
    participant_id, _, rest = rest.partition(":")
    direction, _, name = rest.partition(":")
    member = room.conversation.members.get(participant_id)
    if side == "s" and member is not None:
        for chain in plugins.of(member):
            if chain.direction == direction and name in chain.specs:
                return member, chain, name
    raise ConsoleRefusedError.not_found(f"no plugin {key!r:.100} in this call")


def change_plugin(chain: LegChain, name: str, change: PluginChange) -> None:
    """Switch a plugin, or change its parameters.

    Raises: ConsoleRefusedError; then nothing changed.
    """
    if change.parameters:
        expect_no_paths(change.parameters, spec_schema(chain.specs[name]))
        try:
            chain.set(name, change.parameters)
        except (PluginError, TypeError) as error:
            raise ConsoleRefusedError.invalid(str(error)) from None
    if change.bypassed is not None:
        chain.bypass(name, change.bypassed)


async def add_plugins(room: Room, plugins: LegPlugins, wish: PluginWish) -> list[PluginView]:
    """Put a plugin on the leg that is named, or on every caller's.

    Raises: ConsoleRefusedError; those that were put on other legs before stay.
    """
    spec = await asyncio.to_thread(chosen_spec, wish, plugins.specs, STREAMS)
    members = [
        member
        for member in room.conversation.members.values()
        if not is_bot(room, member) and wish.leg_key in (None, leg_key(member.participant_id))
    ]
    if not members:
        where = "no caller" if wish.leg_key is None else f"no caller's leg {wish.leg_key!r:.100}"
        raise ConsoleRefusedError.not_found(f"{where} in this call")
    views = []
    for member in members:
        try:
            chain, name = await plugins.add(member, room.id, spec)
        except PluginConfigError as error:
            raise ConsoleRefusedError.invalid(str(error)) from None
        except (PluginError, RuntimeError) as error:
            raise ConsoleRefusedError.not_possible(str(error)) from None
        views.append(plugin_view(member, chain, name))
    return views


def _events(
    member: Member, chain: LegChain, name: str, events: PluginEvents | None
) -> tuple[Json, ...]:
    if events is None:
        return ()
    return events.of(chain.call_id, chain.direction, name, member.source_id)
