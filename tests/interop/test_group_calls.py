"""Group calls and meetings over real HTTPS and real signalling; only the media ends are fakes."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mixminus.control.service.settings import TENANT_ID
from mixminus.media.bridge import Leg
from mixminus.media.pcm import SAMPLE_RATE_HZ, Pcm
from tests.contract.stage import BOB, NUMBER, THREAD, Person, Stage, staged
from tests.service_kit import JOHN, call_body
from tests.support import eventually

Json = dict[str, Any]
ALICE = "278405a3-f568-4b3e-b684-009193463064"
IDS = {"John": JOHN, "Bob": BOB, "Alice": ALICE}
SERVICE_HOSTED = {"@odata.type": "#microsoft.graph.serviceHostedMediaConfig"}
MEETING = {
    "targets": None,
    "mediaConfig": SERVICE_HOSTED,
    "chatInfo": {"threadId": THREAD, "messageId": "0"},
    "meetingInfo": {
        "@odata.type": "#microsoft.graph.organizerMeetingInfo",
        "organizer": {"user": {"id": BOB, "tenantId": TENANT_ID}},
        "allowConversationWithoutHost": True,
    },
}


def target(name: str, **members: Any) -> Json:
    return {"identity": {"user": {"id": IDS[name], "displayName": name}}, **members}


def names(participants: list[Json]) -> set[str]:
    """Who is in a roster: people by name, the rest by the kind of its identity."""
    found = set()
    for entry in participants:
        identity = entry["info"]["identity"]
        user = identity.get("user")
        kinds = [key for key in identity if not key.startswith("@")]
        found.add(user["displayName"] if user else kinds[0])
    return found


@dataclass
class Group:
    """A call of the bot and its people."""

    stage: Stage
    id: str

    async def send(self, method: str, path: str, status: int, **how: Any) -> Any:
        url = f"/v1.0/communications/calls/{self.id}/{path}"
        reply = await self.stage.graph.http.request(method, url, **how)
        assert reply.status_code == status, reply.text
        return reply.json() if reply.content else None

    async def post(self, path: str, expected: int = 200, /, **body: Any) -> Any:
        return await self.send("POST", path, expected, json=body)

    async def refused(self, path: str, expected: int, /, **body: Any) -> str:
        reply = await self.post(path, expected, **body)
        return str(reply["error"]["code"])

    async def participants(self) -> list[Json]:
        found: list[Json] = (await self.send("GET", "participants", 200))["value"]
        return found

    async def id_of(self, name: str) -> str:
        for entry in await self.participants():
            if names([entry]) == {name}:
                return str(entry["id"])
        raise AssertionError(f"{name} is not in the call")

    def told(self, resource: str) -> list[tuple[str, Any]]:
        """What was told of one resource below the call: changes and data, in order."""
        return [
            (item["changeType"], item["resourceData"])
            for item in self.stage.notifications(self.id)
            if item["resourceUrl"].casefold().endswith(f"/{self.id}/{resource}".casefold())
        ]

    def roster(self) -> list[Json]:
        """The roster as last told."""
        told = self.told("participants")
        return list(told[-1][1]) if told else []

    async def roster_is(self, *expected: str) -> None:
        await eventually(
            lambda: names(self.roster()) == set(expected),
            what=f"{expected}; told was {names(self.roster())}",
        )

    async def operation(self, operation: Json) -> Json:
        """Wait for the notification of an operation's end; return its data."""
        path = f"operations/{operation['id']}"
        await eventually(lambda: self.told(path), what=operation["@odata.type"])
        ((change, data),) = self.told(path)
        assert change == "deleted"
        assert data["clientContext"] == operation["clientContext"]
        return dict(data)


@asynccontextmanager
async def grouped(
    directory: Path, *people: str, **members: Any
) -> AsyncIterator[tuple[Group, dict[str, Person]]]:
    """Run a group call with the bot and *people*; the first two it is made with."""
    async with staged(directory) as stage, AsyncExitStack() as exits:
        persons = {name: await exits.enter_async_context(stage.person(name)) for name in (*IDS,)}
        targets = [target(name) for name in people]
        body = call_body(stage.receiver.url, targets=targets, **members)
        group = Group(stage, await stage.graph.created(body))
        await group.roster_is("application", *people)
        yield group, persons


async def test_everybody_is_in_the_roster(tmp_path: Path) -> None:
    async with grouped(tmp_path, "John", "Bob") as (group, _):
        listed = await group.participants()
        assert names(listed) == {"application", "John", "Bob"}
        assert {entry["id"] for entry in listed} == {entry["id"] for entry in group.roster()}
        sources = [stream["sourceId"] for entry in listed for stream in entry["mediaStreams"]]
        assert len(set(sources)) == len(sources) == 3
        for entry in listed:
            shown = await group.send("GET", f"participants/{entry['id']}", 200)
            assert entry.items() <= shown.items()
            assert entry["removedState"] is None
        assert all("removedState" not in entry for entry in group.roster())
        call = await group.send("GET", "", 200)
        assert call["myParticipantId"] in {entry["id"] for entry in listed}
        await group.send("GET", "participants/nobody", 404)


async def test_muting_is_told_to_all(tmp_path: Path) -> None:
    async with grouped(tmp_path, "John", "Bob") as (group, people):
        john = await group.id_of("John")
        operation = await group.post(f"participants/{john}/mute", clientContext="m")
        assert (operation["status"], operation["clientContext"]) == ("completed", "m")
        muted = {"application": False, "John": True, "Bob": False}

        def shown() -> dict[str, bool]:
            return {names([entry]).pop(): entry["isMuted"] for entry in group.roster()}

        await eventually(lambda: shown() == muted)
        told = await people["John"].told("muted")
        assert (told["muted"], told["by"]) == (True, "service")
        await group.post("mute", clientContext="self")
        await eventually(lambda: shown() == muted | {"application": True})
        await group.post("unmute")
        await eventually(lambda: shown() == muted)
        bob = await group.id_of("Bob")
        await group.post("participants/muteAll", participants=[bob, john])
        await eventually(lambda: shown() == muted | {"Bob": True})
        call_id = people["John"].heard[0]["callId"]
        await people["John"].phone.send(type="unmute", callId=call_id)
        await eventually(lambda: shown() == muted | {"John": False, "Bob": True})
        await eventually(lambda: people["John"].heard[-1].get("by") == "self")
        assert await group.refused(f"participants/{group.id}/mute", 404) == "8522"


async def test_inviting_rings_and_adds(tmp_path: Path) -> None:
    async with grouped(tmp_path, "John", "Bob") as (group, people):
        invitation: Json = {"participants": [target("Alice")], "clientContext": "i"}
        operation = await group.post("participants/invite", **invitation)
        assert operation["@odata.type"] == "#microsoft.graph.inviteParticipantsOperation"
        assert operation["status"] == "running"
        shown = operation["participants"][0]
        assert shown["identity"]["user"]["id"] == ALICE
        data = await group.operation(operation)
        assert data["status"] == "completed"
        assert [entry["participantId"] for entry in data["participants"]] == [
            await group.id_of("Alice")
        ]
        await people["Alice"].told("answered")
        await group.roster_is("application", "John", "Bob", "Alice")
        assert await group.refused("participants/invite", 409, **invitation) == "8519"
        six = [{"identity": {"user": {"id": f"user {n}"}}} for n in range(6)]
        assert await group.refused("participants/invite", 400, participants=six) == "8523"


@pytest.mark.slow
async def test_an_invitation_that_reaches_nobody_fails(tmp_path: Path) -> None:
    async with grouped(tmp_path, "John", "Bob") as (group, _):
        nobody = {"identity": {"user": {"id": "nobody"}}}
        operation = await group.post("participants/invite", participants=[nobody])
        data = await group.operation(operation)
        assert data["status"] == "failed"
        assert (data["resultInfo"]["code"], data["resultInfo"]["subcode"]) == (412, 9999)
        assert names(await group.participants()) == {"application", "John", "Bob"}


@pytest.mark.slow
async def test_a_telephone_is_invited_by_its_number(tmp_path: Path) -> None:
    async with grouped(tmp_path, "John", "Bob") as (group, _):
        phone = {"identity": {"phone": {"id": NUMBER}}}
        operation = await group.post("participants/invite", participants=[phone])
        data = await group.operation(operation)
        assert data["status"] == "completed"
        await group.roster_is("application", "John", "Bob", "phone")
        entry = next(e for e in group.roster() if names([e]) == {"phone"})
        assert entry["id"] == operation["participants"][0]["participantId"]
        assert entry["info"]["identity"]["phone"]["id"] == NUMBER


async def test_removing_ends_a_persons_call(tmp_path: Path) -> None:
    async with grouped(tmp_path, "John", "Bob") as (group, people):
        await group.send("DELETE", f"participants/{await group.id_of('Bob')}", 204)
        ended = await people["Bob"].told("ended")
        assert (ended["code"], ended["subcode"]) == (200, 5300)
        await group.roster_is("application", "John")
        assert names(await group.participants()) == {"application", "John"}


async def test_replayed_deltas_are_the_roster(tmp_path: Path) -> None:
    options = {"callOptions": {"isDeltaRosterEnabled": True}}
    async with staged(tmp_path) as stage, stage.person("John"), stage.person("Bob") as bob:
        targets = [target("John"), target("Bob")]
        body = call_body(stage.receiver.url, targets=targets, **options)
        group = Group(stage, await stage.graph.created(body))
        held: dict[str, Json] = {}
        applied = 0

        async def replayed() -> bool:
            nonlocal applied
            told = group.told("participants")
            for change, (delta,) in told[applied:]:
                applied += 1
                assert change == "updated"
                assert delta["@odata.type"] == "#microsoft.graph.deltaParticipants"
                assert delta["sequenceNumber"] == applied
                for entry in delta["participants"]:
                    held[entry["id"]] = entry
                    if "removedState" in entry:
                        assert entry["removedState"]["reason"] == "Removed from roster"
                        del held[entry["id"]]
            listed = {entry["id"]: entry for entry in await group.participants()}
            return {key: set_only(entry) for key, entry in listed.items()} == held

        await eventually(lambda: len(group.told("participants")) > 0)
        await eventually(replayed)
        await eventually(lambda: any(m["type"] == "answered" for m in bob.heard))
        bobs = await group.id_of("Bob")
        await group.post(f"participants/{bobs}/mute")
        await eventually(replayed)
        assert held[bobs]["isMuted"]
        await group.send("DELETE", f"participants/{bobs}", 204)
        await eventually(lambda: applied_removal(group, bobs))
        await eventually(replayed)
        assert bobs not in held


def set_only(entry: Json) -> Json:
    """Leave out what is unset, as notifications do."""
    shown = {key: value for key, value in entry.items() if value is not None}
    shown["info"] = {key: value for key, value in entry["info"].items() if value is not None}
    return shown


def applied_removal(group: Group, participant_id: str) -> bool:
    _, (delta,) = group.told("participants")[-1]
    return any(
        entry["id"] == participant_id and "removedState" in entry for entry in delta["participants"]
    )


async def test_hold_music_plays_to_one(tmp_path: Path) -> None:
    async with grouped(tmp_path, "John", "Bob") as (group, people):
        john, bob = await group.id_of("John"), await group.id_of("Bob")
        prompt = {
            "@odata.type": "#microsoft.graph.mediaPrompt",
            "mediaInfo": {"uri": f"{group.stage.cdn.url}/music.wav", "resourceId": "music"},
        }
        path = f"participants/{john}/startHoldMusic"
        operation = await group.post(path, 202, customPrompt=prompt, clientContext="h")
        assert operation["status"] == "running"
        data = await group.operation(operation)
        assert data["status"] == "completed"
        assert (await people["John"].told("held"))["held"]
        ears = {name: Ear(group, name) for name in (john, bob)}
        await eventually(ears[john].hears_440_hz, what="the prompt's tone")
        assert not ears[bob].hears_440_hz()
        assert await group.refused(f"participants/{bob}/startHoldMusic", 409) == "8519"
        operation = await group.post(f"participants/{john}/stopHoldMusic", 202)
        assert operation["status"] == "completed"
        await eventually(lambda: not ears[john].hears_440_hz(), what="the tone's end")
        missing = prompt | {"mediaInfo": {"uri": "https://localhost:1/none.wav"}}
        operation = await group.post(path, 202, customPrompt=missing)
        data = await group.operation(operation)
        assert (data["status"], data["resultInfo"]["subcode"]) == ("failed", 8536)


class Ear:
    """Whether a participant hears the media server's tone, from its leg."""

    def __init__(self, group: Group, participant_id: str) -> None:
        live = group.stage.service.book._living[group.id]
        self._leg: Leg = live.conversation.members[participant_id].leg
        self._last: deque[Pcm] = deque(maxlen=5)

    def hears_440_hz(self) -> bool:
        while (frame := self._leg.render.read()) is not None:
            self._last.append(frame)
        if len(self._last) < 5:
            return False
        pcm = np.concatenate(self._last)
        time_s = np.arange(pcm.size) / SAMPLE_RATE_HZ
        return bool(2 * abs(np.mean(pcm * np.exp(-2j * np.pi * 440 * time_s))) > 4000)


async def test_audio_routing_groups_live_at_their_urls(tmp_path: Path) -> None:
    async with grouped(tmp_path, "John", "Bob") as (group, _):
        john, bob, bot = [await group.id_of(name) for name in ("John", "Bob", "application")]
        body: Json = {"id": "one", "routingMode": "oneToOne", "sources": [bot], "receivers": [john]}
        made = await group.post("audioRoutingGroups", **body)
        assert made == {"@odata.type": "#microsoft.graph.audioRoutingGroup"} | body
        assert await group.refused("audioRoutingGroups", 409, **body) == "8519"
        wrong = body | {"id": "g", "receivers": ["nobody"]}
        assert await group.refused("audioRoutingGroups", 400, **wrong) == "8558"
        two = body | {"id": "g", "receivers": [john, bob]}
        assert await group.refused("audioRoutingGroups", 400, **two) == "8523"
        change = {"routingMode": "multicast", "receivers": [john, bob]}
        path = "audioRoutingGroups/one"
        changed = await group.send("PATCH", path, 200, json=change)
        assert changed["receivers"] == [john, bob]
        listed = (await group.send("GET", "audioRoutingGroups", 200))["value"]
        assert listed == [changed]
        await group.send("DELETE", path, 204)
        await group.send("GET", path, 404)


async def test_sharing_content_is_told_where_it_is_asked_for(tmp_path: Path) -> None:
    options = {"callOptions": {"isContentSharingNotificationEnabled": True}}
    async with grouped(tmp_path, "John", "Bob", **options) as (group, people):
        john = people["John"]
        call_id = john.heard[0]["callId"]
        for action in ("start", "update", "stop"):
            await john.phone.send(type="share", callId=call_id, action=action)
            if action == "start":
                await eventually(lambda: group.told("contentSharingSessions"))
                sessions = (await group.send("GET", "contentSharingSessions", 200))["value"]
        await eventually(lambda: len(group.told("contentSharingSessions")) == 3)
        told = group.told("contentSharingSessions")
        assert [change for change, _ in told] == ["created", "updated", "deleted"]
        assert {data[0]["id"] for _, data in told} == {sessions[0]["id"]}
        assert sessions[0]["presenterParticipantId"] == await group.id_of("John")
        assert (await group.send("GET", "contentSharingSessions", 200))["value"] == []
        await group.post("changeScreenSharingRole", 202, role="sharer")
        await eventually(lambda: len(group.told("contentSharingSessions")) == 4)
        shared = [e["mediaStreams"][-1] for e in group.roster() if names([e]) == {"application"}]
        assert shared[0]["direction"] == "sendOnly"


@pytest.mark.slow
async def test_recording_and_the_large_gallery_show_in_the_roster(tmp_path: Path) -> None:
    async with grouped(tmp_path, "John", "Bob") as (group, _):
        await group.post("updateRecordingStatus", status="recording", clientContext="r")
        await eventually(lambda: any("recordingInfo" in entry for entry in group.roster()))
        operation = await group.post("addLargeGalleryView", 202, clientContext="g")
        data = await group.operation(operation)
        assert data["status"] == "completed"
        await eventually(lambda: len(group.roster()) == 4)
        gallery = group.roster()[-1]
        application = gallery["info"]["identity"]["application"]
        assert application["ApplicationType"] == "LargeGallery-V2"
        items = group.stage.notifications(group.id)
        at_operation = next(i for i, item in enumerate(items) if item["resourceData"] == data)
        shown = [item for item in items[:at_operation] if gallery in list(item["resourceData"])]
        assert shown == []


async def test_a_call_of_two_moves_into_the_group(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage, AsyncExitStack() as exits:
        people = {n: await exits.enter_async_context(stage.person(n)) for n in IDS}
        hiding = {"callOptions": {"hideBotAfterEscalation": True}}
        two = Group(stage, await stage.graph.created(call_body(stage.receiver.url, **hiding)))
        await stage.told(two.id, "updated call established")
        assert await two.refused("participants/invite", 400, participants=[target("Bob")]) == "8548"
        assert two.told("participants") == []
        body = call_body(stage.receiver.url, targets=[target("Bob"), target("Alice")])
        group = Group(stage, await stage.graph.created(body))
        await group.roster_is("application", "Bob", "Alice")
        replacing = target("John", replacesCallId=two.id)
        operation = await group.post("participants/invite", participants=[replacing])
        data = await group.operation(operation)
        assert data["status"] == "completed"
        await group.roster_is("application", "Bob", "Alice", "John")
        await people["John"].told("moved")
        conversation = stage.service.book._living[group.id].conversation
        assert [member.hidden for member in conversation.members.values()].count(True) == 1
        await stage.told(two.id, "deleted call terminated")
        assert not any(message["type"] == "ended" for message in people["John"].heard)
        unknown = target("John", replacesCallId="none")
        assert await group.refused("participants/invite", 409, participants=[unknown]) == "8519"


async def test_a_guest_sees_itself_until_it_is_admitted(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage, stage.person("John") as john:
        await john.join(THREAD)
        body = call_body(stage.receiver.url, **MEETING)
        bot = Group(stage, await stage.graph.created(body))
        await bot.roster_is("application", "John")
        as_guest = {"source": {"identity": {"guest": {"id": "g", "displayName": "Guest"}}}}
        guest = Group(
            stage, await stage.graph.created(call_body(stage.receiver.url, **MEETING, **as_guest))
        )
        await guest.roster_is("guest")
        assert [entry["isInLobby"] for entry in guest.roster()] == [True]
        assert names(await guest.participants()) == {"guest"}
        assert await guest.refused("addLargeGalleryView", 400) == "8585"
        await bot.roster_is("application", "John", "guest")
        waiting = await bot.id_of("guest")
        await bot.post(f"participants/{waiting}/admitFromLobby", 204)
        await guest.roster_is("application", "John", "guest")
        assert not any(entry["isInLobby"] for entry in guest.roster())


async def test_a_guest_that_is_denied_leaves(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        bot = Group(stage, await stage.graph.created(call_body(stage.receiver.url, **MEETING)))
        as_guest = {"source": {"identity": {"guest": {"id": "g", "displayName": "Guest"}}}}
        guest = Group(
            stage, await stage.graph.created(call_body(stage.receiver.url, **MEETING, **as_guest))
        )
        await bot.roster_is("application", "guest")
        await bot.post(f"participants/{await bot.id_of('guest')}/removeFromLobby", 204)
        await stage.told(guest.id, "deleted call terminated")
        result = stage.notifications(guest.id)[-1]["resourceData"]["resultInfo"]
        assert (result["code"], result["subcode"]) == (403, 5828)
        await bot.roster_is("application")


async def test_a_call_in_its_lobby_ends_with_the_service(tmp_path: Path) -> None:
    async with asyncio.timeout(30), staged(tmp_path) as stage:
        as_guest = {"source": {"identity": {"guest": {"id": "g", "displayName": "Guest"}}}}
        body = call_body(stage.receiver.url, **MEETING, **as_guest)
        guest = Group(stage, await stage.graph.created(body))
        await guest.roster_is("guest")
    assert stage.service.book.living == 0
