"""The console's source in a call service: what it shows of calls, and what it does to them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from mixminus.control.console.models import CallDetail, CallRow, Person
from mixminus.control.console.source import ConsoleRefusedError, ConsoleSource
from mixminus.control.console.wishes import (
    CallWish,
    MeetingWish,
    PluginChange,
    PluginWish,
    RouteWish,
)
from mixminus.media.plugins.builtin.gain import Gain
from mixminus.media.plugins.config import PluginSpec
from tests.contract.stage import BOB, THREAD, Stage, staged
from tests.contract.stage import Person as Caller
from tests.interop.test_group_calls import MEETING
from tests.service_kit import JOHN, call_body
from tests.support import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

PLUGINS = (PluginSpec(Gain, "inbound", {"gain_db": 3.0}, name="gain"),)
WAIT_S = 20.0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    async with staged(tmp_path_factory.mktemp("console"), plugins=PLUGINS) as stage:
        yield stage


@dataclass
class Scene:
    """A service that is looked at, and who is in the meeting of it."""

    stage: Stage
    people: dict[str, Caller]

    @property
    def source(self) -> ConsoleSource:
        return self.stage.service.console_source

    def row(self) -> CallRow:
        (row,) = [row for row in self.source.rows() if row.ended_at is None]
        return row

    def detail(self) -> CallDetail:
        detail = self.source.detail(self.row().id)
        assert detail is not None
        return detail

    def person(self, name: str) -> Person:
        return next(person for person in self.detail().roster if person.name == name)

    def hears(self) -> set[tuple[str, str]]:
        """Who hears whom, by names."""
        detail = self.detail()
        names = {person.participant_id: person.name for person in detail.roster}
        return {
            (names[route.listener], names[route.speaker]) for route in detail.routing if route.hears
        }

    def journal(self, kind: str) -> list[dict[str, Any]]:
        entries, _ = self.stage.service.journal.since(0)
        return [shown for entry in entries if (shown := entry.read())["kind"] == kind]

    async def over(self) -> None:
        """End whatever there is, and wait until it is over."""
        for row in self.source.rows():
            if row.ended_at is None:
                await self.source.hang_up(row.id)
        await eventually(lambda: all(row.ended_at for row in self.source.rows()), WAIT_S)


@asynccontextmanager
async def meeting(stage: Stage, *people: str) -> AsyncIterator[Scene]:
    """Run a meeting with the bot and *people* of the directory."""
    async with AsyncExitStack() as exits:
        persons = {name: await exits.enter_async_context(stage.person(name)) for name in people}
        scene = Scene(stage, persons)
        for person in persons.values():
            await person.join(THREAD)
        await stage.graph.created(call_body(stage.receiver.url, **MEETING))
        await eventually(lambda: "sendTones" in scene.detail().actions)
        try:
            yield scene
        finally:
            await scene.over()


async def test_a_call_of_two_from_its_ringing_to_its_end(stage: Stage) -> None:
    scene = Scene(stage, {})
    async with stage.person("John") as john:
        call_id = await stage.graph.created(call_body(stage.receiver.url))
        await john.told("answered")
        await stage.has_media(call_id)
        row = scene.row()
        assert (row.kind, row.state, row.direction) == ("call", "established", "outgoing")
        assert (row.title, row.bot, row.people) == ("John", "Calling Bot", 1)
        assert row.call_ids == (call_id,)
        detail = scene.source.detail(call_id)
        assert detail is not None
        assert detail.row.id == row.id
        assert {leg.key for leg in detail.legs} == {*row.legs}
        assert {leg.transport for leg in detail.legs} == {"webrtc", "link"}
        assert all(leg.is_flowing for leg in detail.legs)
        assert detail.legs[0].counters["ticks"] > 0
        assert {leg.address for leg in detail.legs} == {"192.0.2.7:40000", None}
        steps = [step.state for step in detail.timeline]
        assert steps == ["created", "establishing", "established"]
        assert detail.blob is not None
        assert detail.blob["mixminus"]["secret"] == "[redacted]"
        assert set(scene.hears()) == {("John", "Calling Bot"), ("Calling Bot", "John")}
        assert "placeBot" not in detail.actions
        with pytest.raises(ConsoleRefusedError, match="call of two"):
            await scene.source.invite(row.id, "Bob")
        meters = scene.source.meters([row.id, "no such call"])
        assert set(meters) == {*row.legs}
        assert all(-127 <= level <= 0 for pair in meters.values() for level in pair)
        assert scene.source.engine().legs >= 2
        await scene.source.hang_up(call_id)
        assert (await john.told("ended"))["code"] == 200
    await eventually(lambda: all(row.ended_at for row in scene.source.rows()), WAIT_S)
    over = scene.source.rows()[-1]
    assert (over.id, over.title, over.state) == (row.id, "John", "terminated")
    known = scene.source.detail(call_id)
    assert known is not None
    assert known.timeline[-1].state in ("ended", "terminated")
    assert {leg.name for leg in known.legs} == {"John", "Calling Bot"}
    assert not scene.source.meters(None)
    with pytest.raises(ConsoleRefusedError, match="over"):
        await scene.source.hang_up(call_id)
    with pytest.raises(ConsoleRefusedError, match="no call"):
        await scene.source.hang_up("elsewhere")


async def test_a_meeting_is_shown_and_operated(stage: Stage) -> None:
    async with meeting(stage, "John", "Bob") as scene:
        source, row = scene.source, scene.row()
        assert (row.kind, row.title, row.people) == ("meeting", "Documented", 2)
        assert scene.detail().join == {
            "joinUrl": "https://teams.microsoft.com/l/meetup-join/documented",
            "threadId": THREAD,
        }
        users = {user.name: user for user in source.users()}
        assert (users["John"].is_online, users["John"].is_busy) == (True, True)
        assert (users["Alice"].is_online, users["Alice"].is_busy) == (False, False)
        assert source.user_session("John").token == scene.stage.dev.find_user("John").token
        john, bob, bot = (scene.person(name) for name in ("John", "Bob", "Calling Bot"))
        assert (bob.role, bot.is_bot, john.kind) == ("organizer", True, "user")

        await source.mute(row.id, john.participant_id)
        assert (await scene.people["John"].told("muted"))["by"] == "service"
        assert scene.person("John").muted
        await source.unmute(row.id, john.participant_id)
        assert not scene.person("John").muted
        with pytest.raises(ConsoleRefusedError, match="not muted"):
            await source.unmute(row.id, john.participant_id)
        await source.mute(row.id, bot.participant_id)
        await source.unmute(row.id, bot.participant_id)
        assert not scene.person("Calling Bot").muted
        with pytest.raises(ConsoleRefusedError, match="not in the lobby"):
            await source.admit(row.id, john.participant_id)
        with pytest.raises(ConsoleRefusedError, match="no participant"):
            await source.mute(row.id, "nobody")

        await source.send_tones(row.id, "1#")
        await scene.people["John"].told("tone")
        await source.remove(row.id, bob.participant_id)
        assert (await scene.people["Bob"].told("ended"))["code"] == 200
        assert scene.row().people == 1
        await source.hang_up(row.id)
        await scene.people["John"].told("ended")
        await eventually(lambda: all(row.ended_at for row in source.rows()))


async def test_one_is_let_hear_another_or_not(stage: Stage) -> None:
    async with meeting(stage, "John", "Bob") as scene:
        row_id = scene.row().id
        ids = {person.name: person.participant_id for person in scene.detail().roster}
        everybody = {(a, b) for a in ids for b in ids if a != b}
        assert scene.hears() == everybody

        async def let(listener: str, speaker: str, hears: bool) -> None:
            wish = RouteWish(listener=ids[listener], speaker=ids[speaker], hears=hears)
            await scene.source.set_route(row_id, wish)

        await let("John", "Bob", False)
        assert scene.hears() == everybody - {("John", "Bob")}
        await let("Calling Bot", "John", False)
        assert scene.hears() == everybody - {("John", "Bob"), ("Calling Bot", "John")}
        # Who comes later is not concerned, and hears all.
        async with stage.person("Alice") as alice:
            await alice.join(THREAD)
            assert {("Alice", "Bob"), ("John", "Alice")} <= scene.hears()
        await let("John", "Bob", True)
        await let("Calling Bot", "John", True)
        await eventually(lambda: scene.hears() == everybody)
        await scene.source.mute(row_id, ids["Bob"])
        muted = [route for route in scene.detail().routing if route.speaker == ids["Bob"]]
        assert not any(route.hears or route.settable for route in muted)
        with pytest.raises(ConsoleRefusedError, match="Bob is muted"):
            await let("John", "Bob", True)
        with pytest.raises(ConsoleRefusedError, match="themselves"):
            await let("John", "John", True)


async def test_people_and_bots_are_rung_into_a_meeting(stage: Stage) -> None:
    async with stage.person("John") as john:
        scene, source = Scene(stage, {}), stage.service.console_source
        await john.join(THREAD)
        row = scene.row()
        assert (row.state, row.bot, row.people) == ("established", None, 1)
        assert not await source.bots()
        with pytest.raises(ConsoleRefusedError, match="no bot"):
            await source.place_bot(row.id, "Calling Bot")
        await stage.service.store.set_webhook(stage.dev.app_id, stage.receiver.url)
        (bot,) = await source.bots()
        assert (bot.name, bot.app_id, bot.can_be_called) == ("Calling Bot", stage.dev.app_id, True)
        call_id = await source.place_bot(row.id, bot.name)
        await stage.told(call_id, "created call incoming")
        assert scene.row().call_ids == (call_id,)
        assert scene.row().bot == "Calling Bot"
        async with stage.person("Alice"):
            await source.invite(row.id, "Alice")
            await eventually(lambda: scene.row().people == 2)
            with pytest.raises(ConsoleRefusedError, match="already"):
                await source.invite(row.id, "Alice")
        with pytest.raises(ConsoleRefusedError, match="no user"):
            await source.invite(row.id, "Nobody")
        await source.hang_up(row.id)
        await stage.told(call_id, "deleted call terminated")
        await eventually(lambda: "did not come" in str(scene.journal("operation")))
        await scene.over()


async def test_a_guest_is_admitted_from_the_lobby(stage: Stage) -> None:
    async with stage.person("Bob") as bob:
        scene = Scene(stage, {})
        await bob.join(THREAD)
        guest = {"guest": {"id": "b8d3c9a4-0000-4000-8000-000000000001", "displayName": "<b>Gail"}}
        body = call_body(stage.receiver.url, **MEETING, source={"identity": guest})
        await stage.graph.created(body)
        await eventually(lambda: "lobby" in scene.row().flags)
        gail = scene.person("<b>Gail")
        assert (gail.in_lobby, gail.is_bot) == (True, True)
        assert "admit" in scene.detail().actions
        with pytest.raises(ConsoleRefusedError, match="lobby"):
            bob_id = scene.person("Bob").participant_id
            wish = RouteWish(listener=bob_id, speaker=gail.participant_id, hears=True)
            await scene.source.set_route(scene.row().id, wish)
        await scene.source.admit(scene.row().id, gail.participant_id)
        assert not scene.person("<b>Gail").in_lobby
        assert "lobby" not in scene.row().flags
        await scene.over()


async def test_plugins_on_legs_are_switched_changed_added_and_removed(stage: Stage) -> None:
    async with meeting(stage, "John") as scene:
        source, row_id = scene.source, scene.row().id
        (view,) = scene.detail().plugins
        assert (view.name, view.stream, view.enabled, view.bypassed) == (
            "gain",
            "inbound",
            True,
            False,
        )
        assert view.parameters == {"gain_db": 3.0}
        assert view.parameter_schema["properties"]["gain_db"]["maximum"] == 30.0
        changed = await source.set_plugin(
            row_id, view.key, PluginChange(bypassed=True, parameters={"gain_db": -6.0})
        )
        assert (changed.bypassed, changed.parameters) == (True, {"gain_db": -6.0})
        with pytest.raises(ConsoleRefusedError, match="gain_db"):
            await source.set_plugin(row_id, view.key, PluginChange(parameters={"gain_db": 99}))
        names = {kind.name for kind in await source.plugin_kinds()}
        assert {"gain", "delay"} <= names
        assert not {"injector", "recorder"} & names
        wish = PluginWish(name="delay", stream="outbound", parameters={"delay_ms": 20.0})
        (added,) = await source.add_plugin(row_id, wish)
        assert (added.name, added.stream, added.leg_key) == ("delay", "outbound", view.leg_key)
        assert len(scene.detail().plugins) == 2
        for wrong in (
            PluginWish(name="os:system", stream="inbound"),
            PluginWish(name="injector", stream="inbound"),
            PluginWish(name="gain", stream="mix"),
        ):
            with pytest.raises(ConsoleRefusedError, match="expected"):
                await source.add_plugin(row_id, wrong)
        await source.remove_plugin(row_id, added.key)
        assert [plugin.name for plugin in scene.detail().plugins] == ["gain"]
        with pytest.raises(ConsoleRefusedError, match="no plugin"):
            await source.remove_plugin(row_id, added.key)
        await eventually(lambda: any("delay" in e["title"] for e in scene.journal("plugin")))


async def test_the_journal_has_requests_notifications_states_and_rosters(stage: Stage) -> None:
    async with meeting(stage, "John") as scene:
        row = scene.row()
        (call_id,) = row.call_ids
        await stage.graph.http.post(f"/v1.0/communications/calls/{call_id}/mute", json={})
        requests = [each for each in scene.journal("request") if each["callId"] == call_id]
        created = requests[0]
        assert created["title"].startswith("POST /communications/calls ")
        assert created["direction"] == "in"
        assert " 201 in " in created["title"]
        assert created["body"]["request"]["requestedModalities"] == ["audio"]
        assert any(f"{call_id}/mute" in each["title"] for each in requests)

        def told_established() -> list[dict[str, Any]]:
            told = [each for each in scene.journal("notification") if each["callId"] == call_id]
            return [each for each in told if "established: taken in" in each["title"]]

        await eventually(told_established)
        told = told_established()[0]
        assert told["direction"] == "out"
        assert told["body"]["value"][0]["resourceData"]["state"] == "established"
        states = [each["title"] for each in scene.journal("state") if each["callId"] == call_id]
        assert states == ["establishing", "established"]
        assert scene.journal("operation")[-1]["title"] == "muteParticipant: completed"
        rosters = [each["title"] for each in scene.journal("roster") if each["callId"] == row.id]
        assert rosters[0] == "came: John"
        stage.media.callers[-1].end("the network is gone")
        await eventually(lambda: scene.journal("media"))
        assert scene.journal("media")[-1]["title"] == "media lost: John"
        assert scene.journal("media")[-1]["callId"] == row.id
        assert "noMedia" in scene.row().flags


async def test_no_secret_of_a_call_is_in_the_journal_or_the_detail(stage: Stage) -> None:
    async with stage.person("John") as john:
        body = call_body(stage.receiver.url)
        secret = body["mediaConfig"]["blob"].rpartition('"secret":"')[2].partition('"')[0]
        assert len(secret) > 40
        call_id = await stage.graph.created(body)
        await john.told("answered")
        entries, _ = stage.service.journal.since(0)
        texts = [entry.json() for entry in entries]
        detail = stage.service.console_source.detail(call_id)
        assert detail is not None
        texts.append(detail.model_dump_json())
        seen = "\n".join(texts)
        assert call_id in seen
        assert secret not in seen
        assert "a good offer" not in seen
        assert stage.dev.client_secret not in seen
        assert stage.dev.find_user("John").token not in seen


async def test_meetings_are_listed_and_made(stage: Stage) -> None:
    async with meeting(stage, "John") as scene:
        views = {view.id: view for view in await scene.source.meetings()}
        assert views[THREAD].call_id == scene.row().id
        assert views[THREAD].is_live
        made = await scene.source.create_meeting(MeetingWish(subject="Tea", organizer_id=BOB))
        assert (made.subject, made.organizer, made.is_live) == ("Tea", "Bob", False)
        assert made.id in {view.id for view in await scene.source.meetings()}
        assert "Tea" in {known.subject for known in stage.service.dev_file.meetings}
        with pytest.raises(ConsoleRefusedError, match="printable"):
            await scene.source.create_meeting(MeetingWish(subject="two\nlines"))
        with pytest.raises(ConsoleRefusedError, match="makes no calls"):
            await scene.source.create_call(CallWish(user=JOHN))
        with pytest.raises(ConsoleRefusedError, match="no recordings"):
            await scene.source.start_recording(scene.row().id)
