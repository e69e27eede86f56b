"""How busy a tick thread may be until its ticks are late: where a load of 1 is."""

from __future__ import annotations

import argparse
import asyncio
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.arguments import number, whole
from benchmarks.report import save_lines
from mixminus.media.bridge import Bridge
from mixminus.media.load import Capacity, load_of
from mixminus.media.pcm import FRAME_SAMPLES
from mixminus.media.peer import Peer, PeerSettings
from mixminus.media.platform import MediaPlatform

NAME = "capacity"
COLUMNS = ["way", "legs", "tick thread", "tick p50 ms", "tick p99 ms", "tick max ms"]
COLUMNS += ["late p99 ms", "ticks > 20 ms late", "load", "of"]
ROOM = 10
LINK, OPUS = 100, 111
STEP_LEGS = 20
FULL = 1.0
"""Beyond it nothing is to be learned: every tick is late."""
TICK_MS = 20.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--step", type=whole(ROOM, 1000), default=STEP_LEGS, metavar="LEGS")
    parser.add_argument("--warm-up", type=number(0), default=1.0, metavar="S")
    parser.add_argument("--seconds", type=number(1), default=4.0, metavar="S", help="each figure")
    parser.add_argument("--most", type=whole(ROOM, 2000), default=1000, metavar="LEGS")


class Rooms:
    """Rooms of ten who all speak, each coded for by itself: legs with peers that go nowhere."""

    def __init__(self, platform: MediaPlatform) -> None:
        self._platform = platform
        self._bridges: list[Bridge] = []
        self._peers: list[Peer] = []
        rng = np.random.default_rng(1)
        self._pcm = [rng.normal(0, 1500, FRAME_SAMPLES).astype(np.int16) for _ in range(64)]
        self._said = itertools.count()

    @property
    def legs(self) -> int:
        return len(self._peers)

    def add(self, legs: int) -> None:
        for _ in range(legs // ROOM):
            bridge = self._platform.create_bridge()
            self._bridges.append(bridge)
            for _ in range(ROOM):
                settings = PeerSettings(
                    payload_types={LINK: "pcm16k"},
                    codec="opus",
                    payload_type=OPUS,
                    secure=False,
                    ssrc=len(self._peers) + 1,
                )
                peer = self._platform.make_peer(settings)
                bridge.add_leg(len(self._peers) + 1).attach(peer)
                self._peers.append(peer)

    def speak(self) -> None:
        """A frame of each leg."""
        said = next(self._said)
        for index, peer in enumerate(self._peers):
            pcm = self._pcm[(said + index) % len(self._pcm)]
            peer.push(pcm.tobytes(), sequence=said, timestamp_samples=said * FRAME_SAMPLES, flags=0)

    def close(self) -> None:
        for bridge in self._bridges:
            bridge.close()


async def ramp(args: argparse.Namespace) -> list[dict[str, Any]]:
    rows = []
    async with MediaPlatform(1) as platform:
        rooms = Rooms(platform)
        stop = platform.on_tick(rooms.speak)
        try:
            for _ in _steps(args):
                rooms.add(args.step)
                await asyncio.sleep(args.warm_up)
                before = platform.stats()
                await asyncio.sleep(args.seconds)
                row = _row(rooms.legs, platform, before.late_ticks + before.skipped_ticks, args)
                rows.append(row)
                if row["tick thread"] >= FULL:
                    break
        finally:
            stop()
            rooms.close()
    return rows


def _steps(args: argparse.Namespace) -> Iterator[int]:
    return iter(range(args.step, args.most + 1, args.step))


def _row(
    legs: int, platform: MediaPlatform, late_before: int, args: argparse.Namespace
) -> dict[str, Any]:
    recent, stats = platform.recent(args.seconds), platform.stats()
    load = load_of(recent, Capacity())
    return {
        "way": "1 tick thread",
        "legs": legs,
        "tick thread": max(recent.tick_thread_shares),
        "tick p50 ms": recent.tick_time_p50_us / 1000,
        "tick p99 ms": recent.tick_time_p99_us / 1000,
        "tick max ms": recent.tick_time_max_us / 1000,
        "late p99 ms": recent.lateness_p99_us / 1000,
        "ticks > 20 ms late": stats.late_ticks + stats.skipped_ticks - late_before,
        "load": load.ratio,
        "of": load.of,
    }


def measure(args: argparse.Namespace) -> dict[str, Any]:
    rows = asyncio.run(ramp(args))
    good = [row for row in rows if not row["ticks > 20 ms late"]]
    notes = []
    if good:
        best = max(good, key=lambda row: row["legs"])
        notes.append(
            f"no tick was late up to {best['legs']} legs: {best['tick thread']:.0%} of a core,"
            f" ticks of {best['tick p99 ms']:.1f} ms at p99, a load of {best['load']:.2f}"
        )
    return {
        "title": "Rooms of ten who all speak, Opus at complexity 5, one tick thread",
        "columns": COLUMNS,
        "rows": rows,
        "notes": notes,
    }


def plot(result: dict[str, Any], path: Path) -> None:
    rows = result["rows"]
    legs = [row["legs"] for row in rows]
    lines = {
        "tick p99, ms": (legs, [row["tick p99 ms"] for row in rows]),
        "late p99, ms": (legs, [row["late p99 ms"] for row in rows]),
        "tick thread, % of a core": (legs, [100 * row["tick thread"] for row in rows]),
    }
    save_lines(path, result["title"], lines, ("legs", ""), log_x=2)
