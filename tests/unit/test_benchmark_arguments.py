"""What the benchmarks refuse before they measure, and the goals that a run says nothing of."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any

import pytest
from benchmarks import delay, report
from benchmarks.__main__ import argument_parser

Captured = pytest.CaptureFixture[str]


def refusal(capsys: Captured, *arguments: str) -> str:
    with pytest.raises(SystemExit) as ended:
        argument_parser().parse_args(arguments)
    assert ended.value.code == 2
    return capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("mix --rounds 0", "--rounds: expected a whole number of 1 or more, got 0"),
        ("mix --rounds many", "--rounds: expected a whole number of 1 or more, got 'many'"),
        ("mix --legs 4 0", "--legs: expected a whole number from 1 to 65,536, got 0"),
        ("mix --legs -1", "--legs: expected a whole number from 1 to 65,536, got -1"),
        ("tick --ticks 0", "--ticks: expected a whole number of 1 or more, got 0"),
        ("pipeline --frames 0", "--frames: expected a whole number of 1 or more, got 0"),
        ("network --seeds 0", "--seeds: expected a whole number of 1 or more, got 0"),
        ("network --hours -1", "--hours: expected a number from 0.05 to 8,760.0, got '-1'"),
        ("network --hours nan", "--hours: expected a number from 0.05 to 8,760.0, got 'nan'"),
        ("density --complexity 3 11", "--complexity: expected a whole number from 0 to 10, got 11"),
        ("density --legs 5000", "--legs: expected a whole number from 1 to 3,900, got 5000"),
        ("density --seconds 0", "--seconds: expected a number of 1 or more, got '0'"),
        ("density --seconds inf", "--seconds: expected a number of 1 or more, got 'inf'"),
        ("density --warm-up -1", "--warm-up: expected a number of 0 or more, got '-1'"),
        ("delay --seconds 0", "--seconds: expected a number of 1 or more, got '0'"),
        ("delay --echo-complexity -1", "expected a whole number from 0 to 10, got -1"),
        ("links --legs 501", "--legs: expected a whole number from 1 to 500, got 501"),
        ("links --way sip", "argument --way: invalid choice: 'sip'"),
        ("console --calls 100", "--calls: expected a whole number from 1 to 99, got 100"),
        ("console --view sign-in", "argument --view: invalid choice: 'sign-in'"),
        ("calls --calls 5", "--calls: expected a whole number from 10 to 5,000, got 5"),
        ("calls --standing 10 -1", "--standing: expected a whole number from 0 to 5,000, got -1"),
        ("calls --a-second 0", "--a-second: expected a number from 1 to 500, got '0'"),
        ("scale --legs 0", "--legs: expected a whole number from 1 to 3,900, got 0"),
        ("scale --complexity 11", "--complexity: expected a whole number from 0 to 10, got 11"),
        ("scale --seconds soon", "--seconds: expected a number of 1 or more, got 'soon'"),
        ("scale --cores -1", "--cores: expected 1..N with N up to"),
        ("scale --cores 0..2", "or 0, got '0..2'"),
    ],
)
def test_nonsense_is_refused(capsys: Captured, arguments: str, says: str) -> None:
    assert says in refusal(capsys, *arguments.split())


def test_what_makes_sense_is_taken() -> None:
    parser = argument_parser()
    assert parser.parse_args(["mix", "--legs", "1", "64", "--rounds", "1"]).legs == [1, 64]
    assert parser.parse_args(["density", "--complexity", "0", "10"]).complexity == [0, 10]
    scale = parser.parse_args(["scale", "--cores", "0", "--warm-up", "0", "--seconds", "1.5"])
    assert (scale.cores, scale.warm_up, scale.seconds) == ([], 0, 1.5)
    assert parser.parse_args(["network", "--hours", "0.25"]).hours == 0.25


@pytest.mark.parametrize("option", ["--json", "--plot"])
def test_a_result_that_cannot_be_kept_is_refused(
    capsys: Captured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    def refused(path: Path) -> str:
        return refusal(capsys, "mix", option, str(path))

    assert f"{option}: expected a file in a folder that exists" in refused(tmp_path / "no" / "r")
    assert f"{option}: expected a file, got the folder" in refused(tmp_path)
    kept = tmp_path / "result.png"
    # Whoever runs this as root may write everywhere.
    with monkeypatch.context() as patched:
        patched.setattr(os, "access", lambda path, mode: False)
        assert f"{option}: expected a file that can be written" in refused(kept)
    assert not kept.exists()
    args = argument_parser().parse_args(["mix", option, str(kept)])
    assert kept in (args.json, args.plot)
    assert not kept.exists()


def test_a_picture_that_cannot_be_drawn_is_refused(
    capsys: Captured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = refusal(capsys, "mix", "--plot", str(tmp_path / "result.txt"))
    assert "--plot: expected a name in .png, .svg, .pdf" in said
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    said = refusal(capsys, "mix", "--plot", str(tmp_path / "result.png"))
    assert "--plot: expected matplotlib" in said


def test_a_goal_without_a_figure_is_neither_met_nor_missed(capsys: Captured) -> None:
    report.print_goals(
        [
            report.not_measured("as fast as light", "no light"),
            {"what": "one", "measured": 1.0, "met": True},
            {"what": "two", "measured": 2.0, "met": False},
        ]
    )
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines == ["not measured as fast as light: no light", "met one: 1", "missed two: 2"]


def delayed(key: str, legs: int, p50_ms: float, **more: Any) -> dict[str, Any]:
    found = {"key": key, "way": f"mixminus, {key}", "legs": legs, "problem": None}
    return {**found, "p50 ms": p50_ms, "p99 ms": p50_ms + 15, **more}


def test_each_goal_of_delay_is_told_of() -> None:
    unheard = {"key": "echo", "way": "mixminus, echo", "legs": 5, "problem": None}
    many = delayed("echo-100", 100, 90.0, **{"service cores": 0.4, "host cores": 0.6})
    rows = [delayed("rtp", 10, 38.0), delayed("webrtc", 10, 50.0, problem="late"), unheard, many]
    found = {goal["what"]: (goal["met"], goal.get("why")) for goal in delay.goals(rows)}
    assert found == {
        "mixminus, rtp, p50 <= 40 ms": (True, None),
        "mixminus, rtp, p99 <= 60 ms": (True, None),
        "mixminus, webrtc, p50 <= 40 ms": (None, "late"),
        "mixminus, webrtc, p99 <= 60 ms": (None, "late"),
        "mixminus, echo, p50 <= 120 ms": (None, "no onset was heard"),
        "mixminus, echo, p99 <= 160 ms": (None, "no onset was heard"),
        "mixminus, echo-100, p50 <= 120 ms": (True, None),
        "mixminus, echo-100, p99 <= 160 ms": (True, None),
        "mixminus, echo-100, service cores <= 0.5": (True, None),
        "mixminus, echo-100, host cores <= 0.5": (False, None),
    }


def test_fewer_calls_than_the_goal_says_are_no_figure_of_it() -> None:
    few = delayed("echo-100", 10, 90.0, **{"service cores": 0.1, "host cores": 0.1})
    found = [goal for goal in delay.goals([few]) if "echo-100" in goal["what"]]
    assert [(goal["met"], goal["why"]) for goal in found] == [(None, "10 calls, not 100")] * 4
    absent = [goal for goal in delay.goals([]) if goal["why"] == "not run"]
    assert len(absent) == 10
    assert absent[0]["what"] == "mixminus, RTP, p50 <= 40 ms"
