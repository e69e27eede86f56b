"""How long one mix-minus tick takes: our kernels, memcpy of the same bytes, numpy, audioop."""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.arguments import whole
from benchmarks.peers import gstreamer_mixer, livekit_mixer
from benchmarks.report import save_lines
from mixminus.media import _native
from mixminus.media.pcm import FRAME_SAMPLES

NAME = "mix"
LEGS = (2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
COLUMNS = ["way", "legs", "p50 us", "p99 us", "p99.9 us", "best us", "x memcpy", "numpy / it"]
MOST_LEGS = 65_536
"""What the kernels take (native/mix.h)."""

AUDIOOP_LEGS = 64
"""Its loop over bytes objects is quadratic: 1.7 ms at 64 legs, and no one would wait for 1,024."""

PEER_LEGS = (4, 16, 64)
PEER_TICKS, PEER_ROUNDS = 500, 3
"""The mixers of others take a thousand times as long; each gives one output, and no mix-minus."""

CLOCK_US = 0.05
"""A copy that takes less is below what this clock can tell: no ratio."""

Block = NDArray[np.int16]
Way = Callable[[], object]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--legs", type=whole(1, MOST_LEGS), nargs="+", default=LEGS, metavar="N")
    parser.add_argument("--rounds", type=whole(1), default=60, help="interleaved rounds (60)")
    parser.add_argument(
        "--no-peers", action="store_true", help="without livekit's and GStreamer's mixers"
    )


def aligned(legs: int) -> Block:
    """A block that starts on a cache line, as the engine's do; the same for every way."""
    raw = np.zeros(legs * FRAME_SAMPLES * 2 + 64, np.uint8)
    begin = -raw.ctypes.data % 64
    block = raw[begin : begin + legs * FRAME_SAMPLES * 2].view(np.int16)
    return block.reshape(legs, FRAME_SAMPLES)


def noise(legs: int) -> Block:
    block = aligned(legs)
    block[...] = np.random.default_rng(legs).integers(-32768, 32768, block.shape)
    return block


def native_way(isa: str, block: Block) -> Way:
    legs, out = len(block), aligned(len(block))
    energy = np.empty(legs, np.uint64)
    return lambda: _native.mix_minus(out, block, legs, FRAME_SAMPLES, energy, None, isa)


def memcpy_way(block: Block) -> Way:
    """A copy of the same bytes: a memoryview assignment is one memmove."""
    source, target = block.reshape(-1).data, aligned(len(block)).reshape(-1).data

    def copy() -> None:
        target[:] = source

    return copy


def numpy_way(block: Block) -> Way:
    total, wide = np.empty(FRAME_SAMPLES, np.int32), block.astype(np.int32)
    out = aligned(len(block))

    def mix() -> None:
        block.sum(axis=0, dtype=np.int32, out=total)
        np.subtract(total, block, out=wide)
        np.clip(wide, -32768, 32767, out=wide)
        out[...] = wide

    return mix


def audioop_way(block: Block) -> Way | None:
    """The standard library's mixer until Python 3.12: N - 1 saturating adds for each listener."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            import audioop
    except ImportError:
        return None
    rows = [row.tobytes() for row in block]

    def mix() -> None:
        for listener in range(len(rows)):
            mixed = bytes(2 * FRAME_SAMPLES)
            for source, row in enumerate(rows):
                if source != listener:
                    mixed = audioop.add(mixed, row, 2)

    return mix


def ways_for(block: Block) -> dict[str, Way]:
    ways: dict[str, Way] = {"memcpy": memcpy_way(block)}
    ways |= {f"mixminus {isa}": native_way(isa, block) for isa in _native.isas()}
    ways["numpy"] = numpy_way(block)
    if len(block) <= AUDIOOP_LEGS and (way := audioop_way(block)):
        ways["audioop"] = way
    return ways


def call_overheads_ns() -> dict[str, float]:
    """What a call from Python costs without any work: taken off, as kernels are called from C."""
    empty = aligned(0)
    ways = {"mixminus": native_way("scalar", empty), "memcpy": memcpy_way(empty)}
    return {name: float(np.median(sample(way, 3000))) for name, way in ways.items()}


def sample(way: Way, calls: int) -> NDArray[np.float64]:
    clock, times = time.perf_counter_ns, np.empty(calls)
    for n in range(calls):
        begin = clock()
        way()
        times[n] = clock() - begin
    return times


def measure_legs(legs: int, rounds: int) -> list[dict[str, Any]]:
    ways = ways_for(noise(legs))
    samples: dict[str, list[NDArray[np.float64]]] = {name: [] for name in ways}
    names = list(ways)
    for round_number in range(rounds):
        shift = round_number % len(names)
        for name in (
            names[shift:] + names[:shift]
        ):  # order rotated: nobody always has the warm cache
            calls = 20 if name == "audioop" else 300
            samples[name].append(sample(ways[name], calls))
    overheads = call_overheads_ns()
    rows = []
    for name, rounds_of in samples.items():
        base = overheads.get(name.split()[0], 0.0)
        # Where the work is less than the call's own jitter, a nanosecond stands for "nothing".
        every = np.maximum(np.concatenate(rounds_of) - base, 1.0)
        p50, p99, p999 = np.percentile(every, (50, 99, 99.9)) / 1000
        best = max(min(float(np.median(r)) for r in rounds_of) - base, 1.0)
        rows.append(
            {"way": name, "legs": legs, "p50 us": p50, "p99 us": p99, "p99.9 us": p999}
            | {"best us": best / 1000}
        )
    by_name = {row["way"]: row for row in rows}
    for row in rows:
        copy_us = by_name["memcpy"]["best us"]
        row["x memcpy"] = row["best us"] / copy_us if copy_us > CLOCK_US else None
        row["numpy / it"] = by_name["numpy"]["best us"] / row["best us"]
    return rows


def peer_rows(every_legs: list[int], rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Measure the mixers of others that are installed: CPU time a tick, of all their threads."""
    found: list[dict[str, Any]] = []
    for legs in [n for n in PEER_LEGS if n in every_legs]:
        numpy_us = next(r["best us"] for r in rows if (r["way"], r["legs"]) == ("numpy", legs))
        if livekit_mixer.absence() is None:
            rounds = [livekit_mixer.sample(noise(legs), PEER_TICKS) for _ in range(PEER_ROUNDS)]
            p50, p99, p999 = np.percentile(np.concatenate(rounds), (50, 99, 99.9)) / 1000
            best = min(float(np.mean(each)) for each in rounds) / 1000
            found.append(
                {"way": livekit_mixer.NAME, "legs": legs, "p50 us": p50, "p99 us": p99}
                | {"p99.9 us": p999, "best us": best, "numpy / it": numpy_us / best}
            )
        if gstreamer_mixer.absence() is None:
            each = [gstreamer_mixer.tick_ns(legs, PEER_TICKS * 4) for _ in range(PEER_ROUNDS)]
            best = max(min(each) / 1000, CLOCK_US)
            found.append(
                {"way": gstreamer_mixer.NAME, "legs": legs, "best us": best}
                | {"numpy / it": numpy_us / best}
            )
    return found


def measure(args: argparse.Namespace) -> dict[str, Any]:
    rows = [row for legs in args.legs for row in measure_legs(legs, args.rounds)]
    peers = () if args.no_peers else (livekit_mixer, gstreamer_mixer)
    absent = [why for why in (peer.absence() for peer in peers) if why]
    if peers:
        rows += peer_rows(args.legs, rows)
    return {
        "absent": absent,
        "peer_versions": {p.NAME: p.version() for p in peers if p.absence() is None},
        "benchmark": NAME,
        "title": "One mix-minus tick: 320 samples a leg, full-scale noise, energy included",
        "columns": COLUMNS,
        "rows": rows,
        "goals": goals(rows),
    }


def goals(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Goals at 64 legs, from the best of the interleaved rounds."""
    limits = {"mixminus avx512": (4.0, 10.0), "mixminus avx2": (8.0, 6.0)}
    found = []
    for row in rows:
        if row["legs"] != 64 or row["way"] not in limits:
            continue
        copies, faster = limits[row["way"]]
        name, x, y = row["way"], row["x memcpy"], row["numpy / it"]
        found.append(
            {"what": f"{name}, 64 legs, <= {copies:g}x memcpy", "measured": x, "met": x <= copies}
        )
        found.append(
            {"what": f"{name}, 64 legs, >= {faster:g}x numpy", "measured": y, "met": y >= faster}
        )
    return found


def plot(result: dict[str, Any], path: Path) -> None:
    series: dict[str, tuple[list[float], list[float]]] = {}
    for row in result["rows"]:
        x, y = series.setdefault(row["way"], ([], []))
        x.append(row["legs"])
        y.append(row["best us"])
    save_lines(path, result["title"], series, ("legs", "us a tick (best round)"), log_x=2)
