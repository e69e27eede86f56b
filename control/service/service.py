"""The embedded call service: its parts put together, started and stopped."""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Self

from mixminus.media.platform import MediaPlatform

from ..devfile import DEV_FILE_NAME, DevFile, DevMeeting, DevUser
from ..journal import Journal
from ..operation.call_requests import CallRequests
from ..operation.health import HealthPages
from ..operation.metrics import HttpCounts, add_metrics
from ..operation.operation import Operation
from ..operation.settings import OperationSettings
from ..serving import AsgiApp, HttpsServer, listening_socket
from ..state_dir import SERVICE_LOCK, hold_state_dir
from ..store.base import AppRow, MeetingRow, Store, StoreError
from ..store.opening import SERVICE_FILE, open_store
from ..store.rows import secret_of
from ..tls import LOCAL_HOSTS, LocalAuthority, client_context
from .access import Access
from .callers import Callers
from .calls import CallBook
from .console import ServiceConsole
from .directory import Directory, register_app
from .edges import MakeEdges
from .envelope import add_error_handlers
from .guard import AddressGuard
from .ivr.prompts import PromptLibrary
from .ivr.recordings import Recordings
from .ivr.routes import recordings_router
from .keys import SigningKey, new_key_pem
from .leg_plugins import LegPlugins
from .media_edges import open_edges
from .meeting_routes import MeetingRoutes
from .meetings import Meetings
from .metrics import ROLE, ServiceParts, ServiceSource
from .notifier import Notifier
from .oauth import Authority
from .openapi import DescribedApp
from .outbound import Outbound
from .page import page_router
from .records.keeping import KeptConversations
from .records.paging import SkipTokens
from .records.records import Records
from .records.routes import RecordRoutes
from .request_journal import RequestJournal
from .rooms import Rooms
from .routes.base import Surface
from .routes.graph import add_graph_routes
from .rtc import RtcEndpoint
from .services import CallServices
from .settings import ServiceSettings
from .subscription_routes import SubscriptionRoutes
from .subscriptions import Subscriptions
from .switchboard import Switchboard
from .tokens import AccessTokens, NotificationTokens
from .urls import ServiceUrls

if TYPE_CHECKING:
    from ..console.console import Console

log = logging.getLogger("mixminus.control.service")


class CallService:
    """A Graph-compatible call service on this machine. Enter it to start, leave it to stop.

    ``platform`` is the process's engine if it already has one, else the service runs its own;
    ``operation`` what that process shares: its admission decides about new calls.
    ``make_edges`` puts other media ends in the place of WebRTC, the media link and RTP. ``console``
    is the process's, which then shows the service's calls, at /console unless another role has it.

    Raises: PortInUseError, MediaPortError, StateDirInUseError, StoreError, PluginError on entering.
    Thread: the loop that entered it.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        *,
        platform: MediaPlatform | None = None,
        make_edges: MakeEdges | None = None,
        operation: Operation | None = None,
        console: Console | None = None,
    ) -> None:
        self._settings = settings
        self._console = console
        if operation is not None:
            platform = platform or operation.platform
            operation.expect_platform(platform)
        self._platform = platform
        self._operation = operation
        self._make_edges = make_edges or open_edges
        self._exits = AsyncExitStack()
        self.journal = Journal("service")
        """What was told, done and seen lately."""
        self.console_source: ServiceConsole
        """What a console shows and does of this service, once it is entered."""
        self.operation: Operation
        self.urls: ServiceUrls
        self.store: Store
        self.access_tokens: AccessTokens
        self.book: CallBook
        self.dev_file: DevFile

    async def __aenter__(self) -> Self:
        """Start serving; dev.json is written once the port is bound."""
        async with AsyncExitStack() as exits:
            await self._start(exits)
            self._exits = exits.pop_all()
        return self

    async def __aexit__(self, *error: object) -> None:
        """End all calls, say so to their applications, stop serving."""
        await self._exits.aclose()

    async def _start(self, exits: AsyncExitStack) -> None:
        settings, state_dir = self._settings, self._settings.state_dir
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        taken = (
            f"another call service works in {state_dir}: use it with `mixminus serve --dev-file"
            f" {state_dir / DEV_FILE_NAME} --state OTHER`, or give this one another --state"
        )
        exits.callback(os.close, hold_state_dir(state_dir, SERVICE_LOCK, taken))
        authority = LocalAuthority(state_dir)
        sock = listening_socket(
            "127.0.0.1" if settings.bind == "localhost" else settings.bind, settings.port
        )
        exits.callback(sock.close)
        port = int(sock.getsockname()[1])
        urls = self.urls = ServiceUrls.at(settings.public_host, port, settings.tenant_id)

        url = None if settings.store_url is None else settings.store_url.get_secret_value()
        store = self.store = await open_store(url, state_dir / SERVICE_FILE)
        exits.push_async_callback(store.close)
        app_row = await register_app(store, settings)
        directory = await Directory.load(store, settings)
        meetings = self.meetings = await Meetings.load(store, settings, directory)
        token_key = await _signing_key(store, "token key")
        notification_key = await _signing_key(store, "notification key")
        self.access_tokens = AccessTokens(token_key, urls)

        platform = self._platform
        if platform is None:
            platform = await exits.enter_async_context(MediaPlatform(settings.tick_thread_count))
        if self._operation is None:
            own = Operation(OperationSettings(), platform)
            self.operation = await exits.enter_async_context(own)
        else:
            self.operation = self._operation
        self.journal.redactor = self.operation.redactor
        guard = AddressGuard(allow_private=settings.may_reach_private)
        outbound = Outbound(guard, client_context(authority.ca_file, system_roots=True))
        exits.push_async_callback(outbound.close)
        notifier = Notifier(
            store, NotificationTokens(notification_key, urls), outbound, settings, self.journal
        )
        exits.push_async_callback(notifier.close)
        subscriptions = Subscriptions(store, outbound, guard, settings)
        exits.push_async_callback(subscriptions.close)
        exits.push_async_callback(subscriptions.drain, settings.drain_s)
        records = Records(store, subscriptions, settings)
        prompts = PromptLibrary.of_settings(outbound, settings)
        exits.push_async_callback(prompts.close)
        recordings = Recordings.of_settings(urls, settings)
        await recordings.start()
        exits.push_async_callback(recordings.close)
        edges = await exits.enter_async_context(
            self._make_edges(platform, settings, authority.ca_file)
        )
        waiting = platform.create_bridge()
        exits.callback(waiting.close)
        plugins = await exits.enter_async_context(LegPlugins(platform, settings.plugins))
        kept = KeptConversations(store)
        exits.push_async_callback(kept.close)
        rooms = Rooms(platform, settings.tenant_id, records.add, plugins, self.journal, kept)
        exits.push_async_callback(rooms.close)
        services = CallServices(
            store=store,
            notifier=notifier,
            switchboard=Switchboard(),
            platform=platform,
            admission=self.operation.admission,
            edges=edges,
            settings=settings,
            directory=directory,
            rooms=rooms,
            kept=kept,
            waiting=waiting,
            prompts=prompts,
            recordings=recordings,
            journal=self.journal,
            traces=self.operation.traces,
        )
        callers = services.callers = Callers(services, meetings)
        exits.push_async_callback(callers.close)
        book = self.book = services.book = CallBook(services, guard, meetings)

        app = DescribedApp(title="mixminus call service", docs_url=None, redoc_url=None)
        add_error_handlers(app)
        access = Access(self.access_tokens, store, settings)
        add_graph_routes(app, Surface(access, book, urls), store)

        async def save_dev_file() -> None:
            self.dev_file = _dev_file(
                urls, app_row, directory, authority.ca_file, await meetings.all(), settings
            )
            self.operation.redactor.learn(
                *(meeting.passcode for meeting in self.dev_file.meetings if meeting.passcode)
            )
            self.dev_file.save(state_dir)

        app.include_router(MeetingRoutes(meetings, directory, rooms, save_dev_file).router())
        self.console_source = ServiceConsole(services, meetings, plugins, save_dev_file)
        skip_key = await store.secret("skip token key", lambda: secrets.token_hex(32))
        skip_tokens = SkipTokens(secret_of("skip token key", skip_key, bytes.fromhex))
        app.include_router(RecordRoutes(records, access, urls, skip_tokens).router())
        app.include_router(SubscriptionRoutes(subscriptions, access, urls).router())
        oauth = Authority(store, urls, self.access_tokens, token_key, notification_key)
        app.include_router(oauth.router())
        app.include_router(recordings_router(recordings))
        app.include_router(page_router(settings.app_id))
        rtc = RtcEndpoint(directory, services.switchboard, callers, settings.register_s)
        app.add_api_websocket_route("/rtc", rtc.serve)

        async def health() -> dict[str, object]:
            return {
                "calls": book.living,
                "notificationsPending": await _pending(store),
                "changesGivenUp": subscriptions.given_up,
                "engine": asdict(platform.stats()),
                "plugins": plugins.health(),
                **edges.health(),
            }

        async def store_answers() -> bool:
            return await _pending(store) is not None

        pages = HealthPages(
            "call service", self.operation, describe=health, checks={"store": store_answers}
        )
        app.include_router(pages.router())
        metrics = self.operation.metrics
        counted = HttpCounts(
            CallRequests(RequestJournal(app, self.journal), self.operation.traces), ROLE
        )
        add_metrics(app, metrics)
        parts = ServiceParts(services, plugins, subscriptions, oauth)
        for source in (ServiceSource(parts), counted):
            metrics.add_source(source)
            exits.callback(metrics.remove_source, source)

        await book.end_leftovers(records.add)
        hosts = dict.fromkeys((settings.public_host, *LOCAL_HOSTS))
        self.operation.redactor.learn(app_row.secret, *(user.token for user in directory.users))
        served: AsgiApp = counted
        if self._console is not None:
            served = self._console.join(
                self.console_source,
                self.journal,
                counted,
                url=lambda: urls.base,
                hosts=tuple(hosts),
                ca_file=authority.ca_file,
            )
            exits.push_async_callback(self._console.leave, "service")
        server = HttpsServer(served, certificate=authority.issue(*hosts), sock=sock)
        exits.push_async_callback(server.stop)
        await server.start()
        exits.push_async_callback(notifier.drain, settings.drain_s)
        exits.push_async_callback(callers.close)  # While their sockets stand: they are told.
        exits.push_async_callback(book.close)
        await notifier.start()
        kept.start()
        await subscriptions.start()
        await save_dev_file()
        exits.callback(self.operation.count_calls(lambda: book.living + len(callers)))
        pages.is_started = True
        exits.callback(setattr, pages, "is_started", False)


async def _pending(store: Store) -> int | None:
    """Return how many notifications wait; None when the store does not answer."""
    try:
        return (await store.notification_counts()).pending
    except StoreError as error:
        log.warning("the store does not answer: %s", error)
        return None


def _dev_file(
    urls: ServiceUrls,
    app: AppRow,
    directory: Directory,
    ca_file: Path,
    meetings: Sequence[MeetingRow],
    settings: ServiceSettings,
) -> DevFile:
    return DevFile(
        tenant_id=app.tenant_id,
        app_id=app.app_id,
        client_secret=app.secret,
        authority=urls.authority,
        graph_base_url=urls.graph,
        open_id_config_url=urls.open_id_config,
        notification_issuer=urls.notification_issuer,
        rtc_url=urls.rtc,
        ca_file=ca_file.resolve(),
        users=tuple(
            DevUser(id=user.user_id, display_name=user.display_name, token=user.token)
            for user in directory.users
        ),
        meetings=tuple(
            DevMeeting(
                subject=meeting.subject,
                organizer_id=meeting.organizer_id,
                join_url=meeting.join_url,
                thread_id=meeting.thread_id,
                message_id=meeting.message_id,
                join_meeting_id=meeting.join_meeting_id,
                passcode=meeting.passcode,
            )
            for meeting in meetings
            if not meeting.is_ad_hoc
        ),
        application_instance_id=next(iter(settings.app_instances), None),
    )


async def _signing_key(store: Store, name: str) -> SigningKey:
    """Return the key kept under *name*; a new one the first time. Raises: StoreError."""
    return secret_of(name, await store.secret(name, new_key_pem), SigningKey)
