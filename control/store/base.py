"""What a call service keeps: calls, the outbox of notifications, applications, users, keys."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


class StoreError(Exception):
    """The store cannot be used; the message says which and why."""


@dataclass(frozen=True, slots=True)
class AppRow:
    """A registered application, and the permissions it was given."""

    app_id: str
    tenant_id: str
    display_name: str
    secret: str
    roles: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class UserRow:
    """A user of the directory, and the token that a caller registers with."""

    user_id: str
    display_name: str
    token: str


@dataclass(frozen=True, slots=True)
class CallRow:
    """A call as it was last written. ``resource`` is what a GET shows."""

    call_id: str
    app_id: str
    tenant_id: str
    callback_uri: str
    state: str
    is_over: bool
    resource: dict[str, Any]


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """A notification on its way, in the order of ``sequence``."""

    sequence: int
    message_id: str
    call_id: str
    app_id: str
    tenant_id: str
    callback_uri: str
    chain_id: str
    body: str


@dataclass(frozen=True, slots=True)
class NotificationCounts:
    """How many notifications of a call were delivered, given up, and wait."""

    sent: int
    failed: int
    pending: int


class Store(Protocol):
    """Durable state. Every method is one transaction: all of it is written, or nothing.

    Thread: the loop's; the work is done beside it.
    Raises: StoreError from every method when the store fails or is closed.
    """

    async def secret(self, name: str, make: Callable[[], str]) -> str:
        """Return the text kept under *name*; the first time, what *make* returns."""
        ...

    async def add_app(self, app: AppRow) -> AppRow:
        """Register *app* unless its id is there; return what is there now."""
        ...

    async def set_roles(self, app_id: str, roles: Sequence[str]) -> None:
        """Give an application exactly these permissions, from its next token on."""
        ...

    async def app(self, app_id: str) -> AppRow | None:
        """Return the application of that id."""
        ...

    async def add_user(self, user: UserRow) -> UserRow:
        """Add *user* unless the id is there; return what is there now."""
        ...

    async def users(self) -> tuple[UserRow, ...]:
        """Return the directory, in the order in which users were added."""
        ...

    async def save_call(self, call: CallRow, notifications: Sequence[str]) -> None:
        """Write *call* and, in the same transaction, the bodies of its *notifications*."""
        ...

    async def call(self, call_id: str) -> CallRow | None:
        """Return the call of that id, also one that is over and not yet forgotten."""
        ...

    async def living_calls(self) -> tuple[CallRow, ...]:
        """Return all calls that are not over."""
        ...

    async def calls_with_notifications(self) -> tuple[str, ...]:
        """Return the ids of the calls whose notifications wait, the longest waiting first."""
        ...

    async def next_notification(self, call_id: str) -> OutboxRow | None:
        """Return the oldest notification of a call that waits."""
        ...

    async def finish_notification(self, sequence: int, *, delivered: bool) -> None:
        """Say that a notification was delivered, or given up."""
        ...

    async def notification_counts(self, call_id: str | None = None) -> NotificationCounts:
        """Count the notifications of one call, or of all that are remembered."""
        ...

    async def forget_calls(self, keep: int) -> int:
        """Remove calls that are over and have nothing waiting, but the last *keep*."""
        ...

    async def close(self) -> None:
        """Finish what runs and let go of the files. Again is no error."""
        ...
