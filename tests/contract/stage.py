"""All who are in the documented examples: a service, a bot's webhook, a media server, people."""

from __future__ import annotations

import asyncio
import io
import json
import wave
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np

from mixminus.control.devfile import DevFile
from mixminus.control.service.phones import PhoneScript
from mixminus.control.service.service import CallService
from mixminus.control.service.settings import TENANT_ID
from mixminus.control.serving import HttpsServer, Message, Receive, Scope, Send
from mixminus.control.store.base import MeetingRow
from mixminus.control.store.sqlite import SqliteStore
from mixminus.control.tls import LOCAL_HOSTS, LocalAuthority
from tests.service_kit import (
    GOOD_SDP,
    FakeMedia,
    GraphHttp,
    Phone,
    Receiver,
    phone_of,
    running_service,
)
from tests.support import eventually

BOB = "5810cede-f3cc-42eb-b2c1-e9bd5d53ec96"
NUMBER = "+12345678901"
THREAD = "19:meeting_Win6Ydo4wsMijFjZS00ZGVjLTk5MGUtOTRjNWY2NmNkYTFm@thread.v2"
SECOND_THREAD = "19:meeting_Win6Ydo4wsMijFjZS00ZGVjLTk5MGUtOTRjNNkYTFm@thread.v2"
WAIT_S = 20.0
"""For what comes at once: a deadline for machines that are busy with something else."""
CHANNEL = "19:cbee7c1c860e465f8258e3cebf7bee0d@thread.skype"


def tone_wav(length_ms: int = 200) -> bytes:
    """A prompt: 440 Hz as the documentation wants it, WAV, one channel, 16 bit, 16 kHz."""
    samples = np.round(8000 * np.sin(2 * np.pi * 440 * np.arange(16 * length_ms) / 16_000))
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(samples.astype("<i2").tobytes())
    return buffer.getvalue()


class Cdn:
    """A media server of somebody's: a real HTTPS server, the same short tone at every path."""

    def __init__(self, state_dir: Path) -> None:
        certificate = LocalAuthority(state_dir).issue(*LOCAL_HOSTS)
        self._server = HttpsServer(self._serve, certificate=certificate)
        self._body = tone_wav()
        self.asked: list[str] = []
        self.url = ""

    async def __aenter__(self) -> Self:
        self.url = f"https://localhost:{await self._server.start()}"
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._server.stop()

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        self.asked.append(scope["path"])
        headers = [(b"content-type", b"audio/wav")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        body: Message = {"type": "http.response.body", "body": self._body}
        await send(body)


@dataclass
class Person:
    """A user with a device that takes every call, and what it was told."""

    phone: Phone
    heard: list[dict[str, Any]] = field(default_factory=list)

    async def attend(self) -> None:
        async for text in self.phone.socket:
            message = json.loads(text)
            self.heard.append(message)
            if message["type"] == "ring":
                await self.phone.send(type="answer", callId=message["callId"], sdp=GOOD_SDP)

    async def told(self, kind: str) -> dict[str, Any]:
        """Wait for a message of that type; return the last one."""
        await eventually(
            lambda: any(m["type"] == kind for m in self.heard),
            WAIT_S,
            what=f"{kind}; came: {[m['type'] for m in self.heard]}",
        )
        return next(m for m in reversed(self.heard) if m["type"] == kind)

    async def join(self, thread_id: str) -> str:
        """Join a meeting; return what the signalling calls it."""
        await self.phone.send(type="join", threadId=thread_id, sdp=GOOD_SDP)
        joined = await self.told("joined")
        await self.told("answered")
        return str(joined["callId"])

    async def leave(self) -> None:
        """Leave every call: a device that only vanishes may come back, and is waited for."""
        open_calls = [m["callId"] for m in self.heard if m["type"] in ("ring", "joined", "calling")]
        for call_id in set(open_calls) - self._over():
            await self.phone.send(type="hangup", callId=call_id)
        await eventually(lambda: set(open_calls) <= self._over(), WAIT_S, "all calls to be over")

    def _over(self) -> set[str]:
        return {m["callId"] for m in self.heard if m["type"] in ("ended", "cancelled", "error")}


@dataclass
class Stage:
    """A service with everything that the examples name."""

    service: CallService
    graph: GraphHttp
    receiver: Receiver
    cdn: Cdn
    media: FakeMedia

    @property
    def dev(self) -> DevFile:
        return self.service.dev_file

    @property
    def hosts(self) -> dict[str, str]:
        """What our addresses begin with, and what the documentation's do."""
        return {
            self.receiver.url: "https://bot.contoso.com/callback",
            self.cdn.url: "https://cdn.contoso.com",
            self.dev.graph_base_url: "https://graph.microsoft.com",
        }

    def localised(self, document: Any) -> Any:
        """Return a documented body with our addresses for the documentation's."""
        text = json.dumps(document)
        for ours, documented in self.hosts.items():
            text = text.replace(documented, ours)
        return json.loads(text)

    def notifications(self, call_id: str) -> list[dict[str, Any]]:
        """Return what the bot was told of one call: each item of each body, in order."""
        return [
            item
            for body in self.receiver.taken
            for item in body["value"]
            if f"/calls/{call_id}" in item["resourceUrl"]
        ]

    def kinds(self, call_id: str) -> list[str]:
        """Return what kinds of notifications those were."""
        return [kind_of(item) for item in self.notifications(call_id)]

    async def told(self, call_id: str, *kinds: str) -> None:
        """Wait until the bot has been told all *kinds*."""
        await eventually(
            lambda: set(kinds) <= set(self.kinds(call_id)),
            WAIT_S,
            what=f"{kinds}; came: {self.kinds(call_id)}",
        )

    async def has_media(self, call_id: str) -> None:
        """Wait until the bot has been told that the call's media are active."""
        await eventually(
            lambda: any("mediaState" in kind for kind in self.kinds(call_id)),
            WAIT_S,
            what=f"media; came: {self.kinds(call_id)}",
        )

    async def hang_up(self, call_id: str) -> None:
        """End a call, if it is not over, and wait until the bot knows."""
        await self.graph.http.delete(f"/v1.0/communications/calls/{call_id}")
        await self.told(call_id, "deleted call terminated")

    @asynccontextmanager
    async def person(self, name: str) -> AsyncIterator[Person]:
        """Let a user of the directory have a device that takes every call."""
        async with phone_of(self.dev, name) as phone:
            person = Person(phone)
            attending = asyncio.create_task(person.attend(), name=f"{name} attends")
            try:
                yield person
            finally:
                await person.leave()
                attending.cancel()
                await asyncio.gather(attending, return_exceptions=True)


def kind_of(item: dict[str, Any]) -> str:
    """Name a notification: its change, its resource, and a call's state or what else came."""
    parts = item["resourceUrl"].strip("/").split("/")
    data = item["resourceData"]
    if len(parts) == 3:
        extra = [name for name in ("mediaState", "toneInfo") if data.get(name) is not None]
        return f"{item['changeType']} call {'+'.join([data.get('state') or '', *extra]).strip('+')}"
    if parts[3].casefold() == "operations":
        return f"{item['changeType']} {data['@odata.type'].rpartition('.')[2]}"
    return f"{item['changeType']} {parts[3].casefold()}"


@asynccontextmanager
async def staged(
    directory: Path, *, roles: Iterable[str] | None = None, **settings: Any
) -> AsyncIterator[Stage]:
    """Run a service that knows the examples' meetings, phone number and application instance."""
    store = await SqliteStore.open(directory / "service.db")
    for row in meetings():
        await store.add_meeting(row)
    await store.close()
    if roles is not None:
        settings["app_roles"] = tuple(roles)
    settings.setdefault("phones", (PhoneScript(number=NUMBER),))
    media = FakeMedia()
    async with (
        Receiver(directory) as receiver,
        Cdn(directory) as cdn,
        running_service(directory, media, **settings) as service,
        GraphHttp(service.dev_file) as graph,
    ):
        yield Stage(service, graph, receiver, cdn, media)


def meetings() -> list[MeetingRow]:
    """The meetings of the examples: scheduled with and without a passcode, and in a channel."""

    def row(thread: str, message: str, join_id: str, passcode: str | None) -> MeetingRow:
        return MeetingRow(
            thread_id=thread,
            message_id=message,
            tenant_id=TENANT_ID,
            organizer_id=BOB,
            organizer_name="Bob",
            subject="Documented",
            join_meeting_id=join_id,
            passcode=passcode,
            join_url="https://teams.microsoft.com/l/meetup-join/documented",
            lobby=True,
            allow_without_host=True,
            is_ad_hoc=False,
            created_at="2026-01-01T00:00:00Z",
        )

    return [
        row(THREAD, "0", "1234567", "psw123"),
        row(SECOND_THREAD, "0", "7654321", None),
        row(CHANNEL, "1533758867081", "1112223", None),
    ]
