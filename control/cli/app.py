"""The ``mixminus`` command: one file a command, each with ``register(app)``."""

from __future__ import annotations

from importlib import import_module
from typing import Annotated, Final

import typer

from .errors import EXIT_CODES

COMMANDS: Final = (
    "dev",
    "demo",
    "try_bot",
    "serve",
    "service",
    "top",
    "health",
    "join",
    "call",
    "fleet",
    "store",
    "meeting",
    "simulate",
    "replay",
    "blob",
    "plugin",
    "config",
    "doctor",
    "dev_certs",
    "version",
)
"""Modules of this package, in the order in which ``--help`` lists them. They import what is heavy
(numpy, av, aiortc: 0.7 s together; asyncio and httpx, too) inside their commands."""

HELP: Final = """Frame-by-frame call audio in an ordinary Python process.

Begin with: mixminus dev --open
"""


def build() -> typer.Typer:
    """Assemble the command from its files."""
    app = typer.Typer(
        name="mixminus",
        help=HELP,
        epilog=_exit_codes(),
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["--help", "-h"]},
    )
    app.callback()(_options)
    for name in COMMANDS:
        import_module(f".{name}", __package__).register(app)
    return app


def _options(
    _: Annotated[
        bool,
        typer.Option(
            "--version",
            is_eager=True,
            callback=lambda wanted: _print_version() if wanted else None,
            help="Print the version and exit.",
        ),
    ] = False,
) -> None: ...


def _print_version() -> None:
    from .version import installed_version

    print(f"mixminus {installed_version()}")
    raise typer.Exit


def _exit_codes() -> str:
    # \b: these lines stand as they are.
    lines = [f"{code:>5}  {meaning}" for code, meaning in EXIT_CODES.items()]
    return "\n".join(("\b", "Exit codes:", *lines))
