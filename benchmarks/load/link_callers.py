"""The far ends of a bot host's sessions: call services by media link, or ACS's streams.

``python -m benchmarks.load.link_callers``, asked by `benchmarks.links`. Each speaks all the time;
what comes back is counted.
"""

from __future__ import annotations

import asyncio
import base64
import json
import uuid
from pathlib import Path

import numpy as np
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from benchmarks.processes import Answer, answer_questions, run_child
from mixminus.control.tls import client_context
from mixminus.media.pcm import FRAME_SAMPLES, Pcm
from mixminus.media.pipeline import FilePlayer
from mixminus.media.platform import MediaPlatform
from mixminus.media.transports.link import ServiceLink, connect_link

PERIOD_S = 0.02
SPEECH_PEAK = 3000
SLOTS = 64


def murmur(seed: int) -> Pcm:
    """Two seconds of noise at the level of speech: no two callers say the same."""
    noise = np.random.default_rng(seed).normal(0.0, SPEECH_PEAK / 3, 100 * FRAME_SAMPLES)
    return np.clip(noise, -32768, 32767).astype(np.int16)


class LinkCallers:
    """Far ends of both kinds in one process."""

    def __init__(self, platform: MediaPlatform) -> None:
        self._platform = platform
        self._links: list[ServiceLink] = []
        self._players: list[FilePlayer] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._heard = 0
        self._sent = 0
        self._late = 0

    async def link(self, url: str, ca_file: str, sessions: list[list[str]]) -> int:
        """Connect a link to each of *sessions* (id, secret in hex), each with one who speaks."""
        trust = client_context(Path(ca_file))
        for session_id, secret in sessions:
            bridge = self._platform.create_bridge()
            leg = bridge.add_leg(1)
            voice = bridge.add_leg(2, source_slots=SLOTS, paced=True)
            seed = len(self._links)
            self._players.append(FilePlayer(self._platform, voice.source, murmur(seed), loop=True))
            self._links.append(
                await connect_link(
                    self._platform,
                    leg,
                    mp_uri=f"{url}/media",
                    session_id=session_id,
                    secret=bytes.fromhex(secret),
                    ssl_context=trust,
                )
            )
        return len(self._links)

    async def acs(self, url: str, ca_file: str, count: int) -> int:
        """Open so many streams; they speak at different moments of the 20 ms."""
        trust = client_context(Path(ca_file))
        for _ in range(count):
            socket = await connect(f"{url}/acs", ssl=trust, compression=None, proxy=None)
            await socket.send(_metadata())
            number = len(self._tasks)
            self._tasks.append(asyncio.create_task(self._speak(socket, number)))
            self._tasks.append(asyncio.create_task(self._listen(socket)))
        return len(self._tasks) // 2

    async def counts(self) -> dict[str, int]:
        """Return frames sent and heard so far, and how often a frame was sent a period late."""
        counters = [link.counters() for link in self._links]
        return {
            "sent": self._sent + sum(c["frames_out"] for c in counters),
            "heard": self._heard + sum(c["frames_in"] for c in counters),
            "late": self._late,
        }

    async def close(self) -> None:
        """Hang up."""
        for player in self._players:
            player.close()
        for link in self._links:
            await link.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _speak(self, socket: ClientConnection, number: int) -> None:
        said = murmur(number).reshape(-1, FRAME_SAMPLES)
        messages = [_audio(frame.tobytes()) for frame in said]
        loop = asyncio.get_running_loop()
        due_s = loop.time() + PERIOD_S * (number % 20) / 20
        for turn in range(10**9):
            await asyncio.sleep(max(0.0, due_s - loop.time()))
            self._late += loop.time() - due_s > PERIOD_S
            try:
                await socket.send(messages[turn % len(messages)])
            except ConnectionClosed:
                return
            self._sent += 1
            due_s += PERIOD_S

    async def _listen(self, socket: ClientConnection) -> None:
        try:
            async for _ in socket:
                self._heard += 1
        except ConnectionClosed:
            return


def _metadata() -> str:
    body = {"encoding": "PCM", "sampleRate": 16_000, "channels": 1, "length": 640}
    return json.dumps(
        {"kind": "AudioMetadata", "audioMetadata": body | {"subscriptionId": str(uuid.uuid4())}}
    )


def _audio(pcm: bytes) -> str:
    body = {"timestamp": "2026-11-21T12:00:00.000Z", "silent": False}
    data = base64.b64encode(pcm).decode()
    return json.dumps({"kind": "AudioData", "audioData": body | {"data": data}})


async def main() -> None:
    async with MediaPlatform() as platform:
        callers = LinkCallers(platform)
        answers: dict[str, Answer] = {
            "link": callers.link,
            "acs": callers.acs,
            "counts": callers.counts,
        }
        await answer_questions(answers)
        await callers.close()


if __name__ == "__main__":
    run_child(main)
