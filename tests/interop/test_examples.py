"""The examples against the embedded service: real notifications, prompts, recordings and keys."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from mixminus.control.host import Bot, BotHost, HostedCall
from mixminus.control.host.bot import load_bot
from mixminus.control.service.service import CallService
from mixminus.control.service.settings import ServiceSettings
from mixminus.control.settings import HostSettings
from mixminus.media.pcm import SAMPLE_RATE_HZ, level_dbov
from mixminus.media.pipeline import load_audio
from mixminus.media.platform import MediaPlatform
from tests.interop.caller import TestCaller
from tests.signals import tone_dbov
from tests.support import ROOT, eventually


class World:
    """A service, a bot in its host, and who calls."""

    def __init__(self, service: CallService, host: BotHost, callers: dict[str, TestCaller]) -> None:
        self.service = service
        self.host = host
        self.callers = callers

    @property
    def call(self) -> HostedCall:
        (call,) = self.host.calls
        return call


@asynccontextmanager
async def running(bot: Bot, state_dir: Path, *names: str) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        platform = await stack.enter_async_context(MediaPlatform())
        settings = ServiceSettings(state_dir=state_dir)
        service = await stack.enter_async_context(CallService(settings, platform=platform))
        dev = service.dev_file
        host_settings = HostSettings.from_dev_file(dev, state_dir=state_dir)
        callers = {
            name: await stack.enter_async_context(TestCaller(dev, name, platform)) for name in names
        }
        host = await stack.enter_async_context(BotHost(bot, host_settings, platform=platform))
        yield World(service, host, callers)


@pytest.mark.slow
async def test_the_ivr_bot_answers_records_and_puts_through(tmp_path: Path) -> None:
    bot = load_bot(ROOT / "examples/ivr_bot.py")
    async with running(bot, tmp_path, "John", "Alice") as world:
        john, alice = world.callers["John"], world.callers["Alice"]
        await john.call_app(world.host.settings.app_id)
        call = world.call
        assert call.peer.display_name == "John"
        await eventually(
            lambda: level_dbov(john.heard[-1]) > -40, 30.0, "John to hear the greeting"
        )
        # The greeting takes 11 s; then a beep, then the message.
        await eventually(lambda: _is_recording(call), 40.0, "the recording to begin")
        john.say_tone(700)
        await asyncio.wait_for(_heard(john, 1.0), 10)
        await john.press("#")
        john.say_tone(0)
        await eventually(lambda: tone_dbov(john.heard[-1], 700) > -35, 20.0, "his own message")
        await john.press("0")
        await eventually(lambda: call.is_over, 30.0, "the transfer")
        assert call.bot_error is None
        assert call.result is not None
        assert call.result.subcode == 7015
        john.say_tone(500)
        await eventually(lambda: tone_dbov(alice.heard[-1], 500) > -35, 20.0, "Alice to hear John")


@pytest.mark.slow
async def test_a_user_who_rings_the_bot_talks_to_its_process(tmp_path: Path) -> None:
    bot = Bot("echo")

    @bot.on_incoming_call
    async def take(call: HostedCall) -> None:
        await call.answer()

    @bot.on_call
    async def echo(call: HostedCall) -> None:
        async for frame in call.audio:
            await call.audio.send(frame)

    async with running(bot, tmp_path, "John") as world:
        john = world.callers["John"]
        await john.call_app(world.host.settings.app_id)
        call = world.call
        john.say_tone(500)
        await eventually(lambda: tone_dbov(john.heard[-1], 500) > -35, 20.0, "the echo")
        await john.hang_up()
        async with asyncio.timeout(10):
            await call.wait_closed()
        assert call.bot_error is None
        assert call.result is not None
        assert call.result.subcode == 4521


def _is_recording(call: HostedCall) -> bool:
    operations = call._mirror.operations.values()
    return any("record" in str(op.data.get("@odata.type")) for op in operations)


async def _heard(caller: TestCaller, seconds: float) -> None:
    await caller.listen(seconds)


@pytest.mark.slow
async def test_the_meeting_bot_knows_who_is_there_and_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    bot = load_bot(ROOT / "examples/meeting_bot.py")
    async with running(bot, tmp_path, "John") as world:
        await eventually(lambda: len(world.host.calls) == 1, 10.0)
        call = world.call
        meeting = next(m for m in world.service.dev_file.meetings if m.subject == "Weekly sync")
        john = world.callers["John"]
        await john.join_meeting(join_meeting_id=meeting.join_meeting_id, passcode=meeting.passcode)
        john.say_tone(700)
        await eventually(
            lambda: (
                {"John", "minutes"}
                <= {person.display_name for person in call.participants.values()}
            ),
            10.0,
            "both to be in the roster",
        )
        await john.listen(2.0)
        assert call.me is not None
        john_here = next(p for p in call.participants.values() if p.display_name == "John")
        assert call.speaker(john_here.source_ids[0]) == john_here
        await call.hang_up()
        await call.wait_closed()
        assert call.bot_error is None
    assert "in the meeting: " in capsys.readouterr().out
    recorded = load_audio(tmp_path / "meeting.wav")
    assert tone_dbov(recorded[-SAMPLE_RATE_HZ:], 700) > -35
