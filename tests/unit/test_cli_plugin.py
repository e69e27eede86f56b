"""``mixminus plugin``: list, show, new, run and check, as somebody types them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import venv
from pathlib import Path

import numpy as np
import pytest

from mixminus.control.cli import run
from mixminus.control.cli.errors import FAILED, NOT_FOUND, OK, USAGE
from mixminus.media.dtmf import tone_pcm
from mixminus.media.pcm import Pcm
from mixminus.media.pipeline import WavWriter, load_audio
from mixminus.media.plugins.builtin import PLUGINS
from mixminus.media.plugins.probes import silence, speech_like
from tests.support import ROOT

Captured = pytest.CaptureFixture[str]


def write(path: Path, pcm: Pcm) -> Path:
    with WavWriter(path) as writer:
        writer.write(pcm)
    return path


def one_line(capsys: Captured) -> str:
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("mixminus: ")
    return lines[0]


def test_list_and_show_tell_of_each_built_in_plugin(capsys: Captured) -> None:
    assert run(["plugin", "list"]) == OK
    listed = capsys.readouterr().out
    for name in PLUGINS:
        assert f"{name} " in listed
        assert run(["plugin", "show", name]) == OK
        assert "setting" in capsys.readouterr().out
    assert "cannot be used" not in listed
    assert run(["plugin", "show", "gain"]) == OK
    assert "gain_db: default 6.0; at least -60.0; at most 30.0" in capsys.readouterr().out


def test_run_writes_what_the_plugin_makes_and_tells_how_long_it_took(
    tmp_path: Path, capsys: Captured
) -> None:
    given = speech_like(1.01)
    source, out = write(tmp_path / "in.wav", given), tmp_path / "out.wav"
    assert run(["plugin", "run", "gain", str(source), str(out), "--set", "gain_db=-6"]) == OK
    made = load_audio(out)[: given.size]
    assert np.array_equal(made, np.rint(given * 10.0**-0.3))
    said = capsys.readouterr().out
    assert "51 frames of 20 ms: p50 " in said
    assert "real-time factor" in said


def test_run_ends_as_much_later_as_the_plugin_is_late(tmp_path: Path) -> None:
    given = speech_like(0.4)
    source, out = write(tmp_path / "in.wav", given), tmp_path / "out.wav"
    assert run(["plugin", "run", "delay", str(source), str(out), "--set", "delay_ms=25"]) == OK
    made = load_audio(out)
    assert made.size == given.size + 640
    assert np.array_equal(made[400 : 400 + given.size], given)


def test_run_prints_events_with_their_time(tmp_path: Path, capsys: Captured) -> None:
    given = np.concatenate((silence(50), tone_pcm("5", 100), silence(10), tone_pcm("#", 100)))
    source = write(tmp_path / "keys.wav", given)
    assert run(["plugin", "run", "dtmf", str(source), str(tmp_path / "o.wav")]) == OK
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if " tone " in line]
    assert [line[3] for line in lines] == ['"5"', '"#"']
    assert [float(line[0]) for line in lines] == pytest.approx([1.02, 1.32], abs=0.04)
    meter = ["plugin", "run", "level_meter", str(source), str(tmp_path / "o.wav")]
    assert run([*meter, "--set", "interval_ms=20"]) == OK
    assert "more events (--all-events)" in capsys.readouterr().out
    assert run([*meter, "--set", "interval_ms=20", "--all-events"]) == OK
    assert "more events" not in capsys.readouterr().out


BROKEN = """
import numpy as np

def third(frame):
    if frame.timestamp == 400_000:
        raise RuntimeError("no third frame")

class Unready:
    def open(self, context):
        raise OSError("no model")
    def process(self, frame):
        return None
"""


def test_a_plugin_that_fails_is_named_with_its_frame(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "broken.py").write_text(BROKEN)
    source, out = write(tmp_path / "in.wav", speech_like(0.2)), tmp_path / "out.wav"
    assert run(["plugin", "run", f"{tmp_path}/broken.py:third", str(source), str(out)]) == FAILED
    said = one_line(capsys)
    assert (
        "failed on 1 frames; the frame at 0.04 s: process raised RuntimeError: no third frame"
        in said
    )
    assert np.array_equal(load_audio(out), load_audio(source))
    assert run(["plugin", "run", f"{tmp_path}/broken.py:Unready", str(source), str(out)]) == FAILED
    assert "no model" in one_line(capsys)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["run", "gain", "IN", "out.mp3"], USAGE, "OUT: expected a name that ends in .wav"),
        (["run", "gain", "IN", "IN"], USAGE, "OUT: expected another file than IN"),
        (["run", "gain", "nothing.wav", "o.wav"], NOT_FOUND, "got no file of that name"),
        (["run", "gain", "IN", "no/such/o.wav"], FAILED, "cannot write no/such/o.wav"),
        (["run", "nope", "IN", "o.wav"], NOT_FOUND, "no plugin 'nope'"),
        (["run", "gain", "IN", "o.wav", "--set", "gain_db"], USAGE, "expected KEY=VALUE"),
        (["run", "gain", "IN", "o.wav", "--set", "gain_db=loud"], USAGE, "config.gain_db"),
        (["run", "gain", "IN", "o.wav", "--on", "stage"], USAGE, "--on: expected one of inbound"),
        (["check", "gain", "--set", "gain_db=99"], USAGE, "config.gain_db"),
        (["show", "nope.py"], NOT_FOUND, "no such plugin file"),
        (["new", "My Plugin"], USAGE, "NAME: expected at most 40 small letters"),
        (["new", "gain"], USAGE, "NAME: expected another name than a built-in"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str],
    code: int,
    says: str,
    tmp_path: Path,
    capsys: Captured,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    source = write(tmp_path / "in.wav", speech_like(0.1))
    given = [str(source) if argument == "IN" else argument for argument in arguments]
    assert run(["plugin", *given]) == code
    assert says in one_line(capsys)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.wav"]


def test_check_tells_what_each_check_found(tmp_path: Path, capsys: Captured) -> None:
    file = tmp_path / "wraps.py"
    file.write_text("def wraps(frame):\n    return frame * 2\n")
    assert run(["plugin", "check", str(file)]) == FAILED
    said = capsys.readouterr().out
    assert "FAIL  full scale" in said
    assert "ok    shape" in said
    assert said.endswith("9 of 10 checks passed\n")


def test_a_new_package_is_complete_and_its_plugin_runs(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["plugin", "new", "low-voice"]) == OK
    assert "made mixminus-low-voice" in capsys.readouterr().out
    root = tmp_path / "mixminus-low-voice"
    found = sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.is_file())
    assert found == [
        "README.md",
        "pyproject.toml",
        "src/mixminus_low_voice/__init__.py",
        "tests/test_low_voice.py",
    ]
    assert run(["plugin", "new", "low-voice"]) == FAILED
    assert "is there already" in one_line(capsys)
    plugin = str(root / "src/mixminus_low_voice/__init__.py")
    given = speech_like(0.2)
    source, out = write(tmp_path / "in.wav", given), tmp_path / "out.wav"
    assert run(["plugin", "run", plugin, str(source), str(out), "--set", "reduction_db=20"]) == OK
    assert np.array_equal(load_audio(out), np.rint(given * 0.1))


def test_the_first_plugin_of_the_page_is_checked_and_run_as_it_says(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs/plugins.md").read_text()
    (block,) = re.findall(r"^```python\n([^`]*def softer.*?)^```", page, re.S | re.M)
    assert len(block.splitlines()) <= 10
    Path("softer.py").write_text(block)
    given = speech_like(0.4)
    write(Path("in.wav"), given)
    commands = re.findall(r"^    mixminus (plugin \w+ softer\.py.*?)(?:  +#.*)?$", page, re.M)
    assert len(commands) == 2
    for command in commands:
        assert run(command.replace("in.mp3", "in.wav").split()) == OK, capsys.readouterr()
    assert np.array_equal(load_audio(Path("out.wav")), np.rint(given * 10.0**-0.6))


@pytest.mark.slow  # Makes an environment of its own.
def test_a_new_package_is_installed_found_by_name_and_used(tmp_path: Path) -> None:
    assert run(["plugin", "new", "tremor", "--dir", str(tmp_path / "package")]) == OK
    home = tmp_path / "venv"
    venv.create(home, with_pip=True, symlinks=True)
    python = home / "bin" / "python"
    # mixminus and what it needs are this environment's; only the build asks for its setuptools.
    own = next(path for path in sys.path if path.endswith("site-packages"))
    (home / "lib" / Path(own).parent.name / "site-packages" / "base.pth").write_text(
        f"{own}\n{ROOT / '.src'}\n"
    )

    def start(*arguments: str) -> str:
        done = subprocess.run(
            [str(python), "-m", *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            env={key: text for key, text in os.environ.items() if key != "PYTHONPATH"},
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    start("pip", "install", "--disable-pip-version-check", "--no-deps", "./package")
    assert "tremor" in start("mixminus.control", "plugin", "list")
    assert "10 of 10 checks passed" in start("mixminus.control", "plugin", "check", "tremor")
    given = speech_like(0.5)
    write(tmp_path / "in.wav", given)
    start("mixminus.control", "plugin", "run", "tremor", "in.wav", "out.wav")
    made = load_audio(tmp_path / "out.wav")
    assert np.array_equal(made, np.rint(given * 10.0**-0.3))
    assert "3 passed" in start("pytest", "-q", "-p", "no:cacheprovider", "package/tests")
