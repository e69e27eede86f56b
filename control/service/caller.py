"""A person's device in a conversation: its WebRTC media and what it is told."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from mixminus.media.bridge import Leg
from mixminus.media.presses import Presses
from mixminus.media.transports.sdp import SdpError

from .. import call_state as cs
from ..call_state import ResultInfo
from ..graph.enums import Tone
from ..operation.call_context import Concern, call_task, concerning
from ..store.base import UserRow
from .edges import AddressedTransport, CallerTransport, PacketTransport, RestartableTransport
from .gauge import Gauge
from .member import Member, Told
from .records.quality import Measured
from .rooms import Room
from .rtc_messages import RtcError as RtcError
from .switchboard import Device

if TYPE_CHECKING:
    from .services import CallServices

log = logging.getLogger("mixminus.control.calls")

Missing: TypeAlias = Literal["signalling", "media"]


class CallerParty:
    """A person in a conversation, at whatever device of theirs the audio comes from.

    First :meth:`accept` the device's offer, then :meth:`enter` a room, then wait until it is
    :meth:`connected`. A device that goes away, or whose media are lost, may come back within a
    while by :meth:`reoffer`.
    ``call_id`` is what the signalling calls this call, whatever conversation it is moved to.
    Thread: the loop's.
    """

    is_app = False
    is_scripted = False

    def __init__(self, services: CallServices, call_id: str, user: UserRow, device: Device) -> None:
        self._services, self.call_id, self.user = services, call_id, user
        self.device: int | None = device.number
        self._concern = Concern(call_id)
        self.room: Room | None = None
        self.on_end: Callable[[], None] = lambda: None
        self._member: Member | None = None
        self._transport: CallerTransport | None = None
        self.gauge = Gauge(services.sampler)
        self._presses = Presses()
        self._flows = True
        self._missing: set[Missing] = set()
        self._grace: asyncio.TimerHandle | None = None
        self._reconnecting: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing: asyncio.Task[None] | None = None

    @property
    def member(self) -> Member:
        """The entry in the roster; there is one from :meth:`enter` on."""
        assert self._member is not None
        return self._member

    @property
    def is_over(self) -> bool:
        """Whether this person has left for good."""
        return self._closing is not None

    @property
    def has_media(self) -> bool:
        """Whether an offer of a device was taken."""
        return self._transport is not None

    @property
    def flows(self) -> bool:
        """Whether the device's media come, as far as they are due."""
        return self._flows and self._transport is not None

    @property
    def far_address(self) -> tuple[str, int] | None:
        """Where the device's packets go now; None where that is not known."""
        transport: object = self._transport
        return transport.far_address if isinstance(transport, AddressedTransport) else None

    def counters(self) -> dict[str, int]:
        """Return what became of the frames in the device's transport."""
        return {} if self._transport is None else self._transport.counters()

    def measured(self) -> Measured | None:
        """Return how good the packets of the present stay came and went; None: not measured."""
        return self.gauge.measured()

    async def accept(self, offer_sdp: str) -> str:
        """Take the device's offer; return the answer.

        Raises: SdpError; then nothing is left of it.
        """
        with concerning(self._concern):
            return await self._accept(offer_sdp)

    async def _accept(self, offer_sdp: str) -> str:
        if self._member is not None:
            self._transport, answer_sdp = await self._answered(offer_sdp, self._member.leg)
            self._use(self._transport)
            return answer_sdp
        leg = self._silent_leg()
        try:
            self._transport, answer_sdp = await self._answered(offer_sdp, leg)
        finally:
            leg.close()
        return answer_sdp

    async def give_up(self) -> None:
        """End what was accepted, of one who came into no room; the device is told by others."""
        if self._transport is not None:
            await self._transport.close()

    def enter(self, room: Room, member: Member) -> None:
        """Be that member of that room from now on."""
        self.room, self._member = room, member
        self._concern.participant_id = member.participant_id
        member.on_told = self._told
        room.join(self)
        if self._transport is not None:
            self._transport.move(member.leg)
            self._use(self._transport)

    async def connected(self) -> None:
        """Wait until the device's media flow.

        Raises: ConnectionError or TimeoutError when they do not; the caller is still here.
        """
        assert self._transport is not None
        await self._transport.connected(self._services.settings.caller_media_s)

    async def reoffer(self, device: Device, offer_sdp: str) -> None:
        """Carry the media over a new connection, from any device of the same user."""
        self.device = device.number
        self._found("signalling")
        self._cancel_grace()
        if self._reconnecting is not None:
            self._reconnecting.cancel()
        self._reconnecting = self._spawn(self._reconnect(offer_sdp))

    def move(self, room: Room, member: Member) -> None:
        """Leave the present room without ending it, and be *member* of another."""
        before = self.room
        if before is not None:
            before.release(self)
        self.room, self._member = room, member
        member.on_told = self._told
        if self._transport is not None:
            self._transport.move(member.leg)
        self.gauge.restart()
        self.expect_media()
        room.join(self)
        self.send({"type": "moved", "participantId": member.participant_id})

    def press(self, path: Literal["signalled", "packets"], key: str) -> None:
        """Press a key, heard over that path: of a press that comes over both, one counts."""
        now_s = asyncio.get_running_loop().time()
        is_key = Tone.of_key(key) is not None
        if is_key and self.room is not None and self._presses.take(path, key, now_s):
            self.room.press(self.member, key)

    def send_key(self, key: str, duration_ms: int) -> bool:
        """Send the device a telephone event, if it takes those."""
        transport: object = self._transport
        return isinstance(transport, PacketTransport) and transport.queue_tone(key, duration_ms)

    def tone_heard(self, key: str) -> None:
        """Show the device that another party pressed a key."""
        self.send({"type": "tone", "tone": key})

    def media_changed(self, member: Member, flows: bool) -> None:
        """Show the device that another party's media were lost, or are back."""
        self.send({"type": "partyMedia", "participantId": member.participant_id, "flows": flows})

    def _told(self, what: Told, is_on: bool) -> None:
        """Show the device what others did with this person."""
        if what == "held":
            self.expect_media()
        if what == "admitted":
            self.send({"type": "admitted"})
        else:
            self.send({"type": what, what: is_on, "by": "service"})

    def expect_media(self) -> None:
        """Tell the transport whether media are due: who is on hold may send nothing."""
        transport: object = self._transport
        if self._member is not None and isinstance(transport, PacketTransport):
            is_held = self._member.is_on_hold
            transport.expects_media = not is_held
            if is_held:
                # What is silent on purpose is not lost, and nobody is waited for.
                self._media_changed(transport, True)

    def device_gone(self) -> None:
        """Give a device that lost its signalling a while to come back, then leave."""
        self._miss("signalling")

    def end(self, result: ResultInfo) -> None:
        """Leave, tell the device, close its media. Again is no error."""
        if self._closing is not None:
            return
        self._cancel_grace()
        self.gauge.close()
        closing = self._close(self._park())
        self._closing = call_task(self._concern, closing, f"close caller {self.call_id}")
        self._services.callers.forget(self, self._closing)
        self.on_end()
        self.send(
            {
                "type": "ended",
                "code": result.code,
                "subcode": result.subcode,
                "message": result.message,
            }
        )
        if self.room is not None and self._member is not None:
            self.room.leave(self, result)

    async def close(self) -> None:
        """Leave and wait until nothing is left. Again is no error."""
        self.end(cs.CONVERSATION_ENDED)
        assert self._closing is not None
        await asyncio.shield(self._closing)

    def send(self, message: dict[str, Any]) -> None:
        """Send the device a message about this call, if it is there."""
        device = self._services.switchboard.device(self.device)
        if device is not None:
            device.send({"type": message["type"], "callId": self.call_id, **message})

    # ---- media -----------------------------------------------------------------------------------

    async def _answered(self, offer_sdp: str, leg: Leg) -> tuple[CallerTransport, str]:
        """Make a transport that answers *offer_sdp*, on *leg*."""
        transport = self._services.edges.make_caller(leg)
        try:
            answer_sdp = await transport.answer(offer_sdp)
        except BaseException:
            await transport.close()
            raise
        if self._closing is not None:
            await transport.close()
            raise SdpError("the call is over")
        return transport, answer_sdp

    async def _reconnect(self, offer_sdp: str) -> None:
        if await self._restarted(offer_sdp):
            return
        leg = self._silent_leg()
        try:
            await self._replace(offer_sdp, leg)
        finally:
            leg.close()

    async def _replace(self, offer_sdp: str, leg: Leg) -> None:
        """Carry the media over a fresh connection, made on *leg*, once it stands."""
        transport: CallerTransport | None = None
        try:
            transport, answer_sdp = await self._answered(offer_sdp, leg)
            self.send({"type": "reanswered", "sdp": answer_sdp})
            await transport.connected(self._services.settings.caller_media_s)
        except (SdpError, OSError) as error:
            # TimeoutError and ConnectionError are OSErrors. What was there before goes on.
            code = "badSdp" if isinstance(error, SdpError) else "noMedia"
            self.send({"type": "error", "code": code, "message": str(error)})
            if transport is not None:
                await transport.close()
            if self._transport is None or self._transport.closed.done() or not self._flows:
                self._miss("media")
            return
        except BaseException:
            if transport is not None:
                await transport.close()
            raise
        before, self._transport = self._transport, transport
        if before is not None:
            # They take turns: what closes lets go of the leg that it has.
            before.move(leg)
        transport.move(self.member.leg)
        self._use(transport)
        if before is not None:
            await before.close()
        # The connection before this one may have ended meanwhile.
        self._media_changed(transport, True)

    async def _restarted(self, offer_sdp: str) -> bool:
        """Let the present connection go on over new addresses, if that is what is offered."""
        present: object = self._transport
        if (
            not isinstance(present, RestartableTransport)
            or present.closed.done()
            or not present.can_restart(offer_sdp)
        ):
            return False
        try:
            answer_sdp = await present.answer(offer_sdp)
        except (SdpError, ConnectionError):
            # It changed meanwhile, or ended: a fresh one takes the offer, or says why not.
            return False
        self.send({"type": "reanswered", "sdp": answer_sdp})
        if not self._flows:
            self._miss("media")
        return True

    def _use(self, transport: CallerTransport) -> None:
        """Have a transport that carries this person tell what happens on it."""

        def closed(_: asyncio.Future[str]) -> None:
            self._media_changed(transport, False)

        transport.closed.add_done_callback(closed)
        if isinstance(transport, PacketTransport):
            transport.on_tone = lambda key: self.press("packets", key)
            transport.on_media = lambda flows: self._media_changed(transport, flows)
        self.gauge.follow(transport)
        self.expect_media()

    def _media_changed(self, transport: object, flows: bool) -> None:
        """Hear that nothing comes from the device any more, or that its media are back."""
        if transport is not self._transport or self._closing is not None:
            return
        if flows:
            self._found("media")
        else:
            self._miss("media")
        if flows == self._flows:
            return
        self._flows = flows
        log.info("call %s: a person's media %s", self.call_id, "are back" if flows else "were lost")
        self.send({"type": "media", "flows": flows})
        if self.room is not None:
            self.room.media_changed(self.member, flows)

    def _park(self) -> Leg | None:
        """Carry a leg that nobody hears: a goodbye in packets needs one that is mixed."""
        if self._transport is None or self._member is None:
            return None
        self._member.last_counters = self._member.leg.counters()
        leg = self._silent_leg()
        self._transport.move(leg)
        return leg

    def _silent_leg(self) -> Leg:
        waiting = self._services.waiting
        leg = waiting.add_leg(1)
        waiting.set_sources(leg, [])
        return leg

    async def _close(self, parked: Leg | None) -> None:
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        try:
            if self._transport is not None:
                await self._transport.close()
        finally:
            if parked is not None:
                parked.close()

    def _miss(self, what: Missing) -> None:
        """Wait a while from now for what is missing, then leave."""
        if self._closing is None:
            self._missing.add(what)
            self._cancel_grace()
            seconds = self._services.settings.caller_grace_s
            loop = asyncio.get_running_loop()
            self._grace = loop.call_later(seconds, self.end, cs.CALLEE_LEFT)

    def _found(self, what: Missing) -> None:
        """Wait no longer for this; for the rest as long as before."""
        self._missing.discard(what)
        if not self._missing:
            self._cancel_grace()

    def _cancel_grace(self) -> None:
        if self._grace is not None:
            self._grace.cancel()
            self._grace = None

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = call_task(self._concern, work, f"caller {self.call_id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
