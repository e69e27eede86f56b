"""What a bot host keeps: its calls, its inbox, the hosts beside it, and what they ask of them.

A call through all its rejoins is one *lineage*; who owns it, and how often that changed, is its
row's ``owner`` and ``epoch``. Every write of a call says both, and is refused when they are others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import EllipsisType
from typing import Any, Final, Literal, Protocol

from .base import StoreError
from .stats import StoreStats

FORGET_AFTER_S: Final = 86_400.0
"""How long it is known that a notification was taken: longer than a notifier tries to deliver."""


class StaleOwnerError(StoreError):
    """The row is another instance's by now: nothing was written."""


class InstanceInUseError(StoreError):
    """A living instance has that name already."""


class OtherApplicationError(StoreError):
    """The store is of the hosts of another application: nothing was written."""


@dataclass(frozen=True, slots=True)
class InstanceRow:
    """A bot host beside others.

    ``incarnation`` is new with each start. ``capacity`` is in calls, ``load`` from 0 to 1.
    ``beat`` grows as long as it lives: who sees it unchanged for long holds it for dead.
    ``app_id`` is the bot's; "" where an earlier version did not write it.
    """

    instance: str
    incarnation: str
    url: str
    capacity: int
    load: float
    calls: int
    is_draining: bool
    beat: int
    app_id: str = ""


@dataclass(frozen=True, slots=True)
class HostCallRow:
    """A call through all its rejoins, as its host keeps it.

    ``owner`` is None while it is offered, ``call_id`` until the service has answered. ``joining``
    is what to join it with again, ``resource`` the call as the service told it, ``saved_state``
    the bot's own (JSON), ``reason`` why it is over.
    """

    lineage: str
    epoch: int
    owner: str | None
    app_id: str
    tenant_id: str
    call_id: str | None
    media: Literal["app", "service"]
    state: str
    is_over: bool
    resource: dict[str, Any]
    peer: dict[str, Any]
    joining: dict[str, Any]
    saved_state: Any = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Inbound:
    """A notification that came: ``message_id`` is the post's and its place in that.

    ``lineage`` finds a call of the same tenant and, where that is given, of application ``app_id``.
    Where no call has ``call_id`` and none is found so, it is for the instance named ``to``.
    """

    message_id: str
    call_id: str
    tenant_id: str
    body: dict[str, Any]
    to: str | None = None
    lineage: str | None = None
    app_id: str | None = None


@dataclass(frozen=True, slots=True)
class InboxRow:
    """A notification in the inbox, numbered in the order in which they came.

    ``lineage`` is that of its call, where one was known when it came.
    """

    sequence: int
    message_id: str
    call_id: str
    lineage: str | None
    tenant_id: str
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of notifications that came together.

    ``local`` are those for who received them; ``handed_on`` those for another instance, or for the
    one that takes a call that is offered; ``duplicates`` had come before.
    """

    local: tuple[InboxRow, ...]
    handed_on: int
    duplicates: int


@dataclass(frozen=True, slots=True)
class RequestRow:
    """What one instance (``asked_by``) asks of another (``instance``); ``answer``: it was done."""

    request_id: str
    instance: str
    asked_by: str
    body: dict[str, Any]
    answer: dict[str, Any] | None = None


class HostStore(Protocol):
    """The tables of bot hosts. Every method is one transaction: all of it is written, or nothing.

    Thread: the loop's; the work is done beside it.
    Raises: StoreError from every method when the store fails or is closed; StoreAwayError at once
        while it is locked, full or away.
    """

    @property
    def stats(self) -> StoreStats:
        """What it has done."""
        ...

    @property
    def away(self) -> StoreError | None:
        """Why everything is refused now; None: nothing is. No StoreAwayError: for ever."""
        ...

    async def until_back(self) -> None:
        """Wait until the store answers again; at once when it does. Also ends at its close."""
        ...

    async def register(self, row: InstanceRow) -> None:
        """Announce an instance, in the place of an earlier one of that name.

        That none of that name lives is known since the store was opened (InstanceInUseError).
        Raises: OtherApplicationError when another instance, or a call that is not over, is of
            another application than the row's: hosts of a store do each other's work.
        """
        ...

    async def beat(
        self, instance: str, incarnation: str, *, load: float, calls: int, is_draining: bool
    ) -> None:
        """Say that an instance lives, and how it stands.

        Raises: StaleOwnerError when another incarnation has the name, or nobody any more.
        """
        ...

    async def leave(self, instance: str, incarnation: str) -> None:
        """Remove an instance, unless another incarnation has the name by now."""
        ...

    async def instances(self) -> tuple[InstanceRow, ...]:
        """Return all instances that did not leave, dead ones too, by their names."""
        ...

    async def add_call(self, row: HostCallRow) -> None:
        """Add a call. Again is no error: it is written then.

        Raises: StaleOwnerError when the lineage is there with another owner or epoch; ValueError
            without an owner.
        """
        ...

    async def save_call(self, row: HostCallRow, applied: Sequence[int] = ()) -> None:
        """Write a call and that those rows of the inbox are applied.

        Raises: StaleOwnerError when it has another owner or epoch by now; ValueError without an
            owner.
        """
        ...

    async def call_of(self, call_id: str) -> HostCallRow | None:
        """Return the call that has that id at the service; of several one that is not over."""
        ...

    async def lineage(self, lineage: str) -> HostCallRow | None:
        """Return the call of that lineage."""
        ...

    async def living(self, owner: str | EllipsisType | None = ...) -> tuple[HostCallRow, ...]:
        """Return the calls that are not over: all, those of *owner*, or with None the offered."""
        ...

    async def claim(self, lineage: str, epoch: int, by: str) -> HostCallRow | None:
        """Make the call *by*'s, one epoch on, and wake who had it; return it.

        None, and nothing has changed, when its epoch is not *epoch* or it is over.
        """
        ...

    async def offer(self, lineage: str, owner: str, epoch: int) -> bool:
        """Make the call nobody's and wake all; False when it is not *owner*'s at that epoch."""
        ...

    async def receive(self, messages: Sequence[Inbound], instance: str) -> Receipt:
        """Put what *instance* was told into the inbox, each once, for the owner of its call.

        What is about no call that is known is for the instance named by the message, if there is
        one, else for *instance*. Other instances are woken.
        """
        ...

    async def waiting(self, instance: str) -> tuple[InboxRow, ...]:
        """Return what is not applied of *instance*'s calls or addressed to it, in order."""
        ...

    async def applied(self, sequence: int) -> None:
        """Say that a row of the inbox is done with, though it changed no call."""
        ...

    async def readdress(self, dead: str, to: str) -> int:
        """Hand to *to* what was addressed to *dead* and is about no call; return how many."""
        ...

    async def ask(self, row: RequestRow) -> None:
        """Ask something of another instance, and wake it."""
        ...

    async def asked(self, instance: str) -> tuple[RequestRow, ...]:
        """Return what *instance* is asked and has not taken, in order."""
        ...

    async def take_request(self, request_id: str, instance: str) -> bool:
        """Begin what was asked; False when it was withdrawn or begun before."""
        ...

    async def answer(self, request_id: str, answer: dict[str, Any]) -> None:
        """Say what came of a request, and wake who asked."""
        ...

    async def answered(self, request_id: str) -> dict[str, Any] | None:
        """Return what came of a request; None: nothing yet."""
        ...

    async def withdraw(self, request_id: str) -> bool:
        """Ask no more; False when it was begun, or is done: then the answer is to be looked at."""
        ...

    async def forget(self, after_s: float = FORGET_AFTER_S) -> int:
        """Remove what is older, and return how many rows.

        Inbox rows that are done with or about no living call, calls that are over, requests.
        """
        ...

    def on_wake(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back when there may be something for this instance; returns what ends that.

        In SQLite only this process is woken.
        """
        ...

    async def close(self) -> None:
        """Finish what runs and let go of the database. Again is no error."""
        ...
