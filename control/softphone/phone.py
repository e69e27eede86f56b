"""The softphone: registers a user, gets into one call, and stays in it until it ends."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import os
from collections import OrderedDict
from collections.abc import Coroutine
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from mixminus.media.platform import MediaPlatform
from mixminus.media.transports.sdp import SdpError

from ..rtc_client import SignallingError
from .call import ANSWER_TIMEOUT_S, PhoneCall
from .line import Line
from .media import CallMedia
from .options import (
    ActionKind,
    BotTarget,
    CallEnd,
    MeetingTarget,
    OnEvent,
    SoftphoneOptions,
    SoftphoneReport,
)

PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
MAX_RINGS: Final = 16


class Softphone:
    """Takes the first call that rings, calls a bot or joins a meeting, as its options say.

    Thread: the loop's. One run.
    """

    def __init__(self, options: SoftphoneOptions, on_event: OnEvent) -> None:
        self._options = options
        self._on_event = on_event
        self._stop = asyncio.Event()
        self._call: PhoneCall | None = None
        self._rings: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self.report = SoftphoneReport()

    def stop(self) -> None:
        """Hang up, or stop waiting for a call. For signal handlers."""
        self._stop.set()

    async def perform(self, kind: ActionKind, keys: str = "") -> None:
        """Press keys, mute, hold or share in the call that is now.

        Raises: RuntimeError when there is none; ValueError for a key that no keypad has.
        """
        if self._call is None:
            raise RuntimeError("expected a call: the softphone is in none")
        await self._call.perform(kind, keys)

    async def run(self) -> SoftphoneReport:
        """Do it all, and leave no task, thread or socket behind.

        Raises: SignInError, SignallingError; OSError when a recording cannot be written.
        """
        async with (
            MediaPlatform() as platform,
            await Line.open(self._options, self._on_event) as line,
        ):
            self._on_event("registered", {"user": line.user})
            end = None
            while end is None:
                end = await self._one_call(platform, line)
            self.report.end = end
            self._on_event("ended", asdict(end) | {"callId": self.report.call_id})
        return self.report

    async def _one_call(self, platform: MediaPlatform, line: Line) -> CallEnd | None:
        """Get into a call and stay in it; None when another device was faster."""
        target, waits_s = self._options.target, ANSWER_TIMEOUT_S
        if isinstance(target, BotTarget):
            asked = {"appId": target.app_id, "policyRecording": target.policy_recording}
            # The service says how long an application may ring.
            return await self._take(platform, line, None, "call", asked)
        if isinstance(target, MeetingTarget):
            asked = {
                "joinUrl": target.join_url,
                "joinMeetingId": target.join_meeting_id,
                "passcode": target.passcode,
                "threadId": target.thread_id,
            }
            return await self._take(platform, line, waits_s, "join", asked)
        self._on_event("waiting", {})
        ring = await self._until_stopped(self._next_ring(line))
        if ring is None:
            return CallEnd("here", "stopped before a call came")
        self._on_event("ringing", {"callId": ring["callId"], "from": ring.get("from")})
        return await self._take(platform, line, waits_s, "answer", {"callId": ring["callId"]})

    async def _take(
        self,
        platform: MediaPlatform,
        line: Line,
        waits_s: float | None,
        kind: str,
        asked: dict[str, Any],
    ) -> CallEnd | None:
        media = CallMedia(platform, self._options)
        call = self._call = PhoneCall(line, media, self._on_event)
        tasks: dict[str, asyncio.Task[Any]] = {}

        def spawn(name: str, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
            task = tasks[name] = asyncio.create_task(work, name=f"softphone {name}")
            return task

        try:
            reading = spawn("signalling", self._read(line, call))
            stopping = spawn("stop", self._stop.wait())
            talking = spawn("talk", self._talk(call, waits_s, kind, asked))
            await asyncio.wait(
                (reading, stopping, talking, call.ended), return_when=asyncio.FIRST_COMPLETED
            )
            if call.ended.done():
                return call.ended.result()
            if reading.done():
                reading.result()
            if talking.done():
                lost: CallEnd | None = talking.result()
                if lost is not None:
                    return lost
            talking.cancel()
            await asyncio.wait([talking])
            return await call.hang_up()
        finally:
            self._call = None
            for task in tasks.values():
                task.cancel()
            await asyncio.gather(*tasks.values(), return_exceptions=True)
            await media.close()
            self._keep(platform, call)

    async def _talk(
        self, call: PhoneCall, waits_s: float | None, kind: str, asked: dict[str, Any]
    ) -> CallEnd | None:
        """Get into the call and stay for its duration; return how it was lost, if it was."""
        try:
            await call.begin(kind, **asked)
            await call.connect(waits_s)
            if self._options.muted:
                await call.perform("mute")
            call.media.start()
            self.report.connected_at = datetime.datetime.now(datetime.UTC).isoformat()
            self._on_event("connected", {"callId": call.call_id})
            acting = asyncio.create_task(self._act(call), name="softphone actions")
            try:
                await self._stay(call, acting)
            finally:
                acting.cancel()
                await asyncio.gather(acting, return_exceptions=True)
        except TimeoutError:
            return CallEnd("lost", "the call service did not answer in time")
        except SignallingError:
            raise
        except (ConnectionError, SdpError) as exc:
            if call.media.transport.closed.done():
                await call.farewell()
            return CallEnd("lost", str(exc))
        return None

    async def _stay(self, call: PhoneCall, acting: asyncio.Task[None]) -> None:
        """Stay in the call until its time is over.

        Raises: ConnectionError when its media were lost for good; what an action raised.
        """
        loop = asyncio.get_running_loop()
        started_s = loop.time()
        while (spent_s := loop.time() - started_s) < (self._options.duration_s or spent_s + 1):
            if acting.done():
                acting.result()
            if call.needs_recovery.is_set():
                await call.recover()
                continue
            self._progress(int(spent_s), call)
            next_s = min(int(spent_s) + 1, self._options.duration_s or spent_s + 1)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, next_s - spent_s)):
                    await call.needs_recovery.wait()

    async def _act(self, call: PhoneCall) -> None:
        """Do what the options say, each at its time, one after another."""
        loop = asyncio.get_running_loop()
        started_s = loop.time()
        for action in sorted(self._options.actions, key=lambda action: action.at_s):
            await asyncio.sleep(max(0.0, started_s + action.at_s - loop.time()))
            await call.perform(action.kind, action.keys)

    def _progress(self, second: int, call: PhoneCall) -> None:
        known = self.report.rss_bytes
        if second == 0 or (known and known[-1][0] >= second):
            return
        known.append((float(second), _resident_bytes()))
        counters = call.media.network.counters()
        self._on_event(
            "progress",
            {
                "seconds": second,
                "voice": counters.voice,
                "concealed": counters.concealed,
                "played": call.media.application.counters().voice,
            },
        )

    def _keep(self, platform: MediaPlatform, call: PhoneCall) -> None:
        report, media = self.report, call.media
        report.call_id, report.participant_id = call.call_id, call.participant_id
        report.reconnects = call.reoffers
        report.legs = {
            "network": asdict(media.network.counters()),
            "application": asdict(media.application.counters()),
        }
        report.transport = media.counters()
        report.engine = asdict(platform.stats())
        lateness = platform.lateness_us(media.first_tick)
        report.lateness_us = [round(float(value), 1) for value in lateness]

    async def _next_ring(self, line: Line) -> dict[str, Any]:
        while not self._rings:
            self._note_ring(await line.receive())
        return self._rings.popitem(last=False)[1]

    async def _read(self, line: Line, call: PhoneCall) -> None:
        """Give the call every message of the line until its end."""
        while not call.ended.done():
            message = await line.receive()
            self._note_ring(message)
            call.take(message)

    def _note_ring(self, message: dict[str, Any]) -> None:
        """Keep what rings while another call is being taken: that one may be called off."""
        call_id = str(message.get("callId"))
        match message["type"]:
            case "ring" if len(self._rings) < MAX_RINGS:
                self._rings[call_id] = message | {"callId": call_id}
            case "cancelled" | "ended":
                self._rings.pop(call_id, None)
            case "registered":
                self._rings.clear()  # All that rings does so again on a new connection.
            case _:
                pass

    async def _until_stopped(
        self, work: Coroutine[Any, Any, dict[str, Any]]
    ) -> dict[str, Any] | None:
        """Return what *work* returns, or None when the softphone was stopped first."""
        tasks = (asyncio.create_task(work), asyncio.create_task(self._stop.wait()))
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            return await tasks[0] if tasks[0].done() else None
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_BYTES
