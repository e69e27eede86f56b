"""Tables and plots that the benchmarks share."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

CONSOLE = Console(highlight=False, width=None if sys.stdout.isatty() else 120)


def print_table(title: str, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Print *rows*; a column that a row lacks stays empty. The first column is text."""
    table = Table(title=title, title_justify="left", header_style="bold")
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right")
    for row in rows:
        table.add_row(*(format_value(row.get(column)) for column in columns))
    CONSOLE.print(table)


def format_value(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def not_measured(what: str, why: str) -> dict[str, Any]:
    """Make a goal that this run says nothing of: it is neither met nor missed."""
    return {"what": what, "measured": None, "met": None, "why": why}


def print_goals(goals: Sequence[Mapping[str, Any]]) -> None:
    """Print each goal with what was measured. Told, never enforced: timing decides no test."""
    for goal in goals:
        if goal["met"] is None:
            CONSOLE.print(f"  [yellow]not measured[/]  {goal['what']}: {goal['why']}")
            continue
        mark = "[green]met[/]" if goal["met"] else "[red]missed[/]"
        CONSOLE.print(f"  {mark}  {goal['what']}: {format_value(goal['measured'])}")


def print_notes(result: Mapping[str, Any]) -> None:
    """Print what is not there, and which rows say nothing."""
    for why in result.get("absent", ()):
        CONSOLE.print(f"  [yellow]absent[/]  {why}")
    for row in result["rows"]:
        if problem := row.get("problem"):
            CONSOLE.print(f"  [red]no figure[/]  {row['way']}, {row['legs']} legs: {problem}")
    for note in result.get("notes", ()):
        CONSOLE.print(f"  {note}")


def print_machine(machine: Mapping[str, Any]) -> None:
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    CONSOLE.print(
        f"[dim]{machine['cpu']}, {machine['cores']} cores, Linux {machine['kernel']}, "
        f"Python {machine['python']} ({machine['compiled_with']}), {versions}; "
        f"kernels {machine['isa_in_use']} of {'/'.join(machine['isas'])}; "
        f"load {machine['load_average'][0]}, steal {machine['steal_percent']} %[/]"
    )


def save_lines(
    path: Path,
    title: str,
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    labels: tuple[str, str],
    *,
    log_x: int,
) -> None:
    """Draw each series as a line over two logarithmic axes, x to the base *log_x*."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(9, 5.5), layout="constrained")
    for name, (x, y) in series.items():
        axes.plot(x, y, marker="o", markersize=3.5, linewidth=1.6, label=name)
    axes.set_xscale("log", base=log_x)
    axes.set_yscale("log")
    axes.set(title=title, xlabel=labels[0], ylabel=labels[1])
    axes.grid(True, which="major", alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=130)
    plt.close(figure)
