"""Rooms: conversations with the parties in them, and what follows when one of them leaves."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from mixminus.media.platform import MediaPlatform

from .. import call_state as cs
from ..call_state import ResultInfo
from ..journal import Journal
from ..journal_titles import roster_names
from ..store.base import MeetingRow
from .conversation import Conversation
from .member import Member
from .records.history import ConversationHistory
from .records.keeping import KeptConversations
from .records.quality import Measured

if TYPE_CHECKING:
    from .invitation import Invitation
    from .leg_plugins import LegPlugins

log = logging.getLogger("mixminus.control.calls")

PEER_TO_PEER, GROUP, MEETING = "peerToPeer", "groupCall", "meeting"

RECORDS_S = 5.0
"""How long the records of the last conversations may take at a stop."""

KEPT_ENDED = 50
"""Conversations that are over and can still be looked at."""

Json = dict[str, Any]
OnOver = Callable[[ConversationHistory], Awaitable[None]]


class Party(Protocol):
    """Who carries a member's media: an application's call, a person's device, a phone."""

    is_app: bool
    is_scripted: bool
    """Whether it would stay on the line for ever, with nobody there."""

    @property
    def member(self) -> Member:
        """The party's entry in the roster."""

    def end(self, result: ResultInfo) -> None:
        """Leave, soon and for good, because of *result*. Again is no error."""

    def tone_heard(self, key: str) -> None:
        """Hear that another party pressed *key* (0-9, *, #, A-D)."""

    def media_changed(self, member: Member, flows: bool) -> None:
        """Hear that another party's media were lost, or are back."""

    def counters(self) -> dict[str, int]:
        """Return what became of the frames in the party's transport."""

    def measured(self) -> Measured | None:
        """Return how good the packets of its present stay came and went; None: not measured."""


class Room:
    """One conversation, its parties and those who are being rung.

    Thread: the loop's.
    """

    def __init__(
        self,
        conversation: Conversation,
        on_empty: Callable[[Room], None],
        plugins: LegPlugins | None = None,
        journal: Journal | None = None,
    ) -> None:
        self.conversation = conversation
        self._plugins, self._journal = plugins, Journal("service") if journal is None else journal
        conversation.on_roster = self._note_roster
        self.parties: dict[str, Party] = {}
        self.names: dict[str, str] = {}
        """What who was in here was called, by participant id: their identity may not say it."""
        self.call_ids: list[str] = []
        """The applications' calls that took part, by id, also those that have ended."""
        self.created_at = datetime.now(UTC)
        self.ended_at: datetime | None = None
        self.invitations: set[Invitation] = set()
        self.callings: set[Invitation] = set()
        """Those of the invitations that no application made: nobody else calls them off."""
        self.closing: set[asyncio.Task[None]] = set()
        """What its parties still do to end; the conversation is closed after it."""
        self._on_empty = on_empty
        self._is_over = False

    @property
    def id(self) -> str:
        """The conversation's id: the call chain."""
        return self.conversation.id

    @property
    def is_over(self) -> bool:
        """Whether everyone has left."""
        return self._is_over

    @property
    def is_peer_to_peer(self) -> bool:
        """Whether this is a call of two."""
        return self.conversation.kind == PEER_TO_PEER

    def join(self, party: Party) -> None:
        """Take in a party whose member is in the roster."""
        member = party.member
        self.parties[member.participant_id] = party
        self.names[member.participant_id] = member.display_name or member.identity_id
        member.on_removed = party.end
        if self._plugins is not None and not party.is_app:
            self._plugins.attach(member, self.id)

    def leave(self, party: Party, result: ResultInfo) -> None:
        """Take a party out; what follows for the others depends on the kind of conversation.

        In a call of two, *result* is how it ends for the other.
        """
        if self.release(party, result):
            self._follow(party, result)
            self._hang_up_phones()

    def release(self, party: Party, result: ResultInfo | None = None) -> bool:
        """Take a party out, and leave the others as they are; False when it is not in here."""
        member = party.member
        if self.parties.get(member.participant_id) is not party:
            return False
        del self.parties[member.participant_id]
        member.on_removed = None
        if self._plugins is not None:
            self._plugins.detach(member)
        self.conversation.remove(
            member, result=result, transport=party.counters(), measured=party.measured()
        )
        self.end_if_empty()
        return True

    def end_if_empty(self) -> None:
        """End when nobody is here, and nobody has a place in the roster that is about to join."""
        if not self.parties and not self.conversation.members:
            self.end()

    def look(self) -> None:
        """End what has nobody left to talk to; after an invitation has come to nothing."""
        if self.conversation.kind == GROUP and not self.invitations and not self._people():
            for party in tuple(self.parties.values()):
                party.end(cs.ALL_LEFT)

    def end_lonely(self) -> None:
        """End who was handed over to nobody: the other left meanwhile, or none is a person."""
        if len(self.parties) == 1:
            for party in tuple(self.parties.values()):
                party.end(cs.CALLEE_LEFT)
        self._hang_up_phones()

    def press(self, member: Member, key: str) -> None:
        """Tell all others that *member* pressed a key; from the lobby nobody hears it."""
        if member.in_lobby:
            return
        for party in tuple(self.parties.values()):
            if party.member is not member and not party.member.in_lobby:
                party.tone_heard(key)

    def media_changed(self, member: Member, flows: bool) -> None:
        """Tell all others that *member*'s media were lost, or are back; of the lobby nobody."""
        name, what = member.display_name or member.identity_id, "back" if flows else "lost"
        self._journal.record("media", self.id, f"media {what}: {name}")
        if member.in_lobby:
            return
        for party in tuple(self.parties.values()):
            if party.member is not member and not party.member.in_lobby:
                party.media_changed(member, flows)

    def others(self, party: Party) -> list[Party]:
        """Return all parties but *party*."""
        return [other for other in self.parties.values() if other is not party]

    def _note_roster(self, before: Mapping[str, Json], now: Mapping[str, Json]) -> None:
        came = [now[key] for key in now if key not in before]
        gone = [before[key] for key in before if key not in now]
        changed = [now[key] for key in now if key in before and now[key] is not before[key]]
        told = (("came", came), ("changed", changed), ("left", gone))
        title = "; ".join(f"{what}: {roster_names(entries)}" for what, entries in told if entries)
        if title:
            body = {what: entries for what, entries in told if entries}
            self._journal.record("roster", self.id, title, body)

    def _follow(self, left: Party, result: ResultInfo) -> None:
        kind = self.conversation.kind
        if kind == PEER_TO_PEER:
            for party in tuple(self.parties.values()):
                party.end(result)
        elif kind == GROUP:
            self.look()
        elif self._lacks_host(left):
            for party in tuple(self.parties.values()):
                party.end(cs.NO_HOST)

    def _lacks_host(self, left: Party) -> bool:
        """Whether the organizer was it who left, and the meeting may not go on without."""
        meeting = self.conversation.meeting
        return (
            meeting is not None
            and not meeting.allow_without_host
            and left.member.meeting_role == "organizer"
        )

    def _hang_up_phones(self) -> None:
        if all(party.is_scripted for party in self.parties.values()):
            for party in tuple(self.parties.values()):
                party.end(cs.ALL_LEFT)

    def _people(self) -> bool:
        return any(not party.is_app for party in self.parties.values())

    def end(self) -> None:
        """Be over; who is still in the roster is out of it. Again is no error."""
        if not self._is_over:
            self._is_over = True
            for invitation in tuple(self.callings):
                invitation.cancel("hangup")
            self.ended_at = datetime.now(UTC)
            self._on_empty(self)


class Rooms:
    """All conversations of a service: made, found by meeting, closed and recorded when empty."""

    def __init__(
        self,
        platform: MediaPlatform,
        tenant_id: str,
        on_over: OnOver,
        plugins: LegPlugins | None = None,
        journal: Journal | None = None,
        kept: KeptConversations | None = None,
    ) -> None:
        self._plugins, self._journal = plugins, Journal("service") if journal is None else journal
        self._kept = kept
        self._platform, self._tenant_id, self._on_over = platform, tenant_id, on_over
        self._rooms: dict[str, Room] = {}
        self._by_meeting: dict[tuple[str, str], Room] = {}
        self.ended: deque[Room] = deque(maxlen=KEPT_ENDED)
        """The last that are over, oldest first: to be looked at."""
        self._closing: set[asyncio.Task[None]] = set()

    def __iter__(self) -> Iterator[Room]:
        """Iterate over the conversations that are not over, oldest first."""
        return iter(tuple(self._rooms.values()))

    def get(self, room_id: str) -> Room | None:
        """Return a conversation that is not over, or one of the last that are."""
        room = self._rooms.get(room_id)
        return room or next((over for over in self.ended if over.id == room_id), None)

    def create(
        self,
        kind: str,
        *,
        organizer: dict[str, Any] | None,
        meeting: MeetingRow | None = None,
    ) -> Room:
        """Make a conversation; for a meeting, only when none is under way."""
        chain_id = str(uuid.uuid4())
        history = ConversationHistory(
            chain_id,
            kind,
            self._tenant_id,
            organizer=organizer,
            join_url=None if meeting is None else meeting.join_url,
        )
        if self._kept is not None:
            self._kept.watch(history)
        conversation = Conversation(
            self._platform,
            chain_id=chain_id,
            kind=kind,
            tenant_id=self._tenant_id,
            meeting=meeting,
            history=history,
        )
        room = Room(conversation, self._room_empty, self._plugins, self._journal)
        self._rooms[chain_id] = room
        if meeting is not None:
            self._by_meeting[_key(meeting)] = room
        return room

    def of_meeting(self, meeting: MeetingRow) -> Room:
        """Return the conversation of *meeting*, begun if it is not under way."""
        room = self._by_meeting.get(_key(meeting))
        if room is not None:
            return room
        organizer = {"user": {"id": meeting.organizer_id, "displayName": meeting.organizer_name}}
        return self.create(MEETING, organizer=organizer, meeting=meeting)

    def under_way(self, meeting: MeetingRow) -> Room | None:
        """Return the conversation of *meeting*, if there is one now."""
        return self._by_meeting.get(_key(meeting))

    def discard(self, room: Room) -> None:
        """Close a conversation that nobody came into, or is about to."""
        room.end_if_empty()

    def abandon(self, room: Room) -> None:
        """Close a conversation that its maker will not come into, also for who came."""
        for party in tuple(room.parties.values()):
            party.end(cs.CALLEE_LEFT)
        room.end_if_empty()

    async def close(self) -> None:
        """Close what is left, and wait for the records. Again is no error.

        One that the store does not take in time is made at the next start.
        """
        for room in tuple(self._rooms.values()):
            for party in tuple(room.parties.values()):
                if not party.is_app:
                    party.end(cs.SERVICE_STOPPED)
                room.release(party, cs.SERVICE_STOPPED)
            room.end()
        closing = tuple(self._closing)
        if closing:
            await asyncio.wait(closing, timeout=RECORDS_S)
        for task in closing:
            task.cancel()
        await asyncio.gather(*closing, return_exceptions=True)

    def _room_empty(self, room: Room) -> None:
        self._rooms.pop(room.id, None)
        if room.call_ids or room.conversation.history.stays:
            self.ended.append(room)
        meeting = room.conversation.meeting
        if meeting is not None and self._by_meeting.get(_key(meeting)) is room:
            del self._by_meeting[_key(meeting)]
        task = asyncio.create_task(self._close(room), name=f"close conversation {room.id}")
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _close(self, room: Room) -> None:
        try:
            await asyncio.gather(*room.closing, return_exceptions=True)
            await room.conversation.close()
            if self._kept is not None:
                self._kept.over(room.conversation.history)
            await self._on_over(room.conversation.history)
        except Exception:
            # The boundary of a task that nobody waits for: the conversation is over either way.
            log.exception("conversation %s did not end cleanly", room.id)


def _key(meeting: MeetingRow) -> tuple[str, str]:
    return meeting.thread_id, meeting.message_id
