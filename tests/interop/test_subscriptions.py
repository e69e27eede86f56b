"""Subscriptions to call records, with a receiver over real HTTPS."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from mixminus.control.graph.errors import GraphError
from mixminus.control.service.guard import AddressGuard
from mixminus.control.service.outbound import Outbound
from mixminus.control.service.records.build import date_time
from mixminus.control.service.records.history import ConversationHistory
from mixminus.control.service.records.records import Records
from mixminus.control.service.settings import ServiceSettings
from mixminus.control.service.subscriptions import Patience, Subscriptions
from mixminus.control.service.tokens import Principal
from mixminus.control.store.sqlite import SqliteStore
from mixminus.control.tls import LocalAuthority, client_context
from tests.records_kit import BOT, JOHN, TENANT, Subscriber, call_of_two, history
from tests.service_kit import (
    GOOD_SDP,
    FakeMedia,
    GraphHttp,
    Receiver,
    call_body,
    phone_of,
    running_service,
)
from tests.support import eventually
from tests.virtual_time import run_virtually

ME = Principal("Bot-id", TENANT, frozenset())
OTHER = Principal("other", TENANT, frozenset())
START = datetime(2024, 5, 2, tzinfo=UTC)


class World(NamedTuple):
    """A store with records and subscriptions, and a clock that a test moves."""

    store: SqliteStore
    subscriptions: Subscriptions
    records: Records
    receiver: Subscriber
    clock: list[datetime]

    def body(self, **members: Any) -> dict[str, Any]:
        body = {
            "changeType": "created,updated",
            "notificationUrl": self.receiver.url,
            "resource": "/communications/callRecords",
            "expirationDateTime": date_time(self.clock[0] + timedelta(hours=2)),
            "clientState": "secret state",
        }
        body |= members
        return {name: value for name, value in body.items() if value is not None}

    async def create(self, who: Principal = ME, **members: Any) -> str:
        made = await self.subscriptions.create(self.body(**members), who)
        return str(made["id"])

    async def refused(self, **members: Any) -> tuple[int, str]:
        with pytest.raises(GraphError) as error:
            await self.create(**members)
        assert await self.subscriptions.all(ME) == []
        return error.value.status, error.value.message

    async def add(self, record_id: str = "record") -> None:
        await self.records.add(call_of_two(record_id))

    def told(self) -> list[str]:
        return [
            item["resourceData"]["id"] for body in self.receiver.taken for item in body["value"]
        ]


@asynccontextmanager
async def world(
    state_dir: Path, receiver: Subscriber | None = None, **set_: Any
) -> AsyncIterator[World]:
    settings = ServiceSettings(
        state_dir=state_dir, **{"change_first_wait_s": 0.01, "change_longest_wait_s": 0.02, **set_}
    )
    clock = [START]
    guard = AddressGuard(allow_private=settings.may_reach_private)
    outbound = Outbound(guard, client_context(LocalAuthority(state_dir).ca_file))
    store = await SqliteStore.open(state_dir / "records.db")
    subscriptions = Subscriptions(store, outbound, guard, settings, lambda: clock[0])
    records = Records(store, subscriptions, settings, lambda: clock[0])
    try:
        async with receiver or Subscriber(state_dir) as serving:
            yield World(store, subscriptions, records, serving, clock)
    finally:
        await subscriptions.close()
        await subscriptions.close()
        await outbound.close()
        await store.close()


async def test_subscriber_is_told_of_a_record_as_documented(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        subscription_id = await w.create()
        await w.add()
        await eventually(lambda: w.receiver.taken)
        assert w.receiver.taken[0] == {
            "value": [
                {
                    "subscriptionId": subscription_id,
                    "clientState": "secret state",
                    "changeType": "created",
                    "tenantId": TENANT,
                    "resource": "communications/callRecords/record",
                    "subscriptionExpirationDateTime": "2024-05-02T02:00:00Z",
                    "resourceData": {
                        "@odata.type": "#Microsoft.Graph.callRecord",
                        "@odata.id": "communications/callRecords/record",
                        "id": "record",
                    },
                }
            ]
        }
        await eventually(lambda: _nothing_waits(w))


async def _nothing_waits(w: World) -> bool:
    return await w.store.subscriptions_with_changes() == ()


async def test_later_version_is_an_update(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.create()
        await w.create(changeType="updated")
        await w.create(changeType="created")
        await w.add()
        await w.add()
        await eventually(lambda: len(w.receiver.taken) == 5)
        kinds = sorted(body["value"][0]["changeType"] for body in w.receiver.taken)
        assert kinds == ["created", "created", "updated", "updated", "updated"]
        record = await w.store.record("record")
        assert record is not None
        assert record.resource["version"] == 2


async def test_validation_token_must_come_back_exactly(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        w.receiver.echo = lambda token: (200, "text/plain", token + "\n")
        assert "validationToken" in (await w.refused())[1]
        w.receiver.echo = lambda token: (200, "application/json", token)
        assert "text/plain" in (await w.refused())[1]
        w.receiver.echo = lambda token: (202, "text/plain", token)
        assert "202" in (await w.refused())[1]
        w.receiver.echo = lambda token: (200, "text/plain", token.replace(" ", "+"))
        assert (await w.refused())[0] == 400
        w.receiver.echo = lambda token: (200, "Text/Plain; charset=utf-8", token)
        await w.create()
        # Every token was another.
        assert len(set(w.receiver.tokens)) == 5


async def test_receiver_that_does_not_answer_is_no_receiver(tmp_path: Path) -> None:
    async with world(tmp_path, validation_timeout_s=0.3) as w:
        status, message = await w.refused(notificationUrl="https://localhost:1/?key=1")
        assert (status, "failed" in message) == (400, True)


@pytest.mark.parametrize(
    "members",
    [
        {"resource": None},
        {"resource": "/communications/calls"},
        {"resource": "/communications/callRecords?$filter=startDateTime gt 2024-01-01"},
        {"resource": "/communications/callRecords?$top=1"},
        {"resource": 5},
        {"changeType": None},
        {"changeType": "deleted"},
        {"changeType": "created,deleted"},
        {"changeType": ""},
        {"notificationUrl": None},
        {"notificationUrl": "http://localhost/"},
        {"notificationUrl": "no address"},
        {"lifecycleNotificationUrl": "http://localhost/"},
        {"clientState": "x" * 129},
        {"expirationDateTime": None},
        {"expirationDateTime": "tomorrow"},
        {"expirationDateTime": "2024-05-02T00:00:00Z"},
        {"expirationDateTime": date_time(START + timedelta(minutes=4230, seconds=1))},
        {"includeResourceData": True},
        {"@odata.type": "#microsoft.graph.call"},
    ],
)
async def test_body_that_asks_for_what_is_not_offered_is_refused(
    tmp_path: Path, members: dict[str, Any]
) -> None:
    async with world(tmp_path) as w:
        status, message = await w.refused(**members)
        assert status == 400
        (name,) = members
        assert name in message or "$" in message
        assert w.receiver.tokens == []


async def test_private_addresses_are_refused_outside_of_loopback(tmp_path: Path) -> None:
    async with world(tmp_path, allow_private_addresses=False) as w:
        assert "public" in (await w.refused())[1]
        public = "https://93.184.216.34/"
        status, message = await w.refused(
            notificationUrl=public, lifecycleNotificationUrl="https://10.0.0.1/"
        )
        assert (status, "lifecycleNotificationUrl" in message) == (400, True)


async def test_end_is_raised_to_45_minutes_and_at_most_4230_away(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        soon = date_time(START + timedelta(minutes=1))
        made = await w.subscriptions.create(w.body(expirationDateTime=soon), ME)
        assert made["expirationDateTime"] == "2024-05-02T00:45:00Z"
        latest = date_time(START + timedelta(minutes=4230))
        changed = await w.subscriptions.update(made["id"], {"expirationDateTime": latest}, ME)
        assert changed["expirationDateTime"] == latest
        with pytest.raises(GraphError, match="4230"):
            late = date_time(START + timedelta(minutes=4231))
            await w.subscriptions.update(made["id"], {"expirationDateTime": late}, ME)
        assert (await w.subscriptions.get(made["id"], ME))["expirationDateTime"] == latest


async def test_subscription_is_its_maker_s_alone(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        mine = await w.create()
        theirs = await w.create(OTHER)
        assert [item["id"] for item in await w.subscriptions.all(ME)] == [mine]
        for attempt in (
            w.subscriptions.get(theirs, ME),
            w.subscriptions.update(theirs, {}, ME),
            w.subscriptions.delete(theirs, ME),
            w.subscriptions.get("unknown", ME),
        ):
            with pytest.raises(GraphError) as error:
                await attempt
            assert error.value.status == 404
        # The record is not theirs either: they are not told.
        await w.add()
        await eventually(lambda: w.receiver.taken)
        await eventually(lambda: _nothing_waits(w))
        assert [body["value"][0]["subscriptionId"] for body in w.receiver.taken] == [mine]
        await w.subscriptions.delete(mine, ME)
        assert await w.subscriptions.all(ME) == []


async def test_expired_subscription_is_gone(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        subscription_id = await w.create()
        w.clock[0] += timedelta(hours=3)
        assert await w.subscriptions.all(ME) == []
        with pytest.raises(GraphError):
            await w.subscriptions.get(subscription_id, ME)
        await w.add()
        assert await _nothing_waits(w)


async def test_subscription_may_be_about_one_participant(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        path = "communications/callrecords?$filter=participants/any(p:p/id eq '{}')"
        await w.create(resource=path.format("Alice-id"))
        john = await w.create(resource="/" + path.format("John-id"))
        await w.add()
        await eventually(lambda: w.receiver.taken)
        await eventually(lambda: _nothing_waits(w))
        assert [body["value"][0]["subscriptionId"] for body in w.receiver.taken] == [john]


async def test_tenant_has_its_share_of_subscriptions(tmp_path: Path) -> None:
    async with world(tmp_path, max_subscriptions=2) as w:
        await w.create()
        await w.create(OTHER)
        with pytest.raises(GraphError, match="2 subscriptions") as error:
            await w.create()
        assert (error.value.status, error.value.code) == (403, "quotaLimitReached")
        w.clock[0] += timedelta(hours=3)
        await w.create()


async def test_change_is_sent_until_it_is_taken(tmp_path: Path) -> None:
    receiver = Subscriber(tmp_path, lambda count: 500 if count < 4 else 200)
    async with world(tmp_path, receiver) as w:
        await w.create()
        await w.add("one")
        await w.add("two")
        await eventually(lambda: w.told() == ["one", "two"])
        assert w.receiver.attempts == 5


async def test_change_is_given_up_after_its_time(tmp_path: Path) -> None:
    async with world(tmp_path, Subscriber(tmp_path, lambda count: 503), change_give_up_s=0.2) as w:
        await w.create(expirationDateTime=date_time(START + timedelta(days=2)))
        await w.add("one")
        await w.add("two")
        await eventually(lambda: _nothing_waits(w))
        assert w.receiver.attempts > 3
        assert w.subscriptions.given_up == 2


async def test_a_wall_clock_that_jumps_gives_nothing_up(tmp_path: Path) -> None:
    takes = False
    receiver = Subscriber(tmp_path, lambda count: 200 if takes else 503)
    async with world(tmp_path, receiver) as w:
        await w.create(expirationDateTime=date_time(START + timedelta(days=2)))
        await w.add()
        await eventually(lambda: w.receiver.attempts > 2)
        w.clock[0] += timedelta(hours=5)
        before = w.receiver.attempts
        await eventually(lambda: w.receiver.attempts > before + 2)
        takes = True
        await eventually(lambda: w.told() == ["record"])
        assert w.subscriptions.given_up == 0


def test_patience_is_counted_from_the_first_attempt_since_something_was_taken() -> None:
    run_virtually(_impatient())


async def _impatient() -> None:
    patience = Patience(10.0)
    assert not patience.is_over(1000.0)  # Nobody has tried yet.
    patience.begin()
    assert not patience.is_over(10.0)
    await asyncio.sleep(9.0)
    patience.begin()
    assert not patience.is_over(1.0)
    assert patience.is_over(1.5)
    patience.rewarded()
    patience.begin()
    assert not patience.is_over(10.0)


async def test_receiver_that_hangs_keeps_no_other_waiting(tmp_path: Path) -> None:
    async with world(tmp_path) as w, Subscriber(tmp_path) as hanging:
        hanging.gate.clear()
        await w.create(notificationUrl=hanging.url)
        await w.create()
        await w.add("one")
        await w.add("two")
        await eventually(lambda: w.told() == ["one", "two"])
        assert hanging.taken == []
        hanging.gate.set()
        await eventually(lambda: len(hanging.taken) == 2)


async def test_change_follows_its_subscription_to_another_address(tmp_path: Path) -> None:
    receiver = Subscriber(tmp_path, lambda count: 500)
    async with world(tmp_path, receiver) as w, Subscriber(tmp_path) as moved:
        subscription_id = await w.create()
        await w.add()
        await eventually(lambda: w.receiver.attempts > 0)
        await w.subscriptions.update(subscription_id, {"notificationUrl": moved.url}, ME)
        await eventually(lambda: moved.taken)
        assert len(moved.tokens) == 1


async def test_what_was_not_delivered_is_told_after_a_restart(tmp_path: Path) -> None:
    async with Subscriber(tmp_path, lambda count: 500) as broken, world(tmp_path) as w:
        await w.create(notificationUrl=broken.url)
        await w.add()
        await eventually(lambda: broken.attempts > 0)
    receiver = Subscriber(tmp_path)
    async with world(tmp_path, receiver) as w:
        (subscription,) = await w.subscriptions.all(ME)
        await w.subscriptions.update(subscription["id"], {"notificationUrl": receiver.url}, ME)
        await w.subscriptions.start()
        await eventually(lambda: w.told() == ["record"])
        await w.subscriptions.drain(5)


async def test_conversation_without_an_application_leaves_no_record(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        nobody = history()
        nobody.ended(START)
        await w.records.add(nobody)
        users = ConversationHistory("users", "peerToPeer", TENANT, JOHN)
        users.joined("p", JOHN, "user", "webrtc", START)
        users.ended(START)
        await w.records.add(users)
        assert await w.store.record("record-id") is None
        assert await w.store.record("users") is None
        alone = history()
        alone.joined("p", BOT, "application", "link", START)
        alone.ended(START)
        await w.records.add(alone)
        assert await w.store.record("record-id") is not None


async def test_call_that_ends_is_recorded_and_told(tmp_path: Path) -> None:
    """A real service, a real call, a subscription over its routes."""
    async with (
        Subscriber(tmp_path) as subscriber,
        Receiver(tmp_path) as receiver,
        running_service(tmp_path, FakeMedia()) as service,
        GraphHttp(service.dev_file) as graph,
        phone_of(service.dev_file) as phone,
    ):
        body = {
            "changeType": "updated",
            "notificationUrl": subscriber.url,
            "resource": "/communications/callRecords",
            "expirationDateTime": date_time(datetime.now(UTC) + timedelta(hours=1)),
        }
        made = await graph.http.post("/v1.0/subscriptions", json=body)
        assert made.status_code == 201, made.text
        subscription = made.json()
        path = f"/v1.0/subscriptions/{subscription['id']}"
        assert made.headers["location"].endswith(path)
        assert subscription["@odata.context"].endswith("$metadata#subscriptions/$entity")
        call = (await graph.create(call_body(receiver.url))).json()
        await phone.expect("ring")
        await phone.send(type="answer", callId=call["id"], sdp=GOOD_SDP)
        await phone.expect("answered")
        await eventually(lambda: "established" in receiver.states(call["id"]))
        records = f"/v1.0/communications/callRecords/{call['callChainId']}"
        assert (await graph.http.get(records)).status_code == 404
        await phone.send(type="hangup", callId=call["id"])
        await eventually(lambda: subscriber.taken)
        item = subscriber.taken[0]["value"][0]
        assert (item["changeType"], item["clientState"]) == ("updated", None)
        assert item["resourceData"]["id"] == call["callChainId"]
        shown = await graph.http.get(f"/v1.0/{item['resource']}?$expand=sessions,participants_v2")
        record = shown.json()
        assert record["type"] == "peerToPeer"
        (session,) = record["sessions"]
        assert "websockets" in session["callee"]["userAgent"]["headerValue"]
        names = [person["identity"] for person in record["participants_v2"]]
        assert [next(iter(identity)) for identity in names] == ["application", "user"]
        listed = (await graph.http.get("/beta/subscriptions")).json()
        assert [item["id"] for item in listed["value"]] == [subscription["id"]]
        renewed = date_time(datetime.now(UTC) + timedelta(hours=2))
        changed = await graph.http.patch(path, json={"expirationDateTime": renewed})
        assert changed.json()["expirationDateTime"] == renewed
        assert (await graph.http.delete(path)).status_code == 204
        assert (await graph.http.get(path)).status_code == 404
        refused = await graph.http.post("/v1.0/subscriptions", json={})
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "8523")


async def test_call_that_nobody_answers_is_recorded_with_its_failure(tmp_path: Path) -> None:
    async with (
        Receiver(tmp_path) as receiver,
        running_service(tmp_path, FakeMedia()) as service,
        GraphHttp(service.dev_file) as graph,
        phone_of(service.dev_file) as phone,
    ):
        call = (await graph.create(call_body(receiver.url))).json()
        await phone.expect("ring")
        await phone.send(type="decline", callId=call["id"])
        await eventually(lambda: "terminated" in receiver.states(call["id"]))
        path = f"/v1.0/communications/callRecords/{call['callChainId']}?$expand=sessions"
        await eventually(lambda: _is_there(graph, path))
        (session,) = (await graph.http.get(path)).json()["sessions"]
        assert session["failureInfo"]["stage"] == "callSetup"
        assert session["callee"]["associatedIdentity"]["displayName"] == "John"


async def test_call_that_a_stop_ended_is_recorded(tmp_path: Path) -> None:
    async with Receiver(tmp_path) as receiver:
        async with (
            running_service(tmp_path, FakeMedia()) as service,
            GraphHttp(service.dev_file) as graph,
            phone_of(service.dev_file) as phone,
        ):
            call = (await graph.create(call_body(receiver.url))).json()
            await phone.expect("ring")
            await phone.send(type="answer", callId=call["id"], sdp=GOOD_SDP)
            await phone.expect("answered")
        async with running_service(tmp_path) as service, GraphHttp(service.dev_file) as graph:
            path = f"/v1.0/communications/callRecords/{call['callChainId']}"
            assert (await graph.http.get(path)).status_code == 200
            assert (await graph.http.get("/healthz")).json()["changesGivenUp"] == 0


async def _is_there(graph: GraphHttp, path: str) -> bool:
    return (await graph.http.get(path)).status_code == 200
