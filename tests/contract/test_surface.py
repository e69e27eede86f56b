"""The surface of the calls API: statuses, Locations, query options, permissions, bad input."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import pytest_asyncio

from mixminus.control.graph.enums import ALL_ROLES, Role
from tests.service_kit import JOHN, GraphHttp, call_body, running_service
from tests.support import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOSTED = {"@odata.type": "#microsoft.graph.serviceHostedMediaConfig"}
URL = "https://localhost:1/callback"
THREAD = "19:meeting_Win6@thread.v2"
PROMPT = {"mediaInfo": {"uri": "https://localhost:1/beep.wav", "resourceId": "r"}}
GROUP = {"id": "oneToOne", "routingMode": "oneToOne", "sources": ["a"], "receivers": ["b"]}


def meeting_body(tenant_id: str, thread: str = THREAD, **members: Any) -> dict[str, Any]:
    organizer = {"user": {"id": JOHN, "tenantId": tenant_id}}
    return call_body(
        URL,
        targets=None,
        **{
            "mediaConfig": HOSTED,
            "chatInfo": {"threadId": thread, "messageId": "0"},
            "meetingInfo": {"organizer": organizer},
            **members,
        },
    )


def refused(reply: httpx2.Response) -> tuple[int, str]:
    return reply.status_code, reply.json()["error"]["code"]


async def hears(graph: GraphHttp, path: str) -> bool:
    """Whether the audio of a call flows: established comes before that."""
    call = (await graph.http.get(path)).json()
    return bool((call["mediaState"] or {}).get("audio") == "active")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def meeting(shared_graph: GraphHttp) -> AsyncIterator[str]:
    """The path of an established call in a meeting, its media hosted by the service."""
    reply = await shared_graph.create(meeting_body(shared_graph.dev.tenant_id), "beta")
    assert reply.status_code == 201, reply.text
    path = f"/beta/communications/calls/{reply.json()['id']}"

    await eventually(lambda: hears(shared_graph, path))
    yield path
    await shared_graph.http.delete(path)


@pytest.mark.parametrize(
    ("path", "body", "status", "kind"),
    [
        ("mute", {"clientContext": "c"}, 200, "muteParticipantOperation"),
        ("unmute", None, 200, "unmuteParticipantOperation"),
        ("subscribeToTone", {}, 200, "subscribeToToneOperation"),
        ("microsoft.graph.CancelMediaProcessing", {}, 200, "cancelMediaProcessingOperation"),
        ("playPrompt", {"prompts": [PROMPT]}, 200, "playPromptOperation"),
        ("recordResponse", {}, 200, "recordOperation"),
        ("sendDtmfTones", {"tones": ["tone1"]}, 200, "sendDtmfTonesOperation"),
        ("addLargeGalleryView", {}, 202, "addLargeGalleryViewOperation"),
    ],
)
async def test_an_action_answers_with_its_operation_and_where_it_is(
    shared_graph: GraphHttp, meeting: str, path: str, body: Any, status: int, kind: str
) -> None:
    reply = await shared_graph.http.post(f"{meeting}/{path}", json=body)
    assert reply.status_code == status, reply.text
    operation = reply.json()
    assert operation["@odata.type"] == f"#microsoft.graph.{kind}"
    location = reply.headers["location"]
    assert location == f"{shared_graph.dev.graph_base_url}{meeting}/operations/{operation['id']}"
    shown = (await shared_graph.http.get(location)).json()
    assert (shown["id"], shown["@odata.type"]) == (operation["id"], operation["@odata.type"])


async def test_audio_routing_groups_answer_as_documented(
    shared_graph: GraphHttp, meeting: str
) -> None:
    http, path = shared_graph.http, f"{meeting}/audioRoutingGroups"
    guest: dict[str, Any] = {
        "source": {"identity": {"guest": {"id": "other", "displayName": "Other"}}}
    }
    own = (await http.get(meeting)).json()["myParticipantId"]
    body = meeting_body(shared_graph.dev.tenant_id, **guest)
    joined = (await shared_graph.create(body)).json()
    group = GROUP | {"sources": [own], "receivers": [joined["myParticipantId"]]}

    made = await http.post(path, json=group)
    assert made.status_code == 200, made.text
    assert made.json() == {"@odata.type": "#microsoft.graph.audioRoutingGroup", **group}
    assert made.headers["location"].endswith(f"{path}/oneToOne")
    assert [item["id"] for item in (await http.get(path)).json()["value"]] == ["oneToOne"]
    assert (await http.get(f"{path}/$count")).text == "1"
    changed = await http.patch(f"{path}/oneToOne", json={"routingMode": "multicast"})
    assert (changed.status_code, changed.json()["routingMode"]) == (200, "multicast")
    assert refused(await http.patch(f"{path}/oneToOne", json={"id": "x"})) == (400, "8523")
    assert (await http.delete(f"{path}/oneToOne")).status_code == 204
    assert refused(await http.get(f"{path}/oneToOne")) == (404, "8522")
    assert (await http.delete(f"/beta/app/calls/{joined['id']}")).status_code == 204


async def test_query_options_work_on_every_get(shared_graph: GraphHttp, meeting: str) -> None:
    http = shared_graph.http
    await http.post(f"{meeting}/mute")
    shown = await http.get(
        meeting,
        params={"Select": "state,callOptions", "$EXPAND": "participants($select=id),operations"},
    )
    assert shown.status_code == 200, shown.text
    call = shown.json()
    annotations = {"@odata.type", "@odata.context"}
    assert set(call) - annotations == {"id", "state", "callOptions", "participants", "operations"}
    assert set(call["participants"][0]) == {"@odata.type", "id"}
    assert call["operations"][0]["status"]
    for name in ("participants", "operations", "audioRoutingGroups", "contentSharingSessions"):
        listed = await http.get(f"{meeting}/{name.upper()}", params={"$select": "id"})
        assert listed.status_code == 200, listed.text
        assert listed.json()["@odata.context"].endswith(f"/{name}")
        assert all(set(item) <= {"@odata.type", "id"} for item in listed.json()["value"])
        assert int((await http.get(f"{meeting}/{name}/$count")).text) == len(listed.json()["value"])
        assert refused(await http.get(f"{meeting}/{name}/unknown")) == (404, "8522")
        assert refused(await http.get(f"{meeting}/{name}?$top=1")) == (400, "BadRequest")
    entry = call["participants"][0]["id"]
    one = await http.get(f"{meeting}/participants/{entry}", params={"$select": "meetingRole"})
    assert set(one.json()) == {"@odata.context", "@odata.type", "id", "meetingRole"}
    for query in ("$select=song", "$expand=source", "$filter=a", "$apply=b", "$sing=c"):
        assert refused(await http.get(f"{meeting}?{query}")) == (400, "BadRequest")


async def test_an_unset_call_shows_what_hangs_under_it_as_empty(
    shared_graph: GraphHttp,
) -> None:
    call_id = await shared_graph.created(call_body(URL, mediaConfig=HOSTED))
    path = f"/beta/communications/calls/{call_id}"
    shown = await shared_graph.http.get(path, params={"$expand": "operations,audioRoutingGroups"})
    assert (shown.json()["operations"], shown.json()["audioRoutingGroups"]) == ([], [])


@pytest.mark.parametrize(
    ("action", "body", "code"),
    [
        ("answer", {"mediaConfig": HOSTED}, "8585"),
        ("reject", {}, "8585"),
        ("redirect", {"targets": [{"identity": {"user": {"id": JOHN}}}]}, "8585"),
        ("mute", {}, "8501"),
        ("playPrompt", {"prompts": [PROMPT]}, "8501"),
        ("recordResponse", {}, "8501"),
        ("subscribeToTone", {}, "8501"),
        ("sendDtmfTones", {"tones": ["a"]}, "8501"),
        ("cancelMediaProcessing", {}, "8501"),
        ("transfer", {"transferTarget": {"identity": {"user": {"id": JOHN}}}}, "8501"),
        ("updateRecordingStatus", {"status": "recording"}, "8501"),
        ("changeScreenSharingRole", {"role": "viewer"}, "8501"),
        ("addLargeGalleryView", {}, "8501"),
        ("participants/muteAll", {"participants": ["p"]}, "8501"),
        ("participants/p/mute", {}, "8501"),
        ("participants/p/startHoldMusic", {}, "8501"),
        ("participants/invite", {"participants": [{"identity": {"user": {"id": "u"}}}]}, "8501"),
        ("audioRoutingGroups", GROUP, "8501"),
    ],
)
async def test_an_action_in_the_wrong_state_changes_nothing(
    shared_graph: GraphHttp, action: str, body: dict[str, Any], code: str
) -> None:
    call_id = await shared_graph.created(call_body(URL, mediaConfig=HOSTED))
    path = f"/beta/communications/calls/{call_id}"
    before = (await shared_graph.http.get(path)).json()
    assert refused(await shared_graph.http.post(f"{path}/{action}", json=body)) == (400, code)
    assert (await shared_graph.http.get(path)).json() == before
    assert (await shared_graph.http.get(f"{path}/operations/$count")).text == "0"
    await shared_graph.http.delete(path)


@pytest.mark.parametrize("odd", ["%00", "%0A", "a%20b", "%F0%9F%8E%B5", "x" * 1000, "'", "{id}"])
async def test_an_odd_id_is_an_unknown_one(shared_graph: GraphHttp, odd: str) -> None:
    for path in (f"calls/{odd}", f"calls/{odd}/participants", f"calls/{odd}/operations/{odd}"):
        reply = await shared_graph.http.get(f"/v1.0/communications/{path}")
        assert refused(reply) == (404, "8522")


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (json.dumps({"clientContext": "x" * 257}), 400, "8523"),
        ('{"clientContext": "\\ud800"}', 400, "BadRequest"),
        ('{"clientContext": 1e999}', 400, "BadRequest"),
        ('{"clientContext": ' + "9" * 5000 + "}", 400, "BadRequest"),
        ('{"a":' * 33 + "1" + "}" * 33, 400, "8523"),
        ('{"a": "' + "x" * (256 * 1024) + '"}', 413, "invalidRequest"),
        ("[]", 400, "8523"),
        ("null", 400, "8523"),
        ("{", 400, "BadRequest"),
    ],
)
async def test_a_bad_body_is_refused_and_changes_nothing(
    shared_graph: GraphHttp, meeting: str, content: str, status: int, code: str
) -> None:
    before = (await shared_graph.http.get(f"{meeting}/operations/$count")).text
    headers = {"Content-Type": "application/json"}
    reply = await shared_graph.http.post(f"{meeting}/mute", content=content, headers=headers)
    assert refused(reply) == (status, code)
    assert (await shared_graph.http.get(f"{meeting}/operations/$count")).text == before


async def test_methods_that_a_path_has_not_are_named(shared_graph: GraphHttp, meeting: str) -> None:
    for method, path, allowed in (
        ("PUT", meeting, "DELETE, GET"),
        ("GET", f"{meeting}/mute", "POST"),
        ("PATCH", f"{meeting}/audioRoutingGroups", "GET, POST"),
        ("DELETE", f"{meeting}/participants/invite", "POST"),
        ("POST", f"{meeting}/operations/$count", "GET"),
        ("GET", "/v1.0/communications/calls/LogTeleconferenceDeviceQuality", "POST"),
    ):
        reply = await shared_graph.http.request(method, path)
        assert refused(reply) == (405, "notAllowed")
        assert reply.headers["allow"] == allowed


@pytest.mark.parametrize(
    "path", ["startRecording", "stopTranscription", "raiseHand", "record", "mute/sing", "sing"]
)
async def test_what_is_not_carried_says_so(
    shared_graph: GraphHttp, meeting: str, path: str
) -> None:
    expected = (404, "itemNotFound") if "sing" in path else (405, "8520")
    assert refused(await shared_graph.http.post(f"{meeting}/{path}", json={})) == expected


async def test_older_root_lacks_keep_alive_and_hold_music(
    shared_graph: GraphHttp, meeting: str
) -> None:
    older = meeting.replace("/communications/", "/app/")
    assert (await shared_graph.http.get(older)).status_code == 200
    assert (await shared_graph.http.post(f"{meeting}/keepAlive")).status_code == 200
    for path in ("keepAlive", "participants/p/startHoldMusic"):
        reply = await shared_graph.http.post(f"{older}/{path}", json={})
        assert refused(reply) == (404, "itemNotFound")


async def test_device_quality_needs_to_know_the_device(shared_graph: GraphHttp) -> None:
    path = "/v1.0/communications/calls/logTeleconferenceDeviceQuality"
    body = {"quality": {"callChainId": "c", "mediaQualityList": []}}
    done = await shared_graph.http.post(path, json=body)
    assert (done.status_code, done.content) == (200, b"")
    unnamed = await shared_graph.http.post(path, json=body, headers={"User-Agent": ""})
    assert refused(unnamed) == (400, "BadRequest")


async def test_an_application_says_where_it_is_told_of_calls(shared_graph: GraphHttp) -> None:
    path = f"/mixminus/v1/apps/{shared_graph.dev.app_id}/webhook"
    put = shared_graph.http.put
    assert (await put(path, json={"callbackUri": URL})).status_code == 204
    assert refused(await put(path, json={"callbackUri": "http://x/"})) == (400, "8523")
    assert refused(await put(path, json={})) == (400, "8523")
    assert refused(await put("/mixminus/v1/apps/other/webhook", json={})) == (404, "8522")
    assert (await put(path, json={"callbackUri": None})).status_code == 204


async def test_roles_of_a_token_decide(tmp_path: Path) -> None:
    async with running_service(tmp_path) as service, GraphHttp(service.dev_file) as graph:
        tenant = graph.dev.tenant_id
        joined = (await graph.create(meeting_body(tenant))).json()
        path = f"/v1.0/communications/calls/{joined['id']}"
        await eventually(lambda: hears(graph, path))

        async def with_roles(*roles: str) -> None:
            await service.store.set_roles(graph.dev.app_id, roles)
            graph.http.headers["Authorization"] = f"Bearer {await graph.token()}"

        await with_roles()
        assert refused(await graph.create(meeting_body(tenant))) == (403, "7504")
        # Documented as not checked again.
        for method, action in (("GET", ""), ("GET", "/participants"), ("POST", "/keepAlive")):
            assert (await graph.http.request(method, path + action)).status_code == 200
        assert (await graph.http.post(f"{path}/cancelMediaProcessing")).status_code == 200
        assert refused(await graph.http.post(f"{path}/subscribeToTone")) == (403, "7504")
        assert refused(await graph.http.post(f"{path}/participants/muteAll")) == (403, "7504")
        await with_roles(Role.ACCESS_MEDIA)
        assert (await graph.http.post(f"{path}/subscribeToTone")).status_code == 200
        await with_roles(*(set(ALL_ROLES) - {Role.ACCESS_MEDIA}))
        assert refused(await graph.create(call_body(URL))) == (403, "7504")
        assert refused(await graph.create(meeting_body("other", tenantId="other"))) == (403, "7505")


async def test_consent_of_a_thread_lets_an_application_join_it(tmp_path: Path) -> None:
    grants = {THREAD: ("2891555a-92ff-42e6-80fa-6e1300c6b5c6",)}
    async with (
        running_service(tmp_path, chat_grants=grants, app_roles=()) as service,
        GraphHttp(service.dev_file) as graph,
    ):
        tenant = graph.dev.tenant_id
        assert (await graph.create(meeting_body(tenant))).status_code == 201
        other = meeting_body(tenant, "19:other@thread.v2")
        assert refused(await graph.create(other)) == (403, "7504")


async def test_too_many_requests_are_told_when_to_come_again(tmp_path: Path) -> None:
    limits: dict[str, Any] = {"throttle_requests": 3, "throttle_window_s": 600.0}
    async with running_service(tmp_path, **limits) as service, GraphHttp(service.dev_file) as graph:
        path = "/v1.0/communications/calls/x"
        for _ in range(3):
            assert (await graph.http.get(path)).status_code == 404
        reply = await graph.http.get(path)
        assert refused(reply) == (429, "activityLimitReached")
        assert 1 <= int(reply.headers["retry-after"]) <= 600
        # Nobody is throttled for another's token.
        reply = await graph.http.get(path, headers={"Authorization": ""})
        assert refused(reply) == (401, "InvalidAuthenticationToken")
