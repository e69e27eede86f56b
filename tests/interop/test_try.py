"""``mixminus try``: each example by its documented command, with real callers in real time."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mixminus.media.pcm import SAMPLE_RATE_HZ, level_dbov
from mixminus.media.pipeline import WavWriter, load_audio
from tests.signals import sine, tone_dbov
from tests.support import ROOT

pytestmark = pytest.mark.alone

COMMANDS = re.findall(r"`mixminus (try examples/[^`]+)`", (ROOT / "docs/bots.md").read_text())

QUICK = ("captions_bot", "echo_bot", "ivr_bot")
"""Tried by `make check`; the others have tests of their own there, and `make soak` tries them."""

SAYS = {
    "captions_bot": r"John: .*lazy dog",
    "compliance_bot": r"s, callEnded: .*\n +\d+\.\d\d to +\d+\.\d\d s  John",
    "bridge_bot": "talks to",
    "greeter_bot": "interrupted after",
    "meeting_bot": "in the meeting: John, minutes",
    "noise_relay_bot": "Alice: connected",
    "ivr_bot": "Alice: connected",
    "prompt_bot": "4000 samples: played, 750 ms",
    "voicemail_bot": "a message from John",
}


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mixminus.control", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.slow
def test_two_people_hear_each_other_across_two_calls(tmp_path: Path) -> None:
    spoken = tmp_path / "tone.wav"
    with WavWriter(spoken) as file:
        file.write(sine(700, SAMPLE_RATE_HZ, 1.0))
    done = run(
        *("try", str(ROOT / "examples/bridge_bot.py"), "--user", "John", "--user", "Alice"),
        *("--input", str(spoken), "--duration", "3"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    alice = load_audio(tmp_path / "try-out/heard-Alice.wav")
    assert max(tone_dbov(alice[at : at + 8000], 700) for at in range(0, alice.size, 4000)) > -20
    john = load_audio(tmp_path / "try-out/heard-John.wav")
    assert tone_dbov(john, 700) < -40, "nobody hears themselves"


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        pytest.param(
            command,
            id=Path(command.split()[1]).name,
            marks=() if Path(command.split()[1]).stem in QUICK else pytest.mark.soak,
        )
        for command in COMMANDS
    ],
)
def test_each_documented_command_works(command: str, tmp_path: Path) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    arguments = shlex.split(command)
    name = Path(arguments[1]).stem
    if name == "captions_bot":
        pytest.importorskip("pocketsphinx")
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(SAYS.get(name, "John: connected"), done.stdout), done.stdout
    heard = load_audio(tmp_path / "try-out/heard-John.wav")
    assert heard.size > SAMPLE_RATE_HZ
    if name in ("echo_bot", "greeter_bot", "ivr_bot", "prompt_bot", "voicemail_bot"):
        assert level_dbov(heard) > -60


@pytest.mark.soak
def test_alice_hears_less_noise_than_john_makes(tmp_path: Path) -> None:
    noise = np.random.default_rng(3).normal(0, 800, 4 * SAMPLE_RATE_HZ).astype(np.int16)
    with WavWriter(tmp_path / "noise.wav") as file:
        file.write(noise)
    done = run(
        *("try", str(ROOT / "examples/noise_relay_bot.py"), "--callee", "Alice"),
        *("--input", str(tmp_path / "noise.wav"), "--duration", "8"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    alice = load_audio(tmp_path / "try-out/heard-Alice.wav")
    assert level_dbov(alice[-3 * SAMPLE_RATE_HZ : -SAMPLE_RATE_HZ]) < level_dbov(noise) - 10


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_in_order(number: signal.Signals, tmp_path: Path) -> None:
    with subprocess.Popen(
        [
            *(sys.executable, "-m", "mixminus.control", "try", str(ROOT / "examples/echo_bot.py")),
            *("--duration", "60", "--out", str(tmp_path / "out")),
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
        # Whoever runs the tests in the background has it ignored, and so would this process.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as running:
        assert running.stdout is not None
        said = iter(running.stdout)
        assert any("John: connected" in line for line in said)
        running.send_signal(number)
        assert any("John: ended" in line for line in said)
        assert running.wait(20) == 130
