"""The virtual network itself."""

from __future__ import annotations

import numpy as np

from tests.sim.link import NS, Carrier, Link


def carry(
    link: Link, packets: int = 20_000, seed: int = 1
) -> tuple[Carrier, list[tuple[int, int]]]:
    carrier = Carrier(link, seed)
    return carrier, carrier.carry([n * 20 * NS for n in range(packets)], [120] * packets)


def test_the_same_seed_does_the_same() -> None:
    link = Link(30, 15, loss=0.05, burst=2, duplicate=0.02, reorder=0.02)
    assert carry(link)[1] == carry(link)[1]
    assert carry(link)[1] != carry(link, seed=2)[1]


def test_loss_comes_in_bursts_of_the_length_asked_for() -> None:
    carrier, arrived = carry(Link(loss=0.05, burst=3))
    assert 0.04 < carrier.lost / 20_000 < 0.06
    got = np.zeros(20_000, bool)
    got[[index for _, index in arrived]] = True
    runs = np.diff(np.flatnonzero(np.concatenate(([True], got, [True])))) - 1
    assert 2.5 < runs[runs > 0].mean() < 3.5


def test_order_is_kept_but_for_the_share_that_overtakes() -> None:
    kept = [index for _, index in carry(Link(30, 15))[1]]
    assert kept == sorted(kept)
    mixed = np.array([index for _, index in carry(Link(30, 15, reorder=0.05))[1]])
    assert 0.001 < np.mean(np.diff(mixed) < 0) < 0.05


def test_a_narrow_link_queues_then_drops() -> None:
    carrier, arrived = carry(Link(20, kbit=40, queue_ms=200), 3000)
    delay_ms = np.array([at - index * 20 * NS for at, index in arrived]) / NS
    assert delay_ms.max() < 20 + 200 + 24 + 1
    assert 0.1 < carrier.lost / 3000 < 0.2


def test_steps_and_outages_happen_when_they_should() -> None:
    carrier, arrived = carry(Link(20, steps=((10, 100), (20, 0)), outages=((30, 35),)), 2500)
    delay_ms = {index: at / NS - index * 20 for at, index in arrived}
    assert (delay_ms[499], delay_ms[500], delay_ms[999]) == (20, 120, 120)
    assert delay_ms[1010] == 20  # a moment after: order is kept
    assert carrier.lost == 250
    assert carry(Link(duplicate=0.1), 1000)[0].duplicated > 50
