"""What a call service keeps: calls, what it has to tell, who is known to it, meetings, records."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from .conversation_base import NOTHING, Beside, ConversationRow, OperationRow
from .stats import StoreStats


class StoreError(Exception):
    """The store cannot be used; the message says which and why."""


class NoStoreError(StoreError):
    """There is no store where one was to be looked at."""


class StoreUrlError(StoreError):
    """A ``store_url`` is none that can be read; nothing of it is said."""


class StoreAwayError(StoreError):
    """The store is locked, full or away: nothing was written, and it may be tried again."""

    def __init__(self, message: str, retry_after_s: float = 5.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class AppRow:
    """A registered application, and the permissions it was given.

    ``webhook`` is where it is told of incoming calls, once it has said so.
    """

    app_id: str
    tenant_id: str
    display_name: str
    secret: str
    roles: tuple[str, ...]
    webhook: str | None = None


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
    created_us: int | None = None
    """When it was written, in microseconds since 1970; None: by an earlier version."""


@dataclass(frozen=True, slots=True)
class OutboxBacklog:
    """How many notifications of all calls wait, and since when the oldest of them does.

    Units:  microseconds since 1970; None when none waits.
    """

    pending: int
    oldest_us: int | None


@dataclass(frozen=True, slots=True)
class NotificationCounts:
    """How many notifications of a call were delivered, given up, and wait."""

    sent: int
    failed: int
    pending: int


@dataclass(frozen=True, slots=True)
class MeetingRow:
    """A meeting that can be joined. ``thread_id`` and ``message_id`` together name it.

    ``lobby`` says that guests wait to be admitted; ``is_ad_hoc`` that nobody scheduled it.
    """

    thread_id: str
    message_id: str
    tenant_id: str
    organizer_id: str
    organizer_name: str
    subject: str
    join_meeting_id: str
    passcode: str | None
    join_url: str
    lobby: bool
    allow_without_host: bool
    is_ad_hoc: bool
    created_at: str


@dataclass(frozen=True, slots=True)
class RecordRow:
    """A callRecord: ``resource`` without its relationships, which stand beside it.

    ``app_ids`` took part and may see it; ``pstn_calls`` are the log rows of its phone calls.
    Units:  microseconds since 1970, UTC.
    """

    record_id: str
    tenant_id: str
    app_ids: tuple[str, ...]
    started_us: int
    ended_us: int
    resource: dict[str, Any]
    participants: tuple[dict[str, Any], ...]
    sessions: tuple[dict[str, Any], ...]
    pstn_calls: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class RecordQuery:
    """Which records a list shows: those of *app_id*, with a start within both ends inclusive.

    ``person_id`` is one that must be among the participants; ``after`` the position of the last
    record of the page before.
    Units:  microseconds since 1970, UTC.
    """

    tenant_id: str
    app_id: str
    ended_since_us: int
    started_from_us: int | None = None
    started_to_us: int | None = None
    person_id: str | None = None
    after: int = 0


@dataclass(frozen=True, slots=True)
class SubscriptionRow:
    """A subscription to changes of call records. ``person_id`` is its filter, if it has one.

    Units:  expires_us in microseconds since 1970, UTC.
    """

    subscription_id: str
    app_id: str
    tenant_id: str
    resource: str
    person_id: str | None
    change_type: str
    notification_url: str
    lifecycle_url: str | None
    client_state: str | None
    expires_us: int


@dataclass(frozen=True, slots=True)
class ChangeRow:
    """A change notification on its way, in the order of ``sequence``.

    Units:  created_us in microseconds since 1970, UTC.
    """

    sequence: int
    subscription_id: str
    notification_url: str
    created_us: int
    body: str


class Store(Protocol):
    """Durable state. Every method is one transaction: all of it is written, or nothing.

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

    async def secret(self, name: str, make: Callable[[], str]) -> str:
        """Return the text kept under *name*; the first time, what *make* returns."""
        ...

    async def add_app(self, app: AppRow) -> AppRow:
        """Register *app* unless its id is there; return what is there now."""
        ...

    async def set_roles(self, app_id: str, roles: Sequence[str]) -> None:
        """Give an application exactly these permissions, from its next token on."""
        ...

    async def set_webhook(self, app_id: str, uri: str | None) -> None:
        """Say where an application is told of incoming calls; None: nowhere."""
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

    async def save_call(
        self, call: CallRow, notifications: Sequence[str], beside: Beside = NOTHING
    ) -> None:
        """Write *call* and, in one transaction, its *notifications*' bodies and *beside*."""
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

    async def finish_notification(self, sequence: int, *, delivered: bool) -> OutboxRow | None:
        """Say that a notification was delivered, or given up; return its call's next one."""
        ...

    async def notification_counts(self, call_id: str | None = None) -> NotificationCounts:
        """Count the notifications of one call, or of all that are remembered."""
        ...

    async def outbox_backlog(self) -> OutboxBacklog:
        """Return what waits in the outbox."""
        ...

    async def forget_calls(self, keep: int) -> int:
        """Remove calls that are over and have nothing waiting, but the last *keep*."""
        ...

    async def running_operations(self, call_id: str) -> tuple[OperationRow, ...]:
        """Return a call's operations whose end was not told, in the order of their revisions."""
        ...

    async def save_conversation(self, conversation: ConversationRow) -> None:
        """Write a conversation, and those of its stays that the row has."""
        ...

    async def conversations(self) -> tuple[ConversationRow, ...]:
        """Return all whose records are still to be made, with all their stays."""
        ...

    async def see_conversations(self, now_us: int) -> None:
        """Say that all conversations go on: one that a crash ends, ended no earlier."""
        ...

    async def forget_conversation(self, conversation_id: str) -> None:
        """Remove a conversation that leaves no record."""
        ...

    async def add_meeting(self, meeting: MeetingRow) -> MeetingRow:
        """Add *meeting* unless thread and message are there; return what is there now.

        Raises: StoreError also when another meeting has its join id.
        """
        ...

    async def meeting(self, thread_id: str, message_id: str) -> MeetingRow | None:
        """Return the meeting of that thread and message."""
        ...

    async def meeting_of_join_id(self, join_meeting_id: str) -> MeetingRow | None:
        """Return the meeting of that id (digits alone)."""
        ...

    async def meetings(self) -> tuple[MeetingRow, ...]:
        """Return all meetings, in the order in which they were added."""
        ...

    async def save_record(
        self, record: RecordRow, changes: Sequence[tuple[str, str]], now_us: int
    ) -> None:
        """Write *record* in the place of an older version of it, and what subscribers are told.

        *changes* are pairs of a subscription's id and a body, created at *now_us*; of a
        subscription that has gone meanwhile the body is dropped.
        The conversation that it is the record of is no longer kept.
        """
        ...

    async def record(self, record_id: str) -> RecordRow | None:
        """Return the record of that id."""
        ...

    async def records(
        self, query: RecordQuery, limit: int
    ) -> tuple[tuple[int, dict[str, Any]], ...]:
        """Return up to *limit* records' positions and resources, the oldest first."""
        ...

    async def pstn_calls(self, query: RecordQuery) -> tuple[dict[str, Any], ...]:
        """Return the log rows of the phone calls in the records of *query*, the oldest first."""
        ...

    async def forget_records(self, ended_before_us: int) -> int:
        """Remove records of calls that ended before that; return how many."""
        ...

    async def add_subscription(self, subscription: SubscriptionRow, limit: int) -> bool:
        """Add *subscription* unless its tenant has *limit* of them; say whether it was added."""
        ...

    async def subscription(self, subscription_id: str) -> SubscriptionRow | None:
        """Return the subscription of that id."""
        ...

    async def subscriptions(self, tenant_id: str) -> tuple[SubscriptionRow, ...]:
        """Return a tenant's subscriptions, in the order in which they were made."""
        ...

    async def renew_subscription(
        self, subscription_id: str, *, expires_us: int, notification_url: str
    ) -> None:
        """Give a subscription another end and address; of one that has gone: nothing."""
        ...

    async def remove_subscription(self, subscription_id: str) -> None:
        """Remove a subscription and what waits for it."""
        ...

    async def forget_subscriptions(self, expired_before_us: int) -> int:
        """Remove subscriptions that expired before that, with what waits for them."""
        ...

    async def subscriptions_with_changes(self) -> tuple[str, ...]:
        """Return the ids of the subscriptions for which changes wait."""
        ...

    async def next_change(self, subscription_id: str) -> ChangeRow | None:
        """Return the oldest change that waits for a subscription."""
        ...

    async def finish_change(self, sequence: int) -> None:
        """Say that a change was delivered, or given up: it is removed."""
        ...

    async def close(self) -> None:
        """Finish what runs and let go of the files. Again is no error."""
        ...
