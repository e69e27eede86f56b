"""The calls of a bot host: making them, finding them, handing each its notifications."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mixminus.media.platform import MediaPlatform
from mixminus.media.session import MediaSession

from ..client.calls import CallsClient, peer_to_peer_call
from ..client.requests import GraphConnectionError
from ..graph.notifications import Notification, normal_id
from .bot import Bot
from .call import HostedCall, Target

log = logging.getLogger("mixminus.control.host")

MAX_ENDED: Final = 100
MAX_EARLY: Final = 256


class UnknownUserError(LookupError):
    """No user of that name is known, and it is no id either."""


class Delivery(Enum):
    """What became of a notification."""

    TAKEN = auto()
    FULL = auto()
    """The call's handlers are behind: the service shall send it again."""
    UNKNOWN = auto()
    """It is about no call of this host."""
    FOREIGN = auto()
    """Its token speaks for another tenant than the call's."""


@dataclass(frozen=True, slots=True)
class CallReport:
    """What is known of a call, and how late each tick of the engine during it was."""

    description: dict[str, Any]
    lateness_us: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the call service finds this host, and who the host is."""

    app_id: str
    tenant_id: str
    callback_uri: str
    mp_uri: str


class HostCalls:
    """The calls of one host by id, and reports on the last hundred ended ones.

    Thread: the loop's.
    """

    def __init__(
        self,
        *,
        platform: MediaPlatform,
        client: CallsClient,
        bot: Bot,
        users: Mapping[str, str],
        addresses: Callable[[], Addresses],
    ) -> None:
        self._platform = platform
        self._client = client
        self._bot = bot
        self._users = users
        self._addresses = addresses
        self._calls: dict[str, HostedCall] = {}
        self._sessions: dict[str, MediaSession] = {}
        self._ended: dict[str, CallReport] = {}
        self._creating = 0
        self._is_closing = False
        self._early: deque[tuple[Notification, str]] = deque(maxlen=MAX_EARLY)

    def __iter__(self) -> Iterator[HostedCall]:
        """Iterate over the calls that are not over."""
        return iter(tuple(self._calls.values()))

    def __len__(self) -> int:
        """Count the calls that are not over."""
        return len(self._calls)

    @property
    def ended(self) -> tuple[CallReport, ...]:
        """The last ended calls, as described at their end, oldest first."""
        return tuple(self._ended.values())

    def get(self, call_id: str) -> HostedCall | None:
        """Return the living call of that id."""
        return self._calls.get(normal_id(call_id))

    def report(self, call_id: str) -> CallReport | None:
        """Report on a living call, or on one of the last ended ones."""
        call = self.get(call_id)
        return self._ended.get(normal_id(call_id)) if call is None else _report(call)

    def session(self, session_id: str) -> MediaSession | None:
        """Return the media session of that id, of a call that is being made or not yet over."""
        return self._sessions.get(session_id)

    def find_user(self, name_or_id: str) -> Target:
        """Return the user whom *name_or_id* means: an id, or a name that the settings know.

        Raises: UnknownUserError.
        """
        wanted = name_or_id.casefold()
        for name, user_id in self._users.items():
            if wanted in (name.casefold(), user_id.casefold()):
                return Target(user_id, name)
        if _is_guid(name_or_id) or not self._users:
            return Target(name_or_id)
        raise UnknownUserError(f"no user {name_or_id!r}: known are {', '.join(self._users)}")

    async def create(self, *, user: str) -> HostedCall:
        """Call *user*, an id or a name that the settings know; return once the service took it on.

        Raises: UnknownUserError, GraphRequestError, TokenError; GraphConnectionError also when the
                host is stopping. A call that the service takes on while it does is hung up.
        """
        self._expect_open()
        target = self.find_user(user)
        addresses = self._addresses()
        session = MediaSession(self._platform, mp_uri=addresses.mp_uri)
        self._sessions[session.session_id] = session
        self._creating += 1
        created_at_s = time.monotonic()
        try:
            resource = await self._client.create(
                peer_to_peer_call(
                    app_id=addresses.app_id,
                    app_name=self._bot.name,
                    tenant_id=addresses.tenant_id,
                    user_id=target.id,
                    user_name=target.display_name,
                    callback_uri=addresses.callback_uri,
                    blob=session.media_configuration(),
                )
            )
        except BaseException:
            self._creating -= 1
            self._deliver_early()
            del self._sessions[session.session_id]
            await session.close()
            raise
        self._creating -= 1
        call = HostedCall(
            resource["id"],
            target=target,
            tenant_id=resource.get("tenantId") or addresses.tenant_id,
            bot=self._bot,
            session=session,
            client=self._client,
            created_at_s=created_at_s,
            on_ended=self._on_ended,
        )
        self._calls[normal_id(call.id)] = call
        call.start(resource)
        self._deliver_early()
        if self._is_closing:
            await call.hang_up()
        return call

    async def close(self) -> None:
        """Hang up all calls, wait until nothing of them is left, and make no more."""
        self._is_closing = True
        calls = tuple(self)
        await asyncio.gather(*(call.hang_up() for call in calls))
        await asyncio.gather(*(call.wait_closed() for call in calls))

    def deliver(self, notification: Notification, tenant_id: str) -> Delivery:
        """Hand *notification*, by a token of *tenant_id*, to its call."""
        call = self._calls.get(normal_id(notification.call_id))
        if call is None:
            if self._creating:
                # The first notifications may overtake the answer to the creation.
                self._early.append((notification, tenant_id))
                return Delivery.TAKEN
            is_ended = normal_id(notification.call_id) in self._ended
            return Delivery.TAKEN if is_ended else Delivery.UNKNOWN
        if call.tenant_id.casefold() != tenant_id.casefold():
            return Delivery.FOREIGN
        return Delivery.TAKEN if call.deliver(notification) else Delivery.FULL

    def _expect_open(self) -> None:
        if self._is_closing:
            raise GraphConnectionError("the host is stopping")

    def _deliver_early(self) -> None:
        early = tuple(self._early)
        self._early.clear()
        for notification, tenant_id in early:
            self.deliver(notification, tenant_id)

    def _on_ended(self, call: HostedCall) -> None:
        self._sessions.pop(call.session.session_id, None)
        self._calls.pop(normal_id(call.id), None)
        self._ended[normal_id(call.id)] = _report(call)
        if len(self._ended) > MAX_ENDED:
            del self._ended[next(iter(self._ended))]


def _report(call: HostedCall) -> CallReport:
    return CallReport(call.describe(), call.session.lateness_us())


def _is_guid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True
