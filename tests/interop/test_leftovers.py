"""What kill -9 leaves: the next start ends, tells and records it, each thing once."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from mixminus.control.service.leftovers import end_leftovers
from mixminus.control.service.records.history import ConversationHistory
from mixminus.control.store.sqlite import SqliteStore
from tests.contract.stage import THREAD, staged
from tests.interop.test_group_calls import MEETING
from tests.ivr_kit import ivr
from tests.service_kit import GraphHttp, Receiver, call_body, running_service
from tests.support import eventually


def image_of(state_dir: Path, copy_dir: Path) -> Path:
    """Copy a store as a crash at this moment would leave it."""
    copy_dir.mkdir()
    for certificate in state_dir.glob("*.pem"):
        shutil.copy(certificate, copy_dir)
    with sqlite3.connect(state_dir / "service.db") as store:
        with sqlite3.connect(copy_dir / "service.db") as image:
            store.backup(image)
        image.close()
    store.close()
    return copy_dir


def told_of(receiver: Receiver, call_id: str) -> list[dict[str, Any]]:
    return [
        item
        for body in receiver.taken
        for item in body["value"]
        if f"/calls/{call_id}" in item["resourceUrl"]
    ]


async def record(graph: GraphHttp, record_id: str) -> dict[str, Any]:
    path = f"/v1.0/communications/callRecords/{record_id}"
    reply = await graph.http.get(path, params={"$expand": "sessions,participants_v2"})
    assert reply.status_code == 200, reply.text
    shown: dict[str, Any] = reply.json()
    return shown


async def test_a_call_its_operations_and_its_conversation_are_ended_told_and_recorded(
    tmp_path: Path,
) -> None:
    async with ivr(tmp_path) as call:
        await call.call()
        running = await call.post("recordResponse", clientContext="mine")
        waiting = await call.post("playPrompt", prompts=[call.prompt("/hello.wav", "1")])
        store = call.service.store

        async def is_kept() -> bool:
            (kept,) = await store.conversations()
            return len(kept.participants) == 2

        await eventually(is_kept)
        row = await store.call(call.call_id)
        assert row is not None
        image = image_of(tmp_path, tmp_path / "image")
        call_id, chain_id = call.call_id, row.resource["callChainId"]
        call.receiver.taken.clear()
        async with running_service(image) as service, GraphHttp(service.dev_file) as graph:
            await eventually(lambda: told_of(call.receiver, call_id)[-1:])

            def is_told() -> bool:
                last = told_of(call.receiver, call_id)[-1]["resourceData"]
                return bool(last.get("state") == "terminated")

            await eventually(is_told)
            told = told_of(call.receiver, call_id)
            data = [item["resourceData"] for item in told][-4:]
            assert [each.get("state") or each["id"] for each in data] == [
                "terminating",
                running["id"],
                waiting["id"],
                "terminated",
            ]
            assert data[1]["clientContext"] == "mine"
            for each in data[1:3]:
                assert each["status"] == "failed"
                assert each["resultInfo"]["subcode"] == 8528
            result = data[-1]["resultInfo"]
            assert (result["code"], result["subcode"]) == (500, 7106)
            shown = await record(graph, chain_id)
            assert len(shown["participants_v2"]) == 2
            assert len(shown["sessions"]) == 1
            assert shown["sessions"][0]["failureInfo"] is not None
            assert shown["startDateTime"] <= shown["endDateTime"]
            ended = await service.store.call(call_id)
            assert ended is not None
            assert ended.is_over
            assert await service.store.running_operations(call_id) == ()
            assert await service.store.conversations() == ()


@pytest.mark.slow
async def test_a_meeting_is_recorded_with_all_who_came_and_went(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage, stage.person("John") as john, stage.person("Bob") as bob:
        await john.join(THREAD)
        call_id = await stage.graph.created(call_body(stage.receiver.url, **MEETING))
        await stage.told(call_id, "updated call established")
        await bob.join(THREAD)
        await john.leave()
        row = await stage.service.store.call(call_id)
        assert row is not None

        async def is_kept() -> bool:
            (kept,) = await stage.service.store.conversations()
            ended = [each.stay["ended_at"] is not None for each in kept.participants]
            return ended == [True, False, False]

        await eventually(is_kept)
        image = image_of(tmp_path, tmp_path / "image")
    async with running_service(image) as service, GraphHttp(service.dev_file) as graph:
        shown = await record(graph, row.resource["callChainId"])
        assert len(shown["participants_v2"]) == 3
        assert len(shown["sessions"]) == 3
        # John left as one does; what the others had was cut off.
        failed = [each["failureInfo"] is not None for each in shown["sessions"]]
        assert failed == [False, True, True]


@pytest.mark.slow
async def test_a_second_start_finds_nothing_left(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage, stage.person("John"):
        call_id = await stage.graph.created(call_body(stage.receiver.url))
        await stage.told(call_id, "updated call established")
        image = image_of(tmp_path, tmp_path / "image")
    over: list[ConversationHistory] = []

    async def on_over(history: ConversationHistory) -> None:
        over.append(history)
        await store.forget_conversation(history.id)

    store = await SqliteStore.open(image / "service.db")
    (row,) = await end_leftovers(store, on_over)
    assert row.call_id == call_id
    (history,) = over
    assert history.is_over
    assert history.app_ids == [row.app_id]
    waiting = (await store.notification_counts(call_id)).pending
    assert await end_leftovers(store, on_over) == ()
    assert len(over) == 1
    assert (await store.notification_counts(call_id)).pending == waiting
    await store.close()


@pytest.mark.slow
async def test_what_another_version_wrote_costs_its_own_record_alone(tmp_path: Path) -> None:
    async with ivr(tmp_path) as call:
        await call.call()
        await call.post("recordResponse")
        image = image_of(tmp_path, tmp_path / "image")
    db = sqlite3.connect(image / "service.db")
    db.execute("UPDATE operations SET kind = 'danceOperation'")
    db.execute("UPDATE participants SET stay = '{\"dance\": 1}'")
    db.commit()
    db.close()
    async with running_service(image) as service, GraphHttp(service.dev_file) as graph:
        ended = await service.store.call(call.call_id)
        assert ended is not None
        assert ended.is_over
        (kept,) = await service.store.conversations()
        path = f"/v1.0/communications/callRecords/{kept.conversation_id}"
        assert (await graph.http.get(path)).status_code == 404
