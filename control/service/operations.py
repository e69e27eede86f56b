"""The operations of one call: made, shown, ended once, and told of."""

from __future__ import annotations

import asyncio
import uuid
from collections import OrderedDict
from collections.abc import Coroutine, Mapping
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from ..graph import errors, operations
from ..graph.notifications import Json, Notification
from ..graph.operations import Operation, OperationStatus, Outcome, PlayReason, RecordReason
from ..journal import Journal
from ..store.conversation_base import OperationRow
from .ivr.queue import MediaQueue

MAX_KEPT: Final = 1000
"""Ended operations of one call that are still shown; the oldest go first."""


_TERMINATED: Final = (400, 8528, "Action failed, the call was terminated.")
_CUT_SHORT: Final[Mapping[str, Json]] = {
    operations.PLAY_PROMPT: {"completionReason": PlayReason.CANCELED.value},
    operations.SEND_DTMF_TONES: {"completionReason": PlayReason.CANCELED.value},
    operations.RECORD: {
        "completionReason": RecordReason.CANCELED.value,
        "recordingLocation": "",
    },
}


def call_terminated(kind: str) -> Outcome:
    """Return how an operation of that *kind* ends with its call."""
    return Outcome.failure(*_TERMINATED, **_CUT_SHORT.get(kind, {}))


def interrupted(row: OperationRow) -> Notification:
    """Return what tells the end of an operation that a crash of the service cut short.

    Raises: ValueError when the row is not of this version's shape.
    """
    operation = Operation.begin(
        row.call_id,
        row.operation_id,
        row.kind,
        row.client_context,
        OperationStatus(row.status),
        row.revision,
        **row.members,
    )
    return operation.finish(call_terminated(row.kind), row.revision + 1).notification()


class NotifyingCall(Protocol):
    """What operations need of their call."""

    @property
    def id(self) -> str:
        """The call's id."""

    async def operate(self, begun: OperationRow) -> bool:
        """Keep that an operation runs; False once the call is over."""

    async def notify(self, *notifications: Notification, ended: str | None = None) -> None:
        """Tell the application, in order with the changes of the call's state."""

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[None]:
        """Run *work* as a task of the call."""


class ToneSubscription:
    """Whether a call's application wants to know of keys, and how many it was told of."""

    def __init__(self) -> None:
        self._is_on = False
        self._last_sequence_id = 0

    def subscribe(self) -> None:
        """Tell of keys from now on. Again is no error."""
        self._is_on = True

    def count(self) -> int | None:
        """Return the number of the next key that is told of; None when none is."""
        if not self._is_on:
            return None
        self._last_sequence_id += 1
        return self._last_sequence_id


class Operations:
    """The operations of one call.

    ``queue`` runs those that play, record or send, one after another.
    An operation that is answered as completed is over: nothing follows. Every other is in the
    store before it is answered, and gets exactly one notification, when :meth:`finish` says how it
    ended, or after a crash.
    Thread: the loop's.
    """

    def __init__(
        self, live: NotifyingCall, max_kept: int = MAX_KEPT, *, journal: Journal | None = None
    ) -> None:
        self._live, self._max_kept = live, max_kept
        self._journal = Journal("service") if journal is None else journal
        self._open: dict[str, Operation] = {}
        self._ended: OrderedDict[str, Operation] = OrderedDict()
        self.began_at: dict[str, datetime] = {}
        """When each that is remembered was made."""
        self._revision = 0
        self.queue = MediaQueue(live.spawn, self.finish)
        self.tones = ToneSubscription()
        self._is_closed = False

    async def create(self, kind: str, client_context: str | None, **members: Any) -> Json:
        """Make an operation that runs, and return it as the response shows it.

        Raises: ValueError on a type or member that is not documented; GraphError 400 when the call
                ends; StoreError. Then there is none.
        """
        operation = self._begin(kind, client_context, OperationStatus.RUNNING, members)
        row = OperationRow(
            operation.operation_id,
            self._live.id,
            kind,
            client_context,
            operation.status.value,
            operation.revision,
            dict(operation.members),
        )
        if not await self._live.operate(row) or self._is_closed:
            raise errors.call_terminated()
        self._keep(operation)
        return operation.resource()

    def completed(self, kind: str, client_context: str | None, **members: Any) -> Json:
        """Return what is done already as the operation that the response shows.

        Raises: ValueError on a type or member that is not documented.
        """
        operation = self._begin(kind, client_context, OperationStatus.COMPLETED, members)
        self._keep(operation)
        return operation.resource()

    def _begin(
        self, kind: str, client_context: str | None, status: OperationStatus, members: Json
    ) -> Operation:
        return Operation.begin(
            self._live.id,
            str(uuid.uuid4()),
            kind,
            client_context,
            status,
            self._next_revision(),
            **members,
        )

    async def finish(self, operation_id: str, outcome: Outcome) -> None:
        """End an operation and tell of it. One that has ended before is left as it is."""
        operation = self._open.get(operation_id)
        if operation is None:
            return
        operation = operation.finish(outcome, self._next_revision())
        self._keep(operation)
        await self._live.notify(operation.notification(), ended=operation_id)

    async def withdraw(self, operation_id: str) -> None:
        """Take back an operation that was not answered: nobody is told of it."""
        if self._open.pop(operation_id, None) is not None:
            del self.began_at[operation_id]
            await self._live.notify(ended=operation_id)

    async def close(self) -> None:
        """End all that are still open, and tell of it: the call ends. Again is no error."""
        self._is_closed = True
        await self.queue.close()
        for operation_id, operation in tuple(self._open.items()):
            await self.finish(operation_id, call_terminated(operation.kind))

    def is_open(self, operation_id: str) -> bool:
        """Say whether an operation has not ended yet."""
        return operation_id in self._open

    def all(self) -> list[Json]:
        """Return all that are remembered, those that have ended first."""
        return [operation.resource() for operation in (*self._ended.values(), *self._open.values())]

    def get(self, operation_id: str) -> Json | None:
        """Return one, or None when there is none of that id."""
        operation = self._open.get(operation_id) or self._ended.get(operation_id)
        return None if operation is None else operation.resource()

    def _keep(self, operation: Operation) -> None:
        kind = operation.kind.rpartition(".")[2].removesuffix("Operation")
        resource = operation.resource()
        self.began_at.setdefault(operation.operation_id, datetime.now(UTC))
        self._journal.record("operation", self._live.id, f"{kind}: {resource['status']}", resource)
        if not operation.status.is_final:
            self._open[operation.operation_id] = operation
            return
        self._open.pop(operation.operation_id, None)
        self._ended[operation.operation_id] = operation
        while len(self._ended) > self._max_kept:
            oldest_id, _ = self._ended.popitem(last=False)
            del self.began_at[oldest_id]

    def _next_revision(self) -> int:
        self._revision += 1
        return self._revision
