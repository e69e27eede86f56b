"""Meetings over their routes and from the command line, with guests in a real lobby."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import pytest

from mixminus.control.cli import run
from mixminus.control.cli.errors import AUTH, FAILED, NOT_FOUND, OK, USAGE
from mixminus.control.devfile import DevFile, DevMeeting
from mixminus.control.service.service import CallService
from tests.service_kit import GraphHttp, Receiver, call_body, running_service
from tests.support import eventually

ROUTES = "/mixminus/v1/meetings"


class World(NamedTuple):
    service: CallService
    graph: GraphHttp
    receiver: Receiver
    state_dir: Path
    capsys: pytest.CaptureFixture[str]

    @property
    def dev(self) -> DevFile:
        return self.service.dev_file

    async def ask(self, method: str, path: str = "", body: Any = None) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {self.dev.users[0].token}"}
        return await self.graph.http.request(method, ROUTES + path, json=body, headers=headers)

    async def guest(self, meeting: DevMeeting, name: str) -> dict[str, Any]:
        """Join as a guest; return the call."""
        reply = await self.graph.create(
            call_body(
                self.receiver.url,
                targets=None,
                source={"identity": {"guest": {"id": str(uuid.uuid4()), "displayName": name}}},
                chatInfo={"threadId": meeting.thread_id, "messageId": meeting.message_id},
                meetingInfo={
                    "@odata.type": "#microsoft.graph.organizerMeetingInfo",
                    "organizer": {
                        "user": {"id": meeting.organizer_id, "tenantId": self.dev.tenant_id}
                    },
                },
            )
        )
        assert reply.status_code == 201, reply.text
        call: dict[str, Any] = reply.json()
        return call

    async def waiting(self, meeting: DevMeeting) -> list[str]:
        reply = await self.ask("GET", f"/{meeting.join_meeting_id}/lobby")
        assert reply.status_code == 200, reply.text
        return [guest["displayName"] for guest in reply.json()["value"]]

    async def cli(self, *argv: str) -> tuple[int, str, str]:
        """Run ``mixminus meeting`` and return its exit code and what it printed."""
        state = ("--state", str(self.state_dir))
        code = await asyncio.to_thread(run, ["meeting", argv[0], *state, *argv[1:]])
        return code, *self.capsys.readouterr()

    async def in_lobby(self, call: dict[str, Any]) -> bool:
        path = f"/v1.0/communications/calls/{call['id']}/participants"
        value = (await self.graph.http.get(path)).json()["value"]
        mine = [p for p in value if p["id"] == call["myParticipantId"]]
        return bool(mine[0]["isInLobby"])


@asynccontextmanager
async def world(
    state_dir: Path, capsys: pytest.CaptureFixture[str], **settings: Any
) -> AsyncIterator[World]:
    async with (
        Receiver(state_dir) as receiver,
        running_service(state_dir, **settings) as service,
        GraphHttp(service.dev_file) as graph,
    ):
        yield World(service, graph, receiver, state_dir, capsys)


async def test_dev_json_names_two_meetings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with world(tmp_path, capsys) as w:
        shown = (await w.ask("GET")).json()["value"]
        assert DevFile.load(tmp_path).meetings == w.dev.meetings
        assert [m.join_meeting_id for m in w.dev.meetings] == [m["joinMeetingId"] for m in shown]
        assert [m.passcode for m in w.dev.meetings] == [m["passcode"] for m in shown]
        one = await w.ask("GET", f"/{w.dev.meetings[0].join_meeting_id}")
        assert one.json() == shown[0]
        assert (shown[0]["participants"], shown[0]["isAdHoc"]) == (0, False)


async def test_only_users_of_the_directory_are_let_in(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with world(tmp_path, capsys) as w:
        token = w.dev.users[0].token
        for header in ("", "Bearer", "Bearer wrong", f"Basic {token}", f"Bearer {token}x"):
            reply = await w.graph.http.get(ROUTES, headers={"Authorization": header})
            assert reply.status_code == 401
        assert (await w.graph.http.get(ROUTES)).status_code == 401
        assert (await w.ask("GET", "/999")).json()["error"]["code"] == "8561"
        assert (await w.ask("POST", "", {"subject": 5})).status_code == 400
        assert (await w.ask("POST", "", {"lobby": "yes"})).status_code == 400
        assert (await w.ask("POST", "", [])).status_code == 400
        made = await w.ask("POST", "", {"subject": "Tea", "passcode": False, "channel": True})
        assert made.status_code == 201
        assert (made.json()["subject"], made.json()["passcode"]) == ("Tea", None)
        assert made.json()["threadId"].endswith("@thread.tacv2")


async def test_guests_wait_until_they_are_admitted_or_denied(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with world(tmp_path, capsys) as w:
        meeting = w.dev.meetings[1]
        assert await w.waiting(meeting) == []
        gail = await w.guest(meeting, "Gail")
        await eventually(lambda: _waits(w, meeting, ["Gail"]))
        hugo = await w.guest(meeting, "Hugo")
        await eventually(lambda: _waits(w, meeting, ["Gail", "Hugo"]))
        lobby = f"/{meeting.join_meeting_id}/lobby"
        admitted = await w.ask("POST", f"{lobby}/{gail['myParticipantId']}/admit")
        assert admitted.status_code == 204
        assert not await w.in_lobby(gail)
        again = await w.ask("POST", f"{lobby}/{gail['myParticipantId']}/admit")
        assert again.status_code == 409
        denied = await w.ask("POST", f"{lobby}/{hugo['myParticipantId']}/deny")
        assert denied.status_code == 204
        await eventually(lambda: _is_over(w, hugo))
        assert await w.waiting(meeting) == []
        assert (await w.ask("POST", f"{lobby}/nobody/admit")).status_code == 404


async def _is_over(w: World, call: dict[str, Any]) -> bool:
    reply = await w.graph.http.get(f"/v1.0/communications/calls/{call['id']}")
    return reply.status_code == 404


async def _waits(w: World, meeting: DevMeeting, names: list[str]) -> bool:
    return await w.waiting(meeting) == names


async def test_meetings_are_minded_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with world(tmp_path, capsys) as w:
        code, out, _ = await w.cli("create", "--subject", "Tea", "--organizer", "bob", "--json")
        made = json.loads(out)
        assert (code, made["subject"], made["organizer"]["displayName"]) == (OK, "Tea", "Bob")
        code, out, _ = await w.cli("list")
        assert code == OK
        for known in ("joinUrl", "joinMeetingId", "passcode"):
            assert made[known] in out
        meeting = w.dev.meetings[1]
        assert DevFile.load(tmp_path).meetings[-1].subject == "Tea"
        for name in (meeting.join_meeting_id, meeting.join_url, meeting.thread_id, "open HOUSE"):
            code, out, _ = await w.cli("lobby", name)
            assert (code, out) == (OK, "nobody waits\n")
        await w.guest(meeting, "Gail")
        await eventually(lambda: _waits(w, meeting, ["Gail"]))
        spaced = f"{meeting.join_meeting_id[:3]} {meeting.join_meeting_id[3:]}"
        code, out, _ = await w.cli("lobby", spaced)
        assert (code, "Gail" in out) == (OK, True)
        code, _, err = await w.cli("admit", meeting.join_meeting_id, "hugo")
        assert (code, "there wait Gail" in err) == (NOT_FOUND, True)
        code, out, _ = await w.cli("admit", meeting.join_meeting_id, "gail")
        assert (code, out) == (OK, "Gail: admitted\n")
        for name in ("Hugo", "Hugo"):
            await w.guest(meeting, name)
        await eventually(lambda: _waits(w, meeting, ["Hugo", "Hugo"]))
        code, _, err = await w.cli("deny", meeting.join_meeting_id, "Hugo")
        assert (code, "2 guests" in err) == (USAGE, True)
        _, out, _ = await w.cli("lobby", meeting.join_meeting_id, "--json")
        first = json.loads(out)["value"][0]["participantId"]
        code, out, _ = await w.cli("deny", meeting.join_meeting_id, first, "--json")
        assert (code, json.loads(out)["decision"]) == (OK, "denied")
        assert await w.waiting(meeting) == ["Hugo"]


async def test_command_line_says_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with world(tmp_path, capsys) as w:
        code, _, err = await w.cli("lobby", "999")
        assert (code, "no meeting '999'" in err) == (NOT_FOUND, True)
        code, _, err = await w.cli("lobby", "https://example.com/tea")
        assert (code, "meetup-join" in err) == (USAGE, True)
        code, _, err = await w.cli("create", "--user", "Nobody")
        assert (code, "the directory has John" in err) == (NOT_FOUND, True)
        code, _, err = await w.cli("create", "--subject", "x" * 300)
        assert (code, "subject" in err) == (USAGE, True)
        wrong = w.dev.users[0].model_copy(update={"token": "wrong"})
        w.dev.model_copy(update={"users": (wrong,)}).save(tmp_path)
        assert (await w.cli("list"))[0] == AUTH
        w.dev.save(tmp_path)
    code = await asyncio.to_thread(run, ["meeting", "list", "--state", str(tmp_path)])
    assert (code, "no call service answers" in capsys.readouterr().err) == (FAILED, True)
    code = await asyncio.to_thread(run, ["meeting", "list", "--state", str(tmp_path / "none")])
    assert (code, "mixminus service" in capsys.readouterr().err) == (NOT_FOUND, True)
