"""A call of ten minutes: it takes them by the clock, and little of the machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.demo_kit import demo, report_of

pytestmark = pytest.mark.long


def test_ten_minutes_have_flat_memory(tmp_path: Path) -> None:
    done = demo("--duration", "600", "--out", str(tmp_path), temporary=tmp_path)
    print(done.stdout)  # the figures belong in the log of the run
    report = report_of(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    for name, memory in report["memory"].items():
        assert len(memory["samples"]) > 500, name
        assert memory["growthBytes"] <= 8 << 20, name
