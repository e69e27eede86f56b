"""The example bots in virtual time: a call is a session whose ticks the test makes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mixminus.control.host.bot import load_bot
from mixminus.control.host.call import HostedCall
from mixminus.control.host.plugins import CallPlugins, HostPlugins
from mixminus.control.host.recording import HostRecordings
from mixminus.media.pcm import FRAME_SAMPLES, SAMPLE_RATE_HZ, Pcm, level_dbov
from mixminus.media.pipeline import load_audio
from mixminus.media.plugins.events import PluginEvent
from mixminus.media.plugins.worker import PluginWorker
from mixminus.media.recorder import RecordingStore
from tests.host_kit import World, states, world_of
from tests.session_kit import FakeTransport, settle
from tests.signals import sine, tone_dbov
from tests.support import ROOT, eventually

EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
SPEECH = ROOT / "tests/data/speech.wav"
SAID = {"text": "hello", "start_ms": 1500}
SILENT = np.zeros(FRAME_SAMPLES, np.int16)
FRAMES_PER_S = 50


class Person:
    """Who is at the far end of a call: says ``saying``, hears into ``heard``."""

    def __init__(self, call: HostedCall) -> None:
        assert call.session is not None
        self.call = call
        self.legs = call.session.legs
        self.transport = FakeTransport(("tones",))
        call.session.attach(self.transport)
        self.saying: Pcm = SILENT
        self.heard: list[Pcm] = []

    def press(self, key: str) -> None:
        assert self.transport.on_tone is not None
        self.transport.on_tone(key)

    def last(self, seconds: float) -> Pcm:
        """What was heard last."""
        return np.concatenate(self.heard[-round(seconds * FRAMES_PER_S) :])


class Scene:
    """A bot from ``examples/`` and people who talk to it."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        loaded = load_bot(ROOT / "examples" / f"{name}.py")
        vars(world.bot).update(vars(loaded))
        self.worker = PluginWorker.of(world.platform)
        self.worker._is_threaded = False
        self.plugins = world.calls._plugins = HostPlugins(world.platform)
        self.people: list[Person] = []

    async def ring(self, call_id: str = "0000-9001", **members: Any) -> Person:
        """Somebody rings the bot, and is answered."""
        before = len(self.world.service.acted)
        self.world.ring(call_id, **members)
        await eventually(lambda: len(self.world.service.acted) > before)
        return await self.establish(call_id)

    async def establish(self, call_id: str) -> Person:
        call = self.world.calls.get(call_id)
        assert call is not None
        person = Person(call)
        self.people.append(person)
        self.world.say(call_id, "established")
        await eventually(lambda: "established" in states(call))
        return person

    async def tick(self, count: int = 1) -> None:
        for _ in range(count):
            for person in self.people:
                if not person.call.is_over:
                    person.legs.link.source.write(person.saying, self.world.platform.now())
            self.world.platform._engine.run_ticks(1, between=self.worker.work)
            for callback in tuple(self.world.platform._callbacks.values()):
                callback()
            await settle()
            for person in self.people:
                while (frame := person.legs.link.render.read()) is not None:
                    person.heard.append(np.asarray(frame))

    async def talk(self, seconds: float) -> None:
        await self.tick(round(seconds * FRAMES_PER_S))


@asynccontextmanager
async def scene(name: str) -> AsyncIterator[Scene]:
    async with world_of() as world:
        made = Scene(world, name)
        yield made
        for person in made.people:
            await person.call.hang_up()
            await person.call.wait_closed()
            assert person.call.bot_error is None
        await made.worker.close()


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_one_bot_of_60_lines_that_the_table_names(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert len(lines) <= (25 if path.stem == "echo_bot" else 60)
    assert load_bot(path).name
    assert f"mixminus try examples/{path.name}" in (ROOT / "docs/bots.md").read_text()


async def test_the_greeter_is_silent_when_spoken_to_and_goes_on_where_it_was(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with scene("greeter_bot") as it:
        john = await it.ring()
        await it.talk(1.0)
        assert level_dbov(john.last(0.5)) > -40
        john.saying = sine(440, SAMPLE_RATE_HZ, 0.02)
        await it.tick(10 + 2 + 2)
        assert not john.heard[-1].any(), "200 ms of voice, then 40 ms"
        said = capsys.readouterr().out
        assert said.startswith("interrupted after 1.")
        john.saying = SILENT
        await it.talk(1.5)
        heard = np.concatenate(john.heard)
        greeting = load_audio(SPEECH)
        # The rest is the greeting, whole but for the fade: the sample that follows is found again.
        rest = john.last(0.5)
        at = _find(greeting, rest)
        assert at > 0
        assert abs(at / SAMPLE_RATE_HZ - float(said.split()[2])) < 1.5
        assert heard.size
        await it.talk(10)
        assert not john.heard[-1].any()


async def test_voicemail_keeps_the_message_until_the_hash_and_plays_it_back(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with scene("voicemail_bot") as it:
        john = await it.ring()
        await it.talk(0.6)
        assert tone_dbov(john.last(0.4), 1000) > -25, "the beep"
        john.saying = sine(700, SAMPLE_RATE_HZ, 0.02)
        await it.talk(1.0)
        john.press("#")
        await it.tick(2)
        john.saying = SILENT
        said = capsys.readouterr().out
        assert "a message from John: " in said
        kept = load_audio(said.split(": ")[1].strip())
        assert 0.9 <= kept.size / SAMPLE_RATE_HZ <= 1.2
        assert tone_dbov(kept[-8000:], 700) > -15
        for _ in range(100):
            await it.tick(1)
            if level_dbov(john.last(0.5)) > -40 and tone_dbov(john.last(0.5), 700) > -15:
                break
            await asyncio.sleep(0.001)
        else:
            pytest.fail("the message was not played back")
        for _ in range(200):
            if john.call.is_over:
                break
            await it.tick(1)
            await asyncio.sleep(0.001)
        assert john.call.is_over, "a bot that has nothing more to say hangs up"


async def test_the_bridge_puts_two_calls_together_until_one_hangs_up() -> None:
    async with scene("bridge_bot") as it:
        john = await it.ring("0000-9001")
        await it.talk(1.0)
        assert tone_dbov(john.last(0.5), 425) > -30, "a tone while nobody is there"
        alice = await it.ring("0000-9002")
        await it.tick(10)
        john.saying = sine(500, SAMPLE_RATE_HZ, 0.02)
        alice.saying = sine(700, SAMPLE_RATE_HZ, 0.02)
        await it.talk(1.0)
        assert tone_dbov(john.last(0.5), 700) > -10
        assert tone_dbov(john.last(0.5), 425) < -60
        assert tone_dbov(john.last(0.5), 500) < -60, "nobody hears themselves"
        assert tone_dbov(alice.last(0.5), 500) > -10
        it.world.say(john.call.id, "terminated")
        await eventually(lambda: it.world.ticked() and alice.call.is_over)


async def test_who_leaves_the_bridge_before_anybody_came_is_not_waited_for() -> None:
    async with scene("bridge_bot") as it:
        john = await it.ring("0000-9001")
        await it.tick(5)
        it.world.say(john.call.id, "terminated")
        await asyncio.wait_for(john.call.wait_closed(), 5)
        alice = await it.ring("0000-9002")
        await it.talk(1.0)
        assert tone_dbov(alice.last(0.5), 425) > -30


async def test_the_prompt_player_pauses_skips_and_says_what_was_heard(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with scene("prompt_bot") as it:
        # Its on_start would call John: here he is called by the test.
        call = await it.world.calls.create(user="John")
        john = await it.establish(call.id)
        await it.talk(0.5)
        assert tone_dbov(john.last(0.2), 880) > -40
        for _ in range(100):
            await it.tick()
            await asyncio.sleep(0.001)
        assert level_dbov(john.last(0.5)) > -40, "the speech"
        john.press("1")
        await it.talk(0.5)
        assert not john.heard[-1].any()
        john.press("1")
        await it.talk(0.5)
        assert level_dbov(john.last(0.3)) > -60
        john.press("2")
        await eventually(lambda: it.world.ticked() and call.is_over)
        said = capsys.readouterr().out
        assert "4000 samples: played, 750 ms" in said
        assert "speech: cut" in said
        assert "beeps: heard" in said
        assert "a feed: cleared" in said


async def test_a_key_ends_the_prompt_players_call() -> None:
    async with scene("prompt_bot") as it:
        call = await it.world.calls.create(user="John")
        john = await it.establish(call.id)
        await it.tick(5)
        john.press("0")
        await eventually(lambda: it.world.ticked() and call.is_over)
        assert it.world.service.deleted == [call.id]


async def test_the_compliance_recorder_stores_nothing_before_the_service_agrees(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with scene("compliance_bot") as it:
        it.world.platform.tick()  # From then on its clock is virtual.
        store = RecordingStore(tmp_path)
        it.world.calls._recordings = HostRecordings(store, it.world.platform)
        it.world.service.answers["updateRecordingStatus"] = {
            "id": "op",
            "status": "completed",
            "@odata.type": "#microsoft.graph.updateRecordingStatusOperation",
        }
        kept: list[Path] = []
        it.world.service.during_act = lambda call_id, action: kept.extend(tmp_path.iterdir())
        john = await it.ring(incomingContext={"observedParticipantId": "p-observed"})
        told = it.world.service.acted
        await eventually(lambda: told[-1][0] == "updateRecordingStatus" and it.world.ticked())
        assert told[-1][1]["status"] == "recording"
        assert not kept, "files before the service was told"
        await eventually(lambda: bool(john.call.recordings) and it.world.ticked())
        john.saying = sine(500, SAMPLE_RATE_HZ, 0.02)
        await it.talk(1.0)
        it.world.say(john.call.id, "terminated")
        await asyncio.wait_for(john.call.wait_closed(), 5)
        said = capsys.readouterr().out
        assert ", callEnded: " in said
        mixed = Path(said.split(": ")[1].splitlines()[0]) / "mixed.wav"
        assert tone_dbov(load_audio(mixed)[-8000:], 500) > -15


async def test_the_relay_calls_alice_and_takes_noise_off() -> None:
    chance = np.random.default_rng(7)
    async with scene("noise_relay_bot") as it:
        assert it.world.bot.start_handler is not None
        it.world.calls._users = {"Alice": "278405a3-f568-4b3e-b684-009193463064"}
        host = SimpleNamespace(calls=it.world.calls)
        await it.world.bot.start_handler(host)  # type: ignore[arg-type]
        john = await it.ring()
        await eventually(lambda: it.world.service.created and it.world.ticked())
        alice = await it.establish("0000-0001")
        await it.tick(20)
        for _ in range(6 * FRAMES_PER_S):
            john.saying = chance.normal(0, 600, FRAME_SAMPLES).astype(np.int16)
            await it.tick()
        assert level_dbov(np.concatenate(alice.heard[100:130])) - level_dbov(alice.last(1)) >= 0
        assert level_dbov(alice.last(1)) <= level_dbov(john.saying) - 10
        john.call.plugins.bypass("noise_suppression")
        for _ in range(FRAMES_PER_S):
            john.saying = chance.normal(0, 600, FRAME_SAMPLES).astype(np.int16)
            await it.tick()
        assert abs(level_dbov(alice.last(0.5)) - level_dbov(john.saying)) < 1, "it was the plugin"


async def test_the_captions_say_who_said_what(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with scene("captions_bot") as it:
        call = await it.world.calls.create(user="John")
        added: list[tuple[object, object]] = []

        async def add(self: CallPlugins, plugin: object, *, on: object) -> str:
            added.append((plugin, on))
            return "transcript"

        # The recogniser itself has tests of its own: here a listener's word is what counts.
        monkeypatch.setattr(CallPlugins, "add", add)
        await it.establish(call.id)
        await eventually(lambda: added and it.world.ticked())
        assert added == [("transcript", "speaker")]
        event = PluginEvent(
            "value", "transcript", "speaker", call.id, 7, "transcript", SAID | {"end_ms": 2000}
        )
        for listener in call.plugins._listeners:
            listener(event)
        assert capsys.readouterr().out == "[   1.50] somebody: hello\n"


async def test_the_echo_is_halved_and_upside_down() -> None:
    async with scene("echo_bot") as it:
        call = await it.world.calls.create(user="John")
        john = await it.establish(call.id)
        john.saying = np.full(FRAME_SAMPLES, 1000, np.int16)
        await it.tick(10)
        assert (john.heard[-1] == -500).all()


def _find(where: Pcm, what: Pcm) -> int:
    """At which sample of *where* the middle of *what* is found as it is; -1: nowhere."""
    key = what[2000:2400]
    windows = np.lib.stride_tricks.sliding_window_view(where, key.size)
    found = np.flatnonzero((windows == key).all(axis=1))
    return int(found[0]) if found.size == 1 else -1
