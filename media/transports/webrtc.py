"""A leg over WebRTC: ICE-lite, DTLS-SRTP, and media that never passes Python."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from ..bridge import Leg
from ..libraries import codec_libraries
from ..peer import Peer, PeerSettings
from ..quality import StreamQuality
from .base import ClosedFuture, wait_connected
from .dtls import AES_128_CM_SHA1_80, AES_128_GCM, DtlsSession, DtlsState, process_certificate
from .ice_lite import Check, Credentials, new_credentials
from .media_watch import MediaWatch, Sign
from .sdp import SdpError
from .sdp_answer import Local, Offer, parse_offer, reoffer_problem, write_answer
from .webrtc_paths import ValidatedPaths

if TYPE_CHECKING:
    from .webrtc_endpoint import Path, WebRtcEndpoint

log = logging.getLogger("mixminus.media.webrtc")

SETUP_NS: Final = 30_000_000_000
"""How long a far end may take from our answer to the end of its DTLS handshake."""

LOOK_NS: Final = 200_000_000
"""How often a leg's state is looked at; keys are asked for at each poll."""

BYE_TICKS: Final = 5
BYE_TIMEOUT_S: Final = 0.5


NOTHING_MEASURED: Final = StreamQuality(
    received_packets=0,
    lost_packets=0,
    discarded_packets=0,
    jitter_ms=None,
    round_trip_ms=None,
    far_loss_ratio=None,
    far_jitter_ms=None,
    sent_packets=0,
    sent_octets=0,
    ticks=0,
    voice_ticks=0,
    fec_ticks=0,
    concealed_ticks=0,
    comfort_ticks=0,
    silence_ticks=0,
    skipped_ticks=0,
    delay_ms=None,
    target_ms=None,
    drift_ppm=None,
    codec="unknown",
)


def no_tone(key: str) -> None:
    """Do nothing with a pressed key."""


def no_media(is_back: bool) -> None:
    """Do nothing about media that is lost or back."""


class WebRtcTransport:
    """One far end, from its offer to its end. Made by ``WebRtcEndpoint.make``.

    Thread: the endpoint's loop. Close it whatever happens, also after a refused description.

    ``on_tone(key)`` is called when a key is pressed; ``on_media(False)`` when nothing was heard of
    the far end for 2 s although it should be, ``on_media(True)`` when it is heard again.
    ``expects_media`` is set to False by who knows that the far end may be silent; a far end that
    holds us, by the direction of its offer, may be, too.

    It ends by itself (``closed`` says why) when the far end closes, fails to prove its certificate,
    has not connected within 30 s, or is not heard of for 30 s: no RTP, RTCP or ICE check.
    """

    def __init__(self, endpoint: WebRtcEndpoint, leg: Leg) -> None:
        self.on_tone: Callable[[str], None] = no_tone
        self.on_media: Callable[[bool], None] = no_media
        self.expects_media = True
        self._endpoint = endpoint
        self._leg = leg
        self._loop = asyncio.get_running_loop()
        self._closed = ClosedFuture()
        self._connected: asyncio.Future[None] = self._loop.create_future()
        self._closing: asyncio.Task[None] | None = None
        self._session_id = secrets.randbits(62)
        self._version = 0
        self._offer: Offer | None = None
        self._is_dtls_client = False
        self._generations: dict[int, Credentials] = {}
        self._generation = -1
        self._paths: ValidatedPaths[Path] = ValidatedPaths()
        self._dtls: DtlsSession | None = None
        self._dtls_path: Path | None = None
        self._dtls_timer: asyncio.TimerHandle | None = None
        self._has_begun = False
        self._peer: Peer | None = None
        self._cname = secrets.token_hex(8)
        self._is_attached = False
        self._deadline_ns: int | None = None
        self._looked_ns = 0
        self._watch: MediaWatch | None = None

    @property
    def closed(self) -> asyncio.Future[str]:
        """Resolved once, with the reason, when the far end is gone or close() was called."""
        return self._closed.future

    @property
    def is_held(self) -> bool:
        """Whether the far end's last offer was not to send and receive."""
        return self._offer is not None and self._offer.direction != "sendrecv"

    def counters(self) -> dict[str, int]:
        """Return what the peer counts, and of the handshake; of RTP packets too as frames."""
        counts = {} if self._peer is None else self._peer.counters()
        return {
            **counts,
            "frames_in": counts.get("received", 0),
            "frames_out": counts.get("sent_packets", 0),
            "dtls_dropped": 0 if self._dtls is None else self._dtls.dropped,
            "paths": len(self._paths),
            "ice_restarts": max(0, self._generation),
        }

    def quality(self) -> StreamQuality:
        """Return what was measured so far, also after the end."""
        return NOTHING_MEASURED if self._peer is None else self._peer.quality()

    def queue_tone(self, key: str, duration_ms: int = 100, pause_ms: int = 50) -> bool:
        """Press *key* towards the far end. False when it takes no telephone events."""
        return self._peer is not None and self._peer.queue_tone(key, duration_ms, pause_ms)

    # ---- descriptions ----------------------------------------------------------------------------

    async def answer(self, offer_sdp: str) -> str:
        """Take the far end's offer, or its re-offer, and return the answer with all candidates.

        Raises: SdpError, also for a re-offer that needs a new connection (another certificate,
                other codecs): then nothing has changed. ConnectionError when this has ended.

        A re-offer with new ICE credentials is an ICE restart: keys, leg and media go on, and move
        to the address that proves itself next. With the same ones it changes the direction alone.
        """
        if self._closed.future.done():
            raise ConnectionError(self._closed.future.result())
        offer = parse_offer(offer_sdp, self._endpoint.opus.bit_rate)
        before = self._offer
        if before is None:
            self._begin(offer)
        else:
            problem = reoffer_problem(before, offer, self._is_dtls_client)
            if problem is not None:
                raise SdpError(f"expected the same {problem}: another needs a new connection")
        self._offer = offer
        if before is None or (before.ufrag, before.password) != (offer.ufrag, offer.password):
            self._begin_generation()
        self._set_destination()
        return self._write_answer(offer)

    def can_restart(self, offer_sdp: str) -> bool:
        """Whether :meth:`answer` would take *offer_sdp* as a re-offer on this connection."""
        if self._offer is None or self._closed.future.done():
            return False
        try:
            offer = parse_offer(offer_sdp, self._endpoint.opus.bit_rate)
        except SdpError:
            return False
        return reoffer_problem(self._offer, offer, self._is_dtls_client) is None

    def _begin(self, offer: Offer) -> None:
        stream, opus = offer.stream, self._endpoint.opus
        gcm = (AES_128_GCM,) if codec_libraries().has_gcm else ()
        self._peer = self._endpoint.platform.make_peer(
            PeerSettings(
                payload_types=stream.payload_types,
                codec=stream.codec,
                payload_type=stream.payload_type,
                # Tones are sent on the clock of the audio they interrupt, or not at all.
                event_type=stream.event_type if stream.has_event_clock else None,
                event_clock_khz=stream.event_clock_hz // 1000 or None,
                level_extension_id=stream.level_extension_id,
                bit_rate=stream.bit_rate,
                complexity=opus.complexity,
                fec=stream.fec and opus.fec,
                dtx=stream.dtx or opus.dtx,
                cname=self._cname,
            )
        )
        self._is_dtls_client = offer.setup == "passive"
        self._dtls = DtlsSession(
            offer.fingerprints,
            is_client=self._is_dtls_client,
            profiles=(*gcm, AES_128_CM_SHA1_80),
        )
        self._deadline_ns = time.monotonic_ns() + SETUP_NS

    def _begin_generation(self) -> None:
        self._generation += 1
        credentials = self._generations[self._generation] = new_credentials()
        self._endpoint.listen(credentials, self)
        # The one before is used until the new one is; those before it were never.
        for old in [one for one in self._generations if one < self._generation]:
            if old != self._paths.generation:
                self._endpoint.ignore(self._generations.pop(old))

    def _write_answer(self, offer: Offer) -> str:
        assert self._peer is not None
        self._version += 1
        credentials = self._generations[self._generation]
        return write_answer(
            offer,
            Local(
                session_id=self._session_id,
                version=self._version,
                ufrag=credentials.ufrag,
                password=credentials.password,
                fingerprint=process_certificate().fingerprint,
                is_dtls_client=self._is_dtls_client,
                candidates=self._endpoint.candidates,
                ssrc=self._peer.ssrc,
                cname=self._cname,
            ),
        )

    # ---- the call's side -------------------------------------------------------------------------

    async def connected(self, timeout_s: float = 10.0) -> None:
        """Wait until media can flow.

        Raises: TimeoutError; ConnectionError with the reason when it ended first.
        """
        await wait_connected(self._connected, self._closed.future, timeout_s)

    def move(self, leg: Leg) -> None:
        """Carry *leg* from now on; the far end notices nothing.

        Raises: RuntimeError when it cannot be carried; then the leg before goes on.
        """
        if self._is_attached:
            leg.attach(self._peer)
        self._leg = leg

    async def close(self) -> None:
        """Tell the far end, and leave no task, route or timer behind. Again is no error."""
        self._end("closed here", tell=True)
        assert self._closing is not None
        await asyncio.shield(self._closing)

    # ---- the endpoint's side ---------------------------------------------------------------------

    @property
    def far_address(self) -> tuple[str, int] | None:
        """Where its packets go now: the path that is used; None before one is proven."""
        path = self._paths.selected
        return None if path is None else path.address

    def holds(self, path: Path, now_ns: int) -> bool:
        """Whether the far end has proven itself on *path* not long ago."""
        return self._paths.is_fresh(path, now_ns)

    def take_check(self, path: Path, check: Check, now_ns: int) -> None:
        """Note a good check; on return *path* is routed. The caller then sends its response."""
        assert self._peer is not None
        generation = next(n for n, one in self._generations.items() if one == check.credentials)
        is_new, before = path not in self._paths, self._paths.selected
        evicted = self._paths.heard(
            path,
            generation=generation,
            priority=check.priority,
            nominates=check.nominates,
            now_ns=now_ns,
        )
        if evicted is not None:
            self._endpoint.unroute(evicted)
        if is_new:
            self._endpoint.route(path, self, self._peer)
        self._peer.heard()
        if self._paths.selected != before:
            self._set_destination()
        for old in [one for one in self._generations if one < self._paths.generation]:
            self._endpoint.ignore(self._generations.pop(old))

    def path_is_open(self) -> None:
        """Begin DTLS, if that is ours to do: the far end has been answered."""
        if self._is_dtls_client and self._dtls is not None and not self._has_begun:
            self._has_begun = True
            self._dtls.start()
            self._advance_dtls()

    def lost_path(self, path: Path) -> None:
        """Note that another leg's far end has proven itself on *path* since."""
        self._paths.drop(path)
        self._set_destination()

    def take_dtls(self, path: Path, data: bytes) -> None:
        """Take a DTLS datagram from *path*."""
        if self._dtls is not None and not self._closed.future.done():
            self._dtls_path = path
            self._dtls.receive(data)
            self._advance_dtls()

    def excuse(self, now_ns: int) -> None:
        """Do not blame the far end for the time in which nobody listened."""
        if self._watch is not None:
            self._watch.excuse(now_ns)

    def poll(self, now_ns: int) -> None:
        """Tell pressed keys; from time to time see whether the far end is there."""
        if self._peer is None or self._closed.future.done():
            return
        if self._watch is not None:
            for tone in self._peer.read_tones():
                if not tone.ended:
                    self.on_tone(tone.key)
        if now_ns - self._looked_ns >= LOOK_NS:
            self._looked_ns = now_ns
            used = self._paths.selected
            for path in self._paths.expire(now_ns):
                self._endpoint.unroute(path)
            if self._paths.selected != used:
                self._set_destination()
            self._look(now_ns)

    # ---- inside ----------------------------------------------------------------------------------

    def _look(self, now_ns: int) -> None:
        assert self._peer is not None
        assert self._offer is not None
        if self._watch is None:
            if self._deadline_ns is not None and now_ns > self._deadline_ns:
                why = "" if self._dtls is None else self._dtls.reason
                self._end(f"the far end did not connect within 30 s{why and f': {why}'}")
            return
        match self._watch.look(
            now_ns,
            heard_ns=self._peer.last_heard_ns,
            is_expected=self.expects_media and not self.is_held,
            sends=self._offer.sends,
            counts=self._packets_and_byes,
        ):
            case Sign.LOST:
                self.on_media(False)
            case Sign.BACK:
                self.on_media(True)
            case Sign.SILENT:
                self._end("the far end has been silent for 30 s", tell=True)
            case Sign.BYE:
                self._end("the far end said BYE")
            case Sign.NOTHING_NEW:
                pass

    def _packets_and_byes(self) -> tuple[int, int]:
        assert self._peer is not None
        counts = self._peer.counters()
        return counts["received"], counts["byes_heard"]

    def _set_destination(self) -> None:
        if self._peer is None or self._offer is None:
            return
        path = self._paths.selected
        if path is None or not self._offer.receives:
            self._peer.set_destination(None, None)
        else:
            self._peer.set_destination(path.port, path.address)

    def _advance_dtls(self) -> None:
        """Do what follows from the handshake's state, and send what it has to say."""
        assert self._dtls is not None
        assert self._peer is not None
        keys = self._dtls.keys
        if keys is not None and not self._connected.done():
            # Before the last flight goes out: what it provokes can be read.
            self._peer.set_keys(keys.profile.number, receive=keys.receive, send=keys.send)
            self._set_destination()
            try:
                self._leg.attach(self._peer)
            except RuntimeError as error:
                # Its call closed the leg meanwhile, or the bridge has no room for the codec.
                self._end(f"the leg cannot carry it: {error}")
                return
            self._is_attached = True
            self._watch = MediaWatch(time.monotonic_ns())
            self._connected.set_result(None)
        self._send_dtls()
        if self._dtls.state in (DtlsState.CLOSED, DtlsState.FAILED):
            self._end(self._dtls.reason)

    def _send_dtls(self) -> None:
        assert self._dtls is not None
        # In a handshake back to where it came from: which path is used may not be settled yet.
        path = self._paths.selected
        if (
            self._dtls.state is DtlsState.HANDSHAKE
            and self._dtls_path is not None
            and self._dtls_path in self._paths
        ):
            path = self._dtls_path
        for datagram in self._dtls.outgoing():
            if path is not None:
                path.port.send(datagram, path.address)
        if self._dtls_timer is not None:
            self._dtls_timer.cancel()
            self._dtls_timer = None
        timeout_s = self._dtls.timeout_s
        if timeout_s is not None and not self._closed.future.done():
            self._dtls_timer = self._loop.call_later(timeout_s, self._on_dtls_timeout)

    def _on_dtls_timeout(self) -> None:
        assert self._dtls is not None
        self._dtls.handle_timeout()
        self._advance_dtls()

    def _end(self, reason: str, *, tell: bool = False) -> None:
        if self._closing is None:
            self._closed.resolve(reason)
            self._closing = self._loop.create_task(self._close(tell), name="webrtc close")

    async def _close(self, tell: bool) -> None:
        try:
            if tell and self._is_attached:
                await self._say_bye()
            if self._dtls is not None:
                self._dtls.close()
                self._send_dtls()
        finally:
            if self._dtls_timer is not None:
                self._dtls_timer.cancel()
            for credentials in self._generations.values():
                self._endpoint.ignore(credentials)
            self._generations.clear()
            for path in self._paths.all:
                self._endpoint.unroute(path)
                self._paths.drop(path)
            self._dtls_path = None
            if self._is_attached:
                self._is_attached = False
                # Its call may have closed the leg before the transport.
                with suppress(RuntimeError):
                    self._leg.attach(None)
            if self._peer is not None:
                self._peer.set_destination(None, None)
            self._endpoint.forget(self)

    async def _say_bye(self) -> None:
        """Wait until a tick has sent BYE, or several have not: the leg is in no bridge any more."""
        peer, path = self._peer, self._paths.selected
        if peer is None or path is None:
            return
        # A far end that holds us is told as well.
        peer.set_destination(path.port, path.address)
        peer.say_bye()
        said: asyncio.Future[None] = self._loop.create_future()
        ticks = 0

        def look() -> None:
            nonlocal ticks
            ticks += 1
            if (peer.counters()["byes_sent"] or ticks == BYE_TICKS) and not said.done():
                said.set_result(None)

        unsubscribe = self._endpoint.platform.on_tick(look)
        try:
            async with asyncio.timeout(BYE_TIMEOUT_S):
                await said
        except TimeoutError:
            log.warning("no tick came within %s s to send a leg's BYE", BYE_TIMEOUT_S)
        finally:
            unsubscribe()
