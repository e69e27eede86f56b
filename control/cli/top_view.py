"""How ``mixminus top`` looks: a few lines on the engine, and a table of the calls."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from .output import printable
from .top_board import SILENCE_DBOV, clock, seconds_of

if TYPE_CHECKING:
    from rich.console import RenderableType

    from .top_board import Board

Json = dict[str, Any]

HEADINGS: Final = ("call", "kind", "state", "with", "bot", "for", "people", "in", "out", "flags")
BAR_CELLS: Final = 8
BAR_FLOOR_DBOV: Final = -60
"""What the left end of a bar stands for: quieter is as good as silent."""
LOUD_DBOV: Final = -12
CLIPPING_DBOV: Final = -3
HEALTH_STYLES: Final = {"Normal": "green", "HeavilyLoaded": "yellow", "Overloaded": "bold red"}
STATE_STYLES: Final = {"established": "green", "terminated": "dim", "onHold": "yellow"}
ID_CHARS: Final = 8


def engine_lines(board: Board) -> list[str]:
    """Return the engine's last second in two lines; none while nothing is known of it."""
    engine = board.engine
    if engine is None:
        return []
    load = _percent(engine["loadRatio"])
    tick = engine["tickP99Ms"]
    return [
        f"{' and '.join(board.sides)}: {engine['calls']} calls, {engine['legs']} legs,"
        f" load {load}, {engine['health']}{', draining' if engine['draining'] else ''}",
        f"{engine['ticksPerS']:.1f} ticks/s, late p50 {engine['latenessP50Ms']:.2f} ms,"
        f" p99 {engine['latenessP99Ms']:.2f} ms, max {engine['latenessMaxMs']:.2f} ms"
        + ("" if tick is None else f", tick p99 {tick:.2f} ms")
        + f", busy {_percent(engine['busyRatio'])}, {engine['scheduling']}, {engine['isa']}",
    ]


def plain_rows(calls: list[Json], now: datetime | None = None) -> list[list[str]]:
    """Return the table's cells as text, one row a call."""
    return [_cells(row, now or datetime.now(UTC)) for row in calls]


def screen(board: Board, calls: list[Json], *, height: int, note: str = "") -> RenderableType:
    """Return what fills a terminal of *height* lines; calls that find no room are counted."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    now = datetime.now(UTC)
    lines = [Text(line, no_wrap=True, overflow="ellipsis") for line in engine_lines(board)]
    if lines and board.engine is not None:
        health = board.engine["health"]
        lines[0].highlight_words([health], HEALTH_STYLES.get(health, ""))
    table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold", expand=True)
    for heading in HEADINGS:
        is_text = heading in ("with", "bot", "flags")
        table.add_column(
            heading,
            no_wrap=True,
            overflow="ellipsis",
            ratio=2 if is_text else None,
            justify="right" if heading in ("for", "people") else "left",
        )
    room = max(1, height - len(lines) - 6)
    for row in calls[-room:]:
        cells: list[Text] = [Text(cell) for cell in _cells(row, now)]
        cells[2].stylize(STATE_STYLES.get(row["state"], ""))
        cells[7], cells[8] = _bar(row["levelIn"]), _bar(row["levelOut"])
        cells[9].stylize("yellow")
        table.add_row(*cells)
    left_out = len(calls) - room
    foot = [f"and {left_out} more" if left_out > 0 else "", note, "q ends"]
    return Group(*lines, table, Text("  ".join(filter(None, foot)), style="dim"))


def _cells(row: Json, now: datetime) -> list[str]:
    return [
        printable(row["id"])[:ID_CHARS],
        row["kind"],
        row["state"],
        printable(row["title"]),
        printable(row["bot"] or ""),
        clock(seconds_of(row, now)),
        str(row["people"]),
        _level(row["levelIn"]),
        _level(row["levelOut"]),
        " ".join(row["flags"]),
    ]


def _level(dbov: int) -> str:
    return "" if dbov <= SILENCE_DBOV else f"{dbov} dB"


def _bar(dbov: int) -> Any:
    from rich.text import Text

    share = (dbov - BAR_FLOOR_DBOV) / -BAR_FLOOR_DBOV
    halves = round(2 * BAR_CELLS * min(1.0, max(0.0, share)))
    bar = "\N{FULL BLOCK}" * (halves // 2) + "\N{LEFT HALF BLOCK}" * (halves % 2)
    style = "red" if dbov > CLIPPING_DBOV else "yellow" if dbov > LOUD_DBOV else "green"
    return Text(bar.ljust(BAR_CELLS, "\N{MIDDLE DOT}"), style=style)


def _percent(ratio: float | None) -> str:
    return "unknown" if ratio is None else f"{ratio:.0%}"
