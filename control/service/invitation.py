"""Invitations: somebody is rung, and takes the call or does not."""

from __future__ import annotations

import asyncio
import logging
import uuid
from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeAlias

from mixminus.media.transports.sdp import SdpError

from .. import call_state as cs
from ..call_state import ResultInfo
from ..graph.requests import Target
from ..operation.call_context import call_task, concerning
from ..store.base import StoreError, UserRow
from .caller import CallerParty, RtcError
from .edges import PhoneLine
from .member import Member
from .phone_party import PhoneParty
from .phones import PhoneScript, RtpScript
from .rooms import Party, Room
from .rtp_phone import RtpPhoneParty
from .switchboard import Device

if TYPE_CHECKING:
    from .live_call import LiveCall
    from .services import CallServices

log = logging.getLogger("mixminus.control.calls")


class AppUnreachableError(LookupError):
    """That application is not registered here, or has no webhook for incoming calls."""


@dataclass(frozen=True, slots=True)
class Answered:
    """The invited one came in."""

    party: Party


@dataclass(frozen=True, slots=True)
class Failed:
    """The invited one did not come; why."""

    result: ResultInfo


Outcome: TypeAlias = Answered | Failed


@dataclass(frozen=True, slots=True)
class Ringing:
    """Who invites, and how that is shown to those who are rung."""

    call_id: str
    """What the signalling calls the call."""
    caller: dict[str, Any]
    """``{id, displayName}`` of who calls."""
    timeout_s: float
    transferor: dict[str, Any] | None = None
    """Who handed the call over, for the incoming context of an application that is rung."""
    call_routes: tuple[dict[str, Any], ...] = ()
    """How the call came to be retargeted, likewise."""


class Invitation(ABC):
    """One target that is rung into a room. Made by :func:`invite`.

    ``outcome`` is resolved once. Thread: the loop's.
    """

    def __init__(
        self, services: CallServices, room: Room, target: Target, ringing: Ringing
    ) -> None:
        self._services, self.room, self.target, self._ringing = services, room, target, ringing
        self.id = str(uuid.uuid4())
        self.call_id = ringing.call_id
        self._invited_at = datetime.now(UTC)
        self.outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._timer: asyncio.TimerHandle | None = None
        room.invitations.add(self)

    def ring(self) -> None:
        """Begin; the time limit counts from now."""
        loop = asyncio.get_running_loop()
        with concerning(self.call_id):
            self._timer = loop.call_later(self._ringing.timeout_s, self._timed_out)
            self._begin()

    def cancel(self, reason: str, result: ResultInfo = cs.CANCELLED_BY_CALLER) -> None:
        """Stop ringing. Again, or after an answer, is no error."""
        self._fail(result, reason)

    @abstractmethod
    def _begin(self) -> None:
        """Ring whoever is invited."""

    @abstractmethod
    def _stop(self, reason: str) -> None:
        """Tell those who are rung that it is over."""

    def _timed_out(self) -> None:
        self._fail(cs.NOT_ANSWERED, "timeout")

    def _succeed(self, party: Party, reason: str = "answeredElsewhere") -> None:
        if not self.outcome.done():
            self._end(reason)
            self.outcome.set_result(Answered(party))

    def _fail(self, result: ResultInfo, reason: str) -> None:
        if not self.outcome.done():
            self._end(reason)
            self.room.conversation.history.not_reached(
                self.id,
                self._identity(),
                self.target.kind,
                self._invited_at,
                datetime.now(UTC),
                result,
            )
            self.outcome.set_result(Failed(result))
            self.room.look()

    def _end(self, reason: str) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self.room.invitations.discard(self)
        self._stop(reason)

    def _identity(self) -> dict[str, Any]:
        identity: dict[str, Any] = self.target.info["identity"]
        return identity


class UserInvitation(Invitation):
    """All devices of a user ring; the first that answers is in."""

    def __init__(
        self,
        services: CallServices,
        room: Room,
        target: Target,
        ringing: Ringing,
        user: UserRow,
    ) -> None:
        super().__init__(services, room, target, ringing)
        self.user = user
        self._answering: int | None = None

    async def answer(self, device: Device, offer_sdp: str) -> None:
        """Let *device* take the call, if it rings there and no other was faster.

        Returns once the device's media flow, or the call is over for them.
        Raises: RtcError.
        """
        self._expect_ringing(device)
        if self._answering is not None:
            raise RtcError("notRinging", "another device was faster")
        self._answering = device.number
        party = CallerParty(self._services, self.call_id, self.user, device)
        try:
            answer_sdp = await party.accept(offer_sdp)
        except SdpError as error:
            self._answering = None
            if self.outcome.done():
                raise RtcError("notRinging", "this call does not ring any more") from None
            raise RtcError("badSdp", str(error)) from None
        except BaseException:
            self._answering = None
            raise
        if self.outcome.done() or self.room.is_over:
            await party.close()
            raise RtcError("notRinging", "this call does not ring any more")
        member = self.room.conversation.add(
            identity=self._identity(),
            participant_id=self.id,
            kind="user",
            display_name=self.user.display_name,
            in_default_mix=self.target.in_default_mix,
            hidden=self.target.hidden,
            media_kind="webrtc",
            user_agent=device.user_agent,
        )
        party.enter(self.room, member)
        self._services.callers.add(party)
        party.send({"type": "answered", "sdp": answer_sdp})
        self._succeed(party)
        if self._services.switchboard.device(device.number) is None:
            # Gone before it was known to be in: it may come back, as one that goes later.
            party.device_gone()
        await watch_connection(party)

    def decline(self, device: Device) -> None:
        """Refuse the call for all devices of the user.

        Raises: RtcError.
        """
        self._expect_ringing(device)
        if self._answering is not None:
            raise RtcError("notRinging", "another device was faster")
        self._fail(cs.DECLINED, "declined")

    def _begin(self) -> None:
        message = {"type": "ring", "callId": self.call_id, "from": self._ringing.caller}
        self._services.callers.invitations[self.call_id, self.user.user_id] = self
        self._services.switchboard.ring(self.id, self.user.user_id, message)

    def _stop(self, reason: str) -> None:
        key = self.call_id, self.user.user_id
        if self._services.callers.invitations.get(key) is self:
            del self._services.callers.invitations[key]
        self._services.switchboard.stop(self.id, reason, self._answering)

    def _timed_out(self) -> None:
        was_rung = self._services.switchboard.has_rung(self.id)
        self._fail(cs.NOT_ANSWERED if was_rung else cs.UNREACHABLE, "timeout")

    def _expect_ringing(self, device: Device) -> None:
        if not self._services.switchboard.is_ringing(self.id, device):
            raise RtcError("notRinging", "this call does not ring here")


class PhoneInvitation(Invitation):
    """A telephone of the directory rings; its script says what happens when it answers."""

    def __init__(
        self,
        services: CallServices,
        room: Room,
        target: Target,
        ringing: Ringing,
        script: PhoneScript,
    ) -> None:
        super().__init__(services, room, target, ringing)
        self._script = script
        self._answer_timer: asyncio.TimerHandle | None = None
        self._opening: asyncio.Task[None] | None = None

    def _begin(self) -> None:
        loop = asyncio.get_running_loop()
        act = self._decline if self._script.declines else self._answer
        self._answer_timer = loop.call_later(self._script.answer_after_s, act)

    def _answer(self) -> None:
        gateway = self._script.line
        if self.room.is_over:
            self._fail(cs.CONVERSATION_ENDED, "failed")
        elif gateway is not None:
            self._opening = asyncio.create_task(self._open(gateway), name="open phone line")
        else:
            member = self._enter("phone", paced=True, source_slots=64, render_slots=64)
            self._come(PhoneParty(self._services.platform, self.room, member, self._script))

    async def _open(self, gateway: RtpScript) -> None:
        """Open a line to the gateway, and come in."""
        line: PhoneLine | None = None
        try:
            line = await self._services.edges.open_phone_line(gateway)
            if self.room.is_over:
                self._fail(cs.CONVERSATION_ENDED, "failed")
                return
            member, hang_up_after_s = self._enter("rtp"), self._script.hang_up_after_s
            try:
                party = RtpPhoneParty(self._services, self.room, member, line, hang_up_after_s)
            except BaseException:
                self.room.conversation.remove(member)
                raise
        except (OSError, ValueError, RuntimeError) as error:
            # What the engine says to a line that it cannot make.
            log.warning("no RTP line to the phone %s: %s", self.id, error)
            self._fail(cs.UNREACHABLE, "failed")
        else:
            line = None
            self._come(party)
        finally:
            if line is not None:
                await line.close()

    def _enter(self, media_kind: str, **leg: Any) -> Member:
        return self.room.conversation.add(
            identity=self._identity(),
            participant_id=self.id,
            kind="phone",
            display_name=self._script.display_name,
            in_default_mix=self.target.in_default_mix,
            hidden=self.target.hidden,
            media_kind=media_kind,
            **leg,
        )

    def _come(self, party: Party) -> None:
        self.room.join(party)
        self._succeed(party)

    def _decline(self) -> None:
        self._fail(cs.DECLINED, "declined")

    def _stop(self, reason: str) -> None:
        if self._answer_timer is not None:
            self._answer_timer.cancel()
        if self._opening is not None and self._opening is not asyncio.current_task():
            self._opening.cancel()


class AppInvitation(Invitation):
    """An application is told of an incoming call; it has to answer in time."""

    def __init__(
        self,
        services: CallServices,
        room: Room,
        target: Target,
        ringing: Ringing,
        source: Party,
        *,
        new_call_id: str | None,
        policy_recording: bool,
    ) -> None:
        super().__init__(services, room, target, ringing)
        self._source, self._new_call_id = source, new_call_id
        self._policy_recording = policy_recording
        self._task: asyncio.Task[None] | None = None
        self._live: LiveCall | None = None

    def _begin(self) -> None:
        call_id = self._new_call_id or self.call_id
        self._task = call_task(call_id, self._ring_app(), f"invite {self.target.id}")

    async def _ring_app(self) -> None:
        try:
            live = self._live = await self._services.book.receive(
                self.target,
                self.room,
                self._source,
                call_id=self._new_call_id,
                policy_recording=self._policy_recording,
                transferor=self._ringing.transferor,
                call_routes=self._ringing.call_routes,
            )
        except (AppUnreachableError, StoreError) as error:
            log.warning("application %s cannot be called: %s", self.target.id, error)
            self._fail(cs.UNREACHABLE, "failed")
            return
        if self.outcome.done():
            # Called off while the call was being written: now it is there, and has to end.
            live.end(cs.CANCELLED_BY_CALLER)
            return
        outcome = await asyncio.shield(live.settled)
        if isinstance(outcome, Answered):
            self._succeed(outcome.party)
        else:
            self._fail(outcome.result, "failed")

    def _timed_out(self) -> None:
        # An application's time is the service's to say: 15 s, or 5 s, whatever was asked.
        if self._live is None:
            super()._timed_out()

    def _stop(self, reason: str) -> None:
        if self._live is None or self._task is None or self._task is asyncio.current_task():
            return
        self._task.cancel()
        self._live.end(cs.CANCELLED_BY_CALLER)


class UnknownInvitation(Invitation):
    """A target that nothing here can ring."""

    def _begin(self) -> None:
        asyncio.get_running_loop().call_soon(self._fail, cs.UNREACHABLE, "failed")

    def _stop(self, reason: str) -> None:
        """Nobody rings who could be told."""


def invite(
    services: CallServices,
    room: Room,
    target: Target,
    ringing: Ringing,
    source: Party,
    *,
    new_call_id: str | None = None,
    policy_recording: bool = False,
) -> Invitation:
    """Ring *target* into *room* in the name of *source*; ``outcome`` says what becomes of it.

    *new_call_id* is what the call of an application shall have for its id, else it gets one.
    """
    invitation: Invitation
    user = services.directory.user(target.id) if target.kind == "user" else None
    script = services.directory.phone(target.id) if target.kind == "phone" else None
    if user is not None:
        invitation = UserInvitation(services, room, target, ringing, user)
    elif script is not None:
        invitation = PhoneInvitation(services, room, target, ringing, script)
    elif target.kind in ("application", "applicationInstance"):
        invitation = AppInvitation(
            services,
            room,
            target,
            ringing,
            source,
            new_call_id=new_call_id,
            policy_recording=policy_recording,
        )
    else:
        invitation = UnknownInvitation(services, room, target, ringing)
    invitation.ring()
    return invitation


async def watch_connection(party: CallerParty) -> None:
    """Wait for the device's media; a device without them leaves.

    Returns when they flow or the party is over.
    """
    try:
        await party.connected()
    except OSError as error:  # Also TimeoutError and ConnectionError.
        reason = str(error) or "no connection in time"
        party.end(ResultInfo(500, 1004, f"No media path to the caller: {reason}"))
