"""One call's media in a bot host: the link's leg, the application's, one for each speaker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ..bridge import Leg, LegCounters
from ..descriptor import MediaSessionDescriptor
from ..platform import MediaPlatform
from ..transports.base import SPEAKERS, SessionTransport
from ..transports.link import HostLink, LinkGrant
from .audio_socket import AudioCounters, AudioSocket
from .errors import SessionClosedError
from .hub import TAP_SLOTS, Hub, Listener
from .sending import MAX_TARGET_FRAMES
from .speakers import Speakers

GRANT_TTL_NS: Final = 60 * 1_000_000_000
LINK_SOURCE_ID: Final = 1
APPLICATION_SOURCE_ID: Final = 2
LISTENER_SLOTS: Final = 64


@dataclass(frozen=True, slots=True)
class SessionCounters:
    """What became of a session's frames at each hop."""

    link: LegCounters
    application: LegCounters
    audio: AudioCounters
    transport: dict[str, int]


@dataclass(frozen=True, slots=True)
class SessionLegs:
    """A session's legs at one moment: where plugins sit.

    What a speaker says comes in by ``speakers[source_id]``; the mix the bot hears goes out by
    ``application``, and what the bot says comes in there; ``link`` sends it to the far end.
    """

    link: Leg
    application: Leg
    speakers: Mapping[int, Leg]


class MediaSession:
    """One call's media: a bridge with the leg of the transport, of the bot, and of each speaker.

    The transport fills the link's leg with the far end's mix. When somebody wants each speaker's
    own audio, it fills a leg for each of them as well, and then the mix is made here, of those.
    *lineage* names the call through all its rejoins, *epoch* (from 1) is higher with each of them:
    the call service knows by both that this session takes the place of an older one.
    Thread: the loop's. Close it whatever happens; it holds a bridge of the engine.
    """

    def __init__(
        self, platform: MediaPlatform, *, mp_uri: str, lineage: str | None = None, epoch: int = 1
    ) -> None:
        self.descriptor = MediaSessionDescriptor.new(mp_uri, lineage=lineage, epoch=epoch)
        self._platform = platform
        self._bridge = platform.create_bridge()
        self._link_leg = self._bridge.add_leg(LINK_SOURCE_ID, relay=True)
        self._application_leg = self._bridge.add_leg(
            APPLICATION_SOURCE_ID,
            max_target_frames=MAX_TARGET_FRAMES,
            render_slots=TAP_SLOTS,
            paced=True,
        )
        self._hub = Hub(self._application_leg)
        self._speakers = Speakers(self._bridge, self._link_leg, self._application_leg, self._hub)
        self._listeners: list[Listener] = []
        self._missed_ticks = 0
        self.audio = AudioSocket(platform, self._application_leg, self._hub, self._speakers)
        self._unsubscribe = platform.on_tick(self.audio._ticked)
        self._transport: SessionTransport | None = None
        self._says_bye = True
        self._first_tick = platform.stats().ticks
        self._uncount = platform.totals.sessions.add(self._audio_counts)
        secret = self.descriptor.link_secret
        assert secret is not None  # A new descriptor has one.
        self._grant = LinkGrant(
            secret,
            self._link_leg,
            time.monotonic_ns() + GRANT_TTL_NS,
            speakers=self,
            epoch=epoch,
        )
        self.transport_lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        """Resolved with the reason when the transport ended before this session did."""

    @property
    def session_id(self) -> str:
        """The blob's ``mpMediaSessionId``: a name, never a credential."""
        return self.descriptor.mp_media_session_id

    @property
    def lineage(self) -> str:
        """The blob's ``callId``: the call's name through all its rejoins."""
        return self.descriptor.call_id

    @property
    def epoch(self) -> int:
        """Which of the call's sessions this is: a later one has a higher number."""
        return self.descriptor.link_epoch

    @property
    def connected(self) -> bool:
        """Whether a transport was attached, now or before."""
        return self._transport is not None

    @property
    def legs(self) -> SessionLegs:
        """The legs there are now."""
        return SessionLegs(self._link_leg, self._application_leg, self._speakers.legs)

    def media_configuration(self) -> str:
        """Return the blob for the call request. It holds the link's secret."""
        return self.descriptor.to_blob()

    def grant(self) -> LinkGrant | None:
        """Return what a link must prove to be let in; None when the session is over."""
        return None if self.audio.closed else self._grant

    def attach(self, transport: SessionTransport) -> None:
        """Let *transport*, which carries the link's leg, bring the call's audio from now on.

        Raises: RuntimeError when there is one already, or the session is over.
        """
        if self._transport is not None or self.audio.closed:
            raise RuntimeError("the media session has its link already, or is closed")
        self._transport = transport
        if SPEAKERS in transport.capabilities:
            self._speakers.connect(transport.want_speakers)
        self.audio._connect(transport)
        transport.closed.add_done_callback(self._on_transport_closed)

    # ---- speakers --------------------------------------------------------------------------------

    def open_speaker(self, source_id: int, name: str | None = None) -> Leg:
        """Return the leg of that speaker, made now if there is none; again: the same leg.

        For transports. Units: source_id from 1 to 2^32 - 1, as the roster has it; *name* is who it
        is, where only the far end knows.
        Raises: ValueError on another id; RuntimeError when the session is over, or beyond 1024
                speakers at once.
        """
        if self.audio.closed:
            raise RuntimeError("the media session is closed")
        return self._speakers.open(source_id, name)

    def close_speaker(self, source_id: int) -> None:
        """Take that speaker's leg out; listeners still get what waits. Again is no error."""
        self._speakers.close(source_id)

    def want_speakers(self) -> Callable[[], None]:
        """Ask for each speaker's own audio while anybody does; returns what ends this wish."""
        return self._speakers.claim()

    def on_speaker(self, callback: Callable[[int, Leg, bool], None]) -> Callable[[], None]:
        """Call back with source id, leg and True when a speaker's leg is opened, False: is closed.

        Returns what takes the callback off again.
        """
        return self._speakers.on_speaker.add(callback)

    # ---- listening -------------------------------------------------------------------------------

    def listen(self, slots: int = LISTENER_SLOTS, *, speakers: bool = True) -> Listener:
        """Return every tick from now on: the mix, each speaker, the bot, on one timeline.

        *slots* ticks wait for a slow reader; *speakers*: whether theirs are asked for.
        Raises: ValueError below one slot; SessionClosedError when the session is over.
        """
        if self.audio.closed:
            raise SessionClosedError("the session is closed")
        listener = Listener(slots)
        detach = self._hub.add(listener, own=True)
        unclaim = self._speakers.claim() if speakers else None
        self._listeners.append(listener)

        def leave() -> None:
            detach()
            if unclaim is not None:
                unclaim()
            if listener in self._listeners:
                self._listeners.remove(listener)
                self._missed_ticks += listener.dropped

        listener.attach(leave)
        return listener

    # ---- figures, end ----------------------------------------------------------------------------

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

    async def abandon(self) -> None:
        """Close, and say nothing to the far end: the call goes on at another instance, or may.

        A goodbye would end it there. For a session whose transport has none it is :meth:`close`.
        """
        self._says_bye = False
        await self.close()

    async def close(self) -> None:
        """End the audio, close the transport, free the bridge. Again is no error."""
        self._unsubscribe()
        if not self.audio.closed:
            self._hub.pump()
        self.audio._close()
        for listener in tuple(self._listeners):
            listener.close()
        try:
            if isinstance(self._transport, HostLink) and not self._says_bye:
                await self._transport.abandon()
            elif self._transport is not None:
                await self._transport.close()
        finally:
            self._speakers.close_all()
            self._hub.close()
            self._bridge.close()
            self.transport_lost.cancel()
            self._uncount()

    def _audio_counts(self) -> dict[str, int]:
        living = sum(listener.dropped for listener in self._listeners)
        return {**asdict(self.audio.counters()), "listener_missed": self._missed_ticks + living}

    def _on_transport_closed(self, closed: asyncio.Future[str]) -> None:
        self.audio._disconnect()
        if self.audio.closed or self.transport_lost.done() or closed.cancelled():
            return
        error = closed.exception()
        self.transport_lost.set_result(closed.result() if error is None else str(error))
