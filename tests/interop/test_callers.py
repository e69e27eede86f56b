"""People in calls, with real signalling and real WebRTC: test callers and the softphone itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from mixminus.control.service.service import CallService
from mixminus.control.service.settings import ServiceSettings
from mixminus.control.softphone import (
    Action,
    BotTarget,
    MeetingTarget,
    Softphone,
    SoftphoneOptions,
    SoftphoneReport,
)
from mixminus.control.tls import client_context
from mixminus.media.platform import MediaPlatform
from tests.fake_rtc import Log
from tests.interop.caller import TestCaller, add_users
from tests.service_kit import GraphHttp, Receiver, call_body
from tests.signals import sine, tone_dbov
from tests.support import eventually

pytestmark = pytest.mark.alone

LOUD_DBOV, GONE_DBOV = -30.0, -50.0


class World:
    """A service and whoever a test calls in."""

    def __init__(self, service: CallService, platform: MediaPlatform, exits: AsyncExitStack):
        self.service, self.platform, self._exits = service, platform, exits
        self.meeting = service.dev_file.meetings[0]

    async def caller(self, name: str) -> TestCaller:
        caller = TestCaller(self.service.dev_file, name, self.platform)
        return await self._exits.enter_async_context(caller)

    async def member(self, name: str, hz: int) -> TestCaller:
        """Let somebody join the meeting and say a tone there."""
        caller = await self.caller(name)
        await caller.join_meeting(
            join_meeting_id=self.meeting.join_meeting_id, passcode=self.meeting.passcode
        )
        caller.say_tone(hz)
        return caller

    def softphone(self, user: str, **changes: Any) -> RunningPhone:
        dev = self.service.dev_file
        given: dict[str, Any] = {
            "rtc_url": dev.rtc_url,
            "token": dev.find_user(user).token,
            "ssl_context": client_context(dev.ca_file),
            "play": sine(900, 16_000, 1.0, 8000.0),
        }
        phone = RunningPhone(SoftphoneOptions(**{**given, **changes}))
        self._exits.push_async_callback(phone.stopped)
        return phone


class RunningPhone:
    """A softphone until it is stopped."""

    def __init__(self, options: SoftphoneOptions) -> None:
        self.log = Log()
        self.phone = Softphone(options, self.log)
        self.task = asyncio.create_task(self.phone.run())

    async def told(self, name: str) -> dict[str, Any]:
        await eventually(lambda: self.log.of(name) or self.task.done(), 20.0, name)
        assert self.log.of(name), self.log.events
        return self.log.of(name)[-1]

    async def stopped(self) -> SoftphoneReport:
        self.phone.stop()
        return await asyncio.wait_for(self.task, 20)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    await add_users(tmp_path, "Carol")
    async with AsyncExitStack() as exits:
        platform = await exits.enter_async_context(MediaPlatform())
        settings = ServiceSettings(state_dir=tmp_path, drain_s=0.0)
        service = await exits.enter_async_context(CallService(settings, platform=platform))
        yield World(service, platform, exits)


async def hears(caller: TestCaller, *wanted: int, never: tuple[int, ...] = ()) -> None:
    """Wait until *caller* hears all *wanted* frequencies and none of *never*."""

    async def is_so() -> bool:
        pcm = await caller.listen(0.3)
        return all(tone_dbov(pcm, hz) > LOUD_DBOV for hz in wanted) and all(
            tone_dbov(pcm, hz) < GONE_DBOV for hz in never
        )

    await eventually(is_so, 15.0, f"{wanted} without {never}")


async def test_people_in_a_meeting_hear_each_other_but_not_themselves(world: World) -> None:
    john, alice = await world.member("John", 400), await world.member("Alice", 700)
    await hears(john, 700, never=(400,))
    await hears(alice, 400, never=(700,))
    carol = await world.caller("carol")
    joined = await carol.join_meeting(join_url=world.meeting.join_url)
    assert joined["participantId"] == joined["callId"]
    await hears(carol, 400, 700)
    await carol.hang_up()


@pytest.mark.slow
async def test_mute_and_hold_change_what_is_heard(world: World) -> None:
    john, alice = await world.member("John", 400), await world.member("Alice", 700)
    await hears(alice, 400)
    await john.ask("mute")
    muted = await john.told("muted")
    assert (muted["muted"], muted["by"]) == (True, "self")
    await hears(alice, never=(400,))
    await hears(john, 700)
    await john.ask("unmute")
    await hears(alice, 400)
    await john.ask("hold")
    assert (await john.told("held"))["held"] is True
    await hears(alice, never=(400,))
    await hears(john, never=(700,))
    await john.ask("resume")
    await hears(alice, 400)
    await hears(john, 700)


def tones(receiver: Receiver, call_id: str) -> list[str]:
    """The tones that the application was told of."""
    return [data["toneInfo"]["tone"] for data in receiver.of(call_id) if data.get("toneInfo")]


@pytest.mark.parametrize(
    ("where", "code"),
    [
        ({"join_meeting_id": "999999999999"}, "unknownMeeting"),
        ({"thread_id": "19:nothing@thread.v2"}, "unknownMeeting"),
        ({"join_url": "https://example.com"}, "unknownMeeting"),
    ],
)
async def test_a_meeting_that_is_none(world: World, where: dict[str, str], code: str) -> None:
    john = await world.caller("John")
    with pytest.raises(AssertionError, match=code):
        await john.join_meeting(**where)
    with pytest.raises(AssertionError, match="unknownMeeting"):
        await john.join_meeting(join_meeting_id=world.meeting.join_meeting_id, passcode="guess")
    await john.join_meeting(thread_id=world.meeting.thread_id)


async def test_the_softphone_joins_a_meeting_and_is_heard(world: World) -> None:
    alice = await world.member("Alice", 700)
    target = MeetingTarget(join_url=world.meeting.join_url)
    phone = world.softphone("John", target=target, actions=(Action(0.0, "start"),))
    assert (await phone.told("joined"))["inLobby"] is False
    await phone.told("connected")
    await phone.told("sharing")
    await hears(alice, 900, never=(700,))
    await phone.phone.perform("mute")
    await hears(alice, never=(900,))
    report = await phone.stopped()
    assert report.succeeded
    assert report.end is not None
    assert (report.end.code, report.end.subcode) == (200, 4521)


async def test_the_softphone_comes_back_after_its_socket_was_lost(world: World) -> None:
    alice = await world.member("Alice", 700)
    phone = world.softphone("John", target=MeetingTarget(thread_id=world.meeting.thread_id))
    await phone.told("connected")
    await hears(alice, 900)
    call = phone.phone._call
    assert call is not None
    await call._line._signalling._connection.close()  # as if the network had gone
    await phone.told("reconnected")
    await hears(alice, 900)
    report = await phone.stopped()
    assert (report.reconnects, report.succeeded) == (1, True)


async def test_the_softphone_calls_a_bot_that_hangs_up(world: World, tmp_path: Path) -> None:
    dev = world.service.dev_file
    async with Receiver(tmp_path) as receiver, GraphHttp(dev) as graph:
        webhook = f"/mixminus/v1/apps/{dev.app_id}/webhook"
        kept = await graph.http.put(webhook, json={"callbackUri": receiver.url})
        assert kept.is_success, kept.text
        phone = world.softphone("John", target=BotTarget(dev.app_id))
        await phone.told("calling")
        await eventually(lambda: receiver.taken, 10.0)
        call_id = receiver.taken[0]["value"][0]["resourceData"]["id"]
        body = call_body(receiver.url)
        media = {"@odata.type": "#microsoft.graph.serviceHostedMediaConfig"}
        answer = {key: body[key] for key in ("callbackUri",)} | {
            "mediaConfig": media,
            "acceptedModalities": ["audio"],
        }
        calls = "/v1.0/communications/calls"
        answered = await graph.http.post(f"{calls}/{call_id}/answer", json=answer)
        assert answered.status_code == 202, answered.text
        await phone.told("connected")
        await eventually(
            lambda: any("mediaState" in data for data in receiver.of(call_id)), 10.0, "media"
        )
        subscribed = await graph.http.post(f"{calls}/{call_id}/subscribeToTone", json={})
        assert subscribed.status_code == 200, subscribed.text
        await phone.phone.perform("press", "5")
        await eventually(lambda: tones(receiver, call_id) == ["tone5"], 10.0)
        await phone.phone.perform("pressInBand", "9")
        await eventually(lambda: tones(receiver, call_id) == ["tone5", "tone9"], 10.0)
        assert (await graph.http.delete(f"{calls}/{call_id}")).status_code == 204
        report = await asyncio.wait_for(phone.task, 20)
        assert report.end is not None
        assert (report.end.by, report.end.code) == ("far end", 200)
        assert report.succeeded


async def test_the_softphone_says_why_a_bot_cannot_be_called(world: World) -> None:
    phone = world.softphone("John", target=BotTarget("no such application"))
    report = await asyncio.wait_for(phone.task, 20)
    assert not report.succeeded
    assert report.end is not None
    assert report.end.message
