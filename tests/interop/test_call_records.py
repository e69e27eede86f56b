"""Call records over real HTTPS: who sees them, in which pages and shapes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import pytest

from mixminus.control.service.records.build import build_record
from mixminus.control.service.records.history import ConversationHistory
from mixminus.control.service.service import CallService
from mixminus.control.service.settings import APP_ID, TENANT_ID
from tests.records_kit import BOT, PHONE, at, call_of_two, group_of, history
from tests.service_kit import GraphHttp, running_service

RECORDS = "/v1.0/communications/callRecords"
ROLE = "CallRecords.Read.All"


class World(NamedTuple):
    """A service with some records."""

    service: CallService
    graph: GraphHttp

    async def save(self, past: ConversationHistory, days_ago: float = 1.0) -> None:
        """Keep the record of *past*, as if it had begun so long ago."""
        record = build_record(past, version=1, now=at(2000))
        begun = datetime.now(UTC) - timedelta(days=days_ago)
        moved = int(begun.timestamp() * 1e6) - record.started_us
        await self.service.store.save_record(
            replace(
                record,
                tenant_id=TENANT_ID,
                started_us=record.started_us + moved,
                ended_us=record.ended_us + moved,
            ),
            [],
            0,
        )

    async def get(self, path: str = "", prefer: str = "", **params: Any) -> httpx2.Response:
        headers = {"Prefer": prefer} if prefer else {}
        url = path if path.startswith("https:") else RECORDS + path
        return await self.graph.http.get(url, headers=headers, params=params or None)

    async def shown(self, path: str = "", prefer: str = "", **params: Any) -> dict[str, Any]:
        reply = await self.get(path, prefer, **params)
        assert reply.status_code == 200, reply.text
        body: dict[str, Any] = reply.json()
        return body

    async def error(self, path: str = "", **params: Any) -> tuple[int, str]:
        reply = await self.get(path, **params)
        return reply.status_code, reply.json()["error"]["message"]


@asynccontextmanager
async def world(state_dir: Path, **settings: Any) -> AsyncIterator[World]:
    async with (
        running_service(state_dir, **settings) as service,
        GraphHttp(service.dev_file) as graph,
    ):
        yield World(service, graph)


@pytest.fixture
async def w(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path) as made:
        await made.save(call_of_two("two", APP_ID))
        await made.save(group_of(149, "many", APP_ID))
        yield made


async def test_record_has_its_organizer_and_contexts(w: World) -> None:
    body = await w.shown("/two")
    base = f"{w.graph.dev.graph_base_url}/v1.0/$metadata#communications/callRecords"
    assert body["@odata.context"] == f"{base}/$entity"
    assert body["organizer_v2@odata.context"] == f"{base}('two')/organizer_v2/$entity"
    assert body["participants_v2@odata.context"] == f"{base}('two')/participants_v2/$entity"
    assert body["organizer_v2"]["id"] == "Bot-id"
    assert body["type"] == "peerToPeer"
    assert "sessions" not in body
    assert "participants_v2" not in body
    beta = await w.graph.http.get("/beta/COMMUNICATIONS/callrecords/two")
    assert beta.status_code == 200
    assert beta.json()["@odata.context"] == f"{base.replace('v1.0', 'beta')}/$entity"


async def test_sessions_and_participants_are_expanded(w: World) -> None:
    body = await w.shown("/two", **{"$expand": "sessions($expand=segments),participants_v2"})
    assert body["@odata.context"].endswith(
        "callRecords(sessions(segments()),participants_v2())/$entity"
    )
    (session,) = body["sessions"]
    assert session["segments"][0]["media"][0]["label"] == "main-audio"
    assert [person["id"] for person in body["participants_v2"]] == ["Bot-id", "John-id"]
    assert "sessions@odata.nextLink" not in body
    plain = await w.shown("/two", **{"$expand": "sessions"})
    assert "segments" not in plain["sessions"][0]


async def test_members_are_selected(w: World) -> None:
    body = await w.shown("/two", **{"$select": "version,startDateTime"})
    assert body.keys() == {"@odata.context", "id", "version", "startDateTime"}
    body = await w.shown("/two", **{"$expand": "sessions($select=caller)", "$select": "type"})
    assert body.keys() == {"@odata.context", "id", "type", "sessions"}
    assert body["sessions"][0].keys() == {"id", "caller"}
    people = await w.shown("/two/participants_v2", **{"$select": "id"})
    assert people["value"] == [{"id": "Bot-id"}, {"id": "John-id"}]


async def test_expanded_pages_lead_to_all_items(w: World) -> None:
    body = await w.shown("/many", **{"$expand": "sessions($expand=segments),participants_v2"})
    sessions, people = body["sessions"], body["participants_v2"]
    assert (len(sessions), len(people)) == (60, 130)
    link = body["sessions@odata.nextLink"]
    assert "/v1.0/communications/callRecords/many/sessions?$expand=segments&$skiptoken=" in link
    sizes = []
    while link:
        page = await w.shown(link)
        sizes.append(len(page["value"]))
        sessions += page["value"]
        link = page.get("@odata.nextLink")
    assert sizes == [60, 30]
    assert len({session["id"] for session in sessions}) == 150
    assert all(session["segments"] for session in sessions)
    rest = await w.shown(body["participants_v2@odata.nextLink"])
    assert "@odata.nextLink" not in rest
    assert len({person["id"] for person in people + rest["value"]}) == 150


async def test_page_size_may_be_lowered_but_not_raised(w: World) -> None:
    reply = await w.get("/many/sessions", "odata.maxpagesize=7")
    assert len(reply.json()["value"]) == 7
    assert reply.headers["preference-applied"] == "odata.maxpagesize=7"
    assert len((await w.shown("/many/sessions", "odata.maxpagesize=1000"))["value"]) == 60
    body = await w.shown("/many", "odata.maxpagesize=3", **{"$expand": "participants_v2"})
    assert len(body["participants_v2"]) == 3


async def test_tampered_token_is_refused(w: World) -> None:
    page = await w.shown("/many/sessions")
    link = page["@odata.nextLink"]
    for bad in (
        link[:-3] + ("AAA" if not link.endswith("AAA") else "BBB"),
        link.replace("/sessions", "/participants_v2"),
        link.partition("skiptoken=")[0] + "skiptoken=60",
        link + "&$skiptoken=again",
    ):
        status, message = await w.error(bad)
        assert status == 400
        assert "skiptoken" in message


async def test_nulls_are_left_out_when_preferred(w: World) -> None:
    expand = {"$expand": "sessions($expand=segments)"}
    body = await w.shown("/two", "omit-values=nulls", **expand)
    (stream, _) = body["sessions"][0]["segments"][0]["media"][0]["streams"]
    assert None not in stream.values()
    assert "averageJitter" not in stream
    plain = await w.shown("/two", **expand)
    assert plain["sessions"][0]["segments"][0]["media"][0]["streams"][0]["averageJitter"] is None
    filtered = {"$filter": "startDateTime gt 2100-01-01T00:00:00Z"}
    assert (await w.shown("", "omit-values=nulls", **filtered))["value"] == []


async def test_parts_of_a_record_have_their_own_addresses(w: World) -> None:
    organizer = await w.shown("/two/organizer_v2")
    assert organizer["id"] == "Bot-id"
    assert organizer["@odata.context"].endswith("callRecords('two')/organizer_v2/$entity")
    session = await w.shown("/two/sessions/two", **{"$expand": "segments"})
    assert session["segments"][0]["id"] == "two"
    segments = await w.shown("/two/sessions/two/segments")
    assert segments["value"] == session["segments"]
    assert (await w.error("/two/sessions/three"))[0] == 404


async def test_list_is_filtered_and_paged(w: World) -> None:
    for number in range(4):
        await w.save(call_of_two(f"record-{number}", APP_ID), days_ago=10 + number)
    asked = {"$filter": "participants_v2/any(p:p/id eq 'John-id')", "$select": "type"}
    first = await w.shown("", "odata.maxpagesize=2", **asked)
    assert [record["id"] for record in first["value"]] == ["two", "record-0"]
    assert first["value"][0].keys() == {"id", "type"}
    second = await w.shown(first["@odata.nextLink"], "odata.maxpagesize=2")
    assert [record["id"] for record in second["value"]] == ["record-1", "record-2"]
    third = await w.shown(second["@odata.nextLink"])
    assert [record["id"] for record in third["value"]] == ["record-3"]
    assert "@odata.nextLink" not in third
    since = (datetime.now(UTC) - timedelta(days=10, hours=12)).strftime("%Y-%m-%dT%H:%M:%SZ")
    found = await w.shown("", **{"$filter": f"startDateTime lt {since}"})
    assert [record["id"] for record in found["value"]] == ["record-1", "record-2", "record-3"]


async def test_token_of_a_list_is_not_for_another_filter(w: World) -> None:
    page = await w.shown("", "odata.maxpagesize=1")
    link = page["@odata.nextLink"]
    status, _ = await w.error(f"{link}&$filter=startDateTime gt 2020-01-01T00:00:00Z")
    assert status == 400


REFUSED: list[tuple[str, dict[str, str]]] = [
    ("/two", {"$filter": "x"}),
    ("/two", {"$top": "1"}),
    ("/two", {"$select": "nothing"}),
    ("/two", {"$expand": "nothing"}),
    ("/two", {"$expand": "sessions("}),
    ("/two", {"$expand": "sessions($expand=media)"}),
    ("/two", {"$expand": "sessions($top=1)"}),
    ("/two/sessions", {"$filter": "x"}),
    ("", {"$expand": "sessions"}),
    ("", {"$filter": "version eq 1"}),
    ("", {"$orderby": "startDateTime"}),
    ("/getPstnCalls(fromDateTime=2024-01-01,toDateTime=yesterday)", {}),
    ("/getPstnCalls(fromDateTime=2024-02-01,toDateTime=2024-01-01)", {}),
    ("/getDirectRoutingCalls(fromDateTime=2024-01-01,toDateTime=2024-05-01)", {}),
    ("/getDirectRoutingCalls()", {}),
]


async def test_other_options_are_refused(w: World) -> None:
    for path, params in REFUSED:
        status, message = await w.error(path, **params)
        assert (path, params, status) == (path, params, 400)
        assert message
    assert (await w.error("/getPstnCalls"))[0] == 404


async def test_record_is_seen_by_who_took_part_alone(w: World) -> None:
    await w.save(call_of_two("other app", "another-app"))
    await w.save(call_of_two("old", APP_ID), days_ago=30.1)
    for path in ("/other app", "/old", "/unknown", "/other app/sessions", "/old/organizer_v2"):
        assert (await w.error(path))[0] == 404
    listed = [record["id"] for record in (await w.shown())["value"]]
    assert listed == ["two", "many"]


async def test_permission_is_needed(tmp_path: Path) -> None:
    async with world(tmp_path, app_roles=("Calls.Initiate.All",)) as w:
        await w.save(call_of_two("two", APP_ID))
        pstn = "/getPstnCalls(fromDateTime=2024-01-01,toDateTime=2024-01-02)"
        for path in ("", "/two", "/two/sessions", pstn):
            assert (await w.error(path))[0] == 403
        await w.service.store.set_roles(APP_ID, ["CallRecord-PstnCalls.Read.All"])
        w.graph.http.headers["Authorization"] = f"Bearer {await w.graph.token()}"
        assert (await w.get(pstn)).status_code == 200
        assert (await w.error("/two"))[0] == 403
        del w.graph.http.headers["Authorization"]
        assert (await w.error("/two"))[0] == 401


@pytest.mark.parametrize("name", ["getPstnCalls", "microsoft.graph.callRecords.getpstncalls"])
async def test_phone_calls_are_reported(w: World, name: str) -> None:
    made = history("peerToPeer", BOT, "phone", APP_ID)
    made.joined("p-bot", BOT, "application", "service", at(0))
    made.joined("p-phone", PHONE, "phone", "phone", at(1))
    made.ended(at(12))
    await w.save(made)
    now = datetime.now(UTC)
    starts, ends = (now - timedelta(days=2)).isoformat(), now.isoformat()
    span = f"(fromDateTime={starts},toDateTime={ends})".replace("+", "%2B")
    body = await w.shown(f"/{name}{span}")
    assert body["@odata.context"].endswith(
        "$metadata#Collection(microsoft.graph.callRecords.pstnCallLogRow)"
    )
    assert body["@odata.count"] == 1
    assert body["value"][0]["calleeNumber"] == "+14255550123"
    routed = await w.shown(f"/getDirectRoutingCalls{span}")
    assert (routed["@odata.count"], routed["value"]) == (0, [])
    before = "(fromDateTime=2024-01-01,toDateTime=2024-01-02)"
    assert (await w.shown(f"/{name}{before}"))["value"] == []
