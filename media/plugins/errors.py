"""What may be wrong with a plugin before it hears its first frame."""

from __future__ import annotations

import asyncio
from typing import Final

RAISED: Final = (Exception, SystemExit, asyncio.CancelledError)
"""What someone else's code may end with that must not end ours: ``sys.exit`` in a plugin, too."""


class PluginError(Exception):
    """A plugin that cannot be used; the message says which and why."""


class UnknownPluginError(PluginError, LookupError):
    """No plugin of that name, module or file."""


class PluginConfigError(PluginError, ValueError):
    """A setting of a plugin is wrong; ``field`` names it, as in ``config.gain_db``."""

    def __init__(self, plugin: str, field: str, message: str) -> None:
        super().__init__(
            f"plugin {plugin}: {field}: {message}" if field else f"{plugin}: {message}"
        )
        self.plugin, self.field, self.message = plugin, field, message

    def __reduce__(self) -> tuple[type[PluginConfigError], tuple[str, str, str]]:
        """Travel from a child process whole."""
        return PluginConfigError, (self.plugin, self.field, self.message)
