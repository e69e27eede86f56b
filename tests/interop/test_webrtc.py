"""Our WebRTC against stock aiortc over real sockets: audio, hold, restart, ends, and strangers."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial

import numpy as np
import psutil
import pytest
from aiortc.rtp import RtpPacket

from mixminus.media.bridge import Bridge, Leg
from mixminus.media.pcm import Pcm
from mixminus.media.pipeline import FilePlayer
from mixminus.media.platform import MediaPlatform
from mixminus.media.transports.webrtc import WebRtcTransport
from mixminus.media.transports.webrtc_endpoint import WebRtcEndpoint
from tests.interop.flood import datagrams
from tests.interop.stock_peer import EVENT_TYPE, RATE_HZ, StockPeer
from tests.signals import sine, tone_dbov
from tests.support import ROOT, eventually, open_sockets

pytestmark = pytest.mark.alone

OUR_HZ, THEIR_HZ = 1000, 440


@dataclass
class Call:
    """A leg of ours in a bridge with a person, and the stock peer at its far end."""

    bridge: Bridge
    network: Leg
    person: Leg
    transport: WebRtcTransport
    peer: StockPeer

    def hear(self) -> Pcm:
        """All that the person heard since the last time."""
        frames = []
        while (frame := self.person.render.read()) is not None:
            frames.append(np.asarray(frame))
        return np.concatenate(frames) if frames else np.zeros(0, np.int16)

    async def listen(self, seconds: float = 0.5) -> Pcm:
        """What the person hears from now on, for so long."""
        self.hear()
        heard: list[Pcm] = []

        def has_enough() -> bool:
            heard.append(self.hear())
            return sum(map(len, heard)) >= seconds * 16_000

        await eventually(has_enough, 10, "audio at the person")
        return np.concatenate(heard)

    async def far_listen(self, seconds: float = 0.5) -> Pcm:
        """What the stock peer hears from now on."""
        self.peer.listen()
        heard: list[Pcm] = []

        def has_enough() -> bool:
            heard.append(self.peer.listen())
            return sum(map(len, heard)) >= seconds * RATE_HZ

        await eventually(has_enough, 10, "audio at the far end")
        return np.concatenate(heard)

    async def is_heard_both_ways(self) -> None:
        async def ours() -> bool:
            pcm = await self.far_listen()
            return tone_dbov(pcm, OUR_HZ, RATE_HZ) > -25 > tone_dbov(pcm, THEIR_HZ, RATE_HZ) + 20

        async def theirs() -> bool:
            pcm = await self.listen()
            return tone_dbov(pcm, THEIR_HZ) > -25 > tone_dbov(pcm, OUR_HZ) + 20

        await eventually(theirs, 10, "the far end's tone")
        await eventually(ours, 10, "our tone at the far end")


@asynccontextmanager
async def endpoint_of(*bind: str) -> AsyncIterator[tuple[MediaPlatform, WebRtcEndpoint]]:
    async with MediaPlatform() as platform:
        endpoint = await WebRtcEndpoint.open(platform, bind=bind or ("127.0.0.1",))
        try:
            yield platform, endpoint
        finally:
            await endpoint.close()
            counts = endpoint.counters()
            assert counts["legs"] == counts["routes"] == 0


@asynccontextmanager
async def call(
    platform: MediaPlatform,
    endpoint: WebRtcEndpoint,
    *,
    hz: float | None = THEIR_HZ,
    bind: tuple[str, ...] = ("127.0.0.1",),
) -> AsyncIterator[Call]:
    """A call that is not yet offered."""
    async with AsyncExitStack() as exits:
        bridge = platform.create_bridge()
        exits.callback(bridge.close)
        network = bridge.add_leg(1)
        person = bridge.add_leg(2, source_slots=64, render_slots=256, paced=True)
        player = FilePlayer(platform, person.source, sine(OUR_HZ, 16_000, 1, 8_000), loop=True)
        exits.callback(player.close)
        peer = await exits.enter_async_context(StockPeer(hz, bind=bind))
        transport = endpoint.make(network)
        exits.push_async_callback(transport.close)
        yield Call(bridge, network, person, transport, peer)


async def connect(one: Call) -> None:
    await one.peer.accept(await one.transport.answer(await one.peer.offer()))
    await one.transport.connected()
    await eventually(lambda: one.peer.state == "connected", 10, "the far end's DTLS")


def has_heard(one: Call, packets: int) -> bool:
    return one.transport.counters()["frames_in"] > packets


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
async def test_audio_goes_both_ways(address: str) -> None:
    async with (
        endpoint_of("127.0.0.1", "::1") as (platform, endpoint),
        call(platform, endpoint, bind=(address,)) as one,
    ):
        await connect(one)
        await one.is_heard_both_ways()
        quality = one.transport.quality()
        assert quality.codec == "opus"
        assert quality.received_packets > 20
        assert quality.lost_packets == 0
        assert quality.sent_packets > 20
        await eventually(lambda: one.transport.quality().round_trip_ms is not None, 10)
        counts = one.transport.counters()
        assert counts["srtp_forged"] == counts["not_keyed"] == counts["rtcp_bad"] == 0


@pytest.mark.slow
async def test_many_legs_share_one_port_and_are_told_apart() -> None:
    async with endpoint_of() as (platform, endpoint), AsyncExitStack() as exits:
        calls = []
        for number in range(4):
            one = await exits.enter_async_context(call(platform, endpoint, hz=400.0 + 200 * number))
            calls.append(one)
            await connect(one)
        for number, one in enumerate(calls):
            await eventually(partial(has_heard, one, 20), 10)
            pcm = await one.listen()
            levels = [tone_dbov(pcm, 400 + 200 * other) for other in range(4)]
            assert int(np.argmax(levels)) == number
            assert sorted(levels)[-2] < levels[number] - 30
        assert endpoint.counters()["routes"] == 4


async def test_telephone_events_are_told_as_keys() -> None:
    keys: list[str] = []
    async with endpoint_of() as (platform, endpoint), call(platform, endpoint, hz=None) as one:
        one.transport.on_tone = keys.append
        await connect(one)
        sequence = 1
        for place, key in enumerate(b"\x01\x0b"):
            for turn in range(1, 6):
                packet = RtpPacket(
                    payload_type=EVENT_TYPE,
                    marker=int(turn == 1),
                    sequence_number=sequence,
                    timestamp=48_000 * (1 + place),
                    ssrc=4_711,
                    payload=bytes([key, 0x8A if turn > 3 else 0x0A])
                    + (960 * min(turn, 4)).to_bytes(2, "big"),
                )
                await one.peer.send_rtp(packet)
                sequence += 1
        await eventually(lambda: keys == ["1", "#"], 5, "the keys")


async def test_our_keys_reach_the_far_end() -> None:
    async with endpoint_of() as (platform, endpoint), call(platform, endpoint) as one:
        await connect(one)
        one.peer.keep_packets()
        assert one.transport.queue_tone("5")

        def events() -> list[RtpPacket]:
            return [packet for packet in one.peer.raw if packet.payload_type == EVENT_TYPE]

        await eventually(lambda: len(events()) >= 5, 5, "telephone events")
        assert {packet.payload[0] for packet in events()} == {5}
        assert len({packet.timestamp for packet in events()}) == 1


@pytest.mark.slow
async def test_hold_stops_what_we_send_and_is_no_loss() -> None:
    told: list[bool] = []
    async with endpoint_of() as (platform, endpoint), call(platform, endpoint) as one:
        one.transport.on_media = told.append
        await connect(one)
        await one.is_heard_both_ways()
        one.peer.transceiver.direction = "inactive"
        answer = await one.transport.answer(await one.peer.offer())
        assert "a=inactive" in answer
        await one.peer.accept(answer)
        sent, since_s = -1, 0.0

        def has_been_silent() -> bool:
            nonlocal sent, since_s
            now_sent = one.transport.counters()["sent_packets"]
            if now_sent != sent:
                sent, since_s = now_sent, time.monotonic()
            return time.monotonic() - since_s > 2.5

        await eventually(has_been_silent, 4, "2.5 s in which nothing is sent")
        assert told == []
        one.peer.transceiver.direction = "sendrecv"
        await one.peer.accept(await one.transport.answer(await one.peer.offer()))
        await eventually(lambda: one.transport.counters()["sent_packets"] > sent + 20, 5)
        assert not one.transport.closed.done()


async def test_an_ice_restart_resumes_on_the_new_address() -> None:
    async with endpoint_of() as (platform, endpoint), call(platform, endpoint) as one:
        await connect(one)
        await one.is_heard_both_ways()
        restarted, offer = await one.peer.new_credentials()
        assert one.transport.can_restart(offer)
        await one.peer.restart(restarted, await one.transport.answer(offer))
        (path,) = {one.transport._paths.selected}
        assert path is not None
        (local,) = restarted.local_candidates
        assert path.address == (local.host, local.port)
        await one.is_heard_both_ways()
        counts = one.transport.counters()
        assert counts["ice_restarts"] == 1
        assert counts["srtp_forged"] == counts["restarts"] == 0


@pytest.mark.slow
async def test_media_that_stops_is_told_and_so_is_its_return() -> None:
    told: list[bool] = []
    async with endpoint_of() as (platform, endpoint), call(platform, endpoint) as one:
        one.transport.on_media = told.append
        await connect(one)
        await one.is_heard_both_ways()
        ice = one.peer._ice
        send = ice._send
        protocols = list(ice._connection._protocols)
        ice._send = swallow
        sends = [(p, p.send_stun) for p in protocols]
        for protocol in protocols:
            protocol.send_stun = lambda *_: None
        await eventually(lambda: told == [False], 8, "the loss")
        for protocol, original in sends:
            protocol.send_stun = original
        ice._send = send
        await eventually(lambda: told == [False, True], 8, "the return")


async def swallow(data: bytes) -> None:
    pass


async def test_either_end_can_close() -> None:
    async with endpoint_of() as (platform, endpoint):
        async with call(platform, endpoint) as one:
            await connect(one)
            begin_s = time.monotonic()
            await one.transport.close()
            assert time.monotonic() - begin_s < 0.5
            assert one.transport.counters()["byes_sent"] == 1
            await eventually(lambda: one.peer.state == "closed", 2, "the far end's close")
        async with call(platform, endpoint) as one:
            await connect(one)
            begin_s = time.monotonic()
            await one.peer.close()
            reason = await asyncio.wait_for(one.transport.closed, 2)
            assert reason.startswith("the far end")
            assert time.monotonic() - begin_s < 2
            await one.transport.close()


@pytest.mark.parametrize("place", [0, 1, 2])
async def test_a_wrong_digit_of_a_fingerprint_fails_within_two_seconds(place: int) -> None:
    """aiortc tells sha-256, sha-384 and sha-512: each counts."""
    async with endpoint_of() as (platform, endpoint), call(platform, endpoint) as one:
        lines = (await one.peer.offer()).split("\r\n")
        at = [i for i, line in enumerate(lines) if line.startswith("a=fingerprint:")][place]
        lines[at] = lines[at][:-1] + ("0" if lines[at][-1] != "0" else "1")
        begin_s = time.monotonic()
        await one.peer.accept(await one.transport.answer("\r\n".join(lines)))
        with pytest.raises(ConnectionError, match="certificate"):
            await one.transport.connected()
        await eventually(lambda: one.peer.state in ("failed", "closed"), 2)
        assert time.monotonic() - begin_s < 2
        assert one.transport.counters()["frames_in"] == 0
        assert one.network.counters().voice == 0


@contextmanager
def flood(host: str, port: int, *, namespace: str | None = None) -> Iterator[None]:
    """1,000 datagrams a second from a stranger; none of them may be answered."""
    inside = [] if namespace is None else ["ip", "netns", "exec", namespace]
    command = [*inside, sys.executable, "-m", "tests.interop.flood", host, str(port), "1000"]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        yield
        said, _ = process.communicate("", timeout=30)
        sent = re.fullmatch(r"sent (\d+) a second, no answer\n", said)
        assert sent, said
        assert int(sent[1]) > 900


@contextmanager
def namespace() -> Iterator[tuple[str, str]]:
    """Another network namespace: its name, and our address on the wire to it."""
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    name = f"mm{uuid.uuid4().hex[:8]}"
    number = 16 + int(name[2:4], 16) % 200
    ours, theirs = f"10.203.{number}.1", f"10.203.{number}.2"
    commands = [
        f"ip netns add {name}",
        f"ip link add {name}a type veth peer name {name}b",
        f"ip link set {name}b netns {name}",
        f"ip address add {ours}/24 dev {name}a",
        f"ip link set {name}a up",
        f"ip -n {name} address add {theirs}/24 dev {name}b",
        f"ip -n {name} link set {name}b up",
    ]
    try:
        for command in commands:
            made = subprocess.run(command.split(), capture_output=True, text=True)
            if made.returncode:
                pytest.skip(f"no network namespaces here: {made.stderr.strip()}")
        yield name, ours
    finally:
        for command in (f"ip link del {name}a", f"ip netns del {name}"):
            subprocess.run(command.split(), capture_output=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    "where", [pytest.param("another socket", marks=pytest.mark.slow), "another namespace"]
)
async def test_twenty_calls_of_twenty_connect_under_a_flood(where: str) -> None:
    with ExitStack() as exits:
        name, ours = None, "127.0.0.1"
        if where == "another namespace":
            name, ours = exits.enter_context(namespace())
        bind = tuple(dict.fromkeys(("127.0.0.1", ours)))
        async with endpoint_of(*bind) as (platform, endpoint):
            flooding = ExitStack()
            exits.push(flooding)
            flooding.enter_context(flood(ours, endpoint.port, namespace=name))
            for _ in range(20):
                async with call(platform, endpoint) as one:
                    await connect(one)
                    await eventually(partial(has_heard, one, 5), 5)
                    assert one.transport.counters()["dtls_dropped"] == 0
            flooding.close()
            counts = endpoint.counters()
            # Of ten datagrams: three of DTLS, one good check of a stranger, three of media.
            assert counts["dtls_stranger"] > 500
            assert counts["stun_unknown_user"] > 150
            assert counts["media_stranger"] > 500
            assert counts["junk"] > 300


async def test_thirty_thousand_junk_datagrams_cost_no_memory() -> None:
    process = psutil.Process()
    async with endpoint_of() as (platform, endpoint), call(platform, endpoint) as one:
        await one.transport.answer(await one.peer.offer())
        kinds = [data.ljust(1_100, b"\0") if data else data for data in datagrams()]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.connect(("127.0.0.1", endpoint.port))
            before_bytes = process.memory_info().rss
            for number in range(30_000):
                stranger.send(kinds[number % len(kinds)])
                if number % 64 == 0:
                    await asyncio.sleep(0)
            await eventually(lambda: endpoint.counters()["received"] > 25_000, 10)
            grown_bytes = process.memory_info().rss - before_bytes
        assert grown_bytes < 2_000_000, grown_bytes
        print(f"30,000 junk datagrams: {grown_bytes / 1024:.0f} KiB more")


async def test_plain_rtp_is_neither_mixed_nor_answered() -> None:
    async with endpoint_of() as (platform, endpoint), call(platform, endpoint) as one:
        await connect(one)
        await one.is_heard_both_ways()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.connect(("127.0.0.1", endpoint.port))
            stranger.setblocking(False)
            for number in range(2_000):
                payload = np.full(160, 0x80, np.uint8).tobytes()
                for kind in (0, 8, 96):
                    stranger.send(
                        RtpPacket(
                            payload_type=kind,
                            sequence_number=number,
                            timestamp=160 * number,
                            ssrc=1,
                            payload=payload,
                        ).serialize()
                    )
                if number % 100 == 0:
                    await asyncio.sleep(0)
            await eventually(lambda: endpoint.counters()["media_stranger"] > 5_000, 5)
            pcm = await one.listen()
            assert tone_dbov(pcm, THEIR_HZ) > -25
            with pytest.raises(BlockingIOError):
                stranger.recv(2048)
        counts = one.transport.counters()
        assert counts["strange_source"] == counts["srtp_forged"] == 0


async def test_a_leg_leaves_nothing() -> None:
    async with MediaPlatform() as platform:
        tasks, before = asyncio.all_tasks(), open_sockets()
        endpoint = await WebRtcEndpoint.open(platform)
        async with call(platform, endpoint) as one:
            await connect(one)
        await endpoint.close()
        assert asyncio.all_tasks() == tasks
        await eventually(lambda: open_sockets() == before, 5, "the sockets to be closed")
