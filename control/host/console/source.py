"""The calls of a bot host, for the console."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from mixminus.media.pipeline import AudioFileError
from mixminus.media.recorder import RecordingError
from mixminus.media.session import SessionClosedError

from ...client.errors import CLIENT_ERRORS
from ...client.models import Identity
from ...client.requests import GraphRequestError
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
from ...console.source import KEPT_ENDED, AudioFile, ConsoleRefusedError
from ...console.views import iso
from ...console.waveform import Waveforms
from ...console.wishes import CallWish, MeetingWish, PluginChange, PluginWish, RouteWish
from ...graph.joinurl import JoinUrlError
from ..call import HostedCall
from ..errors import (
    CallEndedError,
    HostBusyError,
    NoAudioError,
    OperationFailedError,
    UnknownMeetingError,
    UnknownUserError,
)
from ..plugins import STREAMS
from ..wishing import CallWish as HostWish
from ..wishing import make_call
from .captures import LastIndex, capture_detail, list_captures
from .detail import AnyCall, detail_of, row_id, row_of
from .fleet import fleet_views
from .legs import legs_of
from .plugins import add_plugin, change_plugin, find_plugin, plugin_view
from .recordings import find_file, list_recordings, recording_view

if TYPE_CHECKING:
    from ..host import BotHost

SERVICES_TO_DO = "that is the call service's to do, and none runs in this process"


class HostConsole:
    """A bot host as a console's source.

    Thread: the loop's.
    """

    side: Side = "host"

    def __init__(self, host: BotHost) -> None:
        self._host = host
        self._events = PluginEvents(host.journal)
        self._waveforms = Waveforms()
        self._capture_turn, self._last_capture = asyncio.Lock(), LastIndex()
        self._ended: OrderedDict[str, CallDetail] = OrderedDict()
        host.plugins.on_event = self._events.note
        host.calls.on_ended = host.streams.on_ended = self._keep

    # ---- what is shown ---------------------------------------------------------------------------

    def rows(self) -> Sequence[CallRow]:
        """Return the calls, and the last that are over, oldest first."""
        name = self._host.bot.name
        over = [detail.row for detail in self._ended.values()]
        return [*over, *(row_of(call, name) for call in self._calls())]

    def detail(self, call_id: str) -> CallDetail | None:
        """Return all there is of a call, by its own id or its conversation's."""
        call = self._find(call_id)
        if call is not None:
            return self._detail_of(call)
        over = reversed(self._ended.values())
        return next((d for d in over if call_id in (d.row.id, *d.row.call_ids)), None)

    def meters(self, call_ids: Collection[str] | None) -> Mapping[str, tuple[int, int]]:
        """Return the level of every leg of those calls."""
        levels = {}
        for call in self._calls():
            if call_ids is None or call.id in call_ids or row_id(call) in call_ids:
                for key, leg in legs_of(call):
                    meter = leg.meter()
                    levels[key] = (meter.inbound_dbov, meter.outbound_dbov)
        return levels

    def engine(self) -> Engine:
        """Return how the engine was in the last second."""
        calls = len(self._host.calls) + len(self._host.streams)
        return engine_view(self._host.platform, self._host.operation.admission, calls)

    def users(self) -> Sequence[UserView]:
        """Return nobody: the directory is the service's."""
        return ()

    def user_session(self, user_id: str) -> UserSession:
        """Refuse: there is no signalling here that a page could sign in to."""
        raise ConsoleRefusedError.not_possible(SERVICES_TO_DO)

    async def bots(self) -> Sequence[BotView]:
        """Return the host's bot."""
        bot = self._host.bot
        return [
            BotView(
                name=bot.name,
                app_id=self._host.settings.app_id,
                can_be_called=bot.incoming_handler is not None,
                can_call=True,
                can_join=True,
                **await fleet_views(self._host.fleet),
            )
        ]

    async def meetings(self) -> Sequence[MeetingView]:
        """Return nothing: meetings are the service's."""
        return ()

    async def plugin_kinds(self) -> Sequence[PluginKind]:
        """Return the plugins that can be put on a stream of a session."""
        return await asyncio.to_thread(plugin_kinds, STREAMS, self._host.plugins.specs)

    async def recordings(self) -> Sequence[RecordingView]:
        """Return what was recorded, newest first."""
        return await asyncio.to_thread(list_recordings, self._host.recordings.store)

    async def peaks(self, recording_id: str, name: str, bins: int) -> Sequence[tuple[int, int]]:
        """Return the waveform of a file of a recording."""
        file = await self.audio(recording_id, name)
        try:
            return await self._waveforms.peaks(file.path, bins)
        except (AudioFileError, OSError) as error:
            raise ConsoleRefusedError.not_possible(f"{name}: no waveform: {error}") from None

    async def audio(self, recording_id: str, name: str) -> AudioFile:
        """Return where a file of a recording is."""
        store = self._host.recordings.store
        return await asyncio.to_thread(find_file, store, recording_id, name)

    async def captures(self) -> Sequence[CaptureView]:
        """Return the captured calls, newest first."""
        host = self._host
        return await asyncio.to_thread(list_captures, host.recordings.store, host.journal.redactor)

    async def capture(self, capture_id: str, after: int | None, most: int) -> CaptureDetail:
        """Return what is in a capture; one is looked through at a time."""
        host = self._host
        async with self._capture_turn:
            return await asyncio.to_thread(
                capture_detail,
                host.recordings.store,
                host.journal.redactor,
                capture_id,
                after,
                most,
                self._last_capture,
            )

    # ---- what is done ----------------------------------------------------------------------------

    async def create_call(self, wish: CallWish) -> str:
        """Let the bot call, or join a meeting: at the host of its fleet with least to do."""
        host = self._host
        if wish.bot not in (None, host.bot.name, host.settings.app_id):
            raise ConsoleRefusedError.not_found(
                f"no bot {wish.bot!r:.100}: this host runs {host.bot.name}"
            )
        with refusals():
            wanted = HostWish(
                user=wish.user,
                users=wish.users or None,
                phone=wish.phone,
                meeting=wish.meeting,
                join_url=wish.join_url,
            )
            call_id = str((await make_call(host, wanted))["callId"])
        call = host.calls.get(call_id)
        return call_id if call is None else row_id(call)

    async def create_meeting(self, wish: MeetingWish) -> MeetingView:
        """Refuse: meetings are the service's."""
        raise ConsoleRefusedError.not_possible(SERVICES_TO_DO)

    async def hang_up(self, call_id: str) -> None:
        """End the bot's call."""
        with refusals():
            await self._living(call_id).hang_up()

    async def send_tones(self, call_id: str, tones: str) -> None:
        """Let the bot press keys: in its own audio, or by the service where that has it."""
        call = self._living(call_id)
        with refusals():
            if call.session is not None:
                await call.audio.send_tones(tones)
            elif isinstance(call, HostedCall):
                await call.send_dtmf_tones(*tones)

    async def mute(self, call_id: str, participant_id: str) -> None:
        """Let the bot mute somebody."""
        with refusals():
            await self._of_graph(call_id).mute_participant(participant_id)

    async def unmute(self, call_id: str, participant_id: str) -> None:
        """Refuse: to an application the service lets nobody be unmuted but by themselves."""
        self._living(call_id)
        raise ConsoleRefusedError.not_possible("only they themselves can undo it")

    async def admit(self, call_id: str, participant_id: str) -> None:
        """Refuse: an application admits nobody."""
        self._living(call_id)
        raise ConsoleRefusedError.not_possible(SERVICES_TO_DO)

    async def remove(self, call_id: str, participant_id: str) -> None:
        """Let the bot remove somebody."""
        with refusals():
            was_there = await self._of_graph(call_id).remove_participant(participant_id)
        if not was_there:
            raise ConsoleRefusedError.not_found(f"no participant {participant_id!r:.100}")

    async def invite(self, call_id: str, user: str) -> None:
        """Let the bot ring a user into the call."""
        call = self._of_graph(call_id)
        with refusals():
            target: Identity = self._host.calls.find_user(user)
            await self._host.client.invite(call.id, target)

    async def set_route(self, call_id: str, wish: RouteWish) -> None:
        """Refuse: who hears whom is the service's."""
        self._living(call_id)
        raise ConsoleRefusedError.not_possible(SERVICES_TO_DO)

    async def set_plugin(self, call_id: str, key: str, change: PluginChange) -> PluginView:
        """Switch a plugin on all its streams, or change its parameters."""
        call = self._living(call_id)
        plugins, spec = find_plugin(call, key)
        change_plugin(plugins, spec, change)
        _, changed = find_plugin(call, key)
        return plugin_view(call, changed, self._events)

    async def add_plugin(self, call_id: str, wish: PluginWish) -> Sequence[PluginView]:
        """Put a plugin on a stream of the call."""
        call = self._living(call_id)
        with refusals():
            name = await add_plugin(call, self._host.plugins, wish)
        specs = [spec for spec in call.plugins if spec.name == name]
        return [plugin_view(call, spec, self._events) for spec in specs]

    async def remove_plugin(self, call_id: str, key: str) -> None:
        """Take a plugin out."""
        plugins, spec = find_plugin(self._living(call_id), key)
        await plugins.remove(spec.name)

    async def place_bot(self, call_id: str, bot: str) -> str:
        """Refuse: a bot is brought into a meeting by letting it join."""
        self._living(call_id)
        raise ConsoleRefusedError.not_possible("let the bot join the meeting instead")

    async def start_recording(self, call_id: str) -> RecordingView:
        """Record the call from now on."""
        call, store = self._living(call_id), self._host.recordings.store
        if call.recordings:
            raise ConsoleRefusedError.not_possible("this call is being recorded already")
        with refusals():
            live = await call.record()
        directory = await asyncio.to_thread(store.find, live.id)
        view = None if directory is None else await asyncio.to_thread(recording_view, directory)
        if view is None:
            raise ConsoleRefusedError.not_possible(f"recording {live.id} was removed at once")
        return view

    async def stop_recording(self, call_id: str) -> None:
        """Stop all recordings of the call."""
        call = self._living(call_id)
        if not call.recordings:
            raise ConsoleRefusedError.not_possible("this call is not being recorded")
        await asyncio.gather(*(live.stop() for live in call.recordings))

    # ---- small help ------------------------------------------------------------------------------

    def _calls(self) -> Iterator[AnyCall]:
        yield from self._host.calls
        yield from self._host.streams

    def _find(self, call_id: str) -> AnyCall | None:
        call = self._host.calls.get(call_id) or self._host.streams.get(call_id)
        return call or next((call for call in self._calls() if row_id(call) == call_id), None)

    def _detail_of(self, call: AnyCall, ended_at: str | None = None) -> CallDetail:
        host = self._host
        return detail_of(call, host.bot.name, self._events, host.journal.redactor, ended_at)

    def _living(self, call_id: str) -> AnyCall:
        call = self._find(call_id)
        if call is None and self.detail(call_id) is None:
            raise ConsoleRefusedError.not_found(f"no call {call_id!r:.100}")
        if call is None or call.is_over:
            raise ConsoleRefusedError.not_possible("this call is over")
        return call

    def _of_graph(self, call_id: str) -> HostedCall:
        call = self._living(call_id)
        if not isinstance(call, HostedCall):
            raise ConsoleRefusedError.not_possible("a telephony stream has no roster to change")
        return call

    def _keep(self, call: AnyCall) -> None:
        """Keep what there is of a call that is over."""
        at = iso(datetime.now(UTC))
        self._ended[call.id] = self._detail_of(call, at)
        while len(self._ended) > KEPT_ENDED:
            self._ended.popitem(last=False)


@contextmanager
def refusals() -> Iterator[None]:
    """Say to the operator why something could not be done.

    Raises: ConsoleRefusedError.
    """
    try:
        yield
    except HostBusyError as error:
        raise ConsoleRefusedError(503, "busy", str(error)) from None
    except GraphRequestError as error:
        raise ConsoleRefusedError.not_possible(f"{error.message} ({error.code})") from None
    except CLIENT_ERRORS as error:
        raise ConsoleRefusedError.unavailable(str(error)) from None
    except (UnknownUserError, UnknownMeetingError) as error:
        raise ConsoleRefusedError.not_found(str(error)) from None
    except (
        CallEndedError,
        NoAudioError,
        OperationFailedError,
        RecordingError,
        SessionClosedError,
        OSError,
    ) as error:
        raise ConsoleRefusedError.not_possible(str(error)) from None
    except (JoinUrlError, ValueError) as error:
        raise ConsoleRefusedError.invalid(str(error)) from None
