"""The calls of a call service, for the console."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence

from ...console.engine import engine_view
from ...console.models import (
    BotView,
    CallDetail,
    CallRow,
    CaptureDetail,
    CaptureView,
    Engine,
    MeetingView,
    PluginKind,
    PluginView,
    RecordingView,
    Side,
    UserSession,
    UserView,
)
from ...console.plugin_events import PluginEvents
from ...console.plugin_kinds import plugin_kinds
from ...console.source import AudioFile, ConsoleRefusedError
from ...console.wishes import CallWish, MeetingWish, PluginChange, PluginWish, RouteWish
from ...store.base import MeetingRow, UserRow
from ..invitation import Invitation, Outcome
from ..leg_plugins import STREAMS, LegPlugins
from ..live_call import LiveCall
from ..meetings import Meetings
from ..rooms import Room
from ..services import CallServices
from . import actions
from .detail import detail_of, ended_detail
from .plugins import add_plugins, change_plugin, find_plugin, plugin_view
from .rows import ended_row, leg_key, name_of, row_of

NO_RECORDINGS = "the call service keeps no recordings: a bot host does, of its own calls"


class ServiceConsole:
    """A call service as a console's source. *on_meeting* is awaited after a meeting was made.

    Thread: the loop's.
    """

    side: Side = "service"

    def __init__(
        self,
        services: CallServices,
        meetings: Meetings,
        plugins: LegPlugins,
        on_meeting: Callable[[], Awaitable[None]],
    ) -> None:
        self._services, self._meetings, self._plugins = services, meetings, plugins
        self._on_meeting = on_meeting
        self._events = PluginEvents(services.journal)
        plugins.on_event = self._events.note

    # ---- what is shown ---------------------------------------------------------------------------

    def rows(self) -> Sequence[CallRow]:
        """Return the conversations, and the last that are over, oldest first."""
        rooms = self._services.rooms
        calls: dict[str, list[LiveCall]] = {}
        for live in self._services.book:
            calls.setdefault(live.room.id, []).append(live)
        over = [ended_row(room) for room in rooms.ended]
        living = (room for room in rooms if room.conversation.members or room.id in calls)
        return [*over, *(row_of(room, calls.get(room.id, ()), self._plugins) for room in living)]

    def detail(self, call_id: str) -> CallDetail | None:
        """Return all there is of a conversation, by its id or that of a call in it."""
        room = self._find(call_id)
        if room is None:
            return None
        book, redactor = self._services.book, self._services.journal.redactor
        if room.is_over:
            return ended_detail(room, book, redactor)
        return detail_of(room, book, self._plugins, self._events, redactor)

    def meters(self, call_ids: Collection[str] | None) -> Mapping[str, tuple[int, int]]:
        """Return the level of every member's leg, in those conversations."""
        levels = {}
        for room in self._chosen(call_ids):
            for participant_id, member in room.conversation.members.items():
                meter = member.leg.meter()
                levels[leg_key(participant_id)] = (meter.inbound_dbov, meter.outbound_dbov)
        return levels

    def engine(self) -> Engine:
        """Return how the engine was in the last second."""
        services = self._services
        calls = sum(1 for room in services.rooms if room.parties)
        return engine_view(services.platform, services.admission, calls)

    def users(self) -> Sequence[UserView]:
        """Return the directory's users."""
        services = self._services
        online, busy = services.switchboard.user_ids, services.callers.user_ids
        return [
            UserView(
                id=user.user_id,
                name=user.display_name,
                is_online=user.user_id in online,
                is_busy=user.user_id in busy,
            )
            for user in services.directory.users
        ]

    def user_session(self, user_id: str) -> UserSession:
        """Return what a page signs in to ``/rtc`` with as that user."""
        user = self._user(user_id)
        return UserSession(user_id=user.user_id, name=user.display_name, token=user.token)

    async def bots(self) -> Sequence[BotView]:
        """Return the service's application, if it has said where it is told of calls."""
        app = await self._services.store.app(self._services.settings.app_id)
        if app is None or app.webhook is None:
            return []
        return [BotView(name=app.display_name, app_id=app.app_id, can_be_called=True)]

    async def meetings(self) -> Sequence[MeetingView]:
        """Return the scheduled meetings, and those that are under way."""
        rows = await self._meetings.all()
        return [self._meeting_view(row) for row in rows if not row.is_ad_hoc or self._room_of(row)]

    async def plugin_kinds(self) -> Sequence[PluginKind]:
        """Return the plugins that can be put on a caller's leg."""
        return await asyncio.to_thread(plugin_kinds, STREAMS, self._plugins.specs)

    async def recordings(self) -> Sequence[RecordingView]:
        """Return nothing: what applications record here is theirs, for a minute."""
        return ()

    async def peaks(self, recording_id: str, name: str, bins: int) -> Sequence[tuple[int, int]]:
        """Refuse: there are no recordings."""
        raise ConsoleRefusedError.not_found(NO_RECORDINGS)

    async def audio(self, recording_id: str, name: str) -> AudioFile:
        """Refuse: there are no recordings."""
        raise ConsoleRefusedError.not_found(NO_RECORDINGS)

    async def captures(self) -> Sequence[CaptureView]:
        """Return nothing: a host captures."""
        return ()

    async def capture(self, capture_id: str, after: int | None, most: int) -> CaptureDetail:
        """Refuse: there are no captures."""
        raise ConsoleRefusedError.not_found(f"no capture {capture_id!r:.100}")

    # ---- what is done ----------------------------------------------------------------------------

    async def create_call(self, wish: CallWish) -> str:
        """Refuse: it is bots that call, and none is in this process."""
        raise ConsoleRefusedError.not_possible(
            "a call service makes no calls itself: a bot host does; or call the bot as a user"
        )

    async def create_meeting(self, wish: MeetingWish) -> MeetingView:
        """Schedule a meeting, with the first user of the directory as its organizer by default."""
        users = self._services.directory.users
        organizer = users[0] if wish.organizer_id is None else self._user(wish.organizer_id)
        with actions.refusals():
            meeting = await self._meetings.create(organizer, wish.subject)
        await self._on_meeting()
        return self._meeting_view(meeting)

    async def hang_up(self, call_id: str) -> None:
        """End a conversation for all."""
        await actions.hang_up(self._living(call_id), self._services.book)

    async def send_tones(self, call_id: str, tones: str) -> None:
        """Let the bot press keys."""
        await actions.send_tones(self._living(call_id), self._services.book, tones)

    async def mute(self, call_id: str, participant_id: str) -> None:
        """Mute somebody at the service."""
        actions.mute(self._living(call_id), participant_id)

    async def unmute(self, call_id: str, participant_id: str) -> None:
        """Take the service's mute of somebody back."""
        actions.unmute(self._living(call_id), participant_id)

    async def admit(self, call_id: str, participant_id: str) -> None:
        """Let somebody in from the lobby."""
        actions.admit(self._living(call_id), participant_id)

    async def remove(self, call_id: str, participant_id: str) -> None:
        """Take somebody out, or stop ringing them."""
        actions.remove(self._living(call_id), participant_id)

    async def invite(self, call_id: str, user: str) -> None:
        """Ring a user into a meeting or group call."""
        room, found = self._living(call_id), self._user(user)
        invitation = actions.invite_user(self._services, room, found)
        self._follow(room, invitation, found.display_name)

    async def set_route(self, call_id: str, wish: RouteWish) -> None:
        """Let one member hear another, or not."""
        room = self._living(call_id)
        actions.set_route(room, wish)
        names = {key: name_of(member) for key, member in room.conversation.members.items()}
        verb = "hears" if wish.hears else "does not hear"
        title = f"{names[wish.listener]} {verb} {names[wish.speaker]}"
        self._services.journal.record("roster", room.id, title)

    async def set_plugin(self, call_id: str, key: str, change: PluginChange) -> PluginView:
        """Switch a plugin on one leg, or change its parameters there."""
        member, chain, name = find_plugin(self._living(call_id), self._plugins, key)
        change_plugin(chain, name, change)
        return plugin_view(member, chain, name, self._events)

    async def add_plugin(self, call_id: str, wish: PluginWish) -> Sequence[PluginView]:
        """Put a plugin on one caller's leg, or on all."""
        return await add_plugins(self._living(call_id), self._plugins, wish)

    async def remove_plugin(self, call_id: str, key: str) -> None:
        """Take a plugin out of one leg."""
        _, chain, name = find_plugin(self._living(call_id), self._plugins, key)
        await self._plugins.remove(chain, name)

    async def place_bot(self, call_id: str, bot: str) -> str:
        """Ring the bot into a meeting or group call."""
        room = self._living(call_id)
        views = await self.bots()
        view = next((view for view in views if bot in (view.name, view.app_id)), None)
        if view is None or view.app_id is None:
            there = ", ".join(view.name for view in views) or "none that takes incoming calls"
            raise ConsoleRefusedError.not_possible(f"no bot {bot!r:.100} to be rung: {there}")
        invitation, bot_call_id = actions.place_bot(self._services, room, view.app_id, view.name)
        self._follow(room, invitation, view.name)
        return bot_call_id

    async def start_recording(self, call_id: str) -> RecordingView:
        """Refuse: there are no recordings."""
        self._living(call_id)
        raise ConsoleRefusedError.not_possible(NO_RECORDINGS)

    async def stop_recording(self, call_id: str) -> None:
        """Refuse: there are no recordings."""
        self._living(call_id)
        raise ConsoleRefusedError.not_possible(NO_RECORDINGS)

    # ---- small help ------------------------------------------------------------------------------

    def _find(self, call_id: str) -> Room | None:
        live = self._services.book.living_call(call_id)
        if live is not None:
            return live.room
        room = self._services.rooms.get(call_id)
        if room is not None:
            return room
        over = reversed(self._services.rooms.ended)
        return next((room for room in over if call_id in room.call_ids), None)

    def _living(self, call_id: str) -> Room:
        room = self._find(call_id)
        if room is None:
            raise ConsoleRefusedError.not_found(f"no call {call_id!r:.100}")
        if room.is_over:
            raise ConsoleRefusedError.not_possible("this call is over")
        return room

    def _chosen(self, call_ids: Collection[str] | None) -> Iterator[Room]:
        if call_ids is None:
            yield from self._services.rooms
            return
        found = {room.id: room for call_id in call_ids if (room := self._find(call_id))}
        yield from found.values()

    def _user(self, name_or_id: str) -> UserRow:
        directory, wanted = self._services.directory, name_or_id.casefold()
        user = directory.user(name_or_id)
        named = [one for one in directory.users if one.display_name.casefold() == wanted]
        if user is None and len(named) == 1:
            user = named[0]
        if user is None:
            raise ConsoleRefusedError.not_found(f"no user {name_or_id!r:.100} in the directory")
        return user

    def _room_of(self, meeting: MeetingRow) -> Room | None:
        return self._services.rooms.under_way(meeting)

    def _meeting_view(self, meeting: MeetingRow) -> MeetingView:
        room = self._room_of(meeting)
        return MeetingView(
            id=meeting.thread_id,
            subject=meeting.subject or "Meeting",
            join_url=meeting.join_url,
            organizer=meeting.organizer_name or None,
            is_live=room is not None,
            call_id=None if room is None else room.id,
        )

    def _follow(self, room: Room, invitation: Invitation, name: str) -> None:
        """Write down when somebody who was rung for the operator did not come."""
        journal = self._services.journal

        def ended(outcome: asyncio.Future[Outcome]) -> None:
            why = actions.why_unanswered(outcome)
            if why is not None:
                journal.record("operation", room.id, f"{name} did not come: {why}")

        invitation.outcome.add_done_callback(ended)
