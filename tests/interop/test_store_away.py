"""A store that is away while calls go on: nothing of them ends, nothing that was said is lost."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from mixminus.control.service.service import CallService
from mixminus.control.store.base import StoreAwayError
from tests.contract.stage import THREAD, Stage, staged
from tests.interop.test_group_calls import MEETING
from tests.interop.test_handling import answer_body, world
from tests.ivr_kit import ivr
from tests.service_kit import GOOD_SDP, call_body, phone_of
from tests.support import eventually

CALLS = "/v1.0/communications/calls"
RECORDS = "/v1.0/communications/callRecords"


class Outage:
    """Lets a service's store be away while ``is_on``."""

    def __init__(self, service: CallService, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_on = False
        self.refused = 0
        self._run = service.store._run  # type: ignore[attr-defined]
        monkeypatch.setattr(service.store, "_run", self.run)

    async def run(self, work: Any) -> Any:
        if self.is_on:
            self.refused += 1
            raise StoreAwayError("the disk is full", 7.0)
        return await self._run(work)

    async def tried(self, more: int = 1) -> None:
        """Wait until the store was asked that often more."""
        before = self.refused
        await eventually(lambda: self.refused >= before + more)


async def record_of(stage: Stage, call_id: str) -> dict[str, Any]:
    row = await stage.service.store.call(call_id)
    assert row is not None
    reply: dict[str, Any] = {}

    async def is_there() -> bool:
        nonlocal reply
        path = f"{RECORDS}/{row.resource['callChainId']}"
        found = await stage.graph.http.get(path, params={"$expand": "participants_v2"})
        reply = found.json()
        return bool(found.status_code == 200)

    await eventually(is_there)
    return reply


def rosters(stage: Stage, call_id: str) -> list[set[str]]:
    """Who was in, by what the bot was told, each time that it was told."""
    return [
        {
            next(
                who["displayName"]
                for who in each["info"]["identity"].values()
                if isinstance(who, dict)
            )
            for each in item["resourceData"]
        }
        for item in stage.notifications(call_id)
        if item["resourceUrl"].endswith("/participants")
    ]


async def test_a_call_goes_on_and_its_events_are_told_in_order_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with staged(tmp_path) as stage, stage.person("John") as john, stage.person("Bob") as bob:
        app_hosted = {key: value for key, value in MEETING.items() if key != "mediaConfig"}
        call_id = await stage.graph.created(call_body(stage.receiver.url, **app_hosted))
        await stage.told(call_id, "updated call established")
        await john.join(THREAD)
        await bob.join(THREAD)
        await eventually(lambda: rosters(stage, call_id)[-1:] and len(rosters(stage, call_id)) >= 3)
        told = len(stage.notifications(call_id))
        outage = Outage(stage.service, monkeypatch)
        outage.is_on = True
        await john.leave()
        await bob.leave()
        await outage.tried(3)
        # What is asked for is refused, and says when to ask again; what needs no store is done.
        http = stage.graph.http
        for refused in (
            await stage.graph.create(call_body(stage.receiver.url, **MEETING)),
            await http.delete(f"{CALLS}/{call_id}"),
            await http.post(f"{CALLS}/{call_id}/addLargeGalleryView", json={}),
        ):
            assert refused.status_code == 503, refused.text
            assert int(refused.headers["retry-after"]) > 0
        assert (await http.post(f"{CALLS}/{call_id}/keepAlive")).status_code == 200
        assert (await http.get(f"{CALLS}/{call_id}")).json()["state"] == "established"
        (link,) = stage.media.links
        assert not link.closed.done()
        assert len(stage.notifications(call_id)) == told
        outage.is_on = False
        await eventually(lambda: len(stage.notifications(call_id)) == told + 2)
        assert [len(names) for names in rosters(stage, call_id)[-2:]] == [2, 1]
        await stage.hang_up(call_id)
        record = await record_of(stage, call_id)
        assert len(record["participants_v2"]) == 3
        assert stage.kinds(call_id)[-2:] == [
            "updated call terminating",
            "deleted call terminated",
        ]


@pytest.mark.slow
async def test_who_hangs_up_while_it_is_away_has_hung_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with staged(tmp_path) as stage, stage.person("John") as john:
        call_id = await stage.graph.created(call_body(stage.receiver.url))
        await stage.told(call_id, "updated call established")
        outage = Outage(stage.service, monkeypatch)
        outage.is_on = True
        await john.leave()
        await outage.tried(2)
        assert stage.service.book.living == 1
        outage.is_on = False
        await stage.told(call_id, "deleted call terminated")
        row = await stage.service.store.call(call_id)
        assert row is not None
        assert row.is_over
        record = await record_of(stage, call_id)
        assert {p["identity"].popitem()[0] for p in record["participants_v2"]} == {
            "application",
            "user",
        }
        assert await stage.service.store.conversations() == ()


@pytest.mark.slow
async def test_a_call_that_is_set_up_stands_once_the_store_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with staged(tmp_path) as stage, phone_of(stage.dev) as phone:
        outage = Outage(stage.service, monkeypatch)
        call_id = await stage.graph.created(call_body(stage.receiver.url))
        ring = await phone.expect("ring")
        outage.is_on = True
        await phone.send(type="answer", callId=ring["callId"], sdp=GOOD_SDP)
        await phone.expect("answered")
        await outage.tried(2)
        outage.is_on = False
        await stage.told(call_id, "updated call established")
        await stage.hang_up(call_id)


@pytest.mark.slow
async def test_an_answer_that_was_refused_can_be_given_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(tmp_path) as w, phone_of(w.graph.dev) as john:
        call_id = await w.rung(john)
        live = w.service.book.living_call(call_id)
        assert live is not None
        outage = Outage(w.service, monkeypatch)
        outage.is_on = True
        # Something waits already: the answer is refused before it changes anything.
        waiting = asyncio.create_task(live.update({"tenantId": live.tenant_id}))
        await outage.tried(1)
        refused = await w.graph.http.post(
            f"{CALLS}/{call_id}/answer", json=answer_body(w.receiver.url)
        )
        assert refused.status_code == 503
        outage.is_on = False
        await waiting
        await w.post(call_id, "answer", answer_body(w.receiver.url))
        await john.expect("answered")


@pytest.mark.slow
@pytest.mark.parametrize("written", [0, 1], ids=["first write", "second write"])
async def test_an_answer_that_finds_it_away_can_be_given_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    async with world(tmp_path) as w, phone_of(w.graph.dev) as john:
        call_id = await w.rung(john)
        live = w.service.book.living_call(call_id)
        assert live is not None
        outage = Outage(w.service, monkeypatch)
        take = live.take
        if written:

            async def taken(*arguments: Any) -> None:
                await take(*arguments)
                outage.is_on = True

            monkeypatch.setattr(live, "take", taken)
        outage.is_on = not written
        body = answer_body(w.receiver.url)
        refused = await w.graph.http.post(f"{CALLS}/{call_id}/answer", json=body)
        assert refused.status_code == 503, refused.text
        assert not live.has_entered
        assert [member.kind for member in live.conversation.members.values()] == ["user"]
        outage.is_on = False
        monkeypatch.undo()
        # With the same media: their epoch is free again.
        await w.post(call_id, "answer", body)
        await john.expect("answered")
        await w.told(call_id, "established")
        await john.send(type="hangup", callId=call_id)
        end = (await w.told(call_id, "terminated"))["resultInfo"]
        assert end["subcode"] == 4521
        assert len(w.media.links) == 1


@pytest.mark.slow
async def test_a_call_can_be_rejected_after_an_answer_that_found_it_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(tmp_path) as w, phone_of(w.graph.dev) as john:
        call_id = await w.rung(john)
        outage = Outage(w.service, monkeypatch)
        outage.is_on = True
        body = answer_body(w.receiver.url)
        refused = await w.graph.http.post(f"{CALLS}/{call_id}/answer", json=body)
        assert refused.status_code == 503, refused.text
        outage.is_on = False
        await w.post(call_id, "reject", {"reason": "busy", "callbackUri": w.receiver.url})
        assert (await john.expect("ended"))["code"] == 486


@pytest.mark.slow
async def test_an_operation_that_ends_while_it_is_away_is_told_of_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ivr(tmp_path) as call:
        await call.call()
        shown = await call.post("recordResponse", maxRecordDurationInSeconds=1)
        (kept,) = await call.service.store.running_operations(call.call_id)
        assert kept.operation_id == shown["id"]
        outage = Outage(call.service, monkeypatch)
        outage.is_on = True
        await call.until(lambda: outage.refused >= 2, "the end of the recording")
        reply = await call.graph.http.post(
            f"{CALLS}/{call.call_id}/recordResponse", json={"bargeInAllowed": True}
        )
        assert reply.status_code == 503, reply.text
        outage.is_on = False
        end = await call.ended(shown)
        assert end["status"] in ("completed", "failed")
        assert await call.service.store.running_operations(call.call_id) == ()


@pytest.mark.slow
async def test_a_locked_database_file_is_waited_for(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage, stage.person("John") as john:
        call_id = await stage.graph.created(call_body(stage.receiver.url))
        await stage.told(call_id, "updated call established")
        other = sqlite3.connect(tmp_path / "service.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        await john.leave()
        refused = await stage.graph.create(call_body(stage.receiver.url))
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) > 0
        other.execute("ROLLBACK")
        other.close()
        await stage.told(call_id, "deleted call terminated")


@pytest.mark.slow
async def test_a_stop_does_not_wait_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with staged(tmp_path) as stage, stage.person("John") as john:
        call_id = await stage.graph.created(call_body(stage.receiver.url))
        await stage.told(call_id, "updated call established")
        live = stage.service.book.living_call(call_id)
        assert live is not None
        outage = Outage(stage.service, monkeypatch)
        outage.is_on = True
        await john.leave()
        await outage.tried(2)
        async with asyncio.timeout(5):
            await live.close()
        outage.is_on = False
