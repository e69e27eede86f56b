"""A person's device in a conversation: its WebRTC media and what it is told."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from mixminus.media.transports.sdp import SdpError

from .. import call_state as cs
from ..call_state import ResultInfo
from ..store.base import UserRow
from .edges import CallerTransport
from .member import Member, Told
from .rooms import Room
from .rtc_messages import RtcError as RtcError
from .switchboard import Device

if TYPE_CHECKING:
    from .services import CallServices

log = logging.getLogger("mixminus.control.calls")


class CallerParty:
    """A person in a conversation, at whatever device of theirs the audio comes from.

    First :meth:`accept` the device's offer, then :meth:`enter` a room, then wait until it is
    :meth:`connected`. A device that goes away may come back within a while by :meth:`reoffer`.
    ``call_id`` is what the signalling calls this call, whatever conversation it is moved to.
    Thread: the loop's.
    """

    is_app = False
    is_scripted = False

    def __init__(self, services: CallServices, call_id: str, user: UserRow, device: Device) -> None:
        self._services, self.call_id, self.user = services, call_id, user
        self.device: int | None = device.number
        self.room: Room | None = None
        self.on_end: Callable[[], None] = lambda: None
        self._member: Member | None = None
        self._transport: CallerTransport | None = None
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

    def counters(self) -> dict[str, int]:
        """Return what became of the frames in the device's transport."""
        return {} if self._transport is None else self._transport.counters()

    async def accept(self, offer_sdp: str) -> str:
        """Take the device's offer; return the answer.

        Raises: SdpError; then nothing is left of it.
        """
        self._transport, answer_sdp = await self._answered(offer_sdp)
        if self._member is not None:
            self._watch(self._transport)
        return answer_sdp

    async def give_up(self) -> None:
        """End what was accepted, of one who came into no room; the device is told by others."""
        if self._transport is not None:
            await self._transport.close()

    def enter(self, room: Room, member: Member) -> None:
        """Be that member of that room from now on."""
        self.room, self._member = room, member
        member.on_told = self._told
        room.join(self)
        if self._transport is not None:
            self._transport.move(member.leg)
            self._watch(self._transport)

    async def connected(self) -> None:
        """Wait until the device's media flow.

        Raises: ConnectionError or TimeoutError when they do not; the caller is still here.
        """
        assert self._transport is not None
        await self._transport.connected(self._services.settings.caller_media_s)

    async def reoffer(self, device: Device, offer_sdp: str) -> None:
        """Carry the media over a new connection, from any device of the same user."""
        self.device = device.number
        self._cancel_grace()
        if self._reconnecting is not None:
            self._reconnecting.cancel()
        self._reconnecting = self._spawn(self._reconnect(device, offer_sdp))

    def move(self, room: Room, member: Member) -> None:
        """Leave the present room without ending it, and be *member* of another."""
        before = self.room
        if before is not None:
            before.release(self)
        self.room, self._member = room, member
        member.on_told = self._told
        if self._transport is not None:
            self._transport.move(member.leg)
        room.join(self)
        self.send({"type": "moved", "participantId": member.participant_id})

    def tone_heard(self, key: str) -> None:
        """Show the device that another party pressed a key."""
        self.send({"type": "tone", "tone": key})

    def _told(self, what: Told, is_on: bool) -> None:
        """Show the device what others did with this person."""
        if what == "admitted":
            self.send({"type": "admitted"})
        else:
            self.send({"type": what, what: is_on, "by": "service"})

    def device_gone(self) -> None:
        """Give the device a while to come back with a re-offer, then leave."""
        if self._closing is None:
            self._cancel_grace()
            seconds = self._services.settings.caller_grace_s
            loop = asyncio.get_running_loop()
            self._grace = loop.call_later(seconds, self.end, cs.CALLEE_LEFT)

    def end(self, result: ResultInfo) -> None:
        """Leave, tell the device, close its media. Again is no error."""
        if self._closing is not None:
            return
        self._cancel_grace()
        self._closing = asyncio.create_task(self._close(), name=f"close caller {self.call_id}")
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

    async def _answered(self, offer_sdp: str) -> tuple[CallerTransport, str]:
        """Make a transport that answers *offer_sdp*, on a leg that hears nothing and is unheard."""
        services = self._services
        leg = services.waiting.add_leg(1) if self._member is None else self._member.leg
        if self._member is None:
            services.waiting.set_sources(leg, [])
        transport = services.edges.make_caller(leg)
        try:
            answer_sdp = await transport.answer(offer_sdp)
        except BaseException:
            await transport.close()
            raise
        finally:
            if leg in services.waiting.legs:
                leg.close()
        if self._closing is not None:
            await transport.close()
            raise SdpError("the call is over")
        return transport, answer_sdp

    async def _reconnect(self, device: Device, offer_sdp: str) -> None:
        transport: CallerTransport | None = None
        try:
            transport, answer_sdp = await self._answered(offer_sdp)
            self.send({"type": "reanswered", "sdp": answer_sdp})
            await transport.connected(self._services.settings.caller_media_s)
        except (SdpError, OSError) as error:
            # TimeoutError and ConnectionError are OSErrors. What was there before goes on.
            code = "badSdp" if isinstance(error, SdpError) else "noMedia"
            self.send({"type": "error", "code": code, "message": str(error)})
            if transport is not None:
                await transport.close()
            if self._transport is None or self._transport.closed.done():
                self.device_gone()
            return
        except BaseException:
            if transport is not None:
                await transport.close()
            raise
        before, self._transport = self._transport, transport
        # It was made on the leg of that time; the caller may have been moved meanwhile.
        transport.move(self.member.leg)
        self._watch(transport)
        if before is not None:
            await before.close()
        if self._services.switchboard.device(device.number) is not None:
            # The connection before this one may have ended meanwhile: nobody is waited for now.
            self._cancel_grace()

    def _watch(self, transport: CallerTransport) -> None:
        def closed(_: asyncio.Future[str]) -> None:
            if self._transport is transport:
                self.device_gone()

        transport.closed.add_done_callback(closed)

    async def _close(self) -> None:
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._transport is not None:
            await self._transport.close()

    def _cancel_grace(self) -> None:
        if self._grace is not None:
            self._grace.cancel()
            self._grace = None

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=f"caller {self.call_id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
