"""A call service under test: fake media ends, a real HTTPS receiver, real clients."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

import httpx2
import numpy as np
from websockets.asyncio.client import ClientConnection, connect

from mixminus.control.devfile import DevFile
from mixminus.control.service.edges import MediaEdges
from mixminus.control.service.phones import RtpScript
from mixminus.control.service.service import CallService
from mixminus.control.service.settings import ServiceSettings
from mixminus.control.serving import AsgiApp, HttpsServer, Message, Receive, Scope, Send
from mixminus.control.tls import LOCAL_HOSTS, LocalAuthority, client_context
from mixminus.media.bridge import Leg
from mixminus.media.descriptor import MediaSessionDescriptor
from mixminus.media.pcm import FRAME_SAMPLES
from mixminus.media.platform import MediaPlatform
from mixminus.media.quality import StreamQuality
from mixminus.media.transports.link import LinkError
from mixminus.media.transports.sdp import SdpError

JOHN = "112f7296-5fa4-42ca-bae8-6a692b15d4b8"
SILENT = np.zeros(FRAME_SAMPLES, np.int16)
GOOD_SDP = "a good offer"
BAD_SDP = "a bad offer"
RESTART_SDP = "an offer to go on elsewhere"
NOTHING_MEASURED = StreamQuality(
    **{
        name: 0 for name, field in StreamQuality.__dataclass_fields__.items() if field.type == "int"
    },
    codec="opus",
    jitter_ms=None,
    round_trip_ms=None,
    far_loss_ratio=None,
    far_jitter_ms=None,
    delay_ms=None,
    target_ms=None,
    drift_ppm=None,
)


class FakeTransport:
    """A media end without sockets: takes one offer, and feeds its leg a frame once connected."""

    def __init__(self, leg: Leg) -> None:
        self.leg = leg
        self.far_address: tuple[str, int] | None = ("192.0.2.7", 40_000)
        self.closed: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.may_connect = asyncio.Event()
        self.may_connect.set()

    async def answer(self, offer_sdp: str) -> str:
        if offer_sdp == BAD_SDP:
            raise SdpError("expected a good offer")
        return f"answer to {offer_sdp}"

    async def connected(self, timeout_s: float = 10.0) -> None:
        async with asyncio.timeout(timeout_s):
            await self.may_connect.wait()
        if self.closed.done():
            raise ConnectionError(self.closed.result())
        self.leg.source.write(SILENT)

    def move(self, leg: Leg) -> None:
        self.leg = leg

    def counters(self) -> dict[str, int]:
        return {"frames_in": 1}

    async def close(self) -> None:
        self.end("closed here")

    def end(self, reason: str) -> None:
        if not self.closed.done():
            self.closed.set_result(reason)


class FakePackets(FakeTransport):
    """A media end of packets without sockets: says what was measured, pressed, lost and found."""

    def __init__(self, leg: Leg) -> None:
        super().__init__(leg)
        self.on_tone: Callable[[str], None] = lambda key: None
        self.on_media: Callable[[bool], None] = lambda flows: None
        self.expects_media = True
        self.measured: StreamQuality | None = NOTHING_MEASURED
        self.restarts = 0
        self.takes_events = True
        self.keys: list[tuple[str, int]] = []

    async def answer(self, offer_sdp: str) -> str:
        if offer_sdp == RESTART_SDP:
            self.restarts += 1
        return await super().answer(offer_sdp)

    def queue_tone(self, key: str, duration_ms: int = 100, pause_ms: int = 50) -> bool:
        self.keys.append((key, duration_ms))
        return self.takes_events

    def can_restart(self, offer_sdp: str) -> bool:
        return offer_sdp == RESTART_SDP

    def quality(self) -> StreamQuality | None:
        return self.measured


class FakeLine:
    """A line to a gateway that is not there."""

    def __init__(self, script: RtpScript) -> None:
        self.script = script
        self.transport: FakePackets | None = None

    def carry(self, leg: Leg) -> FakePackets:
        self.transport = FakePackets(leg)
        return self.transport

    async def close(self) -> None:
        if self.transport is not None:
            await self.transport.close()


class FakeMedia:
    """Media ends that a test looks into: every transport made, and how the link shall fail.

    ``packets`` says that callers come by FakePackets.
    """

    def __init__(self, *, packets: bool = False) -> None:
        self._packets = packets
        self.callers: list[FakeTransport] = []
        self.lines: list[FakeLine] = []
        self.line_failure: str | None = None
        self.links: list[FakeTransport] = []
        self.link_failure: str | None = None
        self.link_may_connect = asyncio.Event()
        self.link_may_connect.set()
        self.caller_may_connect = True

    @asynccontextmanager
    async def edges(
        self, platform: MediaPlatform, settings: ServiceSettings, ca: Path
    ) -> AsyncIterator[MediaEdges]:
        yield MediaEdges(self._make_caller, self._connect_link, self._open_line)

    def packets(self, index: int = -1) -> FakePackets:
        """One of the callers' ends, as what it is."""
        found = self.callers[index]
        assert isinstance(found, FakePackets)
        return found

    async def _open_line(self, script: RtpScript) -> FakeLine:
        if self.line_failure is not None:
            raise ConnectionError(self.line_failure)
        self.lines.append(FakeLine(script))
        return self.lines[-1]

    def _make_caller(self, leg: Leg) -> FakeTransport:
        transport = FakePackets(leg) if self._packets else FakeTransport(leg)
        if not self.caller_may_connect:
            transport.may_connect.clear()
        self.callers.append(transport)
        return transport

    async def _connect_link(self, leg: Leg, descriptor: MediaSessionDescriptor) -> FakeTransport:
        await self.link_may_connect.wait()
        if self.link_failure is not None:
            raise LinkError(self.link_failure)
        transport = FakeTransport(leg)
        await transport.connected()
        self.links.append(transport)
        return transport


class Receiver:
    """An application's webhook: a real HTTPS server that keeps what it is sent.

    ``reply`` decides the status of each delivery (from its count, starting at 1); ``gate``, while
    cleared, holds every request back.
    """

    def __init__(
        self,
        state_dir: Path,
        reply: Callable[[int], int] = lambda count: 202,
        hosts: tuple[str, ...] = LOCAL_HOSTS,
    ) -> None:
        self._reply = reply
        self.gate = asyncio.Event()
        self.gate.set()
        self.attempts = 0
        self.taken: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        certificate = LocalAuthority(state_dir).issue(*hosts)
        app: AsgiApp = self._serve
        self._server = HttpsServer(app, certificate=certificate)
        self.port = 0

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}/api/calls"

    async def __aenter__(self) -> Self:
        self.port = await self._server.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        self.gate.set()
        await self._server.stop()

    def of(self, call_id: str) -> list[dict[str, Any]]:
        """What was taken about one call: the resourceData, in order."""
        return [
            item["resourceData"]
            for body in self.taken
            for item in body["value"]
            if item["resourceData"]["id"] == call_id
        ]

    def states(self, call_id: str) -> list[str]:
        return [data["state"] for data in self.of(call_id)]

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        body = b""
        while True:
            message: Message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        await self.gate.wait()
        self.attempts += 1
        status = self._reply(self.attempts)
        if 200 <= status < 300:
            self.taken.append(json.loads(body))
            self.headers.append({k.decode(): v.decode() for k, v in scope["headers"]})
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})


class GraphHttp:
    """A raw client of the Graph API, with a token of the service's own application."""

    def __init__(self, dev: DevFile) -> None:
        self.dev = dev
        context = client_context(dev.ca_file)
        self.http = httpx2.AsyncClient(base_url=dev.graph_base_url, verify=context, trust_env=False)

    async def __aenter__(self) -> Self:
        self.http.headers["Authorization"] = f"Bearer {await self.token()}"
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.http.aclose()

    async def token(self) -> str:
        reply = await self.http.post(
            f"{self.dev.authority}/oauth2/v2.0/token",
            data={
                "grant_type": "client_credentials",
                "client_id": self.dev.app_id,
                "client_secret": self.dev.client_secret,
                "scope": "https://graph.microsoft.com/.default",
            },
        )
        return str(reply.json()["access_token"])

    async def create(self, body: dict[str, Any], version: str = "v1.0") -> httpx2.Response:
        return await self.http.post(f"/{version}/communications/calls", json=body)

    async def created(self, body: dict[str, Any]) -> str:
        """Create a call that must succeed; return its id."""
        reply = await self.create(body)
        assert reply.status_code == 201, reply.text
        return str(reply.json()["id"])

    async def report(self, call_id: str) -> dict[str, Any]:
        reply = await self.http.get(f"/mixminus/v1/calls/{call_id}")
        assert reply.status_code == 200, reply.text
        result: dict[str, Any] = reply.json()
        return result


class Phone:
    """A caller's device: a real WebSocket that speaks the signalling and carries no media."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    async def send(self, **message: Any) -> None:
        await self.socket.send(json.dumps(message))

    async def expect(self, kind: str) -> dict[str, Any]:
        """Return the next message, which must be of that type."""
        async with asyncio.timeout(5):
            message: dict[str, Any] = json.loads(await self.socket.recv())
        assert message["type"] == kind, message
        return message

    async def close_code(self) -> int | None:
        """Wait until the service closed the socket; return the code."""
        async with asyncio.timeout(5):
            await self.socket.wait_closed()
        return self.socket.close_code


@asynccontextmanager
async def unregistered_phone(dev: DevFile) -> AsyncIterator[Phone]:
    context: ssl.SSLContext = client_context(dev.ca_file)
    async with connect(dev.rtc_url, ssl=context, compression=None, proxy=None) as socket:
        yield Phone(socket)


@asynccontextmanager
async def phone_of(dev: DevFile, name: str = "John") -> AsyncIterator[Phone]:
    async with unregistered_phone(dev) as phone:
        await phone.send(type="register", token=dev.find_user(name).token)
        registered = await phone.expect("registered")
        assert registered["user"]["displayName"] == name
        yield phone


@asynccontextmanager
async def running_service(
    state_dir: Path, media: FakeMedia | None = None, **settings: Any
) -> AsyncIterator[CallService]:
    # Receivers that a test does not have are not waited for.
    chosen = ServiceSettings(state_dir=state_dir, **{"drain_s": 0.0, **settings})
    edges = (media or FakeMedia()).edges
    async with CallService(chosen, make_edges=edges) as service:
        yield service


def call_body(callback_uri: str, **members: Any) -> dict[str, Any]:
    """The smallest body that makes a call; *members* replace or, when None, remove single ones."""
    body: dict[str, Any] = {
        "callbackUri": callback_uri,
        "targets": [{"identity": {"user": {"id": JOHN, "displayName": "John"}}}],
        "requestedModalities": ["audio"],
        "mediaConfig": {
            "@odata.type": "#microsoft.graph.appHostedMediaConfig",
            "blob": MediaSessionDescriptor.new("wss://localhost:1/media").to_blob(),
        },
    }
    body |= members
    return {key: value for key, value in body.items() if value is not None}
