"""The softphone against a small signalling server with a real WebRTC far end."""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trustme
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from mixminus.control.rtc_client import SignallingError, SignInError
from mixminus.control.softphone import Softphone, SoftphoneOptions
from mixminus.media.pcm import Pcm
from mixminus.media.platform import MediaPlatform
from mixminus.media.transports.webrtc import WebRtcTransport
from tests.signals import sine
from tests.support import eventually

TOKEN = "the-users-token"


@dataclass
class FakeService:
    """Rings whoever registers, answers with an echo times -0.5, and does as the test says."""

    platform: MediaPlatform
    url: str = ""
    client_context: ssl.SSLContext = field(default_factory=ssl.create_default_context)
    reply: str = "answered"
    rings: int = 1
    losing: tuple[str, dict[str, Any]] = ("cancelled", {"reason": "answeredElsewhere"})
    received: list[dict[str, Any]] = field(default_factory=list)
    socket: ServerConnection | None = None
    transport: WebRtcTransport | None = None

    async def serve(self, socket: ServerConnection) -> None:
        self.socket = socket
        try:
            await self._serve(socket)
        except ConnectionClosed:
            return
        finally:
            if self.transport is not None:
                await self.transport.close()

    async def _serve(self, socket: ServerConnection) -> None:
        register = json.loads(await socket.recv())
        if register.get("token") != TOKEN:
            await self.say("error", code="badToken", message="this token is no user's")
            await socket.close(4401, "badToken")
            return
        await self.say("registered", user={"id": "1", "displayName": "John"})
        for number in range(self.rings):
            await self.say("ring", callId=f"call-{number}", **{"from": {"displayName": "Echo"}})
            answer = json.loads(await socket.recv())
            self.received.append(answer)
            if number < self.rings - 1:
                kind, fields = self.losing
                await self.say(kind, callId=answer["callId"], **fields)
        if not self.rings:
            await socket.wait_closed()
            return
        if self.reply == "answered":
            await self.say("answered", callId=answer["callId"], sdp=await self._echo(answer["sdp"]))
        else:
            await self.say(self.reply, callId=answer["callId"], code=410, message="no luck")
        async for text in socket:
            message = json.loads(text)
            self.received.append(message)
            if message["type"] == "hangup":
                await self.say("ended", callId=message["callId"], code=200, subcode=4521)

    async def _echo(self, offer: str) -> str:
        bridge = self.platform.create_bridge()
        network, bot = bridge.add_leg(1), bridge.add_leg(2)

        def echo() -> None:
            while (frame := bot.render.read()) is not None:
                bot.source.write((frame * -0.5).astype(np.int16))

        self.platform.on_tick(echo)
        self.transport = WebRtcTransport(self.platform, network)
        return await self.transport.answer(offer)

    async def say(self, kind: str, **fields: Any) -> None:
        assert self.socket is not None
        await self.socket.send(json.dumps({"type": kind, **fields}))


@asynccontextmanager
async def fake_service() -> AsyncIterator[FakeService]:
    authority = trustme.CA()
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(server_context)
    client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(client_context)
    async with MediaPlatform() as platform:
        service = FakeService(platform, client_context=client_context)
        async with serve(service.serve, "127.0.0.1", 0, ssl=server_context) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            service.url = f"wss://localhost:{port}/rtc"
            yield service


class Log:
    """Events as the softphone told them."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, event: str, fields: dict[str, Any]) -> None:
        json.dumps(fields)
        self.events.append((event, fields))

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.events if name != "progress"]


def options(service: FakeService, tmp_path: Path, **changes: Any) -> SoftphoneOptions:
    given: dict[str, Any] = {
        "rtc_url": service.url,
        "token": TOKEN,
        "ssl_context": service.client_context,
        "play": np.concatenate([np.zeros(4000, np.int16), sine(440, 16_000, 0.25)]),
        "heard_file": tmp_path / "heard.wav",
        "played_file": tmp_path / "played.wav",
        "duration_s": 2.0,
    }
    return SoftphoneOptions(**{**given, **changes})


def read_wav(path: Path) -> Pcm:
    with wave.open(str(path)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), np.int16)


async def test_it_answers_plays_records_and_hangs_up(tmp_path: Path) -> None:
    async with fake_service() as service:
        tasks = asyncio.all_tasks()
        log = Log()
        report = await Softphone(options(service, tmp_path), log).run()
        assert log.names == ["registered", "ringing", "answered", "connected", "ended"]
        assert report.succeeded
        assert report.end is not None
        assert (report.end.by, report.end.code, report.end.subcode) == ("here", 200, 4521)
        assert [message["type"] for message in service.received] == ["answer", "hangup"]
        # The server's handler of that one connection may take a moment longer.
        await eventually(lambda: asyncio.all_tasks() <= tasks)
        assert not [t.name for t in threading.enumerate() if "decoder" in t.name]
    heard, played = read_wav(tmp_path / "heard.wav"), read_wav(tmp_path / "played.wav")
    assert abs(heard.size - played.size) <= 320
    given = options(service, tmp_path).play
    assert given is not None
    start = int(np.abs(played.astype(int)).argmax()) // 320 * 320
    loop_at = next(at for at in range(0, 641, 320) if np.array_equal(played[at : at + 8000], given))
    assert start >= loop_at
    # The echo is the input turned over, later: the best match of the two is negative.
    product = np.correlate(heard.astype(float), played[loop_at : loop_at + 8000].astype(float))
    assert -product.min() > 0.3 * float(np.square(given.astype(float)).sum())
    json_report = report.as_json()
    assert set(json_report["legs"]) == {"network", "application"}
    assert json_report["legs"]["network"]["voice"] > 50
    assert json_report["transport"]["frames_in"] > 50
    assert json_report["engine"]["ticks"] > 50
    assert len(json_report["latenessUs"]) > 50
    assert {at for at, _ in json_report["rssBytes"]} <= {1.0}
    assert json.dumps(json_report)


async def test_the_far_end_ending_the_call_ends_it(tmp_path: Path) -> None:
    async with fake_service() as service:
        log = Log()
        phone = Softphone(options(service, tmp_path, duration_s=None, play=None), log)
        running = asyncio.create_task(phone.run())
        await eventually(lambda: "connected" in log.names)
        await service.say("ended", callId="call-0", code=410, subcode=301005, message="lost media")
        report = await asyncio.wait_for(running, 10)
        assert report.end is not None
        assert (report.end.by, report.end.message) == ("far end", "lost media")
        assert not report.succeeded
        assert log.names[-1] == "ended"


async def test_stop_hangs_up(tmp_path: Path) -> None:
    async with fake_service() as service:
        log = Log()
        phone = Softphone(options(service, tmp_path, duration_s=None), log)
        running = asyncio.create_task(phone.run())
        await eventually(lambda: "connected" in log.names)
        phone.stop()
        assert (await asyncio.wait_for(running, 10)).succeeded
        assert service.received[-1]["type"] == "hangup"


async def test_stop_ends_the_waiting_for_a_call(tmp_path: Path) -> None:
    async with fake_service() as service:
        service.rings = 0
        log = Log()
        phone = Softphone(options(service, tmp_path), log)
        running = asyncio.create_task(phone.run())
        await eventually(lambda: "registered" in log.names)
        phone.stop()
        report = await asyncio.wait_for(running, 10)
        assert not report.succeeded
        assert log.names == ["registered", "ended"]


@pytest.mark.parametrize(
    "losing",
    [("cancelled", {"reason": "answeredElsewhere"}), ("error", {"code": "notRinging"})],
)
async def test_a_ring_that_another_device_answers_is_waited_out(
    tmp_path: Path, losing: tuple[str, dict[str, Any]]
) -> None:
    async with fake_service() as service:
        service.rings, service.losing = 2, losing
        log = Log()
        report = await Softphone(options(service, tmp_path, duration_s=0.1), log).run()
        assert log.names.count("ringing") == 2
        assert log.names.count("cancelled") == 1
        assert report.call_id == "call-1"
        assert report.succeeded


async def test_a_refused_answer_is_a_failed_call(tmp_path: Path) -> None:
    async with fake_service() as service:
        service.reply = "error"
        report = await Softphone(options(service, tmp_path), Log()).run()
        assert not report.succeeded
        assert report.end is not None
        assert report.end.message == "no luck"
        assert not (tmp_path / "heard.wav").exists()


async def test_a_bad_token_and_a_dead_service_are_clear_errors(tmp_path: Path) -> None:
    async with fake_service() as service:
        with pytest.raises(SignInError, match="this token is no user's"):
            await Softphone(options(service, tmp_path, token="other"), Log()).run()
        gone = options(service, tmp_path, rtc_url="wss://localhost:1/rtc")
        with pytest.raises(SignallingError, match="cannot connect to wss://localhost:1/rtc: "):
            await Softphone(gone, Log()).run()


async def test_lost_signalling_ends_the_run(tmp_path: Path) -> None:
    async with fake_service() as service:
        log = Log()
        running = asyncio.create_task(
            Softphone(options(service, tmp_path, duration_s=None), log).run()
        )
        await eventually(lambda: "connected" in log.names)
        assert service.socket is not None
        await service.socket.close()
        with pytest.raises(SignallingError, match="closed the signalling"):
            await asyncio.wait_for(running, 10)
