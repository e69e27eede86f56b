"""A telephone gateway that speaks on as many lines as it is asked for, at next to no cost.

``python -m benchmarks.load.gateway``, asked by `benchmarks.console`. Each line is a UDP port of its
own. It answers each RTP packet with one of its own to where that came from: whoever sends 50 a
second hears 50 a second, with no clock here.
"""

from __future__ import annotations

import asyncio
import struct
from typing import Any

import numpy as np

from benchmarks.processes import Answer, answer_questions, run_child
from mixminus.media.transports.stream.mulaw import encode

HOST = "127.0.0.1"
PCMU = 0
SAMPLES = 160
"""Of 8 kHz: 20 ms."""
LOOP_FRAMES = 150
SPEECH_PEAK = 6000
HEADER = struct.Struct("!BBHII")
RTP_VERSION = 0x80
FIRST_RTCP, LAST_RTCP = 192, 223
"""Of the second byte of a packet (RFC 5761 section 4): reports are not answered."""


def voice(seed: int) -> list[bytes]:
    """Return 3 s that swell and fade as speech does, each frame 160 bytes of mu-law."""
    random = np.random.default_rng(seed)
    noise = random.normal(0.0, SPEECH_PEAK / 3, LOOP_FRAMES * SAMPLES)
    at = np.arange(noise.size) / noise.size
    swell = np.clip(np.sin(2 * np.pi * (at * 4 + random.random())), 0.0, 1.0)
    coded = encode(np.clip(noise * swell, -32_000, 32_000).astype(np.int16))
    return [coded[n : n + SAMPLES] for n in range(0, len(coded), SAMPLES)]


class Line(asyncio.DatagramProtocol):
    """One telephone."""

    def __init__(self, number: int, voices: list[list[bytes]]) -> None:
        self._frames = voices[number % len(voices)]
        self._ssrc = 0x6D000000 + number
        self._next = number * 7
        self._transport: Any = None
        self.heard = 0

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, address: Any) -> None:
        if len(data) < HEADER.size or FIRST_RTCP <= data[1] <= LAST_RTCP:
            return
        self.heard += 1
        turn = self._next
        self._next += 1
        head = HEADER.pack(
            RTP_VERSION, PCMU, turn & 0xFFFF, turn * SAMPLES & 0xFFFFFFFF, self._ssrc
        )
        self._transport.sendto(head + self._frames[turn % LOOP_FRAMES], address)

    def close(self) -> None:
        self._transport.close()


class Gateway:
    """Its lines."""

    def __init__(self) -> None:
        self._voices = [voice(seed) for seed in range(8)]
        self._lines: list[Line] = []

    async def open(self, count: int) -> list[int]:
        """Open so many lines more; return their ports."""
        loop = asyncio.get_running_loop()
        ports = []
        for _ in range(count):
            line = Line(len(self._lines), self._voices)
            transport, _ = await loop.create_datagram_endpoint(lambda line=line: line, (HOST, 0))  # type: ignore[misc]
            self._lines.append(line)
            ports.append(int(transport.get_extra_info("sockname")[1]))
        return ports

    async def heard(self) -> list[int]:
        """Return how many packets came on each line so far."""
        return [line.heard for line in self._lines]

    def close(self) -> None:
        for line in self._lines:
            line.close()


async def main() -> None:
    gateway = Gateway()
    answers: dict[str, Answer] = {"open": gateway.open, "heard": gateway.heard}
    await answer_questions(answers)
    gateway.close()


if __name__ == "__main__":
    run_child(main)
