"""The bot's client of call records against the documented records, pages and subscriptions."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from urllib.parse import unquote

import httpx2
import pytest

from mixminus.control.client.models import Identity
from mixminus.control.client.records import CallRecordsClient, read_time
from mixminus.control.client.requests import GraphClient, GraphRequestError
from tests.contract.client_kit import Documented, Tokens
from tests.contract.seeds import load, names

BASE = "https://graph.microsoft.com/v1.0"
RECORD = "e523d2ed-2966-4b6b-925b-754a88034cc5"
LATER = datetime(2026, 12, 1, 12, tzinfo=UTC)


@pytest.fixture
def graph() -> Documented:
    return Documented()


@pytest.fixture
async def records(graph: Documented) -> AsyncIterator[CallRecordsClient]:
    client = GraphClient(
        "https://graph.microsoft.com",
        Tokens(),
        ssl_context=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
        transport=httpx2.MockTransport(graph.handle),
    )
    yield CallRecordsClient(client)
    await client.close()


@pytest.mark.parametrize("name", names("call_record"))
async def test_documented_records_are_read(
    records: CallRecordsClient, graph: Documented, name: str
) -> None:
    response = load(name)["response"]
    graph.answer = httpx2.Response(200, json=response)
    record = await records.get(response["id"])
    assert record is not None
    assert record.id == response["id"]
    assert record.version == response["version"]
    assert record.type == response["type"]
    assert record.started_at is not None
    assert record.ended_at is not None
    assert record.started_at < record.ended_at
    assert record.organizer is not None
    assert graph.requests[0].headers["Prefer"] == "include-unknown-enum-members"


async def test_a_record_that_is_not_there_is_none(
    records: CallRecordsClient, graph: Documented
) -> None:
    graph.answer = httpx2.Response(404, json={"error": {"code": "UnknownError", "message": ""}})
    assert await records.get(RECORD) is None
    graph.answer = httpx2.Response(403, json={"error": {"code": "Forbidden", "message": "no"}})
    with pytest.raises(GraphRequestError, match="403 Forbidden"):
        await records.get(RECORD)


async def test_sessions_are_read_page_after_page(
    graph: Documented,
) -> None:
    session = load("call_record/sessions_and_segments")["response"]["sessions"][0]
    further = f"{BASE}/communications/callRecords/{RECORD}/sessions?$skiptoken=abc"
    pages = [
        httpx2.Response(200, json={"value": [session], "@odata.nextLink": further}),
        httpx2.Response(200, json={"value": [session]}),
    ]

    def handle(request: httpx2.Request) -> httpx2.Response:
        graph.requests.append(request)
        return pages[len(graph.requests) - 1]

    client = GraphClient(
        "https://graph.microsoft.com",
        Tokens(),
        ssl_context=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
        transport=httpx2.MockTransport(handle),
    )
    found = [item async for item in CallRecordsClient(client).sessions(RECORD)]
    await client.close()
    assert [item.id for item in found] == [session["id"]] * 2
    assert found[0].segments == tuple(session["segments"])
    assert str(graph.requests[0].url).endswith(f"{RECORD}/sessions?$expand=segments")
    assert str(graph.requests[1].url) == further


async def test_records_are_listed_by_their_start(
    records: CallRecordsClient, graph: Documented
) -> None:
    graph.answer = httpx2.Response(200, json={"value": [{"id": RECORD}]})
    since = datetime(2026, 11, 1, tzinfo=UTC)
    assert [record.id async for record in records.list(since=since, until=LATER)] == [RECORD]
    assert unquote(graph.requests[0].url.query.decode()) == (
        "$filter=startDateTime ge 2026-11-01T00:00:00Z and startDateTime lt 2026-12-01T12:00:00Z"
    )
    with pytest.raises(ValueError, match="time zone"):
        await anext(records.list(since=datetime(2026, 11, 1)))


async def test_participants_are_people(records: CallRecordsClient, graph: Documented) -> None:
    person = {"id": "j", "identity": {"user": {"id": "j", "displayName": "John"}}}
    graph.answer = httpx2.Response(200, json={"value": [person]})
    found = [item async for item in records.participants(RECORD)]
    assert [item.identity for item in found] == [Identity.user("j", "John")]


async def test_subscriptions_are_made_renewed_and_ended(
    records: CallRecordsClient, graph: Documented
) -> None:
    shown = {
        "id": "s1",
        "notificationUrl": "https://bot.contoso.com/records",
        "expirationDateTime": "2026-12-01T12:00:00.0000000Z",
    }
    graph.answer = httpx2.Response(201, json=shown)
    made = await records.subscribe(
        "https://bot.contoso.com/records", LATER, client_state="secret", user_id="o'hara"
    )
    assert (made.id, made.expires_at) == ("s1", LATER)
    method, path, body = graph.requests[0].method, graph.requests[0].url.path, graph.requests[0]
    assert (method, path) == ("POST", "/v1.0/subscriptions")
    assert b"participants/any(p:p/id eq 'o''hara')" in body.content
    assert b'"clientState":"secret"' in body.content
    graph.answer = httpx2.Response(200, json=shown)
    await records.renew("s1", LATER)
    assert graph.requests[-1].method == "PATCH"
    graph.answer = httpx2.Response(204)
    assert await records.unsubscribe("s1")
    graph.answer = httpx2.Response(404)
    assert not await records.unsubscribe("s1")


def test_times_have_up_to_seven_digits() -> None:
    assert read_time("2020-02-25T18:52:21.2169889Z") == datetime(
        2020, 2, 25, 18, 52, 21, 216988, tzinfo=UTC
    )
    assert read_time("2020-02-25T18:52:21Z") == datetime(2020, 2, 25, 18, 52, 21, tzinfo=UTC)
    for value in (None, 7, "", "soon", "2020-02-25T18:52:21.xZ"):
        assert read_time(value) is None
