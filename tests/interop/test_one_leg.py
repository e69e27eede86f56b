"""A bot's call goes on in a later epoch: one leg at any time, and what is older is refused."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from mixminus.control.devfile import DevMeeting
from mixminus.control.service.service import CallService
from mixminus.control.store.base import StoreError
from mixminus.media.descriptor import MediaSessionDescriptor
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

Json = dict[str, Any]
MP_URI = "wss://localhost:1/media"
SUPERSEDED = (409, 8519)


def media_of(lineage: str, epoch: int) -> Json:
    blob = MediaSessionDescriptor.new(MP_URI, lineage=lineage, epoch=epoch).to_blob()
    return {"@odata.type": "#microsoft.graph.appHostedMediaConfig", "blob": blob}


@dataclass
class World:
    """A service, a bot's webhook, and a call that the bot's hosts hand on."""

    service: CallService
    graph: GraphHttp
    receiver: Receiver
    media: FakeMedia
    lineage: str = field(default_factory=lambda: str(uuid.uuid4()))

    @property
    def meeting(self) -> DevMeeting:
        return self.graph.dev.meetings[0]

    def body(self, epoch: int, **members: Any) -> Json:
        meeting = self.meeting
        joining: Json = {
            "targets": None,
            "chatInfo": {"threadId": meeting.thread_id, "messageId": meeting.message_id},
            "meetingInfo": {
                "@odata.type": "#microsoft.graph.organizerMeetingInfo",
                "organizer": {
                    "user": {"id": meeting.organizer_id, "tenantId": self.graph.dev.tenant_id}
                },
            },
            "mediaConfig": media_of(self.lineage, epoch),
        }
        return call_body(self.receiver.url, **{**joining, **members})

    async def join(self, epoch: int, **members: Any) -> str:
        """Join the meeting; return the call's id once it stands."""
        call_id = await self.graph.created(self.body(epoch, **members))
        await self.told(call_id, "established")
        return call_id

    async def refused(self, epoch: int, status: int = 409, **members: Any) -> Json:
        reply = await self.graph.create(self.body(epoch, **members))
        assert reply.status_code == status, reply.text
        error: Json = reply.json()["error"]
        return error

    async def told(self, call_id: str, state: str) -> Json:
        await eventually(lambda: state in self.states(call_id), what=state)
        return next(data for data in self.calls_told(call_id) if data["state"] == state)

    def calls_told(self, call_id: str) -> list[Json]:
        """What was told of that call itself: rosters are lists."""
        data = [item["resourceData"] for body in self.receiver.taken for item in body["value"]]
        return [item for item in data if isinstance(item, dict) and item["id"] == call_id]

    def states(self, call_id: str) -> list[str]:
        return [data["state"] for data in self.calls_told(call_id)]

    async def is_over(self, call_id: str) -> bool:
        reply = await self.graph.http.get(f"/v1.0/communications/calls/{call_id}")
        return reply.status_code == 404

    async def participants(self, call_id: str) -> list[Json]:
        reply = await self.graph.http.get(f"/v1.0/communications/calls/{call_id}/participants")
        assert reply.status_code == 200, reply.text
        found: list[Json] = reply.json()["value"]
        return found

    def living(self) -> set[str]:
        return {live.id for live in self.service.book if not live.call.is_ending}


@asynccontextmanager
async def world(state_dir: Path, **settings: Any) -> AsyncIterator[World]:
    media = FakeMedia()
    async with (
        Receiver(state_dir) as receiver,
        running_service(state_dir, media, **settings) as service,
        GraphHttp(service.dev_file) as graph,
    ):
        yield World(service, graph, receiver, media)


async def test_a_later_epoch_takes_the_place_of_the_call_before(tmp_path: Path) -> None:
    # The only call that the service has room for: its own successor takes that room.
    async with world(tmp_path, max_calls=1) as w:
        first = await w.join(1)
        second = await w.join(2)
        end = await w.told(first, "terminated")
        assert (end["resultInfo"]["code"], end["resultInfo"]["subcode"]) == SUPERSEDED
        assert "later epoch" in end["resultInfo"]["message"]
        assert w.states(first)[-2:] == ["terminating", "terminated"]
        assert await w.is_over(first)
        assert w.media.links[0].closed.done()
        assert w.living() == {second}
        (own,) = await w.participants(second)
        assert own["id"] != first
        shown = (await w.graph.http.get(f"/v1.0/communications/calls/{second}")).json()
        assert shown["mediaConfig"]["blob"].endswith(
            '"mixminus":{"version":1,"secret":"[redacted]","epoch":2}}'
        )


async def test_what_is_not_later_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        call_id = await w.join(5)
        for epoch in (5, 4, 1):
            error = await w.refused(epoch)
            assert error["code"] == "staleEpoch"
            assert (
                f"{w.lineage} is in epoch 5 already: expected a higher one, got {epoch}"
                in (error["message"])
            )
        assert w.living() == {call_id}
        reply = await w.graph.http.delete(f"/v1.0/communications/calls/{call_id}")
        assert reply.status_code == 204
        await w.told(call_id, "terminated")
        assert (await w.refused(5))["code"] == "staleEpoch", "a call that is over was one, too"
        await w.join(6)


@pytest.mark.slow
async def test_lineages_are_told_apart_and_a_blob_of_somebody_elses_has_none(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as w:
        calls = {await w.join(1)}
        guest = {"identity": {"guest": {"id": str(uuid.uuid4()), "displayName": "Ada"}}}
        other = World(w.service, w.graph, w.receiver, w.media)
        calls.add(await other.join(1, source=guest))
        assert w.living() == calls
        error = await other.refused(2, source=None)
        assert "in the meeting already" in error["message"], "the other call's place is not its own"
        blob = MediaSessionDescriptor.new("net.tcp://localhost:1/media", lineage=w.lineage)
        config = {**media_of(w.lineage, 1), "blob": blob.without_secret().to_blob()}
        for _ in range(2):
            guest["identity"]["guest"]["id"] = str(uuid.uuid4())
            calls.add(await w.join(1, mediaConfig=config, source=guest))
        assert w.living() == calls


async def test_a_creation_that_fails_uses_nothing_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(tmp_path) as w:
        first = await w.join(1)
        store, save_call = w.service.book._services.store, w.service.book._services.store.save_call

        async def fail(*args: Any, **kwargs: Any) -> None:
            raise StoreError("no more room")

        monkeypatch.setattr(store, "save_call", fail)
        reply = await w.graph.create(w.body(2))
        assert reply.status_code >= 500, reply.text
        monkeypatch.setattr(store, "save_call", save_call)
        assert w.living() == {first}, "nobody takes the place of a call by failing"
        assert not w.media.links[0].closed.done()
        await w.refused(2, 403, source={"identity": {"application": {"id": str(uuid.uuid4())}}})
        second = await w.join(2)
        await w.told(first, "terminated")
        assert w.living() == {second}


@pytest.mark.slow
async def test_who_was_admitted_from_the_lobby_need_not_wait_there_again(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        guest = {"identity": {"guest": {"id": str(uuid.uuid4()), "displayName": "Ada"}}}
        first = await w.join(1, source=guest)
        (own,) = await w.participants(first)
        assert own["isInLobby"]
        second = await w.join(2, source=guest)
        (own,) = await w.participants(second)
        assert own["isInLobby"], "who waited goes on waiting"
        live = w.service.book.living_call(second)
        assert live is not None
        live.conversation.admit(live.member)
        third = await w.join(3, source=guest)
        (own,) = await w.participants(third)
        assert not own["isInLobby"]
        assert w.living() == {third}


@pytest.mark.slow
async def test_a_call_of_two_is_made_anew(tmp_path: Path) -> None:
    async with world(tmp_path) as w, phone_of(w.graph.dev) as john:
        ids = []
        for epoch in (1, 2):
            body = call_body(w.receiver.url, mediaConfig=media_of(w.lineage, epoch))
            ids.append(await w.graph.created(body))
            if epoch == 2:
                assert (await john.expect("ended"))["subcode"] == 8519
            await john.expect("ring")
            await john.send(type="answer", callId=ids[-1], sdp=GOOD_SDP)
            await john.expect("answered")
            await w.told(ids[-1], "established")
        await w.told(ids[0], "terminated")
        assert w.living() == {ids[1]}


async def test_an_answer_is_of_an_epoch_too(tmp_path: Path) -> None:
    async with world(tmp_path) as w, phone_of(w.graph.dev) as john:
        await w.graph.http.put(
            f"/mixminus/v1/apps/{w.graph.dev.app_id}/webhook", json={"callbackUri": w.receiver.url}
        )
        first = await w.join(1)
        await john.send(type="call", appId=w.graph.dev.app_id, sdp=GOOD_SDP)
        call_id = str((await john.expect("calling"))["callId"])
        await w.told(call_id, "incoming")
        path = f"/v1.0/communications/calls/{call_id}/answer"
        body = {
            "callbackUri": w.receiver.url,
            "acceptedModalities": ["audio"],
            "mediaConfig": media_of(w.lineage, 1),
        }
        reply = await w.graph.http.post(path, json=body)
        assert (reply.status_code, reply.json()["error"]["code"]) == (409, "staleEpoch")
        assert w.living() == {first, call_id}, "it rings on"
        body["mediaConfig"] = media_of(w.lineage, 2)
        assert (await w.graph.http.post(path, json=body)).status_code == 202
        await john.expect("answered")
        end = await w.told(first, "terminated")
        assert end["resultInfo"]["subcode"] == 8519
        assert w.living() == {call_id}


async def test_a_service_that_was_killed_still_knows_which_epochs_are_over(tmp_path: Path) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    async with world(before) as w:
        lineage = w.lineage
        await w.join(3)
        # What a kill leaves behind: the call lives in the store, and in no process.
        shutil.copytree(before, after)
    async with world(after) as w:
        w.lineage = lineage
        assert (await w.refused(3))["code"] == "staleEpoch"
        await w.join(4)
