"""Plain RTP legs over real sockets, against aiortc's packets and FFmpeg's codecs and muxers."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from mixminus.media.bridge import Leg
from mixminus.media.pcm import FRAME_MS, FRAME_SAMPLES, SAMPLE_RATE_HZ, Pcm
from mixminus.media.platform import MediaPlatform
from mixminus.media.transports.rtp import RtpEndpoint, RtpTransport
from mixminus.media.transports.rtp_parameters import RtpParameters
from mixminus.media.transports.rtp_sdp import answer_offer, parse_answer, write_offer
from tests import signals
from tests.interop.rtp_peer import EVENT_TYPE, TYPES, RtpPeer, decode
from tests.support import eventually

pytestmark = pytest.mark.alone

SECONDS = 1.6
WINDOW = 2560
AHEAD_FRAMES = 16
LATE_S = 0.1
MOST_RUNS = 5
"""A far end of the test's own that was so late has said nothing of ours: it speaks again."""
PEAK = 8000
SAID_DBOV = 20 * np.log10(PEAK / np.sqrt(2) / 32_768)
CASES = (
    *(("opus", ms) for ms in (10, 20, 40, 60)),
    *(("pcmu", ms) for ms in (10, 20, 30, 60)),
    *(("pcma", ms) for ms in (20, 40)),
    *(("g722", ms) for ms in (10, 20, 60)),
)


def sine(hz: float, seconds: float) -> Pcm:
    return signals.sine(hz, SAMPLE_RATE_HZ, seconds, PEAK)


def level_dbov(pcm: Pcm, hz: float) -> float:
    """The level of the sine of *hz*, as most windows of 160 ms have it.

    Where a playout on a busy machine has moved within one window, that one's phase says nothing.
    """
    windows = [pcm[at : at + WINDOW] for at in range(0, pcm.size - WINDOW + 1, WINDOW)]
    assert windows, pcm.size
    return float(np.median([signals.tone_dbov(window, hz) for window in windows]))


def parameters(codec: str, remote: tuple[str, int] | None, **fields: Any) -> RtpParameters:
    return RtpParameters(
        codec=codec, payload_type=TYPES[codec], event_type=EVENT_TYPE, remote=remote, **fields
    )


@dataclass
class Room:
    """A bridge with an RTP leg and one on rings, which hears it and speaks a sine to it."""

    platform: MediaPlatform
    said_hz: float = 1000.0
    heard: list[Pcm] = field(default_factory=list)
    flags: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.bridge = self.platform.create_bridge()
        self.leg: Leg = self.bridge.add_leg(1)
        self.inside: Leg = self.bridge.add_leg(2, render_slots=64, source_slots=32, paced=True)
        self._at = 0
        self._sine = sine(self.said_hz, 10.0)
        self._unsubscribe: Callable[[], None] = self.platform.on_tick(self._tick)

    def _tick(self) -> None:
        while (frame := self.inside.render.read()) is not None:
            self.heard.append(np.asarray(frame))
            self.flags.append(frame.frame_flags)
        # Ahead of the call, so that it speaks on while this loop waits for its turn.
        while self.inside.source.depth_frames < AHEAD_FRAMES:
            part = self._sine[self._at : self._at + FRAME_SAMPLES]
            self._at = (self._at + FRAME_SAMPLES) % self._sine.size
            self.inside.source.write(part, self.platform.now())

    def last(self, ms: int) -> Pcm:
        """What was heard in the last *ms* so far."""
        frames = self.heard[-(ms // FRAME_MS) :]
        return np.concatenate(frames) if frames else np.zeros(WINDOW, np.int16)

    def hears(self, hz: float) -> bool:
        if len(self.heard) < 20:
            return False
        return bool(abs(level_dbov(self.last(400), hz) - SAID_DBOV) < 2)

    def close(self) -> None:
        self._unsubscribe()
        self.bridge.close()


@dataclass
class Stage:
    """A platform, a port of ours, and all that a test puts beside them: closed whatever happens."""

    platform: MediaPlatform
    endpoint: RtpEndpoint
    stack: AsyncExitStack

    def room(self, said_hz: float = 1000.0) -> Room:
        room = Room(self.platform, said_hz)
        self.stack.callback(room.close)
        return room

    async def peer(self, codec: str, **fields: Any) -> RtpPeer:
        peer = await RtpPeer.open(codec, **fields)
        self.stack.push_async_callback(peer.close)
        return peer

    async def another_endpoint(self, bind: str) -> RtpEndpoint:
        endpoint = await RtpEndpoint.open(self.platform, bind=bind)
        self.stack.push_async_callback(endpoint.close)
        return endpoint

    def playing(self, peer: RtpPeer, hz: float, seconds: float) -> None:
        """Let *peer* speak a sine while the test goes on."""
        task = asyncio.create_task(peer.play(sine(hz, seconds), 20, self.endpoint.address))
        self.stack.callback(task.cancel)


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with MediaPlatform() as platform, AsyncExitStack() as stack:
        endpoint = await RtpEndpoint.open(platform)
        stack.push_async_callback(endpoint.close)
        yield Stage(platform, endpoint, stack)


def has_received(leg: RtpTransport, packets: int) -> bool:
    """The engine tells of its counts a fraction of a second later."""
    return leg.quality().received_packets == packets


async def test_every_codec_and_packet_length_is_heard_and_spoken_on_one_port(stage: Stage) -> None:
    endpoint = stage.endpoint
    rooms: list[Room] = []
    peers: list[RtpPeer] = []
    legs: list[RtpTransport] = []
    for index, (codec, _) in enumerate(CASES):
        room = stage.room(said_hz=1000.0 + 60 * index)
        peer = await stage.peer(codec, ssrc=1000 + index)
        rooms.append(room)
        peers.append(peer)
        legs.append(endpoint.connect(room.leg, parameters(codec, peer.address)))
    runs = 0
    while not runs or (runs < MOST_RUNS and max(peer.late_s for peer in peers) > LATE_S):
        runs += 1
        for room in rooms:
            room.heard.clear()
        await asyncio.gather(
            *(
                peer.play(sine(400.0 + 60 * index, SECONDS), packet_ms, endpoint.address)
                for index, (peer, (_, packet_ms)) in enumerate(zip(peers, CASES, strict=True))
            )
        )
    for index, (codec, packet_ms) in enumerate(CASES):
        what = f"{codec} of {packet_ms} ms"
        room, peer, leg = rooms[index], peers[index], legs[index]
        # In: its own tone at its own level and nobody else's.
        heard = np.concatenate(room.heard)
        end = np.flatnonzero(np.abs(heard) > 1000)[-1]
        steady = heard[end - 11_000 : end - 1000]
        assert abs(level_dbov(steady, 400.0 + 60 * index) - SAID_DBOV) < 2, what
        for other in range(len(CASES)):
            if other != index:
                assert level_dbov(steady, 400.0 + 60 * other) < SAID_DBOV - 30, what
        sent = runs * (round(SECONDS * 1000) // packet_ms)
        await eventually(partial(has_received, leg, sent), what=f"{sent} packets, {what}")
        quality = leg.quality()
        assert quality.lost_packets == 0, what
        if runs == 1:
            assert quality.discarded_packets == 0, (what, leg.counters())
        # Out: packets of 20 ms whose timestamps count the codec's RTP clock.
        audio = peer.audio
        assert len(audio) > 0.8 * SECONDS * 50, what
        clock_step = 960 if codec == "opus" else 160
        for before, after in pairwise(audio):
            assert (after.sequence_number - before.sequence_number) & 0xFFFF == 1, what
            assert (after.timestamp - before.timestamp) & 0xFFFF_FFFF == clock_step, what
        assert {packet.ssrc for packet in audio} == {audio[0].ssrc}
        said = decode(codec, [packet.payload for packet in audio])
        level = level_dbov(said[-12_000:-1000], room.said_hz)
        assert abs(level - SAID_DBOV) < 2, (what, level)
    counters = endpoint.counters()
    assert (counters["media_stranger"], counters["junk"]) == (0, 0)
    await endpoint.close()
    await eventually(lambda: all(peer.byes for peer in peers), what="a BYE for each")
    for peer in peers:
        assert peer.byes[0].sources == [peer.audio[0].ssrc]


@pytest.mark.parametrize("codec", ["opus", "pcmu"])
async def test_keys_are_heard_and_pressed(stage: Stage, codec: str) -> None:
    endpoint = stage.endpoint
    room, peer = stage.room(), await stage.peer(codec)
    transport = endpoint.connect(room.leg, parameters(codec, peer.address))
    keys: list[str] = []
    transport.on_tone = keys.append
    await peer.play(sine(400, 0.4), 20, endpoint.address)
    for key in "4#A4":
        await peer.press(key, 100, endpoint.address)
        await peer.play(sine(400, 0.1), 20, endpoint.address)
    await eventually(lambda: len(keys) == 4, what="four keys")
    assert keys == ["4", "#", "A", "4"]
    assert transport.queue_tone("7")
    assert transport.queue_tone("*", duration_ms=60)
    await eventually(lambda: len({p.timestamp for p in peer.tones}) == 2 and len(peer.tones) > 8)
    await eventually(
        lambda: sum(p.payload[1] >> 7 for p in peer.tones) == 6, what="both ends, thrice each"
    )
    starts = sorted({p.timestamp: p.payload[0] for p in peer.tones}.items())
    assert [event for _, event in starts] == [7, 10]
    clock_khz = 48 if codec == "opus" else 8
    longest = {p.payload[0]: int.from_bytes(p.payload[2:4], "big") // clock_khz for p in peer.tones}
    assert longest == {7: 100, 10: 60}
    with pytest.raises(ValueError, match="expected one of"):
        transport.queue_tone("x")


async def test_an_address_is_learnt_from_the_first_good_packet_and_strangers_get_nothing(
    stage: Stage,
) -> None:
    endpoint = stage.endpoint
    room = stage.room()
    first, second = await stage.peer("pcmu"), await stage.peer("pcmu", ssrc=2)
    transport = endpoint.connect(room.leg, parameters("pcmu", None, learn_address=True))
    # Not RTP, another type, empty: nothing is learnt, and nothing is answered.
    second.send_raw(b"\x80\x00junk", endpoint.address)
    second.send(b"\xff" * 160, 20, endpoint.address, payload_type=8)
    second.send(b"", 20, endpoint.address)
    await eventually(lambda: endpoint.counters()["not_learnt"] >= 2)
    assert not endpoint.counters()["learnt"]
    stage.playing(first, 440, 4.0)
    await transport.connected()
    assert transport.remote == first.address
    await eventually(lambda: room.hears(440), what="the learnt far end")
    before = endpoint.counters()["media_stranger"]
    stage.playing(second, 2000, 0.8)
    await eventually(lambda: endpoint.counters()["media_stranger"] >= before + 30)
    assert room.hears(440)
    assert level_dbov(room.last(400), 2000) < -70
    assert transport.remote == first.address
    assert (second.received, second.rtcp) == ([], [])
    assert len(first.audio) > 20
    assert endpoint.counters()["learnt"] == 1


async def test_without_learning_strangers_are_never_heard(stage: Stage) -> None:
    endpoint = stage.endpoint
    room = stage.room()
    peer, stranger = await stage.peer("pcmu"), await stage.peer("pcmu", ssrc=2)
    transport = endpoint.connect(room.leg, parameters("pcmu", peer.address))
    await stranger.play(sine(2000, 0.6), 20, endpoint.address)
    await eventually(lambda: endpoint.counters()["media_stranger"] == 30, what="30 strange packets")
    assert not np.concatenate(room.heard).any()
    assert (stranger.received, stranger.rtcp) == ([], [])
    assert transport.quality().received_packets == 0


@pytest.mark.slow
async def test_media_that_stop_are_told_and_those_that_come_again(stage: Stage) -> None:
    endpoint = stage.endpoint
    room, peer = stage.room(), await stage.peer("g722")
    transport = endpoint.connect(room.leg, parameters("g722", peer.address))
    events: list[bool] = []
    transport.on_media = events.append
    await peer.play(sine(440, 0.4), 20, endpoint.address)
    assert events == []
    await eventually(lambda: events == [False], what="the loss")
    stage.playing(peer, 440, 3.0)
    await eventually(lambda: events == [False, True], what="the return")
    await eventually(lambda: room.hears(440), what="what is said then")
    assert not transport.closed.done()
    transport.expects_media = False
    # Ours goes on all the time, with reports of what came.
    await eventually(lambda: peer.reports(), timeout_s=10, what="a sender report")
    assert peer.reports()[-1].ssrc == peer.audio[-1].ssrc
    assert events == [False, True]


async def test_a_far_end_that_says_bye_ends_the_leg(stage: Stage) -> None:
    endpoint = stage.endpoint
    room, peer = stage.room(), await stage.peer("pcma")
    transport = endpoint.connect(room.leg, parameters("pcma", peer.address))
    await peer.play(sine(440, 0.4), 20, endpoint.address)
    peer.say_bye(endpoint.address)
    assert await asyncio.wait_for(transport.closed, 5) == "the far end said bye"
    await transport.close()
    assert peer.byes == []
    # The address is free, and so is the leg.
    again = endpoint.connect(room.leg, parameters("pcma", peer.address))
    await peer.play(sine(440, 0.8), 20, endpoint.address)
    await eventually(lambda: again.quality().received_packets >= 40)


async def test_a_moved_leg_is_heard_in_its_new_bridge_alone(stage: Stage) -> None:
    endpoint = stage.endpoint
    first, second = stage.room(said_hz=1000), stage.room(said_hz=1500)
    peer = await stage.peer("opus")
    transport = endpoint.connect(first.leg, parameters("opus", peer.address))
    stage.playing(peer, 440, 6.0)
    await eventually(lambda: first.hears(440), what="the first bridge")
    transport.move(second.leg)
    await eventually(lambda: second.hears(440), what="the second bridge")
    await eventually(lambda: level_dbov(first.last(200), 440) < -70, what="silence in the first")
    count = len(peer.audio)
    await eventually(lambda: len(peer.audio) > count + 40, what="0.8 s from the second")
    audio = peer.audio
    for before, after in pairwise(audio):
        assert (after.sequence_number - before.sequence_number) & 0xFFFF == 1
    said = decode("opus", [packet.payload for packet in audio])[-8000:-800]
    assert abs(level_dbov(said, 1500) - SAID_DBOV) < 2
    assert level_dbov(said, 1000) < SAID_DBOV - 30


@pytest.mark.parametrize("bind", ["127.0.0.1", "::1"])
async def test_two_endpoints_of_ours_agree_by_sdp_and_hear_each_other(
    stage: Stage, bind: str
) -> None:
    near, far = await stage.another_endpoint(bind), await stage.another_endpoint(bind)
    here, there = stage.room(said_hz=1000), stage.room(said_hz=1500)
    offer = write_offer(near.address)
    answer, at_far = answer_offer(offer, far.address)
    at_near = parse_answer(answer, offer=offer)
    a = near.connect(here.leg, at_near.parameters)
    b = far.connect(there.leg, at_far.parameters)
    await eventually(lambda: here.hears(1500) and there.hears(1000), what="each other")
    keys: list[str] = []
    b.on_tone = keys.append
    assert a.queue_tone("9")
    await eventually(lambda: keys == ["9"], what="the key")
    await near.close()
    assert await asyncio.wait_for(b.closed, 5) == "the far end said bye"


# ---- FFmpeg's own RTP ----------------------------------------------------------------------------


def even_port() -> int:
    """A free port whose successor is free too: FFmpeg takes RTCP there."""
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
            one.bind(("127.0.0.1", 0))
            port = int(one.getsockname()[1])
            if port % 2:
                continue
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as two:
                try:
                    two.bind(("127.0.0.1", port + 1))
                except OSError:
                    continue
                return port


def ffmpeg_listens(sdp: Path, seconds: float) -> Pcm:
    """Return what FFmpeg's SDP demuxer and decoder make of what comes, in a thread of its own."""
    parts: list[Any] = []
    options = {"protocol_whitelist": "file,udp,rtp", "reorder_queue_size": "0"}
    with av.open(str(sdp), format="sdp", options=options, timeout=10.0) as container:
        resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE_HZ)
        for frame in container.decode(audio=0):
            parts += [part.to_ndarray()[0] for part in resampler.resample(frame)]
            if sum(part.size for part in parts) > seconds * SAMPLE_RATE_HZ:
                break
    return np.concatenate(parts)


def ffmpeg_speaks(codec: str, hz: float, seconds: float, to: tuple[str, int], port: int) -> float:
    """Send a sine through FFmpeg's encoder and RTP muxer from *port*, in a thread of its own.

    Returns by how many seconds it was late, at most.
    """
    late_s = 0.0
    rate_hz = 48_000 if codec == "libopus" else 16_000 if codec == "g722" else 8000
    uri = f"rtp://{to[0]}:{to[1]}?localport={port}&localrtcpport={port + 1}"
    with av.open(uri, "w", format="rtp") as out:
        stream: Any = out.add_stream(codec, rate=rate_hz)
        stream.layout = "mono"
        samples = rate_hz // 50
        begin = time.monotonic()
        for n in range(round(seconds * 50)):
            at = (n * samples + np.arange(samples)) / rate_hz
            pcm = np.round(PEAK * np.sin(2 * np.pi * hz * at)).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(pcm[np.newaxis, :], format="s16", layout="mono")
            frame.sample_rate, frame.pts = rate_hz, n * samples
            for packet in stream.encode(frame):
                out.mux(packet)
            ahead_s = begin + (n + 1) * 0.02 - time.monotonic()
            late_s = max(late_s, -ahead_s)
            time.sleep(max(0.0, ahead_s))
    return late_s


@pytest.mark.slow
@pytest.mark.parametrize(
    ("codec", "encoder"),
    [
        ("opus", "libopus"),
        pytest.param("pcmu", "pcm_mulaw", marks=pytest.mark.slow),
        pytest.param("pcma", "pcm_alaw", marks=pytest.mark.slow),
        ("g722", "g722"),
    ],
)
async def test_ffmpeg_reads_our_description_and_hears_us(
    stage: Stage, codec: str, encoder: str, tmp_path: Path
) -> None:
    endpoint = stage.endpoint
    room = stage.room(said_hz=1000)
    port = even_port()
    # What FFmpeg reads is the answer that an end of ours at its address would have written.
    offer = write_offer(endpoint.address, (codec,))
    answer, _ = answer_offer(offer, ("127.0.0.1", port))
    sdp = tmp_path / "session.sdp"
    sdp.write_text(answer)
    transport = endpoint.connect(room.leg, parse_answer(answer, offer=offer).parameters)
    said = await asyncio.to_thread(ffmpeg_listens, sdp, 1.0)
    assert abs(level_dbov(said[4000:14_000], 1000) - SAID_DBOV) < 2
    await transport.close()
    speaker = even_port()
    leg = endpoint.connect(
        room.leg,
        RtpParameters(
            codec=codec,
            payload_type=TYPES[codec],
            remote=("127.0.0.1", speaker),
            received_types={97: codec, 0: "pcmu", 8: "pcma", 9: "g722"},
        ),
    )
    for _ in range(MOST_RUNS):
        room.heard.clear()
        late_s = await asyncio.to_thread(
            ffmpeg_speaks, encoder, 440.0, SECONDS, endpoint.address, speaker
        )
        if late_s < LATE_S:
            break
    heard = np.concatenate(room.heard)
    end = np.flatnonzero(np.abs(heard) > 1000)[-1]
    assert abs(level_dbov(heard[end - 11_000 : end - 1000], 440) - SAID_DBOV) < 2
    assert leg.quality().lost_packets == 0
