"""One call resource while it lives: events into the state machine, its effects carried out."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, assert_never

from .. import call_state as cs
from ..call_state import ResultInfo
from ..graph import errors
from ..graph.enums import CallState, ChangeType, Tone
from ..graph.notifications import Notification
from ..graph.participants import RosterChange, roster_notification, sharing_notification
from ..graph.requests import CallOptions, Target
from ..operation.call_context import call_task, concerning
from ..store.base import CallRow, StoreError
from ..store.conversation_base import Beside, OperationRow
from .bot_media import BotMedia, BotMediaError
from .call_concern import call_concern, note_state
from .conversation import Conversation
from .gauge import Gauge
from .invitation import Answered, Failed, Invitation, Outcome, Ringing, invite
from .media_watch import when_media_flow
from .member import Member
from .operations import Operations
from .records.quality import Measured
from .rooms import Party, Room
from .timers import Timers
from .unbroken import Unbroken
from .written_call import WrittenCall

if TYPE_CHECKING:
    from .ivr.media import ServiceHostedMedia
    from .plans import Plan
    from .services import CallServices

STORE_WAIT_S = 1.0
"""How long a call whose end the store did not take waits before it tries again."""

log = logging.getLogger("mixminus.control.calls")


@dataclass(frozen=True, slots=True)
class StateChange:
    """When a call came into a state, in milliseconds since it was made."""

    state: str
    at_ms: int


class LiveCall:
    """An application's participation in a conversation, from its creation to its end.

    All events go through :meth:`dispatch`, one after another: state machine, then call row and
    notifications in one transaction, then the other effects. Nothing else changes the state. While
    the store is away they wait in their order, and the media go on as they are.
    Thread: the loop's.
    """

    is_app = True
    is_scripted = False

    def __init__(
        self,
        services: CallServices,
        row: CallRow,
        *,
        room: Room,
        member: Member | None,
        media: BotMedia | None,
        plan: Plan,
        options: CallOptions,
        on_over: Callable[[LiveCall], None],
    ) -> None:
        self.services, self.room = services, room
        self._written = WrittenCall(services, row, room.conversation.history, self._changed)
        self.options = options
        self.invitations: set[Invitation] = set()
        self.settled: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        """An incoming call's outcome: who took it, or why nobody did."""
        self._member, self._media, self._plan, self._on_over = member, media, plan, on_over
        self.operations = Operations(self, journal=services.journal)
        self.concern = call_concern(row, services.traces)
        self._unbroken = Unbroken(self.concern)
        self._tasks: set[asyncio.Task[None]] = set()
        self._timers = Timers()
        self._stop_watching: Callable[[], None] = lambda: None
        self._met: dict[str, Party] = {}
        self._created, self.created_at = time.monotonic(), datetime.now(UTC)
        self.first_tick = services.platform.stats().ticks
        self.states: list[StateChange] = []
        self.ended = asyncio.Event()

    # ---- what others see -------------------------------------------------------------------------

    @property
    def call(self) -> cs.Call:
        """Its state, as the store has it."""
        return self._written.call

    @property
    def row(self) -> CallRow:
        """Its row, as the store has it."""
        return self._written.row

    @property
    def id(self) -> str:
        """The call's id."""
        return self.row.call_id

    @property
    def app_id(self) -> str:
        """Whose call it is."""
        return self.row.app_id

    @property
    def tenant_id(self) -> str:
        """The tenant it is in."""
        return self.row.tenant_id

    @property
    def conversation(self) -> Conversation:
        """The conversation that this call is a participation in."""
        return self.room.conversation

    @property
    def member(self) -> Member:
        """The application's own entry in the roster; an incoming call has none until answered."""
        assert self._member is not None
        return self._member

    @property
    def is_app_hosted(self) -> bool:
        """Whether the application handles the audio itself."""
        return self._media is not None and self._media.is_app_hosted

    @property
    def bot_media_flow(self) -> bool:
        """Whether the bot's side carries audio."""
        return self._media is not None and self._media.flows

    @property
    def media(self) -> ServiceHostedMedia | None:
        """What plays and records for the application, when the service does that."""
        return None if self._media is None else self._media.hosted

    @property
    def gauge(self) -> Gauge | None:
        """What measures the bot's media; None before there are any."""
        return None if self._media is None else self._media.gauge

    def counters(self) -> dict[str, int]:
        """Return what became of the frames between the conversation and the bot."""
        return {} if self._media is None else self._media.counters()

    def measured(self) -> Measured | None:
        """Return how good the packets of the bot's media came and went; None: not measured."""
        return None if self._media is None else self._media.measured()

    def met(self) -> Mapping[str, Party]:
        """Return who was met in the conversation so far, by participant id."""
        for party in self.room.others(self):
            self._met.setdefault(party.member.participant_id, party)
        return self._met

    def expect_established(self) -> None:
        """Refuse an action that needs an established call.

        Raises: GraphError 400, 8528 once the call ends, else 8501.
        """
        if self.call.is_ending or self.room.is_over:
            raise errors.call_terminated()
        if not self.call.is_established:
            raise errors.call_not_established()

    def expect_group(self) -> None:
        """Refuse an action that a call of two does not have.

        Raises: GraphError 400/8548.
        """
        if self.room.is_peer_to_peer:
            raise errors.not_a_group_call()

    # ---- events ----------------------------------------------------------------------------------

    async def begin(self) -> None:
        """Write the new call and start to set it up.

        Raises: StoreError; then there is no call.
        """
        await self._written.begin()

    def expect_store(self) -> None:
        """Refuse a request while what happened before it waits for the store.

        Raises: StoreAwayError.
        """
        self._written.expect_store()

    async def dispatch(self, event: cs.Event, *, may_wait: bool = True) -> bool:
        """Apply *event*, keep what it changed, then carry out what is to be done.

        Returns whether it meant anything now. A request may not wait for a store that is away.
        Raises: StoreError; then nothing changed.
        Cancelling it cancels the waiting alone: what is in the store and what is here stay one.
        """
        return await self._unbroken.do(self._written.apply(event, may_wait=may_wait))

    def post(self, event: cs.Event) -> None:
        """Dispatch *event* soon; for those who cannot wait."""
        self.spawn(self.dispatch(event))

    def end(self, result: ResultInfo) -> None:
        """End the call, soon, with *result*. Again is no error."""
        self.post(cs.Ended(result))

    def supersede(self) -> None:
        """End because the application has gone on with the call elsewhere: its leg now, then it."""
        if self._media is not None:
            self._media.cut("superseded")
        self._media_gone(cs.SUPERSEDED)
        self.end(cs.SUPERSEDED)

    async def update(self, changes: Mapping[str, Any], *notifications: Notification) -> None:
        """Change members of the resource and tell the application, in one transaction.

        After the end nothing is changed or told. Raises: StoreError; then nothing changed.
        Cancelling it cancels the waiting alone, as with :meth:`dispatch`.
        """
        await self._unbroken.do(self._written.update(changes, notifications, may_wait=True))

    async def notify(self, *notifications: Notification, ended: str | None = None) -> None:
        """Tell the application, in order with the changes of state.

        *ended* is the operation whose end that tells.
        Raises: StoreError; then it is not told.
        """
        beside = Beside(ended=() if ended is None else (ended,))
        await self._unbroken.do(self._written.update({}, notifications, beside, may_wait=True))

    async def operate(self, begun: OperationRow) -> bool:
        """Keep that an operation runs; False once the call is over.

        Raises: StoreError; then it does not.
        """
        beside = Beside(begun=(begun,))
        return await self._unbroken.do(self._written.update({}, (), beside, may_wait=False))

    async def take(self, callback_uri: str | None, changes: Mapping[str, Any]) -> None:
        """Keep what a request says about the call, and where later notifications go.

        Raises: StoreError; then nothing changed.
        """
        changes = {**changes, "callbackUri": callback_uri or self.row.callback_uri}
        await self._unbroken.do(self._written.update(changes, (), may_wait=False))

    def enter(self, member: Member, media: BotMedia, options: CallOptions) -> None:
        """Be *member* of the room, *media* carrying its audio: the bot answers the call."""
        self._member, self._media, self.options = member, media, options
        self.room.join(self)

    def step_out(self) -> None:
        """Undo :meth:`enter`, as an answer that was refused."""
        self.room.release(self)
        self._member = self._media = None

    @property
    def has_entered(self) -> bool:
        """Whether the application has an entry in the roster."""
        return self._member is not None

    def release(self) -> None:
        """Leave the room to the others: their call goes on."""
        self.met()
        if self.room.release(self, cs.TRANSFERRED) and self.room.is_peer_to_peer:
            self.room.end_lonely()

    def keep_alive(self) -> None:
        """Begin the time anew within which the next keepAlive must come."""
        if not self.call.is_over:
            seconds = self.services.settings.keep_alive_s
            self.set_timer("keepAlive", seconds, lambda: self.end(cs.KEEP_ALIVE_MISSED))

    def roster_changed(self, change: RosterChange) -> None:
        """Tell the application what changed in the roster."""
        is_delta = self.options.delta_roster
        self.spawn(self.notify(roster_notification(self.id, change, is_delta=is_delta)))

    def sharing_changed(self, change: ChangeType, session_id: str) -> None:
        """Tell the application of content sharing, if it wants to know."""
        if self.options.content_sharing_notifications:
            self.spawn(self.notify(sharing_notification(self.id, change, session_id)))

    def tone_heard(self, key: str) -> None:
        """Hear that somebody pressed *key*."""
        if self._media is not None:
            self._media.tone_heard(key)
        if (tone := Tone.of_key(key)) is not None:
            self.on_tone(tone.value)

    def media_changed(self, member: Member, flows: bool) -> None:
        """Hear that another party's media were lost or are back; in a call of two it is told."""
        if self.room.is_peer_to_peer:
            self.post(cs.MediaResumed() if flows else cs.MediaStopped())

    def on_tone(self, tone_name: str) -> None:
        """Hear a tone, signalled or found in the audio."""
        from .verbs.media import heard_tone

        self.spawn(heard_tone(self, tone_name))

    def ring(
        self,
        target: Target,
        timeout_s: float,
        *,
        room: Room | None = None,
        source: Party | None = None,
        transferor: dict[str, Any] | None = None,
        call_routes: tuple[dict[str, Any], ...] = (),
    ) -> Invitation:
        """Ring *target* into this conversation, or another; it is called off when this call ends.

        An application that is rung is told that *source* calls (else this one), and of the rest.
        """
        own = {} if self._is_incoming else self.row.resource["source"]["identity"]
        shown = own.get("application") or own.get("applicationInstance") or {}
        caller = {"id": self.app_id, "displayName": shown.get("displayName")}
        ringing = Ringing(self.id, caller, timeout_s, transferor, call_routes)
        invitation = invite(self.services, room or self.room, target, ringing, source or self)
        self.invitations.add(invitation)
        invitation.outcome.add_done_callback(lambda _: self.invitations.discard(invitation))
        return invitation

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[None]:
        """Run *work* as a task of this call, cancelled at its end; its failure ends the call."""
        task = call_task(self.concern, self._guarded(work), f"call {self.id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        # One that is cancelled before its first step would never be begun.
        task.add_done_callback(lambda _: work.close())
        return task

    async def close(self) -> None:
        """Leave nothing behind, whatever state the call is in. Again is no error."""
        self._written.give_up()
        self._timers.cancel_all()
        self._stop_watching()
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, self._unbroken.wait(), return_exceptions=True)
        if self._media is not None:
            await self._media.close()
        if self._member is not None and not self.room.release(self):
            # A call that could not be begun has a member, and is no party yet.
            self.conversation.remove(self._member)

    # ---- effects ---------------------------------------------------------------------------------

    @property
    def _is_incoming(self) -> bool:
        return bool(self.row.resource["direction"] == "incoming")

    def _changed(self, call: cs.Call, effects: cs.Effects) -> None:
        """Hear that the store has a new state; no await: nothing comes between."""
        is_first = not self.states
        if is_first or self.states[-1].state != call.state.value:
            at_ms = round((time.monotonic() - self._created) * 1000)
            self.states.append(StateChange(call.state.value, at_ms))
            why = f": {call.result.message}" if call.is_ending and call.result else ""
            self.services.journal.record("state", self.id, f"{call.state.value}{why}")
            self.services.call_totals.enter(call.state, at_ms / 1000)
            note_state(self.concern, call.state.value, why)
        if is_first:
            if self._member is not None:
                self.room.join(self)
            self.keep_alive()
        self._perform(effects)

    def _perform(self, effects: cs.Effects) -> None:
        for effect in effects:
            match effect:
                case cs.Notify():
                    pass  # Written with the state.
                case cs.ConnectMedia():
                    self.spawn(self._connect_media())
                case cs.Reach():
                    self.spawn(self._plan.reach(self))
                case cs.WatchMedia():
                    self._established()
                case cs.TearDown(result):
                    self._unbroken.start(self._tear_down(result))
                case _:
                    assert_never(effect)
        if self.call.is_over:
            self.concern.set_up_over("terminated", has_failed=True)
            self._timers.cancel_all()
            self.services.recordings.call_ended(self.id)
            self._on_over(self)
            self.ended.set()

    async def _connect_media(self) -> None:
        assert self._media is not None
        try:
            await self._media.connect(self)
        except BotMediaError as error:
            log.info("call %s: %s", self.id, error)
            if not self._media.is_closed:  # Who closes them says why the call ends.
                await self.dispatch(cs.MediaFailed(str(error)))
        else:
            await self.dispatch(cs.MediaReady())

    def _established(self) -> None:
        if not self.settled.done():
            self.settled.set_result(Answered(self))
        self.cancel_timer("answer")
        self.met()
        # Not before: the roster is told of once the call stands, at first all of it.
        self.conversation.listen(self.member, self)
        self._stop_watching = when_media_flow(self, lambda: self.post(cs.MediaFlows()))

    async def _tear_down(self, result: ResultInfo) -> None:
        """Call off what rings, end the media, leave the conversation, then say so."""
        self._timers.cancel_all()
        self._stop_watching()
        if not self.settled.done():
            self.settled.set_result(Failed(result))
        for invitation in tuple(self.invitations):
            invitation.cancel("hangup" if result == cs.BOT_HUNG_UP else "failed", result)
        try:
            await self.operations.close()
        except StoreError:
            log.exception("call %s: the end of its operations is not told", self.id)
        try:
            tasks = tuple(self._tasks)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if self._media is not None:
                await self._media.close()
        except Exception:
            log.exception("call %s: its media did not end cleanly", self.id)
        self._leave(result)
        try:
            await self.dispatch(cs.TornDown())
        except StoreError:
            log.exception("call %s: its end waits for the store", self.id)
            self.set_timer("store", STORE_WAIT_S, lambda: self.post(cs.TornDown()))

    # ---- small help ------------------------------------------------------------------------------

    async def _guarded(self, work: Coroutine[Any, Any, Any]) -> None:
        """Run *work*; if it fails in a way nobody foresaw, this call ends and no other."""
        try:
            await work
        except StoreError:
            log.exception("call %s: the store failed, its media end", self.id)
            self._media_gone()
            self.set_timer("store", STORE_WAIT_S, self._end_once_stored)
        except Exception:
            log.exception("call %s: a bug of ours ends it", self.id)
            await self._fail()

    async def _fail(self) -> None:
        try:
            await self.dispatch(cs.Ended(cs.INTERNAL_FAILURE))
        except StoreError:
            self.set_timer("store", STORE_WAIT_S, self._end_once_stored)

    def _media_gone(self, result: ResultInfo = cs.INTERNAL_FAILURE) -> None:
        """Let nobody ring or talk on for a call that cannot be written, or not in time."""
        for invitation in tuple(self.invitations):
            invitation.cancel("failed", result)
        self._leave(result)

    def _leave(self, result: ResultInfo) -> None:
        """Leave the room; whoever was met there is reported on."""
        if self._member is not None:
            self.met()
            self.room.leave(self, result)

    def _end_once_stored(self) -> None:
        is_ending = self.call.state is CallState.TERMINATING
        self.post(cs.TornDown() if is_ending else cs.Ended(cs.INTERNAL_FAILURE))

    def set_timer(self, name: str, seconds: float, callback: Callable[[], None]) -> None:
        """Call *callback* in that time, unless it is cancelled or the call ends first."""
        with concerning(self.concern):
            self._timers.set(name, seconds, callback)

    def cancel_timer(self, name: str) -> None:
        """Take back a timer. One that is not there is no error."""
        self._timers.cancel(name)
