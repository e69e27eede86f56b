"""Taps, ports, peers and legs that come and go in any order, also between two edges of a tick."""

from __future__ import annotations

import gc
import random
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import pytest

from mixminus.media.bridge import Bridge, Direction, Leg, PluginPort, Tap
from mixminus.media.peer import Peer
from mixminus.media.transports.link_streams import LINK_PEER
from tests.bench_kit import constant
from tests.manual import ManualPlatform

DIRECTIONS: Final[tuple[Direction, ...]] = ("inbound", "outbound")
TICKS: Final = 400


class Shuffle:
    """Everything that the control side may do, in an order of chance; what is refused is refused.

    Memory of the engine is pages that are given back: whoever touched it too late would crash.
    """

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.platform = ManualPlatform(self.chance.choice([1, 2, 3]))
        self.bridges: list[Bridge] = []
        self.ports: list[PluginPort] = []
        self.taps: list[Tap] = []
        self.peers: list[Peer] = []
        self.refused = 0
        self.acts: list[Callable[[], object]] = [
            lambda: self.bridges.append(self.platform.create_bridge()),
            lambda: self.bridges.pop(self._place(self.bridges)).close(),
            *[self._add_leg] * 4,
            *[lambda: self._leg().close()] * 2,
            *[self._insert] * 4,
            *[lambda: self.ports.pop(self._place(self.ports)).close()] * 2,
            lambda: self.ports.pop(self._place(self.ports)),
            *[lambda: self.taps.append(self._leg().tap(4))] * 3,
            *[lambda: self.taps.pop(self._place(self.taps)).close()] * 2,
            lambda: self.taps.pop(self._place(self.taps)),
            lambda: self.peers.append(self.platform.make_peer(LINK_PEER)),
            lambda: self.peers.pop(self._place(self.peers)),
            *[lambda: self._leg().attach(self.chance.choice([None, *self.peers]))] * 3,
            *[lambda: self._leg().flush()] * 2,
            lambda: self._leg().source.write(constant(1000)),
            self._push,
        ]

    def act(self) -> None:
        try:
            self.chance.choice(self.acts)()
        except (RuntimeError, ValueError, IndexError):
            self.refused += 1

    def between(self) -> None:
        """What plugins and listeners do, and somebody who changes his mind in the middle of it."""
        for port in self.ports:
            while (frame := port.dry.read()) is not None:
                if self.chance.random() < 0.8:
                    port.wet.write(np.asarray(frame) // 2, frame.timestamp)
        for tap in self.taps:
            while tap.ring.read() is not None:
                pass
        self.act()

    def _place(self, things: Sequence[object]) -> int:
        return self.chance.randrange(len(things))

    def _leg(self) -> Leg:
        return self.chance.choice([leg for bridge in self.bridges for leg in bridge.legs])

    def _add_leg(self) -> None:
        bridge = self.chance.choice(self.bridges)
        source_id = self.chance.randrange(1, 99)
        bridge.add_leg(source_id, paced=self.chance.random() < 0.5)

    def _insert(self) -> None:
        self.ports.append(self._leg().insert(self.chance.choice(DIRECTIONS)))

    def _push(self) -> None:
        peer = self.chance.choice(self.peers)
        at = self.chance.randrange(100)
        peer.push(constant(500).tobytes(), sequence=at, timestamp_samples=at * 320)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_whatever_comes_and_goes_nothing_is_touched_too_late(seed: int) -> None:
    shuffle = Shuffle(seed)
    offered = 0
    for number in range(TICKS):
        for _ in range(shuffle.chance.randrange(4)):
            shuffle.act()
        shuffle.platform.tick(1, shuffle.between)
        for port in shuffle.ports:
            counts = port.counters()
            assert counts.offered == counts.taken + counts.missed
            offered += counts.offered
        if number % 100 == 0:
            gc.collect()
    assert offered
    assert shuffle.refused < TICKS
