"""A stage for faults: a call service and bot hosts as processes, and all ways to look at them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import httpx2

from mixminus.control.devfile import DevFile
from mixminus.control.host.hostfile import HostFile
from mixminus.control.tls import client_context
from tests.chaos.journal import Journal
from tests.chaos.processes import HostProcess, ServiceProcess, StageError
from tests.chaos.views import FileView, ServerView, View, host_rows, service_calls
from tests.postgres_kit import PostgresServer

Json: TypeAlias = dict[str, Any]

PHONE: Final = "+14255550123"
"""Picks up by itself: a script of the service's."""
LOOK_S: Final = 0.05
REQUEST_S: Final = 30.0
AT_ONCE: Final = 8
"""Requests for new calls under way at a time."""


@dataclass(frozen=True, slots=True)
class Meeting:
    """A meeting of the service's, for one call of the bot's."""

    join_url: str
    thread: str


async def wait_for(
    check: Callable[[], bool | Awaitable[bool]], timeout_s: float, look_s: float = LOOK_S
) -> float | None:
    """Wait until *check* holds; return when, on the monotonic clock, or None when it never did."""
    deadline = time.monotonic() + timeout_s
    while True:
        found = check()
        if isinstance(found, Awaitable):
            found = await found
        if found:
            return time.monotonic()
        if time.monotonic() > deadline:
            return None
        await asyncio.sleep(look_s)


class Stage:
    """One service, its hosts, and what can be seen of them. Thread: the loop's."""

    def __init__(
        self, directory: Path, states: Path, service: ServiceProcess, postgres: ServerView | None
    ) -> None:
        self.directory, self.states, self.service = directory, states, service
        self.postgres = postgres
        self.hosts: dict[str, HostProcess] = {}
        self.journals: dict[str, Journal] = {}
        self.guests: dict[str, str] = {}
        """Calls of other people, by the thread of their meeting: no host has them."""
        self._http: httpx2.AsyncClient | None = None
        self._dev: DevFile | None = None
        self._token = ""

    @property
    def dev(self) -> DevFile:
        """The service's dev.json."""
        assert self._dev is not None
        return self._dev

    @property
    def http(self) -> httpx2.AsyncClient:
        """Speaks to the service and to hosts alike: one authority vouches for both."""
        assert self._http is not None
        return self._http

    @property
    def service_view(self) -> View:
        """The store of the service."""
        return self.postgres or self.service_file

    @property
    def service_file(self) -> FileView:
        """The file of the service's own store."""
        return FileView(self.service.state_dir / "service.db")

    def host_view(self, name: str = "a") -> View:
        """The store of a host: its own, or that of all."""
        return self.postgres or FileView(self.hosts[name].state_dir / "host.db")

    async def open(self) -> None:
        """Start the service, and learn from it how it is spoken to."""
        await self.service.start()
        self._dev = DevFile.load(self.service.state_dir)
        self._http = httpx2.AsyncClient(
            verify=client_context(self._dev.ca_file), trust_env=False, timeout=REQUEST_S
        )
        await self.renew_token()

    async def renew_token(self) -> None:
        """Get an access token for what is asked of Graph here."""
        reply = await self.http.post(
            f"{self.dev.authority}/oauth2/v2.0/token",
            data={
                "grant_type": "client_credentials",
                "client_id": self.dev.app_id,
                "client_secret": self.dev.client_secret,
                "scope": "https://graph.microsoft.com/.default",
            },
        )
        self._token = str(reply.json()["access_token"])

    def add_host(self, name: str, environment: Mapping[str, str] | None = None) -> HostProcess:
        """Add a host, which is not started."""
        dev_file = self.service.state_dir / "dev.json"
        more = dict(environment or {})
        if self.postgres is not None:
            more |= {"MIXMINUS_STORE_URL": self.postgres.url, "MIXMINUS_INSTANCE": name}
        self.hosts[name] = HostProcess(name, self.directory, self.states, dev_file, more)
        self.journals[name] = Journal(self.hosts[name].journal_path)
        return self.hosts[name]

    async def close(self) -> None:
        """End all processes: hosts are not asked to drain what a fault has left them."""
        for process in (*self.hosts.values(), self.service):
            if process.is_running:
                await process.kill()
        if self._http is not None:
            await self._http.aclose()

    # What is asked of the service.

    async def graph(self, method: str, path: str, body: Json | None = None) -> httpx2.Response:
        """Send a Graph request of the application's; a token that is no longer good is renewed."""
        url = f"{self.dev.graph_base_url}/v1.0/communications{path}"
        for attempt in (1, 2):
            bearer = {"Authorization": f"Bearer {self._token}"}
            reply = await self.http.request(method, url, json=body, headers=bearer)
            if reply.status_code == 401 and attempt == 1:
                await self.renew_token()
                continue
            break
        return reply

    async def meetings(self, count: int) -> list[Meeting]:
        """Make meetings without a lobby."""
        made = []
        for number in range(count):
            reply = await self.http.post(
                f"{self.dev.graph_base_url}/mixminus/v1/meetings",
                json={"subject": f"meeting {number}", "lobby": False, "passcode": False},
                headers={"Authorization": f"Bearer {self.dev.users[0].token}"},
            )
            reply.raise_for_status()
            made.append(Meeting(reply.json()["joinUrl"], reply.json()["threadId"]))
        return made

    async def roster(self, call_id: str) -> list[str]:
        """Return the participant ids of our application in a call's roster."""
        reply = await self.graph("GET", f"/calls/{call_id}/participants")
        if reply.status_code == 404:
            return []
        reply.raise_for_status()
        people = reply.json()["value"]
        return [
            one["id"]
            for one in people
            if (one["info"]["identity"].get("application") or {}).get("id") == self.dev.app_id
        ]

    async def service_lateness(self, call_id: str) -> list[float]:
        """Return how late each tick of a call began at the service, in microseconds."""
        reply = await self.http.get(
            f"{self.dev.graph_base_url}/mixminus/v1/calls/{call_id}",
            headers={"Authorization": f"Bearer {self._token}"},
        )
        reply.raise_for_status()
        return [float(one) for one in reply.json()["latenessUs"]]

    async def is_ready(self, url: str | None = None) -> bool:
        """Ask the service, or whom *url* names, whether it takes work."""
        reply = await self.http.get(f"{url or self.dev.graph_base_url}/readyz")
        return reply.status_code == 200

    # What is asked of a host.

    async def ask(
        self, host: str, method: str, path: str = "", body: Json | None = None
    ) -> httpx2.Response:
        """Ask a host about its calls, as the commands of its machine do."""
        file = HostFile.load(self.hosts[host].state_dir)
        return await self.http.request(
            method,
            f"https://localhost:{self.hosts[host].port}/mixminus/v1/calls{path}",
            json=body,
            headers={"Authorization": f"Bearer {file.token}"},
        )

    async def join(self, host: str, meetings: Iterable[Meeting], media: str = "app") -> list[str]:
        """Have a host join meetings; return the calls' ids.

        Raises: StageError.
        """
        slots = asyncio.Semaphore(AT_ONCE)

        async def one(meeting: Meeting) -> str:
            async with slots:
                return await self.created(host, {"joinUrl": meeting.join_url, "media": media})

        return list(await asyncio.gather(*(one(meeting) for meeting in meetings)))

    async def created(self, host: str, wish: Json) -> str:
        """Have a host make a call; return its id.

        Raises: StageError with what the host said.
        """
        reply = await self.ask(host, "POST", "", wish)
        if reply.status_code != 201:
            raise StageError(f"{host} makes no call: {reply.status_code} {reply.text[:300]}")
        return str(reply.json()["callId"])

    async def engine_calls(self, host: str) -> set[str]:
        """Return the ids of the calls that live in a host."""
        reply = await self.ask(host, "GET")
        reply.raise_for_status()
        return {one["callId"] for one in reply.json()["value"] if one["state"] != "terminated"}

    async def host_lateness(self, host: str, call_id: str) -> list[float]:
        """Return how late each tick of a call began in a host, in microseconds."""
        reply = await self.ask(host, "GET", f"/{call_id}")
        reply.raise_for_status()
        return [float(one) for one in reply.json()["latenessUs"]]

    async def metric(self, host: str, name: str) -> float:
        """Return the sum of what a host tells Prometheus under *name*.

        Raises: StageError when it tells nothing.
        """
        reply = await self.http.get(f"https://localhost:{self.hosts[host].port}/metrics")
        reply.raise_for_status()
        lines = [
            line for line in reply.text.splitlines() if line.startswith((f"{name} ", name + "{"))
        ]
        if not lines:
            raise StageError(f"{host} tells no {name}")
        return sum(float(line.rpartition(" ")[2]) for line in lines)

    def complaint(self, what: str) -> StageError:
        """Return the error that *what* is not so, with what the processes said last of troubles."""
        processes = (self.service, *self.hosts.values())
        said = [line for one in processes for line in one.logged('"error"', '"warning"')]
        return StageError(f"{what}; last words: {' '.join(said[-2:])[:900] or 'none'}")

    # Comparing.

    async def ghosts(self) -> list[str]:
        """Name conversations where the application is there twice, or without a call.

        Where somebody else is in a meeting, its roster is what that one sees.
        """
        found = []
        guests = set(self.guests.values())
        by_thread: dict[str, list[str]] = {thread: [] for thread in self.guests}
        for call in service_calls(self.service_view):
            if call.call_id not in guests:
                by_thread.setdefault(call.thread or call.call_id, []).append(call.call_id)
        for thread, calls in by_thread.items():
            people = await self.roster(self.guests.get(thread) or calls[0])
            if len(calls) > 1 or len(people) > len(calls):
                found.append(f"{thread}: {len(calls)} calls, {len(people)} in the roster")
        return found

    async def differences(self, running: Iterable[str]) -> list[str]:
        """Compare the calls of the service, of the hosts' rows and of the hosts' engines."""
        names = tuple(running)
        service = {call.call_id for call in service_calls(self.service_view)}
        service -= set(self.guests.values())
        views = {id(self.postgres): self.host_view(names[0])} if self.postgres else {}
        rows = [
            row
            for view in (views.values() or [self.host_view(name) for name in names])
            for row in host_rows(view)
        ]
        store = {str(row.call_id) for row in rows}
        engines: dict[str, list[str]] = {}
        for name in names:
            for call_id in await self.engine_calls(name):
                engines.setdefault(call_id, []).append(name)
        found = [f"{one}: in the service, in no row" for one in service - store]
        found += [f"{one}: in a row, not in the service" for one in store - service]
        found += [f"{one}: in the service, in no engine" for one in service - engines.keys()]
        found += [f"{one}: in an engine, not in the service" for one in engines.keys() - service]
        found += [f"{one}: in {', '.join(at)}" for one, at in engines.items() if len(at) > 1]
        found += (
            [
                f"{row.call_id}: owned by {row.owner}, lives in {engines[str(row.call_id)][0]}"
                for row in rows
                if str(row.call_id) in engines and engines[str(row.call_id)] != [row.owner]
            ]
            if self.postgres
            else []
        )
        return sorted(found)


@asynccontextmanager
async def stage_of(
    directory: Path,
    *,
    states: Path | None = None,
    hosts: Iterable[str] = ("a",),
    postgres: PostgresServer | None = None,
    service: Mapping[str, str] | None = None,
    host: Mapping[str, str] | None = None,
) -> AsyncIterator[Stage]:
    """Start a service and hosts of those names; *service* and *host* are their variables.

    State directories are in *states*, all else in *directory*. With *postgres* all stores are one
    database there. Nothing is left running.
    """
    view = None if postgres is None else ServerView(postgres, postgres.new_database())
    environment = {
        "MIXMINUS_SERVICE_TICK_THREADS": "1",
        "MIXMINUS_SERVICE_MAX_CALLS": "5000",
        **(service or {}),
    }
    if view is not None:
        environment["MIXMINUS_SERVICE_STORE_URL"] = view.url
    where = states or directory
    stage = Stage(directory, where, ServiceProcess(directory, where, environment), view)
    async with AsyncExitStack() as exits:
        exits.push_async_callback(stage.close)
        await stage.open()
        for name in hosts:
            stage.add_host(name, host)
        await asyncio.gather(*(process.start() for process in stage.hosts.values()))
        yield stage
