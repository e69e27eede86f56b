"""CPU and memory a leg costs, against the number of legs: ours, stock aiortc, Janus AudioBridge."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.arguments import number, whole
from benchmarks.load.client import Load, Window
from benchmarks.peers import janus
from benchmarks.peers.aiortc_stock import Aiortc
from benchmarks.peers.base import Setting
from benchmarks.peers.janus import Janus
from benchmarks.peers.ours import Ours
from benchmarks.processes import Cores, available_cores, plan_cores, resident_bytes
from benchmarks.report import not_measured, save_lines

NAME = "density"
COLUMNS = ["way", "c", "legs", "speak", "% of a core a leg", "cores", "kB a leg", "tick p99 ms"]
COLUMNS += ["least sent", "heard dBov", "load cores"]

LEGS = (1, 5, 10, 20, 50, 100)
AIORTC_MOST = 20
"""More fill its core, and then a leg's share says what a core has and not what a leg needs."""
WEBRTC_COMPARED = 20
FEW_SPEAK = 3
FEW_OF = 100
COMPLEXITIES = (3, 5)
FULL = 0.95
"""Of a core: a way that uses so much of it has reached its end; more legs are not tried."""

RAMP_TICK_MS = 10.0
RAMP_STEP = 1.15
RAMP_FIRST = {"all": 60, "few": 300}
RAMP_MOST = 3900
RAMP_WARM_UP_S = 2.0
RAMP_S = 3.0
FEW_SHARE = 0.03


@dataclass(frozen=True, slots=True)
class Way:
    """Something to measure, with its setting."""

    key: str
    start: Callable[[Cores], Any]
    over: str
    most: int = max(LEGS)
    """Legs that it is measured with at most."""

    def legs(self, chosen: Sequence[int]) -> list[int]:
        return sorted(count for count in chosen if count <= self.most)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--legs", type=whole(1, RAMP_MOST), nargs="+", default=LEGS, metavar="N")
    parser.add_argument("--way", choices=KEYS, action="append", help="only this (repeatable)")
    parser.add_argument(
        "--complexity", type=whole(0, 10), nargs="+", default=COMPLEXITIES, metavar="C"
    )
    parser.add_argument("--warm-up", type=number(0), default=3.0, metavar="S")
    parser.add_argument("--seconds", type=number(1), default=10.0, metavar="S", help="each figure")
    parser.add_argument("--no-ramp", action="store_true", help="leave out legs per core")
    parser.add_argument("--quick", action="store_true", help="see that it works: no figures")


KEYS = ("rtp", "webrtc", "aiortc", "aiortc-set", "janus")


def ways_for(keys: Sequence[str], complexities: Sequence[int]) -> Iterator[Way]:
    """Yield what is to be measured, each setting next to its like."""
    if "aiortc" in keys:
        yield Way(
            "aiortc", lambda cores: Aiortc(None, cores={cores.measured}), "webrtc", AIORTC_MOST
        )
    for complexity in complexities:
        setting = Setting(complexity=complexity)
        for key in keys:
            if key != "aiortc":
                yield make_way(key, setting)


def make_way(key: str, setting: Setting) -> Way:
    match key:
        case "rtp":
            return Way(key, lambda cores: Ours(setting, "RTP", cores={cores.measured}), "rtp")
        case "webrtc":
            return Way(key, lambda cores: Ours(setting, "WebRTC", cores={cores.measured}), "webrtc")
        case "aiortc-set":
            return Way(
                key, lambda cores: Aiortc(setting, cores={cores.measured}), "webrtc", AIORTC_MOST
            )
        case "janus":
            return Way(key, lambda cores: Janus(setting, cores={cores.measured}), "rtp")
        case _:
            raise ValueError(f"expected one of {', '.join(KEYS)}, got {key!r}")


def join(load: Load, over: str, measured: Any, voices: Sequence[str]) -> list[int]:
    if over == "webrtc":
        return load.join_webrtc(measured, voices)
    return load.join_rtp(measured, voices)


def voices_of(count: int, speakers: int) -> list[str]:
    return ["speech"] * speakers + ["noise"] * (count - speakers)


def row(
    measured: Any, key: str, speak: str, legs: int, window: Window, memory_kb: float | None
) -> dict[str, Any]:
    facts = measured.facts()
    return {
        "way": measured.name,
        "key": key,
        "setting": measured.setting,
        "c": measured.complexity,
        "legs": legs,
        "speak": speak,
        "% of a core a leg": 100 * window.cores / legs,
        "cores": window.cores,
        "kB a leg": memory_kb,
        "tick p99 ms": (facts.get("tick") or {}).get("p99_ms"),
        "least sent": window.least_share,
        "heard dBov": window.level_dbov,
        "threads": window.threads,
        "load cores": window.load_cores,
        "problem": window.problem,
        "facts": facts,
    }


def measure_way(way: Way, cores: Cores, args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Let legs join up to each of the counts; at 100, let 3 of them speak on."""
    with (
        Load(cores={cores.load}, bit_rate=Setting().bit_rate) as load,
        way.start(cores) as measured,
    ):
        measured.facts()  # answered once it has started
        empty = resident_bytes(measured.pids[0])
        window = None
        for count in way.legs(args.legs):
            join(load, way.over, measured, ["speech"] * (count - len(load.callers)))
            window = load.measure(measured, args.warm_up, args.seconds)
            memory_kb = (resident_bytes(measured.pids[0]) - empty) / 1024 / count
            yield row(measured, way.key, "all", count, window, memory_kb)
            if window.cores > FULL:
                break
        count = len(load.callers)
        mixes = not way.key.startswith("aiortc")
        if mixes and count >= min(FEW_OF, max(args.legs)) and count > FEW_SPEAK:
            load.set_voices(voices_of(count, FEW_SPEAK))
            window = load.measure(measured, args.warm_up, args.seconds)
            yield row(measured, way.key, f"{FEW_SPEAK}", count, window, None)


# ---- legs per core -------------------------------------------------------------------------------


def ramp(
    carrier: str, speak: str, setting: Setting, cores: Cores, most: int
) -> Iterator[dict[str, Any]]:
    """Let legs join until ticks take over 10 ms at p99; yield each step."""
    way = make_way(carrier, setting)
    with Load(cores={cores.load}, bit_rate=setting.bit_rate) as load, way.start(cores) as measured:
        count = RAMP_FIRST[speak]
        while True:
            count = min(count, most)
            share = 1.0 if speak == "all" else FEW_SHARE
            now = len(load.callers)
            speakers = round(count * share) - round(now * share)
            join(load, way.over, measured, voices_of(count - now, speakers))
            measured.facts()
            window = load.measure_again(measured, RAMP_WARM_UP_S, RAMP_S)
            said = "all" if speak == "all" else f"{FEW_SHARE:.0%}"
            found = row(measured, f"ramp-{carrier}", said, count, window, None)
            yield found
            over = found["tick p99 ms"] is None or found["tick p99 ms"] > RAMP_TICK_MS
            if over or window.problem or count >= most:
                return
            count = round(count * RAMP_STEP)


def legs_per_core(steps: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return what a ramp says: the most legs whose ticks stayed within, and what ended it."""
    good = [s for s in steps if s["tick p99 ms"] is not None and not s["problem"]]
    within = [s for s in good if s["tick p99 ms"] <= RAMP_TICK_MS]
    last = steps[-1]
    over = last["tick p99 ms"] is not None and last["tick p99 ms"] > RAMP_TICK_MS
    why = "tick p99" if over else last["problem"] or "no more callers"
    return {
        "way": last["way"],
        "setting": last["setting"],
        "c": last["c"],
        "speak": last["speak"],
        "legs": max((s["legs"] for s in within), default=0),
        "ended by": why,
        "tick p99 ms": max((s["tick p99 ms"] for s in within), default=None),
        "cores": max((s["cores"] for s in within), default=None),
    }


# ---- the whole -----------------------------------------------------------------------------------


def measure(args: argparse.Namespace) -> dict[str, Any]:
    keys = args.way or KEYS
    if args.quick:
        args.warm_up, args.seconds, args.legs = 1.0, 2.0, (4, 8)
        args.complexity, args.no_ramp = (5,), True
    cores = plan_cores(available_cores())
    absent = []
    if "janus" in keys and (why := janus.missing()):
        absent.append(why)
        keys = tuple(key for key in keys if key != "janus")
    rows: list[dict[str, Any]] = []
    for way in ways_for(keys, args.complexity):
        print(f"{way.key} ...", file=sys.stderr, flush=True)
        for found in measure_way(way, cores, args):
            rows.append(found)
            print(f"  {found['legs']} legs, {found['speak']} speak", file=sys.stderr, flush=True)
    ramps = [] if args.no_ramp else list(measure_ramps(keys, args, cores))
    return {
        "benchmark": NAME,
        "title": f"CPU of one process on its own core, {args.seconds:g} s after "
        f"{args.warm_up:g} s of warm-up; {Setting.kind()}, complexity c; all legs of a mixer hear "
        "each other",
        "columns": COLUMNS,
        "rows": rows,
        "more_tables": [
            {
                "title": f"Legs on one core until a tick takes more than {RAMP_TICK_MS:g} ms (p99)",
                "columns": ["way", "c", "speak", "legs", "tick p99 ms", "cores", "ended by"],
                "rows": [legs_per_core(steps) for steps in ramps],
            }
        ]
        if ramps
        else [],
        "ramps": ramps,
        "absent": absent,
        "notes": list(set_alike(rows)),
        "goals": goals(rows),
    }


def measure_ramps(
    keys: Sequence[str], args: argparse.Namespace, cores: Cores
) -> Iterator[list[dict[str, Any]]]:
    for carrier in ("rtp", "webrtc"):
        if carrier not in keys:
            continue
        for complexity in args.complexity:
            for speak in ("all", "few"):
                print(f"legs per core, {carrier}, {speak} ...", file=sys.stderr, flush=True)
                setting = Setting(complexity=complexity)
                yield list(ramp(carrier, speak, setting, cores, RAMP_MOST))


def find(
    rows: Sequence[dict[str, Any]], key: str, speak: str, legs: int, setting: str | None
) -> dict[str, Any] | None:
    """Return the row of that way, setting and number of legs, when there is one that counts."""
    for r in rows:
        if (r["key"], r["speak"], r["legs"]) != (key, speak, legs) or r["problem"]:
            continue
        if setting is None or r["setting"] == setting:
            return r
    return None


Sought = tuple[str, str, int, str | None]
"""What ``find`` takes to find a row by: key, who speaks, legs, and setting or None for any."""


def why_none(rows: Sequence[dict[str, Any]], sought: Sought) -> str:
    """Say why there is no row of that kind that counts."""
    key, speak, legs, setting = sought
    for r in rows:
        if (r["key"], r["speak"], r["legs"]) == sought[:3] and setting in (None, r["setting"]):
            return f"{r['way']}, {legs} legs: {r['problem']}"
    return f"no row of {key}, {legs} legs, {speak} speaking" + (f", {setting}" if setting else "")


def goals(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Compare with the peers of this same run."""
    found = []
    for complexity, least in ((5, 4.0), (3, 5.0)):
        setting = str(Setting(complexity=complexity))
        theirs: Sought = ("aiortc", "all", WEBRTC_COMPARED, None)
        stock = find(rows, *theirs)
        what = (
            f"CPU per WebRTC leg, {WEBRTC_COMPARED} legs, c{complexity}, "
            f"<= 1/{least:g} of {stock['way'] if stock else 'stock aiortc'}"
        )
        ours: Sought = ("webrtc", "all", WEBRTC_COMPARED, setting)
        found.append(compare(what, rows, ours, theirs, 1 / least))
    for complexity, speak, most in ((3, "3", 0.2), (5, "3", 0.2), (3, "all", 1.0), (5, "all", 1.1)):
        setting = str(Setting(complexity=complexity))
        what = f"{FEW_OF} RTP legs, {speak} speaking, c{complexity}, <= {most:g} x Janus"
        ours, theirs = (("rtp", speak, FEW_OF, setting), ("janus", speak, FEW_OF, setting))
        found.append(compare(what, rows, ours, theirs, most))
    return found


def set_alike(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Say what remains of the difference to aiortc when it, too, codes 16 kHz mono: no goal."""
    for complexity in COMPLEXITIES:
        setting = str(Setting(complexity=complexity))
        ours = find(rows, "webrtc", "all", WEBRTC_COMPARED, setting)
        theirs = find(rows, "aiortc-set", "all", WEBRTC_COMPARED, setting)
        if ours and theirs:
            ratio = theirs["cores"] / ours["cores"]
            yield f"aiortc, set as the others, takes {ratio:.2g} x our CPU at c{complexity}"


def compare(
    what: str, rows: Sequence[dict[str, Any]], ours: Sought, theirs: Sought, most: float
) -> dict[str, Any]:
    """Make a goal of our CPU over theirs, or say which of the two there is no figure of."""
    one, other = find(rows, *ours), find(rows, *theirs)
    if one is None or other is None:
        whys = [why_none(rows, s) for s, r in ((ours, one), (theirs, other)) if r is None]
        return not_measured(what, "; ".join(whys))
    ratio = one["cores"] / other["cores"]
    return {"what": what, "measured": ratio, "met": ratio <= most}


def plot(result: dict[str, Any], path: Path) -> None:
    series: dict[str, tuple[list[float], list[float]]] = {}
    for r in result["rows"]:
        if r["speak"] == "all" and not r["problem"]:
            x, y = series.setdefault(f"{r['way']} ({r['setting']})", ([], []))
            x.append(r["legs"])
            y.append(r["% of a core a leg"])
    save_lines(path, result["title"], series, ("legs", "% of a core a leg"), log_x=2)
