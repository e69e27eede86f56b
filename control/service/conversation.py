"""A conversation: the legs of all its members in one bridge, its roster, who hears whom."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, TypeAlias

from mixminus.media.bridge import Leg
from mixminus.media.platform import MediaPlatform
from mixminus.media.transports.link import SpeakerFeed

from ..call_state import ResultInfo
from ..graph.participants import Stream, large_gallery, recording_info
from ..graph.requests_group import RoutingGroup
from ..store.base import MeetingRow
from .member import Member, Told
from .mixer import Mixer
from .records.history import ConversationHistory
from .records.quality import Measured
from .roster import RosterListener, RosterView, Watch
from .stays import Music, SharingSession

Json = dict[str, Any]
OnRoster: TypeAlias = Callable[[Mapping[str, Json], Mapping[str, Json]], None]

PEER_TO_PEER, GROUP_CALL, MEETING = "peerToPeer", "groupCall", "meeting"


class Conversation:
    """Everyone in one call or meeting: made empty, closed by whoever made it.

    ``members`` are in the order of joining. All members' flags are changed here alone.
    Thread: the platform's loop.
    """

    def __init__(
        self,
        platform: MediaPlatform,
        *,
        chain_id: str,
        kind: str,
        tenant_id: str,
        meeting: MeetingRow | None,
        history: ConversationHistory,
    ) -> None:
        self.id, self.kind, self.tenant_id, self.meeting = chain_id, kind, tenant_id, meeting
        self.history = history
        self._mixer = Mixer(platform)
        self._members: dict[str, Member] = {}
        self._galleries: dict[str, Json] = {}
        self._views: dict[str, RosterView] = {}
        self._watches: dict[str, Watch] = {}
        self._groups: dict[tuple[str, str], RoutingGroup] = {}
        self._music: dict[str, tuple[Member, Music]] = {}
        self._entries: dict[str, Json] = {}
        self._sharing: SharingSession | None = None
        self.on_roster: OnRoster | None = None
        """Called with the entries by id, before and after each change."""
        self._changing = 0
        self._is_closed = False

    # ---- who is in it ----------------------------------------------------------------------------

    @property
    def members(self) -> Mapping[str, Member]:
        """All members by participant id, in the order of joining."""
        return MappingProxyType(self._members)

    @property
    def is_group(self) -> bool:
        """Whether it has a roster to speak of."""
        return self.kind != PEER_TO_PEER

    @property
    def is_closed(self) -> bool:
        """Whether nobody can come in any more."""
        return self._is_closed

    def has_identity(self, kind: str, identifier: str) -> bool:
        """Say whether that user, application, guest or phone number is in."""
        return any(
            member.kind == kind and member.identity_id == identifier
            for member in self._members.values()
        )

    def add(
        self,
        *,
        identity: Json,
        kind: str,
        display_name: str | None,
        participant_id: str | None = None,
        in_lobby: bool = False,
        hidden: bool = False,
        in_default_mix: bool = True,
        meeting_role: str = "attendee",
        listener: RosterListener | None = None,
        media_kind: str = "none",
        user_agent: str | None = None,
        app_id: str | None = None,
        source_slots: int = 16,
        render_slots: int = 16,
        max_target_frames: int = 5,
        paced: bool = False,
        relay: bool = False,
    ) -> Member:
        """Take in a member, with a leg of its own.

        Raises: RuntimeError when the conversation is closed; ValueError on an id that is in use.

        *identity* is a typed identitySet with a member *kind*. *media_kind*, *user_agent* and
        *app_id* are for the call record; the other arguments are those of ``Bridge.add_leg``.
        """
        participant_id = participant_id or str(uuid.uuid4())
        if participant_id in self._members:
            raise ValueError(f"participant {participant_id} is in this conversation already")
        source_id = self._mixer.next_source_id()
        leg = self._mixer.add_leg(
            source_id,
            max_target_frames=max_target_frames,
            source_slots=source_slots,
            render_slots=render_slots,
            paced=paced,
            relay=relay,
        )
        member = Member(
            participant_id=participant_id,
            identity=identity,
            kind=kind,
            display_name=display_name,
            source_id=source_id,
            leg=leg,
            joined_at=datetime.now(UTC),
            meeting_role=meeting_role,
            in_lobby=in_lobby,
            hidden=hidden,
            in_default_mix=in_default_mix,
            media_kind=media_kind,
        )
        self._members[participant_id] = member
        self.history.joined(
            participant_id, identity, kind, media_kind, member.joined_at, user_agent, source_id
        )
        if app_id is not None:
            self.history.app_joined(app_id)
        with self.changing():
            if listener is not None:
                self.listen(member, listener)
        return member

    def remove(
        self,
        member: Member,
        *,
        result: ResultInfo | None = None,
        transport: Mapping[str, int] | None = None,
        measured: Measured | None = None,
    ) -> None:
        """Let *member* go, as its own party says; the rest is for the call record.

        Again is no error.
        """
        self._drop(member)
        now, counters = datetime.now(UTC), member.leg_counters()
        self.history.left(member.participant_id, now, result, counters, transport, measured)

    def expel(self, member: Member, result: ResultInfo) -> None:
        """Let *member* go at once, and tell its party, which then calls :meth:`remove`."""
        self._drop(member)
        on_removed, member.on_removed = member.on_removed, None
        if on_removed is None:
            self.remove(member, result=result)
        else:
            on_removed(result)

    def _drop(self, member: Member) -> None:
        if self._members.get(member.participant_id) is not member:
            return
        member.on_told = None
        with self.changing():
            for held in [held for held, (by, _) in self._music.items() if by is member]:
                self.stop_music(self._members[held])
            self.stop_music(member)
            self.stop_sharing(member)
            self._watches.pop(member.participant_id, None)
            self._views.pop(member.participant_id, None)
            for key in [key for key in self._groups if key[0] == member.participant_id]:
                del self._groups[key]
            for leg in (*member.voices, *member.whispers, member.leg):
                self._mixer.remove_leg(leg)
            member.voices.clear()
            member.whispers.clear()
            del self._members[member.participant_id]

    def admit(self, member: Member) -> None:
        """Let *member* out of the lobby into the conversation."""
        if member.in_lobby:
            with self.changing():
                member.in_lobby = False
            _tell_party(member, "admitted", True)

    def hide(self, member: Member) -> None:
        """Show *member* to nobody but itself from now on."""
        with self.changing():
            member.hidden = True

    def add_gallery(self) -> Json:
        """Show a large gallery in the roster, as a hidden participant; return its entry."""
        entry_id = str(uuid.uuid4())
        audio_id, video_id = self._mixer.next_source_id(), self._mixer.next_source_id()
        entry = large_gallery(entry_id, str(uuid.uuid4()), audio_id, video_id)
        with self.changing():
            self._galleries[entry_id] = entry
        return entry

    def remove_gallery(self, entry_id: str) -> bool:
        """Take a large gallery out of the roster; say whether it was there."""
        with self.changing():
            return self._galleries.pop(entry_id, None) is not None

    @property
    def has_gallery(self) -> bool:
        """Whether the roster shows a large gallery."""
        return bool(self._galleries)

    # ---- what they see ---------------------------------------------------------------------------

    def listen(self, member: Member, listener: RosterListener | None) -> None:
        """Tell *listener* what *member* sees of each change, at once of all there is; None ends it.

        In place of a listener that *member* had before.
        """
        self._watches.pop(member.participant_id, None)
        if listener is not None and member.participant_id in self._members:
            with self.changing():
                self._watches[member.participant_id] = Watch(listener, self._view(member))

    def roster_of(self, member: Member) -> tuple[Json, ...]:
        """Return the participants that *member* sees, numbered as in the deltas it was sent.

        One that has left sees nobody.
        """
        if member.participant_id not in self._members:
            return ()
        view = self._view(member)
        # Without a listener nothing else keeps it up to date.
        view.update(self._visible_to(member))
        return view.participants

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Make several changes one: routed and told when the outermost ends."""
        self._changing += 1
        try:
            yield
        finally:
            self._changing -= 1
            if not self._changing and not self._is_closed:
                self._publish()

    def _publish(self) -> None:
        self._mixer.route(self._members.values(), self._groups.values())
        entries: dict[str, Json] = {}
        for member in self._members.values():
            self._keep(entries, member.participant_id, member.describe())
        for entry_id, entry in self._galleries.items():
            self._keep(entries, entry_id, entry)
        before, self._entries = self._entries, entries
        if self.on_roster is not None and before != entries:
            self.on_roster(before, entries)
        for participant_id, watch in tuple(self._watches.items()):
            if self._watches.get(participant_id) is watch:
                self._tell(self._members[participant_id], watch)

    def _keep(self, entries: dict[str, Json], entry_id: str, entry: Json) -> None:
        """Keep the object of an entry that stays the same: views compare those at no cost."""
        before = self._entries.get(entry_id)
        entries[entry_id] = before if before is not None and before == entry else entry

    def _tell(self, member: Member, watch: Watch) -> None:
        if self.is_group:
            watch.see_roster(self._visible_to(member))
        session = None if member.in_lobby else self._sharing
        watch.see_sharing(None if session is None else session.id)

    def _view(self, member: Member) -> RosterView:
        return self._views.setdefault(member.participant_id, RosterView())

    def _visible_to(self, viewer: Member) -> Mapping[str, Json]:
        own_id = viewer.participant_id
        if viewer.in_lobby:
            return {own_id: self._entries[own_id]}
        hidden = {m.participant_id for m in self._members.values() if m.hidden} - {own_id}
        return {key: entry for key, entry in self._entries.items() if key not in hidden}

    # ---- what becomes of their audio -------------------------------------------------------------

    def set_muted(
        self, member: Member, *, client: bool | None = None, server: bool | None = None
    ) -> None:
        """Mute or unmute *member* at its own end, at the service, or both; None leaves one.

        Its party is told of what was not done at its own end too.
        """
        before = member.server_muted
        with self.changing():
            member.client_muted = member.client_muted if client is None else client
            member.server_muted = before if server is None else server
        if client is None and member.server_muted != before:
            _tell_party(member, "muted", member.server_muted)

    def hold(self, member: Member, on: bool) -> None:
        """Put *member* on hold by its own wish, or take it up again."""
        with self.changing():
            member.is_self_held = on

    def start_music(self, member: Member, by: Member, play: Callable[[Leg], Music]) -> None:
        """Put *member* on hold, by the wish of another; *play* is given the leg that it hears.

        Raises: RuntimeError when it is on hold so already.

        What *play* returns is closed when the hold ends, also because one of the two left.
        """
        if member.music is not None:
            raise RuntimeError(f"participant {member.participant_id} is on hold already")
        leg = self._mixer.add_speaking_leg(self._mixer.next_source_id())
        with self.changing():
            member.music = leg
        try:
            # Not before it is routed: until then all others would hear it.
            self._music[member.participant_id] = by, play(leg)
        except BaseException:
            with self.changing():
                member.music = None
                self._mixer.remove_leg(leg)
            raise
        _tell_party(member, "held", True)

    def stop_music(self, member: Member) -> bool:
        """End the hold that :meth:`start_music` began; say whether there was one."""
        if member.music is None:
            return False
        _, music = self._music.pop(member.participant_id)
        music.close()
        leg, member.music = member.music, None
        with self.changing():
            self._mixer.remove_leg(leg)
        _tell_party(member, "held", False)
        return True

    @property
    def has_music(self) -> bool:
        """Whether someone is on hold with music."""
        return bool(self._music)

    def add_voice(self, member: Member, listener: Member | None = None) -> Leg:
        """Add a leg that speaks for *member*: heard where it is, or by *listener* alone."""
        with self.changing():
            leg = self._mixer.add_speaking_leg(member.source_id)
            (member.voices if listener is None else listener.whispers).append(leg)
        return leg

    def remove_voice(self, member: Member, leg: Leg, listener: Member | None = None) -> None:
        """Take a leg of :meth:`add_voice` out. Again is no error."""
        legs = member.voices if listener is None else listener.whispers
        if leg in legs:
            legs.remove(leg)
            with self.changing():
                self._mixer.remove_leg(leg)

    def set_hears(self, listener: Member, speaker: Member, hears: bool) -> None:
        """Let *listener* hear *speaker* or not: an operator's word on that pair, over groups."""
        with self.changing():
            self._mixer.wish(
                listener, speaker, hears, self._members.values(), self._groups.values()
            )

    def listeners_of(self, member: Member) -> list[Member]:
        """Return who hears *member* now."""
        hears = self._mixer.hears
        return [other for other in self._members.values() if hears(other.leg, member.leg)]

    def open_feed(self, member: Member) -> SpeakerFeed:
        """Give *member* everyone whom it hears apart, until that is closed."""
        with self.changing():
            return self._mixer.taps.open(member.participant_id)

    def set_group(self, owner: Member, group_id: str, group: RoutingGroup) -> None:
        """Route audio as *owner*'s group says, in place of its group of the same id."""
        with self.changing():
            self._groups[owner.participant_id, group_id] = group

    def remove_group(self, owner: Member, group_id: str) -> bool:
        """Undo a group; say whether there was one."""
        with self.changing():
            return self._groups.pop((owner.participant_id, group_id), None) is not None

    def groups_of(self, owner: Member) -> dict[str, RoutingGroup]:
        """Return *owner*'s groups by their ids, in the order in which they were made."""
        return {
            group_id: group
            for (owner_id, group_id), group in self._groups.items()
            if owner_id == owner.participant_id
        }

    def set_recording(self, member: Member, status: str, initiator: Json) -> None:
        """Show in the roster whether *member* is recorded, and by whom."""
        with self.changing():
            member.recording_info = recording_info(status, initiator)

    # ---- sharing of content ----------------------------------------------------------------------

    @property
    def sharing(self) -> SharingSession | None:
        """The content sharing session that is on."""
        return self._sharing

    def start_sharing(self, member: Member) -> SharingSession:
        """Let *member* present: in a new session, or from now on in the one that is on.

        Raises: ValueError for a member that is in the lobby, or has left.
        """
        if member.in_lobby or member.participant_id not in self._members:
            raise ValueError(
                "expected a member that is in and admitted; it is in the lobby or left"
            )
        before = self._sharing
        if before is not None and before.presenter_id == member.participant_id:
            return before
        with self.changing():
            if before is None:
                session = SharingSession(secrets.token_hex(32).upper(), member.participant_id)
            else:
                session = SharingSession(before.id, member.participant_id)
                self._set_sharing_stream(self._members[before.presenter_id], "receiveOnly")
            self._set_sharing_stream(member, "sendOnly")
            self._sharing = session
        if before is not None:
            self._sharing_updated()
        return session

    def update_sharing(self, member: Member) -> bool:
        """Say that what *member* presents changed; False when it does not present."""
        if self._sharing is None or self._sharing.presenter_id != member.participant_id:
            return False
        self._sharing_updated()
        return True

    def stop_sharing(self, member: Member) -> bool:
        """End the session that *member* presents in; False when it does not present."""
        if self._sharing is None or self._sharing.presenter_id != member.participant_id:
            return False
        with self.changing():
            self._sharing = None
            self._set_sharing_stream(member, "receiveOnly")
        return True

    def _set_sharing_stream(self, member: Member, direction: str) -> None:
        source_id = (
            self._mixer.next_source_id() if member.sharing is None else member.sharing.source_id
        )
        member.sharing = Stream("videoBasedScreenSharing", source_id, direction)

    def _sharing_updated(self) -> None:
        for watch in tuple(self._watches.values()):
            watch.see_sharing_updated()

    # ---- its end ---------------------------------------------------------------------------------

    async def close(self) -> None:
        """Take the bridge down and end the history. Again is no error."""
        if self._is_closed:
            return
        self._is_closed = True
        for member in tuple(self._members.values()):
            self.stop_music(member)
            counters = member.leg_counters()
            self.history.left(member.participant_id, datetime.now(UTC), None, counters)
        self._watches.clear()
        self._members.clear()
        self._mixer.close()
        self.history.ended(datetime.now(UTC))


def _tell_party(member: Member, what: Told, is_on: bool) -> None:
    if member.on_told is not None:
        member.on_told(what, is_on)
