"""The benchmarks run and keep what they found; what they measure decides nothing here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import ROOT

RUNS = {
    "mix": ["--legs", "2", "64", "--rounds", "1", "--no-peers"],
    "tick": ["--ticks", "10", "--load", "nothing", "--load", "4 busy Python threads"]
    + ["--no-legs"],
    "pipeline": ["--frames", "200"],
    "plugins": ["--frames", "500", "--ticks", "200"],
    "store": ["--quick"],
    "calls": ["--quick", "--standing", "5"],
}


LONGEST = {"plugins", "calls"}
"""Starting engines, services and children anew takes its time, however little is measured."""


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.soak] if name in LONGEST else []) for name in RUNS],
)
def test_a_benchmark_prints_keeps_and_draws(tmp_path: Path, name: str) -> None:
    kept, drawn = tmp_path / "result.json", tmp_path / "result.png"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", name, *RUNS[name]]
        + ["--json", str(kept), "--plot", str(drawn)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(kept.read_text())
    assert result["rows"]
    assert {"cpu", "kernel", "versions", "steal_percent", "isa_in_use"} <= result["machine"].keys()
    assert result["machine"]["cpu"] in done.stdout.replace("\n", " ")
    assert drawn.read_bytes().startswith(b"\x89PNG")
