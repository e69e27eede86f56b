"""Which plugin an operator means."""

from __future__ import annotations

from collections.abc import Sequence

from mixminus.media.plugins.config import PluginSpec
from mixminus.media.plugins.errors import PluginConfigError

from .models import PluginKind
from .plugin_kinds import expect_no_paths, plugin_kinds, spec_schema
from .source import ConsoleRefusedError
from .wishes import PluginWish


def chosen_spec(
    wish: PluginWish, specs: Sequence[PluginSpec], streams: Sequence[str]
) -> PluginSpec:
    """Return what a wish means: a plugin that has a name, or one of the settings.

    Never a module or a file: which code runs here is not the console's to say.
    Raises: ConsoleRefusedError.
    Thread: any but the loop's: imports take their time.
    """
    if wish.stream not in streams:
        expected = " or ".join(streams)
        raise ConsoleRefusedError.invalid(f"stream: expected {expected}, got {wish.stream}")
    kinds: dict[str, PluginKind] = {kind.name: kind for kind in plugin_kinds(streams, specs)}
    kind = kinds.get(wish.name)
    if kind is None:
        raise ConsoleRefusedError.invalid(
            f"name: expected one of {', '.join(kinds)}, got {wish.name!r:.100}"
        )
    of_settings = next((spec for spec in specs if spec.name == wish.name), None)
    try:
        if of_settings is not None:
            expect_no_paths(wish.parameters, spec_schema(of_settings))
            return PluginSpec(
                of_settings.plugin,
                wish.stream,
                {**of_settings.config, **wish.parameters},
                of_settings.isolation,
                wish.name,
                of_settings.memory_mb,
            )
        spec = PluginSpec(wish.name, wish.stream, wish.parameters, name=wish.name)
        expect_no_paths(wish.parameters, spec_schema(spec))
    except PluginConfigError as error:
        raise ConsoleRefusedError.invalid(str(error)) from None
    return spec
