"""Plugins in a call of a bot host and on callers' legs of the service, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from pydantic import ValidationError

from mixminus.control.call_state import ResultInfo
from mixminus.control.cli import run
from mixminus.control.cli.errors import USAGE
from mixminus.control.host.plugins import CallPlugins, HostPlugins
from mixminus.control.plugin_settings import validate_all
from mixminus.control.service.leg_plugins import LegPlugins
from mixminus.control.service.member import Member
from mixminus.control.service.records.history import ConversationHistory
from mixminus.control.service.rooms import Room, Rooms
from mixminus.control.settings import HostSettings
from mixminus.media.pcm import AudioFrame, Pcm
from mixminus.media.platform import MediaPlatform
from mixminus.media.plugins.config import PluginSpec
from mixminus.media.plugins.contract import PluginContext
from mixminus.media.plugins.errors import PluginConfigError, PluginError
from mixminus.media.plugins.events import PluginEvent
from mixminus.media.plugins.worker import PluginWorker
from mixminus.media.session import MediaSession
from tests.plugin_engine_kit import Double, Raises


class Gain:
    def __init__(self, times: float = 3.0) -> None:
        self.times = times

    def process(self, frame: AudioFrame) -> Pcm:
        result: Pcm = (frame * self.times).astype(np.int16)
        return result


class Stage:
    """A session of which two people are heard, its plugins, and time by hand."""

    def __init__(self, *specs: PluginSpec) -> None:
        self.platform = MediaPlatform()
        self.worker = PluginWorker.of(self.platform)
        self.worker._is_threaded = False
        self.host = HostPlugins(self.platform, specs)
        self.session = MediaSession(self.platform, mp_uri="wss://bot.test/media")
        self.plugins: CallPlugins = self.host.of_call("c1", self.session, lambda _: False)
        self.events: list[PluginEvent] = []
        self.plugins.on_event(self.events.append)
        self.index = 0

    async def start(self) -> None:
        await self.host.__aenter__()
        self.session.open_speaker(7)
        self.session.open_speaker(8)
        self.plugins.start()
        await self.opened()

    async def opened(self) -> None:
        for line, _ in self.plugins.all_metrics():
            chain = line.attached.chain
            for name in chain.names:
                await asyncio.wrap_future(chain.slot(name).opened)

    def hear(self, **levels: int) -> int:
        """Let a tick pass in which people, and the bot, say something; return what it hears."""
        legs = self.session.legs
        for _ in range(3):
            self.index += 1
            for source_id, leg in legs.speakers.items():
                level = levels.get(f"s{source_id}", 0)
                leg.source.write(np.full(320, level, np.int16), self.index)
            legs.application.source.write(np.full(320, levels.get("own", 0), np.int16), self.index)
            self.platform._engine.run_ticks(1, between=self.worker.work)
        heard = 0
        while (frame := legs.application.render.read()) is not None:
            heard = int(frame[160])
        return heard

    def told(self) -> int:
        """Return what the far end is told last."""
        level = 0
        while (frame := self.session.legs.link.render.read()) is not None:
            level = int(frame[160])
        return level

    async def told_to_end(self) -> None:
        """Let the loop have what other threads told it until now."""
        done = asyncio.Event()
        asyncio.get_running_loop().call_soon_threadsafe(done.set)
        await done.wait()

    async def close(self) -> None:
        await self.plugins.close()
        await self.session.close()
        await self.host.__aexit__()
        await self.worker.close()


@pytest_asyncio.fixture
async def stage() -> AsyncIterator[Stage]:
    stage = Stage(
        PluginSpec(Double, "speaker"),
        PluginSpec(Gain, "own"),
        PluginSpec(Gain, "mix", {"times": 1}),
    )
    await stage.start()
    yield stage
    await stage.close()


async def test_settings_put_plugins_on_speakers_mix_and_own(stage: Stage) -> None:
    heard = stage.hear(s7=1000, s8=10, own=500)
    assert heard == 2020
    assert stage.told() == 1500
    assert [spec.name for spec in stage.plugins] == ["Double", "Gain", "Gain-2"]
    assert {row["name"] for row in stage.plugins.describe()} == {"Double", "Gain", "Gain-2"}
    assert set(stage.plugins.metrics("Double")) == {7, 8}


async def test_plugins_come_change_and_go_while_the_call_runs(stage: Stage) -> None:
    name = await stage.plugins.add(Gain, on="mix", config={"times": 2.0}, name="loud")
    assert name == "loud"
    assert stage.hear(s7=1000) == 4000
    stage.plugins.set("loud", times=3)
    assert stage.hear(s7=1000) == 6000
    stage.plugins.bypass("loud")
    stage.plugins.bypass("Double")
    assert stage.hear(s7=1000) == 1000
    stage.plugins.bypass("loud", False)
    assert stage.hear(s7=1000) == 3000
    await stage.plugins.remove("loud")
    assert stage.hear(s7=1000) == 1000
    with pytest.raises(KeyError, match="no plugin 'loud' in this call: there are Double"):
        stage.plugins.bypass("loud")


async def test_who_comes_later_gets_the_plugins_as_they_are_now(stage: Stage) -> None:
    await stage.plugins.add(Gain, on="speaker", config={"times": 1.0}, name="late")
    stage.plugins.set("late", times=2.0)
    stage.plugins.bypass("Double")
    stage.session.open_speaker(9)
    await stage.opened()
    assert stage.hear(s9=1000) == 2000
    stage.session.close_speaker(9)
    assert set(stage.plugins.metrics("late")) == {7, 8}


async def test_mistakes_change_nothing_and_name_the_field(stage: Stage) -> None:
    class Unopenable:
        def open(self, context: PluginContext) -> None:
            raise OSError("no such model")

        def process(self, frame: AudioFrame) -> None:
            return None

    wrong: list[tuple[type[Exception], str, Any, dict[str, Any]]] = [
        (PluginConfigError, r"config\.times: expected float", Gain, {"config": {"times": "x"}}),
        (PluginConfigError, "on: expected speaker or mix or own", Gain, {"on": "inbound"}),
        (PluginError, "was not opened: no such model", Unopenable, {}),
        (PluginError, "no plugin 'gian'", "gian", {}),
    ]
    for error, said, plugin, options in wrong:
        with pytest.raises(error, match=said):
            await stage.plugins.add(plugin, **options)
    with pytest.raises(PluginConfigError, match=r"config\.tiems: no such setting"):
        stage.plugins.set("Gain", tiems=1)
    assert [spec.name for spec in stage.plugins] == ["Double", "Gain", "Gain-2"]
    assert stage.hear(s7=1000) == 2000


async def test_a_plugin_that_fails_is_named_in_event_health_and_admin_view(stage: Stage) -> None:
    await stage.plugins.add(Raises, on="mix")
    assert stage.hear(s7=1000) == 2000
    await stage.told_to_end()
    assert [event.kind for event in stage.events if event.plugin == "Raises"] == [
        "opened",
        "error",
        "disabled",
    ]
    event = next(event for event in stage.events if event.kind == "error")
    assert (event.plugin, event.stream, event.call_id) == ("Raises", "mix", "c1")
    counters = stage.host.health()["counters"]
    assert counters["Raises"] | {"frames": 0, "bypassed": 0} == {
        "frames": 0,
        "bypassed": 0,
        "errors": 3,
        "overruns": 0,
        "hostStalls": 0,
        "disabled": 1,
        "restarts": 0,
    }
    row = next(row for row in stage.plugins.describe() if row["name"] == "Raises")
    assert not row["isActive"]
    await stage.plugins.close()
    assert stage.host.health()["counters"]["Raises"]["errors"] == 3
    assert stage.host.health()["streams"] == 0


async def test_what_is_wrong_in_the_settings_is_said_before_a_call() -> None:
    platform = MediaPlatform()
    for host in (
        HostPlugins(platform, [PluginSpec(Gain, "mix", {"times": "loud"})]),
        HostPlugins(platform, [PluginSpec(Gain, "inbound")]),
        LegPlugins(platform, [PluginSpec(Gain, "mix")]),
    ):
        with pytest.raises(PluginConfigError, match=r"config\.times|on: expected"):
            async with host:
                raise AssertionError("it started")


def test_plugins_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    base: dict[str, Any] = {"tenant_id": "t", "app_id": "a", "client_secret": "s"}
    monkeypatch.setenv(
        "MIXMINUS_PLUGINS", '[{"plugin": "gain", "on": "mix"}, "gain@own,gain_db=6"]'
    )
    first, second = HostSettings(**base).plugins
    assert (first.on, second.on, second.config) == ("mix", "own", {"gain_db": 6})
    asyncio.run(validate_all(HostSettings(**base).plugins))
    monkeypatch.setenv("MIXMINUS_PLUGINS", '[{"plugin": "gain", "on": "mic"}]')
    with pytest.raises(ValidationError, match="plugin gain: on: expected one of inbound"):
        HostSettings(**base)
    monkeypatch.setenv("MIXMINUS_PLUGINS", '{"plugin": "gain"}')
    with pytest.raises(ValidationError, match="expected a list of plugins"):
        HostSettings(**base)


class Phone:
    """A party of the service that is a person's."""

    is_scripted = False

    def __init__(self, room: Room, name: str, *, is_app: bool = False) -> None:
        self.is_app = is_app
        self.room = room
        kind = "application" if is_app else "user"
        self.member = room.conversation.add(
            identity={kind: {"id": name}}, kind=kind, display_name=name
        )
        room.join(self)

    def end(self, result: ResultInfo) -> None:
        self.room.leave(self, result)

    def tone_heard(self, key: str) -> None:
        return None

    def media_changed(self, member: Member, flows: bool) -> None:
        return None

    def counters(self) -> dict[str, int]:
        return {}

    def measured(self) -> None:
        return None


async def test_callers_legs_in_the_service_go_through_the_plugins_of_its_settings() -> None:
    platform = MediaPlatform()
    worker = PluginWorker.of(platform)
    worker._is_threaded = False
    ended: list[ConversationHistory] = []

    async def on_over(history: ConversationHistory) -> None:
        ended.append(history)

    specs = [PluginSpec(Double, "inbound"), PluginSpec(Gain, "outbound")]
    async with LegPlugins(platform, specs) as plugins:
        rooms = Rooms(platform, "tenant", on_over, plugins)
        room = rooms.create("groupCall", organizer=None)
        ada, bob = Phone(room, "ada"), Phone(room, "bob")
        bot = Phone(room, "bot", is_app=True)
        assert worker.streams == 4
        for chains in plugins._chains.values():
            for chain in chains.values():
                attached = chain.attached
                (name,) = attached.chain.names
                await asyncio.wrap_future(attached.chain.slot(name).opened)
        for index in range(4):
            ada.member.leg.source.write(np.full(320, 1000, np.int16), index)
            platform._engine.run_ticks(1, between=worker.work)
        heard = {}
        for party in (bob, bot):
            while (frame := party.member.leg.render.read()) is not None:
                heard[party] = int(frame[160])
        assert heard == {bob: 6000, bot: 2000}
        assert plugins.health()["counters"]["Double"]["frames"] >= 8
        room.release(ada)
        assert worker.streams == 2
        await rooms.close()
        assert worker.streams == 0
        assert plugins.health()["counters"]["Gain"]["errors"] == 0
    await worker.close()
    assert len(ended) == 1


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("gain@mic", "--plugin: plugin gain: on: expected one of inbound"),
        ('{"plugin": "gain", "confg": {}}', "--plugin: plugin gain: confg: no such field"),
        ("gain,isolation=vm", "isolation: expected none or process, got 'vm'"),
    ],
)
def test_serve_says_what_is_wrong_with_a_plugin(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, spec: str, said: str
) -> None:
    assert run(["serve", "--state", str(tmp_path), "--plugin", spec]) == USAGE
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
