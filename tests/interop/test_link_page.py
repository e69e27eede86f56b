"""The media link against a second implementation of its page, both ends, over real TLS sockets."""

from __future__ import annotations

import asyncio
import ssl
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import trustme
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

from mixminus.media.bridge import Bridge, Leg
from mixminus.media.pcm import FRAME_SAMPLES
from mixminus.media.platform import MediaPlatform
from mixminus.media.transports.link import LinkGrant, ServiceLink, connect_link
from tests import link_by_the_page as page
from tests.linkfar import SECRET, SESSION, constant
from tests.linkserver import link_server
from tests.support import ROOT, eventually

pytestmark = pytest.mark.alone

ALICE = 77


@dataclass
class Bot:
    """The mixminus end: a leg for the link, one that speaks and listens, and speakers' legs."""

    platform: MediaPlatform
    bridge: Bridge
    leg: Leg
    own: Leg
    legs: dict[int, Leg] = field(default_factory=dict)
    heard: list[int] = field(default_factory=list)
    says: int = 0

    @classmethod
    def make(cls, platform: MediaPlatform) -> Bot:
        bridge = platform.create_bridge()
        made = cls(platform, bridge, bridge.add_leg(1, relay=True), bridge.add_leg(2, paced=True))
        platform.on_tick(made._tick)
        return made

    def _tick(self) -> None:
        if self.own.source.depth_frames < 2:
            self.own.source.write(constant(self.says))
        while (frame := self.own.render.read()) is not None:
            self.heard.append(int(frame[FRAME_SAMPLES // 2]))

    def open_speaker(self, source_id: int, name: str | None = None) -> Leg:
        return self.legs.setdefault(source_id, self.bridge.add_leg(source_id))

    def close_speaker(self, source_id: int) -> None:
        self.legs.pop(source_id).close()


@asynccontextmanager
async def running(worker: page.Worker) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(worker.run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await worker.socket.close()


async def test_a_service_by_the_page_reaches_our_bot_host_and_comes_back_after_a_loss() -> None:
    async with MediaPlatform() as platform, link_server(platform) as server:
        bot = Bot.make(platform)
        expires_ns = time.monotonic_ns() + 60 * 10**9
        server.grants[SESSION] = LinkGrant(SECRET, bot.leg, expires_ns, speakers=bot)
        socket = await page.dial(server.mp_uri, server.client_context, SECRET, SESSION)
        marks: list[tuple[str, bool]] = []
        tones: list[str] = []
        media: list[bool] = []
        async with running(page.Worker(socket)) as _:
            await eventually(lambda: server.admitted)
            link = server.admitted[0]
            link.on_mark = lambda name, played: marks.append((name, played))
            link.on_tone, link.on_media = tones.append, media.append
        # That socket is gone without a bye; the next takes its place.
        link.want_speakers(True)
        await eventually(lambda: link.is_lost)
        socket = await page.dial(server.mp_uri, server.client_context, SECRET, SESSION, attempt=2)
        worker = page.Worker(socket, sequence=100)
        async with running(worker) as running_worker:
            await eventually(lambda: media == [False, True])
            await eventually(lambda: worker.said(page.STREAMS) == [b"\3"])
            worker.voices = {0: page.constant(1000), ALICE: page.constant(500)}
            await eventually(lambda: bot.heard[-1:] == [1500], what="the mix and Alice")
            del worker.voices[ALICE]
            await worker.say(page.BYE, b"left", stream=ALICE)
            await eventually(lambda: not bot.legs)
            bot.says = -700
            await eventually(lambda: worker.samples()[-1:] == [-700], what="the bot")
            link.send_mark("said")
            link.send_tone("9", 120)
            link.clear()
            await eventually(lambda: worker.said(page.CLEAR) == [b""])
            assert worker.said(page.MARK) == [b"said"]
            assert worker.said(page.DTMF) == [struct.pack("<H", 120) + b"9"]
            await worker.say(page.MARK_DONE, b"\0said")
            await worker.say(page.DTMF, b"\0\0#")
            await eventually(lambda: (marks, tones) == ([("said", False)], ["#"]))
            await link.close()
            await asyncio.wait_for(running_worker, 5)
        assert worker.reason == "closed"
        counters = link.counters()
        assert counters["malformed"] == counters["unknown_kind"] == counters["out_of_order"] == 0
        assert len(server.resumed) == 1
        bot.bridge.close()


@dataclass
class PageHost:
    """A bot host by the page: whom it admitted, and what each sent."""

    mp_uri: str = ""
    context: Any = None
    workers: list[page.Worker] = field(default_factory=list)
    hellos: list[tuple[str, int, int]] = field(default_factory=list)
    sockets: list[Any] = field(default_factory=list)
    serve: Callable[[Any], Awaitable[None]] | None = None
    """What serves a socket instead."""


@asynccontextmanager
async def page_host() -> AsyncIterator[PageHost]:
    authority, host = trustme.CA(), PageHost()
    server_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(server_tls)
    host.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(host.context)

    async def serve_one(socket: Any) -> None:
        if host.serve is not None:
            await host.serve(socket)
            return
        hello = await page.hello_of_host(socket, {SESSION: SECRET})
        if hello is not None:
            host.hellos.append(hello)
            host.sockets.append(socket)
            # Numbers go on: what a lost socket took along is left out.
            sequence = host.workers[-1].sequence + 3 if host.workers else 0
            worker = page.Worker(socket, hello[1], sequence)
            host.workers.append(worker)
            try:
                await worker.run()
            except ConnectionClosed:
                return

    async with serve(serve_one, "127.0.0.1", 0, ssl=server_tls, compression=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        host.mp_uri = f"wss://localhost:{port}/media"
        yield host


async def test_our_service_reaches_a_bot_host_by_the_page_and_dials_again() -> None:
    async with MediaPlatform() as platform, page_host() as host:
        caller = Bot.make(platform)
        link: ServiceLink = await connect_link(
            platform,
            caller.leg,
            mp_uri=host.mp_uri,
            session_id=SESSION,
            secret=SECRET,
            ssl_context=host.context,
            epoch=3,
        )
        tones: list[tuple[str, int]] = []
        media: list[bool] = []
        wanted: list[bool] = []
        link.on_tone = lambda key, duration_ms: tones.append((key, duration_ms))
        link.on_media, link.on_speakers = media.append, wanted.append
        caller.says = 900
        await eventually(lambda: host.workers and host.workers[0].samples()[-1:] == [900])
        # As a router does that forgot about the connection.
        host.sockets[0].transport.abort()
        await eventually(lambda: media == [False, True], what="the second connection")
        assert host.hellos == [(SESSION, 3, 1), (SESSION, 3, 2)]
        before, worker = host.workers
        await eventually(lambda: worker.samples()[-1:] == [900])
        assert worker.heard[0].sequence > before.heard[-1].sequence, "sequences go on"
        worker.voices[0] = page.constant(-400)
        await eventually(lambda: caller.heard[-1:] == [-400], what="the bot's voice")
        await worker.say(page.MARK, b"here")
        await worker.say(page.STREAMS, b"\3")
        await worker.say(page.DTMF, struct.pack("<H", 90) + b"*")
        link.send_tone("5")
        await eventually(lambda: worker.said(page.MARK_DONE) == [b"\1here"])
        await eventually(lambda: worker.said(page.DTMF) == [b"\0\0" + b"5"])
        await eventually(lambda: (tones, wanted) == ([("*", 90)], [True]))
        await worker.say(page.CLEAR)
        await worker.say(page.BYE, b"that is all")
        assert await asyncio.wait_for(link.closed, 5) == "the far end said bye: that is all"
        await link.close()
        caller.bridge.close()
        counters = link.counters()
        assert counters["malformed"] == counters["unknown_kind"] == counters["out_of_order"] == 0


async def test_a_service_by_the_page_answers_marks_and_dials_again_by_itself() -> None:
    async with MediaPlatform() as platform, link_server(platform) as server:
        bot = Bot.make(platform)
        expires_ns = time.monotonic_ns() + 60 * 10**9
        server.grants[SESSION] = LinkGrant(SECRET, bot.leg, expires_ns, speakers=bot)
        voices = {0: page.constant(1000), ALICE: page.constant(500)}
        worker = page.Worker(epoch=4, voices=voices)
        call = worker.call(server.mp_uri, server.client_context, SECRET, SESSION)
        calling = asyncio.create_task(call)
        await eventually(lambda: server.admitted)
        link = server.admitted[0]
        marks: list[tuple[str, bool]] = []
        link.on_mark = lambda name, played: marks.append((name, played))
        link.want_speakers(True)
        await eventually(lambda: bot.heard[-1:] == [1500], what="the mix and Alice")
        link.send_mark("said")
        await eventually(lambda: marks == [("said", True)])
        link.send_mark("cleared")
        link.clear()
        await eventually(lambda: marks[1:] == [("cleared", False)])
        link.on_media = lambda flows: None if flows else link.send_mark("while lost")
        server.sockets[0].connection.transport.abort()
        await eventually(lambda: marks[2:] == [("while lost", True)])
        bot.heard.clear()
        await eventually(lambda: bot.heard[-1:] == [1500], what="the mix and Alice again")
        assert worker.said(page.STREAMS) == [b"\3", b"\3"]
        await worker.say(page.BYE, b"that is all")
        assert await asyncio.wait_for(link.closed, 5) == "the far end said bye: that is all"
        await link.close()
        await asyncio.wait_for(calling, 5)
        assert (worker.reason, worker.left_out) == ("said bye", 0)
        counters = link.counters()
        assert counters["malformed"] == counters["unknown_kind"] == counters["out_of_order"] == 0
        bot.bridge.close()


async def test_a_host_by_the_page_asks_again_and_refuses_what_came_before() -> None:
    async with MediaPlatform() as platform, page_host() as host:
        caller, worker = Bot.make(platform), page.Worker()
        host.serve = lambda socket: worker.serve(socket, SECRET, SESSION)
        link = await connect_link(
            platform,
            caller.leg,
            mp_uri=host.mp_uri,
            session_id=SESSION,
            secret=SECRET,
            ssl_context=host.context,
        )
        wanted: list[bool] = []
        link.on_speakers = wanted.append
        await eventually(lambda: worker.heard)
        await worker.say(page.STREAMS, b"\3")
        await eventually(lambda: wanted == [True])
        worker.unanswered.append(b"while lost")
        worker.socket.transport.abort()
        await eventually(lambda: worker.said(page.MARK_DONE) == [b"\1while lost"])
        assert (worker.claim, worker.unanswered) == ((1, 2), [])
        with pytest.raises(ConnectionClosed, match="4401"):
            await page.dial(host.mp_uri, host.context, SECRET, SESSION, attempt=2)
        taken_over = await page.dial(host.mp_uri, host.context, SECRET, SESSION, epoch=2)
        reason = await asyncio.wait_for(link.closed, 5)
        assert "refused" in reason, "the epoch before gives up"
        await taken_over.close()
        await link.close()
        assert worker.left_out == 0
        caller.bridge.close()


def test_the_documented_bytes() -> None:
    text = (ROOT / "docs/media-link.md").read_text()
    assert page.proof_of(bytes(range(32)), "a" * 64, "s", 1, 1) in text
    for record in (
        page.Record(page.MARK, b"a"),
        page.Record(page.DTMF, struct.pack("<H", 100) + b"#"),
        page.Record(page.AUDIO, b"", 7, 2, page.SILENCE, timestamp=400_000),
    ):
        assert f"    {page.pack(record).hex()}\n" in text
        assert page.unpack(page.pack(record)) == [record]


HOSTILE: dict[str, Callable[[], bytes | str]] = {
    "text": lambda: "hello",
    "nothing": lambda: b"",
    "half a header": lambda: bytes(31),
    "another version": lambda: b"\2" + page.pack(page.Record(page.AUDIO))[1:],
    "a frame of the wrong size": lambda: page.pack(page.Record(page.AUDIO, bytes(641))),
    "a payload that is cut": lambda: page.pack(page.Record(page.MARK, b"name"))[:-1],
    "an endless name": lambda: page.pack(page.Record(page.MARK_DONE, bytes(60_000))),
    "another epoch": lambda: page.pack(page.Record(page.AUDIO, epoch=9)),
    "another call": lambda: page.pack(page.Record(page.AUDIO, call=9)),
    "another kind": lambda: page.pack(page.Record(250, bytes(100))),
    "backwards": lambda: page.pack(page.Record(page.AUDIO, sequence=-5)),
    "a thousand at once": lambda: page.pack(page.Record(page.AUDIO, sequence=200)) * 1000,
}


async def test_what_is_not_by_the_page_is_counted_and_the_call_lives() -> None:
    async with MediaPlatform() as platform, link_server(platform) as server:
        bot = Bot.make(platform)
        expires_ns = time.monotonic_ns() + 60 * 10**9
        server.grants[SESSION] = LinkGrant(SECRET, bot.leg, expires_ns, speakers=bot)
        socket = await page.dial(server.mp_uri, server.client_context, SECRET, SESSION)
        worker = page.Worker(socket)
        async with running(worker):
            await eventually(lambda: server.admitted)
            for make in HOSTILE.values():
                await socket.send(make())
            # Ten times as fast as time goes: what there is no delay for is dropped.
            for sequence in range(1000, 1500):
                await socket.send(page.pack(page.Record(page.AUDIO, b"", sequence=sequence)))
            worker.sequence, worker.voices[0] = 1500, page.constant(800)
            await eventually(lambda: bot.heard[-1:] == [800], what="the call to live")
            link = server.admitted[0]
            assert (link.quality().delay_ms or 0) <= 520
            counters = link.counters()
            assert counters["malformed"] == 7
            assert counters["other_epoch"] == counters["other_stream"] == 1
            assert counters["unknown_kind"] == 1
            assert counters["out_of_order"] >= 999
            assert not link.closed.done()
        await link.close()
        bot.bridge.close()
