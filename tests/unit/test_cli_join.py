"""``mixminus join``: what it refuses before anybody is called, each in one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import trustme

from mixminus.control.cli import run
from mixminus.control.cli.errors import FAILED, NOT_FOUND, USAGE
from mixminus.control.devfile import DevFile, DevUser
from mixminus.media.pipeline import WavWriter
from tests.signals import sine


@pytest.fixture
def state(tmp_path: Path) -> Path:
    ca_file = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(ca_file))
    DevFile(
        tenant_id="t",
        app_id="a",
        client_secret="s",
        authority="https://localhost:1/t",
        graph_base_url="https://localhost:1",
        open_id_config_url="https://localhost:1/v1/.well-known/OpenIdConfiguration",
        notification_issuer="https://localhost:1",
        rtc_url="wss://localhost:1/rtc",
        ca_file=ca_file,
        users=(DevUser(id="1", display_name="John", token="secret-token"),),
    ).save(tmp_path)
    return tmp_path


def say(capsys: pytest.CaptureFixture[str]) -> str:
    error = capsys.readouterr().err
    assert error.startswith("mixminus: ")
    assert error.count("\n") == 1
    assert "secret-token" not in error
    return error


def test_a_missing_state_directory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = run(["join", "--state", str(tmp_path / "nothing"), "--user", "John"])
    assert code == NOT_FOUND
    assert "dev.json" in say(capsys)


def test_an_unknown_user(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["join", "--state", str(state), "--user", "Nobody"]) == NOT_FOUND
    assert "Nobody" in say(capsys)


def test_a_silent_file_and_one_that_is_no_audio(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    silent, text = state / "silent.wav", state / "text.wav"
    with WavWriter(silent) as writer:
        writer.write(np.zeros(16_000, np.int16))
    text.write_text("no audio")
    for path, said in ((silent, "is silent"), (text, "expected wav, flac, ogg")):
        code = run(["join", "--state", str(state), "--user", "John", "--play", str(path)])
        assert code == FAILED
        assert said in say(capsys)


def test_a_service_that_is_not_there(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tone = state / "tone.wav"
    with WavWriter(tone) as writer:
        writer.write(sine(440, 16_000, 0.1))
    code = run(["join", "--state", str(state), "--user", "John", "--play", str(tone)])
    assert code == FAILED
    assert "cannot connect to wss://localhost:1/rtc" in say(capsys)


@pytest.mark.parametrize("option", ["--record", "--played", "--report"])
def test_a_file_that_cannot_be_made(
    state: Path, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    for path, said in ((state / "none/x", "a directory that exists"), (state, "the directory")):
        code = run(["join", "--state", str(state), "--user", "John", option, str(path)])
        assert code == FAILED
        error = say(capsys)
        assert option in error
        assert said in error


def test_a_user_must_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["join"]) == USAGE
    assert "--user" in say(capsys)
