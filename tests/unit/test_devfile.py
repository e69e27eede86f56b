from __future__ import annotations

import json
from pathlib import Path

import pytest

from mixminus.control.devfile import DevFile, DevFileError, DevMeeting, DevUser, UnknownUserError

DEV = DevFile(
    tenant_id="tenant",
    app_id="app",
    client_secret="a secret",
    authority="https://localhost:1/tenant",
    graph_base_url="https://localhost:1",
    open_id_config_url="https://localhost:1/v1/.well-known/OpenIdConfiguration",
    notification_issuer="https://localhost:1/v1",
    rtc_url="wss://localhost:1/rtc",
    ca_file=Path("/ca.pem"),
    users=(DevUser(id="u-1", display_name="John", token="a token"),),
    meetings=(
        DevMeeting(
            subject="Sync",
            organizer_id="u-1",
            join_url="https://teams.microsoft.com/l/meetup-join/x/0",
            thread_id="19:meeting_x@thread.v2",
            message_id="0",
            join_meeting_id="123",
            passcode="a passcode",
        ),
    ),
)


def test_file_has_the_documented_members_and_is_private(tmp_path: Path) -> None:
    path = DEV.save(tmp_path)
    members = json.loads(path.read_text())
    assert list(members) == [
        "tenantId",
        "appId",
        "clientSecret",
        "authority",
        "graphBaseUrl",
        "openIdConfigUrl",
        "notificationIssuer",
        "rtcUrl",
        "caFile",
        "users",
        "meetings",
        "applicationInstanceId",
    ]
    assert list(members["meetings"][0]) == [
        "subject",
        "organizerId",
        "joinUrl",
        "threadId",
        "messageId",
        "joinMeetingId",
        "passcode",
    ]
    assert list(members["users"][0]) == ["id", "displayName", "token"]
    assert path.stat().st_mode & 0o777 == 0o600
    assert DevFile.load(tmp_path) == DevFile.load(path) == DEV


def test_members_of_a_later_version_are_passed_over(tmp_path: Path) -> None:
    path = DEV.save(tmp_path)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"later": [], "more": []}))
    assert DevFile.load(tmp_path) == DEV


def test_secrets_are_not_part_of_repr() -> None:
    assert "a secret" not in repr(DEV)
    assert "a token" not in repr(DEV)


def test_users_are_found_by_name_in_any_case_or_by_id() -> None:
    assert DEV.find_user("john") is DEV.find_user("U-1") is DEV.users[0]
    with pytest.raises(UnknownUserError, match="the directory has John"):
        DEV.find_user("Nobody")


def test_missing_file_says_what_to_start(tmp_path: Path) -> None:
    with pytest.raises(DevFileError, match="mixminus service --state"):
        DevFile.load(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"clientSecret": 123456789}', "\x00"])
def test_broken_file_is_named_and_not_quoted(tmp_path: Path, text: str) -> None:
    (tmp_path / "dev.json").write_text(text)
    with pytest.raises(DevFileError, match=r"dev\.json is not a dev\.json") as caught:
        DevFile.load(tmp_path)
    assert "123456789" not in str(caught.value)
