"""Telling a mixminus service where its incoming calls are to be told.

At graph.microsoft.com the registration of the bot has it; here the bot says it at its start.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import quote

from ..client.requests import GraphClient, GraphConnectionError, GraphRequestError
from ..client.tokens import TokenError

log = logging.getLogger("mixminus.control.host")

FIRST_WAIT_S: Final = 0.5
LONGEST_WAIT_S: Final = 30.0


class WebhookRegistration:
    """One application's webhook at one service. *sleep* is for tests. Thread: the loop's."""

    def __init__(
        self,
        graph: GraphClient,
        app_id: str,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._graph = graph
        self._path = f"/mixminus/v1/apps/{quote(app_id, safe='')}/webhook"
        self._sleep = sleep
        self._again: asyncio.Task[None] | None = None

    async def start(self, callback_uri: str) -> None:
        """Register *callback_uri*; a service that is not there yet is tried again until it is."""
        if not await self._register(callback_uri):
            self._again = asyncio.create_task(self._keep_trying(callback_uri), name="webhook")

    async def again(self, callback_uri: str) -> None:
        """Register once more, in the place of what is still being tried: another host is gone."""
        await self.close()
        await self.start(callback_uri)

    async def close(self) -> None:
        """Try no more. Again is no error."""
        if self._again is not None:
            self._again.cancel()
            await asyncio.gather(self._again, return_exceptions=True)

    async def _keep_trying(self, callback_uri: str) -> None:
        wait_s = FIRST_WAIT_S
        while True:
            await self._sleep(wait_s)
            if await self._register(callback_uri):
                return
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)

    async def _register(self, callback_uri: str) -> bool:
        """Register; False when that may work later. A refusal is final, and logged."""
        try:
            await self._graph.request_service("PUT", self._path, {"callbackUri": callback_uri})
        except GraphRequestError as exc:
            log.error("incoming calls cannot come here: %s", exc)  # noqa: TRY400 - no bug of ours
            return exc.status < 500 and exc.status != 429
        except (GraphConnectionError, TokenError) as exc:
            log.warning("incoming calls cannot come here yet: %s", exc)
            return False
        return True
