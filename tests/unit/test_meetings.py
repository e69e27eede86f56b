"""Meetings: made, found, and refused to those who do not know enough of them."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

import pytest

from mixminus.control.graph.errors import GraphError
from mixminus.control.graph.joinurl import parse_join_url
from mixminus.control.graph.requests import MeetingRef
from mixminus.control.service.directory import Directory
from mixminus.control.service.meetings import Meetings, capability
from mixminus.control.service.settings import TENANT_ID, ServiceSettings
from mixminus.control.store.base import MeetingRow
from mixminus.control.store.sqlite import SqliteStore

SAMPLE_URL = re.compile(
    r"https://teams\.microsoft\.com.*/(?P<thread>[^/]+)/(?P<message>[^/]+)\?context=(?P<context>{.*})"
)
"""The expression of Microsoft's samples."""
THREAD = "19:meeting_Win6Ydo4wsMijFjZS00ZGVjLTk5MGUtOTRjNWY2NmNkYTFm@thread.v2"


class World(NamedTuple):
    store: SqliteStore
    directory: Directory
    meetings: Meetings

    async def find(self, tenant_id: str = TENANT_ID, **known: Any) -> MeetingRow:
        return await self.meetings.find(MeetingRef(**known), tenant_id)

    async def refused(self, tenant_id: str = TENANT_ID, **known: Any) -> tuple[int, str]:
        before = await self.meetings.all()
        with pytest.raises(GraphError) as error:
            await self.find(tenant_id, **known)
        assert await self.meetings.all() == before
        return error.value.status, error.value.code


@asynccontextmanager
async def world(path: Path, **settings: Any) -> AsyncIterator[World]:
    chosen = ServiceSettings(state_dir=path, **settings)
    store = await SqliteStore.open(path / "test.db")
    try:
        directory = await Directory.load(store, chosen)
        yield World(store, directory, await Meetings.load(store, chosen, directory))
    finally:
        await store.close()


@pytest.fixture
async def w(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path) as made:
        yield made


async def test_fresh_service_has_two_meetings_that_stay(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        first = await w.meetings.all()
        assert len(first) == 2
        assert [meeting.passcode is not None for meeting in first] == [True, False]
        assert all(w.directory.user(meeting.organizer_id) for meeting in first)
        token = w.meetings.token(first[0])
    async with world(tmp_path) as w:
        assert await w.meetings.all() == first
        assert await w.find(kind="token", token=token) == first[0]


async def test_join_url_is_the_documented_long_form(w: World) -> None:
    meeting, _ = await w.meetings.all()
    assert re.fullmatch(r"19:meeting_[A-Za-z0-9+/=]+@thread\.v2", meeting.thread_id)
    assert meeting.join_url.startswith("https://teams.microsoft.com/l/meetup-join/19%3ameeting_")
    assert "%40thread.v2/0?context=%7b%22Tid%22%3a%22" in meeting.join_url
    found = SAMPLE_URL.fullmatch(unquote(meeting.join_url))
    assert found is not None
    assert (found["thread"], found["message"]) == (meeting.thread_id, "0")
    assert json.loads(found["context"]) == {"Tid": TENANT_ID, "Oid": meeting.organizer_id}
    parsed = parse_join_url(meeting.join_url)
    assert parsed.thread_id == meeting.thread_id


async def test_meeting_is_found_by_all_that_names_it(w: World) -> None:
    meeting, open_one = await w.meetings.all()
    join_id = meeting.join_meeting_id
    spaced = f"{join_id[:3]} {join_id[3:6]} {join_id[6:]}"
    known: list[dict[str, Any]] = [
        {"kind": "organizer", "thread_id": meeting.thread_id, "message_id": "0"},
        {
            "kind": "organizer",
            "thread_id": meeting.thread_id,
            "organizer_id": meeting.organizer_id.upper(),
            "organizer_tenant_id": TENANT_ID,
        },
        {"kind": "joinMeetingId", "join_meeting_id": join_id, "passcode": meeting.passcode},
        {"kind": "joinMeetingId", "join_meeting_id": spaced, "passcode": meeting.passcode},
        {"kind": "token", "token": w.meetings.token(meeting)},
    ]
    for members in known:
        assert await w.find(**members) == meeting
    by_id = {"kind": "joinMeetingId", "join_meeting_id": open_one.join_meeting_id}
    assert await w.find(**by_id) == open_one
    # As in a short link's p=, which is there whether it is needed or not.
    assert await w.find(**by_id, passcode="anything") == open_one


async def test_unknown_id_and_wrong_passcode_are_refused_alike(w: World) -> None:
    meeting, _ = await w.meetings.all()
    passcode = meeting.passcode
    assert passcode is not None
    for join_id, given in (
        (meeting.join_meeting_id, None),
        (meeting.join_meeting_id, ""),
        (meeting.join_meeting_id, passcode.swapcase()),
        (meeting.join_meeting_id, passcode + " "),
        (meeting.join_meeting_id, "\ud800"),
        ("999", passcode),
        ("", passcode),
    ):
        refused = await w.refused(kind="joinMeetingId", join_meeting_id=join_id, passcode=given)
        assert refused == (404, "8561")


async def test_token_that_was_not_given_out_is_refused(w: World) -> None:
    meeting, other = await w.meetings.all()
    named, _, mac = w.meetings.token(meeting).partition(".")
    _, _, other_mac = w.meetings.token(other).partition(".")
    for token in ("", ".", named, f"{named}.", f"{named}.{other_mac}", f"x.{mac}", "ü.ü", "\ud800"):
        assert await w.refused(kind="token", token=token) == (400, "8526")


async def test_unknown_thread_with_an_organizer_becomes_a_meeting(w: World) -> None:
    bob = w.directory.users[1]
    known: dict[str, Any] = {
        "kind": "organizer",
        "thread_id": THREAD,
        "message_id": "0",
        "organizer_id": bob.user_id,
        "allow_without_host": False,
    }
    meeting = await w.find(**known)
    assert (meeting.is_ad_hoc, meeting.organizer_name) == (True, bob.display_name)
    assert (meeting.thread_id, meeting.allow_without_host) == (THREAD, False)
    assert await w.find(**known) == meeting
    assert await w.find(kind="joinMeetingId", join_meeting_id=meeting.join_meeting_id) == meeting
    stranger = await w.find(
        kind="organizer",
        thread_id="19:cbee7c1c860e465f8258e3cebf7bee0d@thread.skype",
        message_id="1533758867081",
        organizer_id="nobody-we-know",
    )
    assert (stranger.message_id, stranger.organizer_name) == ("1533758867081", "")
    assert stranger.allow_without_host is True


async def test_ad_hoc_meetings_may_be_forbidden(tmp_path: Path) -> None:
    async with world(tmp_path, adhoc_meetings=False) as w:
        organizer = w.directory.users[0].user_id
        refused = await w.refused(kind="organizer", thread_id=THREAD, organizer_id=organizer)
        assert refused == (400, "8527")


@pytest.mark.parametrize(
    ("thread_id", "message_id"),
    [
        (None, "0"),
        ("", "0"),
        ("19:meeting_x@thread.v3", "0"),
        ("19:@thread.v2", "0"),
        ("19:a b@thread.v2", "0"),
        ("20:meeting_x@thread.v2", "0"),
        (THREAD + "\n", "0"),
        (f"19:{'x' * 300}@thread.v2", "0"),
        (THREAD, "zero"),
        (THREAD, "0" * 21),
    ],
)
async def test_text_that_names_no_thread_is_refused(
    w: World, thread_id: str | None, message_id: str
) -> None:
    refused = await w.refused(
        kind="organizer", thread_id=thread_id, message_id=message_id, organizer_id="o"
    )
    assert refused == (400, "8527")


async def test_thread_belongs_to_its_organizer_and_tenant(w: World) -> None:
    meeting, _ = await w.meetings.all()
    thread = {"kind": "organizer", "thread_id": meeting.thread_id}
    assert await w.refused(**thread, organizer_id="somebody") == (400, "8527")
    assert await w.refused(**thread, organizer_tenant_id="another") == (403, "7505")
    assert await w.refused("another", **thread) == (403, "7505")
    assert await w.refused(kind="organizer", thread_id=THREAD) == (400, "8527")


async def test_channel_meeting_is_a_post_in_a_channel(w: World) -> None:
    meeting = await w.meetings.create(w.directory.users[0], "Stand-up", in_channel=True)
    assert re.fullmatch(r"19:[0-9a-f]{32}@thread\.tacv2", meeting.thread_id)
    assert re.fullmatch(r"[0-9]{13}", meeting.message_id)
    assert f"/{meeting.message_id}?context=" in meeting.join_url
    found = await w.find(
        kind="organizer", thread_id=meeting.thread_id, message_id=meeting.message_id
    )
    assert found == meeting


async def test_meeting_may_be_made_with_a_known_id(w: World) -> None:
    organizer = w.directory.users[0]
    meeting = await w.meetings.create(
        organizer, "Seed", join_meeting_id="1234567", passcode="psw123"
    )
    assert (meeting.join_meeting_id, meeting.passcode) == ("1234567", "psw123")
    for bad in ("1234567", "12a", "1" * 21):
        with pytest.raises(GraphError) as error:
            await w.meetings.create(organizer, "Twice", join_meeting_id=bad)
        assert error.value.status == (409 if bad == "1234567" else 400)
    for subject in ("x" * 257, "two\nlines"):
        with pytest.raises(GraphError, match="subject"):
            await w.meetings.create(organizer, subject)


async def test_capability_says_who_waits(w: World) -> None:
    with_lobby = await w.meetings.create(w.directory.users[0], "a")
    without = await w.meetings.create(w.directory.users[0], "b", lobby=False)
    assert capability(with_lobby)["autoAdmittedUsers"] == "everyoneInCompany"
    assert capability(without)["autoAdmittedUsers"] == "everyone"
    assert capability(without)["allowAnonymousUsersToStartMeeting"] is True
    assert capability(with_lobby)["allowAnonymousUsersToStartMeeting"] is False
