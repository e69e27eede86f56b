"""The command line: blobs in and out, and one clear line with an exit code for everything else."""

from __future__ import annotations

import io
import json
import socket
import sys
from pathlib import Path

import pytest

from mixminus.control.cli import run
from mixminus.control.cli.errors import AUTH, FAILED, NOT_FOUND, OK, USAGE
from tests.support import ROOT

BLOB_FILE = ROOT / "tests/data/app_hosted_blob.json"
MP_URI = "wss://localhost:9441/media"

Captured = pytest.CaptureFixture[str]


def one_line(capsys: Captured) -> str:
    """Return the one line that a failed command said."""
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert len(lines) == 1, captured.err
    assert lines[0].startswith("mixminus: ")
    return lines[0]


def build_blob(capsys: Captured) -> str:
    assert run(["blob", "build", "--mp-uri", MP_URI]) == OK
    return capsys.readouterr().out.strip()


def test_a_built_blob_is_shown_without_its_secret(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    blob = build_blob(capsys)
    secret = json.loads(blob)["mixminus"]["secret"]
    for arguments, shown in ((["-"], False), ([], False), (["--reveal"], True)):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(blob.encode())))
        assert run(["blob", "show", *arguments]) == OK
        out = capsys.readouterr().out
        assert (secret in out) is shown
        assert json.loads(out)["mpUri"] == MP_URI


def test_the_documented_blob_is_shown_whole(capsys: Captured) -> None:
    assert run(["blob", "show", str(BLOB_FILE)]) == OK
    assert json.loads(capsys.readouterr().out) == json.loads(BLOB_FILE.read_text())


@pytest.mark.parametrize("wrapping", ["text", "documentation", "media config", "call"])
def test_a_blob_is_found_in_what_carries_it(
    capsys: Captured, tmp_path: Path, wrapping: str
) -> None:
    blob = BLOB_FILE.read_text()
    config = {"@odata.type": "#microsoft.graph.appHostedMediaConfig", "blob": blob}
    text = {
        "text": json.dumps(blob),
        "documentation": json.dumps(blob)[1:-1],
        "media config": json.dumps(config),
        "call": json.dumps({"state": "established", "mediaConfig": config}),
    }[wrapping]
    (tmp_path / "file").write_text(text + "\n")
    assert run(["blob", "show", str(tmp_path / "file")]) == OK
    assert json.loads(capsys.readouterr().out) == json.loads(blob)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"hello", "not JSON"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (b"{}", "the blob lacks mpUri"),
        (b'{"mpUri": "wss://host/"}', "the blob lacks audioRenderContexts"),
        (b"[" * 50_000, "not JSON"),
        (b" " * (1 << 21), "at most 1048576 bytes"),
        (b'{"mixminus":{"version":1,"secret":"hunter2"}}', "mixminus.secret: expected 32 bytes"),
    ],
)
def test_a_bad_blob_is_one_line(
    capsys: Captured, tmp_path: Path, content: bytes, says: str
) -> None:
    (tmp_path / "file").write_bytes(content)
    assert run(["blob", "show", str(tmp_path / "file")]) == FAILED
    line = one_line(capsys)
    assert says in line
    assert "hunter2" not in line


def test_a_missing_file_is_one_line(capsys: Captured, tmp_path: Path) -> None:
    assert run(["blob", "show", str(tmp_path / "none")]) == NOT_FOUND
    assert "no such file" in one_line(capsys)
    assert run(["blob", "show", str(tmp_path)]) == FAILED
    assert "cannot read" in one_line(capsys)


def test_a_bad_mp_uri_is_one_line(capsys: Captured) -> None:
    assert run(["blob", "build", "--mp-uri", "no uri"]) == FAILED
    assert "mpUri: expected a URI" in one_line(capsys)


@pytest.mark.parametrize(
    "arguments",
    [
        ["fly"],
        ["blob"],
        ["blob", "build"],
        ["blob", "show", "--fast"],
        ["call", "create"],
        ["serve", "--port", "70000"],
        ["serve", "--embedded", "--from-env"],
        ["serve", "--cert", "x.pem"],
        ["serve", "--media-port", "65536"],
    ],
)
def test_wrong_usage_is_one_line_and_exit_2(capsys: Captured, arguments: list[str]) -> None:
    assert run(arguments) == USAGE
    one_line(capsys)


def test_wrong_usage_points_to_the_help_of_its_command(capsys: Captured) -> None:
    assert run(["call", "hangup"]) == USAGE
    assert one_line(capsys).endswith("'ID'. See mixminus call hangup --help.")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "expected one of --user, --phone and --meeting"),
        (["--user", "John", "--phone", "+1425"], "expected one of"),
        (["--user", "John", "--passcode", "x"], "only with --meeting"),
        (["--phone", "+1425", "--guest", "x"], "only with --meeting"),
    ],
)
def test_a_call_goes_to_one_target(capsys: Captured, arguments: list[str], says: str) -> None:
    assert run(["call", "create", *arguments]) == USAGE
    assert says in one_line(capsys)
    assert run(["serve", "--port", "70000"]) == USAGE
    assert one_line(capsys).endswith("65535. See mixminus serve --help.")


@pytest.mark.parametrize("arguments", [[], ["--help"], ["call", "--help"], ["serve", "--help"]])
def test_help_is_no_error(capsys: Captured, arguments: list[str]) -> None:
    assert run(arguments) == OK
    assert "Usage: mixminus" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["create", "--user", "John"], ["get", "x"], ["hangup", "x"]])
def test_a_call_without_a_host_is_one_line(
    capsys: Captured, tmp_path: Path, arguments: list[str]
) -> None:
    assert run(["call", *arguments, "--state", str(tmp_path)]) == NOT_FOUND
    assert "start `mixminus serve --state" in one_line(capsys)
    (tmp_path / "host.json").write_text('{"url": "https://localhost:1", "token": "hunter2"}')
    assert run(["call", *arguments, "--state", str(tmp_path)]) == NOT_FOUND
    line = one_line(capsys)
    assert "is not a host.json" in line
    assert "hunter2" not in line


@pytest.mark.parametrize(
    ("content", "code", "says"),
    [
        (None, NOT_FOUND, "no such bot file"),
        ("bot = 7", FAILED, "expected one Bot in"),
        ("from mixminus.control.host import Bot\na = Bot()\nb = Bot()", FAILED, "found 2"),
        ("1/0", FAILED, "failed: ZeroDivisionError: division by zero"),
        ("def", FAILED, "failed: SyntaxError"),
        ("raise SystemExit(5)", FAILED, "failed: SystemExit: 5"),
        (
            "from mixminus.control.host import Bot\nbot = Bot()\n@bot.on_call\ndef f(call): pass",
            FAILED,
            "expected a coroutine function (async def), got f",
        ),
    ],
)
def test_a_file_without_a_bot_is_one_line(
    capsys: Captured, tmp_path: Path, content: str | None, code: int, says: str
) -> None:
    path = tmp_path / "bot.py"
    if content is not None:
        path.write_text(content)
    assert run(["serve", "--bot", str(path), "--state", str(tmp_path)]) == code
    assert says in one_line(capsys)


def test_serving_without_a_dev_file_is_one_line(capsys: Captured, tmp_path: Path) -> None:
    dev_file = str(tmp_path / "dev.json")
    assert run(["serve", "--dev-file", dev_file, "--state", str(tmp_path)]) == NOT_FOUND
    assert "dev.json" in one_line(capsys)
    (tmp_path / "dev.json").write_text('{"tenantId": 7}')
    assert run(["serve", "--dev-file", dev_file, "--state", str(tmp_path)]) == NOT_FOUND
    assert "is not a dev.json" in one_line(capsys)


def test_serving_from_an_empty_environment_is_one_line(
    capsys: Captured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MIXMINUS_TENANT_ID", raising=False)
    assert run(["serve", "--from-env", "--state", str(tmp_path)]) == USAGE
    assert "settings: [host] tenant_id: expected a value: set MIXMINUS_TENANT_ID" in one_line(
        capsys
    )
    for name in ("TENANT_ID", "APP_ID", "CLIENT_SECRET"):
        monkeypatch.setenv(f"MIXMINUS_{name}", "hunter2")
    monkeypatch.setenv("MIXMINUS_GRAPH_BASE_URL", "http://localhost")
    assert run(["serve", "--from-env", "--state", str(tmp_path)]) == USAGE
    line = one_line(capsys)
    assert "expected an https URL" in line
    assert "hunter2" not in line


@pytest.mark.parametrize("command", ["service", "serve"])
@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("PHONES", "hunter2", "settings: MIXMINUS_SERVICE_PHONES: expected JSON"),
        (
            "PHONES",
            '[{"number": "425"}]',
            "settings: MIXMINUS_SERVICE_PHONES: 0.number: expected an E.164 number",
        ),
        (
            "PHONES",
            '[{"number": "+14255550123", "rtp": "far"}]',
            "PHONES: 0.rtp: expected a numeric address and a port like 192.0.2.10:4000",
        ),
        ("ANSWER_S", "soon", "settings: MIXMINUS_SERVICE_ANSWER_S: expected a valid number"),
        (
            "MEDIA_BIND",
            '["0.0.0.0"]',
            "settings: [service]: media_bind: 0.0.0.0 needs a media_public_address",
        ),
    ],
)
def test_a_service_with_a_wrong_setting_is_one_line(
    capsys: Captured,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    name: str,
    value: str,
    says: str,
) -> None:
    monkeypatch.setenv(f"MIXMINUS_SERVICE_{name}", value)
    assert run([command, "--state", str(tmp_path)]) == USAGE
    line = one_line(capsys)
    assert says in line
    assert "hunter2" not in line


@pytest.mark.parametrize("command", ["service", "serve"])
def test_a_service_whose_media_port_is_taken_is_one_line(
    capsys: Captured, tmp_path: Path, command: str
) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as used:
        used.bind(("127.0.0.1", 0))
        port = used.getsockname()[1]
        options = ["--state", str(tmp_path), "--media-port", str(port)]
        assert run([command, *options]) == FAILED
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines()[-1] == (
        f"mixminus: UDP port {port} on 127.0.0.1 is in use: choose another media port, or 0"
    )
    assert not (tmp_path / "dev.json").exists()


@pytest.mark.parametrize("elsewhere", [["--dev-file", "dev.json"], ["--from-env"]])
@pytest.mark.parametrize("option", ["--media-port=4000", "--media-public-address=192.0.2.1"])
def test_where_media_are_is_not_said_for_another_service(
    capsys: Captured, elsewhere: list[str], option: str
) -> None:
    assert run(["serve", *elsewhere, option]) == USAGE
    line = one_line(capsys)
    assert "expected --media-port and --media-public-address only with --embedded" in line


@pytest.mark.parametrize("command", ["service", "serve"])
@pytest.mark.parametrize(
    ("address", "status", "says"),
    [
        ("nowhere", USAGE, "media_public_address: expected numeric IP addresses, got 'nowhere'"),
        ("2001:db8::5", FAILED, "expected a bound IPv6 address behind 2001:db8::5"),
    ],
)
def test_a_public_address_that_cannot_be_is_one_line(
    capsys: Captured, tmp_path: Path, command: str, address: str, status: int, says: str
) -> None:
    options = ["--state", str(tmp_path), "--media-public-address", address]
    assert run([command, *options]) == status
    assert says in one_line(capsys)


def test_media_on_an_address_that_is_not_ours_is_one_line(
    capsys: Captured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIXMINUS_SERVICE_MEDIA_BIND", '["192.0.2.7"]')
    assert run(["service", "--state", str(tmp_path), "--quiet"]) == FAILED
    assert one_line(capsys) == (
        "mixminus: expected addresses of this machine for media, got 192.0.2.7"
    )


def test_serving_on_a_used_port_is_one_line(capsys: Captured, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as used:
        port = used.getsockname()[1]
        assert run(["serve", "--port", str(port), "--state", str(tmp_path)]) == FAILED
    captured = capsys.readouterr()
    assert captured.err.splitlines() == [f"mixminus: port {port} on 127.0.0.1 is in use"]
    assert not (tmp_path / "host.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "code", "says"),
    [
        ("await host.calls.create(user='Nobody')", NOT_FOUND, "no user 'Nobody'"),
        (f"await host.calls.create(user='{'0' * 32}')", NOT_FOUND, "404 itemNotFound"),
        ("await host.calls.join(join_url='x')", USAGE, "begins with https://"),
        ("await host.calls.join(meeting='Tea')", NOT_FOUND, "known are Weekly sync"),
        ("raise ValueError('bug')", FAILED, "the bot's on_start failed: bug"),
        (
            "from mixminus.control.client.tokens import TokenError\n"
            "    raise TokenError('unreachable', 'nobody there')",
            FAILED,
            "no access token: unreachable",
        ),
        (
            "from mixminus.control.client.tokens import TokenError\n"
            "    raise TokenError('invalid_client', 'wrong secret')",
            AUTH,
            "no access token: invalid_client",
        ),
    ],
)
def test_a_failing_start_ends_the_host_with_one_line(
    capsys: Captured, tmp_path: Path, body: str, code: int, says: str
) -> None:
    path = tmp_path / "bot.py"
    path.write_text(
        "from mixminus.control.host import Bot, BotHost\n"
        "bot = Bot()\n\n\n"
        "@bot.on_start\n"
        "async def start(host: BotHost) -> None:\n"
        f"    {body}\n"
    )
    assert run(["serve", "--bot", str(path), "--state", str(tmp_path)]) == code
    assert says in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "host.json").exists()
