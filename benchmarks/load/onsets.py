"""When a tone begins in a stream of packets, and how long after it was sent."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.load.sounds import FULL_SCALE, Pcm

BLOCK_S = 0.0025
"""A tone that fills an eighth of a packet is in it."""
LOUD_DBOV = -30.0
"""Between a burst at -12 dBov (-18 from the echo bot, which halves it) and a room at -65."""
QUIET_PACKETS = 10
"""200 ms: what is loud again sooner belongs to the same burst."""


def is_loud(pcm: Pcm, rate_hz: int) -> bool:
    """Say whether any 2.5 ms of *pcm* are louder than -30 dBov."""
    block = round(rate_hz * BLOCK_S)
    whole = len(pcm) // block * block
    if not whole:
        return False
    power = np.square(pcm[:whole].astype(np.float64) / FULL_SCALE).reshape(-1, block).mean(axis=1)
    return bool(power.max() > 10 ** (LOUD_DBOV / 10))


def find_onsets(packets: Iterable[tuple[int, bool]]) -> list[int]:
    """Return the arrival time of each first loud packet after 200 ms of quiet ones.

    *packets*: (arrival_ns, loud) in the order in which they are to be played.
    """
    onsets, quiet = [], 0
    for arrival_ns, loud in packets:
        if not loud:
            quiet += 1
            continue
        if quiet >= QUIET_PACKETS:
            onsets.append(arrival_ns)
        quiet = 0
    return onsets


def match_onsets(
    sent_ns: Sequence[int], heard_ns: Sequence[int], most_ns: int
) -> tuple[list[int], int]:
    """Return the delay of each onset sent, and how many were not heard within *most_ns*.

    Both in ascending order. What was heard belongs to the last onset that was sent before it.
    """
    delays: list[int] = []
    answered: set[int] = set()
    for heard in heard_ns:
        index = bisect_right(sent_ns, heard) - 1
        if index < 0 or index in answered or heard - sent_ns[index] > most_ns:
            continue
        answered.add(index)
        delays.append(heard - sent_ns[index])
    return delays, len(sent_ns) - len(answered)


def in_play_order(
    packets: Iterable[tuple[int, int, bytes]],
) -> list[tuple[int, int, bytes]]:
    """Return (arrival_ns, sequence, payload) by sequence number, each once, over wrap-arounds."""
    highest: int | None = None
    extended: dict[int, tuple[int, int, bytes]] = {}
    for packet in packets:
        sequence = packet[1]
        if highest is None:
            number = sequence + (1 << 16)
        else:
            step = (sequence - highest + (1 << 15)) % (1 << 16) - (1 << 15)
            number = highest + step
        highest = number if highest is None else max(highest, number)
        extended.setdefault(number, packet)
    return [extended[number] for number in sorted(extended)]


@dataclass(frozen=True, slots=True)
class Delays:
    """What was heard of the onsets that were sent."""

    milliseconds: NDArray[np.float64]
    unheard: int

    def percentile(self, percent: float) -> float | None:
        if not self.milliseconds.size:
            return None
        return float(np.percentile(self.milliseconds, percent))
