"""The documented peer-to-peer call with app-hosted media: our answer against the documented one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.service_kit import GraphHttp

pytestmark = pytest.mark.asyncio(loop_scope="module")

DATA = Path(__file__).parent / "data"
GENERATED = {
    "callbackUri",  # Ours must be reachable; it is compared with the request's.
    "callChainId",
    "id",
    "myParticipantId",
    "@odata.context",
}


def load(name: str) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((DATA / f"create_p2p_app_hosted.{name}.json").read_text())
    return result


@pytest.mark.parametrize("root", ["communications", "app"])
async def test_documented_request_gets_the_documented_response(
    shared_graph: GraphHttp, root: str
) -> None:
    request, expected = load("request"), load("response")
    # One that nobody answers: only the response is looked at.
    request["callbackUri"] = "https://localhost:1/callback"
    reply = await shared_graph.http.post(f"/beta/{root}/calls", json=request)
    base = shared_graph.dev.graph_base_url
    assert reply.status_code == 201
    body = reply.json()
    assert set(body) == set(expected)
    for key in set(expected) - GENERATED:
        assert body[key] == expected[key], key
    assert body["callbackUri"] == request["callbackUri"]
    assert body["@odata.context"] == f"{base}/beta/$metadata#app/calls/$entity"
    assert reply.headers["location"] == f"{base}/beta/communications/calls/{body['id']}"
    ids = {body[key] for key in ("callChainId", "id", "myParticipantId")}
    assert len(ids) == 3
    assert {len(identifier) for identifier in ids} == {36}


async def test_get_shows_what_create_returned(shared_graph: GraphHttp) -> None:
    request = load("request") | {"callbackUri": "https://localhost:1/callback"}
    created = (await shared_graph.create(request)).json()
    path = f"/v1.0/communications/calls/{created['id']}"
    shown = await shared_graph.http.get(path)
    assert (shown.status_code, shown.json()) == (200, created)
    part = await shared_graph.http.get(path, params={"$select": "state,tenantId"})
    assert set(part.json()) == {"@odata.type", "@odata.context", "id", "state", "tenantId"}


def refusals() -> Iterator[Any]:
    """Each body that is refused, with status, code and what the message must name."""
    blob = load("request")["mediaConfig"]["blob"]
    config = load("request")["mediaConfig"]
    target = load("request")["targets"][0]
    phone = {"identity": {"phone": {"id": "+12345678901"}}}
    meeting = {
        "targets": None,
        "meetingInfo": {"@odata.type": "#microsoft.graph.joinMeetingIdMeetingInfo"},
    }

    def case(name: str, status: int, code: str, says: str, **change: Any) -> Any:
        return pytest.param(change, status, code, says, id=name)

    yield case("no callback", 400, "8523", "callbackUri", callbackUri=None)
    yield case("http callback", 400, "8523", "https", callbackUri="http://localhost:1/callback")
    yield case("relative callback", 400, "8523", "https", callbackUri="/callback")
    yield case("callback is a number", 400, "8523", "callbackUri", callbackUri=7)
    yield case("no media", 400, "8523", "mediaConfig", mediaConfig=None)
    yield case("no blob", 400, "8523", "blob", mediaConfig={**config, "blob": None})
    yield case("blob no JSON", 400, "8523", "not JSON", mediaConfig={**config, "blob": "{"})
    lacking = json.dumps({k: v for k, v in json.loads(blob).items() if k != "mpUri"})
    yield case("blob lacks a key", 400, "8523", "mpUri", mediaConfig={**config, "blob": lacking})
    yield case("no targets", 400, "8523", "targets", targets=[])
    yield case("targets no list", 400, "8523", "targets", targets="John")
    yield case("target no object", 400, "8523", "targets[0]", targets=["John"])
    yield case("identity of nobody", 400, "8523", "identity", targets=[{"identity": {}}])
    yield case("user without id", 400, "8523", "id", targets=[{"identity": {"user": {}}}])
    unknown = [{"identity": {"user": {"id": "00000000-0000-4000-8000-000000000000"}}}]
    yield case("unknown user", 404, "itemNotFound", "not found", targets=unknown)
    yield case("ringing too long", 400, "8523", "115", ringingTimeoutInSeconds=116)
    yield case("modality", 400, "8523", "requestedModalities", requestedModalities=["smell"])
    yield case("other tenant", 403, "7505", "tenant", tenantId="another")
    source = {"identity": {"application": {"id": "another"}}}
    yield case("other application", 403, "7507", "source", source=source)
    yield case("group", 405, "8520", "group", targets=[target, target])
    yield case("phone", 405, "8520", "phone", targets=[phone])
    yield case("meeting", 405, "8520", "meeting", **meeting)
    hosted = {"@odata.type": "#microsoft.graph.serviceHostedMediaConfig"}
    yield case("service hosted", 405, "8520", "serviceHosted", mediaConfig=hosted)


@pytest.mark.parametrize(("change", "status", "code", "says"), [*refusals()])
async def test_refused_body_gets_one_clear_error(
    shared_graph: GraphHttp, change: dict[str, Any], status: int, code: str, says: str
) -> None:
    request = load("request") | {"callbackUri": "https://localhost:1/callback"} | change
    body = {key: value for key, value in request.items() if value is not None}
    reply = await shared_graph.create(body)
    assert (reply.status_code, reply.json()["error"]["code"]) == (status, code)
    assert says in reply.json()["error"]["message"]
