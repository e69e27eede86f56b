"""Overloaded or stopping: new calls are refused at every door, and calls that stand go on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from mixminus.control.host import Bot, BotHost, HostedCall
from mixminus.control.host.errors import HostBusyError
from mixminus.control.operation.admission import Admission
from mixminus.control.operation.operation import Operation
from mixminus.control.operation.settings import OperationSettings
from mixminus.control.service.service import CallService
from mixminus.control.service.settings import ServiceSettings
from mixminus.control.settings import HostSettings
from mixminus.control.tls import client_context
from mixminus.media.load import Health, Load
from mixminus.media.platform import MediaPlatform
from tests.interop.test_calls import World, world
from tests.service_kit import (
    GOOD_SDP,
    FakeMedia,
    GraphHttp,
    Phone,
    call_body,
    phone_of,
    running_service,
)
from tests.support import eventually


@pytest.fixture(autouse=True)
def _admission_is_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIXMINUS_OPERATION_ADMISSION", "true")


def load(admission: Admission, ratio: float) -> None:
    """Have that load from now on, whatever this machine is doing."""
    admission.stop()
    now_s = asyncio.get_running_loop().time()
    for second in range(100):
        admission.take(Load(ratio, "test"), now_s + second)


async def readiness(http: httpx2.AsyncClient, url: str = "") -> tuple[int, dict[str, Any]]:
    reply = await http.get(f"{url}/readyz")
    return reply.status_code, reply.json()


@dataclass
class Doors:
    """Every way in to a call service, with somebody who is in a call already."""

    world: World
    john: Phone
    call_id: str

    async def all_are_shut(self, why: str) -> None:
        graph = self.world.graph
        reply = await graph.create(call_body(self.world.receiver.url))
        assert reply.status_code == 503
        assert reply.headers["retry-after"] == "10"
        error = reply.json()["error"]
        assert (error["code"], error["innerError"]["request-id"]) == (
            "serviceNotAvailable",
            reply.headers["request-id"],
        )
        assert why in error["message"]
        meeting = self.world.service.dev_file.meetings[0]
        async with phone_of(self.world.service.dev_file, "Alice") as phone:
            await phone.send(type="call", appId=graph.dev.app_id, sdp=GOOD_SDP)
            assert (await phone.expect("error"))["code"] == "busy"
            await phone.send(type="join", joinMeetingId=meeting.join_meeting_id, sdp=GOOD_SDP)
            assert why in (await phone.expect("error"))["message"]

    async def the_call_goes_on(self) -> None:
        call = f"/v1.0/communications/calls/{self.call_id}"
        graph = self.world.graph
        assert (await graph.http.get(call)).json()["state"] == "established"
        assert (await graph.http.post(f"{call}/keepAlive")).status_code == 200
        await self.john.send(type="mute", callId=self.call_id, muted=True)
        assert (await self.john.expect("muted"))["muted"]


async def test_an_overloaded_service_takes_no_calls_and_keeps_those_it_has(tmp_path: Path) -> None:
    async with world(tmp_path) as w, phone_of(w.service.dev_file) as john:
        doors = Doors(w, john, await w.established(john))
        admission = w.service.operation.admission
        root = w.service.urls.base
        load(admission, 0.5)
        assert (await readiness(w.graph.http, root))[0] == 200

        load(admission, 0.95)
        await doors.all_are_shut("as many calls as it can")
        await doors.the_call_goes_on()
        status, body = await readiness(w.graph.http, root)
        assert (status, body["reasons"], body["health"]) == (503, ["overloaded"], "overloaded")
        assert body["calls"] == 2, "John, and the application's call"
        assert (await w.graph.http.get(f"{root}/healthz")).status_code == 200, "it lives"
        assert admission.refusals == {"overloaded": 3, "draining": 0}

        load(admission, 0.75)
        assert admission.health is Health.HEAVILY_LOADED
        assert (await readiness(w.graph.http, root))[0] == 200
        await w.graph.created(call_body(w.receiver.url))


async def test_a_service_that_drains_takes_no_calls_and_keeps_those_it_has(tmp_path: Path) -> None:
    async with world(tmp_path) as w, phone_of(w.service.dev_file) as john:
        doors = Doors(w, john, await w.established(john))
        w.service.operation.admission.drain()
        await doors.all_are_shut("stopping")
        await doors.the_call_goes_on()
        status, body = await readiness(w.graph.http, w.service.urls.base)
        assert (status, body["reasons"]) == (503, ["draining"])
        await john.send(type="hangup", callId=doors.call_id)
        await john.expect("ended")
        await eventually(lambda: w.service.operation.busy == 0)


async def test_a_service_with_a_full_book_says_when_to_come_again(tmp_path: Path) -> None:
    async with world(tmp_path, max_calls=1) as w:
        await w.graph.created(call_body(w.receiver.url))
        reply = await w.graph.create(call_body(w.receiver.url))
        assert (reply.status_code, reply.headers["retry-after"]) == (503, "10")


@dataclass
class HostWorld:
    """A bot host whose own admission a test sets, beside a service that has none of its own."""

    host: BotHost
    service: CallService
    http: httpx2.AsyncClient
    calls: list[HostedCall]

    async def admin(self, **wish: str) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {self.host.admin_token}"}
        return await self.http.post(
            f"{self.host.url}/mixminus/v1/calls", json=wish, headers=headers
        )


@asynccontextmanager
async def host_world(tmp_path: Path) -> AsyncIterator[HostWorld]:
    async with AsyncExitStack() as stack:
        calls: list[HostedCall] = []
        bot = Bot("test bot")

        @bot.on_incoming_call
        async def incoming(call: HostedCall) -> None:
            calls.append(call)
            await call.reject("busy")

        service = await stack.enter_async_context(
            running_service(tmp_path, FakeMedia(), notify_first_wait_s=0.05)
        )
        settings = HostSettings.from_dev_file(
            service.dev_file,
            state_dir=tmp_path / "host",
            stream_path_token="a token of sixteen",
        )
        platform = await stack.enter_async_context(MediaPlatform())
        operation = Operation(OperationSettings(), platform)
        host = BotHost(bot, settings, platform=platform, operation=operation)
        await stack.enter_async_context(host)
        context = client_context(service.dev_file.ca_file)
        http = httpx2.AsyncClient(verify=context, trust_env=False)
        await stack.enter_async_context(http)
        yield HostWorld(host, service, http, calls)


async def test_an_overloaded_host_takes_no_calls(tmp_path: Path) -> None:
    async with host_world(tmp_path) as w, phone_of(w.service.dev_file) as john:
        admission = w.host.operation.admission
        load(admission, 0.95)
        status, body = await readiness(w.http, w.host.url)
        assert (status, body["role"], body["reasons"]) == (503, "bot host", ["overloaded"])

        refused = await w.admin(user="John")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "10")
        assert refused.json()["error"]["code"] == "serviceNotAvailable"
        with pytest.raises(HostBusyError, match="as many calls as it can"):
            await w.host.calls.create(user="John")
        assert len(w.host.calls) == 0

        context = client_context(w.service.dev_file.ca_file)
        streams = f"{w.host.url.replace('https', 'wss')}/streams/twilio/a token of sixteen"
        with pytest.raises(InvalidStatus) as caught:
            async with connect(streams.replace(" ", "%20"), ssl=context, proxy=None):
                pass
        assert caught.value.response.status_code == 503
        assert caught.value.response.headers["Retry-After"] == "10"
        assert w.host.streams.counters.busy == 1

        before = admission.refusals["overloaded"]
        await john.send(type="call", appId=w.service.dev_file.app_id, sdp=GOOD_SDP)
        await john.expect("calling")
        await eventually(lambda: admission.refusals["overloaded"] > before)
        assert w.calls == []

        load(admission, 0.1)  # The notification that was refused comes again.
        await eventually(lambda: w.calls, what="the incoming call")
        await john.expect("ended")
        ringing = await w.admin(user="John")
        assert ringing.status_code == 201
        await john.expect("ring")


async def test_calls_of_a_host_that_drains_go_on(tmp_path: Path) -> None:
    async with host_world(tmp_path) as w, phone_of(w.service.dev_file) as john:
        call = await w.host.calls.create(user="John")
        ring = await john.expect("ring")
        w.host.operation.admission.drain()
        assert (await w.admin(user="Alice")).status_code == 503
        assert w.host.operation.busy == 1
        await john.send(type="decline", callId=ring["callId"])
        await eventually(lambda: call.is_over, what="what was told of the call to be taken")
        await eventually(lambda: w.host.operation.busy == 0)
        assert (await readiness(w.http, w.host.url))[1]["reasons"] == ["draining"]


@pytest.mark.slow
async def test_what_is_measured_is_what_refuses(tmp_path: Path) -> None:
    """No load is made up here: the capacity is set so low that living is too much."""
    async with MediaPlatform() as platform:
        settings = OperationSettings(capacity_process_share=1e-6)
        async with Operation(settings, platform) as operation:
            await eventually(lambda: operation.admission.health is Health.OVERLOADED, 30.0)
            assert operation.admission.load.of == "processors"
            chosen = ServiceSettings(state_dir=tmp_path, drain_s=0.0)
            async with (
                CallService(chosen, operation=operation, make_edges=FakeMedia().edges) as service,
                GraphHttp(service.dev_file) as graph,
            ):
                reply = await graph.create(call_body("https://localhost:1/nobody"))
                assert reply.status_code == 503
                assert (await readiness(graph.http, service.urls.base))[0] == 503
            assert operation.busy == 0
