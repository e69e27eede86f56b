"""Every documented example is run, and what comes is compared with what is documented, key by key.

Create call, all twelve scenarios of today's edition and the six of 2019's, each with a token that
has exactly the documented permissions; get call; get callRecord. What differs is listed, with its
reason, in deviations.toml; an unlisted difference fails, and so does a listed one that is no more.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import httpx2
import pytest
import pytest_asyncio

from mixminus.control.store.base import AppRow
from tests.contract import seeds
from tests.contract.seeds import Comparison
from tests.contract.stage import WAIT_S, Person, Stage, kind_of, staged
from tests.service_kit import GOOD_SDP
from tests.support import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

CALLS = "/beta/communications/calls"
SHARING = [f"{change} contentsharingsessions" for change in ("created", "updated", "deleted")]
Json = dict[str, Any]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    async with staged(tmp_path_factory.mktemp("seeds")) as stage:
        yield stage


def bearer(stage: Stage, roles: list[str]) -> dict[str, str]:
    """A token of the documented application with these permissions, and no others."""
    dev = stage.dev
    row = AppRow(dev.app_id, dev.tenant_id, "Calling Bot", "", tuple(roles))
    return {"Authorization": f"Bearer {stage.service.access_tokens.issue(row)}"}


def edit(document: Json, **members: Any) -> Json:
    return {**document, "request": {**document["request"], **members}}


DELTA = {"@odata.type": "#microsoft.graph.outgoingCallOptions", "isDeltaRosterEnabled": True}


async def post(stage: Stage, document: Json, path: str) -> httpx2.Response:
    body = stage.localised(document["request"])
    return await stage.graph.http.post(path, json=body, headers=bearer(stage, document["roles"]))


async def enter(stage: Stage, people: AsyncExitStack, document: Json) -> Person | None:
    """Let those be there whom the example names; return John, if it is about him."""
    request = document["request"]
    called = [
        identity["displayName"]
        for target in request.get("targets", [])
        for identity in [target["identity"].get("user")]
        if identity
    ]
    for name in called:
        person = await people.enter_async_context(stage.person(name))
    if called:
        return person
    if "notifications" in document and "guest" not in str(request.get("source")):
        john = await people.enter_async_context(stage.person("John"))
        call_id = await john.join(request["chatInfo"]["threadId"])
        await john.phone.send(type="mute", callId=call_id)
        await john.told("muted")
        return john
    return None


def compare_notifications(comparison: Comparison, bodies: list[Json], sent: list[Json]) -> None:
    """Compare each documented notification with the last one of its kind that was sent."""
    items = [(body, item) for body in sent for item in body["value"]]
    kinds = set()
    for body in bodies:
        (expected,) = body["value"]
        kind = kind_of({"resourceUrl": expected.get("resource"), **expected})
        kinds.add(kind)
        where = f"notification[{kind}]"
        same = [(b, i) for b, i in items if kind_of(i) == kind]
        if not same:
            comparison.note_missing(where)
            continue
        envelope, item = same[-1]
        comparison.compare(where, {**body, "value": 1}, {**envelope, "value": 1})
        comparison.compare(where, expected, item)
    for kind in {kind_of(item) for _, item in items} - kinds:
        comparison.note_extra(f"notification[{kind}]")


async def settle(stage: Stage, call_id: str, document: Json, john: Person | None) -> None:
    """Wait until all that the example leads to has been told; let John share what he shares."""
    await stage.told(call_id, "updated call establishing")
    request = document["request"]
    await stage.has_media(call_id)
    if not request.get("targets"):
        await stage.told(call_id, "updated participants")
    if request.get("callOptions", {}).get("isContentSharingNotificationEnabled"):
        assert john is not None
        ringing = (await john.told("ring"))["callId"]
        for action, kind in zip(("start", "update", "stop"), SHARING, strict=True):
            await john.phone.send(type="share", callId=ringing, action=action)
            await stage.told(call_id, kind)


async def run(stage: Stage, example: str, document: Json, path: str) -> Comparison:
    comparison = Comparison(example, stage.hosts)
    async with AsyncExitStack() as people:
        john = await enter(stage, people, document)
        reply = await post(stage, document, path)
        assert reply.status_code == 201, reply.text
        call_id = reply.json()["id"]
        if "response" in document:
            comparison.compare("location", document["location"], reply.headers["location"])
            comparison.compare("response", document["response"], reply.json())
        comparison.bind("callId", call_id)
        await settle(stage, call_id, document, john)
        if "notifications" in document:
            sent = [
                body
                for body in stage.receiver.taken
                if any(f"/calls/{call_id}" in item["resourceUrl"] for item in body["value"])
            ]
            compare_notifications(comparison, document["notifications"], sent)
        if len(document["request"].get("targets", [])) == 1:
            # "For peer-to-peer calls, the expected notifications are for call state changes only."
            assert not any("participants" in kind for kind in stage.kinds(call_id))
        await stage.hang_up(call_id)
    return comparison


@pytest.mark.parametrize("example", seeds.names("create_call"))
async def test_create_call(stage: Stage, example: str) -> None:
    comparison = await run(stage, example, seeds.load(example), CALLS)
    seeds.check(comparison)


@pytest.mark.parametrize("example", seeds.names("create_call_2019"))
async def test_create_call_as_of_2019(stage: Stage, example: str) -> None:
    comparison = await run(stage, example, seeds.load(example), "/beta/app/calls")
    seeds.check(comparison)


@pytest.mark.parametrize(
    "example", ["create_call/05_meeting_service_hosted", "create_call/10_channel_meeting_as_guest"]
)
async def test_the_roster_in_its_delta_form(stage: Stage, example: str) -> None:
    document = edit(seeds.load(example), callOptions=DELTA)
    comparison = Comparison(example.replace("create_call", "delta_roster"), stage.hosts)
    async with AsyncExitStack() as people:
        await enter(stage, people, document)
        reply = await post(stage, document, CALLS)
        assert reply.status_code == 201, reply.text
        call_id = reply.json()["id"]
        comparison.bind("callId", call_id)
        await settle(stage, call_id, document, None)
        (body,) = document["deltaRoster"]
        item = next(i for i in stage.notifications(call_id) if "participants" in kind_of(i))
        comparison.compare("delta", body["value"][0], item)
        await stage.hang_up(call_id)
    seeds.check(comparison)


@pytest.mark.parametrize("example", seeds.names("create_call"))
async def test_without_its_permissions_no_example_is_run(stage: Stage, example: str) -> None:
    document = seeds.load(example)
    for lacking in document["roles"]:
        rest = [role for role in document["roles"] if role != lacking]
        reply = await post(stage, {**document, "roles": rest}, CALLS)
        assert (reply.status_code, reply.json()["error"]["code"]) == (403, "7504")


async def test_get_peer_to_peer_call(stage: Stage) -> None:
    comparison = Comparison("get_call/p2p", stage.hosts)
    document = edit(
        seeds.load("create_call/01_p2p_service_hosted"),
        mediaConfig=seeds.load("get_call/p2p")["response"]["mediaConfig"],
    )
    await get_call(stage, comparison, document)


async def test_get_group_call(stage: Stage) -> None:
    comparison = Comparison("get_call/group", stage.hosts)
    await get_call(stage, comparison, seeds.load("create_call/05_meeting_service_hosted"))


async def get_call(stage: Stage, comparison: Comparison, document: Json) -> None:
    async with AsyncExitStack() as people:
        await enter(stage, people, document)
        call_id = (await post(stage, document, CALLS)).json()["id"]
        await stage.has_media(call_id)
        reply = await stage.graph.http.get(f"{CALLS}/{call_id}")
        assert reply.status_code == 200
        expected = seeds.load(comparison.example)["response"]
        comparison.compare("response", expected, reply.json())
        await stage.hang_up(call_id)
    seeds.check(comparison)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def record_id(stage: Stage) -> str:
    """A call that is over: John rang the bot, spoke to it, and hung up."""
    dev, http = stage.dev, stage.graph.http
    webhook = {"callbackUri": stage.receiver.url}
    reply = await http.put(f"/mixminus/v1/apps/{dev.app_id}/webhook", json=webhook)
    assert reply.is_success, reply.text
    async with stage.person("John") as john:
        await john.phone.send(type="call", appId=dev.app_id, sdp=GOOD_SDP)
        incoming: Json = {}

        def came() -> bool:
            for body in stage.receiver.taken:
                for item in body["value"]:
                    if (
                        item["changeType"] == "created"
                        and "incomingContext" in item["resourceData"]
                    ):
                        incoming.update(item["resourceData"])
            return bool(incoming)

        await eventually(came, WAIT_S, "the incoming call")
        answer = {
            "callbackUri": stage.receiver.url,
            "acceptedModalities": ["audio"],
            "mediaConfig": {"@odata.type": "#microsoft.graph.serviceHostedMediaConfig"},
        }
        reply = await http.post(f"{CALLS}/{incoming['id']}/answer", json=answer)
        assert reply.status_code == 202, reply.text
        await john.told("answered")
        await stage.has_media(incoming["id"])
        await stage.hang_up(incoming["id"])
    return str(incoming["callChainId"])


@pytest.mark.parametrize("example", seeds.names("call_record"))
async def test_get_call_record(stage: Stage, record_id: str, example: str) -> None:
    document = seeds.load(example)
    url = f"/v1.0/communications/callRecords/{record_id}{document['query']}"

    async def get() -> httpx2.Response:
        return await stage.graph.http.get(url, headers=bearer(stage, ["CallRecords.Read.All"]))

    async def is_there() -> bool:
        return (await get()).status_code == 200

    await eventually(is_there, WAIT_S, "the record")
    comparison = Comparison(example, stage.hosts)
    comparison.bind("recordId", record_id)
    comparison.compare("response", document["response"], (await get()).json())
    seeds.check(comparison)
