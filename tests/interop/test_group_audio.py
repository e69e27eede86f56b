"""A meeting of five people and a bot, over real WebRTC and a real media link: who hears whom.

Everybody says a tone of their own all the time, so that what one hears says exactly whom one hears.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import pytest
import pytest_asyncio

from mixminus.control.host import Bot, BotHost, HostedCall
from mixminus.control.service.service import CallService
from mixminus.control.service.settings import ServiceSettings
from mixminus.control.settings import HostSettings
from mixminus.media.pcm import FRAME_SAMPLES, SAMPLE_RATE_HZ, Pcm
from mixminus.media.platform import MediaPlatform
from tests.interop.caller import SILENCE, TestCaller, add_users
from tests.service_kit import GraphHttp
from tests.signals import sine, tone_dbov
from tests.support import eventually

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.alone]

PEOPLE = {"John": 300, "Bob": 500, "Alice": 700, "Carol": 1100, "Dave": 1300}
TONES = {**PEOPLE, "Bot": 1700, "Guest": 2100}
"""Hz; a whole number of periods in a frame for those that a bot repeats."""
AMPLITUDE = 3000.0
"""Seven of them together stay below full scale: nothing is limited, and no tone makes another."""
HEARD_DBOV = -35.0
"""A tone arrives at -24 dBov. Opus adds noise of some -55 dBov beside those that it is given."""
UNHEARD_DBOV = -48.0
OWN_DB = -60.0
WINDOW_S = 0.4
SETTLE_S = 12.0

Hearing = dict[str, set[str]]


class Ears(Protocol):
    """Whoever says a tone and can be asked what it hears."""

    def say_tone(self, hz: int, amplitude: float = AMPLITUDE) -> None:
        """Say a tone from now on; 0 Hz is silence."""

    async def listen(self, seconds: float = WINDOW_S) -> Pcm:
        """Return what is heard from now on."""


@dataclass
class Voice:
    """An application's side of one call: says its frame over and over, keeps what it hears."""

    frame: Pcm = field(default_factory=lambda: SILENCE)
    heard: list[Pcm] = field(default_factory=list)

    async def attend(self, call: HostedCall) -> None:
        async for frame in call.audio:
            self.heard.append(frame)
            await call.audio.send(self.frame)

    def say_tone(self, hz: int, amplitude: float = AMPLITUDE) -> None:
        self.frame = sine(hz, SAMPLE_RATE_HZ, FRAME_SAMPLES / SAMPLE_RATE_HZ, amplitude)

    async def listen(self, seconds: float = WINDOW_S) -> Pcm:
        start, frames = len(self.heard), round(seconds * SAMPLE_RATE_HZ / FRAME_SAMPLES)
        await eventually(lambda: len(self.heard) >= start + frames, 15.0, f"{frames} frames")
        return np.concatenate(self.heard[start : start + frames])


@dataclass
class Meeting:
    """The meeting, and everybody's ears."""

    graph: GraphHttp
    host: BotHost
    bot: HostedCall
    join_meeting_id: str
    people: dict[str, TestCaller]
    voices: dict[str, Voice]
    ears: dict[str, Ears]

    async def expect(self, expected: Mapping[str, set[str]], what: str) -> dict[str, Pcm]:
        """Wait until everybody hears those named, and nobody else; return what each hears then."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + SETTLE_S
        while True:
            heard = await asyncio.gather(*(ears.listen() for ears in self.ears.values()))
            pcm = dict(zip(self.ears, heard, strict=True))
            came = {name: _whom(name, pcm[name]) for name in pcm}
            if came == expected:
                return pcm
            wrong = {
                name: {"hears": came[name], "should hear": expected[name]}
                for name in expected
                if came[name] != expected[name]
            }
            assert loop.time() < deadline, f"{what}: {wrong}"

    def everybody(self, *without: str) -> Hearing:
        """Who hears whom if all do but those *without*, who neither hear nor are heard."""
        names = set(self.ears) - set(without)
        return {name: names - {name} if name in names else set() for name in self.ears}

    async def participant_id(self, name: str) -> str:
        """The roster's id of somebody."""
        path = f"/v1.0/communications/calls/{self.bot.id}/participants"
        for entry in (await self.graph.http.get(path)).json()["value"]:
            for identity in entry["info"]["identity"].values():
                if isinstance(identity, dict) and identity.get("displayName") == name:
                    return str(entry["id"])
        raise AssertionError(f"{name} is not in the roster")


def _whom(name: str, pcm: Pcm) -> set[str]:
    """Say whose tones *name* heard. Its own voice counts where another's would not yet."""
    return {
        other
        for other, hz in TONES.items()
        if tone_dbov(pcm, hz) > (HEARD_DBOV if name != other else UNHEARD_DBOV)
    }


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def meeting(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Meeting]:
    directory = tmp_path_factory.mktemp("group")
    await add_users(directory, *(PEOPLE.keys() - {"John", "Bob", "Alice"}))
    bot = Bot("Bot")
    voices: dict[str, Voice] = {}

    @bot.on_call
    async def speak(call: HostedCall) -> None:
        await voices.setdefault(call.id, Voice()).attend(call)

    async with AsyncExitStack() as stack:
        platform = await stack.enter_async_context(MediaPlatform())
        settings = ServiceSettings(state_dir=directory, drain_s=0.0)
        service = await stack.enter_async_context(CallService(settings, platform=platform))
        dev = service.dev_file
        graph = await stack.enter_async_context(GraphHttp(dev))
        made = next(row for row in await service.meetings.all() if row.passcode is None)
        host_settings = HostSettings.from_dev_file(dev, state_dir=directory / "bot")
        host = await stack.enter_async_context(BotHost(bot, host_settings, platform=platform))
        call = await host.calls.join(join_meeting_id=made.join_meeting_id)
        people: dict[str, TestCaller] = {}
        for name in PEOPLE:
            caller = TestCaller(dev, name, platform)
            people[name] = await stack.enter_async_context(caller)
        await asyncio.gather(
            *(c.join_meeting(join_meeting_id=made.join_meeting_id) for c in people.values())
        )
        await call.wait_media(15.0)
        ears: dict[str, Ears] = {**people, "Bot": voices.setdefault(call.id, Voice())}
        for name, who in ears.items():
            who.say_tone(TONES[name], AMPLITUDE)
        yield Meeting(graph, host, call, made.join_meeting_id, people, voices, ears)
        for caller in people.values():
            await caller.hang_up()


async def test_each_hears_all_others(meeting: Meeting) -> None:
    await meeting.expect(meeting.everybody(), "all speak")


@pytest.mark.slow
async def test_nobody_hears_itself(meeting: Meeting) -> None:
    """One at a time speaks: then any sound that it hears is its own voice."""
    for who in meeting.ears.values():
        who.say_tone(0)
    for name, who in meeting.ears.items():
        who.say_tone(TONES[name], AMPLITUDE)
        alone = {other: {name} - {other} for other in meeting.ears}
        await meeting.expect(alone, f"{name} speaks alone")
        heard = await asyncio.gather(*(ears.listen() for ears in meeting.ears.values()))
        levels = {
            n: tone_dbov(pcm, TONES[name]) for n, pcm in zip(meeting.ears, heard, strict=True)
        }
        own = levels.pop(name)
        assert own - min(levels.values()) <= OWN_DB, (name, own, levels)
        who.say_tone(0)
    for name, who in meeting.ears.items():
        who.say_tone(TONES[name], AMPLITUDE)
    await meeting.expect(meeting.everybody(), "all speak again")


async def test_an_audio_routing_group_makes_a_voice_private(meeting: Meeting) -> None:
    own, john, bob = [await meeting.participant_id(name) for name in ("Bot", "John", "Bob")]
    create = meeting.bot.create_audio_routing_group
    await create("whisper", routing_mode="oneToOne", sources=[own], receivers=[john])
    expected = meeting.everybody()
    for name in expected.keys() - {"John"}:
        expected[name].discard("Bot")
    await meeting.expect(expected, "the bot whispers to John")
    await meeting.bot.update_audio_routing_group(
        "whisper", routing_mode="multicast", sources=[own], receivers=[john, bob]
    )
    expected["Bob"].add("Bot")
    await meeting.expect(expected, "the bot whispers to John and Bob")
    await meeting.bot.delete_audio_routing_group("whisper")
    await meeting.expect(meeting.everybody(), "no group any more")


async def test_who_is_muted_is_heard_by_nobody_and_hears_all(meeting: Meeting) -> None:
    await meeting.bot.mute()
    expected = meeting.everybody()
    for name in expected:
        expected[name].discard("Bot")
    await meeting.expect(expected, "the bot is muted")
    await meeting.bot.mute_participant(await meeting.participant_id("Alice"))
    for name in expected:
        expected[name].discard("Alice")
    await meeting.expect(expected, "Alice is muted too")
    await meeting.bot.unmute()
    await meeting.people["Alice"].ask("unmute")
    await meeting.expect(meeting.everybody(), "nobody is muted")


@pytest.mark.slow
async def test_on_hold_one_neither_hears_nor_is_heard(meeting: Meeting) -> None:
    await meeting.people["Carol"].ask("hold")
    await meeting.expect(meeting.everybody("Carol"), "Carol holds")
    dave = await meeting.participant_id("Dave")
    await meeting.bot.start_hold_music(dave)
    await meeting.expect(meeting.everybody("Carol", "Dave"), "Dave hears music")
    music = await meeting.people["Dave"].listen()
    assert np.max(np.abs(music)) > 100, "music was to be heard"
    await meeting.bot.stop_hold_music(dave)
    await meeting.people["Carol"].ask("resume")
    await meeting.expect(meeting.everybody(), "nobody is on hold")


async def test_in_the_lobby_one_neither_hears_nor_is_heard(meeting: Meeting) -> None:
    guest = await meeting.host.calls.join(
        join_meeting_id=meeting.join_meeting_id, guest_name="Guest"
    )
    await guest.wait_established(15.0)
    voice = meeting.voices.setdefault(guest.id, Voice())
    voice.say_tone(TONES["Guest"])
    meeting.ears["Guest"] = voice
    await eventually(lambda: voice.heard, 15.0, "the guest's media")
    await meeting.expect(meeting.everybody("Guest"), "the guest waits")
    path = f"/beta/communications/calls/{meeting.bot.id}/participants"
    guest_id = await meeting.participant_id("Guest")
    assert (await meeting.graph.http.post(f"{path}/{guest_id}/admitFromLobby")).is_success
    await meeting.expect(meeting.everybody(), "the guest is in")
    await guest.hang_up()
    await guest.wait_closed()
    del meeting.ears["Guest"]
    await meeting.expect(meeting.everybody(), "the guest has left")
