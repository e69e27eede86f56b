"""``mixminus doctor``: what this machine lacks, and how to mend it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .config_option import ConfigOption
from .errors import FAILED, OK
from .output import JsonOption, is_terminal, print_json, printable, terminal

if TYPE_CHECKING:
    from ..doctor.findings import Finding


def register(app: typer.Typer) -> None:
    """Add ``doctor``."""
    app.command("doctor")(doctor)


def doctor(
    config: ConfigOption = None,
    state_dir: Annotated[
        Path | None,
        typer.Option(
            "--state", help="The state directory of both roles.", show_default="by the settings"
        ),
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Find what is wrong with machine, settings and network.

    It says of each thing what it found, and how to mend it.

    It takes a few seconds, needs nothing to run, and changes nothing. Exit code 1 when there is an
    error; warnings are none.

    Example: mixminus doctor

    Example: mixminus doctor --config /etc/mixminus.toml --json
    """
    import asyncio
    import logging

    from ..doctor.diagnose import diagnose
    from ..doctor.findings import Level, worst

    # What it finds is on its list, once.
    logging.disable(logging.WARNING)
    try:
        findings = asyncio.run(diagnose(config, state_dir))
    finally:
        logging.disable(logging.NOTSET)
    level = worst(findings)
    if as_json:
        print_json({"level": level.value, "findings": [one.to_json() for one in findings]})
    else:
        _print(findings)
    return FAILED if level is Level.ERROR else OK


def _print(findings: list[Finding]) -> None:
    """Print one line a finding, and below it how to mend it."""
    from ..doctor.findings import Level

    if is_terminal():
        _print_table(findings)
    else:
        for one in findings:
            print(f"{one.level:<8} {one.check}: {printable(one.found)}")
            for line in one.remedy.splitlines():
                print(f"{'':<8}   mend: {printable(line)}")
    counts = {level: sum(one.level is level for one in findings) for level in Level}
    said = (
        f"{counts[level]} {level}{'s' * (counts[level] != 1)}"
        for level in (Level.ERROR, Level.WARNING)
    )
    print(f"{len(findings)} looked at: {', '.join(said)}", flush=True)


def _print_table(findings: list[Finding]) -> None:
    from rich.table import Table
    from rich.text import Text

    from ..doctor.findings import Level

    colours = {Level.OK: "green", Level.WARNING: "yellow", Level.ERROR: "bold red"}
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for one in findings:
        what = Text(printable(one.found))
        for line in one.remedy.splitlines():
            what.append(f"\n-> {printable(line)}", style="dim")
        table.add_row(Text(one.level.value, style=colours[one.level]), Text(one.check), what)
    terminal().print(table)
