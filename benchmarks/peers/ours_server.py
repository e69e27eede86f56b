"""The process of our engine: bridges whose legs are real transports. Asked by `peers.ours`.

``python -m benchmarks.peers.ours_server [--tick-threads N] [--complexity N] [--bit-rate N]``
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.peers.base import PAYLOAD_TYPE
from benchmarks.processes import answer_questions, run_child
from benchmarks.tick import busy_threads
from mixminus.media.bridge import Bridge
from mixminus.media.libraries import codec_libraries
from mixminus.media.peer import Peer, PeerSettings
from mixminus.media.platform import MediaPlatform
from mixminus.media.quality import StreamQuality
from mixminus.media.transports.rtp import RtpEndpoint, RtpTransport
from mixminus.media.transports.rtp_parameters import RtpParameters
from mixminus.media.transports.webrtc import WebRtcTransport
from mixminus.media.transports.webrtc_endpoint import WebRtcEndpoint

LEVEL_ID = 1


class SetPlatform(MediaPlatform):
    """The platform, with all that it sends coded at one rate and complexity."""

    def __init__(self, bit_rate: int, complexity: int, tick_threads: int) -> None:
        super().__init__(tick_threads=tick_threads)
        self._bit_rate, self._complexity = bit_rate, complexity

    def make_peer(self, settings: PeerSettings) -> Peer:
        return super().make_peer(
            replace(settings, bit_rate=self._bit_rate, complexity=self._complexity)
        )


class TickTimes:
    """How long ticks took, of all tick threads together: the engine's own log."""

    def __init__(self, platform: MediaPlatform) -> None:
        self._platform = platform
        self._seen_ticks = 0

    def take(self) -> dict[str, float] | None:
        """Return percentiles since this was last asked."""
        since, self._seen_ticks = self._seen_ticks, self._platform._engine.stats()["ticks"]
        times_ms = self._platform.tick_times_us(since) / 1000
        if not times_ms.size:
            return None
        p50, p99 = np.percentile(times_ms, (50, 99))
        return {"p50_ms": float(p50), "p99_ms": float(p99), "max_ms": float(times_ms.max())}


class Legs:
    """Bridges by room number, and the transports of their legs."""

    def __init__(self, platform: MediaPlatform, rtp: RtpEndpoint, webrtc: WebRtcEndpoint) -> None:
        self._platform, self._rtp, self._webrtc = platform, rtp, webrtc
        self._bridges: dict[int, Bridge] = {}
        self._transports: list[RtpTransport | WebRtcTransport] = []
        self._times = TickTimes(platform)
        self._stack = ExitStack()

    async def rtp_legs(self, far: list[list[Any]], room: int) -> list[list[Any]]:
        bridge = self._bridge(room)
        for host, port in far:
            leg = bridge.add_leg(len(self._transports) + 1)
            parameters = RtpParameters(
                codec="opus",
                payload_type=PAYLOAD_TYPE,
                remote=(host, port),
                level_extension_id=LEVEL_ID,
            )
            self._transports.append(self._rtp.connect(leg, parameters))
        return [list(self._rtp.address)] * len(far)

    async def webrtc_legs(self, offers: list[str], room: int) -> list[str]:
        bridge, answers = self._bridge(room), []
        for offer in offers:
            transport = self._webrtc.make(bridge.add_leg(len(self._transports) + 1))
            self._transports.append(transport)
            answers.append(await transport.answer(offer))
        return answers

    async def busy(self, threads: int) -> bool:
        """Keep that many Python threads busy from now on."""
        self._stack.enter_context(busy_threads(threads))
        return True

    async def facts(self) -> dict[str, Any]:
        """Return what the engine says of itself; tick times are since this was last asked."""
        stats = self._platform.stats()
        libraries = codec_libraries()
        return {
            "scheduling": stats.scheduling,
            "isa": stats.isa,
            "libopus": None if libraries.opus is None else libraries.opus.version,
            "libsrtp": None if libraries.srtp is None else libraries.srtp.version,
            "ticks": stats.ticks,
            "late_ticks": stats.late_ticks,
            "skipped_ticks": stats.skipped_ticks,
            "tick": self._times.take(),
            "quality": _summary([transport.quality() for transport in self._transports]),
        }

    async def lateness(self, since_tick: int) -> list[float]:
        """Return how late each tick from that one on started, in us."""
        return [float(us) for us in self._platform.lateness_us(since_tick)]

    def close(self) -> None:
        self._stack.close()

    def _bridge(self, room: int) -> Bridge:
        if room not in self._bridges:
            self._bridges[room] = self._platform.create_bridge()
        return self._bridges[room]


def _summary(qualities: Sequence[StreamQuality]) -> dict[str, float | None]:
    """Return what all streams together show; delays as the median of those that know one."""

    def median(values: Iterator[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return float(np.median(known)) if known else None

    return {
        "delay_ms": median(q.delay_ms for q in qualities),
        "target_ms": median(q.target_ms for q in qualities),
        "received": sum(q.received_packets for q in qualities),
        "lost": sum(q.lost_packets for q in qualities),
        "discarded": sum(q.discarded_packets for q in qualities),
        "concealed_ticks": sum(q.concealed_ticks for q in qualities),
        "voice_ticks": sum(q.voice_ticks for q in qualities),
        "silence_ticks": sum(q.silence_ticks for q in qualities),
    }


async def main() -> None:
    """Answer until the asker has no more questions."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tick-threads", type=int, default=1)
    parser.add_argument("--complexity", type=int, default=5)
    parser.add_argument("--bit-rate", type=int, default=32_000)
    args = parser.parse_args()
    async with SetPlatform(args.bit_rate, args.complexity, args.tick_threads) as platform:
        rtp = await RtpEndpoint.open(platform)
        webrtc = await WebRtcEndpoint.open(platform)
        legs = Legs(platform, rtp, webrtc)
        try:
            await answer_questions(
                {
                    "rtp_legs": legs.rtp_legs,
                    "webrtc_legs": legs.webrtc_legs,
                    "busy": legs.busy,
                    "facts": legs.facts,
                    "lateness": legs.lateness,
                }
            )
        finally:
            legs.close()
            await rtp.close()
            await webrtc.close()


if __name__ == "__main__":
    run_child(main)
