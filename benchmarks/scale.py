"""What a leg costs from 1 to 500 legs, and how many more legs a second core carries."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.arguments import number, whole
from benchmarks.load.client import LEAST_DBOV, Load, Window
from benchmarks.peers.base import Setting
from benchmarks.peers.ours import Ours
from benchmarks.processes import Cores, available_cores, plan_cores
from benchmarks.report import not_measured, save_lines

NAME = "scale"
COLUMNS = ["way", "legs", "rooms", "% of a core a leg", "cores", "tick p99 ms", "least sent"]
COLUMNS += ["heard dBov", "load cores"]
LEGS = (1, 2, 5, 10, 20, 50, 100, 200, 350, 500)
SPEAKERS = 3
FULL = 0.95
TICK_MS = 10.0
"""Half of the period: beyond, one slow tick makes the next one late."""

NOBODY_DBOV = -200.0
ROOM = 10
"""Legs of a conversation in the measurement over cores; all of them speak."""
RAMP_FIRST = 40
RAMP_STEP = 1.12
RAMP_MOST = 3900
TWO_CORES_GOAL = 1.7
SHAPES = ("one room, 3 speak", "one room, all speak", "rooms of two, both speak")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--legs", type=whole(1, RAMP_MOST), nargs="+", default=LEGS, metavar="N")
    parser.add_argument("--complexity", type=whole(0, 10), default=5, metavar="C")
    parser.add_argument(
        "--cores",
        type=core_range,
        default=None,
        metavar="1..N",
        help="tick threads and cores to compare (1..all); 0 leaves it out",
    )
    parser.add_argument("--warm-up", type=number(0), default=3.0, metavar="S")
    parser.add_argument("--seconds", type=number(1), default=10.0, metavar="S", help="each figure")
    parser.add_argument("--quick", action="store_true", help="see that it works: no figures")


def core_range(text: str) -> list[int]:
    """Read ``1..4``, ``2`` or ``0``.

    Raises: argparse.ArgumentTypeError.
    """
    first, dots, last = text.partition("..")
    try:
        low, high = int(first), int(last if dots else first)
    except ValueError:
        low, high = 1, 0
    if text == "0":
        return []
    if not 1 <= low <= high <= len(available_cores()):
        raise argparse.ArgumentTypeError(
            f"expected 1..N with N up to {len(available_cores())}, or 0, got {text!r}"
        )
    return list(range(low, high + 1))


def row(
    measured: Ours, way: str, legs: int, rooms: int, window: Window, cores: int = 1
) -> dict[str, Any]:
    facts = measured.facts()
    return {
        "way": way,
        "legs": legs,
        "rooms": rooms,
        "% of a core a leg": 100 * window.cores / legs,
        "cores": window.cores,
        "tick p99 ms": (facts.get("tick") or {}).get("p99_ms"),
        "least sent": window.least_share,
        "heard dBov": window.level_dbov,
        "threads": window.threads,
        "load cores": window.load_cores,
        "problem": window.problem,
        "tick_threads": cores,
        "facts": facts,
    }


# ---- cost from 1 to 500 legs ---------------------------------------------------------------------


def join_shape(load: Load, measured: Ours, shape: str, count: int) -> int:
    """Let legs join up to *count*; return how many rooms there are then."""
    now = len(load.callers)
    if shape == "rooms of two, both speak":
        for number in range(now, count, 2):
            load.join_rtp(measured, ["speech"] * min(2, count - number), room=number // 2)
        return (count + 1) // 2
    speakers = count if shape == "one room, all speak" else SPEAKERS
    voices = ["speech" if number < speakers else "noise" for number in range(now, count)]
    load.join_rtp(measured, voices)
    return 1


def cost(shape: str, cores: Cores, args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    setting = Setting(complexity=args.complexity)
    with (
        Load(cores={cores.load}, bit_rate=setting.bit_rate) as load,
        Ours(setting, "RTP", cores={cores.measured}) as measured,
    ):
        for count in sorted(args.legs):
            if shape.startswith("rooms") and count % 2:
                continue  # whoever is alone in a room hears nobody
            rooms = join_shape(load, measured, shape, count)
            # One alone hears nobody, and that is right.
            least_dbov = NOBODY_DBOV if count == 1 else LEAST_DBOV
            window = load.measure(measured, args.warm_up, args.seconds, least_dbov=least_dbov)
            found = row(measured, shape, count, rooms, window)
            yield found
            over = found["tick p99 ms"] is not None and found["tick p99 ms"] > TICK_MS
            if window.cores > FULL or over:
                return


# ---- legs by cores -------------------------------------------------------------------------------


def ramp(cores: int, args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Let rooms of ten open on that many cores until ticks take over 10 ms.

    The generator may use the same cores and no other, so that one core and two are compared alike:
    its share is in both.
    """
    setting = Setting(complexity=args.complexity)
    allowed = available_cores()[:cores]
    most = 80 if args.quick else RAMP_MOST
    with (
        Load(cores=allowed, bit_rate=setting.bit_rate) as load,
        Ours(setting, "RTP", cores=allowed, tick_threads=cores) as measured,
    ):
        count: float = RAMP_FIRST * cores
        while True:
            rooms = min(round(count), most) // ROOM
            for room in range(len(load.callers) // ROOM, rooms):
                load.join_rtp(measured, ["speech"] * ROOM, room=room)
            window = load.measure_again(measured, args.warm_up, args.seconds)
            way = f"{cores} core{'s' if cores > 1 else ''}"
            found = row(measured, way, rooms * ROOM, rooms, window, cores)
            yield found
            over = found["tick p99 ms"] is None or found["tick p99 ms"] > TICK_MS
            if over or window.problem or count >= most:
                return
            count *= RAMP_STEP


def legs_within(steps: Sequence[dict[str, Any]], limit_ms: float = TICK_MS) -> float | None:
    """Return how many legs a ramp says fit: between its last step within and the first beyond.

    None when no step was within, or none beyond: then it says nothing.
    """
    good = [s for s in steps if s["tick p99 ms"] is not None and not s["problem"]]
    within = [s for s in good if s["tick p99 ms"] <= limit_ms]
    beyond = [s for s in good if s["tick p99 ms"] > limit_ms]
    if not within or not beyond:
        return None
    last, first = within[-1], beyond[0]
    share = (limit_ms - last["tick p99 ms"]) / (first["tick p99 ms"] - last["tick p99 ms"])
    return float(last["legs"] + share * (first["legs"] - last["legs"]))


def why_none(steps: Sequence[dict[str, Any]]) -> str:
    """Say why ``legs_within`` finds nothing."""
    if problem := next((s["problem"] for s in reversed(steps) if s["problem"]), None):
        return str(problem)
    times = [s["tick p99 ms"] for s in steps if s["tick p99 ms"] is not None]
    if not times:
        return "no ticks were looked at"
    if min(times) > TICK_MS:
        return f"the first ticks took more than {TICK_MS:g} ms already"
    return f"no ticks took more than {TICK_MS:g} ms"


# ---- the whole -----------------------------------------------------------------------------------


def measure(args: argparse.Namespace) -> dict[str, Any]:
    if args.quick:
        args.warm_up, args.seconds, args.legs = 1.0, 1.0, (2, 10)
    cores = plan_cores(available_cores())
    rows: list[dict[str, Any]] = []
    for shape in SHAPES:
        print(f"{shape} ...", file=sys.stderr, flush=True)
        rows += list(cost(shape, cores, args))
    counts = args.cores
    if counts is None:
        counts = list(range(1, len(available_cores()) + 1))
    ramps = {}
    for count in counts:
        print(f"{count} cores ...", file=sys.stderr, flush=True)
        ramps[count] = list(ramp(count, args))
    return {
        "benchmark": NAME,
        "title": f"Cost over RTP, {Setting(complexity=args.complexity)}, one core, one tick thread",
        "columns": COLUMNS,
        "rows": rows,
        "more_tables": [
            {
                "title": f"Rooms of {ROOM}, all speak: engine and generator on the same cores",
                "columns": COLUMNS,
                "rows": [step for steps in ramps.values() for step in steps],
            }
        ]
        if ramps
        else [],
        "notes": ramp_notes(ramps),
        "goals": goals(ramps),
    }


def ramp_notes(ramps: dict[int, list[dict[str, Any]]]) -> list[str]:
    """Say of each ramp what it found, or why it found nothing."""
    notes = []
    for cores, steps in ramps.items():
        legs = legs_within(steps)
        found = f"{legs:.0f} legs" if legs is not None else f"no figure ({why_none(steps)})"
        notes.append(f"{cores} core{'s' if cores > 1 else ''}, tick p99 <= {TICK_MS:g} ms: {found}")
    return notes


def goals(ramps: dict[int, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Compare two cores with one, when both ramps of this run say something."""
    what = f"two cores carry >= {TWO_CORES_GOAL:g}x the legs of one (tick p99 <= {TICK_MS:g} ms)"
    legs = [legs_within(ramps.get(cores, ())) for cores in (1, 2)]
    one, two = legs
    if one is None or two is None:
        whys = [
            f"{cores} core{'s' if cores > 1 else ''}: "
            f"{why_none(ramps[cores]) if cores in ramps else 'not run'}"
            for cores, found in enumerate(legs, 1)
            if found is None
        ]
        return [not_measured(what, "; ".join(whys))]
    what += f": {two:.0f} and {one:.0f}"
    return [{"what": what, "measured": two / one, "met": two / one >= TWO_CORES_GOAL}]


def plot(result: dict[str, Any], path: Path) -> None:
    series: dict[str, tuple[list[float], list[float]]] = {}
    for r in result["rows"]:
        if not r["problem"]:
            x, y = series.setdefault(r["way"], ([], []))
            x.append(r["legs"])
            y.append(r["% of a core a leg"])
    save_lines(path, result["title"], series, ("legs", "% of a core a leg"), log_x=10)
