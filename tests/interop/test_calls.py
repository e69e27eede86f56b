"""Calls over real HTTPS and a real signalling WebSocket; only the media ends are fakes."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from mixminus.control.service.caller import CallerParty
from mixminus.control.service.service import CallService
from mixminus.control.store.base import AppRow
from tests.service_kit import (
    BAD_SDP,
    GOOD_SDP,
    FakeMedia,
    GraphHttp,
    Phone,
    Receiver,
    call_body,
    phone_of,
    running_service,
)
from tests.support import eventually


class World(NamedTuple):
    """All parties of a call."""

    service: CallService
    graph: GraphHttp
    receiver: Receiver
    media: FakeMedia

    async def create(self, **members: Any) -> str:
        return await self.graph.created(call_body(self.receiver.url, **members))

    async def established(self, phone: Phone) -> str:
        """Make a call that *phone* answers; return its id."""
        call_id = await self.create()
        assert (await phone.expect("ring"))["callId"] == call_id
        await phone.send(type="answer", callId=call_id, sdp=GOOD_SDP)
        await phone.expect("answered")
        await eventually(lambda: any("mediaState" in d for d in self.receiver.of(call_id)))
        return call_id

    async def over(self, call_id: str) -> dict[str, Any]:
        """Wait for the end; return the last notification's data."""
        await eventually(lambda: self.receiver.states(call_id)[-1:] == ["terminated"])
        return self.receiver.of(call_id)[-1]

    async def ended_with(self, call_id: str) -> tuple[int, int]:
        result = (await self.over(call_id))["resultInfo"]
        return result["code"], result["subcode"]


@asynccontextmanager
async def world(state_dir: Path, **settings: Any) -> AsyncIterator[World]:
    media = FakeMedia()
    async with (
        Receiver(state_dir) as receiver,
        running_service(state_dir, media, **settings) as service,
        GraphHttp(service.dev_file) as graph,
    ):
        yield World(service, graph, receiver, media)


async def test_call_goes_from_establishing_to_terminated(tmp_path: Path) -> None:
    async with world(tmp_path) as w, phone_of(w.service.dev_file) as phone:
        call_id = await w.create()
        ring = await phone.expect("ring")
        assert ring["from"] == {"id": w.service.dev_file.app_id, "displayName": "Calling Bot"}
        await phone.send(type="answer", callId=call_id, sdp=GOOD_SDP)
        assert (await phone.expect("answered"))["sdp"] == f"answer to {GOOD_SDP}"
        await eventually(lambda: len(w.receiver.of(call_id)) == 3)
        shown = (await w.graph.http.get(f"/v1.0/communications/calls/{call_id}")).json()
        assert shown["state"] == "established"
        assert shown["mediaState"]["audio"] == "active"
        assert shown["activeModalities"] == ["audio"]
        assert shown["answeredBy"]["identity"]["user"]["displayName"] == "John"
        await phone.send(type="hangup", callId=call_id)
        ended = await phone.expect("ended")
        assert (ended["code"], ended["subcode"]) == (200, 4521)
        last = await w.over(call_id)
        assert w.receiver.states(call_id) == [
            "establishing",
            "established",
            "established",
            "terminating",
            "terminated",
        ]
        _, established, active, _, _ = w.receiver.of(call_id)
        assert established["direction"] == "outgoing"
        assert active["mediaState"]["audio"] == "active"
        assert last["resultInfo"]["subcode"] == 4521
        assert last["terminationReason"] == "CallTerminated"
        gone = await w.graph.http.get(f"/v1.0/communications/calls/{call_id}")
        assert (gone.status_code, gone.json()["error"]["code"]) == (404, "8522")


async def test_notifications_name_change_resource_and_callback(tmp_path: Path) -> None:
    async with world(tmp_path) as w, phone_of(w.service.dev_file) as phone:
        call_id = await w.established(phone)
        await w.graph.http.delete(f"/v1.0/communications/calls/{call_id}")
        await w.over(call_id)
        items = [item for body in w.receiver.taken for item in body["value"]]
        assert [item["changeType"] for item in items] == ["updated"] * 4 + ["deleted"]
        for item in items:
            assert item["@odata.type"] == "#microsoft.graph.commsNotification"
            assert item["resourceUrl"] == f"/communications/calls/{call_id}"
            assert item["resource"] == f"/app/calls/{call_id}"
            assert item["callbackUri"] == w.receiver.url


async def test_delete_ends_the_call_for_both(tmp_path: Path) -> None:
    async with world(tmp_path) as w, phone_of(w.service.dev_file) as phone:
        call_id = await w.established(phone)
        reply = await w.graph.http.delete(f"/beta/app/calls/{call_id}")
        assert (reply.status_code, reply.content) == (204, b"")
        assert (await phone.expect("ended"))["subcode"] == 7000
        assert await w.ended_with(call_id) == (200, 7000)
        assert w.media.callers[0].closed.done()
        assert w.media.links[0].closed.done()
        assert w.service.book.living == 0


async def test_link_that_fails_ends_the_call_before_anyone_is_rung(tmp_path: Path) -> None:
    async with world(tmp_path) as w, phone_of(w.service.dev_file) as phone:
        w.media.link_failure = "cannot connect to net.tcp://bot.contoso.com:18732/MediaProcessor"
        call_id = await w.create()
        last = await w.over(call_id)
        assert last["resultInfo"] | {"@odata.type": ""} == {
            "@odata.type": "",
            "code": 500,
            "subcode": 1005,
            "message": w.media.link_failure,
        }
        w.media.link_failure = None
        second = await w.create()
        assert (await phone.expect("ring"))["callId"] == second


async def test_bot_may_hang_up_while_its_link_is_made(tmp_path: Path) -> None:
    async with world(tmp_path) as w, phone_of(w.service.dev_file) as phone:
        w.media.link_may_connect.clear()
        call_id = await w.create()
        await w.graph.http.delete(f"/v1.0/communications/calls/{call_id}")
        assert await w.ended_with(call_id) == (200, 7000)
        assert w.media.links == []
        w.media.link_may_connect.set()
        second = await w.create()
        assert (await phone.expect("ring"))["callId"] == second


async def test_bot_may_hang_up_while_it_rings(tmp_path: Path) -> None:
    async with world(tmp_path) as w, phone_of(w.service.dev_file) as phone:
        call_id = await w.create()
        await phone.expect("ring")
        await w.graph.http.delete(f"/v1.0/communications/calls/{call_id}")
        cancelled = await phone.expect("cancelled")
        assert (cancelled["callId"], cancelled["reason"]) == (call_id, "hangup")
        assert await w.ended_with(call_id) == (200, 7000)
        await phone.send(type="answer", callId=call_id, sdp=GOOD_SDP)
        assert (await phone.expect("error"))["code"] in ("notRinging", "unknownCall")


@pytest.mark.slow
async def test_store_that_is_there_and_refuses_ends_the_media_and_later_the_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mixminus.control.service.store_wait.PATIENCE_S", 0.3)
    async with world(tmp_path) as w, phone_of(w.service.dev_file) as phone:
        call_id = await w.established(phone)
        db = sqlite3.connect(tmp_path / "service.db", isolation_level=None)
        db.execute("CREATE TRIGGER t BEFORE UPDATE ON calls BEGIN SELECT RAISE(ABORT, 'disk'); END")
        reply = await w.graph.http.delete(f"/v1.0/communications/calls/{call_id}")
        assert reply.status_code == 503
        assert reply.json()["error"]["code"] == "serviceNotAvailable"
        w.media.links[0].end("lost")
        await eventually(w.media.callers[0].closed.done)
        db.execute("DROP TRIGGER t")
        db.close()
        assert await w.ended_with(call_id) == (500, 9999)


async def test_lost_link_ends_the_call(tmp_path: Path) -> None:
    async with world(tmp_path) as w, phone_of(w.service.dev_file) as phone:
        call_id = await w.established(phone)
        w.media.links[0].end("the far end closed")
        assert (await phone.expect("ended"))["subcode"] == 301005
        assert await w.ended_with(call_id) == (410, 301005)


async def test_user_who_registers_while_it_rings_is_rung(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        call_id = await w.create()
        await eventually(lambda: w.media.links)
        async with phone_of(w.service.dev_file, "Bob") as bob, phone_of(w.service.dev_file) as john:
            assert (await john.expect("ring"))["callId"] == call_id
            await bob.send(type="answer", callId=call_id, sdp=GOOD_SDP)
            assert (await bob.expect("error"))["code"] == "unknownCall"


async def test_first_device_of_a_user_wins(tmp_path: Path) -> None:
    async with (
        world(tmp_path) as w,
        phone_of(w.service.dev_file) as desk,
        phone_of(w.service.dev_file) as mobile,
    ):
        call_id = await w.create()
        await desk.expect("ring")
        await mobile.expect("ring")
        await mobile.send(type="answer", callId=call_id, sdp=GOOD_SDP)
        await mobile.expect("answered")
        cancelled = await desk.expect("cancelled")
        assert (cancelled["callId"], cancelled["reason"]) == (call_id, "answeredElsewhere")
        await desk.send(type="answer", callId=call_id, sdp=GOOD_SDP)
        assert (await desk.expect("error"))["code"] == "notRinging"
        await desk.send(type="hangup", callId=call_id)
        assert (await desk.expect("error"))["code"] == "notInCall"


async def test_refused_offer_leaves_the_call_ringing(tmp_path: Path) -> None:
    async with world(tmp_path) as w, phone_of(w.service.dev_file) as phone:
        call_id = await w.create()
        await phone.expect("ring")
        await phone.send(type="answer", callId=call_id, sdp=BAD_SDP)
        assert (await phone.expect("error"))["code"] == "badSdp"
        await phone.send(type="answer", callId=call_id, sdp=GOOD_SDP)
        await phone.expect("answered")
        assert w.media.callers[0].closed.done()


async def test_declined_call_ends(tmp_path: Path) -> None:
    async with world(tmp_path) as w, phone_of(w.service.dev_file) as phone:
        call_id = await w.create()
        await phone.expect("ring")
        await phone.send(type="decline", callId=call_id)
        assert (await phone.expect("cancelled"))["reason"] == "declined"
        assert await w.ended_with(call_id) == (603, 0)


async def test_ringing_ends_in_time(tmp_path: Path) -> None:
    async with world(tmp_path) as w, phone_of(w.service.dev_file) as phone:
        rung = await w.create(ringingTimeoutInSeconds=1)
        await phone.expect("ring")
        assert (await phone.expect("cancelled"))["reason"] == "timeout"
        assert await w.ended_with(rung) == (487, 10004)


async def test_absent_callee_is_rung_until_the_time_is_over(tmp_path: Path) -> None:
    async with world(tmp_path, ringing_s=0.05) as w:
        assert await w.ended_with(await w.create()) == (408, 10057)


async def test_caller_whose_media_do_not_come_ends_the_call(tmp_path: Path) -> None:
    async with world(tmp_path, caller_media_s=0.05) as w, phone_of(w.service.dev_file) as phone:
        w.media.caller_may_connect = False
        call_id = await w.create()
        await phone.expect("ring")
        await phone.send(type="answer", callId=call_id, sdp=GOOD_SDP)
        await phone.expect("answered")
        assert await w.ended_with(call_id) == (500, 1004)


@pytest.mark.slow
async def test_caller_who_vanishes_is_waited_for_then_hung_up(tmp_path: Path) -> None:
    async with world(tmp_path, caller_grace_s=0.05) as w:
        async with phone_of(w.service.dev_file) as phone:
            call_id = await w.established(phone)
        assert await w.ended_with(call_id) == (200, 4521)


async def test_reoffer_from_a_new_socket_keeps_the_call(tmp_path: Path) -> None:
    async with world(tmp_path, caller_grace_s=60) as w:
        async with phone_of(w.service.dev_file) as phone:
            call_id = await w.established(phone)
        async with phone_of(w.service.dev_file) as again:
            await again.send(type="reoffer", callId=call_id, sdp=GOOD_SDP)
            assert (await again.expect("reanswered"))["sdp"] == f"answer to {GOOD_SDP}"
            await eventually(w.media.callers[0].closed.done)
            assert not w.media.callers[1].closed.done()
            await again.send(type="reoffer", callId=call_id, sdp=BAD_SDP)
            assert (await again.expect("error"))["code"] == "badSdp"
            assert not w.media.callers[1].closed.done()
            await again.send(type="hangup", callId=call_id)
            await again.expect("ended")
            assert await w.ended_with(call_id) == (200, 4521)


async def test_old_connection_that_ends_during_a_reoffer_ends_nothing(tmp_path: Path) -> None:
    async with world(tmp_path, caller_grace_s=60) as w, phone_of(w.service.dev_file) as phone:
        call_id = await w.established(phone)
        w.media.caller_may_connect = False
        await phone.send(type="reoffer", callId=call_id, sdp=GOOD_SDP)
        await phone.expect("reanswered")
        [party] = w.service.book._living[call_id].room.others(w.service.book._living[call_id])
        assert isinstance(party, CallerParty)
        w.media.callers[0].end("the far end closed the connection")
        await eventually(lambda: party._grace is not None)
        w.media.callers[1].may_connect.set()
        await eventually(lambda: party._grace is None, what="the caller is back")


async def test_calls_made_at_once_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    both_asked = asyncio.Event()

    async def pin(uri: str, schemes: tuple[str, ...]) -> None:
        asked.append(uri)
        if len(asked) == 2:
            both_asked.set()
        await both_asked.wait()

    async with world(tmp_path, max_calls=1) as w:
        monkeypatch.setattr(w.service.book._guard, "pin", pin)
        bodies = call_body(w.receiver.url), call_body(w.receiver.url)
        replies = await asyncio.gather(*(w.graph.create(body) for body in bodies))
        assert sorted(reply.status_code for reply in replies) == [201, 503]


@pytest.mark.slow
async def test_call_without_keep_alive_is_dropped(tmp_path: Path) -> None:
    async with world(tmp_path, keep_alive_s=0.05) as w:
        assert await w.ended_with(await w.create()) == (408, 8537)


async def test_keep_alive_is_taken_while_the_call_lives(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        call_id = await w.create()
        path = f"/v1.0/communications/calls/{call_id}/keepAlive"
        before = w.service.book._living[call_id]._timers["keepAlive"].when()
        reply = await w.graph.http.post(path)
        assert (reply.status_code, reply.content) == (200, b"")
        assert w.service.book._living[call_id]._timers["keepAlive"].when() > before
        await w.graph.http.delete(path.removesuffix("/keepAlive"))
        await w.over(call_id)
        reply = await w.graph.http.post(path)
        assert (reply.status_code, reply.json()["error"]["code"]) == (404, "8522")


async def test_report_tells_states_legs_and_lateness_also_after_the_end(tmp_path: Path) -> None:
    async with world(tmp_path) as w, phone_of(w.service.dev_file) as phone:
        call_id = await w.established(phone)
        living = await w.graph.report(call_id)
        assert living["transports"] == {"caller": {"frames_in": 1}, "bot": {"frames_in": 1}}
        await phone.send(type="hangup", callId=call_id)
        await w.over(call_id)
        report = await w.graph.report(call_id)
        while report["notifications"]["pending"]:
            report = await w.graph.report(call_id)
        states = [entry["state"] for entry in report["states"]]
        assert states == ["establishing", "established", "terminating", "terminated"]
        times = [entry["atMs"] for entry in report["states"]]
        assert times == sorted(times)
        assert report["notifications"] == {"sent": 5, "failed": 0, "pending": 0}
        for name in ("caller", "bot"):
            leg = report["legs"][name]
            assert leg["source_written"] == 1
            assert leg["ticks"] == leg["voice"] + leg["silence"] + leg["concealed"] + leg["skipped"]
        assert report["engine"]["ticks"] >= len(report["latenessUs"]) > 0


async def test_call_is_seen_by_its_application_alone(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        call_id = await w.create()
        other = AppRow(
            "other-app", w.service.dev_file.tenant_id, "Other", "s", ("Calls.Initiate.All",)
        )
        await w.service.store.add_app(other)
        headers = {"Authorization": f"Bearer {w.service.access_tokens.issue(other)}"}
        for method, path in (
            ("GET", f"/v1.0/communications/calls/{call_id}"),
            ("DELETE", f"/v1.0/communications/calls/{call_id}"),
            ("POST", f"/v1.0/communications/calls/{call_id}/keepAlive"),
            ("GET", f"/mixminus/v1/calls/{call_id}"),
        ):
            reply = await w.graph.http.request(method, path, headers=headers)
            assert (reply.status_code, reply.json()["error"]["code"]) == (404, "8522")


async def test_stopping_the_service_ends_its_calls_and_says_so(tmp_path: Path) -> None:
    before = asyncio.all_tasks()
    async with Receiver(tmp_path) as receiver:
        media = FakeMedia()
        async with running_service(tmp_path, media, drain_s=5.0) as service:
            async with GraphHttp(service.dev_file) as graph:
                call_id = await graph.created(call_body(receiver.url))
            await eventually(lambda: media.links)
        assert receiver.states(call_id)[-2:] == ["terminating", "terminated"]
        assert receiver.of(call_id)[-1]["resultInfo"]["subcode"] == 7106
        assert media.links[0].closed.done()
    assert asyncio.all_tasks() == before


async def test_blobs_secret_is_in_no_response_and_no_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(0)
    async with world(tmp_path) as w, phone_of(w.service.dev_file) as phone:
        body = call_body(w.receiver.url)
        blob = body["mediaConfig"]["blob"]
        secret = blob.split('"secret":"')[1].split('"')[0]
        created = await w.graph.create(body)
        await phone.expect("ring")
        shown = await w.graph.http.get(f"/v1.0/communications/calls/{created.json()['id']}")
        dev = w.service.dev_file
        for hidden in (secret, dev.client_secret, *(user.token for user in dev.users)):
            assert hidden not in created.text + shown.text
            assert hidden not in caplog.text
        assert "Bearer" not in caplog.text
