"""A network in virtual time: what is sent comes later, twice, in another order, or never."""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass, field

NS = 1_000_000


@dataclass(frozen=True)
class Link:
    """One direction. Delay is Gaussian and keeps order, but for the share told to overtake."""

    delay_ms: float = 0
    jitter_ms: float = 0
    loss: float = 0
    burst: float = 1  # mean length of a loss, in packets (Gilbert)
    duplicate: float = 0
    reorder: float = 0
    kbit: float = 0  # 0: no limit
    queue_ms: float = 200
    steps: tuple[tuple[float, float], ...] = ()  # (from second, added delay in ms)
    outages: tuple[tuple[float, float], ...] = ()  # (from second, to second)


@dataclass
class Carrier:
    """Carries packets over *link*; the same seed does the same."""

    link: Link
    seed: int = 1
    lost: int = 0
    duplicated: int = 0
    _bad: bool = False
    _free_ms: float = 0
    _last_ms: float = 0
    _random: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def carry(self, sent_ns: list[int], sizes: list[int]) -> list[tuple[int, int]]:
        """Return (arrival_ns, index) of all that arrives, in order of arrival."""
        arrivals: list[tuple[int, int, int]] = []
        for index, (sent, size) in enumerate(zip(sent_ns, sizes, strict=True)):
            at = self._arrival_ms(sent / NS, size)
            if at is None:
                self.lost += 1
                continue
            copies = 2 if self._random.random() < self.link.duplicate else 1
            self.duplicated += copies - 1
            for _ in range(copies):
                heapq.heappush(arrivals, (int(at * NS), len(arrivals), index))
        return [(at, index) for at, _, index in sorted(arrivals)]

    def _loses(self) -> bool:
        link = self.link
        if link.burst <= 1:
            return self._random.random() < link.loss
        leave = 1 / link.burst
        enter = link.loss * leave / (1 - link.loss)
        self._bad = self._random.random() >= leave if self._bad else self._random.random() < enter
        return self._bad

    def _arrival_ms(self, sent_ms: float, size: int) -> float | None:
        link = self.link
        if any(begin * 1e3 <= sent_ms < end * 1e3 for begin, end in link.outages) or self._loses():
            return None
        at = sent_ms
        if link.kbit:
            self._free_ms = max(self._free_ms, at)
            if self._free_ms - at > link.queue_ms:
                return None
            self._free_ms += size * 8 / link.kbit
            at = self._free_ms
        at += max(0.0, link.delay_ms + self._random.gauss(0, 1) * link.jitter_ms)
        at += next((extra for begin, extra in reversed(link.steps) if sent_ms >= begin * 1e3), 0.0)
        if self._random.random() >= link.reorder:
            at = max(at, self._last_ms)
            self._last_ms = at
        return at


# N6 and N7 in the seconds that their tests count with; N9 is a clock's, and no link's.
PROFILES = {
    "N0": Link(),
    "N1": Link(20, 5, loss=0.001),
    "N2": Link(30, 15, loss=0.01, reorder=0.01),
    "N3": Link(60, 30, loss=0.05, burst=2, duplicate=0.01),
    "N4": Link(80, 20, loss=0.10),
    "N5": Link(100, 30, loss=0.20),
    "N6": Link(20, steps=((20, 100), (40, 0))),
    "N7": Link(20, outages=((20, 25),)),
    "N8": Link(20, kbit=40, queue_ms=200),
}
