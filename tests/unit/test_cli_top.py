"""``mixminus top``: what it makes of the console's messages, and how it looks."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from mixminus.control.cli import run
from mixminus.control.cli.errors import FAILED, NOT_FOUND
from mixminus.control.cli.top_board import Board, clock
from mixminus.control.cli.top_view import HEADINGS, engine_lines, plain_rows, screen
from mixminus.control.console.models import CallRow, Engine

Captured = pytest.CaptureFixture[str]

NOW = datetime(2026, 11, 21, 12, 1, 5, tzinfo=UTC)


def row(number: int, **over: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "id": f"{number:08}-call",
        "kind": "call",
        "sides": ("service",),
        "state": "established",
        "title": f"John {number}",
        "started_at": f"2026-11-21T12:00:{number:02}Z",
        "people": 2,
        "legs": (f"s:{number}a", f"s:{number}b"),
    }
    return CallRow(**(given | over)).model_dump(mode="json", by_alias=True)


def engine(**over: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "at": "2026-11-21T12:00:00Z",
        "ticks_per_s": 50.0,
        "late_ticks": 0,
        "skipped_ticks": 0,
        "lateness_p50_ms": 0.05,
        "lateness_p99_ms": 0.1,
        "lateness_max_ms": 0.2,
        "busy_ratio": 0.03,
        "load_ratio": 0.12,
        "legs": 4,
        "calls": 2,
        "tick_threads": 2,
        "scheduling": "fifo",
        "isa": "avx2",
    }
    return Engine(**(given | over)).model_dump(mode="json", by_alias=True)


def board(*rows: dict[str, Any], **of_engine: Any) -> Board:
    made = Board()
    made.take({"type": "ready", "epoch": "e", "name": None, "sides": ["service", "host"]})
    made.take({"type": "snapshot", "calls": list(rows), "engine": engine(**of_engine), "seq": 1})
    return made


def test_calls_come_change_and_go() -> None:
    made = board(row(2), row(1))
    assert [call["title"] for call in made.calls()] == ["John 1", "John 2"]
    over = row(1, state="terminated", ended_at="2026-11-21T12:00:30Z")
    made.take({"type": "calls", "changed": [over, row(3)], "gone": [row(2)["id"]]})
    assert [call["title"] for call in made.calls()] == ["John 3"]
    assert [call["title"] for call in made.calls(ended=True)] == ["John 1", "John 3"]
    made.take({"type": "events", "events": []})


def test_a_calls_level_is_that_of_its_loudest_leg_once_meters_are_warm() -> None:
    made = board(row(1))
    assert made.calls()[0]["levelIn"] == -127
    legs = {"s:1a": [-30, -127], "s:1b": [-20, -50], "s:2a": [0, 0]}
    made.take({"type": "meters", "at": 1_000, "legs": legs})
    warm = [made.has_levels]
    made.take({"type": "meters", "at": 1_600, "legs": legs})
    assert [*warm, made.has_levels] == [False, True]
    assert (made.calls()[0]["levelIn"], made.calls()[0]["levelOut"]) == (-20, -50)
    assert plain_rows(made.calls(), NOW)[0] == [
        *("00000001", "call", "established", "John 1", "", "1:04", "2", "-20 dB", "-50 dB", "")
    ]


@pytest.mark.parametrize(("seconds", "says"), [(7.9, "0:07"), (754, "12:34"), (3723, "1:02:03")])
def test_times_are_read_at_a_glance(seconds: float, says: str) -> None:
    assert clock(seconds) == says


def drawn(made: Board, height: int) -> str:
    file = io.StringIO()
    console = Console(file=file, width=120, height=height, color_system=None)
    console.print(screen(made, made.calls(), height=height, note="lost; trying again"))
    return file.getvalue()


def test_a_screen_has_the_newest_calls_that_it_has_room_for_and_counts_the_others() -> None:
    made = board(*(row(number) for number in range(1, 31)), health="Overloaded", load_ratio=None)
    shown = drawn(made, 20)
    assert len(shown.splitlines()) <= 20
    assert "John 30" in shown
    assert "John 1 " not in shown
    assert "more" in shown
    assert "lost; trying again" in shown
    assert "load unknown, Overloaded" in shown
    for heading in HEADINGS:
        assert heading in shown


def test_a_name_cannot_steer_the_screen() -> None:
    made = board(row(1, title="\x1b[2J[red]Eve[/red]\n", bot="\x07bot"))
    shown = drawn(made, 24)
    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert "[red]Eve" in shown
    assert engine_lines(Board()) == []


def test_top_without_a_console_is_one_line(capsys: Captured, tmp_path: Path) -> None:
    state = ["--state", str(tmp_path)]
    assert run(["top", *state]) == NOT_FOUND
    assert "start `mixminus dev --state" in capsys.readouterr().err
    (tmp_path / "console.json").write_text('{"token": "hunter2"}')
    assert run(["top", *state]) == NOT_FOUND
    assert "hunter2" not in capsys.readouterr().err
    (tmp_path / "console.json").write_text(
        '{"url": "http://127.0.0.1:1/console", "token": "hunter2", "caFile": null, "pid": 1}'
    )
    for arguments in ([], ["--json"], ["--once"]):
        assert run(["top", *state, *arguments]) == FAILED
        line = capsys.readouterr().err
        assert "no console answers at http://127.0.0.1:1/console" in line
        assert "hunter2" not in line
