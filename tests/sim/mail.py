"""The way between a notifier and a webhook, as bad as it may be: seeded, in virtual time.

Posts and replies are lost, come late, twice, and after later ones.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from mixminus.control.service.outbound import OutboundError, Reply
from mixminus.control.serving import AsgiApp, Message


@dataclass(frozen=True, slots=True)
class Weather:
    """How often what goes wrong, as shares of all posts, and how long the way is, in seconds."""

    lost: float = 0.10
    """Half of them on the way there; of the others the reply is lost, so that they come twice."""
    late: float = 0.02
    """Posts that the sender has given up when they arrive, after later ones."""
    doubled: float = 0.10
    """Posts of which a copy comes some seconds later."""
    swallowed: float = 0.0
    """Posts that are answered 202 on the way and never arrive: what no sender can make good."""
    way_s: float = 0.2
    late_s: float = 30.0
    copy_s: float = 8.0


@dataclass
class Letter:
    """A post as it is on its way."""

    body: bytes
    headers: list[tuple[bytes, bytes]] = field(repr=False)


class Mail:
    """Takes the place of the service's way out, and posts to an application in this process."""

    def __init__(self, app: AsgiApp, path: str, chance: random.Random, weather: Weather) -> None:
        self._app, self._path, self._chance, self._weather = app, path, chance, weather
        self._copies: set[asyncio.Task[int]] = set()
        self.happened: Counter[str] = Counter()
        self.statuses: Counter[int] = Counter()

    async def post(
        self, url: str, body: bytes | str, headers: Mapping[str, str], timeout_s: float
    ) -> Reply:
        """Post as :meth:`Outbound.post` does. Raises: OutboundError when no reply comes."""
        raw = body.encode() if isinstance(body, str) else body
        pairs = [(name.lower().encode(), text.encode()) for name, text in headers.items()]
        letter = Letter(raw, pairs)
        weather, chance = self._weather, self._chance
        self.happened["posts"] += 1
        await asyncio.sleep(chance.uniform(0.0, weather.way_s))
        what = chance.random()
        if what < weather.lost / 2:
            self.happened["lost on the way"] += 1
            await self._no_reply(timeout_s)
        if chance.random() < weather.swallowed:
            self.happened["swallowed"] += 1
            return Reply(202, "", b"", is_cut=False)
        if weather.lost <= what < weather.lost + weather.late:
            self.happened["late"] += 1
            self._again(letter, timeout_s + chance.uniform(0.0, weather.late_s))
            await self._no_reply(timeout_s)
        if chance.random() < weather.doubled:
            self.happened["doubled"] += 1
            self._again(letter, chance.uniform(0.0, weather.copy_s))
        status = await self._hand(letter)
        if what < weather.lost:
            self.happened["reply lost"] += 1
            await self._no_reply(timeout_s)
        return Reply(status, "", b"", is_cut=False)

    async def settle(self) -> None:
        """Wait until all that was still on its way has arrived."""
        while self._copies:
            await asyncio.gather(*self._copies)

    async def _no_reply(self, timeout_s: float) -> None:
        # Either end may find out at once (a reset), or only by waiting.
        await asyncio.sleep(self._chance.choice((0.0, timeout_s)))
        raise OutboundError("timed out")

    def _again(self, letter: Letter, after_s: float) -> None:
        async def later() -> int:
            await asyncio.sleep(after_s)
            return await self._hand(letter)

        task = asyncio.create_task(later())
        self._copies.add(task)
        task.add_done_callback(self._copies.discard)

    async def _hand(self, letter: Letter) -> int:
        status = await post_to(self._app, self._path, letter.headers, letter.body)
        self.statuses[status] += 1
        return status


async def post_to(app: AsgiApp, path: str, headers: list[tuple[bytes, bytes]], body: bytes) -> int:
    """Post to an application without a socket; return the status."""
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "https",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [*headers, (b"content-length", str(len(body)).encode())],
        "client": ("192.0.2.1", 40_000),
        "server": ("localhost", 443),
    }
    parts: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
    status = 0

    async def receive() -> Message:
        if parts:
            return parts.pop()
        gone: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        return await gone

    async def send(message: Message) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = int(message["status"])

    await app(scope, receive, send)
    return status
