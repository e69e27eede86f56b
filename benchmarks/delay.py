"""How long a voice takes: caller to caller, and caller to echo bot and back, by packets."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.arguments import number, whole
from benchmarks.load.client import Load
from benchmarks.load.sounds import CYCLE_FRAMES
from benchmarks.peers import janus
from benchmarks.peers.aiortc_stock import Aiortc
from benchmarks.peers.base import Setting
from benchmarks.peers.echo import EchoBot
from benchmarks.peers.janus import Janus
from benchmarks.peers.ours import Ours
from benchmarks.processes import Cores, available_cores, plan_cores
from benchmarks.report import not_measured, save_lines

NAME = "delay"
COLUMNS = ["way", "legs", "onsets", "not heard", "p50 ms", "p90 ms", "p99 ms", "max ms"]
COLUMNS += ["buffer, frame ms", "tick p50 ms", "cores", "service cores", "host cores"]
WAYS = ("rtp", "webrtc", "aiortc", "janus", "janus-low", "echo", "echo-100")
PAIRS = 5
"""Speakers of different moments of the 20 ms: packets and ticks are not in step by chance."""
MOST_MS = 800.0
"""An onset that is not heard by then is none of the 900 ms cycle's: told as not heard."""
SETTING = Setting()
QUANTILES = [1, 5, 10, 25, 50, 75, 90, 95, 98, 99]
ECHO_FEW, ECHO_MANY = 5, 100
ECHO_KEPT = 20
ECHO_ONSETS = 120
ONE_WAY_GOAL = {"p50 ms": 40.0, "p99 ms": 60.0}
ECHO_GOAL = {"p50 ms": 120.0, "p99 ms": 160.0}
GOALS = {
    "rtp": ONE_WAY_GOAL,
    "webrtc": ONE_WAY_GOAL,
    "echo": ECHO_GOAL,
    "echo-100": ECHO_GOAL | {"service cores": 0.5, "host cores": 0.5},
}
NAMES = {
    "rtp": "RTP",
    "webrtc": "WebRTC",
    "echo": f"echo bot, {ECHO_FEW} calls",
    "echo-100": f"echo bot, {ECHO_MANY} calls",
}
CYCLE_S = CYCLE_FRAMES * 0.02


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--way", choices=WAYS, action="append", help="only this (repeatable)")
    parser.add_argument("--warm-up", type=number(0), default=10.0, metavar="S")
    parser.add_argument("--seconds", type=number(1), default=25.0, metavar="S", help="each way")
    parser.add_argument(
        "--echo-complexity",
        type=whole(0, 10),
        default=5,
        metavar="C",
        help="of the call service (5)",
    )
    parser.add_argument("--quick", action="store_true", help="see that it works: no figures")


def row(way: str, legs: int, delays: dict[str, Any], facts: dict[str, Any]) -> dict[str, Any]:
    """Make a row of the delays of one way."""
    ms = np.array(delays["delays_ms"], np.float64)
    found: dict[str, Any] = {
        "way": way,
        "legs": legs,
        "onsets": int(ms.size) + delays["unheard"],
        "not heard": delays["unheard"],
        "facts": facts,
    }
    if ms.size:
        p50, p90, p99 = (float(x) for x in np.percentile(ms, (50, 90, 99)))
        found |= {"p50 ms": p50, "p90 ms": p90, "p99 ms": p99, "max ms": float(ms.max())}
        found["quantiles_ms"] = [float(x) for x in np.percentile(ms, QUANTILES)]
    if quality := facts.get("quality"):
        found["buffer, frame ms"] = quality["delay_ms"]
    if tick := facts.get("tick"):
        found["tick p50 ms"] = tick["p50_ms"]
    return found


# ---- one way -------------------------------------------------------------------------------------

Join = Callable[[Load, Any, list[str], int], list[int]]


def join_rtp(load: Load, measured: Any, voices: list[str], room: int) -> list[int]:
    return load.join_rtp(measured, voices, room)


def join_webrtc(load: Load, measured: Any, voices: list[str], room: int) -> list[int]:
    return load.join_webrtc(measured, voices, room)


def one_way(
    measured: AbstractContextManager[Any], join: Join, cores: Cores, args: argparse.Namespace
) -> dict[str, Any]:
    """Five speakers, each heard by one listener in a room of their own."""
    with Load(cores={cores.load}, bit_rate=SETTING.bit_rate) as load, measured as running:
        pairs = [join(load, running, ["bursts", "noise"], room) for room in range(PAIRS)]
        load.listen([listener for _, listener in pairs], whole=True)
        load.ask("mark", callers=[speaker for speaker, _ in pairs])
        time.sleep(args.warm_up)
        running.facts()
        meter = load.begin_window(running.pids)
        since_ns = time.monotonic_ns()
        time.sleep(args.seconds)
        until_ns = time.monotonic_ns()
        time.sleep(MOST_MS / 1000)
        window = load.end_window(meter)
        facts = running.facts()
        delays = load.ask(
            "delays", pairs=pairs, since_ns=since_ns, until_ns=until_ns, most_ms=MOST_MS
        )
        found = row(running.name, 2 * PAIRS, delays, facts)
    found |= {"cores": window.cores, "threads": window.threads, "problem": window.problem_of_delay}
    return found


# ---- echo ----------------------------------------------------------------------------------------


def echo(calls: int, cores: Cores, args: argparse.Namespace) -> dict[str, Any]:
    """Callers of the echo bot, each in a call of its own, who hear themselves."""
    bot = EchoBot(
        Setting(complexity=args.echo_complexity),
        calls,
        service_cores={cores.measured},
        host_cores={cores.second},
        load_cores={cores.load},
    )
    with Load(cores={cores.load}, bit_rate=SETTING.bit_rate) as load, bot:
        callers = load.join_webrtc(bot, ["bursts"] * calls)
        # All are measured; of a hundred, those whose packets need not all be kept are left out.
        kept = callers[:: max(1, calls // ECHO_KEPT)]
        load.listen(kept, whole=True)
        load.ask("mark", callers=kept)
        time.sleep(args.warm_up)
        meter = load.begin_window(bot.pids)
        since_ns = time.monotonic_ns()
        time.sleep(max(args.seconds, ECHO_ONSETS * CYCLE_S / len(kept) if not args.quick else 0))
        until_ns = time.monotonic_ns()
        time.sleep(MOST_MS / 1000)
        used = meter.cores()
        threads = {
            name: meter.threads(pid)
            for name, pid in zip(("service", "host"), bot.pids, strict=True)
        }
        window = load.end_window(meter)
        facts = bot.facts()
        pairs = [[caller, caller] for caller in kept]
        delays = load.ask(
            "delays", pairs=pairs, since_ns=since_ns, until_ns=until_ns, most_ms=MOST_MS
        )
    found = row(bot.name, calls, delays, facts)
    service, host = bot.pids
    found |= {"cores": window.cores, "service cores": used[service], "host cores": used[host]}
    found |= {"threads": threads, "problem": window.problem_of_delay}
    return found


def measure_way(way: str, cores: Cores, args: argparse.Namespace) -> list[dict[str, Any]]:
    measured = {cores.measured}
    match way:
        case "rtp":
            return [one_way(Ours(SETTING, "RTP", cores=measured), join_rtp, cores, args)]
        case "webrtc":
            return [one_way(Ours(SETTING, "WebRTC", cores=measured), join_webrtc, cores, args)]
        case "aiortc":
            stock = Aiortc(None, cores=measured, pairs=True)
            return [one_way(stock, join_webrtc, cores, args)]
        case "janus":
            return [one_way(Janus(SETTING, cores=measured), join_rtp, cores, args)]
        case "janus-low":
            low = Janus(SETTING, cores=measured, prebuffer=1)
            return [one_way(low, join_rtp, cores, args)]
        case "echo":
            return [echo(ECHO_FEW, cores, args)]
        case "echo-100":
            return [echo(10 if args.quick else ECHO_MANY, cores, args)]
        case _:
            raise AssertionError(way)


def measure(args: argparse.Namespace) -> dict[str, Any]:
    if args.quick:
        args.warm_up, args.seconds = 2.0, 3.0
    cores = plan_cores(available_cores())
    rows: list[dict[str, Any]] = []
    absent = []
    for way in args.way or WAYS:
        if way.startswith("janus") and (why := janus.missing()):
            absent.append(why)
            continue
        print(f"{way} ...", file=sys.stderr, flush=True)
        rows += [found | {"key": way} for found in measure_way(way, cores, args)]
    return {
        "benchmark": NAME,
        "title": "Delay: send time of the packet with a tone's onset to arrival of the one "
        "whose decode has it",
        "columns": COLUMNS,
        "rows": rows,
        "absent": sorted(set(absent)),
        "goals": goals(rows),
    }


def goals(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Hold ours against what was aimed at; also what this run has no figure of."""
    found = []
    for key, limits in GOALS.items():
        r = next((r for r in rows if r["key"] == key), None)
        name = r["way"] if r else f"mixminus, {NAMES[key]}"
        for column, limit in limits.items():
            what = f"{name}, {column.removesuffix(' ms')} <= {limit:g}"
            what += " ms" if column.endswith("ms") else ""
            if why := why_none(r, key):
                found.append(not_measured(what, why))
            else:
                assert r is not None
                found.append({"what": what, "measured": r[column], "met": r[column] <= limit})
    return found


def why_none(found: dict[str, Any] | None, key: str) -> str | None:
    """Say why a row is no figure of *key*; None when it is one."""
    if found is None:
        return "not run"
    if found["problem"]:
        return str(found["problem"])
    if "p50 ms" not in found:
        return "no onset was heard"
    if key == "echo-100" and found["legs"] != ECHO_MANY:
        return f"{found['legs']} calls, not {ECHO_MANY}"
    return None


def plot(result: dict[str, Any], path: Path) -> None:
    series = {
        r["way"]: ([1 / (1 - q / 100) for q in QUANTILES], r["quantiles_ms"])
        for r in result["rows"]
        if "quantiles_ms" in r
    }
    save_lines(path, result["title"], series, ("one onset in ... takes longer", "ms"), log_x=10)
