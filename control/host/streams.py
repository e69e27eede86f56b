"""The calls of a bot host that come by telephony streams: admitting, finding, resuming them."""

from __future__ import annotations

import asyncio
import hmac
import logging
import re
import secrets
import ssl
import time
import uuid
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias
from urllib.parse import urlsplit

from mixminus.media.platform import MediaPlatform
from mixminus.media.session import MediaSession
from mixminus.media.transports.message_socket import MessageSocket
from mixminus.media.transports.stream import (
    POLICY_CODE,
    AcsDialect,
    DialectFactory,
    OpenStream,
    StreamError,
    StreamTransport,
    TwilioDialect,
    connect_socket,
    open_stream,
)

from ..call_totals import CallTotals
from ..journal import Journal
from ..operation.admission import Admission, Refusal
from ..operation.call_context import enter_concern
from .bot import Bot
from .calls import CallReport
from .parts import Peer
from .plugins import HostPlugins
from .recording import HostRecordings
from .stream_auth import AcsTokens, StreamRefusedError, check_twilio_signature
from .stream_call import StreamCall, StreamOrigin

log = logging.getLogger("mixminus.control.host")

Kind: TypeAlias = Literal["acs", "twilio"]

STREAMS_PATH: Final = "/streams"
MAX_ENDED: Final = 100
TICKET_TTL_S: Final = 180.0
"""How long a call may ring before its stream comes; PSTN calls are set up within 115 s."""
MAX_TICKETS: Final = 10_000
CONNECTION_ID_HEADER: Final = "x-ms-call-connection-id"
CORRELATION_ID_HEADER: Final = "x-ms-call-correlation-id"
BUSY_CODE: Final = 1013
"""Try again later (RFC 6455's registry): the host has as many streams as it may."""

_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}\Z")
_DIALECTS: Final[Mapping[str, DialectFactory]] = {"acs": AcsDialect, "twilio": TwilioDialect}


@dataclass(frozen=True, slots=True)
class StreamTicket:
    """A stream that is expected: of a call that call control has answered, or makes.

    ``url`` goes to the far end, with the token that lets this one stream in.
    """

    url: str = field(repr=False)
    kind: Kind
    peer: Peer | None
    hang_up: Callable[[], Awaitable[None]] | None
    on_call: Callable[[StreamCall], None] | None
    parameters: Mapping[str, str]
    token: str = field(repr=False)
    expires_s: float = field(repr=False)


@dataclass(frozen=True, slots=True)
class StreamAccess:
    """Who may bring streams. ``acs`` and ``twilio_auth_token`` None: not by that proof.

    ``path_token`` is in the URL of every stream without a ticket, when it is set.
    """

    acs: AcsTokens | None = None
    twilio_auth_token: str | None = field(default=None, repr=False)
    path_token: str | None = field(default=None, repr=False)
    most: int = 500


@dataclass(slots=True)
class StreamCounters:
    """What came to the streams' routes."""

    refused: int = 0
    failed: int = 0
    busy: int = 0
    taken: int = 0
    resumed: int = 0


class HostStreams:
    """The living calls by stream of one host, reports on the last ended ones, and who may come.

    Thread: the loop's.
    """

    def __init__(
        self,
        *,
        platform: MediaPlatform,
        bot: Bot,
        access: StreamAccess,
        url: Callable[[], str],
        recordings: HostRecordings | None = None,
        plugins: HostPlugins | None = None,
        journal: Journal | None = None,
        admission: Admission | None = None,
    ) -> None:
        self._admission = admission
        self._platform = platform
        self._recordings = recordings
        self._plugins = plugins
        self._journal = journal
        self.on_ended: Callable[[StreamCall], None] | None = None
        """Called with each call that is over, while all of it can still be looked at."""
        self._bot = bot
        self._access = access
        self._url = url
        self._calls: dict[str, StreamCall] = {}
        self._tickets: dict[str, StreamTicket] = {}
        self._taken: set[str] = set()
        """Tokens of tickets whose call has come, and may come again over another socket."""
        self._ended: deque[CallReport] = deque(maxlen=MAX_ENDED)
        self._is_closing = False
        self.counters = StreamCounters()
        self.totals = CallTotals()

    def __iter__(self) -> Iterator[StreamCall]:
        """Iterate over the calls that are not over."""
        return iter(tuple(self._calls.values()))

    def __len__(self) -> int:
        """Count the calls that are not over."""
        return len(self._calls)

    @property
    def ended(self) -> tuple[CallReport, ...]:
        """The last ended calls, as described at their end, oldest first."""
        return tuple(self._ended)

    def get(self, call_id: str) -> StreamCall | None:
        """Return the living call of that id."""
        return self._calls.get(call_id)

    def report(self, call_id: str) -> CallReport | None:
        """Report on a living call, or on one of the last ended ones."""
        call = self.get(call_id)
        if call is not None:
            return _report(call)
        reports = (r for r in reversed(self._ended) if r.description["callId"] == call_id)
        return next(reports, None)

    def expect(
        self,
        kind: Kind,
        *,
        peer: Peer | None = None,
        hang_up: Callable[[], Awaitable[None]] | None = None,
        on_call: Callable[[StreamCall], None] | None = None,
        parameters: Mapping[str, str] | None = None,
    ) -> StreamTicket:
        """Let in one call's stream, by a URL of its own: for call control.

        *hang_up* ends the call at the far end; *peer* is who is there; *on_call* is told when it
        is here. The ticket is good for
        180 s until its stream comes, and then for as long as the call lasts.
        Raises: RuntimeError when too many are expected.
        """
        now_s = time.monotonic()
        for ticket in tuple(self._tickets.values()):
            if ticket.token not in self._taken and ticket.expires_s <= now_s:
                self.forget(ticket)
        if len(self._tickets) >= MAX_TICKETS:
            raise RuntimeError(f"expected at most {MAX_TICKETS} streams to wait for")
        token = secrets.token_urlsafe(32)
        url = self._url().replace("https://", "wss://", 1)
        ticket = StreamTicket(
            url=f"{url}{STREAMS_PATH}/{kind}/{token}",
            kind=kind,
            peer=peer,
            hang_up=hang_up,
            on_call=on_call,
            parameters=dict(parameters or {}),
            token=token,
            expires_s=now_s + TICKET_TTL_S,
        )
        self._tickets[token] = ticket
        return ticket

    def forget(self, ticket: StreamTicket) -> None:
        """Let the stream of *ticket* in no more. Again is no error."""
        self._tickets.pop(ticket.token, None)
        self._taken.discard(ticket.token)

    async def admit(
        self, kind: Kind, token: str | None, headers: Mapping[str, str], path: str
    ) -> StreamTicket | None:
        """Check who brings a stream, before anything of it is read; return its ticket, if any.

        Raises: StreamRefusedError; KeysUnavailableError when nobody can tell.
        """
        ticket = self._ticket(kind, token)
        is_known = ticket is not None or self._check_path_token(token)
        if kind == "acs":
            if self._access.acs is None:
                raise StreamRefusedError("no ACS resource is set: MIXMINUS_ACS_RESOURCE_ID")
            await self._access.acs.check(headers.get("authorization"), time.time())
        elif self._access.twilio_auth_token is not None:
            signature = headers.get("x-twilio-signature")
            check_twilio_signature(
                signature, self._asked_url(headers) + path, self._access.twilio_auth_token
            )
        elif not is_known:
            raise StreamRefusedError("no proof is set: MIXMINUS_TWILIO_AUTH_TOKEN or a path token")
        return ticket

    def refusal(self, kind: Kind, token: str | None, headers: Mapping[str, str]) -> Refusal | None:
        """Return why a stream that comes now is to be refused, which is counted; None: it may come.

        One that is expected, or goes on over another socket, belongs to a call that stands.
        """
        if self._admission is None or self._ticket(kind, token) is not None:
            return None
        if headers.get(CONNECTION_ID_HEADER) in self._calls:
            return None
        return self._admission.refusal()

    async def take(
        self,
        kind: Kind,
        socket: MessageSocket,
        headers: Mapping[str, str],
        ticket: StreamTicket | None = None,
    ) -> StreamCall:
        """Begin the call of an admitted socket, or go on with it when it had lost one.

        Raises: StreamError; the socket is closed then.
        """
        far_call_id = headers.get(CONNECTION_ID_HEADER)
        if far_call_id is not None and _ID.match(far_call_id) is None:
            raise await _close(socket, POLICY_CODE, f"expected {CONNECTION_ID_HEADER} to be an id")
        stream = await open_stream(socket, _DIALECTS[kind]())
        call_id, origin = _origin(kind, stream, headers, far_call_id, ticket)
        enter_concern(call_id)
        before = self._calls.get(call_id)
        if before is not None and not before.is_over:
            if not stream.dialect.resumes or before.origin.dialect != kind:
                raise await _close(socket, POLICY_CODE, f"call {call_id} has its stream already")
            if before.transport.closed.done():
                raise await _close(socket, BUSY_CODE, f"call {call_id} is ending")
            before.transport.resume(stream)
            self.counters.resumed += 1
            log.info("call %s: its stream goes on over another socket", call_id)
            return before
        if ticket is not None and ticket.token in self._taken:
            raise await _close(socket, POLICY_CODE, "the URL's token is another call's")
        if ticket is not None and self._tickets.get(ticket.token) is not ticket:
            # Forgotten, or its call came and went, while this socket's first word was waited for.
            raise await _close(socket, POLICY_CODE, "the stream is not expected any more")
        if self._is_closing or len(self._calls) >= self._access.most:
            self.counters.busy += 1
            raise await _close(socket, BUSY_CODE, "the host takes no more streams")
        return self._begin(call_id, origin, stream, ticket)

    async def connect(
        self,
        kind: Kind,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        ssl_context: ssl.SSLContext,
        far_call_id: str | None = None,
        ticket: StreamTicket | None = None,
    ) -> StreamCall:
        """Fetch a call's stream from *url*: the client's role, where the far end is the server.

        *headers* prove who we are, as the far end wants it. Again with the same *far_call_id*, when
        the socket was lost: the call goes on.
        Raises: StreamError.
        """
        socket = await connect_socket(url, ssl_context=ssl_context, headers=headers)
        ids = {} if far_call_id is None else {CONNECTION_ID_HEADER: far_call_id}
        return await self.take(kind, socket, ids, ticket)

    async def close(self) -> None:
        """Hang up all calls, wait until nothing of them is left, and take no more."""
        self._is_closing = True
        calls = tuple(self)
        ways = await asyncio.gather(*(call.leave() for call in calls), return_exceptions=True)
        for call, error in zip(calls, ways, strict=True):
            if error is not None:
                log.warning("call %s: hanging up: %s", call.id, error)
        await asyncio.gather(*(call.wait_closed() for call in calls))

    def _begin(
        self, call_id: str, origin: StreamOrigin, stream: OpenStream, ticket: StreamTicket | None
    ) -> StreamCall:
        url = self._url().replace("https://", "wss://", 1)
        session = MediaSession(self._platform, mp_uri=f"{url}{STREAMS_PATH}/{origin.dialect}")
        transport = StreamTransport(self._platform, session.legs.link, session, stream)
        session.attach(transport)

        def ended(call: StreamCall) -> None:
            if ticket is not None:
                self.forget(ticket)
            # The next call of that id may be here already.
            if self._calls.get(call.id) is call:
                del self._calls[call.id]
            self._ended.append(_report(call))
            if self.on_ended is not None:
                self.on_ended(call)
            age_s = call.states[-1].at_ms / 1000
            self.totals.end(call.result, age_s, bot_failed=call.bot_error is not None)

        peer = None if ticket is None else ticket.peer
        call = StreamCall(
            call_id,
            origin,
            bot=self._bot,
            peer=peer or Peer(origin.far_call_id, origin.parameters.get("From")),
            session=session,
            transport=transport,
            on_ended=ended,
            hang_up=None if ticket is None else ticket.hang_up,
            recordings=self._recordings,
            plugins=self._plugins,
            journal=self._journal,
        )
        self._calls[call_id] = call
        if ticket is not None:
            self._taken.add(ticket.token)
        self.counters.taken += 1
        call.start()
        if ticket is not None and ticket.on_call is not None:
            ticket.on_call(call)
        return call

    def _ticket(self, kind: Kind, token: str | None) -> StreamTicket | None:
        ticket = None if token is None else self._tickets.get(token)
        if ticket is None or ticket.kind != kind:
            return None
        if ticket.token not in self._taken and ticket.expires_s <= time.monotonic():
            self.forget(ticket)
            return None
        return ticket

    def _asked_url(self, headers: Mapping[str, str]) -> str:
        """Return the URL that the far end came to, without its path.

        A host without a public URL is known by several names; then the far end's is taken.
        """
        own = self._url().replace("https://", "wss://", 1)
        if urlsplit(own).hostname == "localhost" and "host" in headers:
            return f"wss://{headers['host']}"
        return own

    def _check_path_token(self, token: str | None) -> bool:
        """Return whether the URL holds the host's own token.

        Raises: StreamRefusedError when it holds another, or none although one is set.
        """
        wanted = self._access.path_token
        if wanted is None and token is None:
            return False
        if wanted is None or not hmac.compare_digest((token or "").encode(), wanted.encode()):
            raise StreamRefusedError("the URL does not hold the token of a stream that is expected")
        return True


def _origin(
    kind: Kind,
    stream: OpenStream,
    headers: Mapping[str, str],
    far_call_id: str | None,
    ticket: StreamTicket | None,
) -> tuple[str, StreamOrigin]:
    started = stream.started
    far_call_id = far_call_id or started.call_id
    # Twilio may bring several streams of one call.
    call_id = far_call_id if kind == "acs" else started.stream_id
    if call_id is None or _ID.match(call_id) is None:
        call_id = str(uuid.uuid4())
    correlation_id = headers.get(CORRELATION_ID_HEADER)
    if correlation_id is not None and _ID.match(correlation_id) is None:
        correlation_id = None
    parameters = {**({} if ticket is None else ticket.parameters), **started.parameters}
    return call_id, StreamOrigin(kind, far_call_id, parameters, correlation_id)


async def _close(socket: MessageSocket, code: int, reason: str) -> StreamError:
    await socket.close(code, reason)
    return StreamError(reason, code)


def _report(call: StreamCall) -> CallReport:
    assert call.session is not None
    return CallReport(call.describe(), call.session.lateness_us())
