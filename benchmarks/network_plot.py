"""The network benchmark as a picture: quality and filling against loss, delays, a step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

PESQ_GOALS = {0: 4.0, 1: 3.5, 5: 3.0, 10: 2.6, 20: 1.9}


def draw(result: dict[str, Any], path: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    if result["benchmark"] == "network namespaces":
        figure, panel = plt.subplots(figsize=(9, 5), layout="constrained")
        draw_compared(panel, result["rows"])
    else:
        figure, panels = plt.subplots(2, 2, figsize=(12, 8.5), layout="constrained")
        losses = [row for row in result["rows"] if row["run"].endswith("% loss")]
        profiles = [row for row in result["rows"] if row["run"] in {f"N{n}" for n in range(9)}]
        draw_quality(panels[0][0], losses)
        draw_filling(panels[0][1], losses)
        draw_delays(panels[1][0], profiles)
        draw_step(panels[1][1], result["step"])
    figure.suptitle(result["title"], fontsize=11)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def percent_of(row: dict[str, Any]) -> int:
    return int(row["run"].split()[0])


def draw_quality(panel: Any, rows: list[dict[str, Any]]) -> None:
    scored = [row for row in rows if row["PESQ"] is not None]
    at = [percent_of(row) for row in scored]
    panel.plot(list(PESQ_GOALS), list(PESQ_GOALS.values()), "k:", label="goal")
    panel.plot(at, [row["ideal"] for row in scored], "o-", label="libopus, ideal buffering")
    panel.plot(at, [row["PESQ"] for row in scored], "s--", label="ours")
    panel.set(title="Quality", xlabel="packets lost, %", ylabel="PESQ-WB", ylim=(1, 4.7))
    panel.grid(visible=True, alpha=0.3)
    panel.legend(frameon=False)


def draw_filling(panel: Any, rows: list[dict[str, Any]]) -> None:
    at = range(len(rows))
    concealed = [row["concealed %"] for row in rows]
    panel.bar(at, concealed, label="concealed")
    panel.bar(at, [row["fec %"] for row in rows], bottom=concealed, label="read from redundancy")
    panel.plot(at, [row["lost %"] for row in rows], "k_", markersize=22, label="lost")
    panel.set(title="What lost packets became", ylabel="% of frames")
    panel.set_xticks(list(at), [row["run"] for row in rows])
    panel.legend(frameon=False)


def draw_delays(panel: Any, rows: list[dict[str, Any]]) -> None:
    at = range(len(rows))
    for shift, column in ((-0.2, "p50 ms"), (0.2, "p95 ms")):
        panel.bar([x + shift for x in at], [row[column] for row in rows], 0.38, label=column[:3])
    panel.set(title="One-way delay, sent to mixed", ylabel="ms")
    panel.set_xticks(list(at), [row["run"] for row in rows])
    panel.legend(frameon=False)


def draw_step(panel: Any, series: dict[str, list[float]]) -> None:
    panel.plot(series["second"], [float("nan") if ms is None else ms for ms in series["delay ms"]])
    panel.axvspan(20, 40, alpha=0.12, label="link 100 ms slower")
    panel.set(title="N6: a step and back", xlabel="s", ylabel="one-way delay, ms", ylim=(0, None))
    panel.grid(visible=True, alpha=0.3)
    panel.legend(frameon=False)


def draw_compared(panel: Any, rows: list[dict[str, Any]]) -> None:
    at = range(len(rows))
    for shift, column in ((-0.2, "concealed %"), (0.2, "virtual concealed %")):
        panel.bar([x + shift for x in at], [row[column] or 0 for row in rows], 0.38, label=column)
    panel.set(ylabel="% of frames")
    panel.set_xticks(list(at), [row["run"] for row in rows])
    panel.legend(frameon=False)
