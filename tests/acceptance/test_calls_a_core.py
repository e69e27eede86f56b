"""Acceptance check 7: what the benchmarks make of their rows. No figure decides a test."""

from __future__ import annotations

import io
from typing import Any

import pytest
from benchmarks import density, links, report
from benchmarks.load.client import Window
from benchmarks.peers.base import Setting
from benchmarks.processes import Cores
from rich.console import Console


class Measured:
    """Something measured whose ticks take longer with each leg."""

    name, setting, complexity, pids = "ours", "a setting", 5, (1,)

    def __init__(self, ms_a_leg: float) -> None:
        self._ms_a_leg = ms_a_leg
        self.callers: list[str] = []

    def __enter__(self) -> Measured:
        return self

    def __exit__(self, *error: object) -> None:
        return None

    def facts(self) -> dict[str, Any]:
        return {"tick": {"p99_ms": self._ms_a_leg * len(self.callers)}}

    def measure_again(self, measured: Any, warm_up_s: float, seconds: float) -> Window:
        return Window(
            seconds=seconds,
            cores=0.5,
            load_cores=0.5,
            least_share=1.0,
            level_dbov=-20.0,
            late_share=0.0,
            sent_share=1.0,
            least_dbov=-40.0,
            threads={},
        )


def test_07_calls_a_core_are_the_most_whose_p99_is_within_10_ms_and_are_printed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Acceptance check 7: the ramp ends at the first step over 10 ms; N is the one before."""
    load = Measured(0.035)
    monkeypatch.setattr(density, "Load", lambda **_: load)
    way = density.Way("rtp", lambda _: load, "rtp")
    monkeypatch.setattr(density, "make_way", lambda *_: way)

    def join(_: Any, over: str, measured: Any, voices: list[str]) -> list[int]:
        load.callers += voices
        return []

    monkeypatch.setattr(density, "join", join)
    cores = Cores(measured=0, second=1, load=1)
    steps = list(density.ramp("rtp", "all", Setting(complexity=5), cores, 3900))
    p99_ms = [step["tick p99 ms"] for step in steps]
    assert density.RAMP_TICK_MS == 10.0
    assert p99_ms[-1] > 10.0 >= max(p99_ms[:-1])
    found = density.legs_per_core(steps)
    assert found["ended by"] == "tick p99"
    assert found["legs"] == steps[-2]["legs"]
    assert found["legs"] * 0.035 <= 10.0 < found["legs"] * 0.035 * density.RAMP_STEP + 0.035
    shown = Console(width=120, file=io.StringIO())
    monkeypatch.setattr(report, "CONSOLE", shown)
    report.print_table("Legs on one core", ["way", "legs", "ended by"], [found])
    assert str(found["legs"]) in shown.file.getvalue()  # type: ignore[attr-defined]


def link_row(legs: int, cores: float, problem: str | None = None) -> dict[str, Any]:
    return {"way": "media link", "legs": legs, "legs a core": legs / cores, "problem": problem}


@pytest.mark.parametrize(("p99_ms", "is_good"), [(9.9, True), (10.1, False), (None, True)])
def test_07_echo_bots_a_core_count_only_while_ticks_take_10_ms_at_most(
    monkeypatch: pytest.MonkeyPatch, p99_ms: float | None, is_good: bool
) -> None:
    """Acceptance check 7, over the media link and the ACS stream."""

    class Side:
        """A host or its far ends, all of whose frames came."""

        pid = 1
        asked = 0

        def ask(self, what: str, **_: Any) -> dict[str, Any]:
            self.asked += 1
            if what == "facts":
                return {"sent": 10**6 * self.asked, "tick_p99_ms": p99_ms}
            return {"sent": 10**6 * self.asked, "heard": 10**6 * self.asked}

    class Meter:
        def __init__(self, pids: list[int]) -> None:
            self._pids = pids

        def cores(self) -> dict[int, float]:
            return dict.fromkeys(self._pids, 0.5)

        def threads(self, pid: int) -> dict[str, float]:
            return {}

    monkeypatch.setattr(links, "CpuMeter", Meter)
    host, callers = Side(), Side()
    found = links.window("link", 25, host, callers, 0.001)  # type: ignore[arg-type]
    assert (found["problem"] is None) is is_good
    rows = [link_row(10, 0.25), link_row(20, 0.5), link_row(25, 0.5, "ticks take 10.1 ms")]
    assert links.note(rows, "link") == "media link: 40 legs a core, measured with 20"
