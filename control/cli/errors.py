"""How a command fails: one line on stderr and an exit code that scripts can rely on."""

from __future__ import annotations

from typing import Final

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
