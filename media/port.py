"""A UDP port that many legs share: media goes to peers without Python, the rest comes here."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias, cast

from . import _native
from .peer import Peer

log = logging.getLogger("mixminus.media.port")

Address: TypeAlias = tuple[str, int]
Kind: TypeAlias = Literal["stun", "dtls", "rtp", "rtcp"]

DATAGRAMS_A_WAKE = 256
"""What is handled before the loop's other work has its turn."""


@dataclass(frozen=True, slots=True)
class Datagram:
    """What came and is Python's to answer. Units: arrival_ns on CLOCK_MONOTONIC."""

    kind: Kind
    address: Address
    data: bytes
    arrival_ns: int


class MediaPort:
    """A UDP socket read by the packet thread. Made by ``MediaPlatform.open_port``.

    RTP and RTCP from an address with a route go to its peer, in C. STUN from anybody, DTLS from
    addresses with a route and, if asked for, media of strangers go to ``on_datagram``.
    Thread: the loop's. Close it: what peers still send through it is dropped then, and counted.
    """

    def __init__(self, port: _native.Port) -> None:
        self._port = port
        self._routes: dict[Address, Peer] = {}
        self._loop: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        self.on_datagram: Callable[[Datagram], None] = lambda datagram: None
        self._draining = False
        self._failures = 0
        self._logged_at = -math.inf
        self._loop.add_reader(port.fileno(), self._wake)

    @property
    def address(self) -> Address:
        """Host and port, as bound."""
        return self._port.address

    def set_route(self, address: Address, peer: Peer) -> None:
        """Say whose datagrams those of *address* are; what is sent next provokes nothing lost.

        Raises: ValueError when *address* is none; RuntimeError when the port is closed.
        """
        self._publish({**self._routes, address: peer})

    def remove_route(self, address: Address) -> None:
        """Take a route away. One that is not there is no error, nor is a closed port."""
        if address in self._routes and self._loop is not None:
            self._publish({at: peer for at, peer in self._routes.items() if at != address})

    def _publish(self, routes: dict[Address, Peer]) -> None:
        self._port.set_routes([(host, port, peer._peer) for (host, port), peer in routes.items()])
        self._routes = routes

    def send(self, data: bytes, address: Address) -> bool:
        """Send a datagram at once; False when the socket did not take it.

        Raises: ValueError when *address* is none; RuntimeError when the port is closed.
        """
        return self._port.send(data, address[0], address[1])

    def tell_strangers(self, on: bool) -> None:
        """Say whether RTP and RTCP of addresses without a route go to ``on_datagram``."""
        self._port.tell_strangers(on)

    def counters(self) -> dict[str, int]:
        """Return what came, by what became of it. Thread: any; a moment old."""
        return self._port.counters()

    def close(self) -> None:
        """Read no more. Again is no error."""
        loop, self._loop = self._loop, None
        if loop is None:
            return
        loop.remove_reader(self._port.fileno())
        self._port.close()
        self._routes = {}
        self.on_datagram = lambda datagram: None

    def _wake(self) -> None:
        # An eventfd: one read takes all that was written to it.
        os.read(self._port.fileno(), 8)
        # One chain of drains at a time: under a flood, each wake would begin another.
        if not self._draining:
            self._draining = True
            self._drain()

    def _drain(self) -> None:
        for _ in range(DATAGRAMS_A_WAKE):
            read = self._port.read()
            if read is None:
                self._draining = False
                return
            kind, host, port, data, arrival_ns = read
            name = cast(Kind, _native.DATAGRAM_KINDS[kind])
            try:
                self.on_datagram(Datagram(name, (host, port), data, arrival_ns))
            except Exception:
                # One far end's datagram must not cost the others of this port theirs.
                self._failed()
        if self._loop is not None:
            self._loop.call_soon(self._drain)

    def _failed(self) -> None:
        """Log the exception at hand; under a flood of its like, once a second with their number."""
        self._failures += 1
        now = time.monotonic()
        if now - self._logged_at >= 1:
            log.exception("a datagram could not be handled (%d so far)", self._failures)
            self._logged_at = now
