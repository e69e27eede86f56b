"""The ``mixminus`` command: one file a command, each with ``register(app)``."""

from __future__ import annotations

from importlib import import_module
from typing import Final

import typer

COMMANDS: Final = (
    "demo",
    "try_bot",
    "serve",
    "service",
    "join",
    "call",
    "meeting",
    "simulate",
    "replay",
    "blob",
    "plugin",
    "dev_certs",
)
"""Modules of this package, in the order in which ``--help`` lists them. They import what is heavy
(numpy, av, aiortc: 0.7 s together) inside their commands."""


def build() -> typer.Typer:
    """Assemble the command from its files."""
    app = typer.Typer(
        name="mixminus",
        help="Frame-by-frame call audio in an ordinary Python process.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    for name in COMMANDS:
        import_module(f".{name}", __package__).register(app)
    return app
