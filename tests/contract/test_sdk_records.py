"""The official SDK reads call records and subscribes to them: every request it has for both."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio
from kiota_abstractions.base_request_configuration import RequestConfiguration
from msgraph_beta.generated.communications.call_records.item import (
    call_record_item_request_builder as item_builder,
)
from msgraph_beta.generated.models.call_records.call_record import CallRecord
from msgraph_beta.generated.models.call_records.call_type import CallType
from msgraph_beta.generated.models.call_records.modality import Modality
from msgraph_beta.generated.models.call_records.participant_endpoint import ParticipantEndpoint
from msgraph_beta.generated.models.call_records.service_role import ServiceRole
from msgraph_beta.generated.models.call_records.service_user_agent import ServiceUserAgent
from msgraph_beta.generated.models.subscription import Subscription

from tests.contract.sdk_kit import builders, load_models, sdk_client
from tests.contract.sdk_world import World
from tests.contract.stage import WAIT_S, staged
from tests.records_kit import Subscriber
from tests.support import eventually

pytestmark = pytest.mark.slow

CallRecordItemRequestBuilder = item_builder.CallRecordItemRequestBuilder
RECORD = "/communications/callRecords/{callRecord-id}"
SESSION = f"{RECORD}/sessions/{{session-id}}"
RANGE = "(fromDateTime={fromDateTime},toDateTime={toDateTime})"
REPORTS = "/communications/callRecords/microsoft.graph.callRecords"
SUBSCRIPTION = "/subscriptions/{subscription-id}"
NOT_FOUND, NOT_ALLOWED = (404, "itemNotFound"), (405, "notAllowed")
NOT_DOCUMENTED = {
    # Generated for every entity set and navigation; records can only be read.
    "POST /communications/callRecords": NOT_ALLOWED,
    "GET /communications/callRecords/$count": NOT_FOUND,
    f"DELETE {RECORD}": NOT_ALLOWED,
    f"PATCH {RECORD}": NOT_ALLOWED,
    f"DELETE {RECORD}/organizer_v2": NOT_ALLOWED,
    f"PATCH {RECORD}/organizer_v2": NOT_ALLOWED,
    f"GET {RECORD}/participants_v2/$count": NOT_FOUND,
    f"DELETE {RECORD}/participants_v2/{{participant-id}}": NOT_FOUND,
    f"GET {RECORD}/participants_v2/{{participant-id}}": NOT_FOUND,
    f"PATCH {RECORD}/participants_v2/{{participant-id}}": NOT_FOUND,
    f"POST {RECORD}/participants_v2": NOT_ALLOWED,
    f"GET {RECORD}/sessions/$count": NOT_FOUND,
    f"POST {RECORD}/sessions": NOT_ALLOWED,
    f"DELETE {SESSION}": NOT_ALLOWED,
    f"PATCH {SESSION}": NOT_ALLOWED,
    f"GET {SESSION}/segments/$count": NOT_FOUND,
    f"POST {SESSION}/segments": NOT_ALLOWED,
    f"DELETE {SESSION}/segments/{{segment-id}}": NOT_FOUND,
    f"GET {SESSION}/segments/{{segment-id}}": NOT_FOUND,
    f"PATCH {SESSION}/segments/{{segment-id}}": NOT_FOUND,
    # Reports of services that there are none of here.
    f"GET {REPORTS}.getPstnBlockedUsersLog{RANGE}": (400, "BadRequest"),
    f"GET {REPORTS}.getPstnOnlineMeetingDialoutReport{RANGE}": (400, "BadRequest"),
    f"GET {REPORTS}.getSmsLog{RANGE}": (400, "BadRequest"),
    "GET /subscriptions/getVapidPublicKey()": (404, "ResourceNotFound"),
    f"POST {SUBSCRIPTION}/reauthorize": NOT_FOUND,
}
"""Requests that the SDK can make and that the documentation of records does not have."""


@dataclass
class Recorded:
    """A world in which one call of two is over, and somebody who subscribed before it."""

    world: World
    subscriber: Subscriber
    id: str

    @property
    def record(self) -> item_builder.CallRecordItemRequestBuilder:
        return self.world.client.communications.call_records.by_call_record_id(self.id)


Driver = Callable[[Recorded], Awaitable[None]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def recorded(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Recorded]:
    load_models()
    directory = tmp_path_factory.mktemp("sdk-records")
    async with (
        staged(directory) as stage,
        Subscriber(directory) as subscriber,
        sdk_client(stage.dev) as client,
    ):
        world = World(stage, client)
        async with world.peer() as made:
            chain_id = made.chain_id
            await made.call.delete()
        recorded = Recorded(world, subscriber, chain_id)

        async def is_there() -> bool:
            records = await client.communications.call_records.get()
            assert records is not None
            return [record.id for record in records.value or []] == [chain_id]

        await eventually(is_there, WAIT_S, "the record")
        yield recorded


async def get_record(recorded: Recorded) -> None:
    record = await recorded.record.get()
    assert record is not None
    assert (record.id, record.version, record.type) == (recorded.id, 1, CallType.PeerToPeer)
    assert record.modalities == [Modality.Audio]
    assert record.start_date_time is not None
    assert record.end_date_time is not None
    assert record.last_modified_date_time is not None
    assert record.start_date_time <= record.end_date_time <= record.last_modified_date_time
    assert record.organizer_v2 is not None
    assert record.organizer_v2.identity is not None
    assert record.organizer_v2.identity.application is not None


async def get_record_expanded(recorded: Recorded) -> None:
    query = CallRecordItemRequestBuilder.CallRecordItemRequestBuilderGetQueryParameters(
        expand=["sessions($expand=segments)", "participants_v2"]
    )
    record = await recorded.record.get(RequestConfiguration(query_parameters=query))
    assert isinstance(record, CallRecord)
    assert record.sessions is not None
    (session,) = record.sessions
    assert isinstance(session.caller, ParticipantEndpoint)
    assert isinstance(session.caller.user_agent, ServiceUserAgent)
    assert session.caller.user_agent.role is ServiceRole.CustomBot
    assert session.segments is not None
    (segment,) = session.segments
    assert segment.media is not None
    assert [media.label for media in segment.media] == ["main-audio"]
    assert record.participants_v2 is not None
    assert len(record.participants_v2) == 2


async def list_records(recorded: Recorded) -> None:
    page = await recorded.world.client.communications.call_records.get()
    assert page is not None
    assert [record.id for record in page.value or []] == [recorded.id]


async def get_organizer(recorded: Recorded) -> None:
    organizer = await recorded.record.organizer_v2.get()
    assert organizer is not None
    assert organizer.id == recorded.world.stage.dev.app_id


async def list_participants(recorded: Recorded) -> None:
    page = await recorded.record.participants_v2.get()
    assert page is not None
    assert len(page.value or []) == 2


async def sessions_and_segments(recorded: Recorded) -> None:
    page = await recorded.record.sessions.get()
    assert page is not None
    assert page.value is not None
    (session,) = page.value
    assert session.id is not None
    one = recorded.record.sessions.by_session_id(session.id)
    shown = await one.get()
    assert shown is not None
    assert shown.id == session.id
    segments = await one.segments.get()
    assert segments is not None
    assert len(segments.value or []) == 1


async def phone_calls(recorded: Recorded) -> None:
    records = recorded.world.client.communications.call_records
    days = (datetime.now(UTC) - timedelta(days=30), datetime.now(UTC))
    rows = await (
        records.microsoft_graph_call_records_get_pstn_calls_with_from_date_time_with_to_date_time(
            *days
        ).get()
    )
    assert rows is not None
    assert rows.value == []
    direct = records.microsoft_graph_call_records_get_direct_routing_calls_with_from_date_time_with_to_date_time(  # noqa: E501
        *days
    )
    routed = await direct.get()
    assert routed is not None
    assert routed.value == []


async def subscriptions(recorded: Recorded) -> None:
    subscriptions = recorded.world.client.subscriptions
    made = await subscriptions.post(
        Subscription(
            change_type="created,updated",
            notification_url=recorded.subscriber.url,
            resource="/communications/callRecords",
            expiration_date_time=datetime.now(UTC) + timedelta(hours=2),
            client_state="secret",
        )
    )
    assert made is not None
    assert made.id is not None
    assert recorded.subscriber.tokens, "the address was to be validated"
    one = subscriptions.by_subscription_id(made.id)
    shown = await one.get()
    assert shown is not None
    assert (shown.id, shown.resource) == (made.id, "/communications/callRecords")
    later = datetime.now(UTC) + timedelta(hours=3)
    changed = await one.patch(Subscription(expiration_date_time=later))
    assert changed is not None
    assert changed.expiration_date_time is not None
    assert abs(changed.expiration_date_time - later) < timedelta(seconds=1)
    page = await subscriptions.get()
    assert page is not None
    assert [entry.id for entry in page.value or []] == [made.id]
    async with recorded.world.peer() as call:
        await call.call.delete()
    await eventually(lambda: recorded.subscriber.taken, WAIT_S, "the change notification")
    (change,) = recorded.subscriber.taken[-1]["value"]
    assert change["clientState"] == "secret"
    assert change["resourceData"]["id"] == call.chain_id
    await one.delete()


DRIVERS: dict[Driver, tuple[str, ...]] = {
    list_records: ("GET /communications/callRecords",),
    get_record: (f"GET {RECORD}",),
    get_record_expanded: (f"GET {RECORD}",),
    get_organizer: (f"GET {RECORD}/organizer_v2",),
    list_participants: (f"GET {RECORD}/participants_v2",),
    sessions_and_segments: (
        f"GET {RECORD}/sessions",
        f"GET {SESSION}",
        f"GET {SESSION}/segments",
    ),
    phone_calls: (
        f"GET {REPORTS}.getPstnCalls{RANGE}",
        f"GET {REPORTS}.getDirectRoutingCalls{RANGE}",
    ),
    subscriptions: (
        "GET /subscriptions",
        "POST /subscriptions",
        f"GET {SUBSCRIPTION}",
        f"PATCH {SUBSCRIPTION}",
        f"DELETE {SUBSCRIPTION}",
    ),
}
"""What drives each request. The last makes a further record."""


def test_no_request_of_the_sdk_is_forgotten() -> None:
    requests = {*builders("communications/call_records"), *builders("subscriptions")}
    driven = {request for requests in DRIVERS.values() for request in requests}
    assert driven | NOT_DOCUMENTED.keys() == requests


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("driver", DRIVERS, ids=lambda driver: driver.__name__)
async def test_the_sdk_drives(recorded: Recorded, driver: Driver) -> None:
    await driver(recorded)


@pytest.mark.asyncio(loop_scope="module")
async def test_what_is_not_documented_is_refused(recorded: Recorded) -> None:
    answers = {}
    for name in NOT_DOCUMENTED:
        method, _, path = name.partition(" ")
        path = path.replace("{callRecord-id}", recorded.id).replace("{session-id}", "one")
        path = path.replace("{fromDateTime}", "2026-01-01").replace("{toDateTime}", "2026-02-01")
        for item in ("participant", "segment", "subscription"):
            path = path.replace(f"{{{item}-id}}", "one")
        reply = await recorded.world.stage.graph.http.request(method, f"/beta{path}", json={})
        answers[name] = (reply.status_code, reply.json()["error"]["code"])
    assert answers == NOT_DOCUMENTED
