"""A leg over WebRTC: aiortc's peer connection with our encoder, resampler and rings around it."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

import aioice.ice
import av
import numpy as np
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCPeerConnection,
    RTCRtpSender,
    RTCSessionDescription,
)
from aiortc.jitterbuffer import JitterBuffer
from aiortc.mediastreams import MediaStreamError

from ..bridge import Leg
from ..pcm import SAMPLE_RATE_HZ
from ..pipeline.resample import FrameCutter, Resampler
from ..platform import MediaPlatform
from .base import ClosedFuture, wait_connected
from .opus import OpusEncoder
from .sdp import SdpError, check_sdp

log = logging.getLogger("mixminus.media.aiortc")

CLOSE_TIMEOUT_S: Final = 5.0
UNSENT_PACKETS: Final = 3
"""60 ms: what aiortc's sender did not take by then is stale."""

JITTER_PACKETS: Final = 4
"""What aiortc's jitter buffer holds at most, one more than it hands out from: its own 16 fill up
behind the first lost packet and then stay full, 200 ms of delay that never come back (measured)."""

LOOPBACK: Final = ("127.0.0.1",)


class AiortcTransport:
    """One party on a stock aiortc peer connection, Opus both ways.

    The softphone's transport; a service's where no usable libopus or libsrtp is found, because
    PyAV codes here.

    Thread: the platform's loop. Close it whatever happens, also after a refused description.

    In: 48 kHz stereo as aiortc decodes it, resampled with 1 ms delay, to the leg's source. aiortc's
    jitter buffer holds three packets, most of this transport's delay; the leg's playout follows it.
    Out: each tick's render frame, encoded here and handed over as a packet, which aiortc sends
    without a thread. A far end that closes resolves ``closed``, as does one that does not answer
    ICE consent checks for 30 s.
    """

    def __init__(
        self, platform: MediaPlatform, leg: Leg, *, bind: Sequence[str] = LOOPBACK
    ) -> None:
        self._platform = platform
        self._leg = leg
        self._bind = tuple(bind)
        self._closed = ClosedFuture()
        self._connected: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._closing: asyncio.Task[None] | None = None
        self._receiving: asyncio.Task[None] | None = None
        self._inbound = _Inbound(platform, leg)
        self._track = _RenderTrack()
        self._encoder = OpusEncoder()
        self._unsubscribe: Callable[[], None] = lambda: None
        self._peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._peer.on("connectionstatechange", self._on_connection_state)
        self._peer.on("track", self._on_track)
        transceiver = self._peer.addTransceiver(self._track, direction="sendrecv")
        # aiortc has no setting for it.
        buffer = JitterBuffer(capacity=JITTER_PACKETS, prefetch=JITTER_PACKETS - 1)
        transceiver.receiver._RTCRtpReceiver__jitter_buffer = buffer  # type: ignore[attr-defined]
        # The track sends Opus packets: no other codec may be chosen for it.
        transceiver.setCodecPreferences(
            [
                codec
                for codec in RTCRtpSender.getCapabilities("audio").codecs
                if codec.mimeType.lower() == "audio/opus"
            ]
        )

    @property
    def closed(self) -> asyncio.Future[str]:
        """Resolved once, with the reason, when the far end is gone or close() was called."""
        return self._closed.future

    def counters(self) -> dict[str, int]:
        """Return frames in and out, gaps in what came, and frames not taken in time."""
        return {
            "frames_in": self._inbound.frames,
            "gaps_in": self._inbound.gaps,
            "frames_out": self._track.sent,
            "dropped_unsent": self._track.dropped,
        }

    def move(self, leg: Leg) -> None:
        """Carry *leg* from now on; the far end notices nothing."""
        self._leg = self._inbound.leg = leg
        leg.render.clear()

    async def offer(self) -> str:
        """Return an offer with all candidates in it.

        Raises: RuntimeError when a description was made already; OSError when *bind* is not ours.
        """
        self._expect_fresh()
        await self._set_local(await self._peer.createOffer())
        return self._peer.localDescription.sdp

    async def accept(self, answer_sdp: str) -> None:
        """Take the far end's answer to our offer, and connect.

        Raises: SdpError; RuntimeError when no offer waits for an answer.
        """
        if self._peer.signalingState != "have-local-offer":
            raise RuntimeError("expected an offer that waits for its answer")
        with _as_sdp_error():
            await self._peer.setRemoteDescription(
                RTCSessionDescription(sdp=check_sdp(answer_sdp, opus_only=True), type="answer")
            )

    async def answer(self, offer_sdp: str) -> str:
        """Take the far end's offer and return the answer, with all candidates in it.

        Raises: SdpError; RuntimeError and OSError as :meth:`offer`.
        """
        self._expect_fresh()
        with _as_sdp_error():
            await self._peer.setRemoteDescription(
                RTCSessionDescription(sdp=check_sdp(offer_sdp, opus_only=True), type="offer")
            )
            await self._set_local(await self._peer.createAnswer())
        return self._peer.localDescription.sdp

    async def connected(self, timeout_s: float = 10.0) -> None:
        """Wait until media can flow.

        Raises: TimeoutError; ConnectionError with the reason when it ended first.
        """
        await wait_connected(self._connected, self._closed.future, timeout_s)

    async def close(self) -> None:
        """Tell the far end, and leave no task, thread or socket behind. Again is no error."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._close(), name="webrtc close")
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        self._unsubscribe()
        self._closed.resolve("closed here")
        self._track.stop()
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._peer.close()
                # aiortc may have been about to start them when it was closed, and then has.
                for transceiver in self._peer.getTransceivers():
                    await transceiver.sender.stop()
                    await transceiver.receiver.stop()
                await _end_ice(self._peer)
        except TimeoutError:
            log.warning("a peer connection did not close within %s s", CLOSE_TIMEOUT_S)
        finally:
            if self._receiving is not None:
                self._receiving.cancel()
                await asyncio.wait([self._receiving])

    def _expect_fresh(self) -> None:
        if self._peer.signalingState != "stable" or self._peer.localDescription is not None:
            raise RuntimeError("expected a fresh transport: one description for each")

    async def _set_local(self, description: RTCSessionDescription) -> None:
        with _host_addresses(self._bind):
            await self._peer.setLocalDescription(description)

    def _on_track(self, track: MediaStreamTrack) -> None:
        if self._receiving is None:
            self._receiving = asyncio.create_task(self._receive(track), name="webrtc receive")

    def _on_connection_state(self) -> None:
        state = self._peer.connectionState
        if state == "connected" and not self._connected.done():
            self._leg.render.clear()
            self._unsubscribe = self._platform.on_tick(self._send)
            self._connected.set_result(None)
        elif state == "failed":
            self._closed.resolve("the WebRTC connection failed")
        elif state == "closed":
            self._closed.resolve("the far end closed the connection")

    def _send(self) -> None:
        while (frame := self._leg.render.read()) is not None:
            for packet in self._encoder.encode(frame, frame.timestamp):
                self._track.put(packet)

    async def _receive(self, track: MediaStreamTrack) -> None:
        try:
            while True:
                frame = await track.recv()
                if isinstance(frame, av.AudioFrame):
                    self._inbound.take(frame)
        except MediaStreamError:
            self._closed.resolve("the far end stopped sending")
        except Exception:
            # A bug of ours ends this call with a report, instead of leaving it deaf.
            log.exception("a WebRTC transport failed")
            self._closed.resolve("the WebRTC transport failed")


async def _end_ice(peer: RTCPeerConnection) -> None:
    """Wait out a connect that closing has overtaken, and end the consent checks it began.

    aioice's ends as it would have, up to 20 ms later, and then asks its closed socket for consent
    for 30 s.
    """
    for ice in {transceiver.receiver.transport.transport for transceiver in peer.getTransceivers()}:
        started: asyncio.Event | None = ice._RTCIceTransport__start  # type: ignore[attr-defined]
        if started is not None:
            await started.wait()
        consent = ice._connection._query_consent_task
        if consent is not None:
            consent.cancel()
            await asyncio.wait([consent])


class _Inbound:
    """Decoded audio of the far end, whatever its rate, to the leg's source."""

    def __init__(self, platform: MediaPlatform, leg: Leg) -> None:
        self._platform = platform
        self.leg = leg
        self._format: tuple[int, int] | None = None
        self._resampler: Resampler | None = None
        self._cutter = FrameCutter()
        self._next_pts: int | None = None
        self.frames = 0
        self.gaps = 0

    def take(self, frame: av.AudioFrame) -> None:
        channels = frame.layout.nb_channels
        if self._resampler is None or self._format != (frame.sample_rate, channels):
            self._format = (frame.sample_rate, channels)
            self._resampler = Resampler(frame.sample_rate, channels, SAMPLE_RATE_HZ, 1)
            self._next_pts = None
        if frame.pts is not None:
            if self._next_pts is not None and frame.pts != self._next_pts:
                self.gaps += 1
            self._next_pts = frame.pts + frame.samples
        pcm = frame.to_ndarray().astype(np.int16, copy=False)
        pcm = pcm.reshape(-1) if channels == 1 else pcm.reshape(-1, channels)
        for piece in self._cutter.push(self._resampler.push(pcm)):
            self.leg.source.write(piece, self._platform.now())
            self.frames += 1


class _RenderTrack(MediaStreamTrack):
    """Packets for aiortc's sender, which packs them as they are and asks no thread."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._packets: deque[av.Packet[Any]] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self.sent = 0
        self.dropped = 0

    def put(self, packet: av.Packet[Any]) -> None:
        """Give a packet to the sender; the oldest goes when it does not take them."""
        if len(self._packets) == UNSENT_PACKETS:
            self._packets.popleft()
            self.dropped += 1
        self._packets.append(packet)
        self._wake()

    async def recv(self) -> av.Packet[Any]:
        """Wait for the next packet. Called by aiortc's sender alone."""
        while not self._packets:
            if self.readyState != "live":
                raise MediaStreamError
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        self.sent += 1
        return self._packets.popleft()

    def stop(self) -> None:
        """End the track and with it the sender."""
        super().stop()
        self._packets.clear()
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


@contextmanager
def _as_sdp_error() -> Iterator[None]:
    """Turn whatever aiortc says to a far end's description into one error.

    Its code answers broken input with AssertionError, KeyError, ValueError, IndexError and more.
    """
    try:
        yield
    except (SdpError, OSError):
        raise
    except Exception as exc:
        raise SdpError("expected a well-formed session description") from exc


_bind_addresses: ContextVar[tuple[str, ...] | None] = ContextVar("bind_addresses", default=None)


@contextmanager
def _host_addresses(addresses: tuple[str, ...]) -> Iterator[None]:
    """Make aioice gather host candidates on exactly *addresses* within this context.

    aioice offers every address of the machine but loopback; a service says itself where it listens.
    """
    original = aioice.ice.get_host_addresses
    if not hasattr(original, "mixminus"):

        def bound(use_ipv4: bool, use_ipv6: bool) -> list[str]:
            chosen = _bind_addresses.get()
            return original(use_ipv4, use_ipv6) if chosen is None else list(chosen)

        bound.mixminus = True  # type: ignore[attr-defined]
        aioice.ice.get_host_addresses = bound
        # At DEBUG these write session descriptions, and ICE passwords with them; at INFO a line for
        # each check of a candidate pair.
        for name in ("aiortc", "aioice"):
            logging.getLogger(name).setLevel(logging.WARNING)
    token = _bind_addresses.set(addresses)
    try:
        yield
    finally:
        _bind_addresses.reset(token)
