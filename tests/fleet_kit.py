"""Bot hosts beside each other in one process: one store in memory, one service, virtual time."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Self

from mixminus.control.client.models import CallInfo, Participant
from mixminus.control.client.requests import GraphRequestError
from mixminus.control.host.bot import Bot
from mixminus.control.host.calls import Addresses, HostCalls
from mixminus.control.host.fleet.fleet import HostFleet
from mixminus.control.host.fleet.gate import GraphGate
from mixminus.control.host.inbox import CallInbox
from mixminus.control.host.keeping import HostKeeping
from mixminus.control.host.rejoin import Rejoin
from mixminus.control.host.webhook_counters import WebhookCounters
from mixminus.control.journal import Journal
from mixminus.control.operation.admission import Admission
from mixminus.control.operation.settings import OperationSettings
from mixminus.control.store.base import StoreAwayError
from mixminus.control.store.host_base import (
    HostCallRow,
    Inbound,
    InboxRow,
    InstanceRow,
    Receipt,
    RequestRow,
    StaleOwnerError,
)
from mixminus.media.descriptor import read_lineage
from mixminus.media.fence import Fence
from tests.host_kit import TENANT, Service
from tests.manual import ManualPlatform

MEETING = {
    "chatInfo": {"threadId": "19:meeting_x@thread.v2", "messageId": "0"},
    "meetingInfo": {
        "@odata.type": "#microsoft.graph.organizerMeetingInfo",
        "organizer": {"user": {"id": "5810cede-f3cc-42eb-b2c1-e9bd5d53ec96"}},
    },
}


def call_row(lineage: str = "l1", **members: Any) -> HostCallRow:
    """Return the row of an established call in a meeting, of host ``a``, as *members* say."""
    standard: dict[str, Any] = {
        "lineage": lineage,
        "epoch": 1,
        "owner": "a",
        "app_id": "app",
        "tenant_id": TENANT,
        "call_id": f"old-{lineage}",
        "media": "app",
        "state": "established",
        "is_over": False,
        "resource": {},
        "peer": {"id": "m", "displayName": "a meeting"},
        "joining": {"kind": "join", "body": MEETING, "inDefaultMix": True},
    }
    return HostCallRow(**{**standard, **members})


def instance_row(instance: str, **members: Any) -> InstanceRow:
    """Return an instance's row, as *members* say."""
    standard: dict[str, Any] = {
        "incarnation": "1",
        "url": f"https://{instance}.test",
        "capacity": 100,
        "load": 0.0,
        "calls": 0,
        "is_draining": False,
        "beat": 0,
    }
    return InstanceRow(instance, **{**standard, **members})


@dataclass
class Tables:
    """What the store of a fleet holds."""

    instances: dict[str, InstanceRow] = field(default_factory=dict)
    calls: dict[str, HostCallRow] = field(default_factory=dict)
    requests: dict[str, RequestRow] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)
    inbox: list[tuple[InboxRow, str]] = field(default_factory=list)
    wakes: dict[str | None, list[Callable[[], None]]] = field(default_factory=dict)
    refused: list[HostCallRow] = field(default_factory=list)
    """The writes of stale owners, none of which changed anything."""

    def wake(self, instance: str) -> None:
        for callback in self.wakes.get(instance, ()):
            callback()


class MemoryStore:
    """The definition of a host's store, in a few lines; ``gate`` is awaited before each look."""

    def __init__(self, tables: Tables, instance: str) -> None:
        self.tables, self.instance = tables, instance
        self.is_away = False
        self.flow = asyncio.Event()
        self.flow.set()

    async def _enter(self) -> None:
        await self.flow.wait()
        if self.is_away:
            raise StoreAwayError("the store is away", 1.0)

    async def register(self, row: InstanceRow) -> None:
        await self._enter()
        self.tables.instances[row.instance] = row

    async def beat(
        self, instance: str, incarnation: str, *, load: float, calls: int, is_draining: bool
    ) -> None:
        await self._enter()
        row = self.tables.instances.get(instance)
        if row is None or row.incarnation != incarnation:
            raise StaleOwnerError(f"{instance} is another process now")
        self.tables.instances[instance] = replace(
            row, load=load, calls=calls, is_draining=is_draining, beat=row.beat + 1
        )

    async def leave(self, instance: str, incarnation: str) -> None:
        await self._enter()
        row = self.tables.instances.get(instance)
        if row is not None and row.incarnation == incarnation:
            del self.tables.instances[instance]

    async def instances(self) -> tuple[InstanceRow, ...]:
        await self._enter()
        return tuple(self.tables.instances.values())

    async def add_call(self, row: HostCallRow) -> None:
        await self._enter()
        assert row.lineage not in self.tables.calls
        self.tables.calls[row.lineage] = row

    async def save_call(self, row: HostCallRow, applied: Sequence[int] = ()) -> None:
        await self._enter()
        now = self.tables.calls.get(row.lineage)
        if now is None or (now.owner, now.epoch) != (row.owner, row.epoch):
            self.tables.refused.append(row)
            raise StaleOwnerError(f"{row.lineage} is another's")
        self.tables.calls[row.lineage] = row
        self.tables.inbox = [item for item in self.tables.inbox if item[0].sequence not in applied]

    async def call_of(self, call_id: str) -> HostCallRow | None:
        await self._enter()
        rows = self.tables.calls.values()
        return next((row for row in rows if row.call_id == call_id), None)

    async def lineage(self, lineage: str) -> HostCallRow | None:
        await self._enter()
        return self.tables.calls.get(lineage)

    async def living(self, owner: Any = ...) -> tuple[HostCallRow, ...]:
        await self._enter()
        rows = self.tables.calls.values()
        return tuple(r for r in rows if not r.is_over and (owner is ... or r.owner == owner))

    async def claim(self, lineage: str, epoch: int, by: str) -> HostCallRow | None:
        await self._enter()
        row = self.tables.calls.get(lineage)
        if row is None or row.is_over or row.epoch != epoch:
            return None
        self.tables.calls[lineage] = replace(row, owner=by, epoch=epoch + 1)
        return self.tables.calls[lineage]

    async def offer(self, lineage: str, owner: str, epoch: int) -> bool:
        await self._enter()
        row = self.tables.calls.get(lineage)
        if row is None or (row.owner, row.epoch) != (owner, epoch):
            return False
        self.tables.calls[lineage] = replace(row, owner=None)
        return True

    async def receive(self, messages: Sequence[Inbound], instance: str) -> Receipt:
        await self._enter()
        local = []
        for message in messages:
            row = InboxRow(
                len(self.tables.inbox) + 1,
                message.message_id,
                message.call_id,
                None,
                message.tenant_id,
                message.body,
            )
            to = message.to or instance
            self.tables.inbox.append((row, to))
            if to == instance:
                local.append(row)
            else:
                self.tables.wake(to)
        return Receipt(tuple(local), len(messages) - len(local), 0)

    async def waiting(self, instance: str) -> tuple[InboxRow, ...]:
        await self._enter()
        return tuple(row for row, to in self.tables.inbox if to == instance)

    async def applied(self, sequence: int) -> None:
        await self._enter()
        self.tables.inbox = [item for item in self.tables.inbox if item[0].sequence != sequence]

    async def readdress(self, dead: str, to: str) -> int:
        await self._enter()
        found = [row for row, instance in self.tables.inbox if instance == dead]
        self.tables.inbox = [
            (row, to if instance == dead else instance) for row, instance in self.tables.inbox
        ]
        return len(found)

    async def forget(self, after_s: float = 86_400.0) -> int:
        await self._enter()
        return 0

    async def ask(self, row: RequestRow) -> None:
        await self._enter()
        self.tables.requests[row.request_id] = row
        self.tables.wake(row.instance)

    async def asked(self, instance: str) -> tuple[RequestRow, ...]:
        await self._enter()
        return tuple(
            row
            for row in self.tables.requests.values()
            if row.instance == instance
            and row.answer is None
            and row.request_id not in self.tables.taken
        )

    async def take_request(self, request_id: str, instance: str) -> bool:
        await self._enter()
        if request_id not in self.tables.requests or request_id in self.tables.taken:
            return False
        self.tables.taken.add(request_id)
        return True

    async def answer(self, request_id: str, answer: dict[str, Any]) -> None:
        await self._enter()
        row = replace(self.tables.requests[request_id], answer=answer)
        self.tables.requests[request_id] = row
        self.tables.wake(row.asked_by)

    async def answered(self, request_id: str) -> dict[str, Any] | None:
        await self._enter()
        return self.tables.requests[request_id].answer

    async def withdraw(self, request_id: str) -> bool:
        await self._enter()
        if request_id in self.tables.taken:
            return False
        del self.tables.requests[request_id]
        return True

    def on_wake(self, callback: Callable[[], None]) -> Callable[[], None]:
        callbacks = self.tables.wakes.setdefault(self.instance, [])
        callbacks.append(callback)
        return lambda: callbacks.remove(callback) if callback in callbacks else None

    async def close(self) -> None:
        pass


class Cloud(Service):
    """A service that knows which calls there are, one leg a lineage, and ends the older."""

    def __init__(self) -> None:
        super().__init__()
        self.epochs: dict[str, int] = {}
        self.legs: dict[str, str] = {}
        """The id of the one living call of each lineage that was joined here."""
        self.superseded: list[str] = []
        self.lose_answers = 0
        """How many of the next calls are made without the answer coming through."""

    async def post(self, body: dict[str, Any]) -> CallInfo:
        if self.fail is not None:
            raise self.fail
        blob = body.get("mediaConfig", {}).get("blob")
        found = None if blob is None else read_lineage(blob)
        call_id = str(uuid.uuid4())
        if found is not None:
            lineage, epoch = found
            if epoch <= self.epochs.get(lineage, 0):
                raise GraphRequestError(409, "staleEpoch", f"epoch {self.epochs[lineage]} already")
            self.epochs[lineage] = epoch
            if (old := self.legs.get(lineage)) is not None:
                self.known.pop(old, None)
                self.superseded.append(old)
            self.legs[lineage] = call_id
        self.created.append(body)
        meeting = {name: body[name] for name in MEETING if name in body}
        self.known[call_id] = {"id": call_id, "state": "established", "tenantId": TENANT, **meeting}
        if self.lose_answers:
            self.lose_answers -= 1
            raise ConnectionResetError("the answer was lost")
        return CallInfo.read(self.known[call_id])

    async def delete(self, call_id: str) -> bool:
        self.deleted.append(call_id)
        return self.known.pop(call_id, None) is not None

    def has(self, row: HostCallRow, **members: Any) -> None:
        """Let the service know the call of *row*."""
        assert row.call_id is not None
        self.known[row.call_id] = {"id": row.call_id, "state": row.state, **members}
        self.epochs[row.lineage] = row.epoch
        if row.media == "app":
            self.legs[row.lineage] = row.call_id


class Line(Service):
    """One host's way to the service: through its gate, and not while it stands still."""

    def __init__(self, cloud: Cloud, node: Node) -> None:
        super().__init__()
        self._cloud, self._node = cloud, node

    async def _pass(self, method: str, call_id: str = "") -> None:
        await self._node.store.flow.wait()
        await self._node.gate(method, f"https://g.test/v1.0/communications/calls/{call_id}")

    async def post(self, body: dict[str, Any]) -> CallInfo:
        await self._pass("POST")
        return await self._cloud.post(body)

    async def get(self, call_id: str) -> CallInfo | None:
        await self._pass("GET", call_id)
        return await self._cloud.get(call_id)

    async def delete(self, call_id: str) -> bool:
        await self._pass("DELETE", call_id)
        return await self._cloud.delete(call_id)

    async def participants(self, call_id: str) -> tuple[Participant, ...]:
        await self._pass("GET", call_id)
        return await self._cloud.participants(call_id)


class Node:
    """One host of a fleet."""

    def __init__(self, name: str, tables: Tables, cloud: Cloud, capacity_calls: int = 100) -> None:
        self.name = name
        cloud_line = Line(cloud, self)
        self.store = MemoryStore(tables, name)
        self.keeping = HostKeeping(name, "app", self._open)
        self.platform = ManualPlatform()
        self.admission = Admission(self.platform, OperationSettings())
        self.bot = Bot(name)
        self.back: list[Any] = []
        self.new: list[Any] = []

        @self.bot.on_rejoined
        async def on_rejoined(call: Any) -> None:
            self.back.append(call)
            await call.wait_ended()

        @self.bot.on_call
        async def on_call(call: Any) -> None:
            self.new.append(call)
            await call.wait_ended()

        self.calls = HostCalls(
            platform=self.platform,
            client=cloud_line,
            bot=self.bot,
            users={},
            addresses=lambda: Addresses(
                "app", TENANT, f"https://{name}.test/api/calls/{name}", f"wss://{name}.test/media"
            ),
            admission=self.admission,
            keeping=self.keeping,
        )
        self._frozen_ns: int | None = None
        self.fence = Fence(clock_ns=self._clock_ns)
        self.gate = GraphGate()
        self.inbox = CallInbox(self.keeping, self.calls, WebhookCounters())
        self.made: list[dict[str, Any]] = []
        self.fleet = HostFleet(
            self.calls,
            self.keeping,
            self.inbox,
            Rejoin(
                self.calls,
                instance=name,
                store=lambda: self.keeping.store,
                client_of=lambda tenant_id: cloud_line,
                journal=Journal("host"),
            ),
            fence=self.fence,
            gate=self.gate,
            admission=self.admission,
            capacity_calls=capacity_calls,
            url=lambda: f"https://{name}.test",
            client_of=lambda tenant_id: cloud_line,
            make=self._make,
            clock_s=lambda: self._clock_ns() / 1e9,
        )
        self.inbox.place = self.fleet.place

    async def _open(self) -> Any:
        return self.store

    async def _make(self, body: dict[str, Any]) -> dict[str, Any]:
        self.made.append(body)
        return {"call": {"callId": "made", **body}}

    def _clock_ns(self) -> int:
        if self._frozen_ns is not None:
            return self._frozen_ns
        return int(asyncio.get_running_loop().time() * 1e9)

    async def __aenter__(self) -> Self:
        await self.keeping.open()
        await self.fleet.start()
        self.inbox.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        self.thaw()
        self.store.is_away = False
        await self.fleet.stop_taking()
        await self.inbox.close()
        for call in tuple(self.calls):
            call.let_go("the test is over")
        await self.calls.close()
        await self.fleet.close()
        await self.keeping.close()

    def freeze(self) -> None:
        """Let the process stand still, as far as the store and its clock can tell."""
        self._frozen_ns = self._clock_ns()
        self.store.flow.clear()

    def thaw(self) -> None:
        self._frozen_ns = None
        self.store.flow.set()


class Fleet:
    """A service, a store, and hosts that are started one by one."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self.tables, self.cloud, self._stack = Tables(), Cloud(), stack

    async def start(self, name: str, **options: int) -> Node:
        return await self._stack.enter_async_context(Node(name, self.tables, self.cloud, **options))

    def has(self, *rows: HostCallRow, at_service: bool = True, told: Any = None) -> None:
        for row in rows:
            self.tables.calls[row.lineage] = row
            if at_service:
                self.cloud.has(row, **(told or {}))

    def dead(self, name: str) -> None:
        """Let there be a host that was killed: its row stays, and beats no more."""
        self.tables.instances[name] = instance_row(name, beat=5)

    def row(self, lineage: str = "l1") -> HostCallRow:
        return self.tables.calls[lineage]


@asynccontextmanager
async def fleet() -> AsyncIterator[Fleet]:
    async with AsyncExitStack() as stack:
        yield Fleet(stack)


async def eventually(condition: Callable[[], object], timeout_s: float = 60.0) -> float:
    """Wait in virtual time; return for how long."""
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    while not condition():
        assert loop.time() - began_s < timeout_s, "never so"
        await asyncio.sleep(0.05)
    return loop.time() - began_s
