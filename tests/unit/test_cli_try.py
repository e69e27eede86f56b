"""``mixminus try``: what is wrong is one line before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from mixminus.control.cli import run
from mixminus.control.cli.errors import FAILED, NOT_FOUND, USAGE
from tests.support import ROOT

ECHO = str(ROOT / "examples/echo_bot.py")


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["nothing.py"], NOT_FOUND, "no such bot file"),
        ([str(ROOT / "README.md")], FAILED, "expected a Python file"),
        ([ECHO, "--tones", "1x"], USAGE, "--tones: expected keys"),
        ([ECHO, "--input", "nothing.wav"], NOT_FOUND, "--input: no file nothing.wav"),
        ([ECHO, "--input", str(ROOT / "README.md")], FAILED, "expected wav, flac"),
        ([ECHO, "--input", ECHO, "--silent"], USAGE, "one of --input and --silent"),
        ([ECHO, "--user", "John", "--callee", "John"], USAGE, "--callee: expected somebody else"),
        ([ECHO, "--user", "Nobody"], NOT_FOUND, "Nobody"),
        ([ECHO, "--duration", "0"], USAGE, "--duration"),
        ([ECHO, "--plugin", "gain@mic"], USAGE, "--plugin: plugin gain: on: expected one of"),
    ],
)
def test_what_is_wrong_is_one_line(
    arguments: list[str],
    code: int,
    says: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["try", *arguments, "--out", str(tmp_path / "out")]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = [line for line in captured.err.splitlines() if line.startswith("mixminus: ")]
    assert says in line


def test_a_bot_that_neither_makes_nor_takes_calls_is_not_waited_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bot = tmp_path / "bot.py"
    bot.write_text("from mixminus.control.host import Bot\n\nbot = Bot()\n")
    assert run(["try", str(bot), "--out", str(tmp_path / "out")]) == FAILED
    assert "expected a bot with @bot.on_incoming_call" in capsys.readouterr().err


def test_an_output_that_is_no_directory_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    taken = tmp_path / "taken"
    taken.write_text("")
    assert run(["try", ECHO, "--silent", "--out", str(taken)]) == FAILED
    assert "cannot write" in capsys.readouterr().err


def test_an_on_start_that_fails_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bot = tmp_path / "bot.py"
    bot.write_text(
        "from mixminus.control.host import Bot, BotHost\n\nbot = Bot()\n\n"
        "@bot.on_start\nasync def start(host: BotHost) -> None:\n    [][1]\n"
    )
    assert run(["try", str(bot), "--silent", "--out", str(tmp_path / "out")]) == FAILED
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == ("mixminus: the bot's on_start failed: IndexError: list index out of range")


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("RECORDING_GATE", "ajar", "settings: recording_gate: Input should be 'policy'"),
        ("PLUGINS", "gain", "settings: plugins: expected JSON in the environment"),
        ("PLUGINS", '["gain,gain_db=99"]', "plugin gain: config.gain_db: Input should be less"),
    ],
)
def test_a_wrong_setting_of_the_environment_is_one_line(
    name: str,
    value: str,
    says: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(f"MIXMINUS_{name}", value)
    assert run(["try", ECHO, "--silent", "--out", str(tmp_path / "out")]) == USAGE
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"mixminus: {says}")
