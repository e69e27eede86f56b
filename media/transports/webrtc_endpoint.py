"""One UDP port number for all WebRTC legs of a process: who a datagram is for."""

from __future__ import annotations

import asyncio
import errno
import logging
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address
from typing import Final

from ..bridge import Leg
from ..libraries import codec_libraries
from ..peer import Peer
from ..platform import MediaPlatform
from ..port import Datagram, MediaPort
from . import ice_lite
from .ice_lite import Credentials, Heard
from .opus_settings import OpusSettings
from .webrtc import WebRtcTransport

log = logging.getLogger("mixminus.media.webrtc")

DEFAULT_OPUS: Final = OpusSettings()
LOOPBACK: Final = ("127.0.0.1",)
OPEN_TRIES: Final = 16
"""How often another number is tried when one is taken on some of the addresses."""

POLL_S: Final = 0.06
"""Three ticks: how late a pressed key may be told."""

STALL_NS: Final = 1_000_000_000
"""A loop that was held up for longer has not heard what waits in its sockets."""


@dataclass(frozen=True, slots=True)
class Path:
    """One of our ports and a far address: what an ICE pair is for a lite agent."""

    port: MediaPort
    address: tuple[str, int]


class WebRtcEndpoint:
    """The WebRTC legs that share a port. Made by :meth:`open`.

    Thread: the platform's loop.
    Source: RFC 8445 section 2.5 (lite), RFC 7983 (one port for STUN, DTLS and SRTP).

    A leg is found by the ufrag in a STUN check, and from then on by the address that has proven
    itself so; all else from an address that has not is dropped before it reaches Python. The
    route to a leg is set before its check is answered: whatever the answer brings is let in.
    """

    def __init__(
        self,
        platform: MediaPlatform,
        ports: Sequence[MediaPort],
        candidates: Sequence[tuple[str, int]],
        opus: OpusSettings = DEFAULT_OPUS,
    ) -> None:
        self.platform = platform
        self.opus = opus
        self.candidates = tuple(candidates)
        """What is offered to far ends: (address, port), best first."""
        self._ports = tuple(ports)
        self.port = ports[0].address[1]
        """The UDP port, the same on every address."""
        self._by_ufrag: dict[bytes, tuple[Credentials, WebRtcTransport]] = {}
        self._by_path: dict[Path, WebRtcTransport] = {}
        self._legs: dict[WebRtcTransport, None] = {}
        self._counts: Counter[str] = Counter()
        self._timer: asyncio.TimerHandle | None = None
        self._polled_ns = 0
        self._is_closed = False
        for port in self._ports:
            port.on_datagram = partial(self._take, port)

    @classmethod
    async def open(
        cls,
        platform: MediaPlatform,
        *,
        bind: Sequence[str] = LOOPBACK,
        port: int = 0,
        public_address: Sequence[str] = (),
        opus: OpusSettings = DEFAULT_OPUS,
    ) -> WebRtcEndpoint:
        """Open one port number on every address of *bind*; 0 is any that is free on all.

        Raises: OSError when an address or the port cannot be had; ValueError on addresses that
                are no numbers, or a wildcard without a public address to offer in its place;
                RuntimeError without libopus or libsrtp (aiortc_transport needs neither).

        *public_address* is what far ends reach instead of the bound address of its family, one to
        one (a NAT with the same port on both sides).
        """
        libraries = codec_libraries()
        if not libraries.complete:
            problems = "; ".join(libraries.problems)
            raise RuntimeError(f"expected a libopus and a libsrtp that work here: {problems}")
        hosts = _offered(bind, public_address)
        ports = await _open_ports(platform, bind, port)
        return cls(platform, ports, [(host, ports[0].address[1]) for host in hosts], opus)

    def make(self, leg: Leg) -> WebRtcTransport:
        """Make a transport that answers one far end's offer. Raises: RuntimeError when closed."""
        if self._is_closed:
            raise RuntimeError("the WebRTC endpoint is closed")
        transport = WebRtcTransport(self, leg)
        self._legs[transport] = None
        if self._timer is None:
            self._polled_ns = time.monotonic_ns()
            self._timer = asyncio.get_running_loop().call_later(POLL_S, self._poll)
        return transport

    def counters(self) -> dict[str, int]:
        """Return what became of datagrams (of all ports together), and how many legs there are."""
        total = Counter({heard.value: 0 for heard in Heard} | {"dtls_unrouted": 0, "stun_taken": 0})
        total.update(self._counts)
        for port in self._ports:
            total.update(port.counters())
        return {**total, "legs": len(self._legs), "routes": len(self._by_path)}

    async def close(self) -> None:
        """Close every leg, then the ports. Again is no error."""
        self._is_closed = True
        try:
            await asyncio.gather(*(leg.close() for leg in tuple(self._legs)))
        finally:
            for port in self._ports:
                self._counts.update(port.counters())
                port.close()
            # Whoever still holds this, or a leg of it, holds no socket by that.
            self._ports = ()

    # ---- for its transports ----------------------------------------------------------------------

    def listen(self, credentials: Credentials, transport: WebRtcTransport) -> None:
        """Answer checks by *credentials* for *transport*."""
        self._by_ufrag[credentials.ufrag.encode()] = (credentials, transport)

    def ignore(self, credentials: Credentials) -> None:
        """Answer no more checks by *credentials*."""
        self._by_ufrag.pop(credentials.ufrag.encode(), None)

    def route(self, path: Path, transport: WebRtcTransport, peer: Peer) -> None:
        """Let what comes on *path* in, to *peer*."""
        before = self._by_path.get(path)
        if before is not None and before is not transport:
            before.lost_path(path)
        self._by_path[path] = transport
        path.port.set_route(path.address, peer)

    def unroute(self, path: Path) -> None:
        """Let nothing in any more that comes on *path*."""
        if self._by_path.pop(path, None) is not None:
            path.port.remove_route(path.address)

    def forget(self, transport: WebRtcTransport) -> None:
        """Look after *transport* no more: it has closed."""
        self._legs.pop(transport, None)
        if not self._legs and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # ---- from the ports --------------------------------------------------------------------------

    def _take(self, port: MediaPort, datagram: Datagram) -> None:
        if datagram.kind == "stun":
            self._take_stun(port, datagram)
        elif datagram.kind == "dtls":
            path = Path(port, datagram.address)
            leg = self._by_path.get(path)
            if leg is None:
                self._counts["dtls_unrouted"] += 1
            else:
                leg.take_dtls(path, datagram.data)

    def _take_stun(self, port: MediaPort, datagram: Datagram) -> None:
        check = ice_lite.check(datagram.data, datagram.address, self._find)
        self._counts[check.heard.value] += 1
        if check.response is None or check.credentials is None:
            return
        if check.heard is Heard.VALID:
            _, leg = self._by_ufrag[check.credentials.ufrag.encode()]
            path, now_ns = Path(port, datagram.address), time.monotonic_ns()
            other = self._by_path.get(path)
            # A far end that writes another's address on its checks does not get the other's media.
            if other is not None and other is not leg and other.holds(path, now_ns):
                self._counts["stun_taken"] += 1
                return
            leg.take_check(path, check, now_ns)
            port.send(check.response, datagram.address)
            leg.path_is_open()
        else:
            port.send(check.response, datagram.address)

    def _find(self, ufrag: bytes) -> Credentials | None:
        found = self._by_ufrag.get(ufrag)
        return None if found is None else found[0]

    def _poll(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(POLL_S, self._poll)
        self.poll(time.monotonic_ns())

    def poll(self, now_ns: int) -> None:
        """Look after every leg: keys pressed, media lost, deadlines. The endpoint's timer does."""
        was_stalled = now_ns - self._polled_ns > STALL_NS
        self._polled_ns = now_ns
        for leg in tuple(self._legs):
            try:
                if was_stalled:
                    leg.excuse(now_ns)
                leg.poll(now_ns)
            except Exception:
                # What is told of one leg must not cost the others theirs.
                log.exception("looking after a WebRTC leg failed")


def _offered(bind: Sequence[str], public_address: Sequence[str]) -> list[str]:
    """Return the addresses to offer, in the order of *bind*, each once."""
    if not bind:
        raise ValueError("expected at least one address to bind")
    bound = [ip_address(host) for host in bind]
    public = [ip_address(host) for host in public_address]
    for outside in public:
        if outside.version not in {inside.version for inside in bound}:
            raise ValueError(f"expected a bound IPv{outside.version} address behind {outside}")
    offered: list[str] = []
    for host, inside in zip(bind, bound, strict=True):
        outer = [str(one) for one in public if one.version == inside.version]
        if inside.is_unspecified and not outer:
            raise ValueError(f"expected a public address to offer in the place of {host}")
        # An address's scope says nothing elsewhere.
        offered += outer or [host.partition("%")[0]]
    return list(dict.fromkeys(offered))


async def _open_ports(platform: MediaPlatform, bind: Sequence[str], port: int) -> list[MediaPort]:
    for attempt in range(OPEN_TRIES):
        ports: list[MediaPort] = []
        try:
            for host in bind:
                ports.append(platform.open_port(host, ports[0].address[1] if ports else port))
        except (OSError, ValueError) as error:
            for opened in ports:
                opened.close()
            is_taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
            if port or not ports or attempt == OPEN_TRIES - 1 or not is_taken:
                raise
        else:
            return ports
    raise AssertionError("the last try returns or raises")
