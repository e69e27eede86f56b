"""One call's media in a bot host: the link's leg, the application's leg, the audio socket."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from .bridge import Leg, LegCounters
from .descriptor import MediaSessionDescriptor
from .pcm import AudioFrame, Pcm, check_frame
from .platform import MediaPlatform
from .transports.base import Transport
from .transports.link import LinkGrant

GRANT_TTL_NS: Final = 60 * 1_000_000_000
SEND_DEADLINE_S: Final = 1.0
MAX_TARGET_FRAMES: Final = 3
ROOM_FRAMES: Final = MAX_TARGET_FRAMES + 1
"""Frames that may wait to be played: more than the playout may want, or it would never start."""
BEHIND_READS: Final = 25
"""A reader with frames left over after each of so many reads (0.5 s) will not catch up."""
RESERVE_SENDS: Final = 250
"""Frames that waited before each of so many sends (5 s, the playout's window) are no reserve."""
QUIET_PEAK: Final = 328
"""-40 dBFS, as in native/playout.c: a frame that can go without being heard."""

LINK_SOURCE_ID: Final = 1
APPLICATION_SOURCE_ID: Final = 2


class SessionClosedError(ConnectionError):
    """The call's media is over: nothing can be sent any more."""


@dataclass(frozen=True, slots=True)
class AudioCounters:
    """What the bot's end of a session did, in frames.

    ``received`` went to the bot; ``silence_skipped`` were dropped to catch up; ``sent`` went to the
    call; ``silence_unsent`` did not, to give back delay; ``refused`` came before the media was
    active; ``no_room`` found the playout full.
    """

    received: int
    silence_skipped: int
    sent: int
    silence_unsent: int
    refused: int
    no_room: int


class AudioSocket:
    """The bot's end of a call's audio: one 20 ms frame at a time, in and out.

    Iterate for what the call says, from now until the session closes: 50 frames a second, without
    a gap, each the bot's own. Frames wait for a slow reader for up to 320 ms. One that stays behind
    for half a second (it answers each frame before it reads the next, so its delay would stay) gets
    no silent frames until it has caught up; timestamps show what was left out. What piled up on the
    way to the call, because a stalled bot sent all at once, goes in the same way: unless ``send``
    has to wait for room, which is what a bot wants that is ahead of the call.
    Thread: the loop's.
    """

    def __init__(self, platform: MediaPlatform, leg: Leg) -> None:
        self._platform = platform
        self._leg = leg
        self._waiters: list[asyncio.Future[None]] = []
        self._unsubscribe = platform.on_tick(self._wake)
        self._received = self._silence_skipped = 0
        self._sent = self._silence_unsent = self._refused = self._no_room = 0
        self._active = False
        self._closed = False
        self._reading = False
        self._listening = False
        self._behind_reads = 0
        self._surplus_frames = self._reserve_sends = 0
        self._reserve_frames = ROOM_FRAMES

    @property
    def active(self) -> bool:
        """Whether the media link stands; what is sent before that is thrown away."""
        return self._active

    @property
    def closed(self) -> bool:
        """Whether the session is over."""
        return self._closed

    def counters(self) -> AudioCounters:
        """Return the counts so far."""
        return AudioCounters(
            received=self._received,
            silence_skipped=self._silence_skipped,
            sent=self._sent,
            silence_unsent=self._silence_unsent,
            refused=self._refused,
            no_room=self._no_room,
        )

    def __aiter__(self) -> Self:
        """Iterate over what the call says."""
        return self

    async def __anext__(self) -> AudioFrame:
        """Wait for the next frame.

        Raises: RuntimeError when another task is already waiting for one.
        """
        if self._reading:
            raise RuntimeError("another task already reads this audio socket")
        self._reading = True
        try:
            while not self._closed:
                frame = self._try_read()
                if frame is not None:
                    return frame
                await self._tick()
            raise StopAsyncIteration
        finally:
            self._reading = False

    async def send(self, frame: Pcm) -> None:
        """Play one frame into the call, once there is room for it.

        Shape:  frame (320,) int16; it is copied.
        Raises: ValueError on another shape or dtype; TimeoutError when no room came within 1 s;
                SessionClosedError when the session is over.
        Before the socket is active the frame is thrown away and counted, one tick a frame.
        """
        frame = check_frame(frame)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + SEND_DEADLINE_S
        while not self._closed:
            if not self._active:
                self._refused += 1
                await self._tick()
                return
            if self._try_write(frame):
                return
            try:
                async with asyncio.timeout_at(deadline):
                    await self._tick()
            except TimeoutError:
                # A loop that stood still for so long is late for the room that there is.
                if self._try_write(frame):
                    return
                self._no_room += 1
                raise TimeoutError(
                    f"no room for a frame within {SEND_DEADLINE_S} s: the call plays nothing"
                ) from None
        raise SessionClosedError("the session is closed")

    def send_nowait(self, frame: Pcm) -> bool:
        """Play one frame into the call if it is active and has room; say whether.

        Shape:  frame (320,) int16; it is copied.
        Raises: ValueError on another shape or dtype; SessionClosedError when the session is over.
        """
        frame = check_frame(frame)
        if self._closed:
            raise SessionClosedError("the session is closed")
        if not self._active:
            self._refused += 1
            return False
        if not self._try_write(frame):
            self._no_room += 1
            return False
        return True

    async def wait_active(self, timeout_s: float) -> None:
        """Wait until frames can be sent.

        Raises: TimeoutError; SessionClosedError when the session ends first.
        """
        async with asyncio.timeout(timeout_s):
            while not self._active:
                if self._closed:
                    raise SessionClosedError("the session is closed")
                await self._tick()

    def set_active(self, active: bool) -> None:
        """Open or shut the way to the call. The session's to say."""
        self._active = active and not self._closed

    def close(self) -> None:
        """End the iteration and refuse what is sent from now on. Again is no error."""
        self._closed = True
        self._active = False
        self._unsubscribe()
        self._wake()

    def _try_read(self) -> AudioFrame | None:
        ring = self._leg.render
        if not self._listening:
            # What was said before anyone listened is not this reader's.
            self._listening = True
            ring.clear()
        frame = ring.read()
        if frame is None:
            return None
        self._behind_reads = self._behind_reads + 1 if ring.depth_frames else 0
        while self._behind_reads > BEHIND_READS and frame.is_silence and ring.depth_frames:
            newer = ring.read()
            if newer is None:
                break
            self._silence_skipped += 1
            frame = newer
        self._received += 1
        return frame

    def _try_write(self, frame: Pcm) -> bool:
        ring = self._leg.source
        waiting_frames = ring.depth_frames
        if waiting_frames >= ROOM_FRAMES:
            # It is ahead of the call: what waits was sent to wait.
            self._surplus_frames = 0
            self._open_window()
            return False
        self._watch_reserve(waiting_frames)
        if self._surplus_frames and waiting_frames and _is_quiet(frame):
            self._surplus_frames -= 1
            self._silence_unsent += 1
            return True
        ring.write(frame, self._platform.now())
        self._sent += 1
        return True

    def _watch_reserve(self, waiting_frames: int) -> None:
        self._reserve_frames = min(self._reserve_frames, waiting_frames)
        self._reserve_sends += 1
        if self._reserve_sends == RESERVE_SENDS:
            # The playout takes one a tick, so a target of one is met with none waiting here.
            wanted_frames = self._leg.counters().target_frames - 1
            self._surplus_frames = max(0, self._reserve_frames - wanted_frames)
            self._open_window()

    def _open_window(self) -> None:
        self._reserve_frames, self._reserve_sends = ROOM_FRAMES, 0

    async def _tick(self) -> None:
        """Wait for the next tick, or for the end."""
        if self._closed:
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)


def _is_quiet(frame: Pcm) -> bool:
    return int(frame.min()) >= -QUIET_PEAK and int(frame.max()) <= QUIET_PEAK


@dataclass(frozen=True, slots=True)
class SessionCounters:
    """What became of a session's frames at each hop."""

    link: LegCounters
    application: LegCounters
    audio: AudioCounters
    transport: dict[str, int]


class MediaSession:
    """One call's media: a bridge with the leg of the media link and the leg of the application.

    Thread: the loop's. Close it whatever happens; it holds a bridge of the engine.
    """

    def __init__(self, platform: MediaPlatform, *, mp_uri: str) -> None:
        self.descriptor = MediaSessionDescriptor.new(mp_uri)
        self._platform = platform
        self._bridge = platform.create_bridge()
        self._link_leg = self._bridge.add_leg(LINK_SOURCE_ID, relay=True)
        self._application_leg = self._bridge.add_leg(
            APPLICATION_SOURCE_ID, max_target_frames=MAX_TARGET_FRAMES, paced=True
        )
        self.audio = AudioSocket(platform, self._application_leg)
        self._transport: Transport | None = None
        self._first_tick = platform.stats().ticks
        secret = self.descriptor.link_secret
        assert secret is not None  # A new descriptor has one.
        self._grant = LinkGrant(secret, self._link_leg, time.monotonic_ns() + GRANT_TTL_NS)
        self.transport_lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        """Resolved with the reason when the link ended before this session did."""

    @property
    def session_id(self) -> str:
        """The blob's ``mpMediaSessionId``: a name, never a credential."""
        return self.descriptor.mp_media_session_id

    @property
    def connected(self) -> bool:
        """Whether a link was attached, now or before."""
        return self._transport is not None

    def media_configuration(self) -> str:
        """Return the blob for the call request. It holds the link's secret."""
        return self.descriptor.to_blob()

    def grant(self) -> LinkGrant | None:
        """Return what one link, within 60 s, must prove; None when the session is over."""
        return None if self.audio.closed else self._grant

    def attach(self, transport: Transport) -> None:
        """Let *transport*, which carries the link's leg, bring the call's audio from now on.

        Raises: RuntimeError when there is one already, or the session is over.
        """
        if self._transport is not None or self.audio.closed:
            raise RuntimeError("the media session has its link already, or is closed")
        self._transport = transport
        self.audio.set_active(True)
        transport.closed.add_done_callback(self._on_transport_closed)

    def counters(self) -> SessionCounters:
        """Return the counts at each hop, also after the session closed."""
        return SessionCounters(
            link=self._link_leg.counters(),
            application=self._application_leg.counters(),
            audio=self.audio.counters(),
            transport={} if self._transport is None else self._transport.counters(),
        )

    def lateness_us(self) -> NDArray[np.float32]:
        """Return how late each tick since this session began started, as far as remembered."""
        return self._platform.lateness_us(self._first_tick)

    async def close(self) -> None:
        """End the audio, close the link, free the bridge. Again is no error."""
        self.audio.close()
        try:
            if self._transport is not None:
                await self._transport.close()
        finally:
            self._bridge.close()
            self.transport_lost.cancel()

    def _on_transport_closed(self, closed: asyncio.Future[str]) -> None:
        self.audio.set_active(False)
        if self.audio.closed or self.transport_lost.done() or closed.cancelled():
            return
        error = closed.exception()
        self.transport_lost.set_result(closed.result() if error is None else str(error))
