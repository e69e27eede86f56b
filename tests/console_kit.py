"""A console with a source of its own, served for a test; what its tests share."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx2
from websockets.asyncio.client import ClientConnection, connect

from mixminus.control.console.console import Console
from mixminus.control.console.models import (
    BotView,
    CallDetail,
    CallRow,
    CaptureDetail,
    CaptureView,
    Engine,
    MeetingView,
    Person,
    PluginKind,
    PluginView,
    RecordingFile,
    RecordingView,
    Side,
    UserSession,
    UserView,
)
from mixminus.control.console.settings import ConsoleSettings
from mixminus.control.console.source import AudioFile, ConsoleRefusedError
from mixminus.control.console.wishes import (
    CallWish,
    MeetingWish,
    PluginChange,
    PluginWish,
    RouteWish,
)
from mixminus.control.journal import Journal
from mixminus.control.serving import AsgiApp, Receive, Scope, Send

_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Made once: each client would read the machine's roots, for plain HTTP."""
TOKEN = "a-token-of-tests-0123456789"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


def row(call_id: str = "call-1", **over: Any) -> CallRow:
    """Make a row."""
    values: dict[str, Any] = {
        "id": call_id,
        "call_ids": (f"{call_id}-graph",),
        "kind": "call",
        "sides": ("service",),
        "state": "established",
        "title": "Adele Vance",
        "started_at": "2026-11-21T22:00:00.000Z",
        "people": 2,
        "legs": (f"s:{call_id}",),
    }
    return CallRow(**{**values, **over})


def engine(**over: Any) -> Engine:
    """Make a second of an engine."""
    values: dict[str, Any] = {
        "at": "2026-11-21T22:00:00.000Z",
        "ticks_per_s": 50.0,
        "late_ticks": 0,
        "skipped_ticks": 0,
        "lateness_p50_ms": 0.1,
        "lateness_p99_ms": 0.2,
        "lateness_max_ms": 0.3,
        "busy_ratio": 0.01,
        "legs": 2,
        "calls": 1,
        "tick_threads": 1,
        "scheduling": "nice",
        "isa": "scalar",
    }
    return Engine(**{**values, **over})


@dataclass
class FakeSource:
    """A source that shows what it is given, and notes what it is asked to do."""

    side: Side = "service"
    calls: list[CallRow] = field(default_factory=lambda: [row()])
    actions: tuple[Any, ...] = ("hangUp", "mute", "placeBot", "setRoute", "addPlugin")
    done: list[tuple[Any, ...]] = field(default_factory=list)
    levels: dict[str, tuple[int, int]] = field(default_factory=lambda: {"s:call-1": (-20, -127)})
    people: tuple[Person, ...] = ()
    recorded: tuple[RecordingView, ...] = ()
    captured: tuple[CaptureView, ...] = ()
    files: dict[str, Path] = field(default_factory=dict)
    known_bots: tuple[BotView, ...] = ()
    join: dict[str, Any] | None = None
    looks: int = 0
    broken: Exception | None = None

    def rows(self) -> Sequence[CallRow]:
        self.looks += 1
        if self.broken is not None:
            raise self.broken
        return tuple(self.calls)

    def detail(self, call_id: str) -> CallDetail | None:
        for each in self.calls:
            if call_id in (each.id, *each.call_ids):
                return CallDetail(
                    row=each,
                    roster=self.people,
                    actions=self.actions,
                    recordings=self.recorded,
                    join=self.join,
                )
        return None

    def meters(self, call_ids: Collection[str] | None) -> dict[str, tuple[int, int]]:
        if call_ids is None:
            return dict(self.levels)
        legs = {leg for each in self.calls if each.id in call_ids for leg in each.legs}
        return {leg: level for leg, level in self.levels.items() if leg in legs}

    def engine(self) -> Engine:
        return engine(calls=len(self.calls))

    def users(self) -> Sequence[UserView]:
        return (UserView(id="u-1", name="Adele Vance"),) if self.side == "service" else ()

    def user_session(self, user_id: str) -> UserSession:
        if user_id != "u-1":
            raise ConsoleRefusedError.not_found(f"no user {user_id}")
        return UserSession(user_id="u-1", name="Adele Vance", token="token-of-adele")

    async def bots(self) -> Sequence[BotView]:
        return self.known_bots

    async def meetings(self) -> Sequence[MeetingView]:
        return ()

    async def plugin_kinds(self) -> Sequence[PluginKind]:
        return (PluginKind(name="agc", streams=("inbound",)),)

    async def recordings(self) -> Sequence[RecordingView]:
        return self.recorded

    async def peaks(self, recording_id: str, name: str, bins: int) -> Sequence[tuple[int, int]]:
        return [(-1, 1)] * bins

    async def audio(self, recording_id: str, name: str) -> AudioFile:
        if name not in self.files:
            raise ConsoleRefusedError.not_found("no such file")
        return AudioFile(self.files[name], "audio/wav")

    async def captures(self) -> Sequence[CaptureView]:
        return self.captured

    async def capture(self, capture_id: str, after: int | None, most: int) -> CaptureDetail:
        for each in self.captured:
            if each.id == capture_id:
                return CaptureDetail(capture=each, header={}, total=0)
        raise ConsoleRefusedError.not_found("no such capture")

    async def create_call(self, wish: CallWish) -> str:
        if self.side == "service":
            raise ConsoleRefusedError.not_possible("a bot host makes calls")
        self.done.append(("create_call", wish))
        return "call-2"

    async def create_meeting(self, wish: MeetingWish) -> MeetingView:
        self.done.append(("create_meeting", wish))
        return MeetingView(id="t", subject=wish.subject, join_url="https://localhost/join")

    async def hang_up(self, call_id: str) -> None:
        self.done.append(("hang_up", call_id))

    async def send_tones(self, call_id: str, tones: str) -> None:
        self.done.append(("send_tones", call_id, tones))

    async def mute(self, call_id: str, participant_id: str) -> None:
        self.done.append(("mute", call_id, participant_id))

    async def unmute(self, call_id: str, participant_id: str) -> None:
        self.done.append(("unmute", call_id, participant_id))

    async def admit(self, call_id: str, participant_id: str) -> None:
        self.done.append(("admit", call_id, participant_id))

    async def remove(self, call_id: str, participant_id: str) -> None:
        self.done.append(("remove", call_id, participant_id))

    async def invite(self, call_id: str, user: str) -> None:
        self.done.append(("invite", call_id, user))

    async def set_route(self, call_id: str, wish: RouteWish) -> None:
        self.done.append(("set_route", call_id, wish))

    async def set_plugin(self, call_id: str, key: str, change: PluginChange) -> PluginView:
        self.done.append(("set_plugin", call_id, key, change))
        return PluginView(key=key, side=self.side, name="agc", stream="inbound", schema={})

    async def add_plugin(self, call_id: str, wish: PluginWish) -> Sequence[PluginView]:
        self.done.append(("add_plugin", call_id, wish))
        return ()

    async def remove_plugin(self, call_id: str, key: str) -> None:
        self.done.append(("remove_plugin", call_id, key))

    async def place_bot(self, call_id: str, bot: str) -> str:
        if self.side == "service" and not any(each.can_be_called for each in self.known_bots):
            raise ConsoleRefusedError.not_possible("that bot has no webhook")
        self.done.append(("place_bot", call_id, bot))
        return "call-3"

    async def start_recording(self, call_id: str) -> RecordingView:
        self.done.append(("start_recording", call_id))
        return self.recorded[0]

    async def stop_recording(self, call_id: str) -> None:
        self.done.append(("stop_recording", call_id))


def recording(name: str = "mixed.wav") -> RecordingView:
    """Make a recording of one file."""
    file = RecordingFile(name=name, kind="mixed", format="wav", size_bytes=10)
    return RecordingView(
        id="s:rec", side="service", title="A", started_at="2026-11-21T22:00:00Z", files=(file,)
    )


async def role(scope: Scope, receive: Receive, send: Send) -> None:
    """Stand for a role's own application: it says that it was reached, and by what path."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": f"role {scope['path']}"})
        await send({"type": "websocket.close", "code": 1000})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": f"role {scope['path']}".encode()})


@dataclass
class Served:
    """A console that is served over plain HTTP on this machine."""

    console: Console
    source: FakeSource
    journal: Journal
    http: httpx2.AsyncClient
    app: AsgiApp
    """What the role's HTTPS server would have."""
    origin: str

    def afresh(self, source: FakeSource) -> Self:
        """Begin the next test: the source shows and does what *source* does, nobody has guessed."""
        for name in source.__dataclass_fields__:
            setattr(self.source, name, getattr(source, name))
        self.console._parts.sign_ins._wrong.clear()
        return self

    async def get(self, path: str, **over: Any) -> httpx2.Response:
        """Ask with the token."""
        return await self.http.get(path, headers={**BEARER, **over})

    async def send(
        self, method: str, path: str, body: Any = None, /, **over: Any
    ) -> httpx2.Response:
        """Change something with the token, as the page does."""
        headers = {**BEARER, "Origin": self.origin, "Content-Type": "application/json"}
        content = b"" if body is None else json.dumps(body).encode()
        return await self.http.request(method, path, content=content, headers=headers | over)

    @asynccontextmanager
    async def live(self, hello: dict[str, Any] | None = None) -> AsyncIterator[LiveLine]:
        """Look on, greeted with the token."""
        url = self.origin.replace("http://", "ws://") + "/console/api/live"
        async with connect(url, origin=self.origin, proxy=None, compression=None) as socket:  # type: ignore[arg-type]
            await socket.send(json.dumps(hello or {"type": "hello", "token": TOKEN}))
            yield LiveLine(socket)


@dataclass
class LiveLine:
    """The page's end of the live feed."""

    socket: ClientConnection
    unread: list[dict[str, Any]] = field(default_factory=list)

    async def next(self, kind: str) -> dict[str, Any]:
        """Return the next message of that kind; those of other kinds are kept for later."""
        for kept in self.unread:
            if kept["type"] == kind:
                self.unread.remove(kept)
                return kept
        async with asyncio.timeout(30):
            while True:
                message: dict[str, Any] = json.loads(await self.socket.recv())
                if message["type"] == kind:
                    return message
                self.unread.append(message)

    async def say(self, **message: Any) -> None:
        """Send a message."""
        await self.socket.send(json.dumps(message))


@asynccontextmanager
async def served(
    state_dir: Path, source: FakeSource | None = None, **settings: Any
) -> AsyncIterator[Served]:
    """Serve a console with *source* for the call service's side."""
    source = source or FakeSource()
    console = Console(ConsoleSettings(**{"token": TOKEN, "http_port": 0, **settings}), state_dir)
    journal = Journal("service")
    app = console.join(source, journal, role, url=lambda: "https://localhost:8443")
    try:
        async with console:
            origin = console.url.removesuffix("/console")
            async with httpx2.AsyncClient(base_url=origin, trust_env=False, verify=_NO_TLS) as http:
                yield Served(console, source, journal, http, app, origin)
    finally:
        await console.leave("service")
