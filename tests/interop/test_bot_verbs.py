"""Every verb of a bot's call against the embedded service: what it returns, and who notices."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from mixminus.control.client.requests import GraphRequestError
from mixminus.control.graph.enums import CallState, Tone
from mixminus.control.host import (
    Bot,
    BotHost,
    HostedCall,
    Identity,
    OperationFailedError,
    Participant,
    ToneInfo,
)
from mixminus.control.service.service import CallService
from mixminus.control.service.settings import ServiceSettings
from mixminus.control.settings import HostSettings
from mixminus.media.platform import MediaPlatform
from tests.support import ROOT, eventually

SPEECH = ROOT / "tests/data/speech.wav"
PHONE = "+14255550123"


class World:
    """A service with its scripted phone, and a host whose bot does nothing by itself."""

    def __init__(self, service: CallService, host: BotHost) -> None:
        self.service = service
        self.host = host

    @property
    def call(self) -> HostedCall:
        (call,) = self.host.calls
        return call


@asynccontextmanager
async def running(bot: Bot, state_dir: Path, **settings: Any) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        platform = await stack.enter_async_context(MediaPlatform())
        service = await stack.enter_async_context(
            CallService(ServiceSettings(state_dir=state_dir, **settings), platform=platform)
        )
        host_settings = HostSettings.from_dev_file(service.dev_file, state_dir=state_dir)
        host = await stack.enter_async_context(BotHost(bot, host_settings, platform=platform))
        yield World(service, host)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with running(Bot("test bot"), tmp_path) as world:
        yield world


async def established(call: HostedCall) -> HostedCall:
    async with asyncio.timeout(20):
        await call.wait_established()
    return call


async def test_a_phone_is_called_and_presses_a_key(world: World) -> None:
    told: list[ToneInfo] = []

    @world.host.bot.on_tone
    async def note(call: HostedCall, tone: ToneInfo) -> None:
        told.append(tone)

    call = await established(await world.host.calls.create(phone=PHONE, media="service"))
    tones = call.tones()
    await call.subscribe_to_tone()
    async with asyncio.timeout(20):
        assert (await anext(tones)).tone is Tone.TONE1
    await eventually(lambda: told)
    sent = await call.send_dtmf_tones("1", "#")
    assert sent.completion_reason == "completedSuccessfully"
    await call.hang_up()
    assert call.result is not None
    assert call.result.subcode == 7000


async def test_prompts_queue_and_are_cancelled(world: World) -> None:
    call = await established(await world.host.calls.create(phone=PHONE, media="service"))
    playing = asyncio.create_task(call.play_prompt(SPEECH))
    waiting = asyncio.create_task(call.record_response())
    await eventually(lambda: len(call._mirror.operations) == 2, 20.0, "both to have begun")
    assert (await call.cancel_media_processing()).is_final
    results = await asyncio.gather(playing, waiting, return_exceptions=True)
    assert all(
        isinstance(result, OperationFailedError) or getattr(result, "is_final", False)
        for result in results
    )
    assert isinstance(results[1], OperationFailedError)
    assert results[1].operation.completion_reason == "operationCanceled"
    listed = {operation.id: operation for operation in await call.operations()}
    assert {"playPromptOperation", "recordOperation"} <= {o.type for o in listed.values()}


async def test_a_prompt_that_is_no_audio_fails_with_its_reason(world: World) -> None:
    call = await established(await world.host.calls.create(phone=PHONE, media="service"))
    with pytest.raises(OperationFailedError, match=r"8535|8536|8511"):
        await call.play_prompt(Path(__file__))
    with pytest.raises(FileNotFoundError):
        await call.play_prompt(Path("nothing.wav"))
    assert not call.is_over


@pytest.mark.slow
async def test_a_meeting_is_joined_by_link_and_by_id_and_its_verbs_work(world: World) -> None:
    meeting = next(m for m in world.service.dev_file.meetings if m.passcode)
    call = await established(
        await world.host.calls.join(join_url=meeting.join_url, media="service")
    )
    guest = await established(
        await world.host.calls.join(
            join_meeting_id=meeting.join_meeting_id,
            passcode=meeting.passcode,
            guest_name="Guest",
            media="service",
        )
    )
    await eventually(lambda: guest.me is not None)
    me = guest.me
    assert me is not None
    assert me.is_in_lobby
    await eventually(lambda: call.me is not None)
    mine = call.info.my_participant_id
    assert mine is not None
    assert (await call.mute()).is_final
    await eventually(lambda: call.me is not None and call.me.is_muted)
    assert (await call.unmute()).is_final
    await eventually(lambda: call.me is not None and not call.me.is_muted)
    fetched = {person.id: person for person in await call.fetch_participants()}
    assert fetched[mine].display_name == "test bot"
    second = world.service.dev_file.application_instance_id
    assert second is not None
    other = await established(
        await world.host.calls.join(
            meeting="Weekly sync",
            source=Identity.application_instance(second, "the same app again"),
            media="service",
        )
    )
    theirs = other.info.my_participant_id
    assert theirs is not None
    await eventually(lambda: call.participant(theirs))
    group = await call.create_audio_routing_group("g", sources=[mine], receivers=[theirs])
    assert group.id == "g"
    assert [g.id for g in await call.audio_routing_groups()] == ["g"]
    updated = await call.update_audio_routing_group(
        "g", sources=[theirs], receivers=[mine], routing_mode="oneToOne"
    )
    assert updated.receivers == (mine,)
    assert await call.delete_audio_routing_group("g")
    assert not await call.delete_audio_routing_group("g")
    assert await call.content_sharing_sessions() == ()
    assert (await call.update_recording_status("recording")).is_final
    view = await call.add_large_gallery_view()
    assert view.is_final
    assert (await call.mute_participant(theirs)).is_final
    await eventually(lambda: other.me is not None and other.me.is_muted)
    assert (await call.start_hold_music(theirs, prompt=SPEECH)).is_final
    assert (await call.stop_hold_music(theirs)).is_final
    invited = await call.invite(Identity.phone(PHONE), client_context="fetch her")
    assert invited.client_context == "fetch her"
    await eventually(lambda: any(_is_phone(person) for person in call.participants.values()))
    assert await call.remove_participant(theirs)
    async with asyncio.timeout(10):
        await other.wait_closed()
    assert other.result is not None
    assert other.result.subcode == 5300
    await eventually(lambda: call.participant(theirs) is None)
    await guest.hang_up()
    await call.hang_up()
    assert call.bot_error is None


def _is_phone(person: Participant) -> bool:
    return person.identity is not None and person.identity.kind == "phone"


async def test_a_wrong_passcode_is_graphs_error(world: World) -> None:
    meeting = next(m for m in world.service.dev_file.meetings if m.passcode)
    with pytest.raises(GraphRequestError) as caught:
        await world.host.calls.join(
            join_meeting_id=meeting.join_meeting_id, passcode="wrong", media="service"
        )
    assert (caught.value.status, caught.value.code) == (404, "8561")
    assert len(world.host.calls) == 0


@pytest.mark.slow
async def test_established_before_establishing_is_no_matter(tmp_path: Path) -> None:
    seen: list[CallState] = []
    bot = Bot("test bot")

    @bot.on_update
    async def note(call: HostedCall) -> None:
        seen.append(call.state)

    async with running(bot, tmp_path, swap_establishing=True) as world:
        call = await established(await world.host.calls.create(phone=PHONE, media="service"))
        await eventually(lambda: call.has_audio)
        await call.hang_up()
    assert CallState.ESTABLISHING not in seen[seen.index(CallState.ESTABLISHED) :]


@pytest.mark.slow
async def test_a_host_that_started_again_finds_its_call(world: World) -> None:
    call = await established(await world.host.calls.create(phone=PHONE, media="service"))
    # As after a restart: the process knows nothing of the call.
    await call.wait_media()
    world.host.calls._calls.clear()
    await call._client.play_prompt(call.id, world.host.calls.prompts.prompt(SPEECH))
    await call._client.cancel_media_processing(call.id)
    await eventually(lambda: len(world.host.calls) == 1, 20.0, "word of the prompt")
    found = world.call
    assert found is not call
    assert found.id == call.id
    assert found.peer.id == PHONE
    await found.hang_up()
    call._end("the test is over")
    await call.wait_closed()


Verb = Callable[[HostedCall], Awaitable[object]]
LATE: dict[str, Verb] = {
    "mute": lambda call: call.mute(),
    "play_prompt": lambda call: call.play_prompt(SPEECH),
    "invite": lambda call: call.invite(Identity.phone(PHONE)),
    "answer": lambda call: call.answer(media="service"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", LATE)
async def test_a_verb_that_does_not_suit_is_refused_and_changes_nothing(
    world: World, name: str
) -> None:
    call = await established(await world.host.calls.create(phone=PHONE, media="service"))
    if name == "play_prompt":
        await call.hang_up()
        with pytest.raises(ConnectionError, match="the call is over"):
            await LATE[name](call)
        return
    with pytest.raises(GraphRequestError) as caught:
        await LATE[name](call)
    assert caught.value.status == 400
    assert call.state is CallState.ESTABLISHED
