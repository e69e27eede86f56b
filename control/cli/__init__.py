"""The command line: where exceptions become one line and an exit code."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from .errors import INTERRUPTED, OK, USAGE, CliError


def main(argv: Sequence[str] | None = None) -> None:
    """Run ``mixminus`` and leave the process with the command's exit code."""
    sys.exit(run(sys.argv[1:] if argv is None else argv))


def run(argv: Sequence[str]) -> int:
    """Run ``mixminus`` with *argv* and return its exit code; a failure is one line on stderr."""
    import click
    import typer

    from .app import build

    try:
        result = typer.main.get_command(build()).main(
            args=list(argv), prog_name="mixminus", standalone_mode=False
        )
    except CliError as exc:
        return _fail(exc.message, exc.exit_code)
    except click.exceptions.NoArgsIsHelpError as exc:
        print(exc.format_message())
        return USAGE
    except click.UsageError as exc:
        return _fail(exc.format_message(), USAGE)
    except click.ClickException as exc:
        return _fail(exc.format_message(), exc.exit_code)
    except (click.exceptions.Abort, KeyboardInterrupt):
        return INTERRUPTED
    return result if isinstance(result, int) else OK


def _fail(message: str, exit_code: int) -> int:
    line = " ".join(message.split())
    print(f"mixminus: {line}", file=sys.stderr)
    return exit_code
