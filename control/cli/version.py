"""``mixminus version``: what is installed, and what it runs on."""

from __future__ import annotations

from typing import Any

import typer

from .output import JsonOption, print_json

DISTRIBUTION = "mixminus"


def register(app: typer.Typer) -> None:
    """Add the ``version`` command, and ``--version``."""
    app.command("version")(version)


def version(as_json: JsonOption = False) -> None:
    """Print the version, and what it runs on.

    Example: mixminus version --json
    """
    found = describe()
    if as_json:
        print_json(found)
        return
    print(f"mixminus {found['version']}")
    print(
        f"{found['implementation']} {found['python']} on {found['system']} {found['machine']},"
        f" kernels {found['kernels']}"
    )


def installed_version() -> str:
    """Return the version of mixminus that is installed."""
    from importlib.metadata import version as version_of

    return version_of(DISTRIBUTION)


def describe() -> dict[str, Any]:
    """Return what ``--json`` prints."""
    import platform

    from mixminus.media import _native

    return {
        "version": installed_version(),
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "system": platform.system(),
        "machine": platform.machine(),
        "kernels": _native.isa(),
    }
