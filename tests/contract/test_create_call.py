"""Create call: what is shown is what was made, and each bad body gets one clear error."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.contract import seeds
from tests.service_kit import GraphHttp

pytestmark = pytest.mark.asyncio(loop_scope="module")


def documented() -> dict[str, Any]:
    request: dict[str, Any] = seeds.load("create_call/02_p2p_app_hosted")["request"]
    # One that nobody answers: only the response is looked at.
    return request | {"callbackUri": "https://localhost:1/callback"}


async def test_get_shows_what_create_returned(shared_graph: GraphHttp) -> None:
    request = documented()
    created = (await shared_graph.create(request)).json()
    path = f"/v1.0/communications/calls/{created['id']}"
    shown = await shared_graph.http.get(path)
    assert (shown.status_code, shown.json()) == (200, created)
    part = await shared_graph.http.get(path, params={"$select": "state,tenantId"})
    assert set(part.json()) == {"@odata.type", "@odata.context", "id", "state", "tenantId"}


def refusals() -> Iterator[Any]:
    """Each body that is refused, with status, code and what the message must name."""
    blob = documented()["mediaConfig"]["blob"]
    config = documented()["mediaConfig"]
    target = documented()["targets"][0]
    phone = {"identity": {"phone": {"id": "+12345678901"}}}

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
    yield case("six targets", 400, "8523", "5", targets=[target] * 6)
    yield case("phone without an instance", 400, "8523", "source", targets=[phone])
    foreign = {"identity": {"applicationInstance": {"id": "00000000-0000-4000-8000-000000000000"}}}
    yield case("another's instance", 403, "7507", "source", targets=[phone], source=foreign)
    local = {"identity": {"phone": {"id": "5550123"}}}
    yield case("phone not E.164", 400, "8523", "E.164", targets=[local])
    join = {"@odata.type": "#microsoft.graph.joinMeetingIdMeetingInfo", "joinMeetingId": "1"}
    yield case("unknown meeting id", 404, "8561", "meeting", targets=None, meetingInfo=join)
    no_id = {"@odata.type": "#microsoft.graph.joinMeetingIdMeetingInfo"}
    yield case("no meeting id", 400, "8523", "joinMeetingId", targets=None, meetingInfo=no_id)
    strange = {"@odata.type": "#microsoft.graph.strangeMeetingInfo"}
    yield case("strange meeting", 400, "8523", "meetingInfo", targets=None, meetingInfo=strange)
    token = {"@odata.type": "#microsoft.graph.tokenMeetingInfo", "token": "abc"}
    yield case("bad token", 400, "8526", "token", targets=None, meetingInfo=token)
    both = {**join, "joinMeetingId": "1"}
    yield case("targets and a meeting", 400, "8523", "targets", meetingInfo=both)
    strange_config = {"@odata.type": "#microsoft.graph.strangeMediaConfig"}
    yield case("strange media", 400, "8523", "mediaConfig", mediaConfig=strange_config)
    prefetch = {"preFetchMedia": [{"uri": "http://localhost/a.wav", "resourceId": "a"}]}
    hosted = {"@odata.type": "#microsoft.graph.serviceHostedMediaConfig", **prefetch}
    yield case("prompt over http", 400, "8523", "https", mediaConfig=hosted)


@pytest.mark.parametrize(("change", "status", "code", "says"), [*refusals()])
async def test_refused_body_gets_one_clear_error(
    shared_graph: GraphHttp, change: dict[str, Any], status: int, code: str, says: str
) -> None:
    request = documented() | change
    body = {key: value for key, value in request.items() if value is not None}
    reply = await shared_graph.create(body)
    assert (reply.status_code, reply.json()["error"]["code"]) == (status, code)
    assert says in reply.json()["error"]["message"]
