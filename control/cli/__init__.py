"""The command line: where exceptions become one line and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

from .errors import FAILED, INTERRUPTED, OK, USAGE, CliError


def main(argv: Sequence[str] | None = None) -> None:
    """Run ``mixminus`` and leave the process with the command's exit code."""
    try:
        code = run(sys.argv[1:] if argv is None else argv)
    except KeyboardInterrupt:  # While the commands were imported.
        code = INTERRUPTED
    sys.exit(code)


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
    except BrokenPipeError:
        # Whoever read has read enough, as `head` does. Nothing more can be said there.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
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
