"""Calls of Azure Communication Services: rung, answered, made, and told about, by call control.

Their audio comes as a stream (``streams.py``); here is what rings, and what becomes of it.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Final, Self

from ..acs.bodies import Channels, MediaStreaming, RejectReason
from ..acs.client import AcsClient, AcsConnectionError, AcsRequestError, Connection, Who
from ..acs.events import CallEvent, IncomingCall, SeenEvents
from ..acs.identifiers import Identifier
from ..acs.signing import ConnectionString
from ..operation.admission import Admission
from ..operation.call_context import call_task
from .bot import Bot
from .errors import HostBusyError
from .parts import Peer
from .stream_call import StreamCall
from .streams import HostStreams, StreamTicket

log = logging.getLogger("mixminus.control.host")

ACS_ERRORS: Final = (AcsRequestError, AcsConnectionError)
RING_S: Final = 30.0
SET_UP_S: Final = 120.0
"""How long a made call may ring, and its stream may take after that: PSTN has 115 s."""
HANG_UP_S: Final = 5.0
"""How long the end of a host may wait for calls to be hung up that had no audio yet."""
MAX_EARLY: Final = 256
FAILURES: Final = frozenset({"CreateCallFailed", "AnswerFailed", "ConnectFailed"})


class AcsCallFailedError(ConnectionError):
    """A call came to nothing; the message says why, and what helps."""


@dataclass(slots=True)
class _SetUp:
    """A call whose stream has not come yet."""

    ticket: StreamTicket
    established: asyncio.Future[StreamCall]
    connection_id: str = ""


class IncomingAcsCall:
    """A call that rings, as ``@bot.on_incoming_call`` gets it. Thread: the loop's."""

    def __init__(self, calls: HostAcs, event: IncomingCall) -> None:
        self._calls = calls
        self._event = event
        self._rings_until_s = time.monotonic() + RING_S
        self.is_decided = False
        self.id = event.correlation_id or event.id
        self.peer = Peer(event.caller.raw_id, event.caller_name or event.caller.value or None)
        """Who calls: a raw id, and a name or number."""
        self.callee = event.callee
        """Who is called: which of a bot's numbers."""

    @property
    def seconds_to_answer(self) -> float:
        """How long it can still be answered, rejected or redirected; else 0."""
        return 0.0 if self.is_decided else max(0.0, self._rings_until_s - time.monotonic())

    async def answer(self, *, channels: Channels = "mixed", rate_hz: int = 16_000) -> None:
        """Take the call: it goes on in ``@bot.on_call`` when its audio is here.

        Raises: RuntimeError when it is decided already; AcsRequestError, AcsConnectionError.
        """
        self._decide()
        await self._calls.answer(self._event, self.peer, channels=channels, rate_hz=rate_hz)

    async def reject(self, reason: RejectReason = "none") -> None:
        """Turn it away. Raises: as :meth:`answer`."""
        self._decide()
        await self._calls.client.reject(self._event.context, reason)

    async def redirect(self, target: Who) -> None:
        """Send it on to a telephone number or raw id. Raises: as :meth:`answer`; ValueError."""
        who = Identifier.of(target)
        self._decide()
        await self._calls.client.redirect(self._event.context, who)

    def _decide(self) -> None:
        if self.is_decided:
            raise RuntimeError(f"call {self.id} is answered, rejected or redirected already")
        self.is_decided = True


@dataclass(slots=True)
class AcsCounters:
    """What came from the service."""

    incoming: int = 0
    events: int = 0
    repeated: int = 0
    unknown: int = 0
    refused: int = 0


@dataclass(frozen=True, slots=True)
class AcsSettings:
    """What call control needs of the host's settings."""

    connection_string: ConnectionString
    ssl_context: ssl.SSLContext
    caller_number: str | None = None
    channels: Channels = "mixed"
    rate_hz: int = 16_000
    events_token: str | None = field(default=None, repr=False)


class HostAcs:
    """Call control of one resource for one bot. Thread: the loop's."""

    def __init__(
        self,
        settings: AcsSettings,
        *,
        bot: Bot,
        streams: HostStreams,
        callback_uri: Callable[[], str],
        admission: Admission | None = None,
    ) -> None:
        self.settings = settings
        self._admission = admission
        self.client = AcsClient(settings.connection_string, ssl_context=settings.ssl_context)
        self.counters = AcsCounters()
        self._bot = bot
        self._streams = streams
        self._callback_uri = callback_uri
        self._seen = SeenEvents()
        self._set_ups: dict[str, _SetUp] = {}
        self._early: OrderedDict[str, str] = OrderedDict()
        """Calls that failed before the service's answer named them here."""
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        """Nothing to start."""
        return self

    async def __aexit__(self, *error: object) -> None:
        """Give up what is being set up, hang it up, and close the connections."""
        unfinished = list(self._set_ups.values())
        for set_up in unfinished:
            self._fail(set_up, "the host ends")
        ends = [
            self._spawn(self._hang_up(set_up.connection_id), set_up.connection_id)
            for set_up in unfinished
        ]
        if ends:
            await asyncio.wait(ends, timeout=HANG_UP_S)
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.client.close()

    # ---- what a bot does -------------------------------------------------------------------------

    async def call(
        self,
        *targets: Who,
        caller_number: str | None = None,
        display_name: str | None = None,
        channels: Channels | None = None,
        rate_hz: int | None = None,
        timeout_s: float = SET_UP_S,
    ) -> StreamCall:
        """Call telephone numbers or raw ids; return the call once its audio is here.

        It is given to ``@bot.on_call`` as every call is.
        Raises: ValueError; AcsRequestError, AcsConnectionError; AcsCallFailedError when nobody
                takes it, or its stream does not come; TimeoutError; HostBusyError when the host
                takes no new calls.
        """
        if self._admission is not None and (refusal := self._admission.refusal()):
            raise HostBusyError(refusal)
        people = [Identifier.of(who) for who in targets]
        first = people[0] if people else None
        peer = None if first is None else Peer(first.raw_id, first.value or None)
        set_up = self._expect(peer)
        try:
            connection = await self.client.create(
                people,
                self._callback_uri(),
                caller_number=caller_number or self.settings.caller_number,
                display_name=display_name or self._bot.name,
                streaming=self._streaming(set_up, channels, rate_hz),
            )
            self._made(set_up, connection)
            async with asyncio.timeout(timeout_s):
                return await asyncio.shield(set_up.established)
        except BaseException as exc:
            self._fail(set_up, f"not set up: {type(exc).__name__}")
            if set_up.connection_id and not isinstance(exc, AcsCallFailedError):
                # It may ring, or talk, with nobody here: also when the caller was cancelled.
                self._spawn(self._hang_up(set_up.connection_id), set_up.connection_id)
            raise

    async def answer(
        self, event: IncomingCall, peer: Peer, *, channels: Channels, rate_hz: int
    ) -> None:
        """Take a call that rings. Raises: AcsRequestError, AcsConnectionError."""
        set_up = self._expect(peer)
        try:
            connection = await self.client.answer(
                event.context,
                self._callback_uri(),
                streaming=self._streaming(set_up, channels, rate_hz),
            )
        except BaseException:
            self._fail(set_up, "not answered")
            raise
        self._made(set_up, connection)
        self._spawn(self._expect_stream(set_up), connection.id)

    # ---- what the service tells ------------------------------------------------------------------

    def ring(self, event: IncomingCall) -> None:
        """Give a call that rings to the bot; without a handler for those, answer it.

        It is told that we are busy where the host takes no new calls: Event Grid would deliver it
        again only when it rings no more.
        """
        if not self._seen.add(event.id):
            self.counters.repeated += 1
            return
        self.counters.incoming += 1
        call = IncomingAcsCall(self, event)
        if self._admission is not None and self._admission.refusal():
            self._spawn(self._turn_away(call, "busy"), call.id)
        else:
            self._spawn(self._let_bot_decide(call), call.id)

    def take(self, event: CallEvent) -> None:
        """Take in what became of a call."""
        if not self._seen.add(event.id):
            self.counters.repeated += 1
            return
        self.counters.events += 1
        call = self._streams.get(event.connection_id)
        set_up = self._set_ups.get(event.connection_id)
        match event.type:
            case "CallDisconnected":
                if set_up is not None:
                    self._fail(set_up, event.why)
                elif call is not None:
                    call.end_at_far_end(event.why)
                else:
                    self._note_early(event)
            case kind if kind in FAILURES:
                if set_up is not None:
                    self._fail(set_up, event.why)
                else:
                    self._note_early(event)
            case "MediaStreamingFailed":
                log.error(
                    "call %s: %s (%s)", event.connection_id, event.why, event.streaming_details
                )
                if set_up is not None:
                    self._fail(set_up, event.why)
                    self._spawn(self._hang_up(event.connection_id), event.connection_id)
            case _:
                log.info("call %s: %s", event.connection_id, event.type)
        if call is None and set_up is None:
            self.counters.unknown += 1

    # ---- inside ----------------------------------------------------------------------------------

    def _expect(self, peer: Peer | None) -> _SetUp:
        loop = asyncio.get_running_loop()
        established: asyncio.Future[StreamCall] = loop.create_future()
        # Whoever waits is told; where nobody does, the log has it.
        established.add_done_callback(_look_at)

        async def hang_up() -> None:
            await self._hang_up(set_up.connection_id)

        def came(call: StreamCall) -> None:
            self._set_ups.pop(set_up.connection_id, None)
            set_up.connection_id = set_up.connection_id or (call.origin.far_call_id or "")
            if not established.done():
                established.set_result(call)

        ticket = self._streams.expect("acs", peer=peer, hang_up=hang_up, on_call=came)
        set_up = _SetUp(ticket, established)
        return set_up

    def _streaming(
        self, set_up: _SetUp, channels: Channels | None, rate_hz: int | None
    ) -> MediaStreaming:
        return MediaStreaming(
            url=set_up.ticket.url,
            channels=channels or self.settings.channels,
            rate_hz=rate_hz or self.settings.rate_hz,
        )

    def _note_early(self, event: CallEvent) -> None:
        self._early[event.connection_id] = event.why
        if len(self._early) > MAX_EARLY:
            self._early.popitem(last=False)

    def _made(self, set_up: _SetUp, connection: Connection) -> None:
        set_up.connection_id = connection.id
        if set_up.established.done():  # The stream was faster than the answer.
            return
        self._set_ups[connection.id] = set_up
        if why := self._early.pop(connection.id, None):
            self._fail(set_up, why)

    def _fail(self, set_up: _SetUp, why: str) -> None:
        self._set_ups.pop(set_up.connection_id, None)
        if not set_up.established.done():
            self._streams.forget(set_up.ticket)
            set_up.established.set_exception(AcsCallFailedError(why))

    async def _expect_stream(self, set_up: _SetUp) -> None:
        """End an answered call whose stream does not come: nobody else waits for it."""
        done, _ = await asyncio.wait([set_up.established], timeout=SET_UP_S)
        if not done:
            self._fail(set_up, f"answered, and its stream did not come within {SET_UP_S:g} s")
            await self._hang_up(set_up.connection_id)

    async def _let_bot_decide(self, call: IncomingAcsCall) -> None:
        handler = self._bot.incoming_handler
        try:
            if handler is None:
                settings = self.settings
                await call.answer(channels=settings.channels, rate_hz=settings.rate_hz)
            else:
                await handler(call)
        except ACS_ERRORS as exc:
            log.error("call %s: %s", call.id, exc)  # noqa: TRY400 - not ours to mend
        except Exception:
            log.exception("call %s: the bot failed: it is turned away", call.id)
            if not call.is_decided:
                await self._turn_away(call)

    async def _turn_away(self, call: IncomingAcsCall, reason: RejectReason = "none") -> None:
        try:
            await call.reject(reason)
        except ACS_ERRORS as exc:
            log.warning("call %s: not rejected: %s", call.id, exc)

    async def _hang_up(self, connection_id: str) -> None:
        if not connection_id:
            return
        try:
            await self.client.hang_up(connection_id, for_everyone=True)
        except ACS_ERRORS as exc:
            log.warning("call %s: hanging up: %s", connection_id, exc)

    def _spawn(self, work: Coroutine[object, object, None], call_id: str) -> asyncio.Task[None]:
        task = call_task(call_id, work, f"acs {call_id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _look_at(established: asyncio.Future[StreamCall]) -> None:
    if not established.cancelled() and (why := established.exception()) is not None:
        log.warning("a call came to nothing: %s", why)
