"""The calls of a bot host: making them, finding them, handing each its notifications."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urljoin

import numpy as np

from mixminus.media.platform import MediaPlatform
from mixminus.media.session import MediaSession

from ..call_totals import CallTotals
from ..client.bodies import Media, Options, Target, call_body
from ..client.calls import CallsClient, find_meeting
from ..client.models import CallInfo, Identity
from ..client.requests import GraphConnectionError
from ..graph.enums import CallState
from ..graph.joinurl import JoinInfo
from ..graph.notifications import Notification, normal_id
from ..histogram import LAG_BOUNDS_S, TimeHistogram
from ..journal import Journal
from ..operation.admission import Admission
from ..operation.traces import Traces
from ..replay.capture import HostCaptures
from ..store.host_base import HostCallRow
from .bot import Bot
from .call import HostedCall
from .call_concerns import CallConcerns
from .call_facts import Addresses as Addresses
from .call_facts import CallReport as CallReport
from .call_facts import Delivery as Delivery
from .call_facts import peer_of
from .durable import CallKeep
from .errors import HostBusyError
from .keeping import HostKeeping
from .link_loss import go_on_anew
from .names import KnownNames, callback_of, instance_of
from .parts import DELTA_ROSTER, MediaKind, Peer, Surroundings
from .plugins import HostPlugins
from .prompts import Playable, PromptFiles
from .receiving import CallReceiving
from .recording import HostRecordings
from .strangers import Strangers

log = logging.getLogger("mixminus.control.host")

MAX_ENDED: Final = 100
MAX_LEFT: Final = 10_000
"""Ids of calls that were let go: a request for one may have been under way for as long."""


class HostCalls(KnownNames, CallReceiving):
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
        keeping: HostKeeping | None = None,
    ) -> None:
        self.keeping = keeping
        """The host's store, and who the host is in it; None for calls that nobody rejoins."""
        self.on_found: Callable[[HostCallRow, CallInfo], None] | None = None
        self.on_released: Callable[[Sequence[Notification]], None] = lambda notifications: None
        self.on_link_lost: Callable[[HostCallRow], None] | None = None
        """Called with a call of ours that lost its media, and is to be joined again."""
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
        self._left: dict[str, None] = {}
        self.totals = CallTotals()
        self.handling = TimeHistogram(LAG_BOUNDS_S)
        """From a notification's arrival until the bot's handlers came to it."""
        self._creating = 0
        self._is_closing = False
        self._early: deque[tuple[Notification, str]] = deque()
        self.prompts = PromptFiles(lambda: urljoin(self._addresses().callback_uri, "/").rstrip("/"))
        self._strangers = Strangers(self._ask_about, self._adopt, self._let_wait, self._drop)

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

    def is_left(self, call_id: str) -> bool:
        """Say whether this host has let go of the call of that id: it is another's to ask for."""
        call = self.get(call_id)
        return normal_id(call_id) in self._left if call is None else call.is_anothers

    def report(self, call_id: str) -> CallReport | None:
        """Report on a living call, or on one of the last ended ones."""
        call = self.get(call_id)
        return self._ended.get(normal_id(call_id)) if call is None else _report(call)

    def session(self, session_id: str) -> MediaSession | None:
        """Return the media session of that id, of a call that is being made or not yet over."""
        return self._sessions.get(session_id)

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
            source = source or instance_of(addresses, self._bot.name)
        wanted += targets
        if not wanted:
            raise ValueError("expected somebody to call: user, users, phone or targets")
        source = source or Identity.application(addresses.app_id, self._bot.name)
        if options is None and len(wanted) > 1:
            options = DELTA_ROSTER

        def write(where: Media) -> dict[str, Any]:
            return call_body(
                callback_uri=addresses.callback_uri,
                media=where,
                targets=wanted,
                source=source,
                tenant_id=addresses.tenant_id,
                subject=subject,
                ringing_timeout_s=ringing_timeout_s,
                routing_policies=routing_policies,
                options=options,
            )

        peer = peer_of(wanted)
        return await self._make(
            "create", write, media, prefetch, in_default_mix, peer, self._client.post
        )

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

        def write(where: Media) -> dict[str, Any]:
            body = call_body(
                callback_uri=addresses.callback_uri,
                media=where,
                source=source or Identity.application(addresses.app_id, self._bot.name),
                tenant_id=tenant,
                options=options,
            )
            return {**body, **wanted.members()}

        peer = Peer(wanted.info.join_meeting_id or wanted.info.thread_id, "a meeting")
        return await self._make("join", write, media, prefetch, in_default_mix, peer, client.post)

    async def close(self) -> None:
        """Hang up all calls, wait until nothing of them is left, and make no more."""
        self._is_closing = True
        await self._strangers.close()
        calls = tuple(self)
        await asyncio.gather(*(call.leave() for call in calls))
        await asyncio.gather(*(call.wait_closed() for call in calls))

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
        keep: CallKeep | None = None,
        is_rejoined: bool = False,
    ) -> HostedCall:
        client, capture = self._client_of(tenant_id), None
        if self._captures is not None and is_owned:
            media = "service" if session is None else "app"
            capture = self._captures.begin(resource, tenant_id=tenant_id, media=media)
            client = capture.through(client)
        surroundings = Surroundings(
            self._bot,
            client,
            callback_of(self._addresses(), None if keep is None else keep.lineage),
            self._open_session,
            self._drop_session,
            self.prompts,
            self._on_ended,
            self._go_on,
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
                keep=keep,
                is_rejoined=is_rejoined,
            )
            self._calls[normal_id(call.id)] = call
            self._left.pop(normal_id(call.id), None)
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

    def _open_session(self, lineage: str | None = None, epoch: int = 1) -> MediaSession:
        mp_uri = self._addresses().mp_uri
        session = MediaSession(self._platform, mp_uri=mp_uri, lineage=lineage, epoch=epoch)
        self._sessions[session.session_id] = session
        self.concerns.add_session(session.session_id)
        return session

    async def _go_on(self, call: HostedCall) -> bool:
        client, begin = self._client_of(call.tenant_id), self.on_link_lost
        return await go_on_anew(call, client, self.can_join_again, begin)

    async def _drop_session(self, session: MediaSession) -> None:
        self._forget_session(session)
        await session.close()

    def _forget_session(self, session: MediaSession) -> None:
        self._sessions.pop(session.session_id, None)
        self.concerns.forget_session(session.session_id)

    def _on_ended(self, call: HostedCall) -> None:
        if call.session is not None:
            self._forget_session(call.session)
        self._calls.pop(normal_id(call.id), None)
        age_s = call.states[-1].at_ms / 1000
        self.totals.end(call.result, age_s, bot_failed=call.bot_error is not None)
        self._ended[normal_id(call.id)] = _report(call)
        if call.is_anothers:
            self._left[normal_id(call.id)] = None
            if len(self._left) > MAX_LEFT:
                del self._left[next(iter(self._left))]
        if self.on_ended is not None:
            self.on_ended(call)
        if len(self._ended) > MAX_ENDED:
            del self._ended[next(iter(self._ended))]


def _report(call: HostedCall) -> CallReport:
    lateness_us = np.empty(0, np.float32) if call.session is None else call.session.lateness_us()
    return CallReport(call.describe(), lateness_us)
