"""What commands print where: to programs, to people, to nobody in particular."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from mixminus.control.camel import camel, camel_keys
from mixminus.control.cli import output, run, serve
from mixminus.control.cli.errors import FAILED, NOT_FOUND, USAGE, plugin_error
from mixminus.control.cli.output import print_table, printable
from mixminus.control.config.errors import ConfigError
from mixminus.control.host.preflight import check_paths
from mixminus.control.settings import HostSettings
from mixminus.control.simulate.keys import SimulatorKeys
from mixminus.control.simulate.report import SimulationReport
from mixminus.control.simulate.services import SimulatedTwilio
from mixminus.media.plugins.errors import PluginError, UnknownPluginError
from mixminus.media.plugins.isolated.check import error_of
from mixminus.media.plugins.isolated.child import describe_error
from tests.support import ROOT

Captured = pytest.CaptureFixture[str]

ROWS = (("John", "in the lobby"), ("A\x1b[31mda\n", "x" * 200))


def test_in_a_pipe_a_row_is_a_line_and_nothing_is_cut(capsys: Captured) -> None:
    print_table(("name", "state"), ROWS, empty="nobody")
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "name       state",
        "John       in the lobby",
        "A\ufffd[31mda\ufffd  " + "x" * 200,
    ]
    print_table(("name",), (), empty="nobody")
    assert capsys.readouterr().out == "nobody\n"


def test_on_a_terminal_a_name_cannot_steer_it(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "is_terminal", lambda: True)
    print_table(("name", "state"), ROWS, empty="nobody")
    out = capsys.readouterr().out
    assert "\x1b[31m" not in out
    assert "in the lobby" in out
    assert "─" in out


@pytest.mark.parametrize("name", ["a\x1b]0;title\x07", "\u202egnirts", "tab\tbed", "\x9b31m"])
def test_what_steers_a_terminal_is_not_printable(name: str) -> None:
    assert printable(name).isprintable()


def test_names_of_python_become_those_of_json() -> None:
    given = {"late_ticks": 1, "callId": 2, "@odata.type": 3, "of": [{"p99_us": None}]}
    assert camel_keys(given) == {
        "lateTicks": 1,
        "callId": 2,
        "@odata.type": 3,
        "of": [{"p99Us": None}],
    }
    assert camel("frames") == "frames"


HEAVY = ("numpy", "av", "asyncio", "ssl", "pydantic", "rich", "fastapi", "httpx2", "cryptography")


def test_help_imports_nothing_that_is_heavy() -> None:
    code = (
        "import sys; from mixminus.control.cli import run; run(['--help']);"
        f"print('heavy', [name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.splitlines()[-1] == "heavy []"


def last_line(capsys: Captured) -> str:
    return capsys.readouterr().err.splitlines()[-1]


def host_settings(tmp_path: Path, **over: Any) -> HostSettings:
    return HostSettings(
        tenant_id="t", app_id="a", client_secret=SecretStr("s"), state_dir=tmp_path, **over
    )


@pytest.mark.parametrize(
    ("over", "says"),
    [
        ({"acs_keys_file": "/nowhere/jwks"}, "host.acs_keys_file: /nowhere/jwks: No such file"),
        ({"acs_keys_file": "/etc/passwd"}, "host.acs_keys_file: /etc/passwd: "),
        ({"recordings_dir": "/etc/passwd/x"}, "host.recordings_dir: expected a directory, got"),
    ],
)
def test_what_a_host_could_not_use_later_is_said_at_its_start(
    tmp_path: Path, over: dict[str, Any], says: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(says)):
        check_paths(host_settings(tmp_path, **over))


def test_a_place_for_recordings_is_not_made_before_it_is_used(tmp_path: Path) -> None:
    check_paths(host_settings(tmp_path, recordings_dir=tmp_path / "of" / "calls"))
    assert list(tmp_path.iterdir()) == []
    # A host that never stores anything needs none.
    check_paths(host_settings(tmp_path, recordings_dir="/etc/passwd", recording_gate="never"))


def test_a_short_secret_is_told_in_characters(
    capsys: Captured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("TENANT_ID", "APP_ID", "CLIENT_SECRET"):
        monkeypatch.setenv(f"MIXMINUS_{name}", "given")
    monkeypatch.setenv("MIXMINUS_STREAM_PATH_TOKEN", "hunter2")
    assert run(["serve", "--from-settings", "--state", str(tmp_path)]) == USAGE
    line = last_line(capsys)
    assert "MIXMINUS_STREAM_PATH_TOKEN: expected at least 16 characters, got 7" in line
    assert "hunter2" not in line


def test_a_plugin_that_is_not_there_is_not_found_also_in_a_child() -> None:
    told = error_of("mine", describe_error(UnknownPluginError("no 'Loud' in mine.py")))
    assert plugin_error(told).exit_code == NOT_FOUND
    assert plugin_error(told).message == "no 'Loud' in mine.py"
    told = error_of("mine", describe_error(PluginError("mine.py failed")))
    assert plugin_error(told).exit_code == FAILED


def test_a_raise_that_every_check_meets_is_said_once(capsys: Captured, tmp_path: Path) -> None:
    path = tmp_path / "bad.py"
    path.write_text("def bad(frame):\n    raise ValueError('always the same')\n")
    assert run(["plugin", "check", str(path)]) == FAILED
    out = capsys.readouterr().out
    assert out.count("always the same") == 1
    assert "the same as shape" in out


def test_a_dead_call_service_is_said_once_at_the_start(capsys: Captured) -> None:
    # Nothing listens on port 1 of this machine.
    serve._warn_of_silence("https://localhost:1", Path("somewhere/dev.json"))
    line = last_line(capsys)
    assert "no call service answers at https://localhost:1" in line
    assert "mixminus service --state somewhere" in line


def test_bars_are_for_terminals(capsys: Captured) -> None:
    with output.progress_bar("talking", 3.0) as bar:
        assert not bar.is_shown
        bar.advance_to(1.0)
        bar.say("connected")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("connected\n", "")


def test_without_a_desktop_no_browser_takes_the_terminal(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    import webbrowser

    from mixminus.control.cli import dev

    opened: list[Any] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    dev._open("http://127.0.0.1:7700/console#token=hunter2")
    line = last_line(capsys)
    assert "no desktop" in line
    assert "hunter2" not in line
    assert opened == []


def test_a_simulated_twilio_call_is_told_by_the_name_that_the_host_logs(tmp_path: Path) -> None:
    service = SimulatedTwilio(SimulatorKeys(tmp_path))
    assert service.stream_id is not None
    assert service.stream_id in "".join(service.write_start())
    report = SimulationReport(
        *("twilio", service.call_id, service.stream_id, 1.0, 50, 49, 0, 0, 1, 20, 40, 0, 0, 0),
        *(1.5, None, None, None),
    )
    assert service.stream_id in report.lines()[0]
    assert service.call_id in report.lines()[0]
