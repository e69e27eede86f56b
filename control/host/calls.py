"""The calls of a bot host: making them, finding them, handing each its notifications."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urljoin

import numpy as np

from mixminus.media.platform import MediaPlatform
from mixminus.media.session import MediaSession

from ..call_totals import CallTotals
from ..client.bodies import Media, Options, Target
from ..client.calls import CallsClient, find_meeting
from ..client.models import CallInfo, Identity
from ..client.requests import GraphConnectionError
from ..graph.enums import CallState
from ..graph.joinurl import JoinInfo
from ..graph.notifications import Notification, normal_id
from ..histogram import LAG_BOUNDS_S, TimeHistogram
from ..journal import Journal
from ..journal_titles import notification_title
from ..operation.admission import Admission
from ..operation.traces import Traces
from ..replay.capture import HostCaptures
from .bot import Bot
from .call import HostedCall
from .call_concerns import CallConcerns
from .call_facts import Addresses as Addresses
from .call_facts import CallReport as CallReport
from .call_facts import Delivery as Delivery
from .call_facts import incoming_call, is_guid, peer_of
from .errors import HostBusyError, UnknownMeetingError, UnknownUserError
from .parts import DELTA_ROSTER, MediaKind, Peer, Surroundings, media_of
from .plugins import HostPlugins
from .prompts import Playable, PromptFiles
from .recording import HostRecordings
from .strangers import Strangers

log = logging.getLogger("mixminus.control.host")

MAX_ENDED: Final = 100
MAX_EARLY: Final = 256


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
        meetings: Mapping[str, str] | None = None,
        addresses: Callable[[], Addresses],
        recordings: HostRecordings | None = None,
        captures: HostCaptures | None = None,
        plugins: HostPlugins | None = None,
        admission: Admission | None = None,
        journal: Journal | None = None,
        traces: Traces | None = None,
    ) -> None:
        self._journal = Journal("host") if journal is None else journal
        self.on_ended: Callable[[HostedCall], None] | None = None
        """Called with each call that is over, while all of it can still be looked at."""
        self._admission = admission
        self._recordings = recordings
        self._captures = captures
        self._plugins = plugins
        self._platform = platform
        self._client = client
        self._bot = bot
        self._users = users
        self._meetings = meetings or {}
        self._addresses = addresses
        self._calls: dict[str, HostedCall] = {}
        self._sessions: dict[str, MediaSession] = {}
        self.concerns = CallConcerns(bot.name, traces)
        """Which call a media session is of, for logs and traces."""
        self._ended: dict[str, CallReport] = {}
        self.totals = CallTotals()
        self.handling = TimeHistogram(LAG_BOUNDS_S)
        """From a notification's arrival until the bot's handlers came to it."""
        self._creating = 0
        self._is_closing = False
        self._early: deque[tuple[Notification, str]] = deque()
        self.prompts = PromptFiles(lambda: urljoin(self._addresses().callback_uri, "/").rstrip("/"))
        self._strangers = Strangers(self._ask_about, self._adopt)

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

    @property
    def unknown(self) -> int:
        """How many calls that the host was told of the service did not know either."""
        return self._strangers.unknown

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

    def find_user(self, name_or_id: str) -> Identity:
        """Return the user whom *name_or_id* means: an id, or a name that the settings know.

        Raises: UnknownUserError.
        """
        wanted = name_or_id.casefold()
        for name, user_id in self._users.items():
            if wanted in (name.casefold(), user_id.casefold()):
                return Identity.user(user_id, name)
        if is_guid(name_or_id) or not self._users:
            return Identity.user(name_or_id)
        raise UnknownUserError(f"no user {name_or_id!r}: known are {', '.join(self._users)}")

    def find_meeting(self, subject: str) -> str:
        """Return the join URL of the meeting of that name, which the settings know.

        Raises: UnknownMeetingError.
        """
        wanted = subject.casefold()
        for name, join_url in self._meetings.items():
            if name.casefold() == wanted:
                return join_url
        names = ", ".join(self._meetings) or "none"
        raise UnknownMeetingError(f"no meeting {subject!r}: known are {names}")

    async def create(
        self,
        *,
        user: str | None = None,
        users: Sequence[str] = (),
        phone: str | None = None,
        targets: Sequence[Target] = (),
        media: MediaKind = "app",
        prefetch: Sequence[Playable] = (),
        in_default_mix: bool = True,
        source: Identity | None = None,
        subject: str | None = None,
        ringing_timeout_s: int | None = None,
        routing_policies: Sequence[str] = (),
        options: Options | None = None,
    ) -> HostedCall:
        """Call a user (an id, or a name that the settings know), a telephone, or several users.

        Returns once the service took it on. *targets* are others, or more exactly said.
        Raises: UnknownUserError, GraphRequestError, TokenError; GraphConnectionError also when the
                host is stopping (a call that the service takes on while it does is hung up), and
                as HostBusyError when it takes no new calls;
                ValueError without a target, or for a telephone without an application instance.
        """
        wanted: list[Target] = [self.find_user(name) for name in (user, *users) if name is not None]
        addresses = self._addresses()
        if phone is not None:
            wanted.append(Identity.phone(phone))
            source = source or self._instance(addresses)
        wanted += targets
        if not wanted:
            raise ValueError("expected somebody to call: user, users, phone or targets")
        source = source or Identity.application(addresses.app_id, self._bot.name)
        if options is None and len(wanted) > 1:
            options = DELTA_ROSTER

        def send(where: Media) -> Awaitable[CallInfo]:
            return self._client.create(
                *wanted,
                callback_uri=addresses.callback_uri,
                media=where,
                source=source,
                tenant_id=addresses.tenant_id,
                subject=subject,
                ringing_timeout_s=ringing_timeout_s,
                routing_policies=routing_policies,
                options=options,
            )

        return await self._make(send, media, prefetch, in_default_mix, peer_of(wanted))

    async def join(
        self,
        *,
        meeting: str | None = None,
        join_url: str | None = None,
        join_meeting_id: str | None = None,
        passcode: str | None = None,
        token: str | None = None,
        info: JoinInfo | None = None,
        tenant_id: str | None = None,
        guest_name: str | None = None,
        media: MediaKind = "app",
        prefetch: Sequence[Playable] = (),
        in_default_mix: bool = True,
        source: Identity | None = None,
        allow_without_host: bool = True,
        options: Options | None = DELTA_ROSTER,
    ) -> HostedCall:
        """Join a meeting by its link, its join id, or a name that the settings know (*meeting*).

        With *guest_name* as a guest. Returns once the service took it on; a guest may wait in the
        lobby then. To join one meeting more than once, give each a *source* of its own.
        Raises: UnknownMeetingError; JoinUrlError on a link that is none; GraphRequestError,
                TokenError, GraphConnectionError; ValueError on half a meeting.
        """
        addresses = self._addresses()
        if meeting is not None:
            join_url = self.find_meeting(meeting)
        wanted = find_meeting(
            join_url=join_url,
            join_meeting_id=join_meeting_id,
            passcode=passcode,
            token=token,
            info=info,
            allow_without_host=allow_without_host,
        )
        if guest_name is not None:
            source = Identity.guest(str(uuid.uuid4()), guest_name)
        tenant = tenant_id or wanted.info.tenant_id or addresses.tenant_id
        client = self._client_of(tenant)

        def send(where: Media) -> Awaitable[CallInfo]:
            return client.join(
                wanted,
                callback_uri=addresses.callback_uri,
                media=where,
                source=source or Identity.application(addresses.app_id, self._bot.name),
                tenant_id=tenant,
                options=options,
            )

        meeting_id = wanted.info.join_meeting_id or wanted.info.thread_id
        return await self._make(
            send, media, prefetch, in_default_mix, Peer(meeting_id, "a meeting")
        )

    async def close(self) -> None:
        """Hang up all calls, wait until nothing of them is left, and make no more."""
        self._is_closing = True
        await self._strangers.close()
        calls = tuple(self)
        await asyncio.gather(*(call.leave() for call in calls))
        await asyncio.gather(*(call.wait_closed() for call in calls))

    def deliver(self, notification: Notification, tenant_id: str) -> Delivery:
        """Hand *notification*, by a token of *tenant_id*, to its call."""
        delivery = self._hand(notification, tenant_id)
        if delivery is not Delivery.FOREIGN:
            self._note(notification, delivery)
        return delivery

    def _note(self, notification: Notification, delivery: Delivery) -> None:
        """Write down what was told, under the id by which its call is known here."""
        call, path = self.get(notification.call_id), notification.resource_path
        change, data = str(notification.change_type), notification.resource_data
        self._journal.record(
            "notification",
            notification.call_id if call is None else call.id,
            f"{notification_title(change, path, data)}: {delivery.name.lower()}",
            {"changeType": change, "resource": "/".join(path), "resourceData": data},
            direction="in",
        )

    def _hand(self, notification: Notification, tenant_id: str) -> Delivery:
        key = normal_id(notification.call_id)
        call = self._calls.get(key)
        if call is not None:
            if call.tenant_id.casefold() != tenant_id.casefold():
                return Delivery.FOREIGN
            call.note_notification(notification)
            return Delivery.TAKEN if call.deliver(notification) else Delivery.FULL
        if key in self._ended:
            return Delivery.TAKEN
        if (resource := incoming_call(notification)) is not None:
            return self._take_incoming(resource, tenant_id)
        if self._creating:
            # The first notifications may overtake the answer to the creation.
            if len(self._early) >= MAX_EARLY:
                return Delivery.FULL
            self._early.append((notification, tenant_id))
            return Delivery.TAKEN
        if self._is_closing or self._strangers.is_nobody(key):
            return Delivery.UNKNOWN
        return Delivery.TAKEN if self._strangers.take(notification, tenant_id) else Delivery.FULL

    # Making calls.

    async def _make(
        self,
        send: Callable[[Media], Awaitable[CallInfo]],
        media: MediaKind,
        prefetch: Sequence[Playable],
        in_default_mix: bool,
        peer: Peer,
    ) -> HostedCall:
        with self.concerns.made():
            return await self._ask_for(send, media, prefetch, in_default_mix, peer)

    async def _ask_for(
        self,
        send: Callable[[Media], Awaitable[CallInfo]],
        media: MediaKind,
        prefetch: Sequence[Playable],
        in_default_mix: bool,
        peer: Peer,
    ) -> HostedCall:
        self._expect_open()
        session = self._open_session() if media == "app" else None
        self._creating += 1
        created_at_s = time.monotonic()
        try:
            prompts = [self.prompts.prompt(prompt) for prompt in prefetch]
            info = await send(media_of(session, prompts, in_default_mix=in_default_mix))
        except BaseException:
            self._creating -= 1
            self._deliver_early()
            if session is not None:
                await self._drop_session(session)
            raise
        self._creating -= 1
        tenant_id = info.tenant_id or self._addresses().tenant_id
        call = self._add(info.raw, peer, tenant_id, session, created_at_s=created_at_s)
        self._deliver_early()
        if self._is_closing:
            await call.hang_up()
        return call

    def _expect_open(self) -> None:
        if self._is_closing:
            raise GraphConnectionError("the host is stopping")
        if self._admission is not None and (refusal := self._admission.refusal()):
            raise HostBusyError(refusal)

    def _add(
        self,
        resource: Mapping[str, Any],
        peer: Peer,
        tenant_id: str,
        session: MediaSession | None = None,
        *,
        created_at_s: float,
        is_owned: bool = True,
    ) -> HostedCall:
        client, capture = self._client_of(tenant_id), None
        if self._captures is not None and is_owned:
            media = "service" if session is None else "app"
            capture = self._captures.begin(resource, tenant_id=tenant_id, media=media)
            client = capture.through(client)
        surroundings = Surroundings(
            self._bot,
            client,
            self._addresses().callback_uri,
            self._open_session,
            self._drop_session,
            self.prompts,
            self._on_ended,
            self._recordings,
            self._plugins,
            self.totals,
            self.handling,
            self._journal,
        )
        is_incoming = resource.get("state") == CallState.INCOMING
        with self.concerns.begun(str(resource["id"]), is_incoming=is_incoming):
            call = HostedCall(
                resource,
                surroundings,
                peer=peer,
                tenant_id=tenant_id,
                session=session,
                created_at_s=created_at_s,
                is_owned=is_owned,
            )
            self._calls[normal_id(call.id)] = call
            self.totals.begin(is_incoming=call.state is CallState.INCOMING)
            if capture is not None:
                call.be_captured(capture)
            call.start()
        return call

    def _client_of(self, tenant_id: str) -> CallsClient:
        own = self._addresses().tenant_id
        return self._client.for_tenant(
            None if tenant_id.casefold() == own.casefold() else tenant_id
        )

    def _open_session(self) -> MediaSession:
        session = MediaSession(self._platform, mp_uri=self._addresses().mp_uri)
        self._sessions[session.session_id] = session
        self.concerns.add_session(session.session_id)
        return session

    async def _drop_session(self, session: MediaSession) -> None:
        self._forget_session(session)
        await session.close()

    def _forget_session(self, session: MediaSession) -> None:
        self._sessions.pop(session.session_id, None)
        self.concerns.forget_session(session.session_id)

    def _instance(self, addresses: Addresses) -> Identity:
        if addresses.application_instance_id is None:
            raise ValueError(
                "expected the application instance that telephones are called from:"
                " MIXMINUS_APPLICATION_INSTANCE_ID, or source"
            )
        return Identity.application_instance(addresses.application_instance_id, self._bot.name)

    # Calls that others made.

    def _take_incoming(self, resource: Mapping[str, Any], tenant_id: str) -> Delivery:
        info = CallInfo.read(resource)
        if info.tenant_id is not None and info.tenant_id.casefold() != tenant_id.casefold():
            return Delivery.FOREIGN
        if self._is_closing:
            return Delivery.UNKNOWN
        if self._admission is not None and self._admission.refusal():
            return Delivery.BUSY
        caller = info.source
        peer = Peer(None) if caller is None else Peer(caller.id, caller.display_name)
        self._add(resource, peer, tenant_id, created_at_s=time.monotonic())
        return Delivery.TAKEN

    async def _ask_about(self, call_id: str, tenant_id: str) -> CallInfo | None:
        return await self._client_of(tenant_id).get(call_id)

    def _adopt(self, info: CallInfo, tenant_id: str, waiting: list[Notification]) -> None:
        """Follow a call that this host did not make, and hand it what was told of it meanwhile.

        Audio that goes to another process, or went to one that is no more, cannot come here: such
        a call is followed, and neither kept alive nor ended by this host.
        """
        log.info("call %s: found at the service", info.id)
        others = [target for target in info.targets if target.kind != "application"]
        peer = peer_of(others) if others else Peer(None, "a meeting" if info.meeting else None)
        is_owned = not info.is_app_hosted
        self._add(info.raw, peer, tenant_id, created_at_s=time.monotonic(), is_owned=is_owned)
        for notification in waiting:
            self._hand(notification, tenant_id)

    def _deliver_early(self) -> None:
        early = tuple(self._early)
        self._early.clear()
        for notification, tenant_id in early:
            self._hand(notification, tenant_id)

    def _on_ended(self, call: HostedCall) -> None:
        if call.session is not None:
            self._forget_session(call.session)
        self._calls.pop(normal_id(call.id), None)
        age_s = call.states[-1].at_ms / 1000
        self.totals.end(call.result, age_s, bot_failed=call.bot_error is not None)
        self._ended[normal_id(call.id)] = _report(call)
        if self.on_ended is not None:
            self.on_ended(call)
        if len(self._ended) > MAX_ENDED:
            del self._ended[next(iter(self._ended))]


def _report(call: HostedCall) -> CallReport:
    lateness_us = np.empty(0, np.float32) if call.session is None else call.session.lateness_us()
    return CallReport(call.describe(), lateness_us)
