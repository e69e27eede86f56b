"""One call while it lives: events into the state machine, its effects carried out."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, assert_never

from mixminus.media.descriptor import MediaSessionDescriptor
from mixminus.media.platform import MediaPlatform
from mixminus.media.transports.link import LinkError
from mixminus.media.transports.sdp import SdpError

from .. import call_state as cs
from ..graph.enums import CallState
from ..store.base import CallRow, Store, StoreError, UserRow
from .conference import Conference, MediaEdges
from .notifier import Notifier
from .rows import changed_row, notification_bodies
from .settings import ServiceSettings
from .switchboard import Device, Switchboard

STORE_WAIT_S = 1.0
"""How long a call whose end the store did not take waits before it tries again."""

log = logging.getLogger("mixminus.control.calls")


@dataclass(frozen=True, slots=True)
class CallServices:
    """What every call of a service uses."""

    store: Store
    notifier: Notifier
    switchboard: Switchboard
    platform: MediaPlatform
    edges: MediaEdges
    settings: ServiceSettings


@dataclass(frozen=True, slots=True)
class StateChange:
    """When a call came into a state, in milliseconds since it was made."""

    state: str
    at_ms: int


class RtcError(Exception):
    """What a device asked for cannot be done; the code is for programs."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


class LiveCall:
    """One call from its creation to its end.

    All events go through :meth:`dispatch`, one after another: state machine, then call row and
    notifications in one transaction, then the other effects. Nothing else changes the state.
    Thread: the loop's.
    """

    def __init__(
        self,
        services: CallServices,
        row: CallRow,
        callee: UserRow,
        descriptor: MediaSessionDescriptor,
        on_over: Callable[[LiveCall], None],
    ) -> None:
        self._services, self.row, self.callee = services, row, callee
        self._descriptor, self._on_over = descriptor, on_over
        self.call, self._first_effects = cs.Call.create(row.call_id)
        self.conference = Conference(
            services.platform,
            services.edges,
            on_link_closed=lambda reason: self.post(cs.LinkLost(reason)),
            on_caller_closed=lambda reason: self.caller_gone(),
        )
        self._lock = asyncio.Lock()
        self._applying: set[asyncio.Task[None]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._media_tasks: set[asyncio.Task[None]] = set()
        self._reconnecting: asyncio.Task[None] | None = None
        self._offers: dict[int, str] = {}
        self._device: int | None = None
        self._ring_deadline: float | None = None
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._created = time.monotonic()
        self.first_tick = services.platform.stats().ticks
        self.states: list[StateChange] = []
        self.ended = asyncio.Event()

    # ---- what may be done with a call ------------------------------------------------------------

    async def begin(self) -> None:
        """Write the new call and start to set it up.

        Raises: StoreError; then there is no call.
        """
        try:
            async with self._lock:
                await self._commit(self.call, self._first_effects)
                self.keep_alive()
                self._perform(self._first_effects)
        except BaseException:
            await self.conference.close()
            raise

    async def dispatch(self, event: cs.Event) -> None:
        """Apply *event*, keep what it changed, then carry out what is to be done.

        Raises: StoreError; then nothing changed.
        Cancelling it cancels the waiting alone: what is in the store and what is here stay one.
        """
        task = asyncio.create_task(self._apply(event), name=f"event of call {self.row.call_id}")
        self._applying.add(task)
        task.add_done_callback(self._applying.discard)
        await asyncio.shield(task)

    async def _apply(self, event: cs.Event) -> None:
        async with self._lock:
            call, effects = self.call.apply(event)
            if call is not self.call:
                await self._commit(call, effects)
                self._perform(effects)

    def post(self, event: cs.Event) -> None:
        """Dispatch *event* soon; for those who cannot wait."""
        self._spawn(self.dispatch(event), self._tasks)

    def keep_alive(self) -> None:
        """Begin the time anew within which the next keepAlive must come."""
        if not self.call.is_over:
            seconds = self._services.settings.keep_alive_s
            self._set_timer("keepAlive", seconds, lambda: self.post(cs.KeepAliveMissed()))

    async def answer(self, device: Device, offer_sdp: str) -> None:
        """Let *device* take the call, if it rings there and no other was faster.

        Raises: RtcError.
        """
        if not self._services.switchboard.is_ringing(self.row.call_id, device):
            raise RtcError("notRinging", "this call does not ring here")
        if self.call.setup is not cs.Setup.ANSWER:
            raise RtcError("notRinging", "another device was faster")
        self._offers[device.number] = offer_sdp
        await self.dispatch(cs.Answered(device.user_id, device.number))
        if self.call.device != device.number:
            self._offers.pop(device.number, None)
            raise RtcError("notRinging", "another device was faster")

    async def decline(self, device: Device) -> None:
        """End the call unanswered.

        Raises: RtcError.
        """
        if not self._services.switchboard.is_ringing(self.row.call_id, device):
            raise RtcError("notRinging", "this call does not ring here")
        await self.dispatch(cs.Declined())

    async def hang_up(self, device: Device) -> None:
        """End the call from the callee's side.

        Raises: RtcError.
        """
        if self._device != device.number:
            raise RtcError("notInCall", "this device is not in that call")
        await self.dispatch(cs.CallerLeft())

    async def reoffer(self, device: Device, offer_sdp: str) -> None:
        """Carry the caller's media over a new connection, from any device of the same user.

        Raises: RtcError.
        """
        if device.user_id != self.call.answered_by or self.call.setup is not cs.Setup.DONE:
            raise RtcError("notInCall", "this user is not in that call")
        self._device = device.number
        self._cancel_timer("grace")
        if self._reconnecting is not None:
            self._reconnecting.cancel()
        self._reconnecting = self._spawn(self._reconnect(device, offer_sdp), self._media_tasks)

    def device_gone(self, device: Device) -> None:
        """Hear that a device lost its signalling; if it is in this call it may come back."""
        self._offers.pop(device.number, None)
        if self._device == device.number:
            self.caller_gone()

    def caller_gone(self) -> None:
        """Give the caller a while to come back with a re-offer, then end the call."""
        seconds = self._services.settings.caller_grace_s
        self._set_timer("grace", seconds, lambda: self.post(cs.CallerLeft()))

    async def close(self) -> None:
        """Leave nothing behind, whatever state the call is in. Again is no error."""
        self._cancel_timers()
        tasks = [*self._tasks, *self._media_tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, *self._applying, return_exceptions=True)
        await self.conference.close()

    # ---- effects ---------------------------------------------------------------------------------

    async def _commit(self, call: cs.Call, effects: cs.Effects) -> None:
        callee = self.callee if call.answered_by is not None else None
        row = changed_row(self.row, call, callee)
        bodies = notification_bodies(row, effects)
        await self._services.store.save_call(row, bodies)
        # No await from here on: state, row and history change together.
        if not self.states or self.states[-1].state != call.state.value:
            at_ms = round((time.monotonic() - self._created) * 1000)
            self.states.append(StateChange(call.state.value, at_ms))
        self.call, self.row = call, row
        if bodies:
            self._services.notifier.wake(row.call_id)

    def _perform(self, effects: cs.Effects) -> None:
        for effect in effects:
            match effect:
                case cs.Notify():
                    pass  # Written with the state.
                case cs.ConnectLink():
                    self._spawn(self._connect_link(), self._media_tasks)
                case cs.Ring():
                    self._ring()
                case cs.StopRinging(reason):
                    self._cancel_timer("ring")
                    self._services.switchboard.stop(self.row.call_id, reason, self.call.device)
                case cs.ConnectCaller(device):
                    self._device = device
                    self._spawn(self._connect_caller(device), self._media_tasks)
                case cs.WatchMedia():
                    self.conference.watch(lambda: self.post(cs.MediaFlows()))
                case cs.TearDown(result):
                    self._spawn(self._tear_down(result), self._tasks)
                case _:
                    assert_never(effect)
        if self.call.is_over:
            self._cancel_timers()
            self._on_over(self)
            self.ended.set()

    async def _connect_link(self) -> None:
        try:
            await self.conference.connect_link(self._descriptor)
        except LinkError as error:
            log.info("call %s: %s", self.row.call_id, error)
            await self.dispatch(cs.LinkFailed(str(error)))
        else:
            await self.dispatch(cs.LinkConnected())

    def _ring(self) -> None:
        """Ring the callee; the time limit counts from the first ringing on."""
        resource, settings = self.row.resource, self._services.settings
        loop = asyncio.get_running_loop()
        if self._ring_deadline is None:
            seconds = resource["ringingTimeoutInSeconds"] or settings.ringing_s
            self._ring_deadline = loop.time() + seconds
        self._set_timer("ring", self._ring_deadline - loop.time(), self._ring_timed_out)
        identity = resource["source"]["identity"].get("application", {})
        message = {
            "type": "ring",
            "callId": self.row.call_id,
            "from": {"id": self.row.app_id, "displayName": identity.get("displayName")},
        }
        self._services.switchboard.ring(self.row.call_id, self.callee.user_id, message)

    def _ring_timed_out(self) -> None:
        self.post(cs.RingTimedOut(self._services.switchboard.has_rung(self.row.call_id)))

    async def _connect_caller(self, device: int) -> None:
        """Answer the device's offer and wait for its media."""

        async def on_answer(answer_sdp: str) -> None:
            self._send(device, {"type": "answered", "sdp": answer_sdp})
            await self.dispatch(cs.CallerAccepted())

        timeout_s = self._services.settings.caller_media_s
        try:
            await self.conference.answer_caller(self._offers.pop(device, ""), timeout_s, on_answer)
        except SdpError as error:
            self._device = None
            await self.dispatch(cs.AnswerFailed(device))
            # Not before it rings again: the device may answer at once.
            self._send(device, {"type": "error", "code": "badSdp", "message": str(error)})
        except OSError as error:  # Also TimeoutError and ConnectionError.
            await self.dispatch(cs.CallerFailed(str(error) or "no connection in time"))

    async def _reconnect(self, device: Device, offer_sdp: str) -> None:
        async def on_answer(answer_sdp: str) -> None:
            self._send(device.number, {"type": "reanswered", "sdp": answer_sdp})

        timeout_s = self._services.settings.caller_media_s
        try:
            await self.conference.answer_caller(offer_sdp, timeout_s, on_answer)
        except (SdpError, OSError) as error:
            # TimeoutError and ConnectionError are OSErrors. What was there before goes on.
            code = "badSdp" if isinstance(error, SdpError) else "noMedia"
            self._send(device.number, {"type": "error", "code": code, "message": str(error)})
            if self.conference.is_caller_gone:
                self.caller_gone()
            return
        if self._services.switchboard.device(device.number) is not None:
            # The connection before this one may have ended meanwhile: nobody is waited for now.
            self._cancel_timer("grace")

    async def _tear_down(self, result: cs.ResultInfo) -> None:
        """End the media, then say that they are gone."""
        self._cancel_timers()
        ended = {
            "type": "ended",
            "code": result.code,
            "subcode": result.subcode,
            "message": result.message,
        }
        if self._device is not None:
            self._send(self._device, ended)
        try:
            await self._end_media()
        except Exception:
            log.exception("call %s: its media did not end cleanly", self.row.call_id)
        await self.dispatch(cs.TornDown())

    async def _end_media(self) -> None:
        tasks = tuple(self._media_tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.conference.close()

    # ---- small help ------------------------------------------------------------------------------

    def _send(self, number: int, message: dict[str, Any]) -> None:
        device = self._services.switchboard.device(number)
        if device is not None:
            device.send({"type": message["type"], "callId": self.row.call_id, **message})

    def _spawn(
        self, work: Coroutine[Any, Any, None], tasks: set[asyncio.Task[None]]
    ) -> asyncio.Task[None]:
        task = asyncio.create_task(self._guarded(work), name=f"call {self.row.call_id}")
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        return task

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        """Run *work*; if it fails in a way nobody foresaw, this call ends and no other."""
        try:
            await work
        except StoreError:
            log.exception("call %s: the store failed, its media end", self.row.call_id)
            self._services.switchboard.stop(self.row.call_id, "failed", None)
            await self.conference.close()
            self._set_timer("store", STORE_WAIT_S, self._end_once_stored)
        except Exception:
            log.exception("call %s: a bug of ours ends it", self.row.call_id)
            await self.dispatch(cs.InternalFailure())

    def _end_once_stored(self) -> None:
        is_ending = self.call.state is CallState.TERMINATING
        self.post(cs.TornDown() if is_ending else cs.InternalFailure())

    def _set_timer(self, name: str, seconds: float, callback: Callable[[], None]) -> None:
        self._cancel_timer(name)
        loop = asyncio.get_running_loop()
        self._timers[name] = loop.call_later(max(0.0, seconds), callback)

    def _cancel_timer(self, name: str) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()

    def _cancel_timers(self) -> None:
        for name in tuple(self._timers):
            self._cancel_timer(name)
