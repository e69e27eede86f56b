"""The bot's end of a call's audio."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from ..bridge import Leg
from ..pcm import AudioFrame, Pcm, check_frame
from ..platform import MediaPlatform
from ..quality import StreamQuality
from ..transports.base import CLEAR, MARKS, SEND_TONES, SessionTransport
from .callbacks import Callbacks
from .errors import SessionClosedError
from .hub import Hub
from .keys import ToneStream, check_keys, key_frames
from .receiving import Receiver
from .sending import Sender
from .speakers import Speakers
from .views import AudioView

SEND_DEADLINE_S: Final = 1.0
MAX_MARK_BYTES: Final = 128
MAX_FAR_MARKS: Final = 256
"""Marks that the far end owes an answer: 5 s of one a frame. Then the oldest is given up."""


@dataclass(frozen=True, slots=True)
class AudioCounters:
    """What the bot's end of a session did, in frames.

    ``received`` went to the bot; ``silence_skipped`` did not, to catch up: pauses, or as much in
    periods of a sound that had none; ``unread``: nobody read them in time; ``sent`` went to the
    call; ``silence_unsent`` did not, to give back delay in the same way; ``refused`` came before
    the media was active; ``no_room`` found the playout full; ``cleared`` waited when the bot
    flushed.
    """

    received: int
    silence_skipped: int
    unread: int
    sent: int
    silence_unsent: int
    refused: int
    no_room: int
    cleared: int


class AudioSocket:
    """The bot's end of a call's audio: one 20 ms frame at a time, in and out.

    Iterate for what the call says, from now until the session closes: 50 frames a second, without
    a gap, each the bot's own. Frames wait for a slow reader for up to 320 ms. One that stays behind
    for half a second (it answers each frame before it reads the next, so its delay would stay) gets
    less of pauses until it has caught up; timestamps show what was left out. What piled up on the
    way to the call, because a stalled bot sent all at once, goes in the same way: unless the bot is
    ahead of the call, so that ``send`` has to wait for room though it does not answer frames.

    Callbacks (``on_...``) run on the loop, in order, several at once; each of these methods returns
    what takes its callback off again. What one raises is logged, and no more.
    Thread: the loop's.
    """

    def __init__(self, platform: MediaPlatform, leg: Leg, hub: Hub, speakers: Speakers) -> None:
        self._platform = platform
        self._leg = leg
        self._rendered = 0
        self._hub = hub
        self._speakers = speakers
        self._sender = Sender(platform, leg)
        self._receiver = Receiver(hub)
        self._transport: SessionTransport | None = None
        self._waiters: list[asyncio.Future[None]] = []
        self._is_attached = self._is_lost = False
        self._closed = False
        self._reading = False
        self._last_reader: asyncio.Task[Any] | None = None
        self._far_marks: deque[str] = deque()
        self._on_send_status: Callbacks[[bool]] = Callbacks("the send status")
        self._on_media: Callbacks[[bool]] = Callbacks("lost and returned media")
        self._on_mark: Callbacks[[str, bool]] = Callbacks("marks")
        self._on_tick: Callbacks[[]] = Callbacks("ticks")
        self._claims: dict[str, Callable[[], None]] = {}

    # ---- state -----------------------------------------------------------------------------------

    @property
    def active(self) -> bool:
        """Whether the way to the call stands; what is sent while it does not is thrown away."""
        return self._is_attached and not self._is_lost and not self._closed

    @property
    def closed(self) -> bool:
        """Whether the session is over."""
        return self._closed

    def counters(self) -> AudioCounters:
        """Return the counts so far."""
        sent = self._sender.counters()
        return AudioCounters(
            received=self._receiver.received,
            silence_skipped=self._receiver.silence_skipped,
            unread=self._receiver.unread,
            sent=sent.sent,
            silence_unsent=sent.silence_unsent,
            refused=sent.refused,
            no_room=sent.no_room,
            cleared=sent.cleared,
        )

    async def wait_active(self, timeout_s: float) -> None:
        """Wait until frames can be sent.

        Raises: TimeoutError; SessionClosedError when the session ends first.
        """
        async with asyncio.timeout(timeout_s):
            while not self.active:
                if self._closed:
                    raise SessionClosedError("the session is closed")
                await self._tick()

    def on_send_status(self, callback: Callable[[bool], None]) -> Callable[[], None]:
        """Call back with True when frames can be sent, and with False when they cannot any more."""
        return self._on_send_status.add(callback)

    def on_media(self, callback: Callable[[bool], None]) -> Callable[[], None]:
        """Call back with False when the way to the far end is lost, with True when it is back.

        Meanwhile the socket is not active, and what is heard is silence; the call goes on. A loss
        for good ends the session instead.
        """
        return self._on_media.add(callback)

    def on_tick(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back after each tick, when the counts and the room for frames are up to date."""
        return self._on_tick.add(callback)

    @property
    def sender(self) -> Sender:
        """The way into the call, frame by frame: for who paces itself, as a player does."""
        return self._sender

    def quality(self) -> StreamQuality | None:
        """Return what was measured of the far end's audio; None before there was any."""
        return None if self._transport is None else self._transport.quality()

    def speaker_quality(self, source_id: int) -> StreamQuality | None:
        """Return what was measured of that speaker's audio; None when it is not received."""
        leg = self._speakers.legs.get(source_id)
        return None if leg is None or leg.peer is None else leg.peer.quality()

    # ---- in --------------------------------------------------------------------------------------

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
                frame = self._receiver.try_read()
                if frame is not None:
                    self._last_reader = asyncio.current_task()
                    return frame
                await self._tick()
            raise StopAsyncIteration
        finally:
            self._reading = False

    @property
    def unread_frames(self) -> int:
        """How many frames wait to be read."""
        self._hub.pump()
        return self._receiver.waiting_frames

    @property
    def unmixed(self) -> bool:
        """Whether each frame of the mix has those of its speakers: ``frame.unmixed``.

        By source id, of the same tick, concealment included, each the bot's own; their sum is the
        mix. Empty where the transport brings no speakers. ``HostedCall.speaker`` says who it is.
        """
        return self._receiver.unmixed

    @unmixed.setter
    def unmixed(self, on: bool) -> None:
        self._receiver.unmixed = on
        self._want_speakers("unmixed", on)

    @property
    def speaker_names(self) -> Mapping[int, str]:
        """What the transport calls the speakers, by source id, where it names them."""
        return self._speakers.names

    def view(self, rate_hz: int, channels: int = 1) -> AudioView:
        """Return this socket in another format: 8, 16, 24, 44.1 or 48 kHz, mono or stereo.

        Raises: ValueError on another.
        """
        return AudioView(self, rate_hz, channels)

    @property
    def dominant_speaker(self) -> int | None:
        """The source id of who leads; None: nobody, or not followed (``on_dominant_speaker``)."""
        return self._receiver.dominant_speaker

    def on_dominant_speaker(self, callback: Callable[[int | None], None]) -> Callable[[], None]:
        """Follow who leads from now on, and call back with each change; None: nobody does.

        Where the transport brings no speakers, who is heard in the mix is all that is known.
        """
        if "dominant" not in self._claims:
            self._want_speakers("dominant", True)
        self._receiver.follow_dominant()
        return self._receiver.on_dominant.add(callback)

    # ---- keys ------------------------------------------------------------------------------------

    def on_tone(self, callback: Callable[[str], None]) -> Callable[[], None]:
        """Call back with each key that is pressed at the far end: 0-9, *, #, A-D; once a press."""
        return self._receiver.ear.callbacks.add(callback)

    def tones(self) -> ToneStream:
        """Return the keys that are pressed from now on, to be iterated."""
        stream = self._receiver.ear.stream()
        if self._closed:
            stream.close()
        return stream

    @property
    def detect_tones(self) -> bool:
        """Whether keys are looked for in the audio, too: for callers whose telephones say no more.

        A key that the transport told of as well counts once.
        """
        return self._receiver.detects_tones

    @detect_tones.setter
    def detect_tones(self, on: bool) -> None:
        self._receiver.detects_tones = on

    async def send_tone(self, key: str, duration_ms: int = 100) -> None:
        """Press *key* (0-9, *, #, A-D); as audio where the transport has no other way.

        Raises: ValueError on another key or a duration out of 40 to 10,000 ms; SessionClosedError.
        """
        await self.send_tones(key, duration_ms)

    async def send_tones(self, keys: str, duration_ms: int = 100, pause_ms: int = 100) -> None:
        """Press *keys*, one after the other; return when all of them are on their way.

        As audio, they are heard instead of what the bot sends meanwhile, and lost like all that is
        sent while the socket is not active.
        Raises: as :meth:`send_tone`.
        """
        keys = check_keys(keys, duration_ms)
        while self._sender.is_sending_tones and not self._closed:
            await self._tick()
        if self._closed:
            raise SessionClosedError("the session is closed")
        if self._transport is not None and SEND_TONES in self._transport.capabilities:
            for key in keys:
                self._transport.send_tone(key, duration_ms)
            return
        for key in keys:
            self._sender.queue_tones(key_frames(key, duration_ms, pause_ms))
        while self._sender.is_sending_tones:
            await self._tick()
        if self._closed:
            raise SessionClosedError("the session is closed")

    # ---- out -------------------------------------------------------------------------------------

    async def send(self, frame: Pcm, *, mark: str | None = None) -> None:
        """Play one frame into the call, once there is room for it.

        Shape:  frame (320,) int16; it is copied.
        Raises: ValueError on another shape or dtype, or a mark that is empty or over 128 bytes;
                TimeoutError when no room came within 1 s; SessionClosedError when the session is
                over.
        Before the socket is active the frame is thrown away and counted, one tick a frame.
        *mark* names the moment after this frame: ``on_mark`` tells when it was heard.
        """
        frame = check_frame(frame)
        check_mark(mark)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + SEND_DEADLINE_S
        answers = self._last_reader is asyncio.current_task()
        self._last_reader = None
        while not self._closed:
            if not self.active:
                self._refuse(mark)
                await self._tick()
                return
            if self._sender.try_write(frame, mark, answers=answers):
                return
            try:
                async with asyncio.timeout_at(deadline):
                    await self._tick()
            except TimeoutError:
                # A loop that stood still for so long is late for the room that there is.
                if self._sender.try_write(frame, mark):
                    return
                self._sender.no_room += 1
                raise TimeoutError(
                    f"no room for a frame within {SEND_DEADLINE_S} s: the call plays nothing"
                ) from None
        raise SessionClosedError("the session is closed")

    def send_nowait(self, frame: Pcm, *, mark: str | None = None) -> bool:
        """Play one frame into the call if it is active and has room; say whether.

        Shape:  frame (320,) int16; it is copied.
        Raises: ValueError as :meth:`send`; SessionClosedError when the session is over.
        """
        frame = check_frame(frame)
        check_mark(mark)
        if self._closed:
            raise SessionClosedError("the session is closed")
        if not self.active:
            self._refuse(mark)
            return False
        if not self._sender.try_write(frame, mark):
            self._sender.no_room += 1
            return False
        return True

    @property
    def room_frames(self) -> int:
        """How many frames ``send_nowait`` would take now."""
        return self._sender.room_frames if self.active else 0

    @property
    def waiting_frames(self) -> int:
        """How many frames were taken and are not yet on their way to the far end."""
        return self._sender.waiting_frames

    @property
    def position_frames(self) -> int:
        """How many frames were taken and handed on to the far end since; not those cleared."""
        return self._sender.position_frames

    def flush(self) -> None:
        """Stop talking: what waits here and at the far end is dropped, the last sound faded out.

        Keys that are being sent end, too. Marks that were not reached are told as not played.
        """
        if self._closed:
            return
        self._sender.flush()
        if self._transport is not None and CLEAR in self._transport.capabilities:
            self._transport.clear()

    def on_mark(self, callback: Callable[[str, bool], None]) -> Callable[[], None]:
        """Call back with each mark's name, and whether it was played; False: cleared before.

        Played means heard where the transport can tell; else handed on to the far end.
        """
        return self._on_mark.add(callback)

    @property
    def silence_suppression(self) -> bool:
        """Whether the bot's silence is left out: then it is nobody's active speaker in its pauses.

        What is below -50 dBov for 400 ms goes out as exact silence, flagged, or not at all where
        the transport's protocol allows that.
        """
        return self._sender.silence_suppression

    @silence_suppression.setter
    def silence_suppression(self, on: bool) -> None:
        self._sender.silence_suppression = on
        if self._transport is not None:
            self._transport.sends_silence = not on

    # ---- the session's ---------------------------------------------------------------------------

    def _connect(self, transport: SessionTransport) -> None:
        """Use *transport* from now on."""
        self._transport = transport
        transport.sends_silence = not self.silence_suppression
        transport.on_tone = self._take_tone
        transport.on_mark = self._take_mark
        transport.on_media = self._take_media
        self._change_status(is_attached=True)

    def _disconnect(self) -> None:
        self._change_status(is_attached=False)

    def _ticked(self) -> None:
        """Take what the engine did, then let go all who wait for it."""
        rendered = self._leg.render.counters().written
        if rendered == self._rendered:
            # A look between two edges of a tick, where plugins sit: nothing has come of it yet.
            return
        self._rendered = rendered
        self._hub.pump()
        for name, played in self._sender.on_tick():
            self._pass_mark(name, played)
        self._on_tick.call()
        self._wake()

    def _close(self) -> None:
        """End the iterations and refuse what is sent from now on. Again is no error."""
        if self._closed:
            return
        was_active = self.active
        self._closed = True
        left = [*((name, False) for name in self._far_marks), *self._sender.close()]
        self._far_marks.clear()
        for name, played in left:
            self._on_mark.call(name, played)
        self._receiver.close()
        if was_active:
            self._on_send_status.call(False)
        self._wake()

    def _take_tone(self, key: str) -> None:
        self._receiver.ear.told(key, self._platform.now())

    def _take_mark(self, name: str, played: bool) -> None:
        if name in self._far_marks:
            self._far_marks.remove(name)
            self._on_mark.call(name, played)

    def _take_media(self, is_back: bool) -> None:
        if self._is_lost != is_back:
            return
        self._change_status(is_lost=not is_back)
        self._on_media.call(is_back)

    def _change_status(
        self, *, is_attached: bool | None = None, is_lost: bool | None = None
    ) -> None:
        before = self.active
        if is_attached is not None:
            self._is_attached = is_attached
        if is_lost is not None:
            self._is_lost = is_lost
        if self.active != before:
            self._on_send_status.call(self.active)

    def _pass_mark(self, name: str, played: bool) -> None:
        transport = self._transport
        if played and transport is not None and MARKS in transport.capabilities:
            if len(self._far_marks) == MAX_FAR_MARKS:
                self._on_mark.call(self._far_marks.popleft(), False)
            self._far_marks.append(name)
            transport.send_mark(name)
        else:
            self._on_mark.call(name, played)

    def _refuse(self, mark: str | None) -> None:
        self._sender.refused += 1
        if mark is not None:
            self._on_mark.call(mark, False)

    def _want_speakers(self, why: str, wanted: bool) -> None:
        claim = self._claims.pop(why, None)
        if claim is not None:
            claim()
        if wanted and not self._closed:
            self._claims[why] = self._speakers.claim()

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


def check_mark(mark: str | None) -> None:
    """Refuse what no mark can be called. Raises: ValueError."""
    if mark is not None and not 0 < len(mark.encode()) <= MAX_MARK_BYTES:
        raise ValueError(
            f"mark: expected 1 to {MAX_MARK_BYTES} bytes of UTF-8, got {len(mark.encode())}"
        )
