"""The console's source in a bot host, beside the call service's: one call seen from both sides."""

from __future__ import annotations

import asyncio
import wave
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import pytest_asyncio

from mixminus.control.console.models import CallDetail, CallRow, RecordingView
from mixminus.control.console.source import ConsoleRefusedError, ConsoleSource
from mixminus.control.console.wishes import (
    CallWish,
    MeetingWish,
    PluginChange,
    PluginWish,
    RouteWish,
)
from mixminus.control.host import Bot, BotHost, HostedCall
from mixminus.control.service.phones import PhoneScript
from mixminus.control.service.service import CallService
from mixminus.control.service.settings import ServiceSettings
from mixminus.control.settings import HostSettings
from mixminus.media.pcm import FRAME_SAMPLES, SAMPLE_RATE_HZ
from mixminus.media.platform import MediaPlatform
from tests.signals import sine
from tests.support import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

PHONE = "+14255550123"
PHONES = (PhoneScript(number=PHONE, display_name="Pat", answer_after_s=0.0),)
WAIT_S = 20.0


@dataclass
class Scene:
    """A service and a host on one engine; the host's bot says a tone."""

    service: CallService
    host: BotHost

    @property
    def source(self) -> ConsoleSource:
        return self.host.console_source

    def row(self) -> CallRow:
        (row,) = [row for row in self.source.rows() if row.ended_at is None]
        return row

    def detail(self) -> CallDetail:
        detail = self.source.detail(self.row().id)
        assert detail is not None
        return detail

    async def called(self) -> str:
        """Have the bot call the phone; return the row's id once all stands."""
        row_id = await self.source.create_call(CallWish(phone=PHONE))
        await eventually(lambda: self.row().state == "established", WAIT_S)
        await eventually(lambda: self.detail().legs[0].is_flowing, WAIT_S)
        return row_id

    async def over(self) -> None:
        await self.source.hang_up(self.row().id)
        await eventually(lambda: all(row.ended_at for row in self.source.rows()), WAIT_S)

    def journal(self, kind: str) -> list[dict[str, Any]]:
        entries, _ = self.host.journal.since(0)
        return [shown for entry in entries if (shown := entry.read())["kind"] == kind]


async def _say_a_tone(call: HostedCall) -> None:
    frame = sine(1000, SAMPLE_RATE_HZ, FRAME_SAMPLES / SAMPLE_RATE_HZ, 8000.0)
    async for _ in call.audio:
        await call.audio.send(frame)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    state_dir = tmp_path_factory.mktemp("console")
    bot = Bot("tone bot")
    bot.on_call(_say_a_tone)
    async with (
        MediaPlatform() as platform,
        CallService(
            ServiceSettings(state_dir=state_dir, drain_s=0.0, phones=PHONES), platform=platform
        ) as service,
        BotHost(
            bot,
            HostSettings.from_dev_file(service.dev_file, state_dir=state_dir),
            platform=platform,
        ) as host,
    ):
        yield Scene(service, host)


async def test_one_call_is_one_row_on_both_sides(scene: Scene) -> None:
    row_id = await scene.called()
    row = scene.row()
    (other,) = [row for row in scene.service.console_source.rows() if row.ended_at is None]
    assert row.id == other.id == row_id
    assert row.call_ids == other.call_ids
    assert (row.kind, row.sides, row.bot, row.people) == ("call", ("host",), "tone bot", 1)
    assert row.direction == other.direction == "outgoing"
    assert row.title == PHONE
    assert not {*row.legs} & {*other.legs}
    detail = scene.detail()
    assert [leg.transport for leg in detail.legs] == ["link", "application"]
    assert detail.blob is not None
    assert detail.blob["mixminus"]["secret"] == "[redacted]"
    assert detail.notifications["received"] > 0
    assert {step.state for step in detail.timeline} >= {"establishing", "established"}
    assert {"hangUp", "sendTones", "addPlugin", "startRecording"} <= {*detail.actions}

    def is_heard() -> bool:
        levels = {**scene.source.meters([row_id])}
        levels |= scene.service.console_source.meters(None)
        said = [inbound for key, (inbound, _) in levels.items() if key.endswith(":application")]
        heard = [outbound for key, (_, outbound) in levels.items() if key in other.legs]
        return said[0] > -20 and max(heard) > -20

    await eventually(is_heard, WAIT_S, "the tone on the meters of both sides")
    assert scene.source.engine().calls == 1
    await scene.over()
    over = scene.source.detail(row_id)
    assert over is not None
    assert (over.row.state, over.actions) == ("terminated", ())
    assert not over.row.legs
    theirs = scene.service.console_source.detail(row_id)
    assert theirs is not None
    assert (theirs.row.title, theirs.row.state) == (other.title, "terminated")
    assert "ended by the bot" in str(over.timeline[-1].reason)
    assert {leg.counters["ticks"] > 0 for leg in over.legs} == {True}
    with pytest.raises(ConsoleRefusedError, match="over"):
        await scene.source.hang_up(row_id)


async def test_the_journal_has_both_directions_and_no_secret(scene: Scene) -> None:
    await scene.called()
    call = next(iter(scene.host.calls))
    secret = (
        call.session.descriptor.to_blob().rpartition('"secret":"')[2][:43] if call.session else ""
    )
    assert len(secret) == 43
    await scene.over()
    requests = scene.journal("request")
    created = [e for e in requests if e["title"].startswith("POST") and e["callId"] == call.id]
    assert created[0]["direction"] == "out"
    assert " 201 in " in created[0]["title"]
    assert created[0]["body"]["request"]["mediaConfig"]
    told = [e["title"] for e in scene.journal("notification") if e["callId"] == call.id]
    assert any("call updated: established" in title for title in told), told
    states = [e["title"] for e in scene.journal("state") if e["callId"] == call.id]
    assert states[:2] == ["establishing", "established"]
    entries, _ = scene.host.journal.since(0)
    seen = "\n".join(entry.json() for entry in entries)
    assert secret not in seen
    assert scene.host.settings.client_secret.get_secret_value() not in seen
    assert "eyJ" not in seen


async def test_a_recording_is_made_listed_and_played(scene: Scene) -> None:
    await scene.called()
    source, row_id = scene.source, scene.row().id
    live = await source.start_recording(row_id)
    assert live.is_live
    assert "recording" in scene.row().flags
    with pytest.raises(ConsoleRefusedError, match="already"):
        await source.start_recording(row_id)
    await asyncio.sleep(0)
    call = next(iter(scene.host.calls))
    recorder = call.recordings[0]
    await eventually(lambda: recorder._frames > 25, WAIT_S, "half a second")
    await source.stop_recording(row_id)
    with pytest.raises(ConsoleRefusedError, match="not being recorded"):
        await source.stop_recording(row_id)

    (view,) = [each for each in await source.recordings() if each.id == live.id]
    assert (view.side, view.is_live, view.call_id) == ("host", False, call.id)
    assert scene.detail().recordings[0].id == view.id
    mixed = _file(view, "mixed.wav")
    assert (mixed.kind, mixed.format, mixed.playable) == ("mixed", "wav", True)
    assert not _file(view, "segments.jsonl").playable
    found = await source.audio(view.id, "mixed.wav")
    assert found.media_type == "audio/wav"
    with wave.open(str(found.path)) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    assert mixed.duration_ms == round(samples.size / SAMPLE_RATE_HZ * 1000)
    peaks = await source.peaks(view.id, "mixed.wav", 10)
    assert (min(low for low, _ in peaks), max(high for _, high in peaks)) == (
        samples.min(),
        samples.max(),
    )
    for recording_id, name in (
        (view.id, "segments.jsonl"),
        (view.id, "recording.json"),
        (view.id, "../mixed.wav"),
        (view.id, ".."),
        ("h:../host.json", "mixed.wav"),
        ("h:", "mixed.wav"),
        (view.id.removeprefix("h:"), "mixed.wav"),
    ):
        with pytest.raises(ConsoleRefusedError, match="no "):
            await source.audio(recording_id, name)
    link = found.path.with_name("own.wav")
    link.symlink_to("/etc/passwd")
    with pytest.raises(ConsoleRefusedError):
        await source.audio(view.id, "own.wav")
    await scene.over()


async def test_plugins_of_a_call_are_added_changed_and_removed(scene: Scene) -> None:
    await scene.called()
    source, row_id = scene.source, scene.row().id
    assert {"gain", "agc"} <= {kind.name for kind in await source.plugin_kinds()}
    wish = PluginWish(name="gain", stream="own", parameters={"gain_db": -12.0})
    (view,) = await source.add_plugin(row_id, wish)
    assert (view.name, view.stream, view.parameters) == ("gain", "own", {"gain_db": -12.0})
    assert view.key.startswith("h:")
    await eventually(lambda: scene.detail().plugins[0].metrics["frames"] > 0, WAIT_S)
    change = PluginChange(bypassed=True, parameters={"gain_db": 3.0})
    changed = await source.set_plugin(row_id, view.key, change)
    assert (changed.bypassed, changed.parameters) == (True, {"gain_db": 3.0})
    with pytest.raises(ConsoleRefusedError, match="gain_db"):
        await source.set_plugin(row_id, view.key, PluginChange(parameters={"gain_db": "loud"}))
    with pytest.raises(ConsoleRefusedError, match="expected one of"):
        await source.add_plugin(row_id, PluginWish(name="/tmp/evil.py", stream="own"))
    await eventually(lambda: any(e["kind"] == "opened" for e in scene.detail().plugins[0].events))
    await source.remove_plugin(row_id, view.key)
    assert not scene.detail().plugins
    with pytest.raises(ConsoleRefusedError, match="no plugin"):
        await source.set_plugin(row_id, view.key, change)
    await scene.over()


async def test_what_a_host_cannot_do_is_refused_in_words(scene: Scene) -> None:
    source = scene.source
    with pytest.raises(ConsoleRefusedError, match="no bot"):
        await source.create_call(CallWish(phone=PHONE, bot="another"))
    with pytest.raises(ConsoleRefusedError, match="no user 'Nobody'"):
        await source.create_call(CallWish(user="Nobody"))
    with pytest.raises(ConsoleRefusedError, match="no meeting"):
        await source.create_call(CallWish(meeting="Nothing"))
    with pytest.raises(ConsoleRefusedError):
        await source.create_call(CallWish(join_url="https://example.org/nothing"))
    with pytest.raises(ConsoleRefusedError, match="call service"):
        await source.create_meeting(MeetingWish(subject="Tea"))
    assert not source.users()
    assert not await source.meetings()
    (bot,) = await source.bots()
    assert (bot.name, bot.can_be_called, bot.can_join) == ("tone bot", False, True)
    await scene.called()
    row_id = scene.row().id
    with pytest.raises(ConsoleRefusedError, match="call service"):
        await source.set_route(row_id, RouteWish(listener="a", speaker="b", hears=True))
    with pytest.raises(ConsoleRefusedError):
        await source.mute(row_id, "nobody")
    with pytest.raises(ConsoleRefusedError, match="no call"):
        await source.mute("elsewhere", "nobody")
    await source.send_tones(row_id, "5")
    await scene.over()


async def test_a_bot_joins_a_meeting_that_the_service_shows(scene: Scene) -> None:
    row_id = await scene.source.create_call(CallWish(meeting="Open house"))
    await eventually(lambda: scene.row().state == "established", WAIT_S)
    assert scene.row().kind == "meeting"
    (other,) = [row for row in scene.service.console_source.rows() if row.ended_at is None]
    assert (other.id, other.title, other.bot) == (row_id, "Open house", "tone bot")
    await eventually(lambda: scene.detail().roster[0].is_bot, WAIT_S)
    await scene.over()


def _file(view: RecordingView, name: str) -> Any:
    return next(file for file in view.files if file.name == name)
