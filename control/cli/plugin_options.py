"""``--plugin``: the plugins of a command's calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .errors import USAGE, CliError

if TYPE_CHECKING:
    from mixminus.media.plugins.config import PluginSpec

PLUGIN_HELP = (
    "A plugin of every call, as gain@mix,gain_db=6 or JSON; several, in their order."
    " See mixminus plugin list."
)

PluginOption = Annotated[
    list[str] | None, typer.Option("--plugin", metavar="SPEC", help=PLUGIN_HELP)
]


def plugin_specs(specs: list[str]) -> tuple[PluginSpec, ...]:
    """Read what --plugin says; whether there are such plugins is found out when the host starts."""
    from mixminus.media.plugins.config import PluginSpec
    from mixminus.media.plugins.errors import PluginError

    try:
        return tuple(PluginSpec.parse(spec) for spec in specs)
    except PluginError as exc:
        raise CliError(f"--plugin: {exc}", USAGE) from None
