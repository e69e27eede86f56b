"""The embedded call service: its parts put together, started and stopped."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Self

from fastapi import FastAPI

from mixminus.media.bridge import Leg
from mixminus.media.descriptor import MediaSessionDescriptor
from mixminus.media.platform import MediaPlatform
from mixminus.media.transports.base import Transport
from mixminus.media.transports.link import LinkError, connect_link
from mixminus.media.transports.webrtc import WebRtcTransport

from ..devfile import DevFile, DevUser
from ..serving import HttpsServer, listening_socket
from ..store.base import AppRow
from ..store.sqlite import SqliteStore
from ..tls import LOCAL_HOSTS, LocalAuthority, client_context
from .calls import CallBook
from .conference import MediaEdges
from .directory import Directory, register_app
from .envelope import add_error_handlers
from .graph_routes import GraphRoutes
from .guard import AddressGuard
from .keys import SigningKey, new_key_pem
from .live_call import CallServices
from .notifier import Notifier
from .oauth import Authority
from .rtc import RtcEndpoint
from .settings import ServiceSettings
from .switchboard import Switchboard
from .tokens import AccessTokens, NotificationTokens
from .urls import ServiceUrls

STORE_NAME = "service.db"

MakeEdges = Callable[[MediaPlatform, ServiceSettings, Path], MediaEdges]


class StateDirInUseError(OSError):
    """Another call service works in that state directory."""


class CallService:
    """A Graph-compatible call service on this machine. Enter it to start, leave it to stop.

    ``platform`` is the process's engine if it already has one, else the service runs its own.
    ``make_edges`` puts other media ends in the place of WebRTC and the media link.

    Raises: PortInUseError, StateDirInUseError, StoreError on entering.
    Thread: the loop that entered it.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        *,
        platform: MediaPlatform | None = None,
        make_edges: MakeEdges | None = None,
    ) -> None:
        self._settings = settings
        self._platform = platform
        self._make_edges = make_edges or open_edges
        self._exits = AsyncExitStack()
        self.urls: ServiceUrls
        self.store: SqliteStore
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
        exits.callback(os.close, _lock_directory(state_dir))
        authority = LocalAuthority(state_dir)
        sock = listening_socket(
            "127.0.0.1" if settings.bind == "localhost" else settings.bind, settings.port
        )
        exits.callback(sock.close)
        port = int(sock.getsockname()[1])
        urls = self.urls = ServiceUrls.at(settings.public_host, port, settings.tenant_id)

        store = self.store = await SqliteStore.open(state_dir / STORE_NAME)
        exits.push_async_callback(store.close)
        app_row = await register_app(store, settings)
        directory = await Directory.load(store)
        token_key = SigningKey(await store.secret("token key", new_key_pem))
        notification_key = SigningKey(await store.secret("notification key", new_key_pem))
        self.access_tokens = AccessTokens(token_key, urls)

        platform = self._platform
        if platform is None:
            platform = await exits.enter_async_context(MediaPlatform())
        guard = AddressGuard(allow_private=settings.may_reach_private)
        notifier = Notifier(
            store,
            NotificationTokens(notification_key, urls),
            guard,
            settings,
            client_context(authority.ca_file, system_roots=True),
        )
        exits.push_async_callback(notifier.close)
        switchboard = Switchboard()
        edges = self._make_edges(platform, settings, authority.ca_file)
        services = CallServices(store, notifier, switchboard, platform, edges, settings)
        book = self.book = CallBook(services, directory, guard)

        app = FastAPI(title="mixminus call service", docs_url=None, redoc_url=None)
        add_error_handlers(app)
        GraphRoutes(book, store, self.access_tokens, urls).add_to(app)
        oauth = Authority(store, urls, self.access_tokens, token_key, notification_key)
        app.include_router(oauth.router())
        rtc = RtcEndpoint(directory, switchboard, book, settings.register_s)
        app.add_api_websocket_route("/rtc", rtc.serve)

        @app.get("/healthz", tags=["mixminus"])
        async def healthz() -> dict[str, object]:
            """Say how the service is."""
            counts = await store.notification_counts()
            return {
                "status": "ok",
                "calls": book.living,
                "notificationsPending": counts.pending,
                "engine": asdict(platform.stats()),
            }

        await book.end_leftovers()
        hosts = dict.fromkeys((settings.public_host, *LOCAL_HOSTS))
        server = HttpsServer(app, certificate=authority.issue(*hosts), sock=sock)
        exits.push_async_callback(server.stop)
        await server.start()
        exits.push_async_callback(notifier.drain, settings.drain_s)
        exits.push_async_callback(book.close)
        await notifier.start()
        self.dev_file = _dev_file(urls, app_row, directory, authority.ca_file)
        self.dev_file.save(state_dir)


def open_edges(platform: MediaPlatform, settings: ServiceSettings, ca_file: Path) -> MediaEdges:
    """Reach callers by WebRTC and bots by the media link."""
    ssl_context = client_context(ca_file, system_roots=True)
    addresses = settings.media_addresses

    def make_caller(leg: Leg) -> WebRtcTransport:
        return WebRtcTransport(platform, leg, bind=addresses)

    async def connect(leg: Leg, descriptor: MediaSessionDescriptor) -> Transport:
        if descriptor.link_secret is None and descriptor.mp_uri.startswith("wss:"):
            raise LinkError("the blob has no mixminus member: nothing proves the media link")
        return await connect_link(
            platform,
            leg,
            mp_uri=descriptor.mp_uri,
            session_id=descriptor.mp_media_session_id,
            secret=descriptor.link_secret or b"",
            ssl_context=ssl_context,
        )

    return MediaEdges(make_caller, connect)


def _dev_file(urls: ServiceUrls, app: AppRow, directory: Directory, ca_file: Path) -> DevFile:
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
    )


def _lock_directory(state_dir: Path) -> int:
    """Hold the state directory for this process; return the descriptor that holds it."""
    descriptor = os.open(state_dir / ".service.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise StateDirInUseError(f"another call service works in {state_dir}") from None
    return descriptor
