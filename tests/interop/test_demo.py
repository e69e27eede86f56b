"""The demo as a user runs it: three real processes, a real WebRTC call, a real file."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from mixminus.media.pcm import SAMPLE_RATE_HZ
from mixminus.media.pipeline import WavWriter
from tests.demo_kit import demo, environment, leaves_nothing_running, report_of
from tests.support import ROOT

pytestmark = pytest.mark.alone

SPEECH = ROOT / "tests/data/speech.wav"


@pytest.mark.slow
def test_john_hears_himself_turned_over_at_half_the_level(tmp_path: Path) -> None:
    done = demo("--duration", "6", "--out", str(tmp_path), temporary=tmp_path)
    report = report_of(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert report["ok"]
    assert report["echo"]["medianCorrelation"] <= -0.95
    assert report["echo"]["gainErrorDb"] <= 1.0
    states = [entry["state"] for entry in report["service"]["states"]]
    assert states == ["establishing", "established", "terminating", "terminated"]
    sent, received = report["service"]["notifications"], report["host"]["notifications"]
    assert sent["sent"] == received["received"] > 0
    assert sent["failed"] == sent["pending"] == 0
    assert len(report["hops"]) == 6
    for hop in report["hops"]:
        kinds = sum(hop[kind] for kind in ("voice", "silence", "concealed", "skipped"))
        assert hop["ticks"] == kinds, hop
    for name in ("echo.wav", "report.png"):
        assert (tmp_path / name).stat().st_size > 10_000
    assert "round trip" in done.stdout


@pytest.mark.slow
def test_one_wrong_byte_in_the_secret_is_no_echo_and_exit_1(tmp_path: Path) -> None:
    bot = str(ROOT / "tests/data/spoiled_bot.py")
    done = demo("--duration", "3", "--out", str(tmp_path), "--bot", bot, temporary=tmp_path)
    assert done.returncode == 1
    report = report_of(tmp_path)
    assert not report["ok"]
    assert report["echo"]["heardDbov"] == -127.0


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "code"), [("text", 1), ("silence", 1), ("missing", 3)])
def test_a_useless_input_is_one_line_before_anything_starts(
    tmp_path: Path, kind: str, code: int
) -> None:
    path = tmp_path / "input.wav"
    if kind == "text":
        path.write_text("this is not audio, whatever its name says\n" * 20)
    elif kind == "silence":
        with_samples = WavWriter(path)
        with_samples.write(np.zeros(2 * SAMPLE_RATE_HZ, np.int16))
        with_samples.close()
    done = demo("--input", str(path), "--out", str(tmp_path / "out"), temporary=tmp_path)
    assert done.returncode == code
    assert done.stderr.strip().splitlines()[-1].startswith("mixminus: ")
    assert str(path) in done.stderr.replace("\n", "")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out" / "call-service.log").exists()


@pytest.mark.slow
def test_an_output_that_is_no_directory_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    done = demo("--out", str(tmp_path / "out"), temporary=tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("mixminus: cannot write ")
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_sigterm_ends_its_processes_too(tmp_path: Path) -> None:
    with (
        leaves_nothing_running(tmp_path),
        subprocess.Popen(
            [sys.executable, "-m", "mixminus.control", "demo", "--out", str(tmp_path)],
            cwd=ROOT,
            env=environment(tmp_path),
            stderr=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("starting the bot host"):
                process.send_signal(signal.SIGTERM)
                break
        rest = process.stderr.read()
    assert process.returncode == 130
    assert "Traceback" not in rest


@pytest.mark.slow
@pytest.mark.parametrize(
    "suffix",
    [
        "mp3",
        "webm",
        *(pytest.param(other, marks=pytest.mark.soak) for other in ("flac", "ogg", "m4a")),
    ],
)
def test_other_formats_are_played_and_looped(tmp_path: Path, suffix: str) -> None:
    source = tmp_path / f"speech.{suffix}"
    codec = {"flac": "flac", "mp3": "mp3", "m4a": "aac"}.get(suffix, "libopus")
    rate = 48_000 if codec == "libopus" else SAMPLE_RATE_HZ
    with av.open(str(SPEECH)) as given, av.open(str(source), "w") as made:
        stream = made.add_stream(codec, rate=rate)
        assert isinstance(stream, av.AudioStream)
        for frame in given.decode(audio=0):
            made.mux(stream.encode(frame))
        made.mux(stream.encode(None))
    out = tmp_path / "out"
    done = demo("--input", str(source), "--duration", "12", "--out", str(out), temporary=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "it was looped" in done.stdout
