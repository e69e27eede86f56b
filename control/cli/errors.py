"""How a command fails: one line on stderr and an exit code that scripts can rely on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_settings import SettingsError

    from mixminus.media.plugins.errors import PluginError

    from ..config.errors import ConfigError
    from ..store.base import StoreError

OK: Final = 0
FAILED: Final = 1
USAGE: Final = 2
NOT_FOUND: Final = 3
AUTH: Final = 4
INTERRUPTED: Final = 130

EXIT_CODES: Final = {
    OK: "it worked",
    FAILED: "it failed",
    USAGE: "wrong options, arguments or settings",
    NOT_FOUND: "no such file, user, call, meeting or plugin, or nothing runs there",
    AUTH: "refused: not signed in, or not allowed",
    INTERRUPTED: "interrupted with Ctrl-C",
}
"""What each exit code means: the end of ``mixminus --help``, and docs/cli.md."""

OF_STATUS: Final = {400: USAGE, 401: AUTH, 403: AUTH, 404: NOT_FOUND}
"""Exit codes for what a service or a host of ours answered."""


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


def store_error(exc: StoreError) -> CliError:
    """Return why a store cannot be used; a URL that cannot be read is a wrong setting."""
    from ..store.base import NoStoreError, StoreUrlError

    if isinstance(exc, NoStoreError):
        return CliError(str(exc), NOT_FOUND)
    return CliError(str(exc), USAGE if isinstance(exc, StoreUrlError) else FAILED)


def settings_error(exc: ConfigError | ValidationError | SettingsError) -> CliError:
    """Return what is wrong with the settings, without any secret of them."""
    from pydantic import ValidationError

    from ..config.errors import ConfigError, NoFileError

    if isinstance(exc, ConfigError):
        return CliError(f"settings: {exc}", NOT_FOUND if isinstance(exc, NoFileError) else USAGE)
    if not isinstance(exc, ValidationError):
        # What it says is the name of the setting, and that its JSON cannot be read.
        name = str(exc).partition('"')[2].partition('"')[0]
        return CliError(f"settings: {name}: expected JSON in the environment", USAGE)
    first = exc.errors(include_input=False, include_url=False)[0]
    # What is wrong of several settings together has no place; its message names them.
    where = "".join(f"{part}." for part in first["loc"]).removesuffix(".")
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "too_short" and first["ctx"]["field_type"] == "Value":
        # What pydantic says of a secret's characters.
        least, length = first["ctx"]["min_length"], first["ctx"]["actual_length"]
        message = f"expected at least {least} characters, got {length}"
    return CliError(": ".join(filter(None, ("settings", where, message))), USAGE)
