"""What commands print: JSON for programs, tables on a terminal, plain lines anywhere else."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
JsonLinesOption = Annotated[
    bool, typer.Option("--json", help="Print events as JSON, one a line, for programs.")
]

Cells = Sequence[Sequence[str]]
GAP: Final = "  "


def print_json(value: Any) -> None:
    """Print *value* as indented JSON."""
    print(json.dumps(value, indent=2), flush=True)


def print_event(event: str, fields: dict[str, Any], as_json: bool, lines: Iterable[str]) -> None:
    """Print something that happened: one line of JSON, or *lines* for people."""
    if as_json:
        print(json.dumps({"event": event, **fields}), flush=True)
        return
    print("\n".join(lines), flush=True)


def is_terminal() -> bool:
    """Say whether a person reads what is printed; NO_COLOR takes the colours, not the tables."""
    return sys.stdout.isatty()


def terminal() -> Console:
    """Return a rich console that changes nothing of what it is told to print."""
    from rich.console import Console

    return Console(highlight=False, markup=False)


def print_table(headings: Sequence[str], rows: Cells, *, empty: str) -> None:
    """Print a table to people: with lines and colours on a terminal, else columns of text.

    In a pipe no line is cut or wrapped, and each row is one line. *empty* is said without rows.
    """
    if not rows:
        print(empty)
        return
    if is_terminal():
        from rich.box import SIMPLE_HEAD
        from rich.table import Table
        from rich.text import Text

        table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
        for heading in headings:
            table.add_column(heading, overflow="fold")
        for row in rows:
            table.add_row(*(Text(printable(cell)) for cell in row))
        terminal().print(table)
        return
    cells = [list(headings), *([printable(cell) for cell in row] for row in rows)]
    widths = [max(len(row[index]) for row in cells) for index in range(len(headings))]
    for row in cells:
        line = GAP.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print(line.rstrip())


def printable(text: str) -> str:
    """Return *text* without what would steer a terminal: names come from far ends."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


class ProgressBar:
    """A bar on stderr where that is a terminal; elsewhere only what is said. See progress_bar."""

    def __init__(self, bar: Progress | None, task: Any) -> None:
        self._bar, self._task = bar, task

    @property
    def is_shown(self) -> bool:
        """Whether there is a bar at all."""
        return self._bar is not None

    def advance_to(self, done: float) -> None:
        """Show how much of the total is done."""
        if self._bar is not None:
            self._bar.update(self._task, completed=done)

    def say(self, line: str) -> None:
        """Print a line on stdout, above the bar."""
        if self._bar is None or not is_terminal():
            print(line, flush=True)
        else:
            self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def progress_bar(what: str, total: float | None) -> Iterator[ProgressBar]:
    """Show that *what* goes on, until the block is left; without *total* only for how long."""
    if not sys.stderr.isatty():
        yield ProgressBar(None, None)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    bar = Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False)
    with bar:
        yield ProgressBar(bar, bar.add_task(what, total=total))
