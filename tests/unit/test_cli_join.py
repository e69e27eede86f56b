"""``mixminus join``: what it refuses before anybody is called, each in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trustme

from mixminus.control.cli import run
from mixminus.control.cli.errors import FAILED, NOT_FOUND, OK, USAGE
from mixminus.control.cli.join import describe_event
from mixminus.control.devfile import DevFile, DevMeeting, DevUser
from mixminus.control.softphone import (
    Action,
    BotTarget,
    CallEnd,
    MeetingTarget,
    Softphone,
    SoftphoneOptions,
    SoftphoneReport,
)
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
        meetings=(
            DevMeeting(
                subject="Weekly sync",
                organizer_id="1",
                join_url="https://teams.microsoft.com/meet/987654321",
                thread_id="19:meeting_x@thread.v2",
                message_id="0",
                join_meeting_id="987654321",
                passcode="known",
            ),
        ),
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
    said = say(capsys)
    assert "cannot connect to wss://localhost:1/rtc" in said
    assert f"is `mixminus service --state {state}` running?" in said


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


APP = "67f5e0a4-3d4e-4e05-9c4c-0c7c2b8e9a11"
THREAD = "19:meeting_abc@thread.v2"
JOIN_URL = (
    "https://teams.microsoft.com/l/meetup-join/19%3ameeting_abc%40thread.v2/0"
    "?context=%7b%22Tid%22%3a%22t%22%2c%22Oid%22%3a%22o%22%7d"
)


@pytest.fixture
def phones(monkeypatch: pytest.MonkeyPatch) -> list[SoftphoneOptions]:
    """The options of each softphone that was started; none goes anywhere."""
    made: list[SoftphoneOptions] = []

    class Recorded(Softphone):
        async def run(self) -> SoftphoneReport:
            made.append(self._options)
            self._on_event("registered", {"user": {"displayName": "John"}})
            self.report.connected_at = "now"
            self.report.end = CallEnd("here", "hung up", 200)
            return self.report

    monkeypatch.setattr("mixminus.control.softphone.Softphone", Recorded)
    return made


def join(state: Path, *arguments: str) -> int:
    return run(["join", "--state", str(state), "--user", "John", *arguments])


@pytest.mark.parametrize(
    ("arguments", "target"),
    [
        ((), None),
        (("--call-bot", "default"), BotTarget("a")),
        (("--call-bot", APP), BotTarget(APP)),
        (("--call-bot", APP, "--policy-recording"), BotTarget(APP, policy_recording=True)),
        (("--meeting", "123 456 789"), MeetingTarget(join_meeting_id="123456789")),
        (
            ("--meeting", "123456789", "--passcode", "x"),
            MeetingTarget(join_meeting_id="123456789", passcode="x"),
        ),
        (("--meeting", THREAD), MeetingTarget(thread_id=THREAD)),
        (("--meeting", JOIN_URL), MeetingTarget(join_url=JOIN_URL)),
        (
            ("--meeting", "weekly SYNC"),
            MeetingTarget(join_meeting_id="987654321", passcode="known"),
        ),
    ],
)
def test_who_is_called(
    state: Path,
    phones: list[SoftphoneOptions],
    arguments: tuple[str, ...],
    target: BotTarget | MeetingTarget | None,
) -> None:
    assert join(state, *arguments) == OK
    assert phones[0].target == target


def test_what_is_done_in_the_call(state: Path, phones: list[SoftphoneOptions]) -> None:
    assert join(state, "--tones", "1,#", "--mute", "--share") == OK
    assert join(state, "--tones", "2", "--in-band", "--hold-after", "2", "--hold-for", "3") == OK
    assert phones[0].muted
    assert phones[0].actions == (
        Action(0.0, "press", "1,#"),
        Action(1.0, "start"),
        Action(2.0, "update"),
        Action(3.0, "stop"),
    )
    assert not phones[1].muted
    assert phones[1].actions == (
        Action(0.0, "pressInBand", "2"),
        Action(2.0, "hold"),
        Action(5.0, "resume"),
    )


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--call-bot", "x", "--meeting", "123456"), USAGE, "one of --call-bot and --meeting"),
        (("--call-bot", " "), USAGE, "--call-bot: expected an application's id"),
        (("--policy-recording",), USAGE, "expected --call-bot with it"),
        (("--passcode", "x"), USAGE, "expected --meeting with it"),
        (("--meeting", "12"), USAGE, "6 to 15 digits, got '12'"),
        (("--meeting", "https://example.com/x"), USAGE, "meetup-join"),
        (("--meeting", "Nothing"), NOT_FOUND, "('Weekly sync'), got 'Nothing'"),
        (("--tones", "12x"), USAGE, "got '12x'"),
        (("--tones", ""), USAGE, "--tones: expected keys"),
        (("--in-band",), USAGE, "expected --tones with it"),
        (("--hold-for", "1"), USAGE, "expected --hold-after with it"),
    ],
)
def test_what_does_not_go_together_is_refused(
    state: Path,
    phones: list[SoftphoneOptions],
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    code: int,
    said: str,
) -> None:
    assert join(state, *arguments) == code
    assert said in say(capsys)
    assert phones == []


@pytest.mark.parametrize(
    ("event", "fields", "line"),
    [
        ("joined", {"inLobby": True}, "in the lobby, waiting to be admitted"),
        ("joined", {"inLobby": False}, "in the meeting"),
        ("admitted", {"callId": "c"}, "admitted"),
        ("muted", {"muted": True, "by": "service"}, "muted by the service"),
        ("muted", {"muted": False, "by": "self"}, "no longer muted"),
        ("held", {"held": True}, "on hold"),
        ("tone", {"tone": "5"}, "the far end pressed 5"),
        ("media", {"flows": False}, "the service hears nothing of this phone"),
        ("media", {"flows": True}, "the service hears this phone again"),
        ("partyMedia", {"flows": False}, "the far end is not heard any more"),
        ("pressed", {"tone": "1", "inBand": True}, "pressed 1 as sound"),
        ("refused", {"message": "why"}, "refused: why"),
        ("ringing", {"from": None}, "an application calls"),
        ("signallingLost", {"message": "it was lost"}, "it was lost; connecting again"),
    ],
)
def test_events_are_told_in_a_line(event: str, fields: dict[str, Any], line: str) -> None:
    assert describe_event(event, fields) == line


def test_events_as_json_lines(
    state: Path, phones: list[SoftphoneOptions], capsys: pytest.CaptureFixture[str]
) -> None:
    assert join(state, "--json") == OK
    event = json.loads(capsys.readouterr().out)
    assert event == {"event": "registered", "user": {"displayName": "John"}}
