"""Hundreds of random things at once, over HTTP and signalling: nothing of them is left behind."""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from mixminus.control.call_state import RANKS
from mixminus.control.graph.enums import CallState
from mixminus.control.service.phones import PhoneScript
from mixminus.control.service.service import CallService
from mixminus.control.service.settings import ServiceSettings
from mixminus.control.store.base import StoreError
from mixminus.media.bridge import Bridge, Leg
from mixminus.media.descriptor import MediaSessionDescriptor
from mixminus.media.platform import MediaPlatform
from tests.service_kit import (
    BAD_SDP,
    GOOD_SDP,
    FakeMedia,
    FakeTransport,
    GraphHttp,
    Phone,
    Receiver,
    unregistered_phone,
)
from tests.support import eventually

Json = dict[str, Any]
NUMBER = "+14255550123"
SHORT: Json = {
    "ringing_s": 0.5,
    "answer_s": 0.5,
    "answer_policy_s": 0.3,
    "lobby_s": 0.5,
    "caller_media_s": 0.3,
    "caller_grace_s": 0.3,
    "notify_first_wait_s": 0.01,
    "notify_longest_wait_s": 0.1,
    "drain_s": 0.0,
}
CALLS = "/v1.0/communications/calls"
LINEAGES = ("one call", "another call")
"""Calls that the bot's hosts hand on to each other, and quarrel about."""
HOSTED = {"@odata.type": "#microsoft.graph.serviceHostedMediaConfig"}


class CountingPlatform(MediaPlatform):
    """A platform that remembers its bridges."""

    def __init__(self) -> None:
        super().__init__()
        self.bridges: list[Bridge] = []

    def create_bridge(self) -> Bridge:
        bridge = super().create_bridge()
        self.bridges.append(bridge)
        return bridge


class SlowTransport(FakeTransport):
    """One that takes its time, and may never connect."""

    def __init__(self, leg: Leg, chance: random.Random) -> None:
        super().__init__(leg)
        self._chance = chance
        if chance.random() < 0.1:
            self.may_connect.clear()

    async def answer(self, offer_sdp: str) -> str:
        await asyncio.sleep(self._chance.choice((0, 0, 0.01, 0.05)))
        return await super().answer(offer_sdp)


class Storm:
    """Everybody who does something, and what they know of."""

    def __init__(self, seed: int, service: CallService, graph: GraphHttp, url: str) -> None:
        self.chance = random.Random(seed)
        self.service, self.graph, self.url = service, graph, url
        self.calls: list[str] = []
        self.failures: list[str] = []
        self.epochs: Counter[str] = Counter()
        self.users = service.dev_file.users

    # ---- the bot ---------------------------------------------------------------------------------

    async def ask(self, method: str, path: str, body: Json | None = None) -> Json:
        reply = await self.graph.http.request(method, CALLS + path, json=body)
        # 503 is the store's failure, told as it should be.
        if reply.status_code >= 500 and reply.status_code != 503:
            self.failures.append(f"{method} {path}: {reply.status_code} {reply.text}")
        found: Json = reply.json() if reply.content and reply.is_success else {}
        return found

    def user(self) -> Json:
        user = self.chance.choice(self.users)
        return {"identity": {"user": {"id": user.id, "displayName": user.display_name}}}

    def target(self) -> Json:
        app = {"identity": {"application": {"id": self.graph.dev.app_id}}}
        phone = {"identity": {"phone": {"id": NUMBER}}}
        return self.chance.choice((self.user(), self.user(), self.user(), phone, app))

    def targets(self) -> list[Json]:
        found = [self.target() for _ in range(self.chance.randint(1, 3))]
        return list({json.dumps(t): t for t in found}.values())

    def media(self) -> Json:
        """The service's, a new call's, or those of one that goes on, in a later epoch or not."""
        if self.chance.random() < 0.5:
            return HOSTED
        lineage, epoch = None, 1
        if self.chance.random() < 0.4:
            lineage = self.chance.choice(LINEAGES)
            self.epochs[lineage] += self.chance.choice((0, 1, 1, 1, 2))
            epoch = max(1, self.epochs[lineage])
        new = MediaSessionDescriptor.new("wss://localhost:1/media", lineage=lineage, epoch=epoch)
        return {"@odata.type": "#microsoft.graph.appHostedMediaConfig", "blob": new.to_blob()}

    async def create(self) -> None:
        body: Json = {
            "callbackUri": self.url,
            "requestedModalities": ["audio"],
            "mediaConfig": self.media(),
        }
        if self.chance.random() < 0.6:
            instance = self.service.dev_file.application_instance_id
            body["targets"] = self.targets()
            body["source"] = {"identity": {"applicationInstance": {"id": instance}}}
        else:
            meeting = self.chance.choice(self.service.dev_file.meetings)
            body["chatInfo"] = {"threadId": meeting.thread_id, "messageId": meeting.message_id}
            organizer = {"user": {"id": meeting.organizer_id, "tenantId": self.graph.dev.tenant_id}}
            body["meetingInfo"] = {
                "@odata.type": "#microsoft.graph.organizerMeetingInfo",
                "organizer": organizer,
            }
            name = f"{self.chance.randrange(16):032x}"
            if self.chance.random() < 0.3:
                body["source"] = {"identity": {"guest": {"id": name, "displayName": "Guest"}}}
        made = await self.ask("POST", "", body)
        if made:
            self.calls.append(made["id"])

    def call(self, *kinds: str, states: tuple[str, ...] = ("established", "hold")) -> str:
        """Choose a call: mostly one of which something can be asked, else any."""
        fitting = [
            live.id
            for live in self.service.book._living.values()
            if live.call.state.value in states and (not kinds or live.conversation.kind in kinds)
        ]
        if fitting and self.chance.random() < 0.85:
            return self.chance.choice(fitting)
        return self.chance.choice(self.calls[-12:] or ["none"])

    async def participant(self, call_id: str) -> str:
        found = (await self.ask("GET", f"/{call_id}/participants")).get("value") or [{"id": "none"}]
        return str(self.chance.choice(found)["id"])

    async def verb(self) -> None:
        """Ask something of a call that is up."""
        asked: dict[str, Json] = {
            "keepAlive": {},
            "mute": {},
            "unmute": {},
            "addLargeGalleryView": {},
            "subscribeToTone": {},
            "cancelMediaProcessing": {},
            "sendDtmfTones": {"tones": ["tone1", "tone2"]},
            "changeScreenSharingRole": {"role": self.chance.choice(("sharer", "viewer"))},
            "updateRecordingStatus": {"status": "recording"},
            "participants/admitAllFromLobby": {},
            "recordResponse": {
                "initialSilenceTimeoutInSeconds": 1,
                "maxRecordDurationInSeconds": 1,
            },
        }
        name = self.chance.choice(tuple(asked))
        await self.ask("POST", f"/{self.call()}/{name}", {"clientContext": "c", **asked[name]})

    async def handle(self) -> None:
        """Take an incoming call, or not, or two of that at once."""
        call_id = self.call(states=("incoming",))
        asked: tuple[tuple[str, Json], ...] = (
            *(("answer", {"acceptedModalities": ["audio"], "mediaConfig": self.media()}),) * 4,
            ("reject", {"reason": "busy"}),
            ("redirect", {"targets": self.targets(), "timeout": 15}),
        )
        acts = self.chance.sample(asked, 2 if self.chance.random() < 0.3 else 1)
        await asyncio.gather(*(self.ask("POST", f"/{call_id}/{name}", b) for name, b in acts))

    async def transfer(self) -> None:
        call_id = self.call("peerToPeer", "groupCall")
        target = self.target()
        if self.chance.random() < 0.5:
            target["replacesCallId"] = self.call("peerToPeer")
        body = {"transferTarget": target, "transferee": self.user()}
        await self.ask("POST", f"/{call_id}/transfer", body)

    async def invite(self) -> None:
        targets = self.targets()
        if self.chance.random() < 0.5:
            targets = [self.user() | {"replacesCallId": self.call("peerToPeer")}]
        call_id = self.call("groupCall", "meeting")
        body = {"participants": targets, "clientContext": "c"}
        await self.ask("POST", f"/{call_id}/participants/invite", body)

    async def on_participant(self) -> None:
        call_id = self.call("groupCall", "meeting")
        path = f"/{call_id}/participants/{await self.participant(call_id)}"
        match self.chance.randrange(6):
            case 0:
                await self.ask("DELETE", path)
            case 1:
                await self.ask("POST", f"{path}/mute", {"clientContext": "c"})
            case 2:
                await self.ask("POST", f"{path}/startHoldMusic", {"clientContext": "c"})
            case 3:
                await self.ask("POST", f"{path}/stopHoldMusic", {"clientContext": "c"})
            case 4:
                await self.ask("POST", f"{path}/admitFromLobby")
            case _:
                await self.ask("POST", f"{path}/removeFromLobby")

    async def group(self) -> None:
        call_id = self.call("groupCall", "meeting")
        ids = [await self.participant(call_id) for _ in range(2)]
        body: Json = {
            "id": "g",
            "routingMode": "oneToOne",
            "sources": ids[:1],
            "receivers": ids[1:],
        }
        if ids[0] == ids[1]:
            body["receivers"] = []
        await self.ask("POST", f"/{call_id}/audioRoutingGroups", body)

    async def hang_up(self) -> None:
        await self.ask("DELETE", f"/{self.call(states=tuple(state.value for state in CallState))}")

    async def look(self) -> None:
        await self.ask("GET", f"/{self.call()}?$expand=participants,operations")

    async def bot(self, steps: int) -> None:
        acts: tuple[Callable[[], Awaitable[None]], ...] = (
            *(self.create,) * 3,
            *(self.verb,) * 3,
            *(self.handle,) * 4,
            *(self.transfer,) * 2,
            *(self.invite,) * 3,
            *(self.on_participant,) * 2,
            self.group,
            self.hang_up,
            self.look,
        )
        for _ in range(steps):
            act = self.chance.choice(acts)
            if act == self.hang_up and self.chance.random() < 0.3:
                # Two at once.
                await asyncio.gather(act(), self.transfer(), self.hang_up())
            else:
                await act()
            await asyncio.sleep(self.chance.choice((0, 0, 0.01, 0.03)))

    # ---- the people ------------------------------------------------------------------------------

    async def person(self, index: int, steps: int) -> None:
        """Use a device, lose it now and then, and take another."""
        while steps > 0:
            async with unregistered_phone(self.service.dev_file) as phone:
                await phone.send(type="register", token=self.users[index].token)
                known: list[str] = []
                listening = asyncio.create_task(self.listen(phone, known))
                try:
                    for _ in range(self.chance.randint(10, 40)):
                        steps -= 1
                        await self.press(phone, known)
                        await asyncio.sleep(self.chance.choice((0.02, 0.05, 0.1)))
                except ConnectionClosed:
                    pass
                finally:
                    listening.cancel()
                    await asyncio.gather(listening, return_exceptions=True)

    async def listen(self, phone: Phone, known: list[str]) -> None:
        async for text in phone.socket:
            message = json.loads(text)
            call_id = message.get("callId")
            if message["type"] in ("calling", "joined", "ring"):
                known.append(call_id)
            if message["type"] == "calling":
                self.calls.append(call_id)
            if message["type"] == "ring" and self.chance.random() < 0.85:
                kind = self.chance.choice(("answer", "answer", "answer", "decline", "both"))
                sdp = BAD_SDP if self.chance.random() < 0.05 else GOOD_SDP
                if kind != "decline":
                    await phone.send(type="answer", callId=call_id, sdp=sdp)
                if kind == "both":
                    await phone.send(type="hangup", callId=call_id)
                elif kind == "decline":
                    await phone.send(type="decline", callId=call_id)

    async def press(self, phone: Phone, known: list[str]) -> None:
        call_id = self.chance.choice(known[-3:] or ["none"])
        meeting = self.chance.choice(self.service.dev_file.meetings)
        messages: tuple[Json, ...] = (
            {"type": "call", "appId": self.graph.dev.app_id, "sdp": GOOD_SDP},
            {"type": "join", "joinUrl": meeting.join_url, "sdp": GOOD_SDP},
            {"type": "hangup", "callId": call_id},
            {"type": "reoffer", "callId": call_id, "sdp": GOOD_SDP},
            {"type": "tone", "callId": call_id, "tone": "5"},
            {"type": self.chance.choice(("mute", "unmute", "hold", "resume")), "callId": call_id},
            {
                "type": "share",
                "callId": call_id,
                "action": self.chance.choice(("start", "update", "stop")),
            },
        )
        await phone.send(**self.chance.choice(messages))


def weather(
    service: CallService, media: FakeMedia, chance: random.Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Let the store be slow and fail, and devices come late or never."""
    save = service.store.save_call

    async def save_call(*args: Any) -> None:
        await asyncio.sleep(chance.choice((0, 0, 0, 0.01, 0.03)))
        if chance.random() < 0.02:
            raise StoreError("the disk is full, for once")
        await save(*args)

    def make_caller(leg: Leg) -> FakeTransport:
        media.callers.append(SlowTransport(leg, chance))
        return media.callers[-1]

    services = service.book._services
    monkeypatch.setattr(service.store, "save_call", save_call)
    monkeypatch.setattr(
        services, "edges", type(services.edges)(make_caller, services.edges.connect_link)
    )


async def lose_links(media: FakeMedia, chance: random.Random) -> None:
    while True:
        await asyncio.sleep(0.2)
        ends = media.links + media.callers
        if ends and chance.random() < 0.5:
            chance.choice(ends).end("the cable was cut")


def check_order(receiver: Receiver) -> None:
    """Check what was told of each call: states in a legal order, one end, each operation once."""
    told: dict[str, list[Json]] = {}
    for body in receiver.taken:
        for item in body["value"]:
            parts = item["resourceUrl"].strip("/").split("/")
            told.setdefault(parts[2], []).append({**item, "parts": parts[3:]})
    assert told
    for call_id, items in told.items():
        states = [
            CallState(item["resourceData"]["state"])
            for item in items
            if not item["parts"] and item["resourceData"].get("toneInfo") is None
        ]
        ranks = [RANKS[state] for state in states]
        assert ranks == sorted(ranks), (call_id, states)
        assert states.count(CallState.TERMINATED) == 1, (call_id, states)
        assert items[-1]["resourceData"]["state"] == "terminated", (call_id, items[-1])
        operations = Counter(
            item["parts"][1] for item in items if item["parts"][:1] == ["operations"]
        )
        assert not operations or max(operations.values()) == 1, (call_id, operations)


async def nothing_is_left(service: CallService) -> None:
    services = service.book._services
    rooms, callers = services.rooms, services.callers

    def left() -> dict[str, Any]:
        found = {
            "calls": [(c.id, c.call, c._timers, c._tasks) for c in service.book._living.values()],
            "rooms": [(r.conversation.kind, r.parties) for r in rooms._rooms.values()],
            "meetings": rooms._by_meeting,
            "parties": callers._parties,
            "invitations": callers.invitations,
            "ringing": services.switchboard._ringing,
            "waiting": services.waiting.legs,
            # Called off before its call was there: that comes, and ends, all the same.
            "inviting": [
                task for task in asyncio.all_tasks() if task.get_name().startswith("invite ")
            ],
        }
        return {name: what for name, what in found.items() if what}

    try:
        await eventually(lambda: not left(), 8.0)
    except AssertionError:
        raise AssertionError(f"left behind: {left()}") from None


@pytest.mark.slow
@pytest.mark.parametrize("seed", [3])
async def test_a_storm_leaves_nothing_behind(
    seed: int, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks_before = asyncio.all_tasks()
    chance, media = random.Random(seed), FakeMedia()
    caplog.set_level(logging.WARNING)
    phones = (PhoneScript(number=NUMBER, answer_after_s=0.1, tones="1"),)
    settings = ServiceSettings(state_dir=tmp_path, phones=phones, **SHORT)
    async with AsyncExitStack() as exits:
        platform = await exits.enter_async_context(CountingPlatform())
        service = CallService(settings, platform=platform, make_edges=media.edges)
        await exits.enter_async_context(service)
        receiver = Receiver(tmp_path, lambda count: 503 if count % 17 == 0 else 202)
        await exits.enter_async_context(receiver)
        graph = await exits.enter_async_context(GraphHttp(service.dev_file))
        webhook = f"/mixminus/v1/apps/{graph.dev.app_id}/webhook"
        assert (await graph.http.put(webhook, json={"callbackUri": receiver.url})).is_success
        storm = Storm(seed, service, graph, receiver.url)
        weather(service, media, chance, monkeypatch)
        cutting = asyncio.create_task(lose_links(media, chance))
        await asyncio.gather(
            *(storm.bot(40) for _ in range(4)), *(storm.person(i % 3, 40) for i in range(5))
        )
        cutting.cancel()
        while living := tuple(service.book._living):
            for call_id in living:
                await storm.ask("DELETE", f"/{call_id}")
            await asyncio.sleep(0.05)
        await nothing_is_left(service)
        await eventually(lambda: not service.book._services.notifier._workers, 8.0)
        check_order(receiver)
        assert storm.failures == []
    assert [end for end in media.callers + media.links if not end.closed.done()] == []
    assert [bridge for bridge in platform.bridges if bridge._bridge is not None] == []
    bugs = [r for r in caplog.records if r.exc_info and not isinstance(r.exc_info[1], StoreError)]
    assert bugs == [], caplog.text
    await eventually(lambda: asyncio.all_tasks() <= tasks_before, what="no task to be left")
