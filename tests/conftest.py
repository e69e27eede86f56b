"""A skipped test is a failure unless tests/skips.toml lists it with a reason."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from tests.postgres_kit import PostgresServer
    from tests.store_kit import Place

# Tests use all of a machine, and start many services in one process: no load of theirs refuses a
# call. Tests of admission switch it on.
os.environ.setdefault("MIXMINUS_OPERATION_ADMISSION", "false")

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


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server that the tests of a process share; each makes its own database."""
    from tests.postgres_kit import NoPostgresError, postgres_server

    with ExitStack() as exits:
        try:
            server = exits.enter_context(postgres_server())
        except NoPostgresError as error:
            pytest.skip(str(error))
        yield server


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A place for a store, on each engine in turn."""
    from tests.store_kit import PostgresPlace, SqlitePlace

    if request.param == "sqlite":
        return SqlitePlace(tmp_path)
    return PostgresPlace(request.getfixturevalue("postgres"))


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
