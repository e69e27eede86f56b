"""The process of a bot host's sessions: echo bots over the media link, or over an ACS stream.

``python -m benchmarks.peers.session_server``, asked by `benchmarks.links`.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from fastapi import FastAPI, WebSocket

from benchmarks.processes import Answer, answer_questions, run_child
from mixminus.control.host.sockets import AsgiSocket
from mixminus.control.serving import HttpsServer
from mixminus.control.tls import LocalAuthority
from mixminus.media.platform import MediaPlatform
from mixminus.media.session import MediaSession, SessionClosedError
from mixminus.media.transports.link import LinkGrant, accept_link
from mixminus.media.transports.stream import AcsDialect, StreamTransport, open_stream

FRAME_MS = 20.0


async def echo(session: MediaSession) -> None:
    """The smallest bot that listens and speaks."""
    try:
        async for frame in session.audio:
            session.audio.send_nowait(np.asarray(frame))
    except SessionClosedError:
        return


class Sessions:
    """All sessions of one engine, each with its bot."""

    def __init__(self, platform: MediaPlatform) -> None:
        self._platform = platform
        self._sessions: dict[str, MediaSession] = {}
        self._bots: list[asyncio.Task[None]] = []
        self._ticks = 0
        self.app = FastAPI()
        self._add_routes()

    def _open(self, mp_uri: str) -> MediaSession:
        session = MediaSession(self._platform, mp_uri=mp_uri)
        self._sessions[session.session_id] = session
        self._bots.append(asyncio.create_task(echo(session)))
        return session

    def _add_routes(self) -> None:
        def grant(session_id: str) -> LinkGrant | None:
            session = self._sessions.get(session_id)
            return None if session is None else session.grant()

        @self.app.websocket("/media")
        async def media(websocket: WebSocket) -> None:
            await websocket.accept()
            admitted = await accept_link(self._platform, AsgiSocket(websocket), grant)
            for session in self._sessions.values():
                if session.grant() is not None and admitted.link is _link_of(session):
                    session.attach(admitted.link)
            await asyncio.wait([admitted.over])

        @self.app.websocket("/acs")
        async def acs(websocket: WebSocket) -> None:
            await websocket.accept()
            socket = AsgiSocket(websocket)
            stream = await open_stream(socket, AcsDialect())
            session = self._open("wss://localhost/acs")
            session.attach(StreamTransport(self._platform, session.legs.link, session, stream))
            await socket.over.wait()

    async def blobs(self, count: int, mp_uri: str) -> list[list[str]]:
        """Make sessions for links to come; return each one's id and secret."""
        made = [self._open(mp_uri) for _ in range(count)]
        secrets = [session.descriptor.link_secret or b"" for session in made]
        return [[s.session_id, key.hex()] for s, key in zip(made, secrets, strict=True)]

    async def facts(self) -> dict[str, Any]:
        """Return what the bots got and gave so far, and how long ticks took since last asked."""
        counters = [session.audio.counters() for session in self._sessions.values()]
        since, self._ticks = self._ticks, self._platform.stats().ticks
        times_ms = self._platform.tick_times_us(since) / 1000
        return {
            "sessions": len(counters),
            "received": sum(c.received for c in counters),
            "sent": sum(c.sent for c in counters),
            "tick_p99_ms": float(np.percentile(times_ms, 99)) if times_ms.size else None,
        }

    async def close(self) -> None:
        """End all."""
        for session in self._sessions.values():
            await session.close()
        await asyncio.gather(*self._bots)


def _link_of(session: MediaSession) -> object:
    grant = session.grant()
    return None if grant is None else grant.link


async def main() -> None:
    with tempfile.TemporaryDirectory(prefix="mixminus-sessions-") as folder:
        authority = LocalAuthority(Path(folder))
        async with MediaPlatform() as platform:
            sessions = Sessions(platform)
            certificate = authority.issue("localhost", directory=Path(folder))
            server = HttpsServer(sessions.app, certificate=certificate)
            port = await server.start()

            async def address() -> list[str]:
                return [f"wss://localhost:{port}", str(authority.ca_file)]

            answers: dict[str, Answer] = {
                "address": address,
                "blobs": sessions.blobs,
                "facts": sessions.facts,
            }
            await answer_questions(answers)
            await sessions.close()
            await server.stop()


if __name__ == "__main__":
    run_child(main)
