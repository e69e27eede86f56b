"""An application with many calls: asks a call service for them, and hears its notifications.

``python -m benchmarks.load.bots``, asked by `benchmarks.calls`. It speaks HTTP and nothing else: no
bot runs, so that what it costs is little beside the service.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx2

from benchmarks.processes import Answer, answer_questions, run_child
from mixminus.control.devfile import DevFile
from mixminus.control.graph.notifications import normal_id
from mixminus.control.serving import HttpsServer, Message, Receive, Scope, Send
from mixminus.control.tls import LOCAL_HOSTS, LocalAuthority, client_context

CALLS = "/v1.0/communications/calls"
TIMEOUT_S = 60.0
CONNECTIONS = 64
SIGN_IN_S = 3000.0
"""A token holds for an hour; a run that takes longer asks for another."""


class Application:
    """One application: its token, its webhook, its calls."""

    def __init__(self) -> None:
        self._exits = AsyncExitStack()
        self._dev: DevFile
        self._http: httpx2.AsyncClient
        self._callback = ""
        self._token_at_s = -SIGN_IN_S
        self._calls: list[str] = []
        self._heard: dict[tuple[str, str], float] = {}
        self._waiters: dict[tuple[str, str], asyncio.Future[float]] = {}

    async def open(self, state: str) -> None:
        """Find the service by the dev.json in *state*; open the webhook beside it."""
        self._dev = DevFile.load(Path(state))
        folder = Path(self._exits.enter_context(tempfile.TemporaryDirectory()))
        authority = LocalAuthority(self._dev.ca_file.parent)
        certificate = authority.issue(*LOCAL_HOSTS, directory=folder)
        server = HttpsServer(self._serve, certificate=certificate)
        self._callback = f"https://localhost:{await server.start()}/api/calls"
        self._exits.push_async_callback(server.stop)
        self._http = await self._exits.enter_async_context(
            httpx2.AsyncClient(
                base_url=self._dev.graph_base_url,
                verify=client_context(self._dev.ca_file),
                trust_env=False,
                timeout=TIMEOUT_S,
                limits=httpx2.Limits(max_connections=CONNECTIONS),
            )
        )

    async def create(self, number: str, count: int, at_once: int) -> dict[str, Any]:
        """Call *number* so often, *at_once* requests on their way; say how long it all took."""
        await self._sign_in()
        before, refused = len(self._calls), ""
        took_s: list[float] = []

        async def one(_: int) -> None:
            nonlocal refused
            began_s = time.perf_counter()
            reply = await self._http.post(CALLS, json=self._body(number))
            took_s.append(time.perf_counter() - began_s)
            if reply.status_code == 201:
                self._calls.append(str(reply.json()["id"]))
            else:
                refused = f"{reply.status_code}: {reply.text[:200]}"

        began_s = time.perf_counter()
        await _spread(range(count), at_once, one)
        seconds = time.perf_counter() - began_s
        made = len(self._calls) - before
        return {
            "made": made,
            "began_s": began_s,
            "seconds": seconds,
            "took_s": took_s,
            "problem": refused,
        }

    async def established(self) -> float:
        """Wait until the webhook heard of every call that it stands; return when the last did.

        Units:  seconds of this process's clock, as in ``create``.
        """
        heard = [await self._heard_at(call_id, "established") for call_id in self._calls]
        return max(heard)

    async def come_and_go(self, number: str, seconds: float, a_second: float) -> dict[str, Any]:
        """Make calls and end them at once, evenly in time; say when the webhook heard of it.

        Units:  lags_s are from sending a request to the arrival of the notification it causes.
        """
        await self._sign_in()
        loop = asyncio.get_running_loop()
        lags_s: list[float] = []
        problems: list[str] = []

        async def one() -> None:
            asked_s = time.perf_counter()
            reply = await self._http.post(CALLS, json=self._body(number))
            if reply.status_code != 201:
                problems.append(f"{reply.status_code}: {reply.text[:200]}")
                return
            call_id = str(reply.json()["id"])
            # Told of a call first: that it is being made.
            lags_s.append(await self._heard_at(call_id, "establishing") - asked_s)
            await self._heard_at(call_id, "established")
            asked_s = time.perf_counter()
            await self._http.delete(f"{CALLS}/{call_id}")
            lags_s.append(await self._heard_at(call_id, "terminated") - asked_s)

        began_s = loop.time()
        async with asyncio.TaskGroup() as tasks:
            for turn in range(round(seconds * a_second)):
                await asyncio.sleep(began_s + turn / a_second - loop.time())
                tasks.create_task(one())
        return {"lags_s": lags_s, "problem": problems[0] if problems else None}

    async def end(self, at_once: int) -> None:
        """Hang up every call, and wait until the webhook heard so."""
        await self._sign_in()

        async def one(call_id: str) -> None:
            await self._http.delete(f"{CALLS}/{call_id}")
            await self._heard_at(call_id, "terminated")

        await _spread(tuple(self._calls), at_once, one)
        self._calls.clear()

    async def _sign_in(self) -> None:
        if time.monotonic() - self._token_at_s < SIGN_IN_S:
            return
        reply = await self._http.post(
            f"{self._dev.authority}/oauth2/v2.0/token",
            data={
                "grant_type": "client_credentials",
                "client_id": self._dev.app_id,
                "client_secret": self._dev.client_secret,
                "scope": "https://graph.microsoft.com/.default",
            },
        )
        reply.raise_for_status()
        self._http.headers["Authorization"] = f"Bearer {reply.json()['access_token']}"
        self._token_at_s = time.monotonic()

    def _body(self, number: str) -> dict[str, Any]:
        instance = {"id": self._dev.application_instance_id, "displayName": "benchmark"}
        return {
            "callbackUri": self._callback,
            "source": {"identity": {"applicationInstance": instance}},
            "targets": [{"identity": {"phone": {"id": number}}}],
            "requestedModalities": ["audio"],
            "tenantId": self._dev.tenant_id,
            "mediaConfig": {"@odata.type": "#microsoft.graph.serviceHostedMediaConfig"},
        }

    async def _heard_at(self, call_id: str, state: str) -> float:
        """Wait until the webhook heard that a call is in *state*; return when (perf_counter).

        Raises: TimeoutError naming what did not come.
        """
        key = (normal_id(call_id), state)
        if (at_s := self._heard.get(key)) is not None:
            return at_s
        waiter = self._waiters.setdefault(key, asyncio.get_running_loop().create_future())
        try:
            async with asyncio.timeout(TIMEOUT_S):
                return await asyncio.shield(waiter)
        except TimeoutError:
            raise TimeoutError(f"not told within {TIMEOUT_S:g} s that a call is {state}") from None

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        body, more = b"", True
        while more:
            message: Message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        now_s = time.perf_counter()
        for item in json.loads(body)["value"]:
            path = [part for part in item["resourceUrl"].split("/") if part][2:]
            if len(path) == 1 and "state" in item["resourceData"]:
                key = (normal_id(path[0]), str(item["resourceData"]["state"]))
                self._heard.setdefault(key, now_s)
                if (waiter := self._waiters.pop(key, None)) is not None:
                    waiter.set_result(now_s)
        await send({"type": "http.response.start", "status": 202, "headers": []})
        await send({"type": "http.response.body", "body": b""})


async def _spread(
    items: Iterable[Any], at_once: int, work: Callable[[Any], Awaitable[None]]
) -> None:
    waiting = iter(items)

    async def worker() -> None:
        for item in waiting:
            await work(item)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(at_once):
            tasks.create_task(worker())


async def main() -> None:
    application = Application()
    answers: dict[str, Answer] = {
        "open": application.open,
        "create": application.create,
        "established": application.established,
        "come_and_go": application.come_and_go,
        "end": application.end,
    }
    await answer_questions(answers)


if __name__ == "__main__":
    run_child(main)
