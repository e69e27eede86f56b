"""``mixminus doctor`` prints what was found, for people, for pipes and for programs."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from mixminus.control.cli import doctor as command
from mixminus.control.cli import run
from mixminus.control.cli.errors import FAILED, OK
from mixminus.control.doctor import diagnose
from mixminus.control.doctor.findings import Finding, Level

FINE = Finding("processor", Level.OK, "x86_64", details={"cpus": 2})
DOUBTFUL = Finding("Graph", Level.WARNING, "offline", "Look at DNS.\nOr do not mind.")
BROKEN = Finding("ports", Level.ERROR, "in use by \x1b[31mevil", "Stop it.")

Captured = pytest.CaptureFixture[str]


def finds(monkeypatch: pytest.MonkeyPatch, *findings: Finding) -> list[tuple[Path | None, ...]]:
    """Let the checks find that; return how they were asked."""
    asked: list[tuple[Path | None, ...]] = []

    async def found(config: Path | None, state_dir: Path | None) -> list[Finding]:
        asked.append((config, state_dir))
        logging.getLogger("mixminus.control.config").warning("said twice")
        return list(findings)

    monkeypatch.setattr(diagnose, "diagnose", found)
    return asked


def test_only_an_error_fails(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    for findings, code in (((FINE,), OK), ((FINE, DOUBTFUL), OK), ((BROKEN, FINE), FAILED)):
        asked = finds(monkeypatch, *findings)
        assert run(["doctor", "--state", "s", "--config", "c"]) == code
        assert asked == [(Path("c"), Path("s"))]
    assert capsys.readouterr().err == ""


def test_a_pipe_gets_a_line_for_each_and_how_to_mend_it(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    finds(monkeypatch, FINE, DOUBTFUL, BROKEN)
    assert run(["doctor"]) == FAILED
    assert capsys.readouterr().out.splitlines() == [
        "ok       processor: x86_64",
        "warning  Graph: offline",
        "           mend: Look at DNS.",
        "           mend: Or do not mind.",
        "error    ports: in use by \N{REPLACEMENT CHARACTER}[31mevil",
        "           mend: Stop it.",
        "3 looked at: 1 error, 1 warning",
    ]


def test_a_person_gets_a_table(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    finds(monkeypatch, FINE, DOUBTFUL, BROKEN)
    monkeypatch.setattr(command, "is_terminal", lambda: True)
    assert run(["doctor"]) == FAILED
    out = capsys.readouterr().out
    assert "\x1b[31mevil" not in out
    assert "-> Or do not mind." in out
    assert out.splitlines()[-1] == "3 looked at: 1 error, 1 warning"


def test_a_program_gets_json(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    finds(monkeypatch, FINE, DOUBTFUL)
    assert run(["doctor", "--json"]) == OK
    answer = json.loads(capsys.readouterr().out)
    assert answer["level"] == "warning"
    assert answer["findings"][0] == {
        "check": "processor",
        "level": "ok",
        "found": "x86_64",
        "remedy": "",
        "details": {"cpus": 2},
    }
