"""The demo's report: what it says of memory, and that picture and JSON can be made of anything."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mixminus.control.demo.echo import compare
from mixminus.control.demo.picture import save_picture
from mixminus.control.demo.report import DemoReport, Memory, print_report
from mixminus.media.pcm import SAMPLE_RATE_HZ

MB = 1 << 20


def over_time(start: int, per_minute: int, minutes: int = 10) -> Memory:
    return Memory(tuple((float(s), start + per_minute * s // 60) for s in range(60 * minutes)))


@pytest.mark.parametrize(("per_minute", "flat"), [(0, True), (MB // 2, True), (3 * MB, False)])
def test_memory_is_flat_or_not(per_minute: int, flat: bool) -> None:
    assert over_time(100 * MB, per_minute).is_flat() is flat


def test_a_short_run_says_nothing_of_memory() -> None:
    short = over_time(100 * MB, 50 * MB, minutes=1)
    assert short.growth_bytes() is None
    assert short.is_flat()


def test_warm_up_is_no_growth() -> None:
    warm = [(float(s), 300 * MB if s > 50 else 100 * MB) for s in range(300)]
    assert Memory(tuple(warm)).growth_bytes() == 0


def report(problems: tuple[str, ...] = ()) -> DemoReport:
    silent = np.zeros(SAMPLE_RATE_HZ, np.int16)
    return DemoReport(
        echo=compare(silent, silent),
        input_name="x.wav",
        input_s=1.0,
        looped=False,
        duration_s=1.0,
        call_id=None,
        service={},
        host={},
        softphone={},
        memory={"host": over_time(100 * MB, 30 * MB)},
        problems=problems,
    )


def test_every_failure_is_named() -> None:
    failures = report(("the bot failed: x",)).failures
    assert failures[0] == "the bot failed: x"
    assert any("memory of the host grew" in failure for failure in failures)


@pytest.mark.slow
def test_a_call_that_never_was_still_makes_a_report(tmp_path: Path) -> None:
    from rich.console import Console

    empty = report()
    assert json.loads(json.dumps(empty.as_json()))["ok"] is False
    with (tmp_path / "table.txt").open("w") as text:
        print_report(empty, Console(file=text, width=100))
    nothing = np.zeros(0, np.int16)
    picture = tmp_path / "report.png"
    save_picture(picture, nothing, nothing, empty.echo, {}, "nothing")
    assert picture.read_bytes().startswith(b"\x89PNG")
