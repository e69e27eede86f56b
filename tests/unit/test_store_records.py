"""Meetings, call records and subscriptions in the store, on each engine."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from mixminus.control.store.base import (
    AppRow,
    MeetingRow,
    RecordQuery,
    RecordRow,
    Store,
    StoreError,
    SubscriptionRow,
)
from tests.store_kit import Place

MEETING = MeetingRow(
    "19:meeting_x@thread.v2",
    "0",
    "tenant",
    "org",
    "Olga",
    "Sync",
    "123",
    "secret",
    "https://join",
    True,
    False,
    False,
    "2024-05-01T10:00:00Z",
)
RECORD = RecordRow(
    "record-1",
    "tenant",
    ("app", "other app"),
    1_000,
    2_000,
    {"id": "record-1", "version": 1},
    ({"id": "john"}, {"id": "app"}),
    ({"id": "session"},),
)
QUERY = RecordQuery("tenant", "app", ended_since_us=0)
SUBSCRIPTION = SubscriptionRow(
    "sub-1",
    "app",
    "tenant",
    "communications/callRecords",
    None,
    "created,updated",
    "https://bot/hook",
    None,
    "state",
    5_000,
)


@pytest.fixture
async def store(place: Place) -> AsyncIterator[Store]:
    opened = await place.open()
    yield opened
    await opened.close()


async def test_webhook_of_an_app_can_be_set_and_taken_back(store: Store) -> None:
    await store.add_app(AppRow("app", "tenant", "Bot", "secret", (), "https://bot/first"))
    assert (await store.app("app")) == AppRow(
        "app", "tenant", "Bot", "secret", (), "https://bot/first"
    )
    await store.set_webhook("app", None)
    app = await store.app("app")
    assert app is not None
    assert app.webhook is None
    with pytest.raises(StoreError, match="nobody"):
        await store.set_webhook("nobody", "https://bot/")


async def test_meeting_is_found_by_thread_and_by_id(store: Store) -> None:
    assert await store.add_meeting(MEETING) == MEETING
    assert await store.meeting(MEETING.thread_id, "0") == MEETING
    assert await store.meeting(MEETING.thread_id, "1") is None
    assert await store.meeting_of_join_id("123") == MEETING
    assert await store.meeting_of_join_id("124") is None


async def test_meeting_of_a_thread_is_made_once(store: Store) -> None:
    await store.add_meeting(MEETING)
    other = replace(MEETING, organizer_id="somebody", join_meeting_id="456", passcode=None)
    assert await store.add_meeting(other) == MEETING
    assert await store.meetings() == (MEETING,)
    with pytest.raises(StoreError, match=r"(?i)unique"):
        await store.add_meeting(replace(MEETING, message_id="1"))


async def test_record_comes_back_as_it_was_written(store: Store) -> None:
    await store.save_record(RECORD, [], 0)
    assert await store.record("record-1") == RECORD
    newer = replace(RECORD, app_ids=("app",), resource={"version": 2}, participants=({"id": "x"},))
    await store.save_record(newer, [], 0)
    assert await store.record("record-1") == newer
    assert await store.record("record-2") is None


async def test_records_are_listed_to_their_apps_in_order(store: Store) -> None:
    for number in range(4):
        row = replace(
            RECORD,
            record_id=f"record-{number}",
            started_us=1_000 * number,
            ended_us=1_000 * number + 500,
            resource={"id": number},
            app_ids=("app",) if number != 2 else ("other app",),
            tenant_id="tenant" if number != 3 else "another",
        )
        await store.save_record(row, [], 0)

    async def ids(query: RecordQuery, limit: int = 10) -> list[int]:
        return [resource["id"] for _, resource in await store.records(query, limit)]

    assert await ids(QUERY) == [0, 1]
    assert await ids(QUERY, limit=1) == [0]
    position = (await store.records(QUERY, 1))[0][0]
    assert await ids(replace(QUERY, after=position)) == [1]
    assert await ids(replace(QUERY, started_from_us=1_000)) == [1]
    assert await ids(replace(QUERY, started_to_us=999)) == [0]
    assert await ids(replace(QUERY, ended_since_us=501)) == [1]
    assert await ids(replace(QUERY, person_id="john")) == [0, 1]
    assert await ids(replace(QUERY, person_id="nobody")) == []


async def test_phone_calls_are_listed_by_their_start(store: Store) -> None:
    late = replace(RECORD, record_id="late", started_us=1_500, pstn_calls=({"id": "b"},))
    await store.save_record(late, [], 0)
    await store.save_record(replace(RECORD, pstn_calls=({"id": "a"},)), [], 0)
    await store.save_record(replace(RECORD, record_id="none"), [], 0)
    assert [row["id"] for row in await store.pstn_calls(QUERY)] == ["a", "b"]
    found = await store.pstn_calls(replace(QUERY, started_from_us=1_500))
    assert [row["id"] for row in found] == ["b"]


async def test_old_records_are_forgotten(store: Store) -> None:
    await store.save_record(RECORD, [], 0)
    assert await store.forget_records(2_000) == 0
    assert await store.forget_records(2_001) == 1
    assert await store.record("record-1") is None
    assert await store.records(QUERY, 10) == ()


async def test_record_and_its_changes_are_written_together(store: Store) -> None:
    await store.add_subscription(SUBSCRIPTION, limit=1)
    await store.save_record(RECORD, [("sub-1", "one"), ("gone", "lost")], 7_000)
    change = await store.next_change("sub-1")
    assert change is not None
    assert (change.body, change.created_us) == ("one", 7_000)
    assert change.notification_url == SUBSCRIPTION.notification_url
    assert await store.subscriptions_with_changes() == ("sub-1",)
    await store.save_record(RECORD, [("sub-1", "two")], 8_000)
    await store.finish_change(change.sequence)
    following = await store.next_change("sub-1")
    assert following is not None
    assert following.body == "two"


async def test_tenant_has_so_many_subscriptions_and_no_more(store: Store) -> None:
    assert await store.add_subscription(SUBSCRIPTION, limit=2)
    assert await store.add_subscription(replace(SUBSCRIPTION, subscription_id="sub-2"), limit=2)
    assert not await store.add_subscription(replace(SUBSCRIPTION, subscription_id="sub-3"), limit=2)
    other = replace(SUBSCRIPTION, subscription_id="sub-4", tenant_id="another")
    assert await store.add_subscription(other, limit=2)
    assert [row.subscription_id for row in await store.subscriptions("tenant")] == [
        "sub-1",
        "sub-2",
    ]
    assert await store.subscription("sub-4") == other


async def test_removed_subscription_takes_its_changes_with_it(store: Store) -> None:
    await store.add_subscription(SUBSCRIPTION, limit=9)
    await store.save_record(RECORD, [("sub-1", "one")], 0)
    await store.remove_subscription("sub-1")
    assert await store.subscription("sub-1") is None
    assert await store.subscriptions_with_changes() == ()


async def test_subscription_is_renewed_or_expires(store: Store) -> None:
    await store.add_subscription(SUBSCRIPTION, limit=9)
    await store.renew_subscription("sub-1", expires_us=9_000, notification_url="https://new/")
    assert await store.subscription("sub-1") == replace(
        SUBSCRIPTION, expires_us=9_000, notification_url="https://new/"
    )
    assert await store.forget_subscriptions(9_000) == 0
    assert await store.forget_subscriptions(9_001) == 1
    assert await store.subscription("sub-1") is None
