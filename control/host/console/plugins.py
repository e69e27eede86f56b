"""The plugins of a bot host's calls, as the console shows and changes them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from mixminus.media.plugins.config import PluginSpec
from mixminus.media.plugins.errors import PluginConfigError, PluginError

from ...console.models import PluginView
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
from ..call_media import CallMedia
from ..plugins import STREAMS, CallPlugins, HostPlugins
from .legs import leg_key


def plugin_views(call: CallMedia, events: PluginEvents) -> Iterator[PluginView]:
    """Return the plugins of a call; one on speakers is one, however many speak."""
    if call.has_plugins:
        for spec in call.plugins:
            yield plugin_view(call, spec, events)


def plugin_view(call: CallMedia, spec: PluginSpec, events: PluginEvents) -> PluginView:
    """Return one plugin of a call."""
    plugins, schema = call.plugins, spec_schema(spec)
    return PluginView(
        key=f"{_prefix(call)}{spec.on}:{spec.name}",
        side="host",
        name=spec.name,
        title=None if spec.name == spec.reference else spec.reference,
        stream=spec.on,
        leg_key=None if spec.on == "speaker" else leg_key(call.id, "application"),
        enabled=not plugins.is_disabled(spec.name),
        bypassed=plugins.is_bypassed(spec.name),
        parameters=shown_parameters(spec, schema),
        schema=without_paths(schema),
        metrics=shown_metrics(list(plugins.metrics(spec.name).values())),
        events=events.of_all(call.id, spec.on, spec.name),
    )


def find_plugin(call: CallMedia, key: str) -> tuple[CallPlugins, PluginSpec]:
    """Return which plugin of *call* a key means. Raises: ConsoleRefusedError."""
    if call.has_plugins:
        for spec in call.plugins:
            if key == f"{_prefix(call)}{spec.on}:{spec.name}":
                return call.plugins, spec
    raise ConsoleRefusedError.not_found(f"no plugin {key!r:.100} in this call")


def change_plugin(plugins: CallPlugins, spec: PluginSpec, change: PluginChange) -> None:
    """Switch a plugin on all its streams, or change its parameters.

    Raises: ConsoleRefusedError; then nothing changed.
    """
    if change.parameters:
        expect_no_paths(change.parameters, spec_schema(spec))
        try:
            plugins.set(spec.name, **change.parameters)
        except (PluginError, TypeError) as error:
            raise ConsoleRefusedError.invalid(str(error)) from None
    if change.bypassed is not None:
        plugins.bypass(spec.name, change.bypassed)


async def add_plugin(call: CallMedia, host: HostPlugins, wish: PluginWish) -> str:
    """Put a plugin on a stream of a call; return its name. Raises: ConsoleRefusedError."""
    spec = await asyncio.to_thread(chosen_spec, wish, host.specs, STREAMS)
    try:
        return await call.plugins.add(spec)
    except PluginConfigError as error:
        raise ConsoleRefusedError.invalid(str(error)) from None
    except (PluginError, RuntimeError) as error:
        raise ConsoleRefusedError.not_possible(str(error)) from None


def _prefix(call: CallMedia) -> str:
    return f"h:{call.id}:"
