"""One call of a bot host: its notifications in order, its bot, its media, and its end."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, TypeVar

from mixminus.media.session import MediaSession

from ..client.bodies import AUDIO, Options, Prompt
from ..client.errors import CLIENT_ERRORS
from ..client.models import Operation, ToneInfo
from ..client.requests import GraphRequestError
from ..graph.enums import CallState, RecordingStatus
from ..graph.notifications import Notification, normal_id
from ..operation.call_context import call_task, concern_of
from ..remote_state import (
    CallMirror,
    RemoteCall,
    RemoteOperation,
    Topic,
    merge_remote,
    topic_of,
)
from .bot import CallHandler
from .call_media import CallMedia
from .call_truth import CallTruth
from .durable import CallKeep
from .kept_call import KeptCall
from .letters import sequence_of
from .media_news import MediaNews
from .operations import OperationWaits
from .parts import (
    DELTA_ROSTER,
    MediaKind,
    News,
    Peer,
    StateChange,
    Surroundings,
    describe,
    media_of,
    shown,
)
from .prompts import Playable
from .runner import GONE_CODES, BotRunner
from .tones import Tones
from .verbs import CallVerbs
from .view import CallView
from .waits import CallWaits

log = logging.getLogger("mixminus.control.host")

Answer = TypeVar("Answer")

QUEUE_NOTIFICATIONS: Final = 256
"""A service that sends more than the handlers take is told 503, and sends again."""
HANG_UP_GRACE_S: Final = 5.0
"""How long the service has to confirm a hang-up; then the call is over here all the same."""
LINK_LOSS_GRACE_S: Final = 5.0
"""The media link and the notification of the end race each other: the second may be this late."""
ANSWER_S: Final = 15.0
ANSWER_POLICY_S: Final = 5.0
"""How long a bot has to answer, and one that is there to record."""


class HostedCall(CallView, CallMedia, CallTruth, KeptCall, CallVerbs):
    """A call of this host, as a bot sees it.

    Thread: the loop's.
    """

    def __init__(
        self,
        created: Mapping[str, Any],
        surroundings: Surroundings,
        *,
        peer: Peer,
        tenant_id: str,
        session: MediaSession | None,
        created_at_s: float,
        is_owned: bool = True,
        keep: CallKeep | None = None,
        is_rejoined: bool = False,
    ) -> None:
        self.id = str(created["id"])
        self.peer = peer
        self.tenant_id = tenant_id
        self.is_owned = is_owned
        """Whether this host keeps the call alive; not one whose media another process holds."""
        self.is_rejoined = is_rejoined
        self._keep = keep
        if keep is not None:
            keep.on_lost = self._be_lost
        self.states: list[StateChange] = []
        self.end_reason: str | None = None
        self._created_at_s = created_at_s
        self._around = surroundings
        self._journal, self._totals = surroundings.journal, surroundings.totals
        self._concern = concern_of(self.id)
        self._bot = surroundings.bot
        self._client, self._callback_uri = surroundings.client, surroundings.callback_uri
        self._session = session
        self._host_recordings, self._host_plugins = surroundings.recordings, surroundings.plugins
        is_incoming = created.get("state") == CallState.INCOMING
        first = CallState.INCOMING if is_incoming else CallState.ESTABLISHING
        self._mirror = CallMirror(merge_remote(RemoteCall(self.id, first), created))
        self._waits = CallWaits(lambda: self._mirror.call)
        self._operations = OperationWaits(
            self._find_operation, self._fetch_operation, self._waits.over
        )
        self._queue: asyncio.Queue[News] = asyncio.Queue()
        self._received = self._queued = self._duplicate = 0
        self._doubt = asyncio.Event()
        self._media_news = MediaNews(self._bot, self._waits, self._queue)
        self._runner = BotRunner(self, self._waits)
        self._runs_bot = False
        self._end_task: asyncio.Task[None] | None = None
        self._helpers: set[asyncio.Task[None]] = set()
        self._note_state()

    @property
    def bot_error(self) -> str | None:
        """What the bot failed with, if it did."""
        return self._runner.error

    @property
    def is_over(self) -> bool:
        """Whether the call has ended, for whatever reason."""
        return self._waits.ended.is_set()

    @property
    def seconds_to_answer(self) -> float:
        """How long an incoming call can still be answered, rejected or redirected; else 0."""
        if self.state is not CallState.INCOMING or self.is_over:
            return 0.0
        limit_s = ANSWER_POLICY_S if self._has_recording_policy() else ANSWER_S
        return max(0.0, self._created_at_s + limit_s - time.monotonic())

    def tones(self) -> Tones:
        """Return the keys that are pressed from now on; see :meth:`subscribe_to_tone`."""
        return self._waits.tones()

    async def answer(
        self,
        *,
        media: MediaKind = "app",
        prefetch: Sequence[Playable] = (),
        modalities: Sequence[str] = AUDIO,
        participant_capacity: int | None = None,
        options: Options | None = DELTA_ROSTER,
    ) -> None:
        """Take an incoming call: its audio comes here, or with ``media="service"`` stays there.

        Returns when the service took it on; :meth:`wait_established` waits for the rest.
        Raises: RuntimeError when it is answered already; GraphRequestError, GraphConnectionError,
                TokenError; CallEndedError when it is over.
        """
        if self._session is not None:
            raise RuntimeError(f"call {self.id} is answered already")
        session = self._around.open_session(self.lineage, self.epoch) if media == "app" else None
        self._session = session
        self._note_answer(media, options)
        try:
            await self._settle_kept()
            await self._ask(
                self._client.answer(
                    self.id,
                    media_of(session, [self._prompt(prompt) for prompt in prefetch]),
                    callback_uri=self._callback_uri,
                    modalities=modalities,
                    participant_capacity=participant_capacity,
                    options=options,
                )
            )
        except BaseException:
            self._session = None
            if session is not None:
                await self._around.drop_session(session)
            raise
        if session is not None and not self._waits.ended.is_set():
            self._follow(session)

    async def hang_up(self) -> None:
        """End the call, and wait until the service says so. Again is no error."""
        if self._waits.ended.is_set():
            return
        try:
            if self.state is CallState.INCOMING:
                await self._client.reject(self.id, callback_uri=self._callback_uri)
                was_there = True
            else:
                was_there = await self._client.delete(self.id)
        except CLIENT_ERRORS as exc:
            log.warning("call %s: hanging up: %s", self.id, exc)
            was_there = False
        # The confirmation is an update: whoever takes those in cannot wait for it.
        if was_there and not self._waits.is_in_handler:
            try:
                async with asyncio.timeout(HANG_UP_GRACE_S):
                    await self._waits.ended.wait()
            except TimeoutError:
                log.warning("call %s: the hang-up was never confirmed", self.id)
        self._end("hung up by the bot host")

    async def leave(self) -> None:
        """Hang up, unless the call is another process's: then only stop following it."""
        if self._keep is not None and self._keep.is_offered:
            self.let_go("left to the other hosts")
        elif self.is_owned:
            await self.hang_up()
        else:
            self._end("no longer followed by this host")

    async def wait_established(self, timeout_s: float | None = None) -> None:
        """Wait until the call is established.

        Raises: CallEndedError when it ends first; TimeoutError; RuntimeError in a handler of
                updates, which holds up what it would wait for.
        """
        await self._waits.until(lambda: self._mirror.call.is_talking, timeout_s)

    async def wait_media(self, timeout_s: float | None = None) -> None:
        """Wait until the service says that audio flows.

        Raises: as :meth:`wait_established`.
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

    def _has_recording_policy(self) -> bool:
        context = self.info.incoming
        return context is not None and context.observed_participant_id is not None

    async def _say_recording(self) -> bool:
        await self.update_recording_status(RecordingStatus.RECORDING)
        return True

    async def _say_not_recording(self, status: RecordingStatus) -> None:
        await self.update_recording_status(status)

    # What the host calls.

    def start(self) -> None:
        """Begin with what the service said at the creation. Once."""
        self._waits.handler_task = self._spawn(self._take_updates(), "updates")
        self._start_truth()
        if self._session is not None:
            self._follow(self._session)
        if self.state is CallState.INCOMING:
            self._start_incoming()

    @property
    def has_room(self) -> bool:
        """Whether the handlers are not too far behind to be given more."""
        return self._queue.qsize() < QUEUE_NOTIFICATIONS

    def deliver(self, notification: Notification) -> bool:
        """Take *notification*: False when the queue for the handlers is full.

        One that is in the inbox is always taken: it is not sent again.

        Word of operations, keys and the end is told at once to whoever waits for it: a handler that
        does must not wait behind itself.
        """
        topic, data = topic_of(notification), notification.resource_data
        tone: ToneInfo | None = None
        if self._waits.ended.is_set() or topic is Topic.OPERATION:
            # After the end there are no handlers, and operations have none.
            self._mirror = self._mirror.apply(notification)
            self._note_kept(notification)
        else:
            if not self.has_room and sequence_of(notification) is None:
                return False
            if topic is Topic.CALL and isinstance(data, Mapping):
                tone = self._hear(data.get("toneInfo"))
                if data.get("state") == CallState.TERMINATED:
                    self._say_last_word(data)
            self._queue.put_nowait(News(notification, tone))
            self._queued += 1
        self._received += 1
        if topic is Topic.OPERATION:
            self._tell_operation(notification)
        return True

    def describe(self) -> dict[str, Any]:
        """Return what the admin API shows of this call; no secret is in it."""
        counts = {"received": self._received, "duplicate": self._duplicate}
        return {**describe(self, counts), **self._describe_kept()}

    async def _take_updates(self) -> None:
        # An adopted call may be established, or over, already.
        self._note_kept()
        await self._settle_kept()
        await self._react(self._mirror, self._mirror, None)
        while not self._waits.ended.is_set():
            news = await self._queue.get()
            if news.told is not None:
                handler, what = news.told
                if not await self._runner.run(handler, what):
                    await self.hang_up()
                continue
            before = self._mirror
            if news.notification is not None:
                self._around.handling.observe(time.monotonic() - news.arrived_s)
                merged = self._mirror.apply(news.notification)
            else:
                merged = self._mirror.merge_get(
                    news.call, news.participants, is_latest=news.is_latest
                )
            self._mirror = merged
            if merged.call.state is not before.call.state:
                self._note_state(merged.call.result.message if merged.call.result else "")
            self._note_kept(news.notification)
            await self._settle_kept()
            if not await self._react(before, merged, news.tone) and news.notification is not None:
                self._duplicate += 1

    async def _react(self, before: CallMirror, merged: CallMirror, tone: ToneInfo | None) -> bool:
        """Do what the change to *merged* asks for; False when it says nothing new."""
        if merged.needs_get:
            self._doubt.set()
        is_call_new = shown(merged.call) != shown(before.call)
        is_roster_new = merged.roster.participants != before.roster.participants
        is_sharing_new = merged.sharing != before.sharing
        if is_roster_new:
            self._note_roster(before.roster.participants, merged.roster.participants)
        self._waits.wake()
        if merged.call.is_over:
            self._end("ended by the service")
            return is_call_new
        # Not "at least": a call that is refused goes on to terminating, and was never a bot's.
        if merged.call.is_talking:
            self._start_bot()
        bot = self._bot
        works = True
        if is_call_new or is_sharing_new:
            works = await self._runner.run(bot.update_handler)
        if works and is_roster_new:
            works = await self._runner.run(bot.participants_handler)
        if works and tone is not None:
            works = await self._runner.run(bot.tone_handler, tone)
        if not works:
            await self.hang_up()
        return is_call_new or is_roster_new or is_sharing_new or tone is not None

    def _follow(self, session: MediaSession) -> None:
        self._media_news.follow(session.audio)
        self._start_media(session)
        self._spawn(self._watch_link(session), "link")

    async def _watch_link(self, session: MediaSession) -> None:
        reason = await session.transport_lost
        is_over = await self._waits.ends_within(LINK_LOSS_GRACE_S)
        if not is_over and not await self._around.go_on(self):
            log.warning("call %s: the media link is gone (%s): it is left", self.id, reason)
            await self.leave()

    # The bot.

    def _start_incoming(self) -> None:
        handler = self._bot.incoming_handler
        if handler is None:
            log.warning("call %s: the bot takes no incoming calls: it rings out", self.id)
            return
        self._runner.start(self._take_incoming(handler), "bot on_incoming_call")

    async def _take_incoming(self, handler: CallHandler) -> None:
        await self._settle_kept()
        if not await self._runner.run(handler):
            await self.hang_up()

    def _start_bot(self) -> None:
        handler = self._bot.call_handler
        if self.is_rejoined and self._bot.rejoined_handler is not None:
            handler = self._bot.rejoined_handler
        # Media that another process holds are that process's bot's.
        if handler is None or self._runs_bot or not self.is_owned:
            return
        self._runs_bot = True
        self._runner.start(self._run_bot(handler), "bot").add_done_callback(self._bot_done)

    async def _run_bot(self, handler: CallHandler) -> None:
        await self._runner.run(handler)

    def _bot_done(self, _: asyncio.Task[None]) -> None:
        # However it ended, also by a cancellation of its own: without its bot a call has no use.
        if not self._waits.ended.is_set():
            self._spawn(self.hang_up(), "hang up")

    # Asking, and waiting for what comes of it.

    async def _ask(self, request: Coroutine[Any, Any, Answer]) -> Answer:
        if self._waits.ended.is_set():
            request.close()
            raise self._waits.over("nothing can be asked")
        try:
            return await request
        except GraphRequestError as exc:
            if exc.code in GONE_CODES:
                self._doubt.set()
            raise

    async def _finish(self, request: Coroutine[Any, Any, Operation]) -> Operation:
        operation = await self._ask(request)
        self._mirror = self._mirror.merge_operation(operation.id, operation.raw)
        self._note_operation(operation.id, operation.raw)
        return await self._operations.wait(operation)

    def _find_operation(self, operation_id: str) -> RemoteOperation | None:
        return self._mirror.operations.get(normal_id(operation_id))

    async def _fetch_operation(self, operation_id: str) -> None:
        operation = await self._ask(self._client.operation(self.id, operation_id))
        self._mirror = self._mirror.merge_operation(operation_id, operation.raw)

    def _tell_operation(self, notification: Notification) -> None:
        data, path = notification.resource_data, notification.resource_path
        members = data if isinstance(data, Mapping) else {}
        operation_id = path[2] if len(path) > 2 else str(members.get("id"))
        self._note_operation(operation_id, members)
        self._operations.tell(operation_id)

    def _hear(self, tone_info: object) -> ToneInfo | None:
        tones, new = self._mirror.tones.merge(tone_info)
        self._mirror = replace(self._mirror, tones=tones)
        if new is None:
            return None
        tone = ToneInfo.read(new)
        if not self._media_news.is_new(tone):
            return None
        self._waits.hear(tone)
        return tone

    def _say_last_word(self, data: Mapping[str, Any]) -> None:
        self._waits.say_last_word(data)
        self._operations.close()

    def _prompt(self, prompt: Playable) -> Prompt:
        return self._around.prompts.prompt(prompt)

    async def _media_ready(self) -> None:
        if not self._waits.is_in_handler:
            await super()._media_ready()

    # State and end.

    def _end(self, reason: str) -> None:
        """Begin the end, once; what is left is closed by a task of its own."""
        if self._waits.ended.is_set():
            return
        self._waits.ended.set()
        self.end_reason = reason
        if not self._mirror.call.is_over:
            end = {**(self._waits.last_word or {}), "state": CallState.TERMINATED.value}
            self._mirror = replace(self._mirror, call=merge_remote(self._mirror.call, end))
            self._note_state(reason)
        self._note_kept_end(reason)
        self._say_last_word({})
        self._end_task = call_task(self._concern or self.id, self._close(), f"end {self.id}")

    async def _close(self) -> None:
        try:
            await self._close_media()
            if self._session is not None and self._is_left_alone:
                await self._session.abandon()
            elif self._session is not None:
                await self._session.close()
        finally:
            await self._runner.close()
            tasks = set(self._helpers)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._around.on_ended(self)

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = call_task(self._concern or self.id, work, f"{name} {self.id}")
        self._helpers.add(task)
        task.add_done_callback(self._helper_done)
        return task

    def _helper_done(self, task: asyncio.Task[None]) -> None:
        self._helpers.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("call %s: %s failed", self.id, task.get_name(), exc_info=error)
            self._end(f"internal error: {error}")
