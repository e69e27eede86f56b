"""A stock WebRTC far end in a call: its keys, its losses and its way back, as the bot sees them."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiortc.rtp import RtpPacket

from mixminus.control.service.service import CallService
from mixminus.control.service.settings import ServiceSettings
from tests.interop.rtp_peer import encode
from tests.interop.stock_peer import EVENT_TYPE, StockPeer
from tests.service_kit import GraphHttp, Phone, Receiver, call_body, phone_of
from tests.signals import sine
from tests.support import eventually

pytestmark = pytest.mark.alone

SERVICE_HOSTED = {"@odata.type": "#microsoft.graph.serviceHostedMediaConfig"}
CALLS = "/v1.0/communications/calls"
OPUS_TYPE, CLOCK_PER_MS = 96, 48
KEYS = "0123456789*#ABCD"


@dataclass
class Caller:
    """John's device: the signalling, and a stock peer connection whose packets a test makes."""

    phone: Phone
    peer: StockPeer
    payloads: Iterator[bytes]
    sequence: int = 65_530
    timestamp: int = 2**32 - 9600
    sent: int = 0

    async def say(self, milliseconds: int, lose_each: int = 0) -> None:
        """Speak in real time; of *lose_each* packets one is not sent."""
        loop = asyncio.get_running_loop()
        begin_s = loop.time()
        for n in range(milliseconds // 20):
            await asyncio.sleep(begin_s + n * 0.02 - loop.time())
            payload = next(self.payloads)
            if not lose_each or n % lose_each != lose_each // 2:
                await self.send(payload, OPUS_TYPE)
                self.sent += 1
            self.sequence += 1
            self.timestamp += 20 * CLOCK_PER_MS

    async def press(self, key: str) -> None:
        """Send the packets of one key of 100 ms, the last three times (RFC 4733)."""
        for n in (1, 2, 3, 4, 5, 5, 5):
            end = 0x80 if n == 5 else 0
            payload = struct.pack("!BBH", KEYS.index(key), end | 10, n * 20 * CLOCK_PER_MS)
            await self.send(payload, EVENT_TYPE, marker=n == 1)
            self.sequence += 1
            await asyncio.sleep(0.02)
        self.timestamp += 100 * CLOCK_PER_MS

    async def send(self, payload: bytes, payload_type: int, marker: bool = False) -> None:
        packet = RtpPacket(
            payload_type=payload_type,
            sequence_number=self.sequence & 0xFFFF,
            timestamp=self.timestamp & 0xFFFF_FFFF,
            ssrc=self.peer.transceiver.sender._ssrc,
            marker=int(marker),
            payload=payload,
        )
        await self.peer.send_rtp(packet)


@dataclass
class World:
    """A service with its own media edges, and John in a call of a bot that it hosts."""

    graph: GraphHttp
    receiver: Receiver
    john: Caller
    call_id: str
    told: list[dict[str, Any]] = field(default_factory=list)

    def of(self, member: str, key: str) -> list[str]:
        found = [data.get(member) for data in self.receiver.of(self.call_id)]
        return [value[key] for value in found if value is not None]

    async def streams(self) -> dict[str, dict[str, Any]]:
        """Hang up; return the streams of the call's record by the direction of each."""
        resource = (await self.graph.http.get(f"{CALLS}/{self.call_id}")).json()
        await self.john.phone.send(type="hangup", callId=self.call_id)
        url = f"/v1.0/communications/callRecords/{resource['callChainId']}"

        async def is_there() -> bool:
            return (await self.graph.http.get(url)).status_code == 200

        await eventually(is_there, 10.0, "the record")
        expand = {"$expand": "sessions($expand=segments)"}
        record = (await self.graph.http.get(url, params=expand)).json()
        (media,) = record["sessions"][0]["segments"][0]["media"]
        return {stream["streamDirection"]: stream for stream in media["streams"]}


@asynccontextmanager
async def world(state_dir: Path, **settings: Any) -> AsyncIterator[World]:
    async with AsyncExitStack() as exits:
        chosen = ServiceSettings(state_dir=state_dir, drain_s=0.0, **settings)
        service = await exits.enter_async_context(CallService(chosen))
        receiver = await exits.enter_async_context(Receiver(state_dir))
        graph = await exits.enter_async_context(GraphHttp(service.dev_file))
        phone = await exits.enter_async_context(phone_of(service.dev_file))
        # It sends nothing by itself.
        peer = await exits.enter_async_context(StockPeer(None))
        call_id = await graph.created(call_body(receiver.url, mediaConfig=SERVICE_HOSTED))
        await phone.expect("ring")
        await phone.send(type="answer", callId=call_id, sdp=await peer.offer())
        await peer.accept((await phone.expect("answered"))["sdp"])
        await eventually(lambda: peer.state == "connected", 10.0, "the connection")
        said = iter(encode("opus", sine(440.0, 16_000, 20.0, 8000.0), 20))
        w = World(graph, receiver, Caller(phone, peer, said), call_id)
        await w.john.say(200)
        await eventually(lambda: w.of("mediaState", "audio") == ["active"], 10.0, "audio")
        yield w


async def test_rfc_4733_keys_reach_the_subscription(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        reply = await w.graph.http.post(f"{CALLS}/{w.call_id}/subscribeToTone", json={})
        assert reply.status_code == 200, reply.text
        for key in "42#":
            await w.john.press(key)
            await w.john.say(100)
        await eventually(lambda: len(w.of("toneInfo", "tone")) >= 3, 10.0, "the keys")
        # The same press by the signalling too, as softphones may send it: no other press.
        await w.john.phone.send(type="tone", callId=w.call_id, tone="#")
        await w.john.phone.send(type="tone", callId=w.call_id, tone="0")
        await eventually(lambda: "tone0" in w.of("toneInfo", "tone"), 10.0, "the last key")
        assert w.of("toneInfo", "tone") == ["tone4", "tone2", "pound", "tone0"]


@pytest.mark.slow
async def test_losses_are_in_the_call_record(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.john.say(2400, lose_each=10)
        await w.john.say(200)
        streams = await w.streams()
    stream = streams["calleeToCaller"]
    assert stream["audioCodec"] == "opus"
    # The engine's counts are a fraction of a second old when the call ends.
    assert w.john.sent - 25 <= stream["packetUtilization"] <= w.john.sent
    lost = 12 / (w.john.sent + 12)
    assert stream["averagePacketLossRate"] == pytest.approx(lost, abs=0.02)
    assert stream["averagePacketLossRate"] < stream["maxPacketLossRate"] <= 0.25
    # FEC may have saved some, and a busy machine's late packets add some.
    assert stream["maxRatioOfConcealedSamples"] >= stream["averageRatioOfConcealedSamples"] >= 0.0
    jitter = stream["averageJitter"]
    assert 0.0 <= float(jitter.removeprefix("PT").removesuffix("S")) < 0.1
    assert stream["wasMediaBypassed"] is False
    assert stream["averageAudioDegradation"] is None


@pytest.mark.slow
async def test_lost_media_are_told_and_a_restart_brings_them_back(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        phone, peer = w.john.phone, w.john.peer
        peer.fall_silent()
        assert await asyncio.wait_for(phone.expect("media"), 10) == {
            "type": "media",
            "callId": w.call_id,
            "flows": False,
        }
        await eventually(lambda: w.of("mediaState", "audio") == ["active", "inactive"])
        restarted, offer = await peer.new_credentials()
        await phone.send(type="reoffer", callId=w.call_id, sdp=offer)
        await peer.restart(restarted, (await phone.expect("reanswered"))["sdp"])
        await w.john.say(200)
        assert (await phone.expect("media"))["flows"] is True
        await eventually(lambda: w.of("mediaState", "audio")[2:] == ["active"])
        report = await w.graph.report(w.call_id)
        assert report["transports"]["caller"]["ice_restarts"] == 1


@pytest.mark.slow
async def test_a_reloaded_page_goes_on_over_a_fresh_connection(tmp_path: Path) -> None:
    async with world(tmp_path) as w, StockPeer(None) as again:
        phone = w.john.phone
        await phone.send(type="reoffer", callId=w.call_id, sdp=await again.offer())
        await again.accept((await phone.expect("reanswered"))["sdp"])
        await eventually(lambda: again.state == "connected", 10.0, "the connection")
        # The one before is closed by the service, which says so.
        await eventually(lambda: w.john.peer.state == "closed", 10.0, "its end")
        w.john.peer = again
        before = (await w.graph.report(w.call_id))["legs"]["caller"]["voice"]
        await w.john.say(600)

        async def is_heard() -> bool:
            report = await w.graph.report(w.call_id)
            return bool(report["legs"]["caller"]["voice"] > before + 20)

        await eventually(is_heard, 5.0, "its voice")
        streams = await w.streams()
    # Both connections' packets are those of one stay.
    assert streams["calleeToCaller"]["packetUtilization"] >= 25


async def test_health_says_what_carries_media(tmp_path: Path) -> None:
    async with world(tmp_path, tick_threads=2) as w:
        health = (await w.graph.http.get("/healthz")).json()
    codecs = health["codecs"]
    assert codecs["path"] == "native"
    assert codecs["opus"]["version"].startswith("libopus")
    assert codecs["srtp"]["path"].endswith(".so")
    assert codecs["problems"] == []
    assert (health["media"]["legs"], health["media"]["routes"]) == (1, 1)
    assert health["engine"]["tick_threads"] == 2
