"""A skipped test is a failure unless tests/skips.toml lists it with a reason."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Timing decides no test; a failure prints what reproduces it. HYPOTHESIS_EXAMPLES looks longer.
settings.register_profile(
    "mixminus",
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
    max_examples=int(os.environ.get("HYPOTHESIS_EXAMPLES", "25")),
)
settings.load_profile("mixminus")

KEYS = 6
"""How many RSA keys the services of one test process share: making two anew for each of some 600
services took a quarter of all time. No test has more than three services at once."""


@pytest.fixture(scope="session", autouse=True)
def _keys_are_made_once() -> Iterator[None]:
    from mixminus.control.service import service
    from mixminus.control.service.keys import new_key_pem

    made: list[str] = []
    turn = count()

    def next_key_pem() -> str:
        if len(made) < KEYS:
            made.append(new_key_pem())
            return made[-1]
        return made[next(turn) % KEYS]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(service, "new_key_pem", next_key_pem)
        yield


LISTED = tomllib.loads((Path(__file__).parent / "skips.toml").read_text())["skip"]
_unlisted: list[str] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if not report.skipped or hasattr(report, "wasxfail"):
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    for entry in LISTED:
        if report.nodeid.startswith(entry["test"]) and entry["says"] in reason:
            return
    _unlisted.append(f"{report.nodeid}: {reason}")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if _unlisted and exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for line in _unlisted:
        terminalreporter.write_line(f"skipped without a line in tests/skips.toml: {line}", red=True)
