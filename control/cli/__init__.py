"""The command line: where exceptions become one line and an exit code."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from .errors import INTERRUPTED, OK, USAGE, CliError


def main(argv: Sequence[str] | None = None) -> None:
    """Run ``mixminus`` and leave the process with the command's exit code."""
    sys.exit(run(sys.argv[1:] if argv is None else argv))


def run(argv: Sequence[str]) -> int:
    """Run ``mixminus`` with *argv* and return its exit code; a failure is one line on stderr."""
    import typer

    from .app import build

    # Newer Typers carry their own copy of click: this is the UsageError of whichever it uses.
    usage_error: type[Exception] = typer.BadParameter.__mro__[1]
    try:
        result = typer.main.get_command(build()).main(
            args=list(argv) or ["--help"], prog_name="mixminus", standalone_mode=False
        )
    except CliError as exc:
        return _fail(exc.message, exc.exit_code)
    except (typer.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except usage_error as exc:
        return _fail(_usage(exc), USAGE)
    return result if isinstance(result, int) else OK


def _usage(exc: Any) -> str:
    """Say what is wrong with the arguments, and whose ``--help`` tells more."""
    command = "mixminus" if exc.ctx is None else exc.ctx.command_path
    return f"{exc.format_message().rstrip('.')}. See {command} --help."


def _fail(message: str, exit_code: int) -> int:
    print(f"mixminus: {' '.join(message.split())}", file=sys.stderr)
    return exit_code
