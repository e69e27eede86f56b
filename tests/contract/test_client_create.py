"""The bot's client creates calls as the documentation does: the twelve examples, member by member.

Nothing here is our service: what is sent must suit graph.microsoft.com.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx2
import pytest

from mixminus.control.client import calls as calls_module
from mixminus.control.client import models
from mixminus.control.client.bodies import AppHosted, Media, Meeting, Options, ServiceHosted
from mixminus.control.client.calls import CallsClient
from mixminus.control.client.models import Identity
from mixminus.control.graph.enums import CallState
from mixminus.control.graph.joinurl import JoinInfo
from tests.contract.client_kit import (
    ALICE,
    BEEP,
    BOT,
    CALL,
    CALLBACK,
    COOL,
    INSTANCE,
    JOHN,
    PHONE,
    TENANT,
    Documented,
    documented_calls,
)
from tests.contract.seeds import load, names

GUEST = Identity.guest("d7a3b999-17ac-4bca-9e77-e6a730d2ec2e", "Guest User")
ORGANIZER = "5810cede-f3cc-42eb-b2c1-e9bd5d53ec96"
SCHEDULED = JoinInfo(
    TENANT,
    "19:meeting_Win6Ydo4wsMijFjZS00ZGVjLTk5MGUtOTRjNWY2NmNkYTFm@thread.v2",
    "0",
    None,
    ORGANIZER,
)
CHANNEL = JoinInfo(
    TENANT, "19:cbee7c1c860e465f8258e3cebf7bee0d@thread.skype", "1533758867081", None, ORGANIZER
)


@pytest.fixture
async def world() -> AsyncIterator[tuple[CallsClient, Documented]]:
    async with documented_calls() as world:
        yield world


@pytest.fixture
def calls(world: tuple[CallsClient, Documented]) -> CallsClient:
    return world[0]


@pytest.fixture
def graph(world: tuple[CallsClient, Documented]) -> Documented:
    return world[1]


Create = Callable[[CallsClient, Media], Awaitable[models.CallInfo]]


def create(*targets: Identity, **members: Any) -> Create:
    return lambda c, media: c.create(*targets, callback_uri=CALLBACK, media=media, **members)


def join(info: JoinInfo, **members: Any) -> Create:
    return lambda c, media: c.join(Meeting(info), callback_uri=CALLBACK, media=media, **members)


CREATIONS: dict[str, Create] = {
    "01_p2p_service_hosted": create(JOHN, options=Options(content_sharing=True)),
    "02_p2p_app_hosted": create(JOHN, source=BOT),
    "03_group_service_hosted": create(
        JOHN,
        ALICE,
        source=BOT,
        tenant_id=TENANT,
        subject="Create a group call with service hosted media",
    ),
    "04_group_app_hosted": create(
        JOHN,
        ALICE,
        source=BOT,
        tenant_id=TENANT,
        subject="Create a group call with app hosted media",
    ),
    "05_meeting_service_hosted": join(SCHEDULED),
    "06_join_meeting_id_and_passcode": join(
        JoinInfo(join_meeting_id="1234567", passcode="psw123"), tenant_id=TENANT
    ),
    "07_join_meeting_id": join(JoinInfo(join_meeting_id="7654321"), tenant_id=TENANT),
    "08_meeting_app_hosted": join(SCHEDULED),
    "09_channel_meeting": join(CHANNEL),
    "10_channel_meeting_as_guest": join(CHANNEL, source=GUEST),
    "11_pstn_service_hosted": create(PHONE, source=INSTANCE, tenant_id=TENANT),
    "12_pstn_app_hosted": create(PHONE, source=INSTANCE, tenant_id=TENANT),
}


def said(value: Any) -> Any:
    """*value* without what says nothing: nulls, and defaults that the examples spell out."""
    if isinstance(value, dict):
        kept = {name: said(member) for name, member in value.items() if member is not None}
        if kept.get("@odata.type") == "#microsoft.graph.participantInfo":
            # Elements of targets come typed both ways.
            kept["@odata.type"] = "#microsoft.graph.invitationParticipantInfo"
        if kept.get("removeFromDefaultAudioGroup") is False:
            del kept["removeFromDefaultAudioGroup"]
        return kept
    return [said(item) for item in value] if isinstance(value, list) else value


def documented(request: dict[str, Any]) -> dict[str, Any]:
    expected: dict[str, Any] = said(request)
    # Read-only, and ignored.
    expected.pop("direction", None)
    organizer = expected.get("meetingInfo", {}).get("organizer", {}).get("user", {})
    # A join URL does not tell the organizer's name, and nobody needs it.
    organizer.pop("displayName", None)
    return expected


def media_of(request: dict[str, Any]) -> Media:
    config = request["mediaConfig"]
    if "blob" in config:
        return AppHosted(config["blob"])
    return ServiceHosted([BEEP, COOL] if "preFetchMedia" in config else ())


def test_every_example_of_create_call_is_here() -> None:
    assert [name.split("/")[1] for name in names("create_call")] == sorted(CREATIONS)


@pytest.mark.parametrize("name", CREATIONS)
async def test_calls_are_created_as_documented(
    calls: CallsClient, graph: Documented, name: str
) -> None:
    example = load(f"create_call/{name}")
    graph.answer = httpx2.Response(201, json=example["response"])
    info = await CREATIONS[name](calls, media_of(example["request"]))
    method, path, body = graph.asked
    assert (method, path) == ("POST", "/calls")
    expected = documented(example["request"])
    # Where the example leaves the tenant out, the organizer's is said.
    expected.setdefault("tenantId", body.get("tenantId"))
    assert said(body) == {k: v for k, v in expected.items() if v is not None}
    response = example["response"]
    assert info.id == response["id"]
    assert info.state is CallState.ESTABLISHING
    assert info.my_participant_id == response.get("myParticipantId")
    assert info.is_app_hosted == ("blob" in example["request"]["mediaConfig"])
    assert info.raw == response
    assert [t.id for t in info.targets] == [
        next(iter(v["id"] for v in t["identity"].values() if isinstance(v, dict)))
        for t in response.get("targets", [])
    ]


@pytest.mark.parametrize("name", names("get_call"))
async def test_a_call_is_read_as_documented(
    calls: CallsClient, graph: Documented, name: str
) -> None:
    response = load(name)["response"]
    graph.answer = httpx2.Response(200, json=response)
    info = await calls.get(CALL)
    assert graph.asked == ("GET", f"/calls/{CALL}", None)
    assert info is not None
    assert info.id == response["id"]
    assert (info.chat is None) == (response.get("chatInfo") is None)


def test_a_token_is_a_meeting_too() -> None:
    meeting = calls_module.find_meeting(token="t")
    assert meeting.members()["meetingInfo"]["@odata.type"].endswith("tokenMeetingInfo")
    with pytest.raises(ValueError, match="expected one of join_url"):
        calls_module.find_meeting()
    with pytest.raises(ValueError, match="a passcode only with"):
        calls_module.find_meeting(token="t", passcode="p")
    with pytest.raises(ValueError, match="expected a thread and its organizer"):
        Meeting(JoinInfo(thread_id="19:x@y")).members()
