"""The process of stock aiortc: a peer connection a leg. Asked by `peers.aiortc_stock`.

``python -m benchmarks.peers.aiortc_server [--complexity N --bit-rate N]``: with them, its encoder
is set as all others are; without, it is as aiortc makes it (48 kHz stereo, 96 kb/s, complexity 10).
"""

from __future__ import annotations

import argparse
import asyncio
import time
from fractions import Fraction
from importlib.metadata import version
from typing import Any

import aioice.ice
import aiortc.codecs
import av
import numpy as np
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.codecs.opus import OpusEncoder
from aiortc.mediastreams import MediaStreamError
from av.frame import Frame

from benchmarks.load.sounds import FRAME, RATE_HZ, speech
from benchmarks.processes import answer_questions, run_child

RTP_HZ = 48_000


class Talk(MediaStreamTrack):
    """Speech without pauses, 16 kHz mono, paced as aiortc's own tracks are."""

    kind = "audio"

    def __init__(self, pcm: np.ndarray[Any, np.dtype[np.int16]], at: int) -> None:
        super().__init__()
        self._frames = pcm[: len(pcm) // FRAME * FRAME].reshape(-1, FRAME)
        self._at, self._count = at, 0
        self._begin_s = 0.0

    async def recv(self) -> Frame:
        if self._count == 0:
            self._begin_s = time.monotonic()
        else:
            due_s = self._begin_s + self._count * FRAME / RATE_HZ
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
        pcm = self._frames[(self._at + self._count) % len(self._frames)]
        frame = av.AudioFrame.from_ndarray(pcm.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate, frame.time_base = RATE_HZ, Fraction(1, RATE_HZ)
        frame.pts = self._count * FRAME
        self._count += 1
        return frame


def set_encoder(bit_rate: int, complexity: int) -> None:
    """Let aiortc encode 16 kHz mono at that rate and complexity from now on."""

    class SetEncoder(OpusEncoder):
        def __init__(self) -> None:
            super().__init__()
            codec: Any = av.CodecContext.create("libopus", "w")
            codec.bit_rate, codec.format, codec.layout = bit_rate, "s16", "mono"
            codec.options = {"application": "voip", "compression_level": str(complexity)}
            codec.sample_rate, codec.time_base = RATE_HZ, Fraction(1, RATE_HZ)
            self.codec = codec
            self.resampler = av.AudioResampler(
                format="s16", layout="mono", rate=RATE_HZ, frame_size=FRAME
            )

        def encode(self, frame: Frame, force_keyframe: bool = False) -> Any:
            payloads, samples = super().encode(frame, force_keyframe)
            return payloads, None if samples is None else samples * RTP_HZ // RATE_HZ

    vars(aiortc.codecs)["OpusEncoder"] = SetEncoder


class Legs:
    """Peer connections, alone or in pairs of which each hears the other."""

    def __init__(self) -> None:
        self._peers: list[RTCPeerConnection] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._speech = speech()

    async def answers(self, offers: list[str], pairs: bool) -> list[str]:
        """Answer each offer; of *pairs*, each second leg hears what the one before it says."""
        answers, spoken = [], None
        for number, offer in enumerate(offers):
            peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
            self._peers.append(peer)
            listener = pairs and number % 2 == 1
            assert spoken is not None or not listener
            peer.addTrack(
                spoken if listener and spoken is not None else Talk(self._speech, number * 37)
            )
            await peer.setRemoteDescription(RTCSessionDescription(offer, "offer"))
            received = peer.getReceivers()[0].track
            if pairs and number % 2 == 0:
                spoken = received
            else:
                self._tasks.append(asyncio.create_task(self._consume(received)))
            await peer.setLocalDescription(await peer.createAnswer())
            answers.append(peer.localDescription.sdp)
        return answers

    async def facts(self) -> dict[str, Any]:
        return {
            "version": version("aiortc"),
            "connected": sum(peer.connectionState == "connected" for peer in self._peers),
        }

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(peer.close() for peer in self._peers))

    async def _consume(self, track: MediaStreamTrack) -> None:
        """Decode what comes, as whoever wants to hear it must."""
        try:
            while True:
                await track.recv()
        except MediaStreamError:
            return


async def main() -> None:
    """Answer until the asker has no more questions."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--complexity", type=int)
    parser.add_argument("--bit-rate", type=int, default=32_000)
    args = parser.parse_args()
    if args.complexity is not None:
        set_encoder(args.bit_rate, args.complexity)

    def loopback(use_ipv4: bool, use_ipv6: bool) -> list[str]:
        return ["127.0.0.1"]

    # aioice has no setting for it, and leaves the loopback address out.
    aioice.ice.get_host_addresses = loopback
    legs = Legs()
    try:
        await answer_questions({"answers": legs.answers, "facts": legs.facts})
    finally:
        await legs.close()


if __name__ == "__main__":
    run_child(main)
