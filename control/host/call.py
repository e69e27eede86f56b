"""One call of a bot host: its notifications in order, its bot, its media, and its end."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from mixminus.media.session import AudioSocket, MediaSession, SessionClosedError

from ..call_state import RANKS, Call, ResultInfo, merge_remote, result_info
from ..client.calls import CallsClient
from ..client.requests import GraphConnectionError, GraphRequestError
from ..client.tokens import TokenError
from ..graph.enums import CallState
from ..graph.notifications import Notification
from .bot import Bot, CallHandler

log = logging.getLogger("mixminus.control.host")

QUEUE_NOTIFICATIONS: Final = 256
"""A service that sends more than the handlers take is told 503, and sends again."""
BOT_GRACE_S: Final = 5.0
"""How long a handler may go on after the end of its call, to write its last words."""
HANG_UP_GRACE_S: Final = 5.0
"""How long the service has to confirm a hang-up; then the call is over here all the same."""
LINK_LOSS_GRACE_S: Final = 5.0
"""The media link and the notification of the end race each other: the second may be this late."""
CLIENT_ERRORS: Final = (GraphRequestError, GraphConnectionError, TokenError)


@dataclass(frozen=True, slots=True)
class Target:
    """The user at the other end."""

    id: str
    display_name: str | None = None


@dataclass(frozen=True, slots=True)
class StateChange:
    """When a call came into a state, in milliseconds since its creation."""

    state: CallState
    at_ms: float


class HostedCall:
    """A call of this host, as a bot sees it.

    Thread: the loop's.
    """

    def __init__(
        self,
        call_id: str,
        *,
        target: Target,
        tenant_id: str,
        bot: Bot,
        session: MediaSession,
        client: CallsClient,
        created_at_s: float,
        on_ended: Callable[[HostedCall], None],
    ) -> None:
        self.id = call_id
        self.target = target
        self.tenant_id = tenant_id
        self.states: list[StateChange] = []
        self.bot_error: str | None = None
        self.end_reason: str | None = None
        self._session = session
        self._bot = bot
        self._client = client
        self._created_at_s = created_at_s
        self._on_ended = on_ended
        self._call = Call(call_id)
        self._queue: asyncio.Queue[Mapping[str, Any]] = asyncio.Queue(QUEUE_NOTIFICATIONS)
        self._received = self._duplicate = 0
        self._ended = asyncio.Event()
        self._bot_task: asyncio.Task[None] | None = None
        self._end_task: asyncio.Task[None] | None = None
        self._updates: asyncio.Task[None] | None = None
        self._helpers: set[asyncio.Task[None]] = set()
        self._note_state()

    @property
    def audio(self) -> AudioSocket:
        """The call's audio, both ways."""
        return self._session.audio

    @property
    def state(self) -> CallState:
        """What the service last said, or what must be so since the call is over."""
        return self._call.state

    @property
    def result(self) -> ResultInfo | None:
        """Why the call ended, in the service's words."""
        return self._call.result

    @property
    def is_over(self) -> bool:
        """Whether the call has ended, for whatever reason."""
        return self._ended.is_set()

    @property
    def session(self) -> MediaSession:
        """The call's media."""
        return self._session

    async def hang_up(self) -> None:
        """End the call, and wait until the service says so. Again is no error."""
        if self._ended.is_set():
            return
        try:
            was_there = await self._client.delete(self.id)
        except CLIENT_ERRORS as exc:
            log.warning("call %s: hanging up: %s", self.id, exc)
            was_there = False
        # The confirmation is an update: whoever takes those in cannot wait for it.
        if was_there and asyncio.current_task() is not self._updates:
            try:
                async with asyncio.timeout(HANG_UP_GRACE_S):
                    await self._ended.wait()
            except TimeoutError:
                log.warning("call %s: the hang-up was never confirmed", self.id)
        self._end("hung up by the bot host")

    async def wait_ended(self) -> None:
        """Wait until the call is over."""
        await self._ended.wait()

    async def wait_closed(self) -> None:
        """Wait until the call is over and nothing of it is left: no task, no socket."""
        await self._ended.wait()
        if self._end_task is not None:
            await asyncio.shield(self._end_task)

    def start(self, resource: Mapping[str, Any]) -> None:
        """Begin with what the service answered to the creation. The host's to call, once."""
        self._updates = self._spawn(self._take_updates(resource), "updates")
        self._spawn(self._keep_alive(), "keepAlive")
        self._spawn(self._watch_link(), "link")

    def deliver(self, notification: Notification) -> bool:
        """Queue *notification*; False when the queue is full. The host's to call."""
        if self._ended.is_set():
            self._received += 1
            self._merge(_about_the_call(notification))
            return True
        try:
            self._queue.put_nowait(_about_the_call(notification))
        except asyncio.QueueFull:
            return False
        self._received += 1
        return True

    def describe(self) -> dict[str, Any]:
        """Return what the admin API shows of this call; no secret is in it."""
        counters = self._session.counters()
        return {
            "callId": self.id,
            "user": {"id": self.target.id, "displayName": self.target.display_name},
            "state": self.state.value,
            "states": [
                {"state": change.state.value, "atMs": round(change.at_ms, 3)}
                for change in self.states
            ],
            "notifications": {"received": self._received, "duplicate": self._duplicate},
            "legs": {"link": asdict(counters.link), "application": asdict(counters.application)},
            "audio": asdict(counters.audio),
            "transport": counters.transport,
            "error": self.bot_error,
            "resultInfo": None if self.result is None else result_info(self.result),
            "endReason": self.end_reason,
        }

    # One call's tasks.

    async def _take_updates(self, created: Mapping[str, Any]) -> None:
        if self._merge(created):
            await self._react()
        while not self._ended.is_set():
            if self._merge(await self._queue.get()):
                await self._react()
            else:
                self._duplicate += 1

    async def _react(self) -> None:
        """Do what the present state asks for."""
        if self._call.is_over:
            self._end("ended by the service")
            return
        # Not "at least": a call that is refused goes on to terminating, and was never a bot's.
        if self._call.rank == RANKS[CallState.ESTABLISHED] and self._bot_task is None:
            self._start_bot()
        handler = self._bot.update_handler
        if handler is not None and not await self._call_bot(handler):
            await self.hang_up()

    async def _keep_alive(self) -> None:
        await self._client.keep_alive_until_gone(self.id)
        self._end("the service no longer knows the call")

    async def _watch_link(self) -> None:
        reason = await self._session.transport_lost
        try:
            async with asyncio.timeout(LINK_LOSS_GRACE_S):
                await self._ended.wait()
        except TimeoutError:
            log.warning("call %s: the media link is gone (%s): hanging up", self.id, reason)
            await self.hang_up()

    def _start_bot(self) -> None:
        handler = self._bot.call_handler
        if handler is not None:
            self._bot_task = asyncio.create_task(self._run_bot(handler), name=f"bot {self.id}")
            self._bot_task.add_done_callback(self._bot_done)

    async def _run_bot(self, handler: CallHandler) -> None:
        await self._call_bot(handler)

    def _bot_done(self, _: asyncio.Task[None]) -> None:
        # However it ended, also by a cancellation of its own: without its bot a call has no use.
        if not self._ended.is_set():
            self._spawn(self.hang_up(), "hang up")

    async def _call_bot(self, handler: CallHandler) -> bool:
        """Run one of the bot's handlers; False when it failed: that ends its call and no more."""
        try:
            await handler(self)
        except SessionClosedError as exc:
            # It was sending when the call ended.
            return self._ended.is_set() or self._blame_bot(exc)
        except Exception as exc:
            return self._blame_bot(exc)
        return True

    def _blame_bot(self, exc: Exception) -> bool:
        self.bot_error = f"{type(exc).__name__}: {exc}"
        log.error("call %s: the bot failed: %s", self.id, self.bot_error, exc_info=exc)
        return False

    # State and end.

    def _merge(self, resource: object) -> bool:
        """Take over what is new in *resource*; False when nothing is."""
        if not isinstance(resource, Mapping) or not resource:
            return True
        merged = merge_remote(self._call, resource)
        if merged == self._call:
            return False
        changed, self._call = merged.state is not self._call.state, merged
        if changed:
            self._note_state()
        return True

    def _note_state(self) -> None:
        at_ms = (time.monotonic() - self._created_at_s) * 1000.0
        self.states.append(StateChange(self._call.state, at_ms))
        log.info("call %s: %s after %.0f ms", self.id, self._call.state.value, at_ms)

    def _end(self, reason: str) -> None:
        """Begin the end, once; what is left is closed by a task of its own."""
        if self._ended.is_set():
            return
        self._ended.set()
        self.end_reason = reason
        if not self._call.is_over:
            self._merge({"state": CallState.TERMINATED.value})
        self._end_task = asyncio.create_task(self._close(), name=f"end {self.id}")

    async def _close(self) -> None:
        try:
            await self._session.close()
        finally:
            tasks = set(self._helpers)
            if self._bot_task is not None:
                _, busy = await asyncio.wait({self._bot_task}, timeout=BOT_GRACE_S)
                if busy:
                    log.warning("call %s: the bot goes on after its end: cancelled", self.id)
                tasks |= busy
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._on_ended(self)

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=f"{name} {self.id}")
        self._helpers.add(task)
        task.add_done_callback(self._helper_done)
        return task

    def _helper_done(self, task: asyncio.Task[None]) -> None:
        self._helpers.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("call %s: %s failed", self.id, task.get_name(), exc_info=error)
            self._end(f"internal error: {error}")


def _about_the_call(notification: Notification) -> Mapping[str, Any]:
    """Return what *notification* says of the call itself, not of its participants."""
    data = notification.resource_data
    if len(notification.resource_path) > 1 or not isinstance(data, Mapping):
        return {}
    return data
