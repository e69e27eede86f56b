"""The bot host: what a bot's author runs. It makes calls, takes notifications, carries media."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import urlsplit

from mixminus.media.fence import Fence
from mixminus.media.platform import MediaPlatform

from ..acs.signing import ConnectionString
from ..client.calls import CallsClient
from ..client.errors import CLIENT_ERRORS
from ..client.keys import KeyCache
from ..client.records import CallRecordsClient
from ..client.requests import GraphClient
from ..client.tokens import ClientCredentials
from ..client.webhook import TokenValidator
from ..graph.joinurl import JoinUrlError
from ..journal import Journal
from ..operation.call_requests import CallRequests
from ..operation.health import HealthPages
from ..operation.metrics import HttpCounts
from ..operation.operation import Operation
from ..operation.redaction import secrets_of
from ..operation.settings import OperationSettings
from ..replay.capture import HostCaptures
from ..serving import AsgiApp, HttpsServer
from ..settings import HostSettings
from ..state_dir import HOST_LOCK, hold_state_dir
from ..store.opening import open_host_store
from ..tls import LOCAL_HOSTS, Certificate, LocalAuthority, client_context
from .acs import AcsSettings, HostAcs
from .acs_routes import CALLBACK_PATH as ACS_CALLBACK_PATH
from .bot import Bot
from .calls import Addresses, HostCalls
from .console import HostConsole
from .errors import UnknownMeetingError, UnknownUserError
from .fleet.fleet import HostFleet
from .fleet.gate import GraphGate
from .hostfile import HostFile
from .inbox import CallInbox
from .keeping import HOST_STORE_NAME, HostKeeping
from .metrics import ROLE, HostSource
from .plugins import HostPlugins
from .preflight import check_paths
from .recording import HostRecordings
from .registration import WebhookRegistration
from .rejoin import Rejoin
from .stream_auth import AcsTokens, KeyFile
from .streams import HostStreams, StreamAccess
from .web import CALLBACK_PATH, MEDIA_PATH, create_app
from .webhook_counters import WebhookCounters
from .wishing import answer_wish

if TYPE_CHECKING:
    from ..console.console import Console
    from ..store.host_base import HostStore

log = logging.getLogger("mixminus.control.host")

CA_KEY_NAME: Final = "ca-key.pem"
"""Where LocalAuthority keeps its key, beside its certificate."""


class BotHost:
    """One bot, its calls and their media, in the running loop.

    ``async with BotHost(bot, settings) as host`` serves until the block is left; then all calls are
    hung up and nothing is left running. ``host.calls`` makes and finds calls, ``host.streams``
    those that come by telephony streams. ``host.records`` has
    the records of ended ones, ``host.client`` the API's methods by call id, for calls that are not
    this host's. *platform* is the process's running engine if it already has one; else the host
    runs its own. *operation* is what that process shares: its admission decides about new calls;
    *console* then shows the host's calls, at /console unless another role has it.
    Thread: the loop's.
    """

    def __init__(
        self,
        bot: Bot,
        settings: HostSettings,
        *,
        platform: MediaPlatform | None = None,
        operation: Operation | None = None,
        console: Console | None = None,
    ) -> None:
        self._console = console
        self.bot = bot
        self.settings = settings
        if platform is None and operation is not None:
            platform = operation.platform
        self._owns_platform = platform is None
        self.platform = platform or MediaPlatform()
        self._owns_operation = operation is None
        self.operation = operation or Operation(OperationSettings(), self.platform)
        self.operation.expect_platform(self.platform)
        self.health = HealthPages("bot host", self.operation, describe=self._describe)
        self.admin_token = secrets.token_urlsafe(32)
        self.journal = Journal("host", self.operation.redactor)
        """What was told, done and seen lately."""
        self.operation.redactor.learn(*self._secrets())
        self.webhook_counters = WebhookCounters()
        self.links_refused = 0
        self.fence = Fence()
        """Nothing is sent while it is shut: after a standstill, until our calls are ours again."""
        self._gate = GraphGate()
        context = client_context(settings.ca_file)
        self._tokens = ClientCredentials(
            settings.authority_url,
            settings.app_id,
            settings.client_secret.get_secret_value(),
            ca_file=settings.ca_file,
        )
        self._graph = GraphClient(
            settings.graph_base_url,
            self._tokens,
            version=settings.graph_version,
            ssl_context=context,
            journal=self.journal,
            gate=self._gate,
        )
        self._keys = KeyCache(settings.open_id_config_url, ssl_context=context)
        self.validator = TokenValidator(
            self._keys, audience=settings.app_id, issuers=settings.notification_issuers
        )
        self.client = CallsClient(self._graph)
        self.records = CallRecordsClient(self._graph)
        self.recordings = HostRecordings.of_settings(settings, self.platform)
        self.plugins = HostPlugins(self.platform, settings.plugins)
        self.keeping = HostKeeping(settings.instance_name, settings.app_id, self._open_store)
        """The host's store, and its name in it."""
        self.calls = HostCalls(
            platform=self.platform,
            client=self.client,
            bot=bot,
            users=settings.users,
            meetings=settings.meetings,
            addresses=self._addresses,
            recordings=self.recordings,
            captures=self._make_captures() if settings.capture else None,
            plugins=self.plugins,
            admission=self.operation.admission,
            journal=self.journal,
            traces=self.operation.traces,
            keeping=self.keeping,
        )
        self.inbox = CallInbox(self.keeping, self.calls, self.webhook_counters)
        """What the host was told: in the store before it is acknowledged."""
        self.fleet = self._make_fleet()
        """The hosts that share our store, and the calls that come back here."""
        self.inbox.place = self.fleet.place
        self._acs_keys = self._make_acs_keys()
        self.acs_tokens = self._make_acs_tokens()
        self.streams = HostStreams(
            platform=self.platform,
            bot=bot,
            access=self._stream_access(),
            url=lambda: self.url,
            recordings=self.recordings,
            plugins=self.plugins,
            admission=self.operation.admission,
            journal=self.journal,
        )
        self.console_source = HostConsole(self)
        """What a console shows and does of this host."""
        self.acs = self._make_acs()
        """Call control of Azure Communication Services; None without ``acs_connection_string``."""
        keys = {"notifications": self._keys}
        if isinstance(self._acs_keys, KeyCache):
            keys["acs"] = self._acs_keys
        self._metrics = HostSource(self, tokens=self._tokens, graph=self._graph, keys=keys)
        self._registration = WebhookRegistration(self._graph, settings.app_id)
        self._port = 0
        self._start_task: asyncio.Task[None] | None = None
        self._stack = AsyncExitStack()

    @property
    def url(self) -> str:
        """Where others reach this host."""
        return self.settings.public_url or f"https://localhost:{self._port}"

    async def __aenter__(self) -> Self:
        """Start serving.

        Raises: ConfigError and PluginError, which name the setting; StoreError; PortInUseError;
                StateDirInUseError; what the certificate's files or addresses raise as OSError.
        """
        check_paths(self.settings)
        self.operation.phases.end("process")
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._tokens.close)
            stack.push_async_callback(self._graph.close)
            stack.push_async_callback(self._keys.close)
            if isinstance(self._acs_keys, KeyCache):
                stack.push_async_callback(self._acs_keys.close)
            if self._owns_platform:
                await stack.enter_async_context(self.platform)
            if self._owns_operation:
                await stack.enter_async_context(self.operation)
            await stack.enter_async_context(self.plugins)
            await stack.enter_async_context(self.recordings)
            stack.push_async_callback(self.keeping.close)
            await self.keeping.open()
            stack.callback(os.close, self._hold_state_dir())
            self.operation.phases.end("store")
            counted = HttpCounts(CallRequests(create_app(self), self.operation.traces), ROLE)
            for source in (self._metrics, counted):
                self.operation.metrics.add_source(source)
                stack.callback(self.operation.metrics.remove_source, source)
            server = HttpsServer(
                self._with_console(counted, stack),
                bind=self.settings.bind,
                port=self.settings.port,
                certificate=self._certificate(),
            )
            stack.push_async_callback(server.stop)
            self._port = await server.start()
            self.operation.phases.end("server")
            host_file = self._host_file().save(self.settings.state_dir)
            stack.callback(host_file.unlink, missing_ok=True)
            stack.push_async_callback(self.fleet.close)
            stack.push_async_callback(self.calls.close)
            stack.push_async_callback(self.inbox.close)
            stack.push_async_callback(self.fleet.stop_taking)
            await self.fleet.start()
            self.operation.phases.end("calls")
            self.inbox.start()
            stack.push_async_callback(self.streams.close)
            if self.acs is not None:
                await stack.enter_async_context(self.acs)
            if self.settings.register_webhook and self.bot.incoming_handler is not None:
                stack.push_async_callback(self._registration.close)
                await self._registration.start(self.url + CALLBACK_PATH)
                self.fleet.on_fewer = lambda: self._registration.again(self.url + CALLBACK_PATH)
            if self.bot.start_handler is not None:
                self._start_task = asyncio.create_task(
                    self._run_start_handler(), name="bot on_start"
                )
                stack.push_async_callback(self._end_start_handler)
            stack.callback(self.operation.count_calls(lambda: len(self.calls) + len(self.streams)))
            self.health.is_started = True
            stack.callback(setattr, self.health, "is_started", False)
            self._stack = stack.pop_all()
        log.info("bot host %r at %s, instance %s", self.bot.name, self.url, self.fleet.instance)
        return self

    async def __aexit__(self, *error: object) -> None:
        """Hang up all calls, stop serving, stop the engine."""
        await self._stack.aclose()

    async def wait_failed(self) -> None:
        """Wait for ever, unless the bot's ``on_start`` fails: then raise what it raised.

        Also InstanceInUseError when another process has taken this host's name.
        """
        failed = asyncio.create_task(self.fleet.wait_failed())
        try:
            if self._start_task is not None:
                await asyncio.wait({self._start_task, failed}, return_when="FIRST_COMPLETED")
                if self._start_task.done():
                    self._start_task.result()
            await failed
        finally:
            failed.cancel()

    def _with_console(self, app: AsgiApp, stack: AsyncExitStack) -> AsgiApp:
        """Return what our server is to have: *app*, with the process's console if it has one."""
        if self._console is None:
            return app
        public = urlsplit(self.settings.public_url or "").hostname
        served = self._console.join(
            self.console_source,
            self.journal,
            app,
            url=lambda: self.url,
            hosts=() if public is None else (public,),
            ca_file=self._authority().ca_file if self.settings.cert_file is None else None,
        )
        stack.push_async_callback(self._console.leave, "host")
        return served

    async def _describe(self) -> dict[str, Any]:
        """Return what /healthz says beside the heartbeat."""
        return {
            "calls": len(self.calls),
            "streams": len(self.streams),
            "scheduling": self.platform.scheduling,
            "plugins": self.plugins.health(),
        }

    async def _run_start_handler(self) -> None:
        assert self.bot.start_handler is not None
        try:
            await self.bot.start_handler(self)
        except (*CLIENT_ERRORS, UnknownUserError, UnknownMeetingError, JoinUrlError) as exc:
            log.error("the bot's on_start failed: %s", exc)  # noqa: TRY400
            raise
        except Exception:
            log.exception("the bot's on_start failed")
            raise

    async def _end_start_handler(self) -> None:
        task = self._start_task
        if task is None:
            return
        task.cancel()
        # How it failed is logged where it did.
        await asyncio.gather(task, return_exceptions=True)

    def _make_fleet(self) -> HostFleet:
        return HostFleet(
            self.calls,
            self.keeping,
            self.inbox,
            Rejoin(
                self.calls,
                instance=self.keeping.instance,
                store=lambda: self.keeping.store,
                client_of=self._client_of,
                journal=self.journal,
            ),
            fence=self.fence,
            gate=self._gate,
            admission=self.operation.admission,
            capacity_calls=self.settings.capacity_calls,
            url=lambda: self.url,
            client_of=self._client_of,
            make=lambda body: answer_wish(self, body),
        )

    def _client_of(self, tenant_id: str) -> CallsClient:
        own = tenant_id.casefold() == self.settings.tenant_id.casefold()
        return self.client.for_tenant(None if own else tenant_id)

    def _make_acs_keys(self) -> KeyCache | KeyFile | None:
        settings = self.settings
        if settings.acs_resource_id is None:
            return None
        if settings.acs_keys_file is not None:
            return KeyFile(settings.acs_keys_file)
        # The machine's roots vouch for Microsoft, whoever else vouches for the call service.
        context = client_context(settings.ca_file, system_roots=True)
        return KeyCache(settings.acs_open_id_config_url, ssl_context=context)

    def _make_acs(self) -> HostAcs | None:
        settings = self.settings
        if settings.acs_connection_string is None:
            return None
        token = settings.acs_events_token
        return HostAcs(
            AcsSettings(
                ConnectionString.parse(settings.acs_connection_string.get_secret_value()),
                client_context(settings.acs_ca_file),
                caller_number=settings.acs_number,
                channels=settings.acs_channels,
                rate_hz=settings.acs_rate_hz,
                events_token=None if token is None else token.get_secret_value(),
            ),
            bot=self.bot,
            streams=self.streams,
            callback_uri=lambda: self.url + ACS_CALLBACK_PATH,
            admission=self.operation.admission,
        )

    def _make_acs_tokens(self) -> AcsTokens | None:
        settings = self.settings
        if self._acs_keys is None or settings.acs_resource_id is None:
            return None
        return AcsTokens(
            self._acs_keys, audience=settings.acs_resource_id, issuer=settings.acs_issuer
        )

    def _stream_access(self) -> StreamAccess:
        settings = self.settings
        twilio, path = settings.twilio_auth_token, settings.stream_path_token
        return StreamAccess(
            acs=self.acs_tokens,
            twilio_auth_token=None if twilio is None else twilio.get_secret_value(),
            path_token=None if path is None else path.get_secret_value(),
            most=settings.max_streams,
        )

    def _make_captures(self) -> HostCaptures:
        return HostCaptures(
            self.recordings.store, self.platform, bot=self.bot.name, secrets=self._secrets()
        )

    def _secrets(self) -> list[str]:
        """Return what is secret by value: it is taken out of captures and of the journal."""
        return [*secrets_of(self.settings), self.admin_token]

    def _certificate(self) -> Certificate:
        settings = self.settings
        if settings.cert_file is not None and settings.key_file is not None:
            return Certificate(settings.cert_file, settings.key_file)
        public = urlsplit(settings.public_url or "").hostname
        hosts = dict.fromkeys((*LOCAL_HOSTS, *((public,) if public else ())))
        # Into our own directory: another server of that authority may have its files in its own.
        return self._authority().issue(*hosts, directory=settings.state_dir)

    def _authority(self) -> LocalAuthority:
        """Return who signs for us: the authority of the CA we were given, if its key is here."""
        ca_file = self.settings.ca_file
        if ca_file is not None and (ca_file.parent / CA_KEY_NAME).exists():
            return LocalAuthority(ca_file.parent)
        return LocalAuthority(self.settings.state_dir)

    async def _open_store(self) -> HostStore:
        url = self.settings.store_url
        self.settings.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self.settings.state_dir / HOST_STORE_NAME
        return await open_host_store(
            None if url is None else url.get_secret_value(), path, self.keeping.instance
        )

    def _hold_state_dir(self) -> int:
        # Two hosts with names of their own may share a store, but not host.json and the keys.
        state_dir = self.settings.state_dir
        taken = f"another bot host works in {state_dir}: give this one a state_dir of its own"
        return hold_state_dir(state_dir, HOST_LOCK, taken)

    def _host_file(self) -> HostFile:
        settings = self.settings
        is_ours = settings.cert_file is None
        ca_file = self._authority().ca_file if is_ours else settings.ca_file
        return HostFile(
            url=f"https://localhost:{self._port}" if is_ours else self.url,
            token=self.admin_token,
            ca_file=None if ca_file is None else ca_file.absolute(),
            pid=os.getpid(),
        )

    def _addresses(self) -> Addresses:
        return Addresses(
            app_id=self.settings.app_id,
            tenant_id=self.settings.tenant_id,
            callback_uri=f"{self.url}{CALLBACK_PATH}/{self.keeping.instance}",
            mp_uri=self.url.replace("https://", "wss://", 1) + MEDIA_PATH,
            application_instance_id=self.settings.application_instance_id,
        )
