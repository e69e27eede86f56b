"""Plain RTP legs, for SIP gateways and load tests: no keys, so only where the network is trusted.

Whom a leg is connected to is said by signalling (rtp_sdp.py), not by what arrives.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from ipaddress import ip_address
from typing import Final, Self

from ..bridge import Leg
from ..peer import Peer
from ..platform import MediaPlatform
from ..port import Datagram, MediaPort
from ..quality import StreamQuality
from .base import ClosedFuture
from .media_watch import MediaWatch, Sign
from .rtp_parameters import Address, RtpParameters, normal_address

log = logging.getLogger("mixminus.media.rtp")

LOOK_TICKS: Final = 5
"""Silence is looked for every 100 ms: losing and finding media are told that exactly."""

STALL_NS: Final = 1_000_000_000
"""Who has not looked for so long cannot say that nothing came."""

BYE_TICKS: Final = 5
"""So many ticks may pass before a BYE must have gone out; the next one sends it."""
BYE_TIMEOUT_S: Final = 0.5

RTP_VERSION: Final = 2
RTP_HEADER_BYTES: Final = 12
RTCP_PACKET_TYPES: Final = range(192, 224)


class RtpEndpoint:
    """One UDP port that carries RTP legs, told apart by their far ends' addresses.

    Thread: the platform's loop. Close it whatever happens.
    """

    def __init__(self, platform: MediaPlatform, port: MediaPort) -> None:
        self._platform = platform
        self._port = port
        self._transports: set[RtpTransport] = set()
        self._legs: dict[Address, RtpTransport] = {}
        self._learner: RtpTransport | None = None
        self._is_closed = False
        self._counts = {"learnt": 0, "not_learnt": 0}
        port.on_datagram = self._on_datagram

    @classmethod
    async def open(cls, platform: MediaPlatform, *, bind: str = "127.0.0.1", port: int = 0) -> Self:
        """Open a port, any when *port* is 0.

        Raises: OSError when *bind* is not ours or the port is taken.
        """
        return cls(platform, platform.open_port(bind, port))

    @property
    def address(self) -> Address:
        """Where this end receives: what its description says."""
        return self._port.address

    def connect(self, leg: Leg, parameters: RtpParameters) -> RtpTransport:
        """Carry *leg* to and from the far end that *parameters* name, or that is the first to come.

        Raises: RuntimeError when the endpoint is closed, when another leg has that far end, and
                when another leg waits for the first to come: nobody could tell whose it is.
                ValueError as the engine does, for settings it does not have, and for a far end of
                another family than the port's.
        """
        if self._is_closed:
            raise RuntimeError("the RTP endpoint is closed")
        if parameters.learn_address and self._learner is not None:
            raise RuntimeError("expected one leg at a time that learns its far end's address")
        if parameters.remote is not None:
            self._expect_usable(normal_address(parameters.remote))
        transport = RtpTransport(self, self._platform, leg, parameters)
        self._transports.add(transport)
        return transport

    def counters(self) -> dict[str, int]:
        """Return the port's counts, addresses learnt, and packets of strangers that taught none.

        The latter are of the time in which one was waited for; the port's ``media_stranger`` counts
        all that strangers sent.
        """
        return {**self._port.counters(), **self._counts}

    async def close(self) -> None:
        """Close all legs, then the port. Again is no error."""
        self._is_closed = True
        try:
            # All at once: each waits for the tick that says its BYE.
            await asyncio.gather(*(transport.close() for transport in tuple(self._transports)))
        finally:
            self._port.close()

    # ---- its transports' -------------------------------------------------------------------------

    def _is_free(self, address: Address) -> bool:
        return address not in self._legs

    def _expect_usable(self, address: Address) -> None:
        own, far = ip_address(self.address[0]), ip_address(address[0])
        if own.version != far.version:
            raise ValueError(f"expected an IPv{own.version} address of the far end, got {far}")
        if not self._is_free(address):
            raise RuntimeError(f"another leg of this port has its far end at {address}")

    def _route(self, address: Address, transport: RtpTransport) -> None:
        self._expect_usable(address)
        self._port.set_route(address, transport._peer)
        self._legs[address] = transport

    def _unroute(self, address: Address) -> None:
        if self._legs.pop(address, None) is not None:
            self._port.remove_route(address)

    def _learn(self, transport: RtpTransport) -> None:
        self._learner = transport
        self._port.tell_strangers(True)

    def _stop_learning(self, transport: RtpTransport) -> None:
        if self._learner is transport:
            self._learner = None
            self._port.tell_strangers(False)

    def _forget(self, transport: RtpTransport) -> None:
        self._stop_learning(transport)
        self._transports.discard(transport)

    def _on_datagram(self, datagram: Datagram) -> None:
        # What was told before the port heard that nobody learns any more is of no use either.
        learner = self._learner
        if learner is None or datagram.kind != "rtp" or not learner._learn_from(datagram):
            self._counts["not_learnt"] += 1
        else:
            self._counts["learnt"] += 1


class RtpTransport:
    """A leg over plain RTP. Made by :meth:`RtpEndpoint.connect`.

    Thread: the platform's loop.

    ``on_tone`` is called with each key that the far end presses, at its beginning; ``on_media``
    with False when nothing came for 2 s while ``expects_media``, with True when it comes again.
    ``closed`` resolves when the far end says BYE and is silent then, or close() was called: losing
    media ends nothing.
    """

    def __init__(
        self,
        endpoint: RtpEndpoint,
        platform: MediaPlatform,
        leg: Leg,
        parameters: RtpParameters,
    ) -> None:
        self.on_tone: Callable[[str], None] = _ignore
        self.on_media: Callable[[bool], None] = _ignore
        self.parameters = parameters
        self._endpoint = endpoint
        self._platform = platform
        self._leg = leg
        self._closed = ClosedFuture()
        self._connected: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._closing: asyncio.Task[None] | None = None
        self._ticked = asyncio.Event()
        self._ticks = 0
        self._expects_media = True
        self._looked_ns = time.monotonic_ns()
        self._watch = MediaWatch(self._looked_ns)
        self._remote: Address | None = None
        self._sends = True
        self._is_learning = parameters.learn_address
        self._peer: Peer = platform.make_peer(parameters.peer_settings())
        leg.attach(self._peer)
        if parameters.remote is not None:
            self._set_remote(normal_address(parameters.remote))
        if self._is_learning:
            endpoint._learn(self)
        self._unsubscribe = platform.on_tick(self._on_tick)

    @property
    def closed(self) -> asyncio.Future[str]:
        """Resolved once, with the reason, when the far end is gone or close() was called."""
        return self._closed.future

    @property
    def remote(self) -> Address | None:
        """The far end's address; None while it is to be learnt."""
        return self._remote

    @property
    def expects_media(self) -> bool:
        """Whether silence of the far end means that media are lost: False on hold."""
        return self._expects_media

    @expects_media.setter
    def expects_media(self, expects: bool) -> None:
        if expects != self._expects_media:
            self._expects_media = expects
            self._watch.excuse(time.monotonic_ns())

    @property
    def sends(self) -> bool:
        """Whether anything is sent: False where both agreed that the far end hears nothing."""
        return self._sends

    @sends.setter
    def sends(self, sends: bool) -> None:
        self._sends = sends
        self._aim()

    async def connected(self, timeout_s: float = 10.0) -> None:
        """Wait until the far end's address is known, so that media can flow both ways.

        Raises: TimeoutError; ConnectionError with the reason when it ended first.
        """
        async with asyncio.timeout(timeout_s):
            await asyncio.wait(
                (self._connected, self._closed.future), return_when=asyncio.FIRST_COMPLETED
            )
        if not self._connected.done():
            raise ConnectionError(self._closed.future.result())

    def move(self, leg: Leg) -> None:
        """Carry *leg* from now on; the far end notices nothing."""
        leg.attach(self._peer)
        self._leg = leg

    def redirect(self, remote: Address) -> None:
        """Send to another address of the far end, and take media from there alone (re-INVITE).

        Raises: ValueError when it is no numeric address of the port's family; RuntimeError when
                another leg has it. Then nothing has changed.
        """
        remote = normal_address(remote)
        if remote != self._remote:
            self._set_remote(remote)
        self._stop_learning()

    def queue_tone(self, key: str, duration_ms: int = 100, pause_ms: int = 50) -> bool:
        """Press *key* towards the far end, after the keys that wait; say whether it will be heard.

        False when tones were not agreed upon, or too many wait. Raises: ValueError on another key.
        """
        return self._peer.queue_tone(key, duration_ms, pause_ms)

    def counters(self) -> dict[str, int]:
        """Return packets in and out, and what became of them, by reason."""
        counts = self._peer.counters()
        return {**counts, "frames_in": counts["received"], "frames_out": counts["sent_packets"]}

    def quality(self) -> StreamQuality:
        """Return what was measured of the media, both ways."""
        return self._peer.quality()

    async def close(self) -> None:
        """Say BYE, let go of the leg and of the far end's address. Again is no error."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._close(), name="rtp close")
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        told = self._closed.future.done()
        self._closed.resolve("closed here")
        try:
            if self._remote is not None and not told:
                await self._say_bye()
        finally:
            self._unsubscribe()
            if self._remote is not None:
                self._endpoint._unroute(self._remote)
            self._endpoint._forget(self)
            self._peer.set_destination(None, None)
            if self._leg.peer is self._peer:
                # Its call may have closed the leg before the transport.
                with suppress(RuntimeError):
                    self._leg.attach(None)

    async def _say_bye(self) -> None:
        self.sends = True
        self._peer.say_bye()
        for _ in range(BYE_TICKS):
            if self._peer.counters()["byes_sent"]:
                return
            self._ticked.clear()
            try:
                async with asyncio.timeout(BYE_TIMEOUT_S):
                    await self._ticked.wait()
            except TimeoutError:
                break  # the engine stands still
        log.info("an RTP leg ended without its BYE: no tick sent it")

    # ---- each tick -------------------------------------------------------------------------------

    def _on_tick(self) -> None:
        self._ticked.set()
        for tone in self._peer.read_tones():
            if not tone.ended:
                self.on_tone(tone.key)
        self._ticks += 1
        if self._ticks % LOOK_TICKS == 0 and not self._closed.future.done():
            self._look()

    def _look(self) -> None:
        last_ns, now_ns = self._peer.last_heard_ns, time.monotonic_ns()
        if self._is_learning and last_ns:
            self._stop_learning()  # the address of the signalling was the right one
        if self._remote is None or now_ns - self._looked_ns > STALL_NS:
            self._watch.excuse(now_ns)
        self._looked_ns = now_ns
        match self._watch.look(
            now_ns,
            heard_ns=last_ns,
            is_expected=self._expects_media,
            sends=True,
            counts=self._received_and_byes,
        ):
            case Sign.BYE:
                self._closed.resolve("the far end said bye")
            case Sign.LOST:
                self.on_media(False)
            case Sign.BACK:
                self.on_media(True)
            case Sign.NOTHING_NEW | Sign.SILENT:
                pass  # there is no consent to lose: its signalling says when it has gone

    def _received_and_byes(self) -> tuple[int, int]:
        counts = self._peer.counters()
        return counts["received"], counts["byes_heard"]

    # ---- where the far end is --------------------------------------------------------------------

    def _set_remote(self, address: Address) -> None:
        self._endpoint._expect_usable(address)
        before, self._remote = self._remote, address
        if before is not None:
            self._endpoint._unroute(before)
        # First the way in: what our first packet provokes is then this leg's.
        self._endpoint._route(address, self)
        self._aim()
        self._watch.excuse(time.monotonic_ns())
        if not self._connected.done():
            self._connected.set_result(None)

    def _aim(self) -> None:
        if self._sends and self._remote is not None:
            self._peer.set_destination(self._endpoint._port, self._remote)
        else:
            self._peer.set_destination(None, None)

    def _stop_learning(self) -> None:
        self._is_learning = False
        self._endpoint._stop_learning(self)

    def _learn_from(self, datagram: Datagram) -> bool:
        """Take the sender as the far end if this is the packet that was waited for."""
        if self._peer.last_heard_ns:
            self._stop_learning()
            return False
        if payload_type_of(datagram.data) not in self.parameters.taken_types():
            return False
        try:
            address = normal_address(datagram.address)
        except ValueError:
            return False  # nobody can be sent to there
        if not self._endpoint._is_free(address):
            return False
        self._stop_learning()
        self._set_remote(address)
        return True


def payload_type_of(datagram: bytes) -> int | None:
    """Return the payload type of an RTP packet, None when it is none or carries nothing.

    Source: RFC 3550 section 5.1 and 5.3.1, as native/rtp.c reads them.
    """
    if len(datagram) < RTP_HEADER_BYTES or datagram[0] >> 6 != RTP_VERSION:
        return None
    if datagram[1] in RTCP_PACKET_TYPES:
        return None
    at = RTP_HEADER_BYTES + 4 * (datagram[0] & 0x0F)
    if datagram[0] & 0x10:
        if len(datagram) < at + 4:
            return None
        at += 4 + 4 * int.from_bytes(datagram[at + 2 : at + 4], "big")
    padding_bytes = datagram[-1] if datagram[0] & 0x20 else 0
    if datagram[0] & 0x20 and not padding_bytes:
        return None
    return datagram[1] & 0x7F if at + padding_bytes < len(datagram) else None


def _ignore(_: object) -> None:
    """Do nothing where nobody listens."""
