"""A whole bot host in virtual time: its webhook without a socket, its bot keeping a journal."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from pydantic import SecretStr

from mixminus.control.client.models import ToneInfo
from mixminus.control.client.webhook import TokenValidator
from mixminus.control.graph.notifications import normal_id
from mixminus.control.host import Bot, BotHost, HostedCall
from mixminus.control.operation.operation import Operation
from mixminus.control.operation.settings import OperationSettings
from mixminus.control.service.keys import SigningKey
from mixminus.control.settings import HostSettings
from mixminus.media.platform import MediaPlatform
from tests.sim.still_loop import threads_work
from tests.sim.telephony import APP, TENANT

GRAPH = "https://graph.example"
ISSUER = f"{GRAPH}/v1"
EARLY_S = 40.0


class Keys:
    """The one key that notifications are signed with."""

    def __init__(self, key: SigningKey) -> None:
        self._key = key

    async def get(self, kid: str) -> RSAPublicKey | None:
        return self._key._public if kid == self._key.key_id else None


class Tokens:
    """An authority that never fails."""

    async def token(self, *, tenant_id: str | None = None, refresh: bool = False) -> str:
        return "a token"


class BotJournal:
    """What the bot was told, by call: the receiver's journal at its very end."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.rung: Counter[str] = Counter()
        self.run: Counter[str] = Counter()
        self.ended_at_s: dict[str, float] = {}
        self.ends: dict[str, str] = {}
        """Why each call was over when the bot's handler ended."""
        self.tones: dict[str, list[int]] = {}
        self.people: dict[str, int] = {}

    def bot(self) -> Bot:
        """Return a bot that answers, listens, and hangs up on a third of the calls."""
        bot = Bot("simulated")

        @bot.on_incoming_call
        async def ring(call: HostedCall) -> None:
            self.rung[normal_id(call.id)] += 1
            await call.answer(media="service")

        @bot.on_call
        async def run(call: HostedCall) -> None:
            self.run[normal_id(call.id)] += 1
            try:
                if self._chance.random() < 1 / 3:
                    await asyncio.sleep(self._chance.uniform(0.0, EARLY_S))
                    return
                await call.wait_ended()
            finally:
                self.ended_at_s[normal_id(call.id)] = asyncio.get_running_loop().time()
                self.ends[normal_id(call.id)] = call.end_reason or "hung up by the bot"

        @bot.on_tone
        async def tone(call: HostedCall, heard: ToneInfo) -> None:
            self.tones.setdefault(normal_id(call.id), []).append(heard.sequence_id or 0)

        @bot.on_participants
        async def people(call: HostedCall) -> None:
            self.people[normal_id(call.id)] = len(call.participants)

        return bot


@asynccontextmanager
async def running_host(
    folder: Path,
    bot: Bot,
    key: SigningKey,
    answer: Callable[[httpx2.Request], Awaitable[httpx2.Response]],
    **settings: Any,
) -> AsyncIterator[BotHost]:
    """Run a host whose Graph is *answer*: no socket of it is used."""
    chosen = HostSettings(
        tenant_id=TENANT,
        app_id=APP,
        client_secret=SecretStr("a secret of this test"),
        graph_base_url=GRAPH,
        notification_issuers=(ISSUER,),
        state_dir=folder,
        **settings,
    )
    # How busy this process is says nothing in virtual time: nobody is turned away for it.
    platform = MediaPlatform(1)
    operation = Operation(OperationSettings(admission=False), platform)
    host = BotHost(bot, chosen, platform=platform, operation=operation)
    host.validator = TokenValidator(Keys(key), audience=APP, issuers=(ISSUER,))
    host._graph._tokens = Tokens()
    own = host._graph._http
    host._graph._http = httpx2.AsyncClient(transport=httpx2.MockTransport(answer))  # type: ignore[arg-type]
    await own.aclose()
    async with AsyncExitStack() as exits:
        with threads_work():
            await exits.enter_async_context(platform)
            await exits.enter_async_context(operation)
            await host.__aenter__()
        try:
            yield host
        finally:
            with threads_work():
                await host.__aexit__(None, None, None)
