"""The media side of one call: a bridge between the caller's transport and the bot's link."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Protocol

from mixminus.media.bridge import Leg
from mixminus.media.descriptor import MediaSessionDescriptor
from mixminus.media.platform import MediaPlatform
from mixminus.media.transports.base import Transport

CALLER_SOURCE_ID = 1
BOT_SOURCE_ID = 2
"""Media source ids (MSI) of the two streams in a peer-to-peer call."""


class CallerTransport(Transport, Protocol):
    """A transport that answers a caller's SDP offer."""

    async def answer(self, offer_sdp: str) -> str:
        """Take an offer and return the answer. Raises: SdpError."""

    async def connected(self, timeout_s: float = 10.0) -> None:
        """Wait until media can flow. Raises: TimeoutError, ConnectionError."""


@dataclass(frozen=True, slots=True)
class MediaEdges:
    """How a conference reaches its two parties; tests put others in their place."""

    make_caller: Callable[[Leg], CallerTransport]
    connect_link: Callable[[Leg, MediaSessionDescriptor], Awaitable[Transport]]


@dataclass(frozen=True, slots=True)
class LegReport:
    """What became of one party's frames, in its leg and in its transport."""

    leg: dict[str, int]
    transport: dict[str, int]


class Conference:
    """One call's bridge with the legs of caller and bot, and the transports that carry them.

    ``on_link_closed`` and ``on_caller_closed`` hear of a transport's end with its reason, unless it
    was replaced or closed here.
    Thread: the platform's loop.
    """

    def __init__(
        self,
        platform: MediaPlatform,
        edges: MediaEdges,
        *,
        on_link_closed: Callable[[str], None],
        on_caller_closed: Callable[[str], None],
    ) -> None:
        self._platform, self._edges = platform, edges
        self._on_link_closed, self._on_caller_closed = on_link_closed, on_caller_closed
        self._bridge = platform.create_bridge()
        self._caller_leg = self._bridge.add_leg(CALLER_SOURCE_ID)
        self._bot_leg = self._bridge.add_leg(BOT_SOURCE_ID)
        self._caller: CallerTransport | None = None
        self._link: Transport | None = None
        self._stop_watching: Callable[[], None] = lambda: None
        self._closing: asyncio.Task[None] | None = None

    async def connect_link(self, descriptor: MediaSessionDescriptor) -> None:
        """Connect to the bot's media endpoint.

        Raises: LinkError.
        """
        link = await self._edges.connect_link(self._bot_leg, descriptor)
        if self._closing is not None:
            await link.close()
            return
        self._link = link
        link.closed.add_done_callback(lambda closed: self._link_closed(link, closed))

    async def answer_caller(
        self, offer_sdp: str, timeout_s: float, on_answer: Callable[[str], Awaitable[None]]
    ) -> None:
        """Put a new transport on the caller's leg; one that was there before is closed.

        Raises: SdpError for the offer; TimeoutError or ConnectionError when no media path comes
                about. Then the transport that was there before is kept.

        *on_answer* gets the answer's SDP as soon as there is one.
        """
        caller = self._edges.make_caller(self._caller_leg)
        try:
            await on_answer(await caller.answer(offer_sdp))
            await caller.connected(timeout_s)
        except BaseException:
            await caller.close()
            raise
        if self._closing is not None:
            await caller.close()
            return
        before, self._caller = self._caller, caller
        caller.closed.add_done_callback(lambda closed: self._caller_closed(caller, closed))
        if before is not None:
            await before.close()

    @property
    def is_caller_gone(self) -> bool:
        """Whether no transport carries the caller now."""
        return self._caller is None or self._caller.closed.done()

    def watch(self, on_flow: Callable[[], None]) -> None:
        """Call *on_flow* once, as soon as audio came from both parties."""

        def look() -> None:
            legs = (self._caller_leg, self._bot_leg)
            if all(leg.source.counters().written for leg in legs):
                self._stop_watching()
                on_flow()

        self._stop_watching()
        self._stop_watching = self._platform.on_tick(look)

    def report(self) -> dict[str, LegReport]:
        """Return what became of each party's frames so far; also after the end."""
        return {
            "caller": _leg_report(self._caller_leg, self._caller),
            "bot": _leg_report(self._bot_leg, self._link),
        }

    async def close(self) -> None:
        """End both transports and take the bridge down. Again is no error."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._close(), name="close conference")
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        self._stop_watching()
        transports = [t for t in (self._link, self._caller) if t is not None]
        try:
            await asyncio.gather(*(transport.close() for transport in transports))
        finally:
            self._caller_leg.close()
            self._bot_leg.close()
            self._bridge.close()

    def _link_closed(self, link: Transport, closed: asyncio.Future[str]) -> None:
        if self._closing is None and self._link is link and not closed.cancelled():
            self._on_link_closed(closed.result())

    def _caller_closed(self, caller: CallerTransport, closed: asyncio.Future[str]) -> None:
        if self._closing is None and self._caller is caller and not closed.cancelled():
            self._on_caller_closed(closed.result())


def _leg_report(leg: Leg, transport: Transport | None) -> LegReport:
    return LegReport(asdict(leg.counters()), {} if transport is None else transport.counters())
