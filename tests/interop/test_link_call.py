"""A meeting over the media link: speakers apart, keys, marks, clear, and a link that is cut."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import numpy as np
import pytest
import pytest_asyncio

from mixminus.control.host import Bot, BotHost, HostedCall
from mixminus.control.service.live_call import LiveCall
from mixminus.control.service.service import CallService
from mixminus.control.service.settings import ServiceSettings
from mixminus.control.settings import HostSettings
from mixminus.media.dtmf import ToneDetector
from mixminus.media.pcm import FRAME_SAMPLES, SAMPLE_RATE_HZ, Pcm
from mixminus.media.platform import MediaPlatform
from mixminus.media.session import MediaSession, SessionFrame
from mixminus.media.transports.link import ServiceLink
from mixminus.media.transports.message_socket import ClientSocket
from tests.interop.caller import TestCaller
from tests.signals import sine, tone_dbov
from tests.support import eventually

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.alone]

PEOPLE = {"John": 300, "Bob": 700}
AMPLITUDE = 3000.0
BOT_HZ = 1700


@dataclass
class Meeting:
    """Two people who say tones, and a bot that does as the tests tell it."""

    service: CallService
    call: HostedCall
    people: dict[str, TestCaller]
    marks: list[tuple[str, bool]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    media: list[bool] = field(default_factory=list)

    @property
    def session(self) -> MediaSession:
        assert self.call.session is not None
        return self.call.session

    def links(self) -> tuple[LiveCall, ServiceLink]:
        """The service's side of the bot's call."""
        (live,) = self.service.book._living.values()
        link = live._media._link  # type: ignore[union-attr]
        assert isinstance(link, ServiceLink)
        return live, link

    def source_id(self, name: str) -> int:
        live, _ = self.links()
        members = live.conversation.members.values()
        (found,) = [member.source_id for member in members if member.display_name == name]
        return found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def meeting(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Meeting]:
    directory = tmp_path_factory.mktemp("link")
    bot = Bot("Bot")

    @bot.on_call
    async def stay(call: HostedCall) -> None:
        async for _ in call.audio:
            pass

    async with AsyncExitStack() as stack:
        platform = await stack.enter_async_context(MediaPlatform())
        settings = ServiceSettings(state_dir=directory, drain_s=0.0)
        service = await stack.enter_async_context(CallService(settings, platform=platform))
        dev = service.dev_file
        made = next(row for row in await service.meetings.all() if row.passcode is None)
        host_settings = HostSettings.from_dev_file(dev, state_dir=directory / "bot")
        host = await stack.enter_async_context(BotHost(bot, host_settings, platform=platform))
        call = await host.calls.join(join_meeting_id=made.join_meeting_id)
        people: dict[str, TestCaller] = {}
        for name in PEOPLE:
            caller = TestCaller(dev, name, platform)
            people[name] = await stack.enter_async_context(caller)
        await asyncio.gather(
            *(one.join_meeting(join_meeting_id=made.join_meeting_id) for one in people.values())
        )
        await call.wait_media(15.0)
        world = Meeting(service, call, people)
        call.audio.on_mark(lambda name, played: world.marks.append((name, played)))
        call.audio.on_tone(world.keys.append)
        call.audio.on_media(world.media.append)
        yield world
        for caller in people.values():
            await caller.hang_up()


def bot_tone(frames: int = 1) -> list[Pcm]:
    """A tone as the bot says it: whole periods in each frame."""
    return [sine(BOT_HZ - 50, SAMPLE_RATE_HZ, FRAME_SAMPLES / SAMPLE_RATE_HZ, AMPLITUDE)] * frames


async def take(session: MediaSession, count: int) -> list[SessionFrame]:
    """So many ticks in which everybody is there."""
    listener = session.listen()
    taken: list[SessionFrame] = []
    async with asyncio.timeout(15):
        async for frame in listener:
            if len(frame.speakers) == len(PEOPLE):
                taken.append(frame)
            if len(taken) == count:
                break
    listener.close()
    return taken


def check_speakers(meeting: Meeting, taken: list[SessionFrame]) -> None:
    """Each alone is in its own stream, and the sum is the mix, sample for sample."""
    for name, hz in PEOPLE.items():
        own = np.concatenate([frame.speakers[meeting.source_id(name)] for frame in taken])
        levels = {other: tone_dbov(own, at) for other, at in PEOPLE.items()}
        assert levels.pop(name) > -30, (name, hz)
        assert max(levels.values()) < -48, (name, levels)
    for frame in taken:
        total = sum(speaker.astype(int) for speaker in frame.speakers.values())
        assert {speaker.timestamp for speaker in frame.speakers.values()} == {frame.timestamp}
        np.testing.assert_array_equal(total, frame.mixed)


async def test_each_speaker_is_heard_apart_and_the_sum_is_the_mix(meeting: Meeting) -> None:
    for name, caller in meeting.people.items():
        caller.say_tone(PEOPLE[name], AMPLITUDE)
    await take(meeting.session, 50)  # until the callers' own delay has settled
    check_speakers(meeting, await take(meeting.session, 50))
    for name in PEOPLE:
        person = meeting.call.speaker(meeting.source_id(name))
        assert person is not None
        assert person.display_name == name


async def test_keys_of_the_callers_reach_the_bot_and_the_bots_reach_them(meeting: Meeting) -> None:
    await meeting.people["John"].press("5")
    await meeting.people["Bob"].press("#")
    await eventually(lambda: meeting.keys == ["5", "#"])
    for caller in meeting.people.values():
        caller.say_tone(0)
    live, _ = meeting.links()
    before = {name: len(caller.heard) for name, caller in meeting.people.items()}
    await meeting.call.audio.send_tones("19*")

    def heard_by(name: str) -> str:
        pcm = np.concatenate([*meeting.people[name].heard[before[name] :], bot_tone()[0]])
        return "".join(key.key for key in ToneDetector().push(pcm))

    # Their devices take no telephone events: what they get is the sound, and each a leg of its own.
    for name in PEOPLE:
        await eventually(lambda: heard_by(name) == "19*", 10.0, f"the keys at {name}")  # noqa: B023
        assert [e["tone"] for e in meeting.people[name].events if e["type"] == "tone"][-3:] == [
            "1",
            "9",
            "*",
        ]
    await eventually(lambda: not any(m.whispers for m in live.conversation.members.values()))


async def test_a_mark_comes_back_when_it_was_heard_and_a_clear_cuts_short(meeting: Meeting) -> None:
    audio, john = meeting.call.audio, meeting.people["John"]

    def hears_bot() -> bool:
        return john.hears(lambda frame: tone_dbov(frame, BOT_HZ - 50) > -35, 1)

    *tone, last = bot_tone(25)
    for frame in tone:
        await audio.send(frame)
    await audio.send(last, mark="said")
    await eventually(lambda: ("said", True) in meeting.marks)
    # What the service has played is on its way to John, who hears it a jitter buffer later.
    await eventually(lambda: not hears_bot(), what="John to have heard it all")
    for number, frame in enumerate(bot_tone(5)):
        await audio.send(frame, mark=f"cut {number}")
    audio.flush()
    await eventually(lambda: ("cut 4", False) in meeting.marks)
    assert [name for name, _ in meeting.marks] == ["said", *(f"cut {n}" for n in range(5))]
    played = [was_played for _, was_played in meeting.marks[1:]]
    assert played == sorted(played, reverse=True), "what was heard came before what was not"


async def test_a_link_that_is_cut_in_mid_call_comes_back_and_the_call_goes_on(
    meeting: Meeting,
) -> None:
    for name, caller in meeting.people.items():
        caller.say_tone(PEOPLE[name], AMPLITUDE)
    session, (_, link) = meeting.session, meeting.links()
    await take(session, 5)
    listener = session.listen()
    assert link._connection is not None
    socket = link._connection._socket
    assert isinstance(socket, ClientSocket)
    socket._connection.transport.abort()
    await eventually(lambda: meeting.media == [False, True], what="lost and back")
    await eventually(lambda: link.counters()["resumed"] == 1, what="the service's side to know")
    assert link.counters()["lost"] == 1
    assert not meeting.call.is_over
    assert meeting.call.session is session
    listener.close()
    # The same legs, the same speakers: who listens sees a gap and no other session.
    await take(session, 25)
    check_speakers(meeting, await take(session, 25))
    frames = bot_tone(20)
    for frame in frames[:-1]:
        await meeting.call.audio.send(frame)
    await meeting.call.audio.send(frames[-1], mark="after")
    await eventually(lambda: ("after", True) in meeting.marks)
    await meeting.people["Bob"].press("7")
    await eventually(lambda: meeting.keys[-1] == "7")
