"""What a call's audio tells its bot: keys once each, who leads, lost and returned media."""

from __future__ import annotations

from collections.abc import AsyncIterator

import numpy as np
import pytest

from mixminus.control.client.models import ToneInfo
from mixminus.control.graph.enums import Tone
from mixminus.control.host.call import HostedCall
from mixminus.media.pcm import FRAME_SAMPLES
from tests.host_kit import World, states, world_of
from tests.session_kit import FakeTransport
from tests.support import eventually
from tests.unit.test_host_verbs import delta, person


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with world_of() as world:
        yield world


async def talking(world: World) -> tuple[HostedCall, FakeTransport]:
    call = await world.calls.create(user="John")
    transport = FakeTransport()
    assert call.session is not None
    call.session.attach(transport)
    world.say(call.id, "established")
    await eventually(lambda: "established" in states(call))
    return call, transport


def press(transport: FakeTransport, *keys: str) -> None:
    assert transport.on_tone is not None
    for key in keys:
        transport.on_tone(key)


async def test_keys_of_the_audio_reach_the_bot_without_a_subscription(world: World) -> None:
    told: list[str | None] = []

    @world.bot.on_tone
    async def note(call: HostedCall, tone: ToneInfo) -> None:
        told.append(tone.key)

    call, transport = await talking(world)
    tones = call.tones()
    press(transport, "1", "#")
    await eventually(lambda: told == ["1", "#"])
    assert await tones.next() == ToneInfo(Tone.TONE1, None)
    assert (await anext(tones)).key == "#"


@pytest.mark.parametrize("first", ["audio", "notification"])
async def test_a_key_that_is_told_twice_is_one_press(world: World, first: str) -> None:
    told: list[str | None] = []

    @world.bot.on_tone
    async def note(call: HostedCall, tone: ToneInfo) -> None:
        told.append(tone.key)

    call, transport = await talking(world)

    def signal(number: int, tone: str) -> None:
        world.say(call.id, "established", toneInfo={"sequenceId": number, "tone": tone})

    if first == "audio":
        press(transport, "5", "5")
    for number in (1, 2):
        signal(number, "tone5")
    if first == "notification":
        press(transport, "5", "5")
    signal(3, "pound")
    await eventually(lambda: "#" in told)
    assert told == ["5", "5", "#"]


async def test_who_leads_is_told_and_the_roster_says_who_it_is(world: World) -> None:
    told: list[int | None] = []
    names: list[str | None] = []

    @world.bot.on_dominant_speaker
    async def note(call: HostedCall, source_id: int | None) -> None:
        told.append(source_id)
        if source_id is not None:
            names.append(call.speaker_name(source_id))

    call, transport = await talking(world)
    assert transport.wanted == [True], "the bot wants to know"
    world.tell(call.id, "participants", delta(1, person("ann", 1), person("joe", 2)))
    assert call.session is not None
    ann, joe = call.session.open_speaker(201), call.session.open_speaker(202)
    loud = np.random.default_rng(2).integers(-7000, 7000, FRAME_SAMPLES).astype(np.int16)
    quiet = np.zeros(FRAME_SAMPLES, np.int16)
    await eventually(lambda: call.speaker(202) is not None)
    for speaker in (ann, joe):
        for tick in range(50):
            said = loud if tick % 5 else quiet
            ann.source.write(said if speaker is ann else quiet)
            joe.source.write(said if speaker is joe else quiet)
            world.platform.tick()
    await eventually(lambda: told == [201, 202])
    assert names == ["Ann", "Joe"]
    assert call.speaker_name(999) is None
    call.session.open_speaker(999, "by the far end")
    assert call.speaker_name(999) == "by the far end"


async def test_the_only_speaker_of_a_call_of_two_is_the_peer(world: World) -> None:
    call, _ = await talking(world)
    assert call.session is not None
    assert call.speaker_name(7) is None
    call.session.open_speaker(7)
    assert call.speaker(7) is None, "no roster was told"
    assert call.speaker_name(7) == call.peer.display_name == "John"
    assert call.speaker_name(8) is None


async def test_media_that_are_lost_and_back_are_told_and_the_call_lives(world: World) -> None:
    told: list[bool] = []

    @world.bot.on_media
    async def note(call: HostedCall, is_back: bool) -> None:
        told.append(is_back)

    call, transport = await talking(world)
    assert transport.on_media is not None
    transport.on_media(False)
    assert not call.audio.active
    transport.on_media(True)
    await eventually(lambda: told == [False, True])
    assert not call.is_over


async def test_a_media_handler_that_fails_ends_its_call(world: World) -> None:
    @world.bot.on_media
    async def broken(call: HostedCall, is_back: bool) -> None:
        raise ZeroDivisionError

    call, transport = await talking(world)
    assert transport.on_media is not None
    transport.on_media(False)
    await eventually(lambda: call.is_over)
    assert call.bot_error is not None
    assert "ZeroDivisionError" in call.bot_error


async def test_keys_without_end_are_complained_of_once(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    call, transport = await talking(world)
    tones = call.tones()
    press(transport, *("12" * 1000))
    assert caplog.text.count("handlers are behind") == 1
    assert (await anext(tones)).key == "1"
    assert not call.is_over
