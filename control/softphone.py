"""A softphone: a real WebRTC caller that plays samples and records what it hears."""

from __future__ import annotations

import asyncio
import datetime
import os
import ssl
from collections.abc import Callable, Coroutine
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

from mixminus.media.pcm import Pcm
from mixminus.media.pipeline import FilePlayer
from mixminus.media.platform import MediaPlatform
from mixminus.media.transports.sdp import SdpError
from mixminus.media.transports.webrtc import LOOPBACK, WebRtcTransport

from .recorder import RecorderTrack, TimelineRecorder
from .rtc_client import RtcSignalling, SignallingError

ANSWER_TIMEOUT_S: Final = 20.0
CONNECT_TIMEOUT_S: Final = 10.0
FAREWELL_S: Final = 3.0
"""How long the service's word on how a call ended is waited for, once its audio is gone."""

APPLICATION_SLOTS: Final = 64
PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
NORMAL_CODES: Final = (200, 0)
NOT_RINGING: Final = "notRinging"
"""Another device of the user was faster, and its answer crossed ours."""

NETWORK_ID, APPLICATION_ID, TAP_ID = 1, 2, 3

OnEvent: TypeAlias = Callable[[str, dict[str, Any]], None]
"""Told of registered, ringing, cancelled, answered, connected, progress (each second) and ended."""


@dataclass(frozen=True, slots=True)
class SoftphoneOptions:
    """Who calls in, what is played (again and again), where it is recorded, for how long.

    ``heard_file`` and ``played_file`` share one timeline: sample 0 of both is the same tick.
    """

    rtc_url: str
    token: str = field(repr=False)
    ssl_context: ssl.SSLContext
    play: Pcm | None = None
    heard_file: Path | None = None
    played_file: Path | None = None
    duration_s: float | None = None
    bind: tuple[str, ...] = LOOPBACK


@dataclass(frozen=True, slots=True)
class CallEnd:
    """How a call ended. ``by`` is "here", "far end" or "lost"."""

    by: str
    message: str
    code: int = 0
    subcode: int = 0

    @property
    def is_normal(self) -> bool:
        """Whether somebody hung up, and nothing failed."""
        return self.by != "lost" and self.code in NORMAL_CODES


@dataclass(slots=True)
class SoftphoneReport:
    """What one run did; ``as_json`` is what ``join --report`` writes."""

    call_id: str | None = None
    connected_at: str | None = None
    end: CallEnd | None = None
    legs: dict[str, dict[str, int]] = field(default_factory=dict)
    transport: dict[str, int] = field(default_factory=dict)
    engine: dict[str, Any] = field(default_factory=dict)
    lateness_us: list[float] = field(default_factory=list)
    rss_bytes: list[tuple[float, int]] = field(default_factory=list)

    @property
    def succeeded(self) -> bool:
        """Whether audio flowed and the call ended as calls should."""
        return self.connected_at is not None and self.end is not None and self.end.is_normal

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON types."""
        return {
            "callId": self.call_id,
            "connectedAt": self.connected_at,
            "end": None if self.end is None else asdict(self.end),
            "legs": self.legs,
            "transport": self.transport,
            "engine": self.engine,
            "latenessUs": self.lateness_us,
            "rssBytes": self.rss_bytes,
        }


class Softphone:
    """Registers a user, takes the first call that rings, and stays in it until it ends.

    Thread: the loop's. One run.
    """

    def __init__(self, options: SoftphoneOptions, on_event: OnEvent) -> None:
        self._options = options
        self._on_event = on_event
        self._stop = asyncio.Event()
        self.report = SoftphoneReport()

    def stop(self) -> None:
        """Hang up, or stop waiting for a call. For signal handlers."""
        self._stop.set()

    async def run(self) -> SoftphoneReport:
        """Do it all, and leave no task, thread or socket behind.

        Raises: SignInError, SignallingError; OSError when a recording cannot be written.
        """
        options = self._options
        async with (
            MediaPlatform() as platform,
            await RtcSignalling.register(
                options.rtc_url, options.token, options.ssl_context
            ) as signalling,
        ):
            self._on_event("registered", {"user": signalling.user})
            end = None
            while end is None:
                ring = await self._until_stopped(_next_of(signalling, "ring"))
                if ring is None:
                    end = CallEnd("here", "stopped before a call came")
                    break
                end = await self._take(platform, signalling, ring)
            self.report.end = end
            self._on_event("ended", asdict(end) | {"callId": self.report.call_id})
        return self.report

    async def _take(
        self, platform: MediaPlatform, signalling: RtcSignalling, ring: dict[str, Any]
    ) -> CallEnd | None:
        """Answer one call and stay in it; None when another device was faster."""
        call_id = self.report.call_id = str(ring.get("callId"))
        self._on_event("ringing", {"callId": call_id, "from": ring.get("from")})
        media = _CallMedia(platform, self._options)
        try:
            reply = await self._until_stopped(self._connect(signalling, call_id, media))
            if reply is None:
                return await _hang_up(signalling, call_id)
            if reply["type"] != "answered":
                end = _end_of(reply)
                if end is None:
                    reason = reply.get("reason") or reply.get("code")
                    self._on_event("cancelled", {"callId": call_id, "reason": reason})
                return end
            media.start()
            self.report.connected_at = datetime.datetime.now(datetime.UTC).isoformat()
            self._on_event("connected", {"callId": call_id})
            return await self._talk(signalling, call_id, media)
        except TimeoutError:
            return CallEnd("lost", "the call service did not answer in time")
        except SignallingError:
            raise
        except (ConnectionError, SdpError) as exc:
            return CallEnd("lost", str(exc))
        finally:
            await media.close()
            self._keep(platform, media)

    async def _connect(
        self, signalling: RtcSignalling, call_id: str, media: _CallMedia
    ) -> dict[str, Any]:
        """Exchange descriptions until audio can flow; return the service's reply to our answer."""
        await signalling.send("answer", callId=call_id, sdp=await media.transport.offer())
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            reply = await _next_of(signalling, *REPLIES, call_id=call_id)
        if reply["type"] == "answered":
            self._on_event("answered", {"callId": call_id})
            await media.transport.accept(str(reply.get("sdp")))
            await media.transport.connected(CONNECT_TIMEOUT_S)
        return reply

    async def _talk(self, signalling: RtcSignalling, call_id: str, media: _CallMedia) -> CallEnd:
        loop = asyncio.get_running_loop()
        started_s = loop.time()
        stopping = asyncio.create_task(self._stop.wait(), name="softphone stop")
        ending = asyncio.create_task(
            _next_of(signalling, "ended", "cancelled", call_id=call_id), name="softphone signalling"
        )
        try:
            while True:
                spent_s = loop.time() - started_s
                if self._stop.is_set() or spent_s >= (self._options.duration_s or spent_s + 1):
                    break
                if ending.done():
                    return _end_of(ending.result()) or CallEnd("far end", "cancelled")
                if media.transport.closed.done():
                    await asyncio.wait([ending], timeout=FAREWELL_S)
                    if not ending.done():
                        return CallEnd("lost", media.transport.closed.result())
                    continue
                self._progress(int(spent_s), media)
                next_s = min(int(spent_s) + 1, self._options.duration_s or spent_s + 1)
                await asyncio.wait(
                    (ending, stopping, media.transport.closed),
                    timeout=max(0.0, next_s - spent_s),
                    return_when=asyncio.FIRST_COMPLETED,
                )
        finally:
            for task in (stopping, ending):
                task.cancel()
            await asyncio.wait((stopping, ending))
        return await _hang_up(signalling, call_id)

    def _progress(self, second: int, media: _CallMedia) -> None:
        known = self.report.rss_bytes
        if second == 0 or (known and known[-1][0] >= second):
            return
        known.append((float(second), _resident_bytes()))
        counters = media.network.counters()
        self._on_event(
            "progress",
            {
                "seconds": second,
                "voice": counters.voice,
                "concealed": counters.concealed,
                "played": media.application.counters().voice,
            },
        )

    def _keep(self, platform: MediaPlatform, media: _CallMedia) -> None:
        self.report.legs = {
            "network": asdict(media.network.counters()),
            "application": asdict(media.application.counters()),
        }
        self.report.transport = media.transport.counters()
        self.report.engine = asdict(platform.stats())
        lateness = platform.lateness_us(media.first_tick)
        self.report.lateness_us = [round(float(value), 1) for value in lateness]

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


class _CallMedia:
    """One call's bridge: the network's leg, the application's, and a tap on what is played."""

    def __init__(self, platform: MediaPlatform, options: SoftphoneOptions) -> None:
        self._platform = platform
        self._options = options
        self._bridge = platform.create_bridge()
        self.network = self._bridge.add_leg(NETWORK_ID)
        self.application = self._bridge.add_leg(
            APPLICATION_ID,
            source_slots=APPLICATION_SLOTS,
            render_slots=APPLICATION_SLOTS,
            paced=True,
        )
        # Hears what the tick thread took from the application, when it took it: exact, whatever
        # was lapped or concealed. It says nothing itself.
        self._tap = self._bridge.add_leg(TAP_ID, render_slots=APPLICATION_SLOTS)
        self._bridge.set_sources(self._tap, [self.application])
        self.transport = WebRtcTransport(platform, self.network, bind=options.bind)
        self.first_tick = platform.stats().ticks
        self._player: FilePlayer | None = None
        self._recorder: TimelineRecorder | None = None

    def start(self) -> None:
        """Record, and play from the first sample."""
        options = self._options
        self._recorder = TimelineRecorder(
            self._platform,
            (
                RecorderTrack(self.application.render, options.heard_file),
                RecorderTrack(self._tap.render, options.played_file),
            ),
        )
        if options.play is not None:
            self._player = FilePlayer(
                self._platform, self.application.source, options.play, loop=True
            )

    async def close(self) -> None:
        if self._player is not None:
            self._player.close()
        try:
            if self._recorder is not None:
                self._recorder.close()
        finally:
            try:
                await self.transport.close()
            finally:
                self._bridge.close()


REPLIES: Final = ("answered", "cancelled", "ended", "error")


async def _next_of(
    signalling: RtcSignalling, *kinds: str, call_id: str | None = None
) -> dict[str, Any]:
    """Wait for the next message of one of *kinds*; others are none of our business now."""
    while True:
        message = await signalling.receive()
        if message["type"] in kinds and (call_id is None or message.get("callId") == call_id):
            return message


async def _hang_up(signalling: RtcSignalling, call_id: str) -> CallEnd:
    """End the call from here, and wait a moment for the service's word on it."""
    await signalling.send("hangup", callId=call_id)
    try:
        async with asyncio.timeout(FAREWELL_S):
            said = _end_of(await _next_of(signalling, "ended", "error", call_id=call_id))
    except (TimeoutError, SignallingError):
        said = None
    if said is None or said.by == "lost":
        return CallEnd("here", "hung up")
    return CallEnd("here", "hung up", said.code, said.subcode)


def _end_of(message: dict[str, Any]) -> CallEnd | None:
    """What a message says about the end of a call; None when only our ringing was called off."""
    if message["type"] == "cancelled" or message.get("code") == NOT_RINGING:
        return None
    if message["type"] == "error":
        return CallEnd("lost", str(message.get("message") or message.get("code")))
    code, subcode = message.get("code"), message.get("subcode")
    return CallEnd(
        "far end",
        str(message.get("message") or "the call ended"),
        code if isinstance(code, int) else 0,
        subcode if isinstance(subcode, int) else 0,
    )


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_BYTES
