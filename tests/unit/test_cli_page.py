"""docs/cli.md says what the commands say: their options, exit codes, and what --json prints."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from mixminus.control.cli import run
from mixminus.control.cli.errors import EXIT_CODES, OK
from mixminus.control.simulate.report import SimulationReport
from tests import cli_page
from tests.support import ROOT

Captured = pytest.CaptureFixture[str]

FITS = 62
"""Characters of a first line that `mixminus --help` does not cut on 80 columns."""


def test_the_reference_is_what_the_commands_say() -> None:
    assert cli_page.PAGE.read_text() == cli_page.written(), "run python -m tests.cli_page"


@pytest.mark.parametrize("path", cli_page.commands())
def test_every_command_has_json_an_example_and_a_first_line_that_fits(path: str) -> None:
    command = cli_page.commands()[path]
    assert f"Example: mixminus {path}" in " ".join(command.help.split())
    assert any("--json" in parameter.opts for parameter in command.params)
    first = command.help.partition("\n")[0]
    assert first.endswith(".")
    assert len(first) <= FITS
    assert re.search(rf"^\| `{path}`.* \| .+ \|$", cli_page.PAGE.read_text(), re.MULTILINE)


def test_exit_codes_are_those_of_the_page_and_of_the_help(capsys: Captured) -> None:
    rows = re.findall(r"^\| (\d+) \| (.+) \|$", cli_page.PAGE.read_text(), re.MULTILINE)
    assert {int(code): meaning for code, meaning in rows} == EXIT_CODES
    assert run(["--help"]) == OK
    shown = capsys.readouterr().out
    for code, meaning in EXIT_CODES.items():
        assert f"{code}  {meaning}\n" in shown


def test_examples_of_the_help_name_what_is_there() -> None:
    for command in cli_page.commands().values():
        for name in re.findall(r"examples/\w+\.py", command.help):
            assert (ROOT / name).is_file()


def shown(capsys: Captured, *arguments: str) -> Any:
    assert run([*arguments, "--json"]) == OK
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("version", ()),
        ("simulate keys", ("--state", "{}")),
        ("blob build", ("--mp-uri", "wss://localhost:9441/media")),
        ("plugin list", ()),
        ("plugin show", ("gain",)),
        ("plugin new", ("softer", "--dir", "{}/softer")),
        ("dev-certs", ("bot.localhost", "--state", "{}", "--out", "{}")),
        ("config show", ()),
    ],
)
def test_json_has_the_members_of_the_page(
    capsys: Captured, tmp_path: Path, command: str, arguments: tuple[str, ...]
) -> None:
    made = shown(capsys, *command.split(), *(each.format(tmp_path) for each in arguments))
    assert set(made) == cli_page.json_members(command)


def test_what_the_plugin_commands_measure_has_the_members_of_the_page(
    capsys: Captured, tmp_path: Path
) -> None:
    made = shown(
        capsys, "plugin", "run", "gain", str(ROOT / "tests/data/speech.wav"), f"{tmp_path}/o.wav"
    )
    assert set(made) == cli_page.json_members("plugin run")
    assert made["frames"] > 490
    assert made["outFile"] == f"{tmp_path}/o.wav"


def test_every_key_of_the_settings_has_the_members_of_the_page(capsys: Captured) -> None:
    keys = shown(capsys, "config", "example")
    members = cli_page.json_members("config example")
    assert all(set(key) == members for key in keys)


def test_a_simulated_calls_report_has_the_members_of_the_page() -> None:
    report = SimulationReport(
        *("acs", "id", None, 1.0, 50, 49, 0, 0, 1, 20, 40, 0, 0, 0, 1.5, None, None, None)
    )
    assert set(report.as_json()) == cli_page.json_members("simulate acs")
