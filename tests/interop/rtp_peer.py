"""An RTP endpoint that shares nothing with ours: aiortc's packets, FFmpeg's codecs, a socket."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Self, cast

import av
import numpy as np
from aiortc.rtp import RtcpByePacket, RtcpPacket, RtcpSrPacket, RtpPacket
from av.audio.resampler import AudioResampler
from numpy.typing import NDArray

from mixminus.media.pcm import SAMPLE_RATE_HZ, Pcm

NAMES = {"opus": "libopus", "pcmu": "pcm_mulaw", "pcma": "pcm_alaw", "g722": "g722"}
RATES_HZ = {"opus": 16_000, "pcmu": 8000, "pcma": 8000, "g722": 16_000}
CLOCKS_HZ = {"opus": 48_000, "pcmu": 8000, "pcma": 8000, "g722": 8000}
TYPES = {"opus": 111, "pcmu": 0, "pcma": 8, "g722": 9}
EVENT_TYPE = 101
KEYS = "0123456789*#ABCD"


def resampled(pcm: Pcm, from_hz: int, to_hz: int) -> Pcm:
    if from_hz == to_hz:
        return pcm
    resampler = AudioResampler(format="s16", layout="mono", rate=to_hz)
    frame = av.AudioFrame.from_ndarray(pcm[np.newaxis, :], format="s16", layout="mono")
    frame.sample_rate = from_hz
    parts = [*resampler.resample(frame), *resampler.resample(None)]
    return np.concatenate([part.to_ndarray()[0] for part in parts])


def encode(codec: str, pcm: Pcm, packet_ms: int) -> list[bytes]:
    """Return the payloads of *pcm* (16 kHz), *packet_ms* in each."""
    rate_hz = RATES_HZ[codec]
    pcm = resampled(pcm, SAMPLE_RATE_HZ, rate_hz)
    options = {"frame_duration": str(packet_ms)} if codec == "opus" else {}
    encoder: Any = av.CodecContext.create(NAMES[codec], "w")
    encoder.sample_rate, encoder.format, encoder.layout = rate_hz, "s16", "mono"
    encoder.options = options
    encoder.open()
    samples = rate_hz * packet_ms // 1000
    payloads = []
    for n in range(pcm.size // samples):
        part = pcm[np.newaxis, n * samples : (n + 1) * samples]
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(part), format="s16", layout="mono")
        frame.sample_rate, frame.pts = rate_hz, n * samples
        payloads += [bytes(packet) for packet in encoder.encode(frame)]
    if codec == "opus":
        return payloads
    whole = b"".join([*payloads, *map(bytes, encoder.encode(None))])
    size = 8 * packet_ms  # 64 kbit/s, all three
    return [whole[at : at + size] for at in range(0, len(whole) - size + 1, size)]


def decode(codec: str, payloads: list[bytes]) -> Pcm:
    """Return what *payloads* say, at 16 kHz."""
    decoder: Any = av.CodecContext.create(NAMES[codec], "r")
    decoder.sample_rate = 48_000 if codec == "opus" else RATES_HZ[codec]
    decoder.layout = "mono"
    parts: list[NDArray[Any]] = []
    for payload in payloads:
        parts += [frame.to_ndarray().reshape(-1) for frame in decoder.decode(av.Packet(payload))]
    whole = np.concatenate(parts)
    if whole.dtype != np.int16:
        whole = np.round(whole * 32_767).clip(-32_768, 32_767).astype(np.int16)
    return resampled(whole, decoder.sample_rate, SAMPLE_RATE_HZ)


def events(key: str, timestamp: int, clock_hz: int, ms: int) -> Iterator[tuple[bytes, bool]]:
    """Yield the payloads of one key, one each 20 ms, and whether it is the first (RFC 4733)."""
    step = clock_hz // 50
    for n in range(1, ms // 20 + 1):
        yield struct.pack("!BBH", KEYS.index(key), 10, n * step), n == 1
    for _ in range(3):
        yield struct.pack("!BBH", KEYS.index(key), 0x80 | 10, ms // 20 * step), False


@dataclass
class RtpPeer(asyncio.DatagramProtocol):
    """One socket, one SSRC. What comes is parsed by aiortc, which raises on what is malformed."""

    codec: str
    ssrc: int = 0x1234_5678
    sequence: int = 65_500
    timestamp: int = 2**32 - 5000
    received: list[RtpPacket] = field(default_factory=list)
    rtcp: list[Any] = field(default_factory=list)
    late_s: float = 0.0
    """By how much the packets of the last :meth:`play` came after their time, at most."""
    _transport: asyncio.DatagramTransport | None = None
    _lost: asyncio.Event = field(default_factory=asyncio.Event)

    @classmethod
    async def open(cls, codec: str, **fields: Any) -> Self:
        loop = asyncio.get_running_loop()
        _, peer = await loop.create_datagram_endpoint(
            lambda: cls(codec, **fields), local_addr=("127.0.0.1", 0)
        )
        return peer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # No subclass of it before Python 3.12, though it is one.
        self._transport = cast(asyncio.DatagramTransport, transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._lost.set()

    def datagram_received(self, data: bytes, address: Any) -> None:
        if 192 <= data[1] <= 223:
            self.rtcp += RtcpPacket.parse(data)
        else:
            self.received.append(RtpPacket.parse(data))

    @property
    def address(self) -> tuple[str, int]:
        assert self._transport is not None
        host, port = self._transport.get_extra_info("sockname")
        return host, port

    @property
    def byes(self) -> list[RtcpByePacket]:
        return [packet for packet in self.rtcp if isinstance(packet, RtcpByePacket)]

    @property
    def audio(self) -> list[RtpPacket]:
        return [p for p in self.received if p.payload_type == TYPES[self.codec]]

    @property
    def tones(self) -> list[RtpPacket]:
        return [p for p in self.received if p.payload_type == EVENT_TYPE]

    def send_raw(self, data: bytes, to: tuple[str, int]) -> None:
        assert self._transport is not None
        self._transport.sendto(data, to)

    def send(
        self,
        payload: bytes,
        ms: float,
        to: tuple[str, int],
        *,
        payload_type: int | None = None,
        marker: bool = False,
    ) -> None:
        """Send one packet; the next one's timestamp is *ms* later."""
        packet = RtpPacket(
            payload_type=TYPES[self.codec] if payload_type is None else payload_type,
            sequence_number=self.sequence & 0xFFFF,
            timestamp=self.timestamp & 0xFFFF_FFFF,
            ssrc=self.ssrc,
            payload=payload,
            marker=int(marker),
        )
        self.send_raw(packet.serialize(), to)
        self.sequence += 1
        self.timestamp += round(CLOCKS_HZ[self.codec] * ms / 1000)

    async def play(self, pcm: Pcm, packet_ms: int, to: tuple[str, int]) -> None:
        """Send *pcm* as it would be spoken: each packet when its last sample is."""
        loop = asyncio.get_running_loop()
        payloads = encode(self.codec, pcm, packet_ms)
        begin = loop.time()
        self.late_s = 0.0
        for n, payload in enumerate(payloads):
            due = begin + (n + 1) * packet_ms / 1000
            await asyncio.sleep(max(0.0, due - loop.time()))
            self.late_s = max(self.late_s, loop.time() - due)
            self.send(payload, packet_ms, to, marker=n == 0)

    async def press(self, key: str, ms: int, to: tuple[str, int]) -> None:
        """Send a key's packets, all with the timestamp of its beginning."""
        for payload, marker in events(key, self.timestamp, CLOCKS_HZ[self.codec], ms):
            self.send(payload, 0, to, payload_type=EVENT_TYPE, marker=marker)
            await asyncio.sleep(0.02)
        self.timestamp += round(CLOCKS_HZ[self.codec] * ms / 1000)

    def say_bye(self, to: tuple[str, int]) -> None:
        self.send_raw(bytes(RtcpByePacket(sources=[self.ssrc])), to)

    def reports(self) -> list[RtcpSrPacket]:
        return [packet for packet in self.rtcp if isinstance(packet, RtcpSrPacket)]

    async def close(self) -> None:
        assert self._transport is not None
        self._transport.close()
        await self._lost.wait()
