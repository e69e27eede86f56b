"""A telephone behind a gateway in a conversation: its audio is a plain RTP leg."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from mixminus.media.bridge import Leg

from .. import call_state as cs
from ..call_state import ResultInfo
from ..graph.enums import Tone
from .edges import PacketTransport, PhoneLine
from .gauge import Gauge
from .member import Member
from .records.quality import Measured
from .rooms import Room

if TYPE_CHECKING:
    from .services import CallServices

log = logging.getLogger("mixminus.control.calls")


class RtpPhoneParty:
    """The telephone that answered, whoever speaks and listens at it, until either side hangs up.

    *line* carries *member*'s leg from now on and is closed with it. A gateway that says BYE has
    hung up; one that is silent has not: there is no signalling that would say so, and the others
    are told that nothing comes.
    Thread: the loop's.
    """

    is_app = False
    is_scripted = True

    def __init__(
        self,
        services: CallServices,
        room: Room,
        member: Member,
        line: PhoneLine,
        hang_up_after_s: float | None,
    ) -> None:
        self._services, self._room, self._member, self._line = services, room, member, line
        self._transport = line.carry(member.leg)
        self.gauge = Gauge(services.sampler)
        self.gauge.follow(self._transport)
        transport = self._transport
        self._flows = True
        self._closing: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        if isinstance(transport, PacketTransport):
            transport.on_tone = self._pressed
            transport.on_media = self._media_changed
        transport.closed.add_done_callback(lambda _: self.end(cs.PHONE_HUNG_UP))
        if hang_up_after_s is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(hang_up_after_s, self.end, cs.PHONE_HUNG_UP)

    @property
    def member(self) -> Member:
        """The entry in the roster."""
        return self._member

    @property
    def flows(self) -> bool:
        """Whether anything comes from the gateway."""
        return self._flows

    def counters(self) -> dict[str, int]:
        """Return what became of the packets of the gateway's leg."""
        return self._transport.counters()

    def measured(self) -> Measured | None:
        """Return how good the gateway's packets came and went."""
        return self.gauge.measured()

    def send_key(self, key: str, duration_ms: int) -> bool:
        """Send the gateway a telephone event, if it takes those."""
        transport: object = self._transport
        return isinstance(transport, PacketTransport) and transport.queue_tone(key, duration_ms)

    def tone_heard(self, key: str) -> None:
        """Nothing: what a telephone hears is in its audio."""

    def media_changed(self, member: Member, flows: bool) -> None:
        """Nothing: it hears that they are silent."""

    def end(self, result: ResultInfo) -> None:
        """Hang up. Again is no error."""
        if self._closing is None:
            if self._timer is not None:
                self._timer.cancel()
            # Its goodbye needs ticks: from a leg that is no longer mixed none would go out.
            self._member.last_counters = self._member.leg.counters()
            leg = self._services.waiting.add_leg(1)
            self._services.waiting.set_sources(leg, [])
            self._transport.move(leg)
            self._closing = asyncio.create_task(self._close(leg), name="close phone")
            self._room.closing.add(self._closing)
            self._closing.add_done_callback(self._room.closing.discard)
            self.gauge.close()
            self._room.leave(self, result)

    async def _close(self, leg: Leg) -> None:
        try:
            await self._line.close()
        finally:
            leg.close()

    def _pressed(self, key: str) -> None:
        if Tone.of_key(key) is not None:
            self._room.press(self._member, key)

    def _media_changed(self, flows: bool) -> None:
        if flows != self._flows and self._closing is None:
            self._flows = flows
            log.info("a phone's media %s", "are back" if flows else "were lost")
            self._room.media_changed(self._member, flows)
