"""A bot host's calls against a service that the test plays."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Self

from mixminus.control.client.calls import CallsClient
from mixminus.control.client.models import CallInfo, Operation, Participant, read_operation
from mixminus.control.client.requests import GraphResponse
from mixminus.control.graph.notifications import Notification, parse_envelope
from mixminus.control.host.bot import Bot
from mixminus.control.host.call import HostedCall
from mixminus.control.host.calls import Addresses, Delivery, HostCalls
from mixminus.control.host.keeping import HostKeeping
from mixminus.media.session import MediaSession
from tests.manual import ManualPlatform
from tests.session_kit import FakeTransport
from tests.support import eventually

TENANT = "aa67bd4c-8475-432d-bd41-39f255720e0a"
JOHN = "112f7296-5fa4-42ca-bae8-6a692b15d4b8"


def notification(call_id: str, **data: Any) -> Notification:
    entry = {
        "changeType": "updated",
        "resourceUrl": f"/communications/calls/{call_id.upper().replace('-', '')}",
        "resourceData": {"id": call_id, **data},
    }
    return parse_envelope({"value": [entry]})[0]


class Service(CallsClient):
    """The service's side: creates calls and confirms hang-ups, as told."""

    def __init__(self) -> None:
        self.created: list[dict[str, Any]] = []
        self.deleted: list[str] = []
        self.asked: list[str] = []
        self.known: dict[str, dict[str, Any]] = {}
        self.people: list[dict[str, Any]] = []
        self.acted: list[tuple[str, dict[str, Any]]] = []
        self.answers: dict[str, dict[str, Any]] = {}
        self.operations_now: dict[str, dict[str, Any]] = {}
        self.during_act: Callable[[str, str], None] = lambda call_id, action: None
        self.fail: Exception | None = None
        self.during_create: Callable[[str], None] = lambda call_id: None
        self.on_delete: Callable[[str], object] = lambda call_id: None
        self.gone = asyncio.Event()

    def for_tenant(self, tenant_id: str | None) -> Self:
        return self

    async def post(self, body: dict[str, Any]) -> CallInfo:
        if self.fail is not None:
            raise self.fail
        self.created.append(body)
        call_id = f"0000-000{len(self.created)}"
        self.during_create(call_id)
        await asyncio.sleep(0)
        return CallInfo.read({"id": call_id, "state": "establishing", "tenantId": TENANT})

    async def get(self, call_id: str) -> CallInfo | None:
        self.asked.append(call_id)
        if self.fail is not None:
            raise self.fail
        call = self.known.get(call_id)
        return None if call is None else CallInfo.read(call)

    async def participants(self, call_id: str) -> tuple[Participant, ...]:
        return tuple(Participant.read(raw) for raw in self.people)

    async def _act(
        self,
        call_id: str,
        action: str,
        body: Mapping[str, Any] | None = None,
        *,
        is_repeatable: bool = False,
    ) -> GraphResponse:
        if self.fail is not None:
            raise self.fail
        self.acted.append((action, dict(body or {})))
        self.during_act(call_id, action)
        return GraphResponse(202, self.answers.get(action), {})

    async def operation(self, call_id: str, operation_id: str) -> Operation:
        return read_operation(self.operations_now[operation_id])

    async def delete(self, call_id: str) -> bool:
        self.deleted.append(call_id)
        self.on_delete(call_id)
        return True

    async def keep_alive_until_gone(self, call_id: str, **_: Any) -> None:
        await self.gone.wait()


class World:
    """A host's calls, the bot and the service."""

    def __init__(self, keeping: HostKeeping | None = None) -> None:
        self.platform = ManualPlatform()
        self.service = Service()
        self.bot = Bot("test bot")
        self.calls = HostCalls(
            platform=self.platform,
            client=self.service,
            bot=self.bot,
            users={"John": JOHN},
            addresses=lambda: Addresses(
                "app", TENANT, "https://localhost:1/api/calls", "wss://localhost:1/media"
            ),
            keeping=keeping,
        )
        self.service.on_delete = lambda call_id: self.say(call_id, "terminated")

    def say(self, call_id: str, state: str, **data: Any) -> Delivery:
        return self.calls.deliver(notification(call_id, state=state, **data), TENANT)

    def tell(self, call_id: str, path: str, data: Any, change: str = "updated") -> Delivery:
        """Send a notification about something that hangs under a call."""
        entry = {
            "changeType": change,
            "resourceUrl": f"/communications/calls/{call_id}/{path}".rstrip("/"),
            "resourceData": data,
        }
        return self.calls.deliver(parse_envelope({"value": [entry]})[0], TENANT)

    def ring(self, call_id: str = "0000-9001", **members: Any) -> Delivery:
        """Have a call come in from John."""
        john = {"user": {"id": JOHN, "displayName": "John", "tenantId": TENANT}}
        data = {
            "id": call_id,
            "state": "incoming",
            "direction": "incoming",
            "tenantId": TENANT,
            "source": {"identity": john},
            **members,
        }
        return self.tell(call_id, "", data, "created")

    async def established(self) -> HostedCall:
        call = await self.calls.create(user="John")
        assert call.session is not None
        call.session.attach(FakeTransport())
        self.say(call.id, "established")
        await eventually(lambda: "established" in states(call))
        return call

    def ticked(self) -> bool:
        self.platform.tick()
        return True

    def session_of(self, call: HostedCall) -> MediaSession | None:
        assert call.session is not None
        return self.calls.session(call.session.session_id)


def states(call: HostedCall) -> list[str]:
    return [change.state.value for change in call.states]


@asynccontextmanager
async def world_of() -> AsyncIterator[World]:
    """A world, and the proof that nothing of it is left."""
    before = asyncio.all_tasks()
    world = World()
    yield world
    world.service.fail = None
    await world.calls.close()
    assert len(world.calls) == 0
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    assert not left, f"left running: {left}"
