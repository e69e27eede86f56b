"""How a command fails: one line on stderr and an exit code that scripts can rely on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_settings import SettingsError

    from mixminus.media.plugins.errors import PluginError

OK: Final = 0
FAILED: Final = 1
USAGE: Final = 2
NOT_FOUND: Final = 3
AUTH: Final = 4
INTERRUPTED: Final = 130


class CliError(Exception):
    """Why a command cannot go on: shown as ``mixminus: message``, without a traceback."""

    def __init__(self, message: str, exit_code: int = FAILED) -> None:
        super().__init__(message)
        self.message = message
        self.exit_code = exit_code


def plugin_error(exc: PluginError) -> CliError:
    """Return why a plugin cannot be used: there is none, its settings are wrong, or it failed."""
    from mixminus.media.plugins.errors import PluginConfigError, UnknownPluginError

    if isinstance(exc, UnknownPluginError):
        return CliError(str(exc), NOT_FOUND)
    return CliError(str(exc), USAGE if isinstance(exc, PluginConfigError) else FAILED)


def settings_error(exc: ValidationError | SettingsError) -> CliError:
    """Return what is wrong with the settings, without any value of them."""
    from pydantic import ValidationError

    if not isinstance(exc, ValidationError):
        # What it says is the name of the setting, and that its JSON cannot be read.
        name = str(exc).partition('"')[2].partition('"')[0]
        return CliError(f"settings: {name}: expected JSON in the environment", USAGE)
    first = exc.errors(include_input=False, include_url=False)[0]
    # What is wrong of several settings together has no place; its message names them.
    where = "".join(f"{part}." for part in first["loc"]).removesuffix(".")
    message = first["msg"].removeprefix("Value error, ")
    return CliError(": ".join(filter(None, ("settings", where, message))), USAGE)
