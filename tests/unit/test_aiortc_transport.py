"""Two WebRTC transports in one process on 127.0.0.1: tones both ways, ends, refusals."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest
from aiortc import RTCPeerConnection
from aiortc.rtp import RtpPacket

from mixminus.media.bridge import Leg
from mixminus.media.pcm import Pcm
from mixminus.media.pipeline import FilePlayer
from mixminus.media.platform import MediaPlatform
from mixminus.media.transports.aiortc_transport import AiortcTransport
from mixminus.media.transports.sdp import SdpError
from tests.signals import sine, sine_snr_db
from tests.support import eventually, open_sockets

JITTER_BUFFER = "_RTCRtpReceiver__jitter_buffer"


@contextmanager
def leaves_nothing() -> Iterator[None]:
    """Check that the block leaves no task, no thread and no socket."""
    tasks, threads, sockets = asyncio.all_tasks(), set(threading.enumerate()), open_sockets()
    yield
    assert asyncio.all_tasks() == tasks
    # The loop's default executor keeps its threads; aiortc's decoders must be gone.
    assert {t.name for t in set(threading.enumerate()) - threads if "decoder" in t.name} == set()
    assert open_sockets() == sockets


@dataclass
class Party:
    """A leg on a transport, and the person behind it."""

    transport: AiortcTransport
    network: Leg
    person: Leg


def party(platform: MediaPlatform) -> Party:
    bridge = platform.create_bridge()
    network = bridge.add_leg(1)
    person = bridge.add_leg(2, source_slots=64, render_slots=256, paced=True)
    return Party(AiortcTransport(platform, network), network, person)


@asynccontextmanager
async def connected_pair(platform: MediaPlatform) -> AsyncIterator[tuple[Party, Party]]:
    john, service = party(platform), party(platform)
    try:
        await john.transport.accept(await service.transport.answer(await john.transport.offer()))
        await asyncio.gather(john.transport.connected(), service.transport.connected())
        yield john, service
    finally:
        await john.transport.close()
        await service.transport.close()


def has_heard(leg: Leg, frames: int) -> bool:
    return leg.counters().voice > frames


def heard(leg: Leg) -> Pcm:
    frames = []
    while (frame := leg.render.read()) is not None:
        frames.append(np.asarray(frame))
    return np.concatenate(frames)


@pytest.mark.slow
async def test_a_tone_goes_both_ways_and_close_leaves_nothing() -> None:
    async with MediaPlatform() as platform:
        with leaves_nothing():
            async with connected_pair(platform) as (john, service):
                players = [
                    FilePlayer(platform, john.person.source, sine(440, 16_000, 1), loop=True),
                    FilePlayer(platform, service.person.source, sine(1000, 16_000, 1), loop=True),
                ]
                for leg in (john.network, service.network):
                    await eventually(partial(has_heard, leg, 100), timeout_s=20)
                at_john, at_service = heard(john.person), heard(service.person)
                for player in players:
                    player.close()
                for side in (john, service):
                    counters = side.transport.counters()
                    assert counters["frames_in"] > 100
                    assert counters["frames_out"] > 100
        # Opus keeps a tone's pitch: what came is the other side's tone and not the own.
        for pcm, own_hz, other_hz in ((at_john, 440, 1000), (at_service, 1000, 440)):
            loud = pcm[np.abs(pcm.astype(int)).argmax() :][:1600]
            assert sine_snr_db(loud, other_hz, 16_000) > 10
            assert sine_snr_db(loud, own_hz, 16_000) < -10


async def test_audio_that_cannot_be_taken_ends_the_call_with_a_report(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(frame: object) -> None:
        raise ValueError("no such rate")

    async with MediaPlatform() as platform:
        with leaves_nothing():
            async with connected_pair(platform) as (john, _):
                monkeypatch.setattr(john.transport._inbound, "take", fail)
                reason = await asyncio.wait_for(john.transport.closed, 10)
                assert reason == "the WebRTC transport failed"
    assert "no such rate" in caplog.text


async def test_lost_packets_add_no_lasting_delay() -> None:
    async with MediaPlatform() as platform:
        stock = RTCPeerConnection().addTransceiver("audio").receiver
        assert hasattr(stock, JITTER_BUFFER), "aiortc calls it otherwise now"
        john = party(platform)
        buffer = getattr(john.transport._peer.getTransceivers()[0].receiver, JITTER_BUFFER)
        behind = []
        for number in range(1000):
            if number in (100, 300, 301, 302, 500):
                continue
            packet = RtpPacket(sequence_number=number, timestamp=number * 960)
            packet._data = b"opus"  # type: ignore[attr-defined]
            _, frame = buffer.add(packet)
            if frame is not None:
                behind.append(number - frame.timestamp // 960)
        assert set(behind) == {3}
        assert len(behind) > 980
        await john.transport.close()


async def test_a_remote_close_resolves_closed() -> None:
    async with MediaPlatform() as platform:
        with leaves_nothing():
            async with connected_pair(platform) as (john, service):
                assert not service.transport.closed.done()
                await john.transport.close()
                assert await john.transport.closed == "closed here"
                reason = await asyncio.wait_for(service.transport.closed, 5)
                assert reason.startswith("the far end")
            await john.transport.close()


async def test_closing_at_any_stage_leaves_nothing() -> None:
    async with MediaPlatform() as platform:
        with leaves_nothing():
            fresh, offered, answered, lonely = (party(platform).transport for _ in range(4))
            await fresh.close()
            offer = await offered.offer()
            await offered.close()
            # Answers, and then checks for a peer whose socket is gone.
            await answered.answer(offer)
            with pytest.raises(TimeoutError):
                await answered.connected(timeout_s=0.05)
            await answered.close()
            with pytest.raises(ConnectionError, match="closed here"):
                await answered.connected()
            await lonely.offer()
            await asyncio.gather(lonely.close(), lonely.close())


async def test_closing_just_before_ice_has_connected_leaves_nothing() -> None:
    async with MediaPlatform() as platform:
        with leaves_nothing():
            john, service = party(platform), party(platform)
            offer = await john.transport.offer()
            await john.transport.accept(await service.transport.answer(offer))
            (transceiver,) = john.transport._peer.getTransceivers()
            ice = transceiver.receiver.transport.transport._connection
            while not ice._check_list_done:  # noqa: ASYNC110  The very turn of the loop is meant.
                await asyncio.sleep(0)
            # Connecting sleeps for up to 20 ms now, and goes on after what closes it.
            await john.transport.close()
            consent = ice._query_consent_task
            assert consent is None or consent.done()
            await service.transport.close()


async def test_a_wrong_fingerprint_fails_and_passes_no_audio() -> None:
    async with MediaPlatform() as platform:
        with leaves_nothing():
            john, service = party(platform), party(platform)
            answer = await service.transport.answer(await john.transport.offer())
            lines = [
                line[:-2] + ("00" if line[-2:] != "00" else "11")
                if line.startswith("a=fingerprint:")
                else line
                for line in answer.split("\r\n")
            ]
            await john.transport.accept("\r\n".join(lines))
            with pytest.raises(ConnectionError):
                await john.transport.connected()
            assert john.transport.counters()["frames_in"] == 0
            await john.transport.close()
            await service.transport.close()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("UDP/TLS/RTP/SAVPF", "RTP/AVP"),
        ("a=fingerprint", "a=x"),
        ("a=mid:0", "a=mid"),
        ("a=extmap:1 ", "a=extmap:one "),
        ("c=IN IP4", "c=IN"),
    ],
)
async def test_a_bad_description_is_refused_and_leaves_nothing(old: str, new: str) -> None:
    async with MediaPlatform() as platform:
        with leaves_nothing():
            john, service = party(platform), party(platform)
            offer = await john.transport.offer()
            assert old in offer
            with pytest.raises(SdpError):
                await service.transport.answer(offer.replace(old, new))
            await john.transport.close()
            await service.transport.close()


async def test_only_the_bound_addresses_are_offered() -> None:
    async with MediaPlatform() as platform:
        transport = party(platform).transport
        offer = await transport.offer()
        candidates = [line for line in offer.splitlines() if line.startswith("a=candidate:")]
        assert candidates
        assert all(line.split()[4] == "127.0.0.1" for line in candidates)
        assert "rtpmap:0 " not in offer
        with pytest.raises(RuntimeError, match="fresh"):
            await transport.offer()
        await transport.close()


async def test_descriptions_in_the_wrong_order_are_refused() -> None:
    async with MediaPlatform() as platform:
        transport = party(platform).transport
        with pytest.raises(RuntimeError, match="offer that waits"):
            await transport.accept("v=0")
        await transport.close()


async def test_the_checks_of_ice_are_no_news(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with MediaPlatform() as platform:
        transport = party(platform).transport
        await transport.offer()
        await transport.close()
    for name in ("aioice.ice", "aiortc.rtcpeerconnection"):
        assert not logging.getLogger(name).isEnabledFor(logging.INFO)


async def test_no_description_reaches_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with MediaPlatform() as platform, connected_pair(platform) as (john, _):
        assert john.transport.counters()["frames_in"] >= 0
    assert "ice-pwd" not in caplog.text
    assert "a=fingerprint" not in caplog.text
