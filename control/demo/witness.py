"""What the bot host and the call service of a demo know of its one call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2

from mixminus.control.client.tokens import ClientCredentials
from mixminus.control.devfile import DevFile
from mixminus.control.host.hostfile import HostFile
from mixminus.control.tls import client_context

POLL_S = 0.25
SETTLE_S = 5.0
CALLS_PATH = "/mixminus/v1/calls"


class Witness:
    """Asks both, over their own APIs, with the credentials that they wrote down.

    Raises: httpx2.HTTPError from each question when the process asked is gone.
    """

    def __init__(self, service_state: Path, host_state: Path) -> None:
        self._dev = DevFile.load(service_state)
        self._host = HostFile.load(host_state)
        context = client_context(self._dev.ca_file)
        self._http = httpx2.AsyncClient(verify=context, trust_env=False, timeout=10.0)

    async def close(self) -> None:
        """Close its connections."""
        await self._http.aclose()

    async def call(self) -> dict[str, Any]:
        """Return what the bot host says of its call in a few words; empty before it made one."""
        listed = await self._get(self._host.url + CALLS_PATH, self._host.token)
        calls: list[dict[str, Any]] = listed["value"]
        return calls[0] if calls else {}

    async def over(self) -> dict[str, Any]:
        """Wait until the bot host's call has ended, and return what it says of it."""
        return await self._until(self.call, lambda call: call.get("state") == "terminated")

    async def both(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the reports of service and host, once both saw the call's end or after 5 s."""
        call_id = (await self.call()).get("callId")
        if call_id is None:
            return {}, {}
        path = f"{CALLS_PATH}/{call_id}"
        token = await self._application_token()

        async def ask_service() -> dict[str, Any]:
            return await self._get(self._dev.graph_base_url + path, token)

        async def ask_host() -> dict[str, Any]:
            return await self._get(self._host.url + path, self._host.token)

        service = await self._until(
            ask_service,
            lambda r: r["state"] == "terminated" and not r["notifications"]["pending"],
            SETTLE_S,
        )
        host = await self._until(ask_host, lambda r: r["state"] == "terminated", SETTLE_S)
        return service, host

    async def _get(self, url: str, token: str) -> dict[str, Any]:
        answer = await self._http.get(url, headers={"Authorization": f"Bearer {token}"})
        answer.raise_for_status()
        parsed: dict[str, Any] = answer.json()
        return parsed

    async def _application_token(self) -> str:
        dev = self._dev
        credentials = ClientCredentials(
            dev.authority, dev.app_id, dev.client_secret, ca_file=dev.ca_file
        )
        try:
            return await credentials.token()
        finally:
            await credentials.close()

    @staticmethod
    async def _until(
        ask: Callable[[], Any], done: Callable[[dict[str, Any]], bool], timeout_s: float = 1e9
    ) -> dict[str, Any]:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while True:
            answer: dict[str, Any] = await ask()
            if done(answer) or loop.time() > deadline:
                return answer
            await asyncio.sleep(POLL_S)
