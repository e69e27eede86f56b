"""The signalling of many callers of the echo bot, in a process of its own. Asked by `peers.echo`.

``python -m benchmarks.peers.echo_lines STATE_DIR``: registers users as `docs/rtc-signalling.md` has
it, one socket each; their media are the load generator's.
"""

from __future__ import annotations

import argparse
import asyncio
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import httpx2

from benchmarks.processes import answer_questions, run_child
from mixminus.control.demo.witness import CALLS_PATH
from mixminus.control.devfile import DevFile
from mixminus.control.host.hostfile import HostFile
from mixminus.control.rtc_client import RtcSignalling, SignallingError
from mixminus.control.tls import client_context

ANSWER_S = 60.0
TRIES = 4
BAD_GATEWAY = 502
"""What a bot's host answers when it could not reach the call service in time."""


class Lines:
    """Registered devices. The first declines the call that the echo bot makes when it starts."""

    def __init__(self, state_dir: Path, stack: AsyncExitStack) -> None:
        self._dev = DevFile.load(state_dir / "service")
        self._host = HostFile.load(state_dir / "host")
        self._context = client_context(self._dev.ca_file)
        self._http = httpx2.AsyncClient(verify=self._context, trust_env=False, timeout=ANSWER_S)
        self._stack = stack
        self._readers: list[asyncio.Task[None]] = []

    async def call(self, users: list[str], offers: list[str]) -> list[str]:
        """Let the bot call each of *users*, who answers with an offer; return its answers.

        The bot of the example takes no calls but makes them: its host is asked to, as
        `mixminus call` does.
        """
        calls = (self._call(user, offer) for user, offer in zip(users, offers, strict=True))
        return await asyncio.gather(*calls)

    async def facts(self) -> dict[str, Any]:
        """Return what service and host say of their health."""
        # The Graph API is below the service's root; /healthz stands at it.
        root = httpx2.URL(self._dev.graph_base_url).copy_with(path="/healthz")
        service, host = (
            await self._http.get(root),
            await self._http.get(self._host.url + "/healthz"),
        )
        return {"service": service.json(), "host": host.json()}

    async def decline(self, user: str) -> bool:
        """Register *user*, and decline whoever rings."""
        line = await self._register(user)
        self._read(line, declines=True)
        return True

    async def _register(self, user: str) -> RtcSignalling:
        token = self._dev.find_user(user).token
        line = await RtcSignalling.register(self._dev.rtc_url, token, self._context)
        return await self._stack.enter_async_context(line)

    async def _call(self, user: str, offer: str) -> str:
        line = await self._register(user)
        await self._make_call(user)
        async with asyncio.timeout(ANSWER_S):
            while True:
                message = await line.receive()
                match message["type"]:
                    case "ring":
                        await line.send("answer", callId=message["callId"], sdp=offer)
                    case "answered":
                        self._read(line)
                        return str(message["sdp"])
                    case "error" | "ended":
                        raise SignallingError(f"the bot was not reached: {message}")
                    case _:
                        pass

    async def _make_call(self, user: str) -> None:
        """Ask the bot's host to call *user*; a service that is busy with others is asked again."""
        for attempt in range(1, TRIES + 1):
            made = await self._http.post(
                self._host.url + CALLS_PATH,
                json={"user": user},
                headers={"Authorization": f"Bearer {self._host.token}"},
            )
            if made.status_code != BAD_GATEWAY or attempt == TRIES:
                made.raise_for_status()
                return

    def _read(self, line: RtcSignalling, *, declines: bool = False) -> None:
        """Take in what the service says of a call: unread, it would end it."""

        async def read() -> None:
            with suppress(SignallingError):
                while True:
                    message = await line.receive()
                    if declines and message["type"] == "ring":
                        await line.send("decline", callId=message["callId"])

        self._readers.append(asyncio.create_task(read()))

    async def close(self) -> None:
        for reader in self._readers:
            reader.cancel()
        await asyncio.gather(*self._readers, return_exceptions=True)
        await self._http.aclose()


async def main() -> None:
    """Answer until the asker has no more questions."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("state_dir", type=Path)
    args = parser.parse_args()
    async with AsyncExitStack() as stack:
        lines = Lines(args.state_dir, stack)
        stack.push_async_callback(lines.close)
        await answer_questions({"call": lines.call, "facts": lines.facts, "decline": lines.decline})


if __name__ == "__main__":
    run_child(main)
