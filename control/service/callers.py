"""What people may do with their devices: answer, call a bot, join a meeting, press keys, leave."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeAlias

from mixminus.media.transports.sdp import SdpError

from .. import call_state as cs
from ..call_state import ResultInfo
from ..graph.enums import Tone
from ..graph.errors import GraphError
from ..graph.joinurl import JoinUrlError, parse_join_url
from ..graph.participants import identity_set
from ..graph.requests import MeetingRef, Target
from ..operation.call_context import call_task
from ..store.base import MeetingRow, StoreError, UserRow
from .caller import CallerParty, RtcError
from .invitation import Answered, Ringing, UserInvitation, invite, watch_connection
from .live_call import LiveCall
from .rooms import PEER_TO_PEER, Room
from .switchboard import Device

if TYPE_CHECKING:
    from .meetings import Meetings
    from .services import CallServices

log = logging.getLogger("mixminus.control.calls")

Key: TypeAlias = tuple[str, str]
"""What the signalling calls a call, and the user who is in it."""


class Callers:
    """All people in conversations and all who are rung, by what the signalling calls their call.

    A person may be in two conversations of one call: in a group call, and in the one into which
    somebody of it was transferred to them. The later one counts until it is over.
    Every method that a device asks for raises RtcError when it cannot be done.
    Thread: the loop's.
    """

    def __init__(self, services: CallServices, meetings: Meetings) -> None:
        self._services, self._meetings = services, meetings
        self.invitations: dict[tuple[str, str], UserInvitation] = {}
        self._parties: dict[Key, CallerParty] = {}
        self._earlier: dict[Key, list[CallerParty]] = {}
        """Those in whose place a later one counts; they are in their conversations as before."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._leaving: set[asyncio.Task[None]] = set()
        services.switchboard.on_device_gone = self.device_gone

    # ---- for the rest of the service -------------------------------------------------------------

    def add(self, party: CallerParty) -> None:
        """Know a person who is in a conversation."""
        key = (party.call_id, party.user.user_id)
        before = self._parties.get(key)
        if before is not None:
            self._earlier.setdefault(key, []).append(before)
        self._parties[key] = party

    def forget(self, party: CallerParty, closing: asyncio.Task[None]) -> None:
        """Know a person no more, whose media end in *closing*."""
        self._leaving.add(closing)
        closing.add_done_callback(self._leaving.discard)
        key = (party.call_id, party.user.user_id)
        earlier = self._earlier.get(key, [])
        if self._parties.get(key) is party:
            del self._parties[key]
            if earlier:
                self._parties[key] = earlier.pop()
        elif party in earlier:
            earlier.remove(party)
        if not earlier:
            self._earlier.pop(key, None)

    @property
    def user_ids(self) -> set[str]:
        """Who is in a conversation now."""
        return {user_id for _, user_id in self._parties}

    def __len__(self) -> int:
        """Count the people in conversations."""
        return len(self._all())

    def device_gone(self, device: Device) -> None:
        """Hear that a device lost its signalling; if it is in a call it may come back."""
        for party in self._all():
            if party.device == device.number:
                party.device_gone()

    async def close(self) -> None:
        """Let everybody go. Again is no error."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(party.close() for party in self._all()))
        await asyncio.gather(*self._leaving, return_exceptions=True)

    # ---- what a device asks for ------------------------------------------------------------------

    async def answer(self, device: Device, call_id: str, sdp: str) -> None:
        """Take a ringing call at *device*; the answer goes to it as a message."""
        invitation = self._invitation(device, call_id)

        async def work() -> None:
            try:
                await invitation.answer(device, sdp)
            except RtcError as error:
                device.send(_error(call_id, error))

        # The device's next messages are not kept waiting for its media.
        self._spawn(work(), call_id)

    async def decline(self, device: Device, call_id: str) -> None:
        """Refuse a ringing call."""
        self._invitation(device, call_id).decline(device)

    async def hang_up(self, device: Device, call_id: str) -> None:
        """Leave a call that this device is in."""
        self._party(device, call_id, same_device=True).end(cs.CALLEE_LEFT)

    async def reoffer(self, device: Device, call_id: str, sdp: str) -> None:
        """Carry a call over a new connection, from any device of the same user."""
        party = self._party(device, call_id)
        if not party.has_media:
            raise RtcError("notInCall", "this call does not stand yet")
        await party.reoffer(device, sdp)

    async def call_app(
        self, device: Device, app_id: str, sdp: str, *, policy_recording: bool = False
    ) -> str:
        """Ring an application; return the call's id, by which the device is told of all else."""
        self._expect_admission()
        user = self._user(device)
        services = self._services
        room = services.rooms.create(PEER_TO_PEER, organizer=_identity(user))
        call_id = str(uuid.uuid4())
        party = CallerParty(services, call_id, user, device)
        member = room.conversation.add(
            identity=_identity(user),
            kind="user",
            display_name=user.display_name,
            media_kind="webrtc",
            user_agent=device.user_agent,
        )
        party.enter(room, member)
        self.add(party)
        target = _app_target(app_id)
        ringing = Ringing(call_id, _shown(user), services.settings.ringing_s)
        invitation = invite(
            services,
            room,
            target,
            ringing,
            party,
            # The device knows the call by the id that it was told.
            new_call_id=call_id,
            policy_recording=policy_recording,
        )
        party.on_end = lambda: invitation.cancel("hangup")
        party.send({"type": "calling"})
        self._spawn(self._until_answered(party, invitation.outcome, sdp), call_id)
        return call_id

    async def join_meeting(
        self,
        device: Device,
        *,
        join_meeting_id: str | None = None,
        passcode: str | None = None,
        thread_id: str | None = None,
        join_url: str | None = None,
        sdp: str,
    ) -> str:
        """Join a meeting, by its id, thread or URL; return what the signalling calls it."""
        self._expect_admission()
        user = self._user(device)
        ref = _meeting_ref(join_meeting_id, passcode, thread_id, join_url)
        try:
            meeting = await self._meetings.find(ref, self._services.settings.tenant_id)
        except GraphError as error:
            raise RtcError("unknownMeeting", error.message) from None
        except StoreError as error:
            log.error("a meeting cannot be looked up: %s", error)  # noqa: TRY400  It says why.
            raise RtcError("unavailable", "the service is not available") from None
        party_id = str(uuid.uuid4())
        self._expect_not_in(meeting, user)
        party = CallerParty(self._services, party_id, user, device)
        try:
            answer_sdp = await party.accept(sdp)
        except SdpError as error:
            raise RtcError("badSdp", str(error)) from None
        try:
            # Another device of theirs may have joined while this one's offer was answered.
            self._expect_not_in(meeting, user)
        except RtcError:
            await party.give_up()
            raise
        room = self._services.rooms.of_meeting(meeting)
        is_organizer = user.user_id == meeting.organizer_id
        member = room.conversation.add(
            identity=_identity(user),
            kind="user",
            display_name=user.display_name,
            participant_id=party_id,
            meeting_role="organizer" if is_organizer else "attendee",
            media_kind="webrtc",
            user_agent=device.user_agent,
        )
        party.enter(room, member)
        self.add(party)
        party.send({"type": "joined", "participantId": party_id, "inLobby": member.in_lobby})
        party.send({"type": "answered", "sdp": answer_sdp})
        self._spawn(watch_connection(party), party_id)
        return party_id

    async def tone(self, device: Device, call_id: str, key: str) -> None:
        """Press a key of the keypad: 0-9, *, #, A-D."""
        party = self._party(device, call_id)
        if Tone.of_key(key) is None:
            raise RtcError("badTone", "expected one of 0-9, *, #, A-D")
        party.press("signalled", key)

    async def mute(self, device: Device, call_id: str, *, muted: bool) -> None:
        """Be unheard, or heard again."""
        party = self._party(device, call_id)
        conversation = _room(party).conversation
        # Who unmutes is heard again, also when it was the service that muted.
        conversation.set_muted(party.member, client=muted, server=None if muted else False)
        party.send({"type": "muted", "muted": party.member.is_muted, "by": "self"})

    async def hold(self, device: Device, call_id: str, *, held: bool) -> None:
        """Put the call on hold, or take it back: nothing is heard on either side."""
        party = self._party(device, call_id)
        room = _room(party)
        room.conversation.hold(party.member, held)
        party.expect_media()
        party.send({"type": "held", "held": held, "by": "self"})
        if room.is_peer_to_peer:
            for other in room.others(party):
                if isinstance(other, LiveCall):
                    other.post(cs.Held() if held else cs.Resumed())

    async def share(self, device: Device, call_id: str, action: str) -> None:
        """Start, update or stop the sharing of content."""
        party = self._party(device, call_id)
        conversation = _room(party).conversation
        if party.member.in_lobby:
            raise RtcError("inLobby", "nothing can be shared from the lobby")
        if action == "start":
            conversation.start_sharing(party.member)
            return
        act = conversation.update_sharing if action == "update" else conversation.stop_sharing
        if not act(party.member):
            raise RtcError("notSharing", "this user shares nothing now")

    # ---- small help ------------------------------------------------------------------------------

    async def _until_answered(
        self, party: CallerParty, outcome: asyncio.Future[Any], sdp: str
    ) -> None:
        """Connect the device once somebody has taken its call."""
        result = await asyncio.shield(outcome)
        if not isinstance(result, Answered):
            party.end(result.result)
            return
        if party.is_over:
            return
        try:
            answer_sdp = await party.accept(sdp)
        except SdpError as error:
            party.send({"type": "error", "code": "badSdp", "message": str(error)})
            party.end(ResultInfo(500, 1004, "The caller's session description cannot be used."))
            return
        party.send({"type": "answered", "sdp": answer_sdp})
        await watch_connection(party)

    def _invitation(self, device: Device, call_id: str) -> UserInvitation:
        invitation = self.invitations.get((call_id, device.user_id))
        if invitation is None:
            if (call_id, device.user_id) in self._parties:
                raise RtcError("notRinging", "another device was faster")
            raise RtcError("unknownCall", "there is no such call for this user")
        return invitation

    def _all(self) -> list[CallerParty]:
        earlier = (party for parties in self._earlier.values() for party in parties)
        return [*self._parties.values(), *earlier]

    def _party(self, device: Device, call_id: str, *, same_device: bool = False) -> CallerParty:
        key = (call_id, device.user_id)
        party = self._parties.get(key)
        if party is None:
            if (call_id, device.user_id) in self.invitations:
                raise RtcError("notInCall", "this device is not in that call")
            raise RtcError("unknownCall", "there is no such call for this user")
        if same_device and party.device != device.number:
            # Of two conversations, another device may be in the later one.
            for other in self._earlier.get(key, []):
                if other.device == device.number:
                    return other
            raise RtcError("notInCall", "this device is not in that call")
        return party

    def _expect_admission(self) -> None:
        if refusal := self._services.admission.refusal():
            raise RtcError("busy", refusal.message)

    def _expect_not_in(self, meeting: MeetingRow, user: UserRow) -> None:
        room = self._services.rooms.under_way(meeting)
        if room is not None and room.conversation.has_identity("user", user.user_id):
            raise RtcError("alreadyIn", "this user is in that meeting already")

    def _user(self, device: Device) -> UserRow:
        user = self._services.directory.user(device.user_id)
        if user is None:
            raise RtcError("unknownUser", "the directory does not know this user any more")
        return user

    def _spawn(self, work: Coroutine[Any, Any, None], call_id: str) -> None:
        task = call_task(call_id, work, "caller")
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            # In a context of the call: this callback has that of who started the task.
            log.error("a caller's request failed", exc_info=error)


def _meeting_ref(
    join_meeting_id: str | None,
    passcode: str | None,
    thread_id: str | None,
    join_url: str | None,
) -> MeetingRef:
    if join_url is not None:
        try:
            found = parse_join_url(join_url)
        except JoinUrlError as error:
            raise RtcError("unknownMeeting", str(error)) from None
        if found.join_meeting_id is None:
            return MeetingRef(
                "organizer",
                found.thread_id,
                found.message_id,
                organizer_id=found.organizer_id,
                organizer_tenant_id=found.tenant_id,
            )
        join_meeting_id, passcode = found.join_meeting_id, passcode or found.passcode
    if join_meeting_id is not None:
        return MeetingRef("joinMeetingId", join_meeting_id=join_meeting_id, passcode=passcode)
    return MeetingRef("organizer", thread_id, "0")


def _room(party: CallerParty) -> Room:
    if party.room is None:
        raise RtcError("notInCall", "this call does not stand yet")
    return party.room


def _identity(user: UserRow) -> dict[str, Any]:
    return identity_set("user", user.user_id, user.display_name)


def _app_target(app_id: str) -> Target:
    info = {
        "@odata.type": "#microsoft.graph.invitationParticipantInfo",
        "identity": identity_set("application", app_id, None),
    }
    return Target(
        info=info,
        kind="application",
        id=app_id,
        display_name=None,
        hidden=False,
        replaces_call_id=None,
        in_default_mix=True,
    )


def _shown(user: UserRow) -> dict[str, Any]:
    return {"id": user.user_id, "displayName": user.display_name}


def _error(call_id: str, error: RtcError) -> dict[str, Any]:
    return {"type": "error", "callId": call_id, "code": error.code, "message": error.message}
