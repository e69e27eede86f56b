"""A call that comes by a telephony stream, as a bot sees it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final

from mixminus.media.bridge import Leg
from mixminus.media.session import MediaSession
from mixminus.media.transports.stream import StreamTransport

from ..call_state import ResultInfo
from ..client.models import Participant
from ..graph.enums import CallState, MediaState
from ..journal import Journal
from ..operation.call_context import call_task
from ..remote_state import RemoteCall
from .bot import Bot
from .call_media import CallMedia
from .media_news import MediaNews
from .parts import News, Peer, StateChange, describe
from .plugins import HostPlugins
from .recording import HostRecordings
from .runner import BotRunner
from .stream_people import participant_of
from .tones import Tones
from .waits import CallWaits

log = logging.getLogger("mixminus.control.host")

QUEUE_NEWS: Final = 256
"""Keys and speakers that wait for a bot's handlers; more than that is nobody's doing."""
MET: Final = News(participants=[])
"""Somebody is in the call who was not."""


@dataclass(frozen=True, slots=True)
class StreamOrigin:
    """Where a stream's call came from.

    ``far_call_id`` is the far end's id of the call (ACS: the call connection, Twilio: the CallSid),
    which its REST API takes; ``parameters`` came with the stream.
    """

    dialect: str
    far_call_id: str | None
    parameters: Mapping[str, str]
    correlation_id: str | None = None


class StreamCall(CallMedia):
    """A call of this host whose media and signalling are one WebSocket.

    It is established when the bot sees it. It has the audio, keys, speakers and states that every
    call has; what Graph alone can do (prompts of the service, transfers, rosters) it has not.
    Thread: the loop's.
    """

    def __init__(
        self,
        call_id: str,
        origin: StreamOrigin,
        *,
        bot: Bot,
        peer: Peer,
        session: MediaSession,
        transport: StreamTransport,
        on_ended: Callable[[StreamCall], None],
        hang_up: Callable[[], Awaitable[None]] | None = None,
        recordings: HostRecordings | None = None,
        plugins: HostPlugins | None = None,
        journal: Journal | None = None,
    ) -> None:
        self.id = call_id
        self._journal = journal
        self.origin = origin
        self.peer = peer
        self.end_reason: str | None = None
        self.states: list[StateChange] = []
        self._created_at_s = time.monotonic()
        self._bot = bot
        self._session = session
        self._host_recordings = recordings
        self._host_plugins = plugins
        self._media = session
        self._transport = transport
        self._on_ended = on_ended
        self._hang_up_far = hang_up
        self._call = RemoteCall(call_id, CallState.ESTABLISHED, MediaState.ACTIVE)
        self._waits = CallWaits(lambda: self._call)
        self._runner = BotRunner(self, self._waits)
        self._people: dict[int, Participant] = {}
        self._news: asyncio.Queue[News] = asyncio.Queue(QUEUE_NEWS)
        self._media_news = MediaNews(bot, self._waits, self._news)
        self._tasks: set[asyncio.Task[None]] = set()
        self._end_task: asyncio.Task[None] | None = None
        self._unsubscribe = (
            session.on_speaker(self._note_speaker),
            session.audio.on_send_status(lambda _: self._waits.wake()),
        )
        for source_id in session.legs.speakers:
            self._meet(source_id)
        self._note_state()

    @property
    def state(self) -> CallState:
        """Established, and at the end terminated."""
        return self._call.state

    @property
    def result(self) -> ResultInfo | None:
        """None: a stream does not say why a call ended; ``end_reason`` has what is known."""
        return self._call.result

    @property
    def has_audio(self) -> bool:
        """Whether audio flows: not while a lost socket is waited for."""
        return self._media.audio.active

    @property
    def is_over(self) -> bool:
        """Whether the call has ended, for whatever reason."""
        return self._waits.ended.is_set()

    @property
    def bot_error(self) -> str | None:
        """What the bot failed with, if it did."""
        return self._runner.error

    @property
    def participants(self) -> Mapping[str, Participant]:
        """Who was heard apart so far, by the far end's name for them; empty for a mixed stream."""
        return MappingProxyType({person.id: person for person in self._people.values()})

    def participant(self, participant_id: str) -> Participant | None:
        """Return the participant of that id, if they were heard."""
        return self.participants.get(participant_id)

    def speaker(self, source_id: str | int) -> Participant | None:
        """Return who has the media stream of that source id."""
        try:
            return self._people.get(int(source_id))
        except ValueError:
            return None

    def tones(self) -> Tones:
        """Return the keys that are pressed from now on."""
        return self._waits.tones()

    async def subscribe_to_tone(self, *, client_context: str | None = None) -> None:
        """Do nothing: a stream that brings keys always does."""

    async def hang_up(self) -> None:
        """End the call: at the far end if this host can, else by closing the stream.

        Raises: what call control raises; the call is over here all the same.
        """
        if self._waits.ended.is_set():
            return
        try:
            if self._hang_up_far is not None:
                await self._hang_up_far()
        finally:
            self._end("hung up by the bot host")

    leave = hang_up

    async def wait_established(self, timeout_s: float | None = None) -> None:
        """Return at once: a stream's call is established from the beginning.

        Raises: CallEndedError when it is over.
        """
        await self._waits.until(lambda: not self.is_over, timeout_s)

    async def wait_media(self, timeout_s: float | None = None) -> None:
        """Wait until audio flows.

        Raises: CallEndedError when the call ends first; TimeoutError; RuntimeError in a handler of
                updates.
        """
        await self._waits.until(lambda: self.has_audio, timeout_s)

    async def wait_ended(self) -> None:
        """Wait until the call is over."""
        await self._waits.ended.wait()

    async def wait_closed(self) -> None:
        """Wait until the call is over and nothing of it is left: no task, no socket."""
        await self._waits.ended.wait()
        if self._end_task is not None:
            await asyncio.shield(self._end_task)

    def describe(self) -> dict[str, Any]:
        """Return what the admin API shows of this call; no secret is in it."""
        return {**describe(self, {}), "stream": self.origin.dialect}

    # What the host calls.

    def start(self) -> None:
        """Begin the bot. Once."""
        self._media_news.follow(self._media.audio)
        self._start_media(self._media)
        self._spawn(self._watch_stream(), "stream")
        self._waits.handler_task = self._spawn(self._tell_bot(), "updates")
        handler = self._bot.call_handler
        if handler is None:
            log.warning("call %s: the bot has no on_call: it hears nothing", self.id)
            return

        async def run() -> None:
            await self._runner.run(handler)

        self._runner.start(run(), "bot").add_done_callback(self._bot_done)

    @property
    def transport(self) -> StreamTransport:
        """What takes the next socket of this call, when the last was lost."""
        return self._transport

    def end_at_far_end(self, reason: str) -> None:
        """Take in that the call is over there, as call control tells. Again is no error."""
        self._end(reason)

    # One call's tasks.

    async def _watch_stream(self) -> None:
        self._end(await asyncio.shield(self._media.transport_lost))

    async def _tell_bot(self) -> None:
        if not await self._runner.run(self._bot.update_handler):
            await self.hang_up()
        while True:
            news = await self._news.get()
            if news.told is not None:
                handler, what = news.told
                works = await self._runner.run(handler, what)
            elif news.tone is not None:
                works = await self._runner.run(self._bot.tone_handler, news.tone)
            else:
                works = await self._runner.run(self._bot.participants_handler)
            if not works:
                await self.hang_up()

    def _bot_done(self, _: asyncio.Task[None]) -> None:
        # However it ended, also by a cancellation of its own: without its bot a call has no use.
        if not self._waits.ended.is_set():
            self._spawn(self.hang_up(), "hang up")

    def _note_speaker(self, source_id: int, leg: Leg, is_opened: bool) -> None:
        if not is_opened or not self._meet(source_id):
            return
        if self._news.full():
            log.warning("call %s: the bot's handlers are behind: they miss a speaker", self.id)
        else:
            self._news.put_nowait(MET)

    def _meet(self, source_id: int) -> bool:
        name = self._media.audio.speaker_names.get(source_id)
        if name is None or source_id in self._people:
            return False
        self._people[source_id] = participant_of(name, source_id)
        return True

    # State and end.

    def _end(self, reason: str) -> None:
        if self._waits.ended.is_set():
            return
        self._waits.ended.set()
        self.end_reason = reason
        self._call = replace(self._call, state=CallState.TERMINATED, audio=MediaState.INACTIVE)
        self._note_state(reason)
        self._note_idle_plugins()
        self._waits.say_last_word({})
        self._end_task = call_task(self.id, self._close(), f"end {self.id}")

    def _note_idle_plugins(self) -> None:
        """Say which plugins heard nothing: in a mixed stream nobody is a speaker."""
        if self._plugins is None or self._people:
            return
        names = ", ".join(spec.name for spec in self._plugins if spec.on == "speaker")
        if names:
            log.warning(
                "call %s: nobody was heard apart, so plugins on speaker did nothing (%s):"
                " a mixed stream has mix and own",
                self.id,
                names,
            )

    async def _close(self) -> None:
        for unsubscribe in self._unsubscribe:
            unsubscribe()
        try:
            await self._close_media()
            await self._media.close()
        finally:
            await self._runner.close()
            tasks = set(self._tasks)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._on_ended(self)

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = call_task(self.id, work, f"{name} {self.id}")
        self._tasks.add(task)
        task.add_done_callback(self._task_done)
        return task

    def _task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("call %s: %s failed", self.id, task.get_name(), exc_info=error)
            self._end(f"internal error: {error}")
