"""A stock aiortc peer connection as far end: a sine out, what comes remembered, nothing of ours."""

from __future__ import annotations

import asyncio
import fractions
from typing import Any, Self, cast

import av
import numpy as np
from aioice import Candidate, Connection
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError
from aiortc.rtp import RtpPacket
from aiortc.sdp import SessionDescription

from mixminus.media.pcm import Pcm
from mixminus.media.transports.aiortc_transport import _host_addresses
from tests.signals import sine

RATE_HZ = 48_000
FRAME_SAMPLES = RATE_HZ // 50
EVENT_TYPE = 101


class SineTrack(MediaStreamTrack):
    """A sine in real time."""

    kind = "audio"

    def __init__(self, hz: float) -> None:
        super().__init__()
        self._second = sine(hz, RATE_HZ, 1.0, 8_000)
        self._frame = 0
        self._begin_s: float | None = None

    async def recv(self) -> av.AudioFrame:
        loop = asyncio.get_running_loop()
        if self._begin_s is None:
            self._begin_s = loop.time()
        due_s = self._begin_s + self._frame * 0.02
        await asyncio.sleep(due_s - loop.time())
        if self.readyState != "live":
            raise MediaStreamError
        at = self._frame % 50 * FRAME_SAMPLES
        pcm = self._second[at : at + FRAME_SAMPLES].reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(pcm, format="s16", layout="mono")
        frame.sample_rate = RATE_HZ
        frame.pts = self._frame * FRAME_SAMPLES
        frame.time_base = fractions.Fraction(1, RATE_HZ)
        self._frame += 1
        return frame


class StockPeer:
    """One far end, the offerer. ``hz`` is what it says; None: it sends nothing by itself."""

    def __init__(self, hz: float | None = 440.0, *, bind: tuple[str, ...] = ("127.0.0.1",)) -> None:
        self._bind = bind
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.track = None if hz is None else SineTrack(hz)
        self.transceiver = self.connection.addTransceiver(
            self.track or "audio", direction="sendrecv"
        )
        self.heard: list[Pcm] = []
        self.raw: list[RtpPacket] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._restarted: list[Connection] = []
        self.connection.on("track", self._on_track)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    @property
    def state(self) -> str:
        return self.connection.connectionState

    async def offer(self) -> str:
        """Make an offer, with telephone events, which aiortc itself does not know."""
        with _host_addresses(self._bind):
            await self.connection.setLocalDescription(await self.connection.createOffer())
        sdp = self.connection.localDescription.sdp
        return sdp.replace("SAVPF 96", f"SAVPF 96 {EVENT_TYPE}").replace(
            "a=rtpmap:96 opus/48000/2",
            f"a=rtpmap:96 opus/48000/2\r\na=rtpmap:{EVENT_TYPE} telephone-event/48000",
        )

    async def accept(self, answer: str) -> None:
        await self.connection.setRemoteDescription(RTCSessionDescription(sdp=answer, type="answer"))

    async def close(self) -> None:
        if self.track is not None:
            self.track.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.connection.close()
        for restarted in self._restarted:
            await restarted.close()

    def listen(self) -> Pcm:
        """All heard so far, 48 kHz mono; forgotten here."""
        frames, self.heard = self.heard, []
        return np.concatenate(frames) if frames else np.zeros(0, np.int16)

    async def send_rtp(self, packet: RtpPacket) -> None:
        await self._dtls._send_rtp(packet.serialize())

    def fall_silent(self) -> None:
        """Send nothing any more, neither packets nor checks: its network is gone."""

        async def swallow(data: bytes) -> None:
            """Lose it."""

        self._ice._connection._query_consent_task.cancel()
        self._ice._send = swallow

    def keep_packets(self) -> None:
        """From now on every RTP packet is kept in ``raw``."""
        dtls = self._dtls
        original = dtls._handle_rtp_data

        async def keep(data: bytes, arrival_time_ms: int) -> None:
            self.raw.append(RtpPacket.parse(data))
            await original(data, arrival_time_ms)

        dtls._handle_rtp_data = keep

    async def new_credentials(self) -> tuple[Connection, str]:
        """Begin an ICE restart, which aiortc lacks: another ICE agent, and the re-offer for it."""
        restarted = Connection(ice_controlling=True, components=1)
        self._restarted.append(restarted)
        with _host_addresses(self._bind):
            await restarted.gather_candidates()
        old = self._ice._connection
        sdp = await self.offer()
        return restarted, sdp.replace(old.local_username, restarted.local_username).replace(
            old.local_password, restarted.local_password
        )

    async def restart(self, restarted: Connection, answer: str) -> None:
        """Connect the other agent, and carry DTLS and SRTP over it."""
        (media,) = SessionDescription.parse(answer).media
        assert media.ice is not None
        restarted.remote_is_lite = media.ice.iceLite
        restarted.remote_username = media.ice.usernameFragment
        restarted.remote_password = media.ice.password
        for line in answer.split("\r\n"):
            if line.startswith("a=candidate:"):
                await restarted.add_remote_candidate(Candidate.from_sdp(line.split(":", 1)[1]))
        await restarted.add_remote_candidate(cast(Any, None))
        await restarted.connect()
        old = self._ice._connection

        async def forward() -> None:
            while True:
                old._queue.put_nowait((await restarted.recv(), 1))

        self._tasks.append(asyncio.create_task(forward()))
        self._ice._send = restarted.send

    @property
    def _dtls(self) -> Any:
        return self.transceiver.receiver.transport

    @property
    def _ice(self) -> Any:
        return self._dtls.transport

    def _on_track(self, track: MediaStreamTrack) -> None:
        self._tasks.append(asyncio.create_task(self._receive(track)))

    async def _receive(self, track: MediaStreamTrack) -> None:
        try:
            while True:
                frame = cast(av.AudioFrame, await track.recv())
                pcm = frame.to_ndarray().reshape(-1)
                channels = frame.layout.nb_channels
                self.heard.append(pcm[::channels].astype(np.int16))
        except MediaStreamError:
            return
