"""One direction of a link with what is on it: for virtual time and for the clock alike."""

from __future__ import annotations

import heapq

from tests.sim.link import Carrier, Link


class Way:
    """Datagrams go in with a time and come out when they are due: late, twice, or never.

    Units:  times in ns of a clock that starts near 0: steps and outages count from there.
    Thread: one.
    """

    def __init__(self, link: Link, seed: int, *, more_bytes: int = 0) -> None:
        """*more_bytes*: what a narrow link carries beside each datagram that is put."""
        self.carrier = Carrier(link, seed)
        self._more_bytes = more_bytes
        self._flying: list[tuple[int, int, bytes]] = []
        self._count = 0

    def put(self, datagram: bytes, now_ns: int) -> list[int]:
        """Send *datagram*; return when it arrives: never, once, or twice."""
        arrivals = self.carrier.carry([now_ns], [len(datagram) + self._more_bytes])
        for at, _ in arrivals:
            self._count += 1
            heapq.heappush(self._flying, (at, self._count, datagram))
        return [at for at, _ in arrivals]

    def take(self, now_ns: int) -> list[tuple[int, bytes]]:
        """Return (arrival_ns, datagram) of all that has arrived, in order."""
        due = []
        while self._flying and self._flying[0][0] <= now_ns:
            at, _, datagram = heapq.heappop(self._flying)
            due.append((at, datagram))
        return due

    def next_ns(self) -> int | None:
        """When the next one arrives, of those that are on the way."""
        return self._flying[0][0] if self._flying else None
