"""``--config``: the settings file of a command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .errors import settings_error

if TYPE_CHECKING:
    from ..config.sources import SettingsSources

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="The settings file, in TOML.",
        show_default="MIXMINUS_CONFIG, else ./mixminus.toml if it is there",
    ),
]


def read_sources(config: Path | None) -> SettingsSources:
    """Read the settings file and the environment.

    Raises: CliError with the first of what is wrong.
    """
    from ..config.errors import ConfigError
    from ..config.sources import SettingsSources

    try:
        return SettingsSources.read(config)
    except ConfigError as exc:
        raise settings_error(exc) from None
