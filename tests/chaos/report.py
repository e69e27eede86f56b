"""The report of a run: report.json, report.md and a plot of each series of seconds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.chaos.findings import Finding, Outcome, percentile

MARKS = {True: "met", False: "MISSED", None: "not measured"}


def line_of(finding: Finding) -> str:
    """Return a finding as a line for people."""
    mark = MARKS[finding.is_met]
    if finding.is_met is False and finding.kind == "figure":
        mark = "missed (figure)"
    measured = "" if finding.measured is None else f" {finding.measured}"
    why = f" ({finding.why})" if finding.why else ""
    goal = f" goal {finding.goal}:" if finding.goal else ""
    return f"{mark}: {finding.what}:{goal}{measured}{why}"


def write_report(out: Path, outcomes: Sequence[Outcome], machine: dict[str, Any]) -> None:
    """Write the report of *outcomes* to the directory *out*."""
    out.mkdir(parents=True, exist_ok=True)
    found = {"machine": machine, "scenarios": [outcome.as_json() for outcome in outcomes]}
    (out / "report.json").write_text(json.dumps(found, indent=2, default=str) + "\n")
    plots = {outcome.scenario: _plot(out, outcome) for outcome in outcomes}
    (out / "report.md").write_text(_markdown(outcomes, machine, plots))


def _markdown(
    outcomes: Sequence[Outcome], machine: dict[str, Any], plots: dict[str, Path | None]
) -> str:
    lines = ["# Faults", ""]
    lines += [", ".join(f"{name} {value}" for name, value in machine.items()), ""]
    lines += ["| scenario | verdict | seed | took |", "|---|---|---|---|"]
    for one in outcomes:
        lines.append(f"| {one.scenario} | {one.verdict} | {one.seed} | {one.took_s:.0f} s |")
    for one in outcomes:
        lines += ["", f"## {one.scenario}", ""]
        if one.error is not None:
            lines += [f"It could not be run to its end: {one.error}", ""]
        if one.findings:
            lines += ["| what | goal | measured | |", "|---|---|---|---|"]
        for finding in one.findings:
            measured = "" if finding.measured is None else finding.measured
            mark = MARKS[finding.is_met]
            why = f" {finding.why}" if finding.why else ""
            what = f"{finding.what}{' (figure)' if finding.kind == 'figure' else ''}"
            lines.append(f"| {what} | {finding.goal} | {measured} | {mark}{why} |")
        lines += ["", *(f"- {note}" for note in one.notes)]
        for name, values in one.series.items():
            spread = ", ".join(f"p{p} {percentile(values, p):.2f} s" for p in (50, 95, 99))
            lines.append(f"- {name}: {len(values)} values, {spread}")
        plot = plots[one.scenario]
        if plot is not None:
            lines += ["", f"![{one.scenario}]({plot.name})"]
    return "\n".join(lines) + "\n"


def _plot(out: Path, outcome: Outcome) -> Path | None:
    """Draw how many of each series came within how many seconds."""
    series = {name: values for name, values in outcome.series.items() if values}
    if not series:
        return None
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4))
    for name, values in series.items():
        shares = [(rank + 1) / len(values) for rank in range(len(values))]
        axes.step(sorted(values), shares, where="post", label=name)
    axes.set(xlabel="seconds", ylabel="share", ylim=(0, 1.02), title=outcome.scenario)
    axes.grid(visible=True, alpha=0.3)
    axes.legend()
    path = out / f"{outcome.scenario}.png"
    figure.savefig(path, dpi=110, bbox_inches="tight")
    pyplot.close(figure)
    return path
