"""The demo run as a user runs it, and what it must not leave behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from tests.support import ROOT


def demo(*arguments: str, temporary: Path) -> subprocess.CompletedProcess[str]:
    """Run ``mixminus demo``; its processes work below *temporary*, and none may be left."""
    with leaves_nothing_running(temporary):
        return subprocess.run(
            [sys.executable, "-m", "mixminus.control", "demo", *arguments],
            cwd=ROOT,
            env=environment(temporary),
            capture_output=True,
            text=True,
            check=False,
            timeout=900,
        )


def environment(temporary: Path) -> dict[str, str]:
    """Return an environment in which the demo works below *temporary*."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(temporary)}


@contextmanager
def leaves_nothing_running(temporary: Path) -> Iterator[None]:
    """Fail if a process that works below *temporary* is there afterwards.

    Other demos may run on this machine at the same time.
    """
    yield
    left = [
        process.info["cmdline"]
        for process in psutil.process_iter(["cmdline"])
        if f"{temporary}/mixminus-demo-" in " ".join(process.info["cmdline"] or [])
    ]
    assert left == []


def report_of(out: Path) -> dict[str, Any]:
    """Read the report that a demo wrote to *out*."""
    report: dict[str, Any] = json.loads((out / "report.json").read_text())
    return report
