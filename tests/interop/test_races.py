"""Two things at once: what comes in between one step of a call and the next."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from mixminus.control.service.service import CallService
from mixminus.control.store.base import StoreError
from tests.contract.stage import BOB, NUMBER, THREAD, Stage, staged
from tests.interop.test_group_calls import MEETING, target
from tests.interop.test_handling import answer_body, user_target, world
from tests.service_kit import GOOD_SDP, call_body, phone_of
from tests.support import eventually

CALLS = "/v1.0/communications/calls"


class Gate:
    """Holds back the writing of calls while it is shut."""

    def __init__(self, service: CallService, monkeypatch: pytest.MonkeyPatch) -> None:
        self._save = service.store.save_call
        self.open = asyncio.Event()
        self.open.set()
        self.waiting = 0
        self.fails = False
        monkeypatch.setattr(service.store, "save_call", self.save_call)

    async def save_call(self, *args: Any) -> None:
        self.waiting += 1
        await self.open.wait()
        self.waiting -= 1
        if self.fails:
            raise StoreError("the disk is full")
        await self._save(*args)


def rooms(service: CallService) -> list[Any]:
    return list(service.book._services.rooms._rooms.values())


async def nothing_is_left(service: CallService) -> None:
    await eventually(lambda: not rooms(service) and not service.book.living)


async def test_an_answer_says_where_notifications_go(tmp_path: Path) -> None:
    async with world(tmp_path) as w, phone_of(w.graph.dev) as john:
        call_id = await w.rung(john)
        elsewhere = f"https://localhost:{w.receiver.port}/other"
        await w.post(call_id, "answer", answer_body(elsewhere))
        await john.expect("answered")
        row = await w.service.store.call(call_id)
        assert row is not None
        assert row.callback_uri == row.resource["callbackUri"] == elsewhere


async def test_a_meeting_that_empties_while_a_bot_joins_is_the_one_it_is_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with staged(tmp_path) as stage, stage.person("John") as john:
        gate = Gate(stage.service, monkeypatch)
        await john.join(THREAD)
        (room,) = rooms(stage.service)
        gate.open.clear()
        creating = asyncio.create_task(
            stage.graph.created(call_body(stage.receiver.url, **MEETING))
        )
        await eventually(lambda: gate.waiting)
        await john.leave()
        await eventually(lambda: not room.parties)
        gate.open.set()
        call_id = await creating
        await stage.told(call_id, "updated call established")
        assert rooms(stage.service) == [room]
        await john.phone.send(type="join", threadId=THREAD, sdp=GOOD_SDP)
        await eventually(lambda: len(room.parties) == 2)
        await stage.hang_up(call_id)
        await john.leave()
        await nothing_is_left(stage.service)


async def test_a_bot_that_cannot_be_written_leaves_no_meeting_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with staged(tmp_path) as stage:
        Gate(stage.service, monkeypatch).fails = True
        reply = await stage.graph.create(call_body(stage.receiver.url, **MEETING))
        assert reply.status_code == 503
        await nothing_is_left(stage.service)


async def test_a_call_that_is_called_off_while_it_is_written_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(tmp_path) as w, phone_of(w.graph.dev) as john:
        gate = Gate(w.service, monkeypatch)
        gate.open.clear()
        await john.send(type="call", appId=w.graph.dev.app_id, sdp=GOOD_SDP)
        call_id = (await john.expect("calling"))["callId"]
        await eventually(lambda: gate.waiting)
        await john.send(type="hangup", callId=call_id)
        await john.expect("ended")
        gate.open.set()
        await w.told(call_id, "terminated")
        assert w.receiver.states(call_id)[0] == "incoming"
        assert await w.service.store.living_calls() == ()
        await nothing_is_left(w.service)


async def test_answering_a_call_whose_caller_has_gone_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(tmp_path) as w, phone_of(w.graph.dev) as john:
        call_id = await w.rung(john)
        gate = Gate(w.service, monkeypatch)
        gate.open.clear()
        await john.send(type="hangup", callId=call_id)
        await john.expect("ended")
        await eventually(lambda: gate.waiting)
        refused = await w.post(call_id, "answer", answer_body(w.receiver.url), 400)
        assert refused["error"]["code"] == "8528"
        gate.open.set()
        await w.told(call_id, "terminated")


async def test_an_answer_that_a_redirect_overtakes_does_not_end_the_redirected_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        world(tmp_path) as w,
        phone_of(w.graph.dev) as john,
        phone_of(w.graph.dev, "Bob") as bob,
    ):
        call_id = await w.rung(john)
        gate = Gate(w.service, monkeypatch)
        gate.open.clear()
        targets = {"targets": [user_target(BOB)], "timeout": 30}
        redirecting = asyncio.create_task(w.post(call_id, "redirect", targets))
        await eventually(lambda: gate.waiting)
        body = answer_body(w.receiver.url)
        answering = asyncio.create_task(w.post(call_id, "answer", body, 400))
        await eventually(lambda: w.service.book._living[call_id].has_entered)
        gate.open.set()
        await asyncio.gather(redirecting, answering)
        ring = await bob.expect("ring")
        await bob.send(type="answer", callId=ring["callId"], sdp=GOOD_SDP)
        await bob.expect("answered")
        await john.expect("answered")
        await w.told(call_id, "terminated")
        (room,) = rooms(w.service)
        assert len(room.parties) == 2
        await john.send(type="hangup", callId=call_id)
        await bob.expect("ended")
        await nothing_is_left(w.service)


async def test_a_bot_that_hangs_up_while_it_transfers_leaves_no_room(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage, stage.person("John"), stage.person("Bob"):
        people = {"targets": [target("John"), target("Bob")]}
        call_id = await stage.graph.created(call_body(stage.receiver.url, **people))
        await stage.told(call_id, "updated call established")
        await eventually(lambda: len(rooms(stage.service)[0].parties) == 3)
        # Nobody hears it ring: Alice has no device.
        asked = {"transferTarget": target("Alice"), "transferee": target("John")}
        reply = await stage.graph.http.post(f"{CALLS}/{call_id}/transfer", json=asked)
        assert reply.status_code == 202, reply.text
        await eventually(lambda: len(rooms(stage.service)) == 2)
        await stage.graph.http.delete(f"{CALLS}/{call_id}")
        await eventually(lambda: len(rooms(stage.service)) == 1)


@pytest.mark.slow
async def test_phones_are_not_left_alone(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        number = {"identity": {"phone": {"id": NUMBER}}}
        instance = {"applicationInstance": {"id": stage.dev.application_instance_id}}
        members = {"targets": [number], "source": {"identity": instance}}
        call_id = await stage.graph.created(call_body(stage.receiver.url, **members))
        await stage.told(call_id, "updated call established")
        # To another phone: both would stay on the line for ever.
        transfer = {"transferTarget": number}
        reply = await stage.graph.http.post(f"{CALLS}/{call_id}/transfer", json=transfer)
        assert reply.status_code == 202, reply.text
        await stage.told(call_id, "deleted call terminated")
        await nothing_is_left(stage.service)


async def test_a_muted_caller_stays_muted_in_another_call(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage, stage.person("John") as john:
        await moved_while(stage, john, "mute")


async def moved_while(stage: Stage, john: Any, what: str) -> None:
    first = await stage.graph.created(call_body(stage.receiver.url))
    await stage.told(first, "updated call established")
    await john.phone.send(type=what, callId=first)
    await john.told("muted")
    meeting = await stage.graph.created(call_body(stage.receiver.url, **MEETING))
    await stage.told(meeting, "updated call established")
    invited = {"participants": [target("John", replacesCallId=first)]}
    reply = await stage.graph.http.post(f"{CALLS}/{meeting}/participants/invite", json=invited)
    assert reply.status_code == 200, reply.text
    await john.told("moved")
    listed = (await stage.graph.http.get(f"{CALLS}/{meeting}/participants")).json()["value"]
    muted = {p["isMuted"] for p in listed if "user" in p["info"]["identity"]}
    assert muted == {True}


async def test_a_reoffer_before_the_call_stands_is_refused(tmp_path: Path) -> None:
    async with world(tmp_path) as w, phone_of(w.graph.dev) as john:
        call_id = await w.rung(john)
        await john.send(type="reoffer", callId=call_id, sdp=GOOD_SDP)
        assert (await john.expect("error"))["code"] == "notInCall"
        assert w.media.callers == []
        await john.send(type="hangup", callId=call_id)


async def test_two_devices_of_a_user_that_join_at_once_are_one_participant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        staged(tmp_path) as stage,
        phone_of(stage.dev) as one,
        phone_of(stage.dev) as two,
    ):
        hold = hold_answers(stage, monkeypatch)
        for phone in (one, two):
            await phone.send(type="join", threadId=THREAD, sdp=GOOD_SDP)
        await eventually(lambda: len(stage.media.callers) == 2)
        hold.set()
        said = [await one.socket.recv(), await two.socket.recv()]
        assert sorted('"alreadyIn"' in str(text) for text in said) == [False, True]
        (room,) = rooms(stage.service)
        assert len(room.parties) == 1
        assert sum(end.closed.done() for end in stage.media.callers) == 1


def hold_answers(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Let every device's offer wait for its answer until what is returned is set."""
    event = asyncio.Event()
    services = stage.service.book._services

    def make_caller(leg: Any) -> Any:
        transport = stage.media._make_caller(leg)
        answer = transport.answer

        async def held(offer_sdp: str) -> str:
            await event.wait()
            return await answer(offer_sdp)

        monkeypatch.setattr(transport, "answer", held)
        return transport

    edges = type(services.edges)(make_caller, services.edges.connect_link)
    monkeypatch.setattr(services, "edges", edges)
    return event


async def test_a_meeting_that_cannot_be_looked_up_costs_no_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with staged(tmp_path) as stage, phone_of(stage.dev) as john:

        async def meeting(*_: str) -> None:
            raise StoreError("the disk is full")

        monkeypatch.setattr(stage.service.store, "meeting", meeting)
        await john.send(type="join", threadId=THREAD, sdp=GOOD_SDP)
        assert (await john.expect("error"))["code"] == "unavailable"
        await john.send(type="hangup", callId="none")
        assert (await john.expect("error"))["code"] == "unknownCall"


async def test_half_a_surrogate_pair_is_no_message(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage, phone_of(stage.dev) as john:
        await john.socket.send('{"type": "join", "joinMeetingId": "\\ud800", "sdp": "x"}')
        assert await john.close_code() == 4400
