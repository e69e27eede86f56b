"""The official SDK (msgraph-beta-sdk 1.66.0) makes every request it has for calls.

Nothing is changed but base URL and credential. The list of requests is read from the SDK's own
builders, so that none is forgotten: each is driven, or is one that the documentation of the calling
API does not have, and then it is refused in Graph's words.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from importlib.metadata import version

import pytest
import pytest_asyncio
from msgraph_beta.generated.models.call_state import CallState

from tests.contract import sdk_calls, sdk_group, seeds
from tests.contract.sdk_kit import VERSION, builders, load_models, sdk_client
from tests.contract.sdk_world import CALL, Driver, Drivers, World
from tests.contract.stage import staged

pytestmark = pytest.mark.slow  # Its models alone take six seconds to import.

DRIVERS = Drivers(sdk_calls.drives | sdk_group.drives)
REQUESTS = builders("communications/calls")
SHARING = f"{CALL}/contentSharingSessions"
SLIDE = f"{SHARING}/{{contentSharingSession-id}}/pngOfCurrentSlide"
NOT_ALLOWED = (405, "notAllowed")
NOT_CARRIED = (405, "8520")
NOT_DOCUMENTED = {
    # Generated for every entity set and navigation; the calling API documents no such request.
    "GET /communications/calls": NOT_ALLOWED,
    "GET /communications/calls/$count": (404, "8522"),
    f"PATCH {CALL}": NOT_ALLOWED,
    f"POST {SHARING}": NOT_ALLOWED,
    f"DELETE {SHARING}/{{contentSharingSession-id}}": NOT_ALLOWED,
    f"PATCH {SHARING}/{{contentSharingSession-id}}": NOT_ALLOWED,
    f"DELETE {SLIDE}": NOT_ALLOWED,
    f"GET {SLIDE}": NOT_CARRIED,
    f"PUT {SLIDE}": NOT_ALLOWED,
    f"POST {CALL}/operations": NOT_ALLOWED,
    f"DELETE {CALL}/operations/{{commsOperation-id}}": NOT_ALLOWED,
    f"PATCH {CALL}/operations/{{commsOperation-id}}": NOT_ALLOWED,
    f"POST {CALL}/participants": NOT_ALLOWED,
    f"PATCH {CALL}/participants/{{participant-id}}": NOT_ALLOWED,
    # Of beta, and on no page of the call resource; record is recordResponse's deprecated name.
    f"POST {CALL}/participants/{{participant-id}}/reportSyntheticMedia": NOT_CARRIED,
    f"POST {CALL}/record": NOT_CARRIED,
    f"POST {CALL}/startRecording": NOT_CARRIED,
    f"POST {CALL}/startTranscription": NOT_CARRIED,
    f"POST {CALL}/stopRecording": NOT_CARRIED,
    f"POST {CALL}/stopTranscription": NOT_CARRIED,
}
"""Requests that the SDK can make and the calling API does not have, and how they are refused."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    load_models()
    async with staged(tmp_path_factory.mktemp("sdk")) as stage, sdk_client(stage.dev) as client:
        webhook = {"callbackUri": stage.receiver.url}
        path = f"/mixminus/v1/apps/{stage.dev.app_id}/webhook"
        assert (await stage.graph.http.put(path, json=webhook)).is_success
        yield World(stage, client)


def test_the_version_is_the_stated_one() -> None:
    assert version("msgraph-beta-sdk") == VERSION


def test_no_request_of_the_sdk_is_forgotten() -> None:
    assert sorted([*DRIVERS, *NOT_DOCUMENTED]) == sorted(REQUESTS)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("driver", dict.fromkeys(DRIVERS.values()), ids=lambda d: d.__name__)
async def test_the_sdk_drives(world: World, driver: Driver) -> None:
    await driver(world)


@pytest.mark.asyncio(loop_scope="module")
async def test_what_is_not_documented_is_refused(world: World) -> None:
    answers = {}
    async with world.meeting() as made:
        ids = {"call": made.id, "participant": await made.johns()}
        for name in NOT_DOCUMENTED:
            method, _, path = name.partition(" ")
            for item in ("call", "participant", "commsOperation", "contentSharingSession"):
                path = path.replace(f"{{{item}-id}}", ids.get(item, "one"))
            reply = await world.stage.graph.http.request(method, f"/beta{path}", json={})
            answers[name] = (reply.status_code, reply.json()["error"]["code"])
    assert answers == NOT_DOCUMENTED


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("example", seeds.names("create_call"))
async def test_the_sdk_creates_the_call_of(world: World, example: str) -> None:
    stage, name = world.stage, example.partition("/")[2]
    targets = seeds.load(example)["request"].get("targets", [])
    async with stage.person("John"), stage.person("Alice"):
        created = await world.post(name)
        assert created.id is not None
        assert created.state is CallState.Establishing
        assert len(created.targets or []) == len(targets)
        await stage.told(created.id, "updated call establishing", "updated call established")
        await stage.has_media(created.id)
        shown = await world.call(created.id).get()
        assert shown is not None
        assert shown.state is CallState.Established
        assert shown.my_participant_id == created.my_participant_id
        await world.call(created.id).delete()
        await stage.told(created.id, "deleted call terminated")


@pytest.mark.asyncio(loop_scope="module")
async def test_the_old_path_answers_too(world: World) -> None:
    async with world.peer() as made:
        shown = await world.client.app.calls.by_call_id(made.id).get()
        assert shown is not None
        assert shown.id == made.id
